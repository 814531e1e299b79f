//! Routes, filters and redaction, as a user writes them: what stands in `docs/routes.md` works, and leads real events
//! through the real service where the table there says.

use std::{collections::BTreeSet, io::Write as _};

use aws_sdk_sqs::types::{Message, MessageAttributeValue};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tributary::{
    config::{
        Config,
        kinds::{Condition, Kind as _, Paths},
    },
    local::{ChannelSpec, EventQuery, LakeClient, LocalOptions},
};

use crate::{
    process::{DEAD_LETTERS, Endpoints, QUEUE, Worker},
    support::local::options,
};

const DOCUMENT: &str = include_str!("../../docs/routes.md");
const ORG: &str = "0a000000-0000-4000-8000-000000000001";
const SISTER: &str = "0a000000-0000-4000-8000-000000000002";
const STRANGER: &str = "0a000000-0000-4000-8000-000000000009";
const JOINED_LATER: &str = "0a000000-0000-4000-8000-000000000003";
const GROUP: &str = "0b000000-0000-4000-8000-000000000001";
const OTHER_GROUP: &str = "0b000000-0000-4000-8000-000000000002";
const ORG_CHANNEL: &str =
    "arn:aws:cloudtrail:us-east-1:123456789012:channel/11111111-2222-3333-4444-000000000001";
const GROUP_CHANNEL: &str =
    "arn:aws:cloudtrail:us-east-1:123456789012:channel/11111111-2222-3333-4444-000000000002";

/// The texts in fences of one kind.
fn fences(kind: &str) -> Vec<&'static str> {
    let opening = format!("```{kind}\n");
    let fences = DOCUMENT.split(opening.as_str()).skip(1);
    fences.map(|rest| rest.split("\n```").next().expect("a fence ends")).collect()
}

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("a file can be written");
    file
}

#[test]
fn every_expression_of_the_document_can_run() {
    let (conditions, paths, files) = (fences("jq"), fences("jq-paths"), fences("toml"));
    assert!(conditions.len() == 1 && paths.len() == 1 && files.len() == 3, "{conditions:?} {paths:?}");
    for line in conditions.iter().flat_map(|text| text.lines()) {
        assert_eq!(Condition.parse(line).err(), None, "{line}");
    }
    for line in paths.iter().flat_map(|text| text.lines()) {
        assert_eq!(Paths.parse(line).err(), None, "{line}");
    }
    let queue = |name: &str| format!("https://sqs.us-east-1.amazonaws.com/123456789012/{name}");
    let environment = [
        ("TRIBUTARY_SOURCE_QUEUE_URL".to_owned(), queue("events")),
        ("TRIBUTARY_DEAD_LETTER_QUEUE_URL".to_owned(), queue("dead")),
        ("TRIBUTARY_DEDUPE_WINDOW".to_owned(), "1d".to_owned()),
    ];
    for text in files {
        let loaded = Config::load(Some(file(text).path()), environment.clone());
        assert_eq!(loaded.err(), None, "{text}");
    }
}

/// An event of Snyk's audit log, with where the rules of its own integration lead it.
struct Case {
    what: &'static str,
    event: Value,
    to: &'static [&'static str],
}

/// Existing rules, row by row; each in both spellings where there are two.
fn cases() -> Vec<Case> {
    const AFTER: &str = "2026-03-01T10:00:00.123Z";
    const AFTER_V1: &str = "2026-03-01 10:00:00.123";
    const BEFORE: &str = "2025-12-31T23:59:59.999Z";
    const BOTH: &[&str] = &[ORG_CHANNEL, GROUP_CHANNEL];
    let rest = |created: &str, ids: &Value| merged(&json!({ "content": {}, "created": created }), ids);
    let case = |what, event, to| Case { what, event, to };
    vec![
        case("org.own.rest", rest(AFTER, &json!({ "org_id": ORG, "user_id": "u" })), BOTH),
        case("org.own.v1", rest(AFTER_V1, &json!({ "orgId": ORG, "groupId": GROUP, "userId": "u" })), BOTH),
        case("org.own.v1.elsewhere", rest(AFTER_V1, &json!({ "orgId": ORG, "groupId": null })), BOTH),
        case("group.own.rest", rest(AFTER, &json!({ "group_id": GROUP })), &[GROUP_CHANNEL]),
        case("group.own.v1", rest(AFTER_V1, &json!({ "groupId": GROUP, "orgId": null })), &[GROUP_CHANNEL]),
        case("org.sister.rest", rest(AFTER, &json!({ "org_id": SISTER })), &[GROUP_CHANNEL]),
        case(
            "org.sister.v1",
            rest(AFTER_V1, &json!({ "orgId": SISTER, "groupId": GROUP })),
            &[GROUP_CHANNEL],
        ),
        // A user of our organisation at work in another one.
        case("org.stranger.rest", rest(AFTER, &json!({ "org_id": STRANGER, "user_id": "u" })), &[]),
        case("org.stranger.v1", rest(AFTER_V1, &json!({ "orgId": STRANGER, "groupId": OTHER_GROUP })), &[]),
        case("group.other.v1", rest(AFTER_V1, &json!({ "groupId": OTHER_GROUP })), &[]),
        case(
            "org.joined.v1",
            rest(AFTER_V1, &json!({ "orgId": JOINED_LATER, "groupId": GROUP })),
            &[GROUP_CHANNEL],
        ),
        case("org.before.rest", rest(BEFORE, &json!({ "org_id": ORG })), &[]),
        case("group.before.v1", rest(BEFORE, &json!({ "groupId": GROUP })), &[]),
    ]
}

fn merged(one: &Value, two: &Value) -> Value {
    let members = [one, two].into_iter().filter_map(Value::as_object).flatten();
    Value::Object(members.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// The names of the events that one channel has, each of which must be there once.
async fn names_in(lake: &LakeClient, channel: &str) -> BTreeSet<String> {
    let query = EventQuery { limit: Some(1_000), ..EventQuery::default() };
    let page = lake.events(&query).await.expect("the lake answers");
    let mut names = BTreeSet::new();
    for event in page.events.iter().filter(|event| event.metadata.channel_arn == channel) {
        let data: Value = serde_json::from_str(event.event_data.get()).expect("JSON");
        let name = data["eventName"].as_str().expect("a name").to_owned();
        assert!(names.insert(name.clone()), "{name} is in {channel} twice");
    }
    names
}

/// The service with a configuration file, against local endpoints.
async fn worker(endpoints: &Endpoints, config: &NamedTempFile) -> Worker {
    let path = config.path().to_str().expect("a path of text");
    endpoints
        .worker(&[
            ("TRIBUTARY_CONFIG", path),
            ("TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN", ""),
            ("TRIBUTARY_DESTINATIONS_LAKE_REQUEST_TIMEOUT", ""),
            ("TRIBUTARY_SOURCE_VISIBILITY", "90s"),
            ("TRIBUTARY_DEDUPE_LEASE", "90s"),
        ])
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_recipe_for_snyk_leads_each_event_where_its_own_integration_would() {
    let channel = |arn: &str, id: &str| ChannelSpec { arn: arn.to_owned(), external_id: Some(id.to_owned()) };
    let channels = vec![channel(ORG_CHANNEL, ORG), channel(GROUP_CHANNEL, GROUP)];
    let endpoints = Endpoints::with(LocalOptions { channels, ..options() }).await;
    let config = file(fences("toml").last().expect("a recipe"));
    let worker = worker(&endpoints, &config).await;
    let cases = cases();
    let bodies: Vec<_> =
        cases.iter().map(|case| merged(&case.event, &json!({ "event": case.what })).to_string()).collect();
    endpoints.send(&bodies).await;
    // Once more, as a queue may: nothing is stored twice.
    endpoints.until_drained(&worker).await;
    endpoints.send(&bodies).await;
    endpoints.until_drained(&worker).await;

    let lake = LakeClient::new(&endpoints.local.lake_url()).expect("a lake's URL");
    for channel in [ORG_CHANNEL, GROUP_CHANNEL] {
        let expected = cases.iter().filter(|case| case.to.contains(&channel));
        let expected: BTreeSet<_> = expected.map(|case| case.what.to_owned()).collect();
        assert_eq!(names_in(&lake, channel).await, expected, "{channel}");
    }
    endpoints.assert_no_dead_letters().await;
    let scrape = worker.scrape().await;
    let filtered = |name: &str| scrape.sum_of("tributary_filtered_total", &format!("\"{name}\""));
    assert_eq!([filtered("snyk-org"), filtered("snyk-group"), filtered("none")], [2, 4, 6]);
    scrape.assert_at_rest();
    assert_eq!(worker.stop().await.code, Some(0));
}

const TWO_LAKES: &str = r#"
[source]
format_attribute = "format"

[destinations.blue]
channel_arn = "arn:aws:cloudtrail:us-east-1:123456789012:channel/11111111-2222-3333-4444-000000000001"
when = '$message.attributes.tenant == "blue"'
redact_mask = '.requestParameters.secret'
redact_drop = '.requestParameters.gone, .requestParameters.list[]?.gone?'

[destinations.large]
channel_arn = "arn:aws:cloudtrail:us-east-1:123456789012:channel/11111111-2222-3333-4444-000000000002"
when = '.requestParameters | .size + 1 > 5'
drop = '.requestParameters.boring'
"#;

fn event(uid: &str, time: &str, parameters: &Value) -> Value {
    json!({
        "version": "1.0", "userIdentity": { "type": "User", "principalId": "alice" },
        "eventSource": "a.example.com", "eventName": uid, "eventTime": time, "UID": uid,
        "requestParameters": parameters,
    })
}

/// Sends one message with attributes.
async fn send(endpoints: &Endpoints, event: &Value, attributes: &[(&str, &str)]) {
    let mut call = endpoints.sqs.send_message().queue_url(endpoints.local.queue_url(QUEUE));
    for (name, text) in attributes {
        let value = MessageAttributeValue::builder().data_type("String").string_value(*text).build();
        call = call.message_attributes(*name, value.expect("a type"));
    }
    call.message_body(event.to_string()).send().await.expect("the queue answers");
}

/// Takes all letters off their queue.
async fn letters(endpoints: &Endpoints) -> Vec<(Value, Message)> {
    let url = endpoints.local.queue_url(DEAD_LETTERS);
    let mut letters = Vec::new();
    loop {
        let call = endpoints.sqs.receive_message().queue_url(&url).message_attribute_names("All");
        let page = call.max_number_of_messages(10).send().await.expect("the queue answers");
        if page.messages().is_empty() {
            letters.sort_by_key(|(words, _): &(Value, Message)| words["event_id"].to_string());
            return letters;
        }
        for message in page.messages.unwrap_or_default() {
            let handle = message.receipt_handle.clone().expect("a handle");
            let call = endpoints.sqs.delete_message().queue_url(&url).receipt_handle(handle);
            call.send().await.expect("the queue answers");
            let words = message.message_attributes.as_ref().expect("attributes")["tributary.letter"].clone();
            let words = words.string_value().expect("text");
            letters.push((serde_json::from_str(words).expect("JSON"), message));
        }
    }
}

/// What letters say: reason and destination.
fn said<'a>(letters: &'a [(Value, Message)]) -> Vec<(&'a str, &'a str)> {
    let text = |words: &'a Value, name| words[name].as_str().unwrap_or_default();
    letters.iter().map(|(words, _)| (text(words, "reason"), text(words, "destination"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_failures_redaction_and_redriven_letters_go_their_ways() {
    const GOOD: &str = "2026-01-02T03:04:05Z";
    let endpoints = Endpoints::start().await;
    let config = file(TWO_LAKES);
    let worker = worker(&endpoints, &config).await;
    let secret = json!({ "size": 1, "secret": "xxxxxxxx", "gone": 1, "list": [{ "gone": 2, "kept": 1.50 }] });
    let blue = [("tenant", "blue")];
    send(&endpoints, &event("e1-to-blue", GOOD, &secret), &blue).await;
    send(&endpoints, &event("e2-to-large", GOOD, &json!({ "size": 7 })), &[]).await;
    send(&endpoints, &event("e3-to-both", GOOD, &json!({ "size": 7 })), &blue).await;
    send(&endpoints, &event("e4-to-none", GOOD, &json!({ "size": 1 })), &[]).await;
    send(&endpoints, &event("e5-boring", GOOD, &json!({ "size": 7, "boring": true })), &[]).await;
    send(&endpoints, &event("e6-fails-for-large", GOOD, &json!({ "size": "xxxxxxxx" })), &blue).await;
    send(&endpoints, &event("e7-no-time", "yesterday", &secret), &blue).await;
    send(&endpoints, &event("e8-is-no-record", GOOD, &json!({ "size": 7 })), &[("format", "cloudtrail")])
        .await;
    send(&endpoints, &event("e9-no-such-format", GOOD, &json!({ "size": 7 })), &[("format", "nosuch")]).await;
    endpoints.until_drained(&worker).await;

    let lake = LakeClient::new(&endpoints.local.lake_url()).expect("a lake's URL");
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(
        names_in(&lake, ORG_CHANNEL).await,
        names(&["e1-to-blue", "e3-to-both", "e6-fails-for-large"])
    );
    assert_eq!(names_in(&lake, GROUP_CHANNEL).await, names(&["e2-to-large", "e3-to-both"]));
    let row = endpoints.rows().await["e1-to-blue"][0]["requestParameters"].clone();
    assert_eq!(row, json!({ "size": 1, "secret": "[masked]", "list": [{ "kept": 1.50 }] }));

    let first = letters(&endpoints).await;
    let mut reasons = said(&first);
    reasons.sort_unstable();
    let expected = [
        ("bad_time", "blue"),
        ("no_id", "none"),
        ("no_route", "none"),
        ("route_failed", "large"),
        ("unknown_format", "none"),
    ];
    assert_eq!(reasons, expected);
    for (words, letter) in &first {
        let body = letter.body().expect("a body");
        assert!(!words.to_string().contains("xxxxxxxx"), "{words}");
        if words["reason"] == "bad_time" {
            assert!(body.contains("xxxxxxxx") && body.contains("\"gone\""), "a letter keeps the original");
        }
    }

    // Sent back as SQS does it: the letter's attributes, and none of the event's own.
    for (_, letter) in first {
        let call = endpoints.sqs.send_message().queue_url(endpoints.local.queue_url(QUEUE));
        let call = call.set_message_body(letter.body).set_message_attributes(letter.message_attributes);
        call.send().await.expect("the queue answers");
    }
    endpoints.until_drained(&worker).await;
    let second = letters(&endpoints).await;
    let mut reasons = said(&second);
    reasons.sort_unstable();
    assert_eq!(reasons, expected, "each as the first time, and nowhere else");
    let scrape = worker.scrape().await;
    assert_eq!((scrape.term("published"), scrape.term("filtered"), scrape.term("duplicate")), (5, 1, 0));
    scrape.assert_at_rest();
    assert_eq!(worker.stop().await.code, Some(0));
}
