//! Long histories from a seed: what the table says at each step, and is at the end, is what the rules say.

use fastrand::Rng;
use tributary::receive::kinesis::{
    lease::{Change, Lease, LeaseTable as _, Leases, ShardId, WorkerId, changed},
    position::Checkpoint,
};

use super::{Bench, at, worker};

const SEEDS: u64 = 4;
const STEPS: u32 = 150;

pub(super) async fn a_long_history_ends_where_the_rules_say(bench: Bench) {
    let mut made = 0;
    for seed in 0..SEEDS {
        let mut rng = Rng::with_seed(seed);
        // Of its own for each seed, and few: so that they meet again and again.
        let shards: Vec<ShardId> =
            (0..3).map(|number| format!("shardId-{seed}-{number:012}").into()).collect();
        let mut leases = Leases::new();
        for step in 0..STEPS {
            let shard = &shards[rng.usize(..shards.len())];
            let found = leases.get(shard);
            let change = change(&mut rng, shard, found);
            let expected = changed(found, &change);
            assert_eq!(
                bench.change(&change).await,
                expected,
                "{}, seed {seed}, step {step}: {change:?} of {found:?}",
                bench.name
            );
            made += u32::from(expected.is_ok());
            match expected {
                Ok(Some(lease)) => drop(leases.insert(shard.clone(), lease)),
                Ok(None) => drop(leases.remove(shard)),
                Err(_) => {}
            }
        }
        let mut listed = bench.leases.list().await.expect("listed");
        listed.retain(|shard, _| shards.contains(shard));
        assert_eq!(listed, leases, "{}, seed {seed}", bench.name);
    }
    assert!(made > STEPS, "{}: only {made} changes were made", bench.name);
}

/// Mostly one that the lease as it is allows.
fn change(rng: &mut Rng, shard: &ShardId, found: Option<&Lease>) -> Change {
    let shard = shard.clone();
    let Some(found) = found else {
        return Change::Create(Lease { owner: anybody(rng), ..Lease::new(shard, Checkpoint::TrimHorizon) });
    };
    let is_right = rng.u8(..8) > 0;
    let seen = if is_right { found.holder().cloned() } else { anybody(rng) };
    let holder = seen.clone().unwrap_or_else(|| worker("a"));
    let counter = found.counter + u64::from(rng.u8(..8) == 0);
    let is_asked_for = found.is_asked_for() ^ (rng.u8(..8) == 0);
    let moved = rng.bool().then(|| at(&rng.u64(1..).to_string(), rng.u64(..3)));
    match rng.u8(..20) {
        0..4 => Change::Take { shard, seen, counter, by: somebody(rng) },
        4..7 => Change::Ask { shard, holder, to: anybody(rng) },
        7..13 => Change::Keep { shard, holder, counter, checkpoint: moved },
        13..17 => Change::Leave { shard, holder, counter, is_asked_for, checkpoint: moved },
        17 => {
            let children = (0..rng.usize(..3)).map(|number| format!("shardId-9{number}").into()).collect();
            Change::End { shard, holder, counter, children }
        }
        18 => {
            let checkpoints = [
                Checkpoint::Latest,
                Checkpoint::TrimHorizon,
                Checkpoint::AtTimestamp(Some(rng.u64(..1_000))),
                Checkpoint::AtTimestamp(None),
                Checkpoint::ShardEnd,
            ];
            let checkpoint = checkpoints[rng.usize(..checkpoints.len())].clone();
            Change::Set { shard, counter, checkpoint }
        }
        _ => Change::Delete { shard },
    }
}

fn somebody(rng: &mut Rng) -> WorkerId {
    worker(["a", "b", "c"][rng.usize(..3)])
}

fn anybody(rng: &mut Rng) -> Option<WorkerId> {
    (rng.u8(..4) > 0).then(|| somebody(rng))
}
