//! Events that were dead-lettered for ten reasons, and one message that the queue's own redrive policy moved: found, explained,
//! cured and sent back with the commands alone, on queues that we did not write.

use std::{collections::BTreeMap, path::Path};

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Value, json};
use tributary::{failure::Reason, local::Faults};

use super::{dlq, ls, tributary};
use crate::{
    process::{endpoints::Endpoints, records::Event, worker::Worker},
    support::queues::{QueueServer, on_servers},
};

on_servers! { fauxqs = Fauxqs: found_explained_cured_and_back }
on_servers! { ministack = Ministack: found_explained_cured_and_back }

/// With these settings half of the events fail, and without them those are in order.
const MISTAKEN: &[(&str, &str)] = &[
    (
        "TRIBUTARY_DESTINATIONS_LAKE_WHEN",
        r#"if .eventName == "Boom" then error("boom") else .eventName != "Unrouted" end"#,
    ),
    ("TRIBUTARY_DESTINATIONS_LAKE_OVERSIZE", "reject"),
    ("TRIBUTARY_DESTINATIONS_LAKE_REDACT_DROP", ".requestParameters.secret.part"),
];

/// What was sent, and what has to be changed in it so that it can be published.
struct Case {
    reason: &'static str,
    sent: String,
    cured: Event,
}

fn event(uid: &str, changes: &Value) -> Value {
    let mut event = json!({
        "version": "1.0",
        "userIdentity": { "type": "User", "principalId": "p-1" },
        "eventSource": "ledger.example.com",
        "eventName": "Approve",
        "eventTime": "2024-03-01T08:15:04Z",
        "UID": uid,
    });
    for (key, value) in changes.as_object().expect("an object") {
        event[key] = value.clone();
    }
    event
}

/// Cured by the configuration: the event stays.
fn ours(reason: &'static str, changes: &Value) -> Case {
    let value = event(&format!("u-{reason}"), changes);
    Case { reason, sent: value.to_string(), cured: Event::of(value) }
}

/// Cured in the event.
fn producers(reason: &'static str, spoil: impl Fn(String) -> String) -> Case {
    let value = event(&format!("u-{reason}"), &json!({}));
    Case { reason, sent: spoil(value.to_string()), cured: Event::of(value) }
}

fn by_configuration() -> Vec<Case> {
    vec![
        ours("refused", &json!({})),
        ours("no_route", &json!({ "eventName": "Unrouted" })),
        ours("route_failed", &json!({ "eventName": "Boom" })),
        ours("field_rejected", &json!({ "errorMessage": "e".repeat(300) })),
        ours("redact_failed", &json!({ "requestParameters": { "secret": "a text" } })),
    ]
}

fn by_event() -> Vec<Case> {
    vec![
        producers("not_json", |text| text[..text.len() - 1].to_owned()),
        producers("duplicate_key", |text| text.replacen('{', r#"{"eventName":"Other","#, 1)),
        producers("missing_field", |text| text.replace("ledger.example.com", "")),
        producers("bad_time", |text| text.replace("2024-03-01T08:15:04Z", "yesterday")),
        producers("field_too_long", |text| text.replace("Approve", &"A".repeat(2_000))),
    ]
}

struct Place {
    endpoints: Endpoints,
    environment: Vec<(String, String)>,
    source: String,
    letters: String,
}

impl Place {
    async fn new(server: &QueueServer) -> Self {
        let endpoints = Endpoints::start().await;
        let (source, letters) = (server.queue(&[]).await, server.queue(&[]).await);
        let environment = endpoints.environment(&[
            ("AWS_ENDPOINT_URL_SQS", &server.url()),
            ("TRIBUTARY_SOURCE_QUEUE_URL", &source),
            ("TRIBUTARY_DEAD_LETTER_QUEUE_URL", &letters),
            ("TRIBUTARY_BREAKER_DEAD_LETTER_SHARE", "1"),
        ]);
        Self { endpoints, environment, source, letters }
    }

    async fn worker(&self, more: &[(&str, &str)]) -> Worker {
        let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Worker::start(&self.environment.iter().cloned().chain(more).collect::<Vec<_>>()).await
    }

    async fn until_count(&self, server: &QueueServer, worker: &Worker, count: usize) {
        worker
            .until(&format!("{count} letters, and nothing else is left"), async |_: &Worker| {
                let is_there =
                    server.count(&self.letters).await == count && server.count(&self.source).await == 0;
                is_there.then_some(())
            })
            .await;
    }
}

async fn found_explained_cured_and_back(server: &QueueServer) {
    let place = Place::new(server).await;
    let (ours, producers) = (by_configuration(), by_event());
    let cases: Vec<&Case> = ours.iter().chain(&producers).collect();
    dead_letter(server, &place, &cases).await;
    let moved = Event::of(event("u-moved", &json!({})));
    let text = moved.value.to_string();
    move_by_policy(server, &place.letters, &text).await;

    let counted = dlq(&place.environment, &["stats", "--json"]).await;
    assert_eq!(counted.code, 0, "{server}: {}", counted.err);
    let mut expected: BTreeMap<&str, u64> = cases.iter().map(|case| (case.reason, 1)).collect();
    expected.insert("moved_by_queue", 1);
    assert_eq!(counted.json()["reason"], json!(expected), "{server}");
    explain(server, &place, &cases).await;

    let folder = tempfile::tempdir().expect("a folder");
    let worker = place.worker(&[]).await;
    for case in &producers {
        send_corrected(&place, case, folder.path()).await;
    }
    let dry = dlq(&place.environment, &["redrive", "--to-queue", &place.source, "--dry-run", "--json"]).await;
    assert_eq!((dry.code, &dry.json()["redriven"]), (0, &json!(6)), "{server}: {}", dry.err);
    assert_eq!(server.count(&place.letters).await, 6, "{server}: a dry run sends nothing");
    let back = dlq(&place.environment, &["redrive", "--to-queue", &place.source, "--json"]).await;
    assert_eq!((back.code, &back.json()["redriven"]), (0, &json!(6)), "{server}: {} {}", back.out, back.err);

    place.endpoints.until_stored(&worker, 11).await;
    place.until_count(server, &worker, 0).await;
    let mut all: Vec<Event> = cases.iter().map(|case| case.cured.clone()).collect();
    all.push(moved);
    assert_eq!(place.endpoints.assert_all_stored(&all).await, 0, "{server}: events that are there twice");
    worker.scrape().await.assert_at_rest();
}

/// Each for its reason, by a service whose configuration is mistaken.
async fn dead_letter(server: &QueueServer, place: &Place, cases: &[&Case]) {
    let worker = place.worker(MISTAKEN).await;
    let (refused, others) = cases.split_first().expect("cases");
    let refusing = Faults { fail_share: 1.0, fail_code: "InvalidData".to_owned(), ..Faults::default() };
    place.endpoints.misbehave(refusing);
    crate::process::send(&server.client(), &place.source, std::slice::from_ref(&refused.sent)).await;
    place.until_count(server, &worker, 1).await;
    place.endpoints.misbehave(Faults::default());
    let bodies: Vec<_> = others.iter().map(|case| case.sent.clone()).collect();
    crate::process::send(&server.client(), &place.source, &bodies).await;
    place.until_count(server, &worker, cases.len()).await;
    let ended = worker.stop().await;
    assert_eq!(ended.code, Some(0), "{server}: {}", ended.log);
    assert_eq!(place.endpoints.stored(), 0, "{server}");
}

/// A message that was received once too often, from another queue with the same dead-letter queue.
async fn move_by_policy(server: &QueueServer, letters: &str, body: &str) {
    let sqs = server.client();
    let asked = sqs.get_queue_attributes().queue_url(letters).attribute_names(QueueAttributeName::QueueArn);
    let told = asked.send().await.expect("the queue answers").attributes.unwrap_or_default();
    let policy = json!({ "deadLetterTargetArn": told[&QueueAttributeName::QueueArn], "maxReceiveCount": 1 });
    let other = server.queue(&[(QueueAttributeName::RedrivePolicy, &policy.to_string())]).await;
    let before = server.count(letters).await;
    sqs.send_message().queue_url(&other).message_body(body).send().await.expect("the queue answers");
    while server.count(letters).await == before {
        server.receive(&other, 0, 0).await;
    }
}

/// Every letter is found by its reason, and shown with its event and what would cure it.
async fn explain(server: &QueueServer, place: &Place, cases: &[&Case]) {
    for case in cases {
        let found = ls(&place.environment, &["--reason", case.reason]).await;
        let [letter] = &*found else { panic!("{server}: {}: {found:?}", case.reason) };
        let id = letter["letter"].as_str().expect("an id");
        let shown = dlq(&place.environment, &["show", id, "--json"]).await;
        assert_eq!(shown.code, 0, "{server}: {}", shown.err);
        let shown = &shown.json()[0];
        let reason = Reason::of_code(case.reason).expect("a reason");
        assert_eq!((&shown["reason"], &shown["cure"]), (&json!(case.reason), &json!(reason.cure())));
        assert_eq!(shown["original"], case.sent, "{server}: {}", case.reason);
        assert!(shown["detail"].as_str().is_some_and(|detail| detail.len() > 10), "{shown}");
    }
    // What has an id of its own, and was rejected after that was known, is found by it.
    let shown = dlq(&place.environment, &["show", "u-field_rejected"]).await;
    for part in
        ["field_rejected, at the stage validate", "what is wrong", "cure", "oversize = \"move\"", "eeee"]
    {
        assert!(shown.out.contains(part), "{server}: {part}: {}{}", shown.out, shown.err);
    }
    let missing = dlq(&place.environment, &["show", "nobody"]).await;
    assert_eq!(missing.code, 3, "{server}");
}

/// The event as it was, corrected in a file, sent as any event, and its letter purged.
async fn send_corrected(place: &Place, case: &Case, folder: &Path) {
    let found = ls(&place.environment, &["--reason", case.reason]).await;
    let id = found[0]["letter"].as_str().expect("an id");
    let original = dlq(&place.environment, &["show", id, "--original"]).await;
    assert_eq!((original.code, &original.out), (0, &case.sent), "{}", original.err);
    let file = folder.join(format!("{}.json", case.reason));
    std::fs::write(&file, case.cured.value.to_string()).expect("a file");
    let sent = tributary(&place.environment, &["enqueue", file.to_str().expect("a path")]).await;
    assert_eq!(sent.code, 0, "{}", sent.err);
    let export = folder.join(format!("{}.ndjson", case.reason));
    let export = export.to_str().expect("a path");
    let purged =
        dlq(&place.environment, &["purge", "--event-id", id, "--to", export, "--yes", "--json"]).await;
    assert_eq!((purged.code, &purged.json()["deleted"]), (0, &json!(1)), "{}", purged.err);
}
