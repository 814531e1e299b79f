//! Properties of the pure stages as a whole, for any input: no panic, no broken limit, no lost value.

#![expect(clippy::expect_used, reason = "helpers of tests fail by panic")]

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Map, Value, json, value::RawValue};
use tributary::{
    config::Oversize,
    decode::{Decoded, decode},
    event::ContentHash,
};

use crate::checks::{breaches, lost, ready};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// Lengths on both sides of every limit, and letters of every width, before and after escaping.
fn a_text() -> impl Strategy<Value = String> {
    let length = prop_oneof![8 => 0..4_usize, 2 => 126..131_usize, 4 => 253..260_usize, 3 => 1_020..1_030_usize, 1 => 5_000..20_000_usize];
    let letter =
        prop::sample::select(vec!["x", "é", "€", "😀", "\"", "\\", "\n", "\u{0}", "\u{7f}", "\u{2028}"]);
    (length, letter, ".{0,2}").prop_map(|(length, letter, tail)| format!("{}{tail}", letter.repeat(length)))
}

fn a_leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        a_text().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        Just(Value::Null),
        Just(json!({})),
        Just(json!([])),
    ]
}

/// An object of about so many bytes, in members of several sizes.
fn an_object() -> impl Strategy<Value = Value> {
    let size = prop_oneof![6 => 0..300_usize, 2 => 26_000..30_000_usize, 2 => 95_000..130_000_usize];
    (size, 1..40_usize, a_leaf()).prop_map(|(size, members, leaf)| {
        let mut map: Map<String, Value> = (0..members)
            .map(|at| (format!("member{at}"), json!({ "text": "y".repeat(size / members + at) })))
            .collect();
        map.insert("é\"\\".to_owned(), leaf);
        Value::Object(map)
    })
}

fn a_value() -> impl Strategy<Value = Value> {
    prop_oneof![2 => a_leaf(), 3 => an_object(), 1 => prop::collection::vec(a_leaf(), 0..4).prop_map(Value::from)]
}

const OPTIONAL: [&str; 14] = [
    "userAgent",
    "sourceIPAddress",
    "errorCode",
    "errorMessage",
    "requestParameters",
    "responseElements",
    "additionalEventData",
    "recipientAccountId",
    "awsRegion",
    "resources",
    "tlsDetails",
    "tributary",
    "source",
    "x.y",
];

fn an_event() -> impl Strategy<Value = Value> {
    let optional = prop::collection::btree_map(prop::sample::select(OPTIONAL.to_vec()), a_value(), 0..6);
    let identity = prop::collection::btree_map(
        prop::sample::select(vec!["type", "principalId", "arn", "accountId", "details", "invokedBy"]),
        a_value(),
        0..4,
    );
    let required = (a_text(), a_text(), a_text(), prop::sample::select(vec!["cloudtrail", "lake"]));
    (optional, identity, required, any::<bool>()).prop_map(|(optional, mut identity, required, is_named)| {
        let (source, name, id, format) = required;
        if is_named || format == "lake" {
            identity.insert("type", json!("User"));
            identity.insert("principalId", json!("ana"));
        }
        let mut event = json!({
            "eventSource": source, "eventName": name, "userIdentity": identity, "eventTime": "2024-03-01T08:15:00.5+01:00",
        });
        event[if format == "lake" { "version" } else { "eventVersion" }] = json!("1.0");
        event[if format == "lake" { "UID" } else { "eventID" }] = json!(id);
        for (key, value) in optional {
            event[key] = value;
        }
        event
    })
}

/// The bytes of each sized field exactly as they leave.
fn sizes_as_sent(json: &str) -> Vec<usize> {
    let fields: BTreeMap<&str, &RawValue> = serde_json::from_str(json).expect("an object");
    let size = |name| fields.get(name).map_or(0, |value: &&RawValue| value.get().len());
    vec![size("requestParameters"), size("responseElements"), size("additionalEventData")]
}

fn one(body: impl Into<Bytes>) -> Decoded {
    let mut all = decode(body.into());
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn hash(body: impl Into<Bytes>) -> ContentHash {
    one(body).found.into_event().expect("an event").content_hash
}

/// The same value with every object's keys the other way round.
fn reversed(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let members: Vec<String> =
                map.iter().rev().map(|(key, value)| format!("{}:{}", json!(key), reversed(value))).collect();
            format!("{{ {} }}", members.join(" ,\n"))
        }
        Value::Array(items) => {
            format!("[\t{}]", items.iter().map(reversed).collect::<Vec<_>>().join(","))
        }
        leaf => leaf.to_string(),
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn what_leaves_is_within_every_limit_and_whole(event in an_event(), is_pretty in any::<bool>()) {
        let body = if is_pretty { serde_json::to_string_pretty(&event) } else { serde_json::to_string(&event) };
        for ready in ready(body.expect("JSON"), Oversize::Move).into_iter().flatten() {
            prop_assert_eq!(breaches(&ready), Vec::<String>::new());
            for (size, max) in sizes_as_sent(ready.json()).into_iter().zip([100_000, 100_000, 28_000]) {
                prop_assert!(size <= max);
            }
            let published: Value = serde_json::from_str(ready.json()).expect("JSON");
            prop_assert_eq!(lost(&event, &published), Vec::<String>::new());
        }
    }

    #[test]
    fn by_policy_reject_nothing_that_leaves_was_cut_or_taken_out(event in an_event()) {
        for ready in ready(event.to_string(), Oversize::Reject).into_iter().flatten() {
            prop_assert_eq!(breaches(&ready), Vec::<String>::new());
            let published: Value = serde_json::from_str(ready.json()).expect("JSON");
            for name in ["userAgent", "errorCode", "errorMessage", "sourceIPAddress", "requestParameters"] {
                let brought = event.get(name).filter(|value| !value.is_null());
                prop_assert_eq!(published.get(name), brought);
            }
        }
    }

    #[test]
    fn the_same_bytes_give_the_same_event(event in an_event()) {
        let body = event.to_string();
        let first: Vec<_> = ready(body.clone(), Oversize::Move).into_iter().flatten().map(|e| e.checksum().to_owned()).collect();
        let again: Vec<_> = ready(body, Oversize::Move).into_iter().flatten().map(|e| e.checksum().to_owned()).collect();
        prop_assert_eq!(first, again);
    }

    #[test]
    fn the_hash_knows_neither_order_nor_white_space(event in an_event()) {
        let plain = hash(event.to_string());
        prop_assert_eq!(plain, hash(reversed(&event)));
        prop_assert_eq!(plain, hash(serde_json::to_string_pretty(&event).expect("JSON")));
    }

    #[test]
    fn the_hash_knows_every_value(event in an_event(), key in ".{0,3}", value in a_leaf()) {
        let mut other = event.clone();
        other["requestParameters"] = json!({ key: value });
        prop_assert_eq!(event == other, hash(event.to_string()) == hash(other.to_string()));
    }
}

proptest! {
    #![proptest_config(config(3_000))]

    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(!ready(body, Oversize::Move).is_empty());
    }

    #[test]
    fn no_text_like_json_makes_it_panic(body in "[\\[\\]{}\",:\\\\\n 01a-]{0,60}") {
        prop_assert!(!ready(body, Oversize::Move).is_empty());
    }

    #[test]
    fn no_damage_to_an_event_makes_it_panic(at in 0..700_usize, byte in any::<u8>(), cut in any::<bool>()) {
        let mut body = include_bytes!("../fixtures/cloudtrail/traits.json")[13..].to_vec();
        body[at] = byte;
        if cut {
            body.truncate(at + 1);
        }
        prop_assert!(!ready(body, Oversize::Move).is_empty());
    }

    #[test]
    fn numbers_keep_their_digits(digits in "-?[1-9][0-9]{0,60}(\\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?") {
        let event = |number: &str| {
            format!(r#"{{"version":"1","userIdentity":{{"type":"a","principalId":"b","details":{{"n":{number}}}}},"eventSource":"c","eventName":"d","eventTime":"2024-03-01T08:15:00Z","UID":"e","requestParameters":{{"n":[{number}]}},"more":{number}}}"#)
        };
        let published = ready(event(&digits), Oversize::Move).remove(0).expect("published");
        for kept in [format!("\"details\":{{\"n\":{digits}}}"), format!("{{\"n\":[{digits}]}}"), format!("\"more\":{digits}}}")] {
            prop_assert!(published.json().contains(&kept), "{} in {}", kept, published.json());
        }
        let longer = format!("{digits}1");
        prop_assert_ne!(hash(event(&digits)), hash(event(&longer)));
    }
}

#[test]
fn strings_that_differ_only_in_their_escapes_are_one_string() {
    let event = |text: &str| format!(r#"{{"eventName":"{text}"}}"#);
    assert_eq!(hash(event(r"\u00e9\/\u0041")), hash(event("é/A")));
    assert_ne!(hash(event(r"\\u0041")), hash(event("A")));
}

#[test]
fn values_of_different_types_never_hash_alike() {
    let texts = [
        "1",
        "\"1\"",
        "1.0",
        "true",
        "\"true\"",
        "null",
        "[]",
        "{}",
        "[1]",
        "[[1]]",
        "\"\"",
        "[\"\",\"\"]",
        "[\"\"]",
    ];
    for (at, a) in texts.iter().enumerate() {
        for b in texts.iter().skip(at + 1) {
            assert_ne!(hash(format!("{{\"a\":{a}}}")), hash(format!("{{\"a\":{b}}}")), "{a} {b}");
        }
    }
    assert_ne!(hash(r#"{"a":{"b":1},"c":2}"#), hash(r#"{"a":{"b":1,"c":2}}"#));
}

#[test]
fn an_event_keeps_its_own_bytes_and_its_place() {
    let body = Bytes::from_static(b" {\"Records\" : [ {\"a\":1} , 7,{\"b\": [ 2 ]}]}");
    let originals: Vec<Bytes> = decode(body).into_iter().map(|decoded| decoded.original).collect();
    assert_eq!(originals, [&b"{\"a\":1}"[..], b"7", b"{\"b\": [ 2 ]}"]);
}
