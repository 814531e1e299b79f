use super::*;
use crate::{
    aws::Aws,
    config::{ForeignRecords, Start, StreamArn, StreamConfig},
    metrics::Metrics,
    receive::kinesis::{
        KinesisSource,
        lease::{Lease, ShardId},
        position::Checkpoint,
    },
};

/// A worker that calls nobody, and holds this shard.
fn holding(shard: &ShardId) -> Arc<Shared> {
    let nowhere = "http://127.0.0.1:1";
    let config = StreamConfig {
        arn: StreamArn::parse("arn:aws:kinesis:us-east-1:111122223333:stream/audit").unwrap(),
        lease_table: "leases".to_owned(),
        start: Start::TrimHorizon,
        failover_time: 10 * WAIT,
        calls_per_second: 1,
        consumer_arn: None,
        foreign_records: ForeignRecords::Deliver,
    };
    let source = KinesisSource::new(&Aws::local(nowhere, nowhere), &config, "me", Metrics::new().unwrap());
    let lease = Lease { owner: Some("me".into()), ..Lease::new(shard.clone(), Checkpoint::TrimHorizon) };
    source.shared.with(|state| state.begin(lease, Instant::now()));
    source.shared
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_ends_when_a_shard_is_due_leaves_its_turn_to_the_next() {
    let shared = holding(&"s".into());
    let until = Instant::now() + WAIT;
    shared.with(|state| {
        let mut turn = state.turn(Instant::now()).expect("ready");
        state.turn_ended(&mut turn, until);
    });
    assert!(shared.poll().await.expect("an idle poll").is_empty());
    assert!(Instant::now() >= until);
    assert!(shared.with(|state| state.turn(Instant::now())).is_some(), "it would never be read again");
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_dropped_half_way_lets_the_shard_be_read_again() {
    let shared = holding(&"s".into());
    let now = Instant::now();
    let turn = shared.with(|state| state.turn(now)).expect("ready");
    let reading = Reading { shared: shared.clone(), turn, due: now };
    assert!(shared.with(|state| state.turn(now)).is_none());
    drop(reading);
    assert!(shared.with(|state| state.turn(now)).is_some());
}
