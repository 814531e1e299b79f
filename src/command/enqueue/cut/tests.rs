//! What comes out of a file, whatever is in it.

use proptest::prelude::*;

use super::*;

const MAX: usize = 200;

/// Gives out one byte at a time, as the slowest pipe would.
struct Dripping<'a>(&'a [u8]);

impl Read for Dripping<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some((first, rest)) = self.0.split_first() else { return Ok(0) };
        into[0] = *first;
        self.0 = rest;
        Ok(1)
    }
}

fn cut(text: &[u8]) -> Vec<Located> {
    let mut cutter = Cutter::new(Dripping(text), MAX);
    let mut pieces = Vec::new();
    while let Some(piece) = cutter.next_piece().unwrap() {
        pieces.push(piece);
        assert!(pieces.len() <= text.len() + 1, "the cutter stands still");
    }
    pieces
}

/// `E:` for events, `A:` for what comes as it is, with the line before it.
fn told(text: &str) -> Vec<String> {
    let told = |located: Located| match located.piece {
        Piece::Event(bytes) => format!("{} E:{}", located.line, String::from_utf8(bytes).unwrap()),
        Piece::AsItIs(bytes) => format!("{} A:{}", located.line, String::from_utf8(bytes).unwrap()),
        Piece::TooLarge(bytes) => format!("{} too large {bytes}", located.line),
        Piece::EndsEarly => format!("{} ends early", located.line),
    };
    cut(text.as_bytes()).into_iter().map(told).collect()
}

#[test]
fn every_shape_of_file_is_cut_into_its_events() {
    let rows: &[(&str, &[&str])] = &[
        ("", &[]),
        (" \r\n\t\n", &[]),
        ("{\"a\":1}", &["1 E:{\"a\":1}"]),
        ("{\"a\":1}\n{\"b\":2}\n", &["1 E:{\"a\":1}", "2 E:{\"b\":2}"]),
        ("{\"a\":1}\r\n\r\n{\"b\":2}\r\n", &["1 E:{\"a\":1}", "3 E:{\"b\":2}"]),
        ("{\"a\":1} {\"b\":2}{\"c\":3}", &["1 E:{\"a\":1}", "1 E:{\"b\":2}", "1 E:{\"c\":3}"]),
        ("{\n  \"a\": {\n    \"b\": [1, 2]\n  }\n}\n", &["1 E:{\n  \"a\": {\n    \"b\": [1, 2]\n  }\n}"]),
        ("[{\"a\":1},{\"b\":2}]", &["1 E:{\"a\":1}", "1 E:{\"b\":2}"]),
        ("[\n{\"a\":1},\n{\"b\":2}\n]\n", &["2 E:{\"a\":1}", "3 E:{\"b\":2}"]),
        ("[]\n[{\"a\":1}]\n", &["2 E:{\"a\":1}"]),
        ("[1, \"x,]\", null, [2]]", &["1 E:1", "1 E:\"x,]\"", "1 E:null", "1 E:[2]"]),
        ("{\"Records\":[{\"a\":1},{\"b\":2}]}", &["1 E:{\"a\":1}", "1 E:{\"b\":2}"]),
        ("{ \"Records\" :\n [ {\"a\":1} ] }\n{\"b\":2}", &["2 E:{\"a\":1}", "3 E:{\"b\":2}"]),
        ("{\"Records\":[]}", &[]),
        ("{\"Records\":{}}", &["1 E:{\"Records\":{}}"]),
        ("{\"Rec ords\":[]}", &["1 E:{\"Rec ords\":[]}"]),
        ("{\"Records\"", &["1 A:{\"Records\""]),
        ("{\"a\":\"}{][,\\\"\\\\\"}", &["1 E:{\"a\":\"}{][,\\\"\\\\\"}"]),
        ("{\"Records\":[{\"a\":1}],\"more\":2}", &["1 E:{\"a\":1}", "1 A:,\"more\":2}"]),
    ];
    for (text, pieces) in rows {
        assert_eq!(told(text), *pieces, "{text:?}");
    }
}

#[test]
fn a_broken_line_comes_out_as_it_is_and_its_neighbours_unharmed() {
    let rows: &[(&str, &[&str])] = &[
        ("what is this\n{\"b\":2}", &["1 A:what is this", "2 E:{\"b\":2}"]),
        ("{\"a\":1\n{\"b\":2}\n", &["1 A:{\"a\":1", "2 E:{\"b\":2}"]),
        ("{\"a\":1,\n{\"b\":2}\n{\"c\":3}\n", &["1 A:{\"a\":1,", "2 E:{\"b\":2}", "3 E:{\"c\":3}"]),
        ("{\"a\":\"x\n{\"b\":2}\n", &["1 A:{\"a\":\"x", "2 E:{\"b\":2}"]),
        ("{\"a\":[1,\n{\"b\":2}\n{\"c\":3}\n", &["1 A:{\"a\":[1,", "2 E:{\"b\":2}", "3 E:{\"c\":3}"]),
        ("{\"a\":1]}\n{\"b\":2}\n", &["1 A:{\"a\":1]}", "2 E:{\"b\":2}"]),
        ("}\n{\"b\":2}\n", &["1 A:}", "2 E:{\"b\":2}"]),
        ("{\"a\":1}}\n{\"b\":2}\n", &["1 E:{\"a\":1}", "1 A:}", "2 E:{\"b\":2}"]),
        ("{\"a\":\n {\"b\":\n  1\n", &["1 A:{\"a\":\n {\"b\":\n  1"]),
        ("[{\"a\":1},{\"b\":2", &["1 E:{\"a\":1}", "1 A:{\"b\":2"]),
        ("[{\"a\":1},", &["1 E:{\"a\":1}", "1 ends early"]),
        ("{\"Records\":[{\"a\":1}", &["1 E:{\"a\":1}", "1 ends early"]),
        ("{\"Records\":[{\"a\":1}]", &["1 E:{\"a\":1}", "1 ends early"]),
        ("NaN\nnull\n\"text\"\n", &["1 A:NaN", "2 A:null", "3 A:\"text\""]),
    ];
    for (text, pieces) in rows {
        assert_eq!(told(text), *pieces, "{text:?}");
    }
}

#[test]
fn what_is_too_large_is_told_and_passed_over() {
    let large = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX));
    let size = large.len();
    assert_eq!(
        told(&format!("{large}\n{{\"b\":2}}")),
        [format!("1 too large {size}"), "2 E:{\"b\":2}".into()]
    );
    assert_eq!(
        told(&format!("[{large},{{\"b\":2}}]")),
        [format!("1 too large {size}"), "1 E:{\"b\":2}".into()]
    );
    let line = "y".repeat(MAX + 1);
    assert_eq!(
        told(&format!("{line}\n{{\"b\":2}}")),
        [format!("1 too large {}", MAX + 2), "2 E:{\"b\":2}".into()]
    );
    let exact = format!("{{\"a\":\"{}\"}}", "x".repeat(MAX - 8));
    assert_eq!(told(&exact), [format!("1 E:{exact}")]);
}

#[test]
fn too_deep_is_broken() {
    let deep = "[".repeat(DEPTH_MAX + 2);
    let mut cutter = Cutter::new(Dripping(deep.as_bytes()), 10_000);
    assert!(matches!(cutter.next_piece().unwrap().unwrap().piece, Piece::AsItIs(_)));
}

/// Bytes that are part of some event or odd line; frames, commas between and white space are not.
fn kept(pieces: &[Located]) -> usize {
    let bytes = |located: &Located| match &located.piece {
        Piece::Event(bytes) | Piece::AsItIs(bytes) => {
            bytes.iter().filter(|b| b.is_ascii_alphanumeric()).count()
        }
        Piece::TooLarge(_) | Piece::EndsEarly => 0,
    };
    pieces.iter().map(bytes).sum()
}

proptest! {
    /// Whatever is in a file: the cutter ends, and each letter and digit is in exactly one piece, in order.
    #[test]
    fn no_letter_of_any_file_is_lost_or_doubled(text in "[\\[\\]{},:\"\\\\ \nab1]{0,150}") {
        let pieces = cut(text.as_bytes());
        let letters = |bytes: &[u8]| bytes.iter().copied().filter(u8::is_ascii_alphanumeric).collect::<Vec<_>>();
        let mut all = Vec::new();
        for located in &pieces {
            if let Piece::Event(bytes) | Piece::AsItIs(bytes) = &located.piece {
                all.extend(letters(bytes));
            }
        }
        prop_assert_eq!(all.len(), kept(&pieces));
        prop_assert_eq!(all, letters(text.as_bytes()));
    }

    /// Good events come out one by one, whatever stands before them on lines of its own.
    #[test]
    fn a_good_line_survives_any_line_before_it(bad in "[\\[\\]{},:\" ab1]{1,60}") {
        let text = format!("{bad}\n{{\"good\":1}}\n{{\"good\":2}}\n");
        let pieces = told(&text);
        let good = pieces.iter().filter(|piece| piece.ends_with("E:{\"good\":2}")).count();
        prop_assert!(good == 1, "{:?}", pieces);
    }
}
