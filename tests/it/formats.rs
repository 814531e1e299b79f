//! The formats that are written in jq: golden cases, and what must hold for any event of any of them.

#![expect(clippy::expect_used, clippy::panic, reason = "helpers of tests fail by panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::{Value, json};
use tributary::{
    config::Oversize,
    failure::Rejection,
    formats::{Formats, Mapping, golden::Case},
    jq::{Input, Program},
    receive::About,
};

use crate::checks::{breaches, ready_as, scalars};

mod changed;
mod docs;
mod secrets;

/// The cases of `tests/fixtures/formats`, by folder and name.
fn cases() -> BTreeMap<(String, String), Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/formats");
    let entries = |folder: &Path| -> Vec<PathBuf> {
        folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
    };
    let stem = |path: &Path| path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
    let files = entries(&root).into_iter().flat_map(|folder| entries(&folder));
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("readable");
        let case = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        ((stem(path.parent().expect("a folder")), stem(&path)), case)
    };
    files.map(read).collect()
}

fn published_cases() -> impl Iterator<Item = ((String, String), Case)> {
    cases().into_iter().filter(|(_, case)| case.event.is_some())
}

/// All pure stages for an event of a format.
fn result(event: &Value, format: &str) -> Result<Value, Rejection> {
    let format = Formats::built_in().get(format).expect("a format");
    let ready = ready_as(event.to_string(), Oversize::Move, Some(&format)).remove(0)?;
    assert_eq!(breaches(&ready), Vec::<String>::new(), "{event}");
    Ok(serde_json::from_str(ready.json()).expect("JSON"))
}

#[test]
fn every_golden_case_ends_as_expected() {
    let (formats, cases) = (Formats::built_in(), cases());
    for ((folder, name), case) in &cases {
        assert_eq!(case.differences(&formats, folder), Vec::<String>::new(), "{folder}/{name}");
    }
    for mapping in formats.mappings() {
        let of_it: Vec<_> = cases.iter().filter(|((folder, _), _)| **folder == *mapping.name).collect();
        assert!(of_it.iter().any(|(_, case)| case.event.is_some()), "{}: none is published", mapping.name);
        assert!(of_it.iter().any(|(_, case)| case.reason.is_some()), "{}: none is rejected", mapping.name);
    }
}

fn uid(cases: &BTreeMap<(String, String), Case>, folder: &str, name: &str) -> String {
    let case = &cases[&(folder.to_owned(), name.to_owned())];
    let event = case.event.as_ref().expect("published");
    event["UID"].as_str().unwrap_or_else(|| panic!("{folder}/{name} says no UID")).to_owned()
}

#[test]
fn what_is_one_event_has_one_id_and_what_is_not_has_not() {
    let cases = cases();
    let ids = |folder: &str, names: &[&str]| -> BTreeSet<String> {
        names.iter().map(|name| uid(&cases, folder, name)).collect()
    };
    let by_any_way = ["rest-edit", "v1-same-event", "rest-of-the-group", "event-bridge"];
    assert_eq!(ids("snyk", &by_any_way).len(), 1);
    assert_eq!(ids("snyk", &["one-millisecond-a", "one-millisecond-b", "one-millisecond-c"]).len(), 3);
    assert_eq!(ids("snyk", &["one-spelling", "spellings-that-agree"]).len(), 1);
    let odd = ["number-as-id-a", "number-as-id-b", "unknown-member-a", "unknown-member-b"];
    assert_eq!(ids("snyk", &odd).len(), 4);
    let differ = ["one-spelling", "spellings-that-differ-a", "spellings-that-differ-b"];
    assert_eq!(ids("snyk", &differ).len(), 3);
    let same_offset = ["two-factor", "other-customer-same-offset", "no-customer", "offset-zero"];
    assert_eq!(ids("falcon", &same_offset).len(), 4);
    let same_insert_id = ["bucket-update", "same-insert-id-later", "same-insert-id-other-log"];
    assert_eq!(ids("gcp", &same_insert_id).len(), 3);
    assert_eq!(ids("eks", &["pod-log", "same-request-received"]).len(), 2);
    assert_eq!(ids("okta", &["login", "event-bridge"]).len(), 1);
}

#[test]
fn an_event_is_claimed_by_its_own_format_alone() {
    let formats = Formats::built_in();
    for ((folder, name), case) in published_cases().filter(|(_, case)| case.format.is_none()) {
        let about = About::default();
        let input = Input::new(&event_of(&case.input).to_string().into(), &about, "");
        let claims = |mapping: &&Arc<Mapping>| part(mapping, "matches").is_true(&input).expect("an answer");
        let claimed: Vec<_> = formats.mappings().filter(claims).map(|mapping| &*mapping.name).collect();
        assert_eq!(claimed, [folder.as_str()], "{name}");
    }
}

/// Kong's API counts down the days of an entry with each read.
#[test]
fn an_entry_of_kong_that_is_read_again_is_the_same_event() {
    let cases = cases();
    let entry = &cases[&("kong".to_owned(), "post".to_owned())].input;
    let id = |change: Value| {
        let mut entry = entry.clone();
        let members = entry.as_object_mut().expect("an object");
        members.extend(change.as_object().expect("an object").clone());
        id_of("kong", &entry)
    };
    assert_eq!(id(json!({"ttl": 7})), id(json!({"ttl": 6})));
    assert_ne!(id(json!({"status": 200})), id(json!({"status": 403})));
}

/// A client may choose the id of its request by a header, and so hide one request behind another.
#[test]
fn two_requests_to_kubernetes_under_one_audit_id_are_two_events() {
    let cases = cases();
    let id = |name: &str| id_of("eks", &cases[&("eks".to_owned(), name.to_owned())].input);
    let names = ["pod-log", "same-request-received", "same-audit-id-chosen-by-a-client"];
    assert_eq!(names.map(id).into_iter().collect::<BTreeSet<_>>().len(), 3);
    let whole = &cases[&("eks".to_owned(), "pod-log".to_owned())].input;
    let changes =
        ["auditID", "stage", "requestReceivedTimestamp", "verb", "requestURI", "user"].map(|member| {
            let mut other = whole.clone();
            let other_value = if member == "user" { json!({"username": "bo"}) } else { json!("other") };
            other[member] = other_value;
            id_of("eks", &other)
        });
    let all = changes.into_iter().chain([id_of("eks", whole)]);
    assert_eq!(all.collect::<BTreeSet<_>>().len(), 7);
}

/// What a mapping says identifies an event.
fn id_of(format: &str, event: &Value) -> String {
    let formats = Formats::built_in();
    let mapping = formats.mappings().find(|mapping| &*mapping.name == format).expect("a mapping");
    let about = About::default();
    let input = Input::new(&event.to_string().into(), &about, format);
    let id = part(mapping, "id").json(&input).expect("an answer").expect("an id");
    format!("{id:?}")
}

/// What is inside the envelope, if there is one.
fn event_of(input: &Value) -> &Value {
    input.get("detail").unwrap_or(input)
}

/// Every value of the event is in what is published: as a value, or as a key, which is what a list of keys and values
/// becomes. Names of members may change.
#[test]
fn no_value_is_lost() {
    for ((folder, name), case) in published_cases() {
        let published = result(event_of(&case.input), &folder).expect("published");
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        scalars(&published, &mut keys, &mut values);
        let kept: BTreeSet<_> = keys.into_iter().chain(values).collect();
        let (mut keys, mut values) = (Vec::new(), Vec::new());
        scalars(event_of(&case.input), &mut keys, &mut values);
        for value in values.iter().filter(|value| !matches!(value.as_str(), "null" | "\"\"")) {
            assert!(kept.contains(value), "{folder}/{name} lost {value}");
        }
    }
}

/// A message of 40 kB is more than `additionalEventData` may hold, and the gateway sends it all the same.
#[test]
fn a_falcon_event_with_a_long_message_is_published_whole() {
    let message = "x".repeat(40_000);
    let event = json!({
        "metadata": {"customerIDString": "c", "offset": 1, "eventType": "AuthActivityAuditEvent",
                     "eventCreationTime": 1_770_091_506_789_u64, "version": "1.0"},
        "event": {"UserId": "ada@example.com", "OperationName": "update", "Message": message},
    });
    assert_eq!(result(&event, "falcon").expect("published")["requestParameters"]["Message"], message);
    let as_the_gateway = result(&event, "falcon-fig").expect("published");
    assert_eq!(as_the_gateway["requestParameters"]["raw"], event);
    assert_eq!(as_the_gateway["additionalEventData"], Value::Null);
}

/// Beside the data there is room for 28 kB.
#[test]
fn a_large_edit_of_snyk_is_published() {
    let side = |letter: &str| json!({"ignored": letter.repeat(14_000)});
    let event = json!({
        "event": "org.edit", "org_id": "o", "created": "2026-02-03T04:05:06.789Z", "user_id": "u",
        "content": {"before": side("a"), "after": side("b"), "interface": "ui"},
    });
    let published = result(&event, "snyk").expect("published");
    assert_eq!(published["requestParameters"], event["content"]);
    assert_eq!(published["additionalEventData"]["snyk"]["content"], Value::Null);
}

/// One of the definitions of a mapping, to be asked by itself.
fn part(mapping: &Mapping, entry: &str) -> Program {
    Program::compile_entry(&mapping.text, entry).expect("compiles")
}

/// Every place in a value, as JSON pointers.
fn pointers(value: &Value, here: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(value, format!("{here}/{key}"), found);
            }
        }
        Value::Array(elements) => {
            for (at, value) in elements.iter().enumerate() {
                pointers(value, format!("{here}/{at}"), found);
            }
        }
        _ => {}
    }
    if !here.is_empty() {
        found.push(here);
    }
}
