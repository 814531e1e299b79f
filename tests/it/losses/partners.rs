//! What other publishers to the lake were shown to lose or double when something fails.

use std::fs;

use serde_json::{Value, json};
use tributary::{limits::SQS_BYTES_MAX, local::Faults};

use super::way::{Way, failing_once, in_one, one_by_one};
use crate::support::valkey::Valkey;

/// An event of GitHub.
fn push(number: usize) -> Value {
    json!({
        "@timestamp": 1_770_000_000_000_u64 + number as u64, "_document_id": format!("doc-{number}"),
        "action": "git.push", "actor": "alice", "actor_ip": "192.0.2.8", "org": "example", "repo": "example/tool",
    })
}

/// An event of GitHub that says no time, and so has no place in the lake.
fn push_without_time(number: usize) -> Value {
    let mut event = push(number);
    event.as_object_mut().expect("an object").remove("@timestamp");
    event
}

/// A request that Kong audited.
fn request(number: usize) -> Value {
    json!({
        "request_id": format!("OjKonG{number:026}"), "method": "GET", "path": format!("/services/{number}"),
        "client_ip": "192.0.2.8", "rbac_user_id": null, "request_timestamp": 1_770_000_000 + number, "status": 200,
        "payload": null, "removed_from_payload": null, "signature": null, "ttl": 2_591_995, "workspace": "w-1",
    })
}

/// A Kubernetes audit event.
fn pod(number: usize) -> Value {
    json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "stage": "ResponseComplete",
        "auditID": format!("d976bfc6-0000-4000-8000-{number:012}"), "verb": "get", "userAgent": "kubectl/v1.30",
        "requestURI": format!("/api/v1/namespaces/default/pods/web-{number}"),
        "user": { "username": "alice", "groups": ["system:authenticated"] }, "sourceIPs": ["192.0.2.8"],
        "objectRef": { "resource": "pods", "namespace": "default", "name": format!("web-{number}") },
        "responseStatus": { "code": 200 }, "requestReceivedTimestamp": "2026-02-03T04:05:06.789123Z",
    })
}

fn some(event: fn(usize) -> Value, count: usize) -> Vec<Value> {
    (0..count).map(event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_entries_of_a_200_are_sent_again() {
    for code in ["Throttling", "InternalFailure"] {
        let faults =
            Faults { fail_share: 0.3, fail_code: code.to_owned(), seed: Some(12), ..Faults::default() };
        let way = Way::begin(faults, &[]).await;
        let events = some(push, 40);
        way.carry(&in_one(&events)).await;
        assert!(way.status().failed_entries[code] >= 5, "the fault was there");
        way.assert_each_once(&events).await;
        way.misbehave(Faults::default());
        way.assert_again_adds_nothing(&one_by_one(&events), 40).await;
        way.assert_no_letters().await;
        way.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_is_refused_for_good_is_a_letter_and_not_a_log_line() {
    let way = Way::begin(failing_once(2, "InvalidData"), &[]).await;
    let mut events = some(push, 5);
    let bodies = in_one(&events);
    way.carry(&bodies).await;
    let refused = events.remove(2);
    way.assert_each_once(&events).await;
    way.assert_again_adds_nothing(&bodies, 5).await;
    let letters = way.letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!((&*letters[0].reason, &letters[0].original), ("refused", &refused));
    way.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_fails_as_a_whole_doubles_nothing() {
    let faults = Faults { error_share: 1.0, ..Faults::default() };
    let way = Way::begin(faults, &[("TRIBUTARY_BATCH_EVENTS_MAX", "10")]).await;
    let events = some(push, 30);
    way.send(&in_one(&events)).await;
    way.until_put("InternalFailure", 3).await;
    way.misbehave(Faults::default());
    way.until_settled().await;
    way.assert_each_once(&events).await;
    way.assert_again_adds_nothing(&one_by_one(&events), 30).await;
    way.assert_no_letters().await;
    way.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_cannot_be_mapped_does_not_spoil_its_neighbours() {
    let way = Way::begin(Faults::default(), &[]).await;
    let (mut good, bad) = (some(push, 9), push_without_time(9));
    let all = [&good[..4], std::slice::from_ref(&bad), &good[4..]].concat();
    way.carry(&in_one(&all)).await;
    way.assert_each_once(&good).await;
    assert_eq!(way.scrape().await.sum("tributary_messages_received_total"), 1, "it came once");
    way.assert_again_adds_nothing(&one_by_one(&all), 10).await;
    let letters = way.letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!((&*letters[0].reason, &letters[0].original), ("mapping_failed", &bad));
    // Nothing of it is remembered that would keep out what comes later.
    let later = push(10);
    way.carry(&in_one(std::slice::from_ref(&later))).await;
    good.push(later);
    way.assert_each_once(&good).await;
    way.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_message_makes_no_other_come_again() {
    let way = Way::begin(Faults::default(), &[]).await;
    let good = some(push, 9);
    let mut bodies = one_by_one(&good);
    bodies.insert(3, push_without_time(9).to_string());
    way.carry(&bodies).await;
    way.assert_each_once(&good).await;
    let scrape = way.scrape().await;
    scrape.assert_at_rest();
    assert_eq!(scrape.sum("tributary_messages_received_total"), 10, "each came once, the bad one too");
    assert_eq!((scrape.term("dead_lettered"), scrape.term("duplicate"), scrape.term("returned")), (1, 0, 0));
    way.assert_again_adds_nothing(&bodies, 10).await;
    way.end().await;
}

/// An event that is small in a message and large on the wire, where every quotation mark is escaped once more: a
/// hundred of them are more than one request may hold.
fn push_with_quotes(number: usize) -> Value {
    let mut event = push(number);
    event["commit"] = json!("\"".repeat(3_000));
    event
}

/// A body of exactly as many bytes as a queue carries.
fn largest_message() -> (Vec<Value>, String) {
    let count = SQS_BYTES_MAX / (push_with_quotes(1_000).to_string().len() + 1) - 1;
    let events = some(push_with_quotes, count);
    let body = json!({ "Records": events }).to_string();
    let padding = " ".repeat(SQS_BYTES_MAX - body.len());
    (events, body + &padding)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_as_large_as_a_queue_allows_is_published_whole() {
    let way = Way::begin(Faults::default(), &[]).await;
    let (events, body) = largest_message();
    assert!(body.len() == 1 << 20 && events.len() > 150, "{} events", events.len());
    let bodies = [body];
    way.carry(&bodies).await;
    way.assert_each_once(&events).await;
    assert!(way.status().puts.keys().eq(["Accepted"]), "no request is too large: {:?}", way.status().puts);
    way.assert_again_adds_nothing(&bodies, events.len() as u64).await;
    way.assert_no_letters().await;
    way.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_more_than_one_mib_is_published_whole() {
    let way = Way::begin(Faults::default(), &[]).await;
    let events = some(push_with_quotes, 300);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("audit.json.log");
    fs::write(&file, one_by_one(&events).join("\n")).expect("written");
    assert!(file.metadata().expect("a file").len() > 3 << 19);
    for _ in 0..2 {
        way.enqueue(file.to_str().expect("a path")).await;
        way.until_settled().await;
        way.assert_each_once(&events).await;
    }
    assert_eq!(way.scrape().await.term("duplicate"), 300);
    way.assert_no_letters().await;
    way.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_250_events_in_one_message_all_arrive() {
    let way = Way::begin(Faults::default(), &[]).await;
    let events = some(pod, 250);
    way.carry(&in_one(&events)).await;
    way.assert_each_once(&events).await;
    way.assert_again_adds_nothing(&one_by_one(&events), 250).await;
    way.assert_no_letters().await;
    way.end().await;
}

/// The ledger outlives the worker, as Kong's cache outlives a run; the lake is gone until the next run.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_is_not_seen_before_it_is_published() {
    let ledger = Valkey::start().await;
    let url = ledger.url();
    let more = [("TRIBUTARY_LEDGER_KIND", "valkey"), ("TRIBUTARY_LEDGER_URL", &*url)];
    let way = Way::begin(Faults { down: true, ..Faults::default() }, &more).await;
    let events = some(request, 8);
    way.send(&one_by_one(&events)).await;
    way.until_put("ConnectionClosed", 2).await;
    // The next page of the audit log, read in the next run, begins with the same entries.
    let way = way.restart().await;
    way.send(&one_by_one(&events)).await;
    way.misbehave(Faults::default());
    way.until_settled().await;
    way.assert_each_once(&events).await;
    assert_eq!(way.scrape().await.term("published"), 8);
    way.assert_again_adds_nothing(&in_one(&events), 8).await;
    way.assert_no_letters().await;
    way.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_without_an_id_is_a_letter_and_not_skipped() {
    let way = Way::begin(Faults::default(), &[("TRIBUTARY_SOURCE_FORMAT", "generic")]).await;
    let named = json!({"id": "n-1", "action": "Login", "user": "alice", "timestamp": 1_770_000_001});
    let nameless = json!({"action": "Upload", "user": "alice", "timestamp": 1_770_000_002});
    for _ in 0..2 {
        way.carry(&in_one(&[nameless.clone(), named.clone()])).await;
        way.assert_each_once(std::slice::from_ref(&named)).await;
    }
    // What cannot be told from its copy is not called one: each time it was sent there is a letter.
    let letters = way.letters().await;
    assert_eq!(letters.len(), 2);
    for letter in letters {
        assert_eq!((&*letter.reason, &letter.original), ("no_id", &nameless));
    }
    way.end().await;
}
