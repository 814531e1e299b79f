//! One item of the lease table, without any I/O. In: attributes. Out: a [`Lease`], and attributes again.
//!
//! The layout is that of the Kinesis Client Library 3, so that a team can come from it and go back to it:
//! <https://github.com/awslabs/amazon-kinesis-client>, `DynamoDBLeaseSerializer`. What we do not know is left as it is;
//! what is ours alone begins with `tributary`.
//!
//! ```text
//! leaseKey                      S   the shard                  (partition key)
//! leaseOwner                    S   absent: nobody's
//! checkpointOwner               S   who holds it until it has left
//! leaseCounter                  N
//! ownerSwitchesSinceCheckpoint  N
//! checkpoint                    S   a sequence number, TRIM_HORIZON, LATEST, AT_TIMESTAMP or SHARD_END
//! checkpointSubSequenceNumber   N
//! parentShardId, childShardIds  SS
//! startingHashKey, endingHashKey S  decimal
//! entityType                    S   LEASE; other items of the table are not leases
//! tributaryStartedMs            N   the time that AT_TIMESTAMP means
//! ```

use std::{
    collections::{BTreeSet, HashMap},
    ops::RangeInclusive,
    str::FromStr,
};

use aws_sdk_dynamodb::types::AttributeValue;

use super::{Lease, ShardId};
use crate::receive::kinesis::position::Checkpoint;

pub(super) type Attributes = HashMap<String, AttributeValue>;

pub(super) const KEY: &str = "leaseKey";
pub(super) const OWNER: &str = "leaseOwner";
pub(super) const CHECKPOINT_OWNER: &str = "checkpointOwner";
pub(super) const COUNTER: &str = "leaseCounter";
pub(super) const SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const SUB_SEQUENCE: &str = "checkpointSubSequenceNumber";
pub(super) const PARENTS: &str = "parentShardId";
pub(super) const CHILDREN: &str = "childShardIds";
pub(super) const FIRST_HASH_KEY: &str = "startingHashKey";
pub(super) const LAST_HASH_KEY: &str = "endingHashKey";
pub(super) const ENTITY: &str = "entityType";
pub(super) const STARTED_MS: &str = "tributaryStartedMs";
/// What the KCL writes of a checkpoint that it is about to make. Of no meaning once another is made.
pub(super) const PENDING: [&str; 3] =
    ["pendingCheckpoint", "pendingCheckpointSubSequenceNumber", "pendingCheckpointState"];

/// `entityType` of a lease. Tables of the KCL before 3.5 hold nothing else, and no such attribute.
const LEASE: &str = "LEASE";
/// How the names of all shards begin. In a table of several streams their names come first, and none of ours fits.
const SHARD_START: &str = "shardId-";

/// Why an item cannot be read: the name of the attribute, never its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) &'static str);

pub(super) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// `Ok(None)`: an item of another kind, which tables of the KCL hold beside leases.
pub(super) fn read(attributes: &Attributes) -> Result<Option<Lease>, Unreadable> {
    if text_of(attributes, ENTITY)?.is_some_and(|entity| entity != LEASE) {
        return Ok(None);
    }
    let key = text_of(attributes, KEY)?.filter(|key| key.starts_with(SHARD_START)).ok_or(Unreadable(KEY))?;
    let started_ms = number_of(attributes, STARTED_MS)?;
    let sub = number_of(attributes, SUB_SEQUENCE)?.unwrap_or(0);
    let checkpoint = text_of(attributes, CHECKPOINT)?.ok_or(Unreadable(CHECKPOINT))?;
    let checkpoint = Checkpoint::read(checkpoint, sub, started_ms).ok_or(Unreadable(CHECKPOINT))?;
    Ok(Some(Lease {
        owner: text_of(attributes, OWNER)?.map(Into::into),
        checkpoint_owner: text_of(attributes, CHECKPOINT_OWNER)?.map(Into::into),
        counter: number_of(attributes, COUNTER)?.unwrap_or(0),
        switches: number_of(attributes, SWITCHES)?.unwrap_or(0),
        parents: texts_of(attributes, PARENTS)?,
        children: texts_of(attributes, CHILDREN)?,
        hash_keys: hash_keys(attributes)?,
        started_ms,
        ..Lease::new(key.into(), checkpoint)
    }))
}

/// The whole item of a new lease.
pub(super) fn written(lease: &Lease) -> Attributes {
    let mut item = Attributes::from([
        (KEY.to_owned(), text(&*lease.shard)),
        (ENTITY.to_owned(), text(LEASE)),
        (COUNTER.to_owned(), number(lease.counter)),
        (SWITCHES.to_owned(), number(lease.switches)),
    ]);
    let mut add = |name: &str, value: Option<AttributeValue>| {
        item.extend(value.map(|value| (name.to_owned(), value)));
    };
    let (checkpoint, sub) = lease.checkpoint.written();
    add(CHECKPOINT, Some(text(checkpoint)));
    add(SUB_SEQUENCE, Some(number(sub)));
    add(OWNER, lease.owner.as_deref().map(text));
    add(CHECKPOINT_OWNER, lease.checkpoint_owner.as_deref().map(text));
    add(PARENTS, set(&lease.parents));
    add(CHILDREN, set(&lease.children));
    add(FIRST_HASH_KEY, lease.hash_keys.as_ref().map(|keys| text(keys.start().to_string())));
    add(LAST_HASH_KEY, lease.hash_keys.as_ref().map(|keys| text(keys.end().to_string())));
    add(STARTED_MS, lease.started_ms.map(number));
    item
}

/// `None`: DynamoDB has no empty sets.
pub(super) fn set(shards: &BTreeSet<ShardId>) -> Option<AttributeValue> {
    let names: Vec<String> = shards.iter().map(ToString::to_string).collect();
    (!names.is_empty()).then_some(AttributeValue::Ss(names))
}

fn text_of<'a>(attributes: &'a Attributes, name: &'static str) -> Result<Option<&'a str>, Unreadable> {
    match attributes.get(name) {
        None | Some(AttributeValue::Null(_)) => Ok(None),
        Some(AttributeValue::S(text)) => Ok(Some(text)),
        Some(_) => Err(Unreadable(name)),
    }
}

fn texts_of(attributes: &Attributes, name: &'static str) -> Result<BTreeSet<ShardId>, Unreadable> {
    match attributes.get(name) {
        None | Some(AttributeValue::Null(_)) => Ok(BTreeSet::new()),
        Some(AttributeValue::Ss(texts)) => Ok(texts.iter().map(|text| text.as_str().into()).collect()),
        Some(_) => Err(Unreadable(name)),
    }
}

fn number_of(attributes: &Attributes, name: &'static str) -> Result<Option<u64>, Unreadable> {
    match attributes.get(name) {
        None | Some(AttributeValue::Null(_)) => Ok(None),
        Some(AttributeValue::N(digits)) => digits.parse().map(Some).map_err(|_| Unreadable(name)),
        Some(_) => Err(Unreadable(name)),
    }
}

fn hash_keys(attributes: &Attributes) -> Result<Option<RangeInclusive<u128>>, Unreadable> {
    let key = |name| -> Result<Option<u128>, Unreadable> {
        let digits = text_of(attributes, name)?;
        digits.map(|digits| u128::from_str(digits).map_err(|_| Unreadable(name))).transpose()
    };
    Ok(key(FIRST_HASH_KEY)?.zip(key(LAST_HASH_KEY)?).map(|(first, last)| first..=last))
}
