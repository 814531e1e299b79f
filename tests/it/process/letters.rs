//! The dead-letter commands, as an operator uses them: the real binary beside the real service and real queues.

mod export;
mod fifo;
mod looks;
mod redrive;
mod ten_reasons;

use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use serde_json::Value;
use tributary::local::Faults;

use super::{
    endpoints::{DEAD_LETTERS, Depth, Endpoints},
    records::{Event, events, messages},
    worker::Worker,
};
use crate::support::program::{self, Ran};

/// The binary's `dlq`, with what points the service at its queues.
async fn dlq(environment: &[(String, String)], arguments: &[&str]) -> Ran {
    tributary(environment, &[&["dlq"], arguments].concat()).await
}

async fn tributary(environment: &[(String, String)], arguments: &[&str]) -> Ran {
    program::run(arguments, &borrowed(environment)).await
}

fn borrowed(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    environment.iter().map(|(name, value)| (&**name, &**value)).collect()
}

/// The letters that `dlq ls` finds.
async fn ls(environment: &[(String, String)], which: &[&str]) -> Vec<Value> {
    let ran = dlq(environment, &[&["ls", "--json", "--limit", "10000"], which].concat()).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    ran.json()["letters"].as_array().expect("letters").clone()
}

/// So many events that the lake has refused, and whose cause is cured: the service still runs, with the ledger in which
/// they are dead-lettered.
async fn cured_after_refusal(seed: u64, count: usize) -> (Endpoints, Worker, Vec<Event>) {
    let refusing = Faults {
        fail_share: 1.0,
        fail_code: "InvalidData".to_owned(),
        seed: Some(seed),
        ..Faults::default()
    };
    let (endpoints, events) = (Endpoints::misbehaving(refusing).await, events(seed, count));
    let worker = endpoints.worker(&[("TRIBUTARY_BREAKER_DEAD_LETTER_SHARE", "1")]).await;
    endpoints.send(&messages(&events, 1..=4, seed)).await;
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.depth(DEAD_LETTERS).await, Depth { visible: count as u64, hidden: 0 });
    endpoints.misbehave(Faults::default());
    (endpoints, worker, events)
}

/// A body with its text attributes.
type Put<'a> = (String, Vec<(&'a str, String)>);

/// Bodies with text attributes, put on the dead-letter queue by hand.
async fn put(endpoints: &Endpoints, letters: &[Put<'_>]) {
    for ten in letters.chunks(10) {
        let entry = |(at, (body, attributes)): (usize, &Put<'_>)| {
            let entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(body);
            let entry = attributes.iter().fold(entry, |entry, (name, text)| {
                let value = MessageAttributeValue::builder().data_type("String").string_value(text).build();
                entry.message_attributes(*name, value.expect("a value"))
            });
            entry.build().expect("an entry")
        };
        let entries = ten.iter().enumerate().map(entry).collect();
        let call = endpoints.sqs.send_message_batch().queue_url(endpoints.local.queue_url(DEAD_LETTERS));
        let answer = call.set_entries(Some(entries)).send().await.expect("the queue answers");
        assert!(answer.failed.is_empty(), "{:?}", answer.failed);
    }
}
