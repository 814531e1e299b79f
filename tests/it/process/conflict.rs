//! The same id with other content, under each policy.

use serde_json::json;

use super::{
    endpoints::{DEAD_LETTERS, Depth, Endpoints},
    records::{Event, events},
    worker::Worker,
};

/// One event, and another that claims to be it.
fn original_and_forgery() -> (Event, Event) {
    let original = events(11, 1).remove(0);
    let mut forgery = original.clone();
    forgery.value["eventName"] = json!("DeleteTrail");
    (original, forgery)
}

/// Sends the original, then the forgery twice. Gives back the worker and what is in the lake under the id.
async fn under(policy: &str, endpoints: &Endpoints) -> (Worker, Vec<serde_json::Value>) {
    let (original, forgery) = original_and_forgery();
    let worker = endpoints.worker(&[("TRIBUTARY_DEDUPE_ON_CONFLICT", policy)]).await;
    for event in [&original, &forgery, &forgery] {
        endpoints.send(&[event.value.to_string()]).await;
        endpoints.until_drained(&worker).await;
    }
    let rows = endpoints.rows().await.remove(&original.uid).expect("the original is there");
    assert_eq!(rows[0]["eventName"], original.value["eventName"], "the first one stays");
    (worker, rows)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_default_it_is_dead_lettered_once_with_both_hashes() {
    let endpoints = Endpoints::start().await;
    let (worker, rows) = under("dead-letter", &endpoints).await;
    assert_eq!(rows.len(), 1);
    let scrape = worker.scrape().await;
    assert_eq!((scrape.term("dead_lettered"), scrape.term("duplicate")), (1, 1));
    assert_eq!(scrape.sum("tributary_id_conflicts_total"), 2);
    assert_eq!(endpoints.depth(DEAD_LETTERS).await, Depth { visible: 1, hidden: 0 });

    let call = endpoints.sqs.receive_message().queue_url(endpoints.local.queue_url(DEAD_LETTERS));
    let letters = call.message_attribute_names("All").send().await.expect("the queue answers");
    let letter = &letters.messages()[0];
    let attributes = letter.message_attributes.as_ref().expect("attributes");
    let reason = attributes["tributary.reason"].string_value().expect("text");
    assert_eq!(reason, "id_conflict");
    let words = attributes["tributary.letter"].string_value().expect("text");
    let hashes: Vec<_> =
        words.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == 32).collect();
    assert!(hashes.len() == 2 && hashes[0] != hashes[1], "{words}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_count_as_a_duplicate() {
    let endpoints = Endpoints::start().await;
    let (worker, rows) = under("duplicate", &endpoints).await;
    assert_eq!(rows.len(), 1);
    let scrape = worker.scrape().await;
    assert_eq!((scrape.term("dead_lettered"), scrape.term("duplicate")), (0, 2));
    assert_eq!(scrape.sum("tributary_id_conflicts_total"), 2);
    endpoints.assert_no_dead_letters().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_published_as_well_and_once() {
    let endpoints = Endpoints::start().await;
    let (worker, rows) = under("publish", &endpoints).await;
    assert_eq!(rows.len(), 2);
    assert_eq!(rows[1]["eventName"], "DeleteTrail");
    let scrape = worker.scrape().await;
    assert_eq!((scrape.term("published"), scrape.term("duplicate")), (2, 1));
    endpoints.assert_no_dead_letters().await;
}
