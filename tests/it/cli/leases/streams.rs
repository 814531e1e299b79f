//! What the commands ask of the stream itself, against two servers.

use tributary::{
    clock,
    config::{ForeignRecords, Start, StreamArn, StreamConfig},
    metrics::Metrics,
    receive::{Source as _, kinesis::KinesisSource},
};

use super::*;
use crate::support::kinesis::{StreamServer, aws_at, on_streams};

async fn the_lag_is_asked_of_the_stream(server: &StreamServer) {
    let stream = server.stream(2).await;
    let world = World::with_stream(server, &stream).await;
    let mut puts = Vec::new();
    for number in 0..6 {
        puts.push(stream.put(&format!("key-{number}"), "event").await);
    }
    let (behind, done) = (&puts[0].shard, puts.iter().map(|put| &put.shard).find(|it| **it != puts[0].shard));
    let done = done.unwrap();
    let last = puts.iter().rfind(|put| put.shard == *done).unwrap();
    world
        .create(Lease {
            owner: Some("a".into()),
            ..Lease::new(behind.as_str().into(), Checkpoint::TrimHorizon)
        })
        .await;
    world
        .create(Lease { owner: Some("a".into()), ..Lease::new(done.as_str().into(), at(&last.sequence, 0)) })
        .await;
    world.create(held(999, "a")).await;
    // For the whole seconds of one of the servers.
    sleep(Duration::from_millis(1_100)).await;
    let (code, told) = world.json(&["leases", "--lag"]).await;
    assert_eq!(code, 0, "{told}");
    let of = |shard: &str| {
        told["leases"].as_array().unwrap().iter().find(|it| it["shard"] == shard).cloned().unwrap()
    };
    let waited = of(behind)["behind_ms"].as_u64().unwrap_or_else(|| panic!("{server}: {told}"));
    assert!((100..60_000).contains(&waited), "{server}: {told}");
    assert_eq!(of(done)["behind_ms"], 0, "{server}: {told}");
    let gone = of(&shard(999));
    assert_eq!(gone["behind_unknown"], "ResourceNotFoundException", "{server}: {gone}");
    let (_, out, _) = world.run(&["leases", "--lag"]).await;
    assert!(out.contains("BEHIND") && out.contains("? (ResourceNotFoundException)"), "{out}");
}

/// What a worker reads next from the stream, and settles.
async fn read_on(world: &World, count: usize) -> Vec<String> {
    let config = StreamConfig {
        arn: StreamArn::parse(&world.stream).unwrap(),
        lease_table: world.table.clone(),
        start: Start::TrimHorizon,
        failover_time: FAILOVER,
        calls_per_second: 4,
        consumer_arn: None,
        foreign_records: ForeignRecords::Deliver,
    };
    let aws = aws_at(&world.kinesis, &world.server.url);
    let source = Arc::new(KinesisSource::new(&aws, &config, "reader/1", Metrics::new().unwrap()));
    let mut keeping = JoinSet::new();
    let kept = source.clone();
    keeping.spawn(async move { kept.keep_alive().await });
    let mut bodies = Vec::new();
    while bodies.len() < count {
        let messages = source.receive().await.unwrap();
        bodies.extend(messages.iter().map(|message| String::from_utf8(message.body.to_vec()).unwrap()));
        let handles: Vec<_> = messages.into_iter().map(|message| message.handle).collect();
        source.ack(&handles).await;
    }
    source.close().await;
    keeping.shutdown().await;
    bodies
}

async fn reading_goes_on_where_the_checkpoint_was_set(server: &StreamServer) {
    let stream = server.stream(1).await;
    let world = World::with_stream(server, &stream).await;
    let mut puts = Vec::new();
    for number in 0..5 {
        puts.push(stream.put("key", format!("event-{number}")).await);
    }
    let shard = puts[0].shard.clone();
    world
        .create(Lease {
            checkpoint: at(&puts[4].sequence, 0),
            ..Lease::new(shard.as_str().into(), Checkpoint::TrimHorizon)
        })
        .await;
    let set = ["checkpoint", "set", &shard, &puts[1].sequence, "--reason", "CHG-1"];
    let (code, out, err) = world.run(&set).await;
    assert_eq!((code, out.as_str()), (2, ""), "{server}: {err}");
    assert!(err.contains("AGAIN") && err.contains("add --yes"), "{server}: nobody is at a terminal: {err}");
    assert_eq!(world.find(&shard).await.checkpoint, at(&puts[4].sequence, 0), "{server}: untouched");

    let (code, out, err) = world.run(&[&set[..], &["--yes"]].concat()).await;
    assert_eq!(code, 0, "{server}: {err}");
    assert!(out.contains(&puts[4].sequence) && out.contains(&puts[1].sequence), "{server}: {out}");
    assert!(err.contains("CHG-1") && err.contains("operator:ada"), "{server}: who and why are logged: {err}");
    assert_eq!(read_on(&world, 3).await, ["event-2", "event-3", "event-4"], "{server}");
    let before = world.find(&shard).await;
    assert_eq!(before.checkpoint, at(&puts[4].sequence, 0), "{server}");

    // Whoever holds it loses it, and what was there before is not read again.
    world
        .leases
        .change(&Change::Take {
            shard: shard.as_str().into(),
            seen: None,
            counter: before.counter,
            by: "w".into(),
        })
        .await
        .unwrap();
    let begun = clock::Clock::system().now_ms();
    let (code, told) = world.json(&["checkpoint", "set", "all", "LATEST", "--reason", "x", "--yes"]).await;
    assert_eq!(code, 0, "{server}: {told}");
    let after = world.find(&shard).await;
    assert_eq!(after.holder(), None, "{server}");
    let Checkpoint::AtTimestamp(Some(ms)) = after.checkpoint else { panic!("{server}: {after:?}") };
    assert!((begun..begun + 60_000).contains(&ms), "{server}: {ms}");
    let (code, out, _) = world.run(&["checkpoint", "show"]).await;
    assert!(code == 0 && out.starts_with(&shard) && out.contains("AT_TIMESTAMP 20"), "{server}: {out}");

    let (code, _, err) =
        world.run(&["checkpoint", "set", "all", "TRIM_HORIZON", "--reason", "x", "--yes"]).await;
    assert_eq!(code, 0, "{server}: {err}");
    let all = ["event-0", "event-1", "event-2", "event-3", "event-4"];
    assert_eq!(read_on(&world, 5).await, all, "{server}");
}

/// The holder comes so far.
async fn moved(world: &World, shard: &str, checkpoint: Option<Checkpoint>) {
    let lease = world.find(shard).await;
    let (shard, holder, counter) = (lease.shard, lease.owner.unwrap(), lease.counter);
    world.leases.change(&Change::Keep { shard, holder, counter, checkpoint }).await.unwrap();
}

async fn whoever_is_asked_may_think_while_the_holder_goes_on(server: &StreamServer) {
    let stream = server.stream(1).await;
    let world = World::with_stream(server, &stream).await;
    let mut puts = Vec::new();
    for _ in 0..3 {
        puts.push(stream.put("key", "event").await);
    }
    let (shard, [first, second, third]) =
        (puts[0].shard.as_str(), [0, 1, 2].map(|number: usize| at(&puts[number].sequence, 0)));
    let owner = Some("worker-1/a".into());
    world.create(Lease { owner, ..Lease::new(shard.into(), first.clone()) }).await;
    let set = |to| ["checkpoint", "set", shard, to, "--reason", "CHG-1"];
    for answer in ["n", "", "no, wait"] {
        let (code, said) = world.run_by(answer, &set("TRIM_HORIZON"), async {}).await;
        assert!(code == 3 && said.contains("nothing was set"), "{server}: {said}");
    }
    assert_eq!(world.find(shard).await.checkpoint, first, "{server}");

    // What was to be skipped is done by then: it would be read again, which nobody has agreed to.
    let skip = set(&puts[1].sequence);
    let (code, said) = world.run_by("y", &skip, moved(&world, shard, Some(third.clone()))).await;
    assert!(code == 2 && said.contains("SKIPPED") && said.contains("look again"), "{server}: {said}");
    assert_eq!(world.find(shard).await.checkpoint, third, "{server}");

    let (code, said) = world.run_by("y", &skip, moved(&world, shard, None)).await;
    assert_eq!(code, 0, "{server}: {said}");
    for part in ["held by worker-1/a", &puts[2].sequence, &puts[1].sequence, "read AGAIN"] {
        assert!(said.contains(part), "{server}: {part}: {said}");
    }
    let lease = world.find(shard).await;
    assert_eq!((lease.holder(), &lease.checkpoint), (None, &second), "{server}");
}

async fn a_place_that_the_stream_does_not_know_is_not_written(server: &StreamServer) {
    let stream = server.stream(1).await;
    let world = World::with_stream(server, &stream).await;
    let put = stream.put("key", "event").await;
    let known = Lease::new(put.shard.as_str().into(), at(&put.sequence, 0));
    world.create(known.clone()).await;
    world.create(lease(999)).await;
    for (shard, place) in [(put.shard.as_str(), "4711"), (&shard(999), "TRIM_HORIZON")] {
        let (code, _, err) = world.run(&["checkpoint", "set", shard, place, "--reason", "x", "--yes"]).await;
        assert_eq!(code, 1, "{server}: {place}: {err}");
    }
    assert_eq!(world.find(&put.shard).await, known, "{server}");
    assert_eq!(world.find(&shard(999)).await, lease(999), "{server}");
}

on_streams! {
    ferrokinesis = Ferrokinesis:
        the_lag_is_asked_of_the_stream,
        reading_goes_on_where_the_checkpoint_was_set,
        whoever_is_asked_may_think_while_the_holder_goes_on,
        a_place_that_the_stream_does_not_know_is_not_written;
    kinesis_local = KinesisLocal:
        the_lag_is_asked_of_the_stream,
        reading_goes_on_where_the_checkpoint_was_set,
        a_place_that_the_stream_does_not_know_is_not_written;
}
