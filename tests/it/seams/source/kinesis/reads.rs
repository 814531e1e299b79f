//! Reads that bring nothing, come too late or are refused, and records without a partition key.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use super::{super::promises::bodies, *};
use crate::support::{kinesis::Options, scripted::Scripted};

/// Longest wait for anything that has to happen.
const PATIENCE: Duration = Duration::from_secs(30);

async fn records_of_one_partition_key_come_in_order_each_once(ground: &Ground) {
    let place = ground.place(3).await;
    let records = (0..1_500).map(|at| (format!("key {}", at % 30), format!("{}", at / 30).into_bytes()));
    place.stream.put_many(&records.collect::<Vec<_>>()).await;
    let worker = Worker::at(&place);
    let mut came: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for message in worker.receive(1_500).await {
        assert_eq!(*message.about.source, *place.stream.name, "{place}");
        let key = message.about.group.as_deref().unwrap_or_else(|| panic!("{place}: no partition key"));
        let body = bodies(std::slice::from_ref(&message)).remove(0);
        came.entry(key.to_owned()).or_default().push(body);
    }
    assert_eq!(came.len(), 30, "{place}");
    for (key, numbers) in came {
        assert_eq!(numbers, (0..50).map(|at| at.to_string()).collect::<Vec<_>>(), "{place}: {key}");
    }
}

async fn what_is_put_while_a_poll_waits_comes_with_it(ground: &Ground) {
    let place = ground.place(1).await;
    let shard = place.stream.open_shards().await.pop().expect("one shard");
    let worker = Worker::at(&place);
    let putting = async {
        place.until_lease(&shard, "leaseOwner", |it| it.is_some()).await;
        // Some reads are over by then, and brought nothing.
        sleep(Duration::from_secs(2)).await;
        place.stream.put("key", "at last").await;
    };
    let (message, ()) = tokio::join!(worker.source.receive(), putting);
    assert_eq!(bodies(&message.expect("a poll")), ["at last"], "{place}");
}

async fn what_is_given_back_holds_up_nothing_but_the_checkpoint(ground: &Ground) {
    let place = ground.place(1).await;
    let shard = place.stream.open_shards().await.pop().expect("one shard");
    let mut puts = Vec::new();
    for number in 0..4 {
        puts.push(place.stream.put("key", format!("{number}")).await.sequence);
    }
    let worker = Worker::at(&place);
    let received = worker.receive(4).await;
    worker.give_back(&received[1..2], Duration::from_secs(3)).await;
    worker.ack(&received[..1]).await;
    worker.ack(&received[2..]).await;
    place.stream.put("key", "4").await;
    let next = worker.one().await;
    assert_eq!(next.body, "4", "{place}: what comes later does not wait");
    worker.ack(&[next]).await;
    place.until_lease(&shard, "checkpoint", |it| it == Some(&puts[0])).await;
    let again = worker.one().await;
    assert_eq!((bodies(std::slice::from_ref(&again)), again.attempt), (vec!["1".to_owned()], 2), "{place}");
    assert_eq!(place.lease(&shard, "checkpoint").await.as_ref(), Some(&puts[0]), "{place}");
    worker.ack(&[again]).await;
    let last = place.stream.read(&shard).await.records.pop().expect("five").sequence_number;
    place.until_lease(&shard, "checkpoint", |it| it == Some(&last)).await;
}

/// Puts so many, one when the one before has come, so that each is read by a read of its own.
async fn one_after_the_other(place: &StreamPlace, worker: &Worker, count: usize) {
    for number in 0..count {
        place.stream.put("key", format!("{number}")).await;
        let message = worker.one().await;
        assert_eq!(bodies(std::slice::from_ref(&message)), [number.to_string()], "{place}");
        worker.ack(&[message]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iterator_that_expired_is_made_again_where_it_was() {
    // As soon as the idle rest of a shard has passed.
    let server = StreamServer::start_with(Options { iterator_seconds: 1, ..Options::default() }).await;
    let place = Ground { server, way: Way::Polling }.place(1).await;
    let (source, metrics) = source(&place.aws(), &place.config());
    let worker = Worker::with(Arc::new(source), &place);
    let expired = || count(&metrics, "tributary_source_errors_total", "ExpiredIteratorException");
    let idle = async {
        while expired() < 2 {
            let polled = timeout(Duration::from_millis(100), worker.source.receive()).await;
            assert!(polled.is_err(), "{place}: nothing is there");
        }
    };
    timeout(PATIENCE, idle).await.expect("an iterator expires before the first record");
    one_after_the_other(&place, &worker, 5).await;
    let before = expired();
    let idle = async {
        while expired() < before + 2 {
            let polled = timeout(Duration::from_millis(100), worker.source.receive()).await;
            assert!(polled.is_err(), "{place}: a record came again");
        }
    };
    timeout(PATIENCE, idle).await.expect("an iterator expires after the last record");
    one_after_the_other(&place, &worker, 1).await;
}

/// All but every third read fails with this status and code.
async fn reads_fail(ground: &Ground, status: u16, code: &'static str) {
    let place = ground.place(1).await;
    let url = place.ground.server.url();
    let front = Scripted::before(&url, move |call| {
        let is_failing = ["GetRecords", "GetShardIterator"].contains(&&*call.action) && call.nth % 3 != 2;
        is_failing.then(|| (status, json!({"__type": code, "message": "scripted"})))
    });
    let front = front.await;
    let (worker, metrics) = place.by(front.url());
    for number in 0..10 {
        place.stream.put("key", format!("{number}")).await;
    }
    let mut came = Vec::new();
    let reading = async {
        while came.len() < 10 {
            match worker.source.receive().await {
                Ok(messages) => came.extend(bodies(&messages)),
                Err(error) => assert!(error.is_transient(), "{place}: {error:?}"),
            }
        }
    };
    timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("{place}: the reads never end"));
    assert_eq!(came, (0..10).map(|number| number.to_string()).collect::<Vec<_>>(), "{place}");
    assert!(count(&metrics, "tributary_source_errors_total", code) > 0, "{place}: not counted");
}

async fn throttled_reads_are_made_again(ground: &Ground) {
    reads_fail(ground, 400, "ProvisionedThroughputExceededException").await;
}

async fn failed_reads_are_made_again(ground: &Ground) {
    reads_fail(ground, 500, "InternalFailure").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_needs_no_partition_key_and_no_time() {
    let place = StreamPlace::on(Kind::Ferrokinesis, Way::Polling).await;
    let url = place.ground.server.url();
    let front = Scripted::before(&url, |call| {
        let records: Value = match (call.action.as_str(), call.nth) {
            ("GetRecords", 0) => json!([{"SequenceNumber": "100", "Data": "YmFyZQ=="}]),
            ("GetRecords", _) => json!([]),
            _ => return None,
        };
        Some((200, json!({"Records": records, "NextShardIterator": "next", "MillisBehindLatest": 0})))
    });
    let front = front.await;
    let worker = place.by(front.url()).0;
    let message = worker.one().await;
    assert_eq!(message.body, "bare");
    assert_eq!((message.about.group.as_deref(), message.sent_at), (None, None));
    worker.ack(&[message]).await;
    let shard = place.stream.open_shards().await.pop().expect("one shard");
    place.until_lease(&shard, "checkpoint", |it| it == Some("100")).await;
}

/// A second subscription within five seconds of the first is refused, and would cost the shard's budget of such calls.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_ends_early_is_not_made_again_at_once() {
    let server = StreamServer::start_with(Options { subscription_ms: 300, ..Options::default() }).await;
    let place = Ground { server, way: Way::FanOut }.place(1).await;
    let front = Scripted::before(&place.ground.server.url(), |_| None).await;
    let worker = place.by(front.url()).0;
    let began = Instant::now();
    for number in 0..3 {
        place.stream.put("key", format!("{number}")).await;
        assert_eq!(worker.one().await.body, format!("{number}"), "{place}");
        // The subscription is over by then.
        sleep(Duration::from_secs(1)).await;
    }
    let (calls, took) = (front.calls("SubscribeToShard").len(), began.elapsed().as_secs());
    assert!(calls as u64 <= took / 5 + 1, "{place}: {calls} subscriptions in {took} s");
}

on_grounds! {
    ferrokinesis = Ferrokinesis, Polling:
        records_of_one_partition_key_come_in_order_each_once,
        what_is_put_while_a_poll_waits_comes_with_it,
        what_is_given_back_holds_up_nothing_but_the_checkpoint,
        throttled_reads_are_made_again,
        failed_reads_are_made_again;
    ferrokinesis_fan_out = Ferrokinesis, FanOut:
        records_of_one_partition_key_come_in_order_each_once,
        what_is_put_while_a_poll_waits_comes_with_it,
        what_is_given_back_holds_up_nothing_but_the_checkpoint;
    kinesis_local = KinesisLocal, Polling:
        records_of_one_partition_key_come_in_order_each_once,
        what_is_put_while_a_poll_waits_comes_with_it,
        what_is_given_back_holds_up_nothing_but_the_checkpoint,
        throttled_reads_are_made_again,
        failed_reads_are_made_again;
}
