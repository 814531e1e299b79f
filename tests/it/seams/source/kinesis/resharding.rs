//! Shards that split and merge: parents before children, to the end and no further.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::{sleep, timeout};

use super::{super::promises::bodies, *};
use crate::support::kinesis::{is_closed, range};

/// How long a test looks whether something comes that must not.
const WHILE: Duration = Duration::from_secs(1);

/// Polls until this has happened, and a while longer.
async fn assert_nothing_comes(
    place: &StreamPlace,
    worker: &Worker,
    until: impl Future<Output = ()>,
    why: &str,
) {
    let then = async {
        until.await;
        sleep(WHILE).await;
    };
    tokio::select! {
        () = then => {}
        polled = worker.source.receive() => panic!("{place}: {why}: {:?}", polled.map(|it| bodies(&it))),
    }
}

async fn children_wait_until_all_of_their_parent_is_settled(ground: &Ground) {
    let place = ground.place(1).await;
    let parent = place.stream.open_shards().await.pop().expect("one shard");
    for number in 0..3 {
        place.stream.put("key", format!("before {number}")).await;
    }
    let children = place.stream.split(&parent).await;
    place.stream.put_at(Some(0), "key", "low").await;
    place.stream.put_at(Some(u128::MAX), "key", "high").await;
    let worker = Worker::at(&place);
    let before = worker.receive(3).await;
    assert_eq!(bodies(&before), ["before 0", "before 1", "before 2"], "{place}");
    worker.ack(&before[1..]).await;
    // The children are known by now, and wait.
    let known = place.until_lease(&children[1], "checkpoint", |it| it == Some("TRIM_HORIZON"));
    assert_nothing_comes(&place, &worker, known, "a child came before the end of its parent").await;
    worker.ack(&before[..1]).await;
    let after: BTreeSet<_> = bodies(&worker.receive(2).await).into_iter().collect();
    assert_eq!(after, BTreeSet::from(["high".to_owned(), "low".to_owned()]), "{place}");
    assert_eq!(place.lease(&parent, "checkpoint").await.as_deref(), Some("SHARD_END"), "{place}");
    let named = place.lease(&parent, "childShardIds").await.unwrap_or_default();
    assert_eq!(
        named.split(' ').collect::<BTreeSet<_>>(),
        children.iter().map(|it| &**it).collect(),
        "{place}"
    );
    assert_eq!(place.lease(&parent, "leaseOwner").await, None, "{place}: nobody holds what is done");
    assert_eq!(place.lease(&children[0], "parentShardId").await, Some(parent), "{place}");
}

async fn a_merge_waits_for_both_parents(ground: &Ground) {
    let place = ground.place(2).await;
    let [low, high] = &place.stream.open_shards().await[..] else { panic!("{place}: not two shards") };
    place.stream.put_at(Some(0), "key", "low").await;
    place.stream.put_at(Some(u128::MAX), "key", "high").await;
    let child = place.stream.merge(low, high).await;
    place.stream.put("key", "after").await;
    let worker = Worker::at(&place);
    let before = worker.receive(2).await;
    let (done, open): (Vec<_>, Vec<_>) = before.into_iter().partition(|message| message.body == "low");
    worker.ack(&done).await;
    let ended = place.until_lease(low, "checkpoint", |it| it == Some("SHARD_END"));
    assert_nothing_comes(&place, &worker, ended, "the child came before the end of its other parent").await;
    worker.ack(&open).await;
    let after = worker.one().await;
    assert_eq!(after.body, "after", "{place}");
    assert!(after.handle.message_id.contains(&child), "{place}");
}

/// Puts the next number of each partition key.
async fn put_round(stream: &Stream, round: usize) {
    let records = (0..20).map(|key| (format!("key {key}"), format!("{key} {round}").into_bytes()));
    stream.put_many(&records.collect::<Vec<_>>()).await;
}

async fn whatever_becomes_of_shards_each_record_comes_once_and_in_the_order_of_its_key(ground: &Ground) {
    let place = ground.place(2).await;
    let rounds = 12;
    let worker = Worker::at(&place);
    let stream = place.stream.clone();
    let resharding = async {
        for round in 0..rounds {
            put_round(&stream, round).await;
            // Split, split, merge: shards come and go, some of them without a record.
            let mut open = stream.shards().await;
            open.retain(|shard| !is_closed(shard));
            open.sort_by_key(|shard| range(shard).0);
            if round % 3 == 2 {
                stream.merge(&open[0].shard_id, &open[1].shard_id).await;
            } else {
                stream.split(&open[round % open.len()].shard_id).await;
            }
        }
    };
    let reading = async {
        let mut came: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        while came.values().map(Vec::len).sum::<usize>() < 20 * rounds {
            let messages = worker.source.receive().await.unwrap_or_else(|error| panic!("{place}: {error}"));
            for body in bodies(&messages) {
                let (key, round) = body.split_once(' ').expect("a key and a number");
                came.entry(key.to_owned()).or_default().push(round.parse().expect("a number"));
            }
            worker.ack(&messages).await;
        }
        came
    };
    let patience = Duration::from_secs(90);
    let both = timeout(patience, async { tokio::join!(resharding, reading) }).await;
    let ((), came) = both.unwrap_or_else(|_| panic!("{place}: not all came"));
    for (key, numbers) in came {
        assert_eq!(numbers, (0..rounds).collect::<Vec<_>>(), "{place}: key {key}");
    }
}

on_grounds! {
    ferrokinesis = Ferrokinesis, Polling:
        children_wait_until_all_of_their_parent_is_settled,
        a_merge_waits_for_both_parents,
        whatever_becomes_of_shards_each_record_comes_once_and_in_the_order_of_its_key;
    ferrokinesis_fan_out = Ferrokinesis, FanOut:
        children_wait_until_all_of_their_parent_is_settled,
        a_merge_waits_for_both_parents,
        whatever_becomes_of_shards_each_record_comes_once_and_in_the_order_of_its_key;
    kinesis_local = KinesisLocal, Polling:
        children_wait_until_all_of_their_parent_is_settled,
        a_merge_waits_for_both_parents,
        whatever_becomes_of_shards_each_record_comes_once_and_in_the_order_of_its_key;
}
