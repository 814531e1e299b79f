//! The formats that are written in jq: golden cases, and what must hold for any event of any of them.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail by panic"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tributary::{
    config::Oversize,
    failure::Rejection,
    formats::{Format, Formats, golden::Case},
    jq::{Input, Program, Step},
    receive::About,
};

use crate::checks::{breaches, ready_as};

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
        let input = Input::new(&event_of(&case.input).to_string(), &About::default(), "");
        let claims = |text: &str| {
            Program::compile_entry(text, "matches").expect("compiles").is_true(&input).expect("an answer")
        };
        let claimed: Vec<_> = formats.mappings().filter(|mapping| claims(&mapping.text)).collect();
        let names: Vec<_> = claimed.iter().map(|mapping| &*mapping.name).collect();
        assert_eq!(names, [folder.as_str()], "{name}");
    }
}

/// What is inside the envelope, if there is one.
fn event_of(input: &Value) -> &Value {
    input.get("detail").unwrap_or(input)
}

/// Every value of the event is in what is published: as a value, or as a key, which is what a list of keys and values
/// becomes.
#[test]
fn no_value_is_lost() {
    for ((folder, name), case) in published_cases() {
        let published = result(event_of(&case.input), &folder).expect("published");
        let mut kept = BTreeSet::new();
        leaves(&published, &mut |leaf| {
            kept.insert(leaf);
        });
        leaves(event_of(&case.input), &mut |leaf| {
            let says_nothing = matches!(leaf.as_str(), "null" | "\"\"" | "{}" | "[]");
            let is_a_pair = matches!(leaf.as_str(), "\"Key\"" | "\"ValueString\"");
            let is_a_name = leaf.starts_with('"') && is_key(event_of(&case.input), leaf.trim_matches('"'));
            if !says_nothing && !is_a_pair && !is_a_name {
                assert!(kept.contains(&leaf), "{folder}/{name} lost {leaf}");
            }
        });
    }
}

/// Whether a key of this name is anywhere in the value: names of members may change.
fn is_key(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(members) => {
            members.contains_key(name) || members.values().any(|value| is_key(value, name))
        }
        Value::Array(elements) => elements.iter().any(|value| is_key(value, name)),
        _ => false,
    }
}

/// Scalars, empty containers and keys, as JSON text.
fn leaves(value: &Value, found: &mut impl FnMut(String)) {
    match value {
        Value::Object(members) if !members.is_empty() => members.iter().for_each(|(key, value)| {
            found(json!(key).to_string());
            leaves(value, found);
        }),
        Value::Array(elements) if !elements.is_empty() => {
            elements.iter().for_each(|value| leaves(value, found));
        }
        leaf => found(leaf.to_string()),
    }
}

/// Producers change their types without a word: whatever stands in one place of an event, the event is published, or
/// its own required part is named; and what is secret can still be told.
#[test]
fn whatever_stands_in_one_place_the_mapping_has_an_answer() {
    let instead = [json!(null), json!(""), json!(7), json!(true), json!([]), json!({"a": ["b"]})];
    let mut refused = BTreeMap::<String, usize>::new();
    for ((folder, name), case) in published_cases() {
        let Some(Format::Mapped(mapping)) = Formats::built_in().get(&folder) else { panic!("no mapping") };
        let part = |entry: &str| Program::compile_entry(&mapping.text, entry).expect("compiles");
        let (matches, secrets) = (part("matches"), part("path(secrets)"));
        let event = event_of(&case.input);
        let mut places = Vec::new();
        pointers(event, String::new(), &mut places);
        for place in &places {
            for instead in &instead {
                let mut changed = event.clone();
                *changed.pointer_mut(place).expect("a place") = instead.clone();
                let input = Input::new(&changed.to_string(), &About::default(), &folder);
                assert!(secrets.paths(&input).is_ok(), "{folder}/{name}: secrets, {place} is {instead}");
                let is_of_it = case.format.is_some() || matches.is_true(&input).expect("an answer");
                if let (true, Err(rejection)) = (is_of_it, result(&changed, &folder)) {
                    *refused.entry(format!("{folder} {place}: {}", rejection.detail)).or_default() += 1;
                }
            }
        }
    }
    println!("{refused:#?}");
    let unexplained = ["does not fit the types", "makes no object"];
    let without_answer: Vec<_> =
        refused.keys().filter(|said| unexplained.iter().any(|part| said.contains(part))).collect();
    assert_eq!(without_answer, Vec::<&String>::new());
}

fn pointers(value: &Value, here: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, value)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            pointers(value, format!("{here}/{key}"), found);
        }),
        Value::Array(elements) => {
            elements.iter().enumerate().for_each(|(at, value)| pointers(value, format!("{here}/{at}"), found))
        }
        _ => {}
    }
    if !here.is_empty() {
        found.push(here);
    }
}

/// `SECRET` is what has to be found, and nothing else is.
#[test]
fn what_is_secret_is_told_and_nothing_else() {
    let table = [
        (
            "snyk",
            json!({"event": "org.user.invite_link.create", "org_id": "o", "content": {
            "inviteLink": "SECRET", "url": "https://app.example/invite/link/accept?invite=SECRET", "url2": "https://a.example/",
            "": {"token": "SECRET"}, "role": "ADMIN"}}),
        ),
        (
            "falcon",
            json!({"metadata": {"eventType": "x"}, "event": {"Attributes": {
            "request_path": "/a?Token=SECRET", "request_query": "limit=5"}, "OperationName": "token"}}),
        ),
        (
            "falcon-fig",
            json!({"metadata": {"eventType": "x"}, "event": {"Message": "https://a.example/?client_secret=SECRET"}}),
        ),
        (
            "github",
            json!({"action": "hook.create", "hashed_token": "SECRET", "token_id": 7,
                          "config": {"secret": "SECRET", "url": "https://a.example"}}),
        ),
        (
            "okta",
            json!({"eventType": "x", "debugContext": {"debugData": {
            "url": "/login/token/redirect?stateToken=SECRET", "requestUri": "/login/token/redirect", "risk": "{level=LOW}"}}}),
        ),
        (
            "kong",
            json!({"signature": "SECRET", "path": "/consumers/a/key-auth", "payload": "{\"key\":\"SECRET\"}"}),
        ),
        ("kong", json!({"signature": null, "path": "/services", "payload": "{\"name\":\"a\"}"})),
        (
            "kong",
            json!({"dao_name": "keyauth_credentials", "entity": "{\"key\":\"SECRET\"}", "entity_key": "k"}),
        ),
        ("kong", json!({"dao_name": "services", "entity": "{\"name\":\"a\"}"})),
        (
            "gcp",
            json!({"protoPayload": {"response": {"name": "k", "private_key_data": "SECRET"}, "request": {}}}),
        ),
        (
            "eks",
            json!({"objectRef": {"resource": "secrets"}, "requestObject": {"kind": "Secret", "data": {"a": "SECRET"},
                       "stringData": {"b": "SECRET"}, "metadata": {"name": "n", "annotations": {
                           "kubectl.kubernetes.io/last-applied-configuration": "SECRET"}}},
                       "responseObject": {"items": [{"data": {"a": "SECRET"}, "type": "Opaque"}]}}),
        ),
        (
            "eks",
            json!({"objectRef": {"resource": "secrets"}, "requestObject": [{"op": "replace", "path": "/data/a", "value": "SECRET"}]}),
        ),
        ("eks", json!({"objectRef": {"resource": "configmaps"}, "requestObject": {"data": {"a": "b"}}})),
        (
            "eks",
            json!({"objectRef": {"resource": "serviceaccounts", "subresource": "token"},
                       "responseObject": {"status": {"token": "SECRET", "expirationTimestamp": "x"}}}),
        ),
        (
            "generic",
            json!({"id": "i", "password": "SECRET", "user": {"access_token": "SECRET", "name": "n"}}),
        ),
    ];
    for (format, event) in table {
        let Some(Format::Mapped(mapping)) = Formats::built_in().get(format) else { panic!("no mapping") };
        let secrets = Program::compile_entry(&mapping.text, "path(secrets)").expect("compiles");
        let paths = secrets.paths(&Input::new(&event.to_string(), &About::default(), format)).expect("paths");
        let told: BTreeSet<String> = paths.iter().map(|path| pointer(path)).collect();
        let mut all = Vec::new();
        pointers(&event, String::new(), &mut all);
        let is_secret = |place: &&String| {
            event.pointer(place).and_then(Value::as_str).is_some_and(|text| text.contains("SECRET"))
        };
        let expected: BTreeSet<String> = all.iter().filter(is_secret).cloned().collect();
        assert_eq!(told, expected, "{format}");
    }
}

fn pointer(path: &[Step]) -> String {
    let step = |step: &Step| match step {
        Step::Key(key) => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
        Step::At(at) => format!("/{at}"),
    };
    path.iter().map(step).collect()
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

/// Before and after are in `requestParameters`; said twice, the edit would not fit beside the data.
#[test]
fn a_large_edit_of_snyk_is_published() {
    let side = |letter: &str| json!({"ignored": letter.repeat(14_000)});
    let event = json!({
        "event": "org.edit", "org_id": "o", "created": "2026-02-03T04:05:06.789Z", "user_id": "u",
        "content": {"before": side("a"), "after": side("b"), "interface": "ui"},
    });
    let published = result(&event, "snyk").expect("published");
    assert_eq!(published["requestParameters"]["after"], side("b"));
    assert_eq!(published["additionalEventData"]["snyk"]["content"], json!({"interface": "ui"}));
}
