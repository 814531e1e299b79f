//! What leases can be and what can be wished of them: all of both, as far as the rules tell them apart.

use tributary::receive::kinesis::{
    lease::{Change, Lease, ShardId},
    position::Checkpoint,
};

use super::{at, worker};

/// As each lease has it.
const COUNTER: u64 = 7;

/// Longer than 64 bits, as all real ones are.
fn sequence() -> Checkpoint {
    at("49590338271490256608559692538361571095921575989136588898", 3)
}

/// Everything that a lease can be, as far as the rules ask: each holder, asked for or not, and each kind of checkpoint.
pub(super) fn states(shard: &ShardId) -> Vec<Option<Lease>> {
    let workers = [None, Some(worker("a")), Some(worker("b"))];
    let mut states = vec![None];
    for owner in &workers {
        for checkpoint_owner in &workers {
            for checkpoint in [Checkpoint::TrimHorizon, sequence(), Checkpoint::ShardEnd] {
                states.push(Some(Lease {
                    owner: owner.clone(),
                    checkpoint_owner: checkpoint_owner.clone(),
                    counter: COUNTER,
                    switches: 2,
                    parents: ["shardId-1".into(), "shardId-2".into()].into(),
                    children: ["shardId-8".into()].into(),
                    hash_keys: Some(0..=u128::MAX),
                    started_ms: Some(1_700_000_000_000),
                    ..Lease::new(shard.clone(), checkpoint)
                }));
            }
        }
    }
    states
}

/// Every change, with expectations that hold for some state and with some that do not.
pub(super) fn changes(shard: &ShardId) -> Vec<Change> {
    let (a, b) = (worker("a"), worker("b"));
    let shard = || shard.clone();
    let new = Lease { parents: ["shardId-1".into()].into(), ..Lease::new(shard(), Checkpoint::TrimHorizon) };
    let mut changes = vec![Change::Create(new), Change::Delete { shard: shard() }];
    for seen in [None, Some(a.clone()), Some(b.clone())] {
        changes.push(Change::Take { shard: shard(), seen, counter: COUNTER, by: b.clone() });
    }
    // The first of each kind with a counter that is old.
    let moved = [None, Some(sequence()), Some(Checkpoint::AtTimestamp(Some(5)))];
    for (checkpoint, counter) in [(None, COUNTER - 1)].into_iter().chain(moved.map(|it| (it, COUNTER))) {
        for holder in [a.clone(), b.clone()] {
            changes.push(Change::Keep {
                shard: shard(),
                holder: holder.clone(),
                counter,
                checkpoint: checkpoint.clone(),
            });
            for is_asked_for in [false, true] {
                let (holder, checkpoint) = (holder.clone(), checkpoint.clone());
                changes.push(Change::Leave { shard: shard(), holder, counter, is_asked_for, checkpoint });
            }
        }
    }
    for (children, counter) in
        [(vec![], COUNTER - 1), (vec![], COUNTER), (vec!["shardId-4".into(), "shardId-5".into()], COUNTER)]
    {
        let children = children.into_iter().collect();
        changes.push(Change::End { shard: shard(), holder: a.clone(), counter, children });
    }
    for (checkpoint, counter) in [
        (Checkpoint::TrimHorizon, COUNTER - 1),
        (Checkpoint::TrimHorizon, COUNTER),
        (Checkpoint::Latest, COUNTER),
        (Checkpoint::AtTimestamp(Some(9)), COUNTER),
        (Checkpoint::AtTimestamp(None), COUNTER),
        (at("12", 0), COUNTER),
    ] {
        changes.push(Change::Set { shard: shard(), counter, checkpoint });
    }
    for holder in [a.clone(), b.clone()] {
        for to in [None, Some(a.clone()), Some(b.clone())] {
            changes.push(Change::Ask { shard: shard(), holder: holder.clone(), to });
        }
    }
    changes
}
