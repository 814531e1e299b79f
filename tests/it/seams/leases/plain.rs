//! Items of the table in this test's own words: written a second time, so that a slip in the code under test shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::{
    primitives::Blob,
    types::AttributeValue::{self, B, M, N, S, Ss},
};
use tributary::receive::kinesis::{
    lease::{Lease, ShardId},
    position::Checkpoint,
};

pub(super) type Item = HashMap<String, AttributeValue>;

/// What a lease looks like.
pub(super) fn item(lease: &Lease) -> Item {
    let (checkpoint, sub) = match &lease.checkpoint {
        Checkpoint::TrimHorizon => ("TRIM_HORIZON".to_owned(), 0),
        Checkpoint::Latest => ("LATEST".to_owned(), 0),
        Checkpoint::AtTimestamp(_) => ("AT_TIMESTAMP".to_owned(), 0),
        Checkpoint::At(position) => (position.sequence.as_str().to_owned(), position.sub),
        Checkpoint::ShardEnd => ("SHARD_END".to_owned(), 0),
    };
    let mut item = BTreeMap::from([
        ("leaseKey", S(lease.shard.to_string())),
        ("entityType", S("LEASE".to_owned())),
        ("leaseCounter", N(lease.counter.to_string())),
        ("ownerSwitchesSinceCheckpoint", N(lease.switches.to_string())),
        ("checkpoint", S(checkpoint)),
        ("checkpointSubSequenceNumber", N(sub.to_string())),
    ]);
    let set = |shards: &BTreeSet<ShardId>| Ss(shards.iter().map(ToString::to_string).collect());
    if let Some(owner) = &lease.owner {
        item.insert("leaseOwner", S(owner.to_string()));
    }
    if let Some(owner) = &lease.checkpoint_owner {
        item.insert("checkpointOwner", S(owner.to_string()));
    }
    if !lease.parents.is_empty() {
        item.insert("parentShardId", set(&lease.parents));
    }
    if !lease.children.is_empty() {
        item.insert("childShardIds", set(&lease.children));
    }
    if let Some(keys) = &lease.hash_keys {
        item.insert("startingHashKey", S(keys.start().to_string()));
        item.insert("endingHashKey", S(keys.end().to_string()));
    }
    if let Some(ms) = lease.started_ms {
        item.insert("tributaryStartedMs", N(ms.to_string()));
    }
    item.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// With what other programs keep in the same item, of yesterday or of tomorrow.
pub(super) fn foreign(mut item: Item) -> Item {
    let nested = HashMap::from([("x".to_owned(), S("y".to_owned()))]);
    item.extend([
        ("throughputKBps".to_owned(), N("12.5".to_owned())),
        ("ofTomorrow".to_owned(), M(nested)),
        ("pendingCheckpoint".to_owned(), S("4711".to_owned())),
        ("pendingCheckpointSubSequenceNumber".to_owned(), N("1".to_owned())),
        ("pendingCheckpointState".to_owned(), B(Blob::new("state"))),
    ]);
    item
}

/// Without what says that a checkpoint is about to be made.
pub(super) fn without_pending(mut item: Item) -> Item {
    item.retain(|name, _| !name.starts_with("pendingCheckpoint"));
    item
}

/// Sets have no order.
pub(super) fn sorted(mut item: Item) -> Item {
    for value in item.values_mut() {
        if let Ss(texts) = value {
            texts.sort();
        }
    }
    item
}
