//! Records are found wherever the text is cut, and as `serde_json` finds them in the whole text.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// All frames of a text that arrives in these pieces.
fn frames_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Frame> {
    let (mut frames, mut found) = (Frames::new(), Vec::new());
    for piece in pieces {
        frames.pieces().extend_from_slice(piece);
        found.extend(std::iter::from_fn(|| frames.next()));
    }
    frames.end();
    found.extend(std::iter::from_fn(|| frames.next()));
    assert_eq!(frames.next(), None, "the end stays the end");
    found
}

fn record(text: &str) -> Frame {
    Frame::Record(Bytes::copy_from_slice(text.as_bytes()))
}

fn records<const N: usize>(texts: [&str; N]) -> Vec<Frame> {
    texts.map(record).to_vec()
}

fn and(mut frames: Vec<Frame>, last: Frame) -> Vec<Frame> {
    frames.push(last);
    frames
}

#[test]
fn each_shape_of_a_text_is_cut_into_its_records() {
    for (text, expected) in [
        (r#"{"Records":[{"a":1},{"b":[2,"]"]}]}"#, records([r#"{"a":1}"#, r#"{"b":[2,"]"]}"#])),
        ("{ \"Records\" :\n [ {\"a\":1}\n, {} ] }\n", records([r#"{"a":1}"#, "{}"])),
        (r#"{"auditEvents":[{"id":"1"}]}"#, records([r#"{"id":"1"}"#])),
        (r#"{"Records":[]}"#, vec![]),
        (r#"[{"a":1},2,"x",null,[3]]"#, records([r#"{"a":1}"#, "2", "\"x\"", "null", "[3]"])),
        ("{\"a\":1}\n{\"b\":2}\r\n\n{\"c\":3}", records([r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#])),
        (r#"{"a":1}{"b":2} {"Records":[{"c":3}]}"#, records([r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#])),
        ("\u{feff}{\"a\":1}", records([r#"{"a":1}"#])),
        (r#"{"a":"\"}\\","Records":[1]}"#, records([r#"{"a":"\"}\\","Records":[1]}"#])),
        ("", vec![]),
        (" \n ", vec![]),
        ("\u{feff}", vec![]),
    ] {
        assert_eq!(frames_of([text.as_bytes()]), expected, "{text}");
    }
}

#[test]
fn what_stands_beside_the_records_of_a_log_file_is_found_too() {
    let text = r#"{"Records":[{"a":1}], "more": {"b":2}} {"c":3}"#;
    let expected = records([r#"{"a":1}"#, r#"{"more": {"b":2}}"#, r#"{"c":3}"#]);
    assert_eq!(frames_of([text.as_bytes()]), expected);
}

#[test]
fn a_broken_line_does_not_swallow_the_next() {
    for (broken, lines) in [
        (r#"{"a":"unclosed,"#, 1),
        (r#"{"a":{"b":1}"#, 1),
        (r#"{"a":1,"#, 1),
        (r#"{"a":["x""#, 1),
        (r#"{"a":1}}"#, 2),
        (r#"{"a":"ends with \"#, 1),
        ("no JSON", 1),
    ] {
        let text = format!("{{\"first\":1}}\n{broken}\n{{\"next\":1}}\n{{\"last\":1}}");
        let found = frames_of([text.as_bytes()]);
        assert_eq!(found.len(), 3 + lines, "{broken}: {found:?}");
        assert_eq!(found.first(), Some(&record(r#"{"first":1}"#)), "{broken}");
        assert_eq!(found[found.len() - 2..], records([r#"{"next":1}"#, r#"{"last":1}"#]), "{broken}");
    }
}

#[test]
fn a_line_that_opens_an_array_leaves_it_open() {
    let text = "{\"a\":1}\n[\"x\" {\n{\"next\":1}";
    let expected = records([r#"{"a":1}"#, "\"x\"", "{", r#"{"next":1}"#]);
    assert_eq!(frames_of([text.as_bytes()]), and(expected, Frame::CutOff));
}

#[test]
fn a_line_that_could_go_on_keeps_the_next_in_its_own_bytes() {
    let text = "{\"a\":\n{\"next\":1}\n{\"last\":1}";
    assert_eq!(frames_of([text.as_bytes()]), records(["{\"a\":\n{\"next\":1}", r#"{"last":1}"#]));
}

#[test]
fn a_broken_element_in_a_line_of_its_own_spares_its_neighbours() {
    let text = "{\"Records\":[\n{\"a\":1},\n{\"b\":\"x},\n{\"c\":3},\nnonsense,\n{\"d\":4}\n]}";
    let expected = records([r#"{"a":1}"#, r#"{"b":"x},"#, r#"{"c":3}"#, "nonsense", r#"{"d":4}"#]);
    assert_eq!(frames_of([text.as_bytes()]), expected);
}

#[test]
fn pretty_printed_records_are_whole() {
    let value = json!({"Records": [{"a": [{"b": {}}, {"c": [[{}]]}]}, {"d": {"e": {"f": 1}}}]});
    let pretty = serde_json::to_string_pretty(&value).unwrap();
    // Also where every brace begins its line.
    for text in [pretty.clone(), pretty.lines().map(str::trim_start).collect::<Vec<_>>().join("\n")] {
        let text = text.replace(": {", ":\n{");
        assert_eq!(values(&frames_of([text.as_bytes()])), value["Records"].as_array().unwrap().clone());
    }
}

#[test]
fn a_text_that_is_cut_off_gives_what_was_whole() {
    let text = r#"{"Records":[{"a":1},{"b":2}]}"#;
    let cut = |end: usize| frames_of([&text.as_bytes()[..end]]);
    assert_eq!(cut(0), vec![]);
    for end in 1..19 {
        assert_eq!(cut(end), vec![Frame::CutOff], "{end}");
    }
    for end in 19..27 {
        assert_eq!(cut(end), and(records([r#"{"a":1}"#]), Frame::CutOff), "{end}");
    }
    for end in 27..29 {
        assert_eq!(cut(end), and(records([r#"{"a":1}"#, r#"{"b":2}"#]), Frame::CutOff), "{end}");
    }
    assert_eq!(cut(29).len(), 2);
}

#[test]
fn a_record_that_is_too_long_is_passed_over_and_the_next_is_found() {
    let long = format!("{{\"long\":\"{}\"}}", "x".repeat(2 * RECORD_BYTES_MAX));
    for (text, expected) in [
        (
            format!("[{{}},{long},{{\"a\":1}}]"),
            [record("{}"), Frame::TooLong(long.len()), record(r#"{"a":1}"#)],
        ),
        (
            format!("{{}}\n{long}\n{{\"a\":1}}"),
            [record("{}"), Frame::TooLong(long.len()), record(r#"{"a":1}"#)],
        ),
        (
            format!("{{}}\n{}\n{{\"a\":1}}", &long[..long.len() - 2]),
            [record("{}"), Frame::TooLong(long.len() - 1), record(r#"{"a":1}"#)],
        ),
    ] {
        assert_eq!(frames_of(text.as_bytes().chunks(10_000)), expected);
    }
}

#[test]
fn the_longest_record_is_a_record() {
    let longest = format!("{{\"long\":\"{}\"}}", "x".repeat(RECORD_BYTES_MAX - 11));
    assert_eq!(frames_of([longest.as_bytes()]), records([&longest]));
    assert_eq!(longest.len(), RECORD_BYTES_MAX);
}

#[test]
fn what_is_no_json_is_said_once_and_a_bad_first_line_alone() {
    for text in ["PAR1\0\0\n\x01more\n{}", "date,name\n1,2\n", "\"a\" \"b\"", "one line", "\u{feff}x"] {
        assert_eq!(frames_of([text.as_bytes()]), [Frame::NotJson], "{text}");
    }
    assert_eq!(frames_of([&b"# lines\n{\"a\":1}\n"[..]]), records(["# lines", r#"{"a":1}"#]));
    let endless = "x".repeat(3 * RECORD_BYTES_MAX);
    assert_eq!(frames_of(endless.as_bytes().chunks(50_000)), [Frame::NotJson]);
}

#[test]
fn only_so_much_is_kept_however_long_the_text_and_however_deep() {
    let mut frames = Frames::new();
    for _ in 0..200 {
        frames.pieces().extend_from_slice(&vec![b'['; 65_536]);
        assert_eq!(frames.next(), None);
        assert!(frames.pieces().capacity() <= 4 * 65_536);
    }
    frames.end();
    assert_eq!(frames.next(), Some(Frame::CutOff));
}

fn values(frames: &[Frame]) -> Vec<Value> {
    let value = |frame: &Frame| match frame {
        Frame::Record(bytes) => serde_json::from_slice(bytes).unwrap(),
        other => panic!("{other:?}"),
    };
    frames.iter().map(value).collect()
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[a\"\\\\{}\\[\\],:\n é😀]{0,12}".prop_map(Value::from),
        Just(Value::Null),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a\"{}\\[]{0,4}", inner, 0..4).prop_map(Value::from_iter),
        ]
    })
}

fn any_record() -> impl Strategy<Value = Value> {
    any_value().prop_map(|value| json!({ "record": value }))
}

/// A text that holds these records in one of the shapes.
fn text_of(records: &[Value], shape: u8, is_pretty: bool) -> String {
    let text = |value: &Value| {
        if is_pretty { serde_json::to_string_pretty(value).unwrap() } else { value.to_string() }
    };
    let texts: Vec<_> = records.iter().map(text).collect();
    match shape {
        0 => text(&json!({ "Records": records })),
        1 => text(&Value::from(records)),
        2 => texts.join("\n"),
        3 => texts.concat(),
        _ => format!("{{\"Records\":[{}]}}\n", texts.join(",\n")),
    }
}

fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    for cut in cuts.iter().cycle() {
        let (piece, others) = rest.split_at((*cut).min(rest.len()));
        pieces.push(piece);
        rest = others;
        if rest.is_empty() {
            break;
        }
    }
    pieces
}

proptest! {
    /// What serde_json finds in the whole text is found in its pieces.
    #[test]
    fn the_records_of_any_text_are_those_that_serde_json_finds(
        records in prop::collection::vec(any_record(), 0..6),
        shape in 0_u8..5,
        is_pretty: bool,
        cuts in prop::collection::vec(1_usize..40, 1..8),
    ) {
        let text = text_of(&records, shape, is_pretty);
        prop_assert_eq!(values(&frames_of(cut(text.as_bytes(), &cuts))), records);
    }

    /// Any bytes give the same frames wherever they are cut, and nothing panics.
    #[test]
    fn any_bytes_give_the_same_frames_wherever_they_are_cut(
        text in "[{}\\[\\]\",:\n a\\\\]{0,80}",
        opening in 0_usize..3,
        cuts in prop::collection::vec(1_usize..9, 1..8),
    ) {
        let text = format!("{}{text}", ["", "{\"Records\":[", "{\"a\":1}\n"][opening]);
        let whole = frames_of([text.as_bytes()]);
        prop_assert_eq!(frames_of(cut(text.as_bytes(), &cuts)), whole);
    }

    /// Whatever one line holds, the lines around it are found.
    #[test]
    fn a_line_of_anything_spares_the_lines_around_it(line in "[{}\\[\\]\",: a\\\\]{0,30}") {
        // A line that an object may follow keeps the next in its own bytes: see above.
        let may_go_on = line.trim_end().ends_with([':', '[', ',']) ;
        prop_assume!(!may_go_on);
        let text = format!("{{\"before\":1}}\n{line}\n{{\"behind\":1}}\n{{\"last\":1}}");
        let found = frames_of([text.as_bytes()]);
        prop_assert_eq!(&found[0], &record(r#"{"before":1}"#));
        let has = |text: &str| found.contains(&record(text));
        prop_assert!(has(r#"{"behind":1}"#) && has(r#"{"last":1}"#), "{:?}", found);
    }
}
