//! Wrapped in anything, in any order: the event comes out as it went in, until there are too many layers.

use proptest::prelude::*;
use serde_json::json;
use tributary::decode::{ENVELOPES_MAX, Found, decode};

use super::{
    kind, kinds,
    wrapping::{aggregate, base64, event, firehose, gzip, kinesis, logs, sns},
};

const LAYERS: [&str; 13] = [
    "array",
    "records",
    "sns",
    "bridge",
    "entry",
    "gzip",
    "base64",
    "aggregate",
    "logs",
    "awslogs",
    "kinesis",
    "firehose",
    "sqs",
];

/// The body with one more layer around it, and how many steps inwards that layer takes. What can carry only text
/// or only JSON carries other things as it would have to: as base64, or as the text of an entry.
fn wrapped(layer: &str, body: Vec<u8>) -> (Vec<u8>, usize) {
    let json =
        str::from_utf8(&body).ok().filter(|text| serde_json::from_str::<serde_json::Value>(text).is_ok());
    let is_object = json.is_some_and(|json| json.starts_with('{'));
    let (text, steps) = match String::from_utf8(body.clone()) {
        Ok(text) => (text, 1),
        Err(_) => (base64(&body), 2),
    };
    match layer {
        "array" | "records" | "bridge" if !is_object => wrapped("sns", body),
        "array" => (format!("[{text}]").into_bytes(), 1),
        "records" => (format!("{{\"Records\":[{text}]}}").into_bytes(), 1),
        "bridge" => (format!(r#"{{"detail-type":"d","source":"s","detail":{text}}}"#).into_bytes(), 1),
        "sns" => (sns(text).into_bytes(), steps),
        "entry" => (json!({ "id": "1", "eventData": text }).to_string().into_bytes(), steps),
        "logs" => (logs(&[&text]).into_bytes(), steps),
        "sqs" => (json!({ "body": text, "eventSource": "aws:sqs" }).to_string().into_bytes(), steps),
        "gzip" => (gzip(body), 1),
        "aggregate" => (aggregate(&[&body]), 1),
        "awslogs" => (json!({ "awslogs": { "data": base64(body) } }).to_string().into_bytes(), 1),
        "kinesis" => (kinesis(body).into_bytes(), 1),
        "firehose" => (firehose(&[body]).into_bytes(), 1),
        // Base64 of base64 is not looked for.
        _ if json.is_none() && steps == 1 => wrapped("sns", body),
        _ => (base64(body).into_bytes(), 1),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn layers_come_off_in_any_order(layers in prop::collection::vec(prop::sample::select(LAYERS.to_vec()), 0..10)) {
        let inner = event(1);
        let (mut body, mut steps) = (inner.clone().into_bytes(), 0);
        for layer in &layers {
            let (outer, more) = wrapped(layer, body);
            (body, steps) = (outer, steps + more);
        }
        let parts = decode(body.into());
        prop_assert_eq!(parts.len(), 1);
        if steps <= ENVELOPES_MAX {
            prop_assert_eq!(kind(&parts[0]), "event");
            prop_assert_eq!(&*parts[0].original, inner.as_bytes());
            let Found::Event(raw) = &parts[0].found else { panic!("no event") };
            prop_assert_eq!(&*raw.json, &*inner);
        } else {
            prop_assert_eq!(kind(&parts[0]), "too_deep");
        }
    }
}

#[test]
fn every_layer_is_one_that_comes_off_by_itself() {
    for layer in LAYERS {
        let (body, steps) = wrapped(layer, event(1).into_bytes());
        assert_ne!(body, event(1).into_bytes(), "{layer}");
        assert_eq!(steps, 1, "{layer}");
        assert_eq!(kinds(body), ["event"], "{layer}");
    }
}

#[test]
fn packed_too_often_it_is_not_even_looked_at() {
    let layers =
        |count: usize, inside: &[u8]| (0..count).fold(inside.to_vec(), |body, _| aggregate(&[&body]));
    assert_eq!(kinds(layers(ENVELOPES_MAX, b"text")), ["not_json"]);
    for count in [ENVELOPES_MAX + 1, 2_000] {
        let parts = decode(layers(count, b"text").into());
        assert_eq!((parts.len(), kind(&parts[0])), (1, "too_deep".to_owned()));
        assert_eq!(&*parts[0].original, layers(count - ENVELOPES_MAX - 1, b"text"));
    }
    assert_eq!(kinds(layers(ENVELOPES_MAX + 1, b"")), ["no_events"], "nothing is nothing at any depth");
}

#[test]
fn what_stands_side_by_side_keeps_its_order_through_all_layers() {
    let lines = format!("{}\n{}", event(1), event(2));
    let records = [gzip(&lines), b"text".to_vec(), logs(&[&event(3), "text", &event(4)]).into_bytes()];
    let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let body = sns(base64(gzip(aggregate(&records))));
    let parts = decode(body.into());
    let ids: Vec<String> = parts
        .iter()
        .map(|part| match &part.found {
            Found::Event(raw) => raw.get("eventID").expect("an id").to_string(),
            _ => kind(part),
        })
        .collect();
    assert_eq!(ids, ["\"id-1\"", "\"id-2\"", "not_json", "\"id-3\"", "not_json", "\"id-4\""]);
}

#[test]
fn members_of_a_gzip_file_are_one_text() {
    let (head, tail) = (gzip(format!("[{},", event(1))), gzip(format!("{}]", event(2))));
    assert_eq!(kinds([head, tail].concat()), ["event", "event"]);
    assert_eq!(kinds([gzip(format!("{}\n", event(1))), gzip(event(2))].concat()), ["event", "event"]);
    assert_eq!(kinds(gzip("")), ["no_events"]);
}

/// A letter's body comes again when it is redriven. What was kept must then say the same.
#[test]
fn what_is_kept_of_a_part_leads_to_it_again() {
    let s3 = |key: &str| super::s3_record("ObjectCreated:Put", "b", &format!(r#"{{"key":"{key}"}}"#));
    let bodies = [
        format!(r#"{{"Records":[{},{}]}}"#, s3("a%20b"), s3("c")),
        r#"{"s3Bucket":"b","s3ObjectKey":["a+\"b","\u00e9"]}"#.to_owned(),
        super::object_created("Object Created", r#"{"key":"k"}"#),
        sns(format!("{}\nnot json\n{{\"a\":1,\"a\":2}}", event(1))),
        logs(&[&event(1), "text", "[7]"]),
        firehose(&[b"\x1f\x8b".to_vec(), b"\xF3\x89\x9A\xC2".to_vec(), b"\xff".to_vec()]),
    ];
    for body in bodies {
        let parts = decode(body.clone().into());
        assert!(parts.len() > 1 || body.contains("Object Created"), "{body}");
        for part in parts {
            let again = decode(part.original.clone());
            assert_eq!(again.len(), 1, "{body}");
            assert_eq!((kind(&again[0]), &again[0].original), (kind(&part), &part.original), "{body}");
        }
    }
}
