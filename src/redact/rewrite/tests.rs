use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn edits(list: &[(&[Step], Act)]) -> Edits {
    let mut edits = Edits::default();
    for (path, act) in list {
        edits.add(path.to_vec(), *act);
    }
    edits
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

#[test]
fn what_is_changed_is_changed_and_everything_else_keeps_its_bytes() {
    let text = r#" { "a" : 1.50e3 ,"b":{"x" : "\u0041", "y":[ 1 , 2,3 ]} , "c\n":null,"é":"t" } "#;
    for (path, act, expected) in [
        (vec![key("a")], Act::Drop, r#" {"b":{"x" : "\u0041", "y":[ 1 , 2,3 ]} , "c\n":null,"é":"t" } "#),
        (
            vec![key("a")],
            Act::Mask,
            r#" { "a" : "[masked]" ,"b":{"x" : "\u0041", "y":[ 1 , 2,3 ]} , "c\n":null,"é":"t" } "#,
        ),
        (
            vec![key("b"), key("y"), Step::At(1)],
            Act::Drop,
            r#" { "a" : 1.50e3 ,"b":{"x" : "\u0041", "y":[ 1 ,3 ]} , "c\n":null,"é":"t" } "#,
        ),
        (
            vec![key("c\n")],
            Act::Mask,
            r#" { "a" : 1.50e3 ,"b":{"x" : "\u0041", "y":[ 1 , 2,3 ]} , "c\n":"[masked]","é":"t" } "#,
        ),
        (vec![key("b")], Act::Mask, r#" { "a" : 1.50e3 ,"b":"[masked]" , "c\n":null,"é":"t" } "#),
        (
            vec![key("é")],
            Act::Drop,
            r#" { "a" : 1.50e3 ,"b":{"x" : "\u0041", "y":[ 1 , 2,3 ]} , "c\n":null} "#,
        ),
        (vec![key("absent")], Act::Drop, text),
        (vec![key("a"), key("below a number")], Act::Mask, text),
        (vec![key("b"), Step::At(0)], Act::Mask, text),
        (vec![key("b"), key("y"), Step::At(3)], Act::Drop, text),
    ] {
        let (out, notes) = rewrite(text, &edits(&[(&path, act)]), b"");
        assert_eq!(out, expected, "{path:?}");
        assert_eq!(notes.len(), usize::from(out != text), "{path:?}");
    }
}

#[test]
fn what_is_done_above_covers_what_is_below_and_the_stronger_act_wins() {
    let text = r#"{"a":{"b":1},"c":2}"#;
    let (below, above) = (vec![key("a"), key("b")], vec![key("a")]);
    let (out, notes) = rewrite(text, &edits(&[(&below, Act::Drop), (&above, Act::Mask)]), b"");
    assert_eq!((out.as_str(), notes), (r#"{"a":"[masked]","c":2}"#, vec![".a: masked".into()]));
    let (out, notes) =
        rewrite(text, &edits(&[(&below, Act::Mask), (&below, Act::Drop), (&below, Act::Hash)]), b"");
    assert_eq!((out.as_str(), notes), (r#"{"a":{},"c":2}"#, vec![".a.b: dropped".into()]));
}

#[test]
fn a_hash_is_the_hmac_that_anybody_can_compute_and_notes_name_no_value() {
    // RFC 4231, test case 2.
    let edits = edits(&[(&[key("a"), Step::At(0)], Act::Hash), (&[key("b")], Act::Hash)]);
    let text = r#"{"a":["what do ya want for noth\u0069ng?"],"b":{ "x": 1 }}"#;
    let (out, notes) = rewrite(text, &edits, b"Jefe");
    let out: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(out["a"][0], "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    let (compact, _) = rewrite(r#"{"b":{"x":1}}"#, &edits, b"Jefe");
    assert_eq!(out["b"], serde_json::from_str::<Value>(&compact).unwrap()["b"], "white space is no content");
    assert_eq!(notes, [Note::from(".a[0]: hashed"), ".b: hashed".into()]);
}

/// The same with `serde_json`'s values: `None` where the value is taken out.
fn expected(value: Value, edits: &[(Vec<Step>, Act)]) -> Option<Value> {
    if let Some(act) = edits.iter().filter(|(path, _)| path.is_empty()).map(|(_, act)| *act).min() {
        return match act {
            Act::Drop => None,
            Act::Mask => Some("[masked]".into()),
            Act::Hash => {
                let plain = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                let mut hex = String::new();
                push_hex(&mut hex, &keyed_hash(b"k", plain.as_bytes()));
                Some(hex.into())
            }
        };
    }
    let below = |step: &Step| -> Vec<_> {
        let edits = edits.iter().filter(|(path, _)| path.first() == Some(step));
        edits.map(|(path, act)| (path[1..].to_vec(), *act)).collect()
    };
    Some(match value {
        Value::Array(values) => {
            let values = values.into_iter().enumerate();
            Value::Array(values.filter_map(|(at, value)| expected(value, &below(&Step::At(at)))).collect())
        }
        Value::Object(members) => {
            let members = members.into_iter();
            let member = |(key, value)| {
                let value = expected(value, &below(&Step::Key(String::clone(&key))))?;
                Some((key, value))
            };
            Value::Object(members.filter_map(member).collect())
        }
        other => other,
    })
}

fn a_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        ".{0,4}".prop_map(Value::from),
        Just(Value::from("a \"quoted\" \\ {[, :]} \u{1} é")),
    ];
    leaf.prop_recursive(4, 30, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[ab\"\\\\é]{0,1}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn a_path() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => "[ab\"\\\\é]{0,1}".prop_map(Step::Key),
        1 => (0..4_usize).prop_map(Step::At),
    ];
    prop::collection::vec(step, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rewritten_text_is_what_serde_json_makes_of_the_value(
        value in a_value(),
        list in prop::collection::vec(
            (a_path(), prop_oneof![Just(Act::Drop), Just(Act::Hash), Just(Act::Mask)]), 0..6),
    ) {
        let mut edits = Edits::default();
        for (path, act) in list.clone() {
            edits.add(path, act);
        }
        let expected = expected(value.clone(), &list).expect("no path is empty");
        // In compact form every byte is decided, so that equal texts mean equal bytes.
        prop_assert_eq!(rewrite(&value.to_string(), &edits, b"k").0, expected.to_string());
        let pretty = serde_json::to_string_pretty(&value).expect("JSON");
        let (out, notes) = rewrite(&pretty, &edits, b"k");
        prop_assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON"), expected);
        if notes.is_empty() {
            prop_assert_eq!(out, pretty);
        }
    }

    #[test]
    fn text_that_is_not_json_neither_panics_nor_hangs(text in "[\\[\\]{}\",:\\\\ a1é]{0,40}", path in a_path()) {
        let mut edits = Edits::default();
        edits.add(path, Act::Drop);
        let _ = rewrite(&text, &edits, b"");
    }
}
