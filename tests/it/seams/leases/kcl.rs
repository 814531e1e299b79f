//! A table that the Kinesis Client Library has written is taken over, and one that we have written can be taken back.
//! The judge is a program in Python that knows the library's rules, and nothing of ours.

use serde_json::{Value, json};
use tributary::receive::kinesis::{
    lease::{Change, ChangeError, Lease, LeaseTable as _, ShardId},
    position::Checkpoint,
};

use super::{Bench, at, worker};
use crate::support::python;

const SEQUENCE: &str = "49590338271490256608559692538361571095921575989136588898";

/// Lets the judge do this, one after the other; its answers.
async fn kcl(bench: &Bench, actions: Value) -> Vec<Value> {
    let asked = json!({"url": bench.url, "table": bench.table, "do": actions});
    let said = python::run("kcl_leases.py", &asked).await;
    serde_json::from_str(&said).expect("JSON")
}

fn shard(number: u32) -> ShardId {
    format!("shardId-{number:012}").into()
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_of_every_generation_of_the_library_are_read() {
    for bench in [Bench::dynoxide().await, Bench::ministack().await] {
        kcl(&bench, json!([["write", "leases", "others"]])).await;
        let leases = bench.leases.list().await.expect("listed");
        assert_eq!(leases.len(), 8, "{}: what is no lease is passed over: {leases:?}", bench.name);
        let lease = |number| Lease { counter: 12, switches: 1, ..Lease::new(shard(number), at(SEQUENCE, 0)) };
        let middle = 1_u128 << 127;
        let both = [shard(4), shard(5)];
        for expected in [
            Lease { owner: Some(worker("java-1")), parents: [shard(99)].into(), ..lease(0) },
            Lease {
                owner: Some(worker("java-2")),
                checkpoint: at(SEQUENCE, 17),
                hash_keys: Some(0..=middle - 1),
                ..lease(1)
            },
            Lease { owner: Some(worker("java-2")), hash_keys: Some(middle..=u128::MAX), ..lease(2) },
            Lease {
                checkpoint: Checkpoint::ShardEnd,
                children: both.into(),
                hash_keys: Some(0..=u128::MAX),
                ..lease(3)
            },
            Lease {
                checkpoint: Checkpoint::TrimHorizon,
                parents: [shard(3)].into(),
                hash_keys: Some(0..=99),
                counter: 0,
                switches: 0,
                ..lease(4)
            },
            Lease {
                owner: Some(worker("java-4")),
                checkpoint_owner: Some(worker("java-3")),
                parents: [shard(3)].into(),
                hash_keys: Some(100..=u128::MAX),
                ..lease(5)
            },
            Lease { checkpoint: Checkpoint::AtTimestamp(None), counter: 0, ..lease(6) },
            Lease { checkpoint: Checkpoint::Latest, counter: 0, ..lease(7) },
        ] {
            assert_eq!(leases.get(&expected.shard), Some(&expected), "{}", bench.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_library_held_is_taken_over_at_its_checkpoint_and_can_be_taken_back() {
    let bench = Bench::dynoxide().await;
    kcl(&bench, json!([["write", "leases"]])).await;
    let (shard, me) = (shard(2), worker("me"));
    let seen = Some(worker("java-2"));
    let taken = Change::Take { shard: shard.clone(), seen, counter: 12, by: me.clone() };
    let taken = bench.change(&taken).await.expect("taken").expect("a lease");
    assert_eq!(taken.checkpoint, at(SEQUENCE, 0));
    // The library thought that it held it, and learns that it does not.
    let late = kcl(&bench, json!([["renew", &*shard, 12, false], ["checkpoint", &*shard, 12, "1", 0]])).await;
    assert_eq!(late, [json!(false), json!(false)]);

    let moved = Some(at("49590338271490256608559692538361571095921575989136599999", 4));
    let kept = Change::Keep { shard: shard.clone(), holder: me.clone(), counter: 13, checkpoint: moved };
    bench.change(&kept).await.expect("kept");
    let [read, back] = &kcl(&bench, json!([["read", &*shard], ["take", &*shard, 14, "java-9"]])).await[..]
    else {
        panic!("two answers")
    };
    assert_eq!(read["owner"], "me");
    assert_eq!(read["checkpoint"], "49590338271490256608559692538361571095921575989136599999");
    assert_eq!((&read["sub"], &read["counter"], &read["switches"]), (&json!(4), &json!(14), &json!(0)));
    assert_eq!(read["pending"], Value::Null, "what was about to be checkpointed is behind us");
    assert_eq!(*back, json!(true));
    let kept = Change::Keep { shard, holder: me, counter: 14, checkpoint: None };
    assert!(bench.change(&kept).await.is_err(), "the library has it now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_off_goes_from_the_library_to_us_and_from_us_to_the_library() {
    let bench = Bench::dynoxide().await;
    kcl(&bench, json!([["write", "leases"]])).await;
    let (to_us, me) = (shard(1), worker("me"));
    let asked = Change::Ask { shard: to_us.clone(), holder: worker("java-2"), to: Some(me.clone()) };
    bench.change(&asked).await.expect("asked");
    // It may still renew, once it has seen that it was asked; then it makes its checkpoint and lets go.
    let said = kcl(
        &bench,
        json!([
            ["renew", &*to_us, 12, false],
            ["renew", &*to_us, 12, true],
            ["checkpoint", &*to_us, 13, SEQUENCE, 18],
            ["evict", &*to_us, "me", "java-2"]
        ]),
    )
    .await;
    assert_eq!(said, [false, true, true, true].map(Value::from));
    let ours = bench.leases.find(&to_us).await.expect("looked").expect("a lease");
    assert_eq!((ours.holder(), &ours.checkpoint, ours.counter), (Some(&me), &at(SEQUENCE, 18), 15));

    assert_eq!(kcl(&bench, json!([["hand_off", &*to_us, "me", "java-3"]])).await, [json!(true)]);
    let (shard, holder) = (to_us.clone(), me.clone());
    let kept = Change::Keep { shard, holder, counter: 15, checkpoint: None };
    let kept = bench.change(&kept).await.expect("still ours").expect("a lease");
    assert!(kept.is_asked_for());
    let checkpoint = Some(at(SEQUENCE, 19));
    let (shard, counter) = (to_us.clone(), 16);
    let left = Change::Leave { shard, holder: me, counter, is_asked_for: true, checkpoint };
    bench.change(&left).await.expect("left");
    let read = kcl(&bench, json!([["read", &*to_us]])).await.remove(0);
    assert_eq!((&read["owner"], &read["checkpoint_owner"]), (&json!("java-3"), &Value::Null));
    assert_eq!((&read["checkpoint"], &read["sub"]), (&json!(SEQUENCE), &json!(19)));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_lease_that_we_write_is_one_for_the_library() {
    let bench = Bench::dynoxide().await;
    let checkpoints = [
        Checkpoint::TrimHorizon,
        Checkpoint::Latest,
        Checkpoint::AtTimestamp(Some(1_700_000_000_000)),
        at(SEQUENCE, 0),
        Checkpoint::ShardEnd,
    ];
    for (number, checkpoint) in (0..).zip(checkpoints) {
        let new = Lease {
            owner: (number % 2 == 0).then(|| worker("me")),
            parents: [shard(90), shard(91)].into_iter().take(number as usize % 3).collect(),
            hash_keys: (number != 1).then_some(0..=u128::MAX),
            started_ms: Some(5),
            ..Lease::new(shard(number), checkpoint)
        };
        bench.create(&new).await;
        let read = kcl(&bench, json!([["read", &*new.shard]])).await.remove(0);
        assert_eq!(read["kind"], "LEASE");
        assert_eq!(read["checkpoint"], new.checkpoint.written().0);
        assert_eq!(read["owner"].as_str(), new.owner.as_deref());
        assert_eq!(read["parents"], json!(new.parents.iter().map(|it| &**it).collect::<Vec<_>>()));
    }
    let children = [shard(6), shard(7)].into();
    let ended = Change::End { shard: shard(0), holder: worker("me"), counter: 0, children };
    bench.change(&ended).await.expect("ended");
    let read = kcl(&bench, json!([["read", &*shard(0)]])).await.remove(0);
    assert_eq!((&read["checkpoint"], &read["owner"]), (&json!("SHARD_END"), &Value::Null));
    assert_eq!(read["children"], json!([&*shard(6), &*shard(7)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_several_streams_is_refused_with_its_name() {
    let bench = Bench::dynoxide().await;
    kcl(&bench, json!([["write", "leases", "multi-stream"]])).await;
    let failed = bench.leases.list().await.expect_err("listed");
    let text = failed.to_string();
    assert!(!failed.is_transient() && failed.code() == "no_lease", "{failed:?}");
    for part in [&*bench.table, "leaseKey", "this stream alone"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let shard: ShardId = "111122223333:audit:1700000000:shardId-000000000000".into();
    let kept = Change::Keep { shard, holder: worker("me"), counter: 12, checkpoint: None };
    assert!(!matches!(bench.leases.change(&kept).await, Ok(_) | Err(ChangeError::Call(_))), "touched");
}
