//! Workers that share a stream: who died is followed, who left is followed at once, and who lost a lease writes nothing
//! over its successor's work.

use std::{collections::BTreeMap, sync::Mutex};

use tokio::time::{Instant, timeout};

use super::{super::promises::bodies, *};

async fn a_worker_that_died_is_followed_from_its_checkpoint_on(ground: &Ground) {
    let place = ground.place(1).await;
    for number in 0..6 {
        place.stream.put("key", format!("{number}")).await;
    }
    let mut first = Worker::at(&place);
    let mut received = first.receive(6).await;
    let acked = received.remove(1);
    first.ack(&[acked]).await;
    let acked = received.remove(0);
    first.ack(&[acked]).await;
    // The fourth is done with, and stands behind one that is not.
    let acked = received.remove(1);
    let last = format!("{}/", place.stream.name);
    let shard = received[0].handle.message_id[last.len()..].split(':').next().expect("a shard").to_owned();
    first.ack(&[acked]).await;
    let second_put = place.stream.read(&shard).await.records.swap_remove(1).sequence_number;
    place.until_lease(&shard, "checkpoint", |it| it == Some(&second_put)).await;
    first.stall().await;
    drop(first);
    let began = Instant::now();
    let second = Worker::at(&place);
    assert_eq!(bodies(&second.receive(4).await), ["2", "3", "4", "5"], "{place}");
    let took = began.elapsed();
    assert!(took >= FAILOVER, "{place}: taken from the living after {took:?}");
    assert!(took < 3 * FAILOVER, "{place}: only after {took:?}");
}

async fn a_worker_that_left_is_followed_at_once(ground: &Ground) {
    let place = ground.place(1).await;
    let shard = place.stream.open_shards().await.pop().expect("one shard");
    let put = place.stream.put("key", "first").await;
    place.stream.put("key", "second").await;
    let first = Worker::at(&place);
    let received = first.receive(2).await;
    first.ack(&received[..1]).await;
    first.give_back(&received[1..], Duration::ZERO).await;
    first.leave().await;
    assert_eq!(place.lease(&shard, "leaseOwner").await, None, "{place}");
    assert_eq!(place.lease(&shard, "checkpoint").await, Some(put.sequence), "{place}");
    let began = Instant::now();
    assert_eq!(Worker::at(&place).one().await.body, "second", "{place}");
    assert!(began.elapsed() < FAILOVER, "{place}: only after {:?}", began.elapsed());
}

async fn who_lost_a_lease_writes_nothing_over_it(ground: &Ground) {
    let place = ground.place(1).await;
    let shard = place.stream.open_shards().await.pop().expect("one shard");
    place.stream.put("key", "first").await;
    let (source, metrics) = source(&place.aws(), &place.config());
    let worker = Worker::with(Arc::new(source), &place);
    let received = worker.receive(1).await;
    // Somebody takes it while the worker is sure to hold it, and has come further.
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let taken = place.leases.client().update_item().table_name(&place.table).key("leaseKey", text(&shard));
    let taken = taken.update_expression("SET leaseOwner = :o, checkpoint = :c ADD leaseCounter :n");
    let taken = taken
        .expression_attribute_values(":o", text("another"))
        .expression_attribute_values(":c", text("77"));
    taken.expression_attribute_values(":n", AttributeValue::N("1".to_owned())).send().await.expect("taken");
    worker.ack(&received).await;
    let lost = async {
        while count(&metrics, "tributary_leases_lost_total", "") == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(3 * FAILOVER, lost).await.unwrap_or_else(|_| panic!("{place}: it never notices"));
    worker.leave().await;
    assert_eq!(place.lease(&shard, "checkpoint").await.as_deref(), Some("77"), "{place}");
    assert_eq!(place.lease(&shard, "leaseOwner").await.as_deref(), Some("another"), "{place}");
}

async fn a_worker_that_joins_gets_its_share_and_no_record_comes_twice(ground: &Ground) {
    let place = ground.place(4).await;
    let shards = place.stream.open_shards().await;
    let put = |round: usize| {
        let records = (0..40).map(move |key| (format!("key {key}"), format!("{key} {round}").into_bytes()));
        records.collect::<Vec<_>>()
    };
    place.stream.put_many(&put(0)).await;
    let first = Worker::at(&place);
    let work = async |worker: &Worker, came: &Mutex<BTreeMap<String, usize>>| loop {
        let messages = worker.source.receive().await.unwrap_or_else(|error| panic!("{place}: {error}"));
        for body in bodies(&messages) {
            *came.lock().expect("nobody panicked").entry(body).or_default() += 1;
        }
        // Some are in flight for a while, also when another worker asks for their shard.
        tokio::time::sleep(Duration::from_millis(100)).await;
        worker.ack(&messages).await;
    };
    let came = Mutex::<BTreeMap<String, usize>>::default();
    let is_all = |rounds: usize| came.lock().expect("nobody panicked").len() == 40 * rounds;
    let owners = async || {
        let mut owners: BTreeMap<String, usize> = BTreeMap::new();
        for shard in &shards {
            if place.lease(shard, "checkpointOwner").await.is_none()
                && let Some(owner) = place.lease(shard, "leaseOwner").await
            {
                *owners.entry(owner).or_default() += 1;
            }
        }
        owners.into_values().collect::<Vec<_>>()
    };
    let watching = async {
        let mut rounds = 1;
        while owners().await != [2, 2] || !is_all(rounds) {
            if is_all(rounds) {
                place.stream.put_many(&put(rounds)).await;
                rounds += 1;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let second = async {
        // Joins when the first has everything.
        while owners().await != [4] {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        work(&Worker::at(&place), &came).await;
    };
    let all = Box::pin(async {
        tokio::select! {
            () = watching => {}
            never = work(&first, &came) => never,
            never = second => never,
        }
    });
    timeout(Duration::from_mins(1), all).await.unwrap_or_else(|_| panic!("{place}: no balance"));
    let twice: Vec<_> =
        came.into_inner().expect("nobody panicked").into_iter().filter(|(_, it)| *it > 1).collect();
    assert!(twice.is_empty(), "{place}: {twice:?}");
}

on_grounds! {
    ferrokinesis = Ferrokinesis, Polling:
        a_worker_that_died_is_followed_from_its_checkpoint_on,
        a_worker_that_left_is_followed_at_once,
        who_lost_a_lease_writes_nothing_over_it,
        a_worker_that_joins_gets_its_share_and_no_record_comes_twice;
    ferrokinesis_fan_out = Ferrokinesis, FanOut:
        a_worker_that_died_is_followed_from_its_checkpoint_on,
        a_worker_that_left_is_followed_at_once,
        who_lost_a_lease_writes_nothing_over_it,
        a_worker_that_joins_gets_its_share_and_no_record_comes_twice;
    kinesis_local = KinesisLocal, Polling:
        a_worker_that_died_is_followed_from_its_checkpoint_on,
        a_worker_that_left_is_followed_at_once,
        who_lost_a_lease_writes_nothing_over_it,
        a_worker_that_joins_gets_its_share_and_no_record_comes_twice;
}
