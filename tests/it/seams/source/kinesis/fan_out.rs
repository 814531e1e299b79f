//! Enhanced fan-out: records are sent, not asked for, and everything else is as it is with polls.

use std::collections::BTreeSet;

use super::{super::promises::bodies, *};
use crate::support::kinesis::{Options, on_streams};

/// A worker that follows the stream as this registered consumer.
async fn follower(place: &StreamPlace, consumer: &str) -> Worker {
    let consumer_arn = Some(place.stream.consumer(consumer).await);
    let config = StreamConfig { consumer_arn, ..place.config() };
    Worker::with(Arc::new(source(&place.aws(), &config).0), place)
}

async fn records_come_in_order_each_once_and_the_next_worker_goes_on(server: &StreamServer) {
    let place = StreamPlace::of(server, 2).await;
    let put = |from: usize, to: usize| (from..to).map(|at| ("key".to_owned(), format!("{at}").into_bytes()));
    place.stream.put_many(&put(0, 40).collect::<Vec<_>>()).await;
    let first = follower(&place, "first").await;
    let mut received = first.receive(40).await;
    place.stream.put_many(&put(40, 50).collect::<Vec<_>>()).await;
    received.extend(first.receive(10).await);
    let expected: Vec<_> = (0..50).map(|at| at.to_string()).collect();
    assert_eq!(bodies(&received), expected, "{place}");
    first.ack(&received[..45]).await;
    first.leave().await;
    // Another consumer: a server may hold the subscriptions of the one that has gone.
    let second = follower(&place, "second").await;
    let rest = second.receive(5).await;
    assert_eq!(bodies(&rest), expected[45..], "{place}: from the checkpoint on");
    second.leave().await;
}

on_streams! {
    ferrokinesis = Ferrokinesis: records_come_in_order_each_once_and_the_next_worker_goes_on;
    kinesis_local = KinesisLocal: records_come_in_order_each_once_and_the_next_worker_goes_on;
}

/// Subscriptions end after half a second, and this server begins each at the start of the shard.
#[tokio::test(flavor = "multi_thread")]
async fn one_subscription_follows_the_other_through_splits_and_merges() {
    let server = StreamServer::start_with(Options { subscription_ms: 500, ..Options::default() }).await;
    let place = StreamPlace::of(&server, 2).await;
    let worker = follower(&place, "follower").await;
    let mut expected = BTreeSet::new();
    let mut came = BTreeSet::new();
    for round in 0..4 {
        for at in 0..20 {
            let body = format!("{round} {at}");
            place.stream.put(&format!("key {at}"), body.clone()).await;
            expected.insert(body);
        }
        let open = place.stream.in_order().await;
        match round {
            0 => drop(place.stream.split(&open[0]).await),
            1 => drop(place.stream.merge(&open[0], &open[1]).await),
            _ => {}
        }
        let messages = worker.receive(20).await;
        came.extend(bodies(&messages));
        worker.ack(&messages).await;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
    assert_eq!(came, expected, "{place}");
    worker.leave().await;
}
