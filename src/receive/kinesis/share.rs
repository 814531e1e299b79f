//! Which leases this worker should have. In: the table as it was last looked at. Out: the leases to take and to ask
//! for. Pure.
//!
//! No worker leads. Each counts the leases and the workers that it sees, and works towards its own share: it takes what
//! is free, and asks the worker that has most for a part of what it has too much. Nobody asks where that would only move
//! the imbalance. What stays free all the same, because a worker that counts takes nothing (it is dead and its leases
//! have not all expired, or it is paused), anybody takes beyond its share: no shard may go unread.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use super::{
    lease::{Change, Lease, Leases, ShardId, WorkerId},
    shards::may_be_read,
    watch::Watch,
};

/// Of what a worker has too much, so much is asked for at once: several that ask at the same time do not strip it.
const PART_OF_SURPLUS: usize = 4;

/// The changes that bring `me` nearer to its share: at most one kind of them.
pub fn wanted(me: &WorkerId, leases: &Leases, watch: &Watch) -> Vec<Change> {
    let readable: Vec<&Lease> =
        leases.values().filter(|lease| !lease.is_ended() && may_be_read(lease, leases)).collect();
    let mut counts: BTreeMap<&WorkerId, usize> = BTreeMap::from([(me, 0)]);
    for lease in readable.iter().filter(|lease| !watch.is_free(lease)) {
        if let Some(owner) = &lease.owner {
            *counts.entry(owner).or_default() += 1;
        }
    }
    let share = readable.len().div_ceil(counts.len());
    let mine = counts.get(me).copied().unwrap_or(0);
    let free: Vec<&Lease> = readable.iter().copied().filter(|lease| watch.is_free(lease)).collect();
    if !free.is_empty() {
        let room = share.saturating_sub(mine);
        let (wanted, most) = if room > 0 {
            (free, room)
        } else {
            let left: Vec<_> = free.into_iter().filter(|lease| watch.is_left(lease)).collect();
            let part = left.len().div_ceil(counts.len());
            (left, part)
        };
        return in_my_order(me, wanted).take(most).map(|lease| taken(me, lease)).collect();
    }
    let is_waiting = readable.iter().any(|lease| lease.owner.as_ref() == Some(me) && lease.is_asked_for());
    let richest = counts.iter().max_by_key(|(_, count)| **count);
    match richest {
        // With a difference of one, asking would only change who has one more.
        Some((owner, count)) if !is_waiting && *count >= mine + 2 => {
            let theirs = readable.iter().copied();
            let theirs = theirs.filter(|lease| lease.owner.as_ref() == Some(*owner) && !lease.is_asked_for());
            let part = ((count - mine) / PART_OF_SURPLUS).max(1);
            in_my_order(me, theirs.collect()).take(part).filter_map(|lease| asked(me, lease)).collect()
        }
        _ => Vec::new(),
    }
}

/// What becomes of leases that are `me`'s by the table and not by its own memory: another worker has left them to it, or
/// an answer was lost. They are kept, or left if somebody asks for them.
pub fn handed_over(me: &WorkerId, leases: &Leases, is_held: impl Fn(&ShardId) -> bool) -> Vec<Change> {
    let mine = leases.values().filter(|lease| lease.holder() == Some(me) && !lease.is_ended());
    let change = |lease: &Lease| {
        let (shard, holder, counter) = (lease.shard.clone(), me.clone(), lease.counter);
        if lease.is_asked_for() {
            Change::Leave { shard, holder, counter, is_asked_for: true, checkpoint: None }
        } else {
            Change::Keep { shard, holder, counter, checkpoint: None }
        }
    };
    mine.filter(|lease| !is_held(&lease.shard)).map(change).collect()
}

/// The workers that hold a lease which is not free: those that are alive, as far as this worker knows.
pub fn alive<'a>(leases: &'a Leases, watch: &Watch) -> BTreeSet<&'a WorkerId> {
    leases.values().filter(|lease| !watch.is_free(lease)).filter_map(Lease::holder).collect()
}

/// Another order for each worker, so that not all of them want the same lease first.
fn in_my_order<'a>(me: &WorkerId, mut leases: Vec<&'a Lease>) -> impl Iterator<Item = &'a Lease> {
    leases.sort_by_cached_key(|lease| {
        let mut hasher = DefaultHasher::new();
        (me, &lease.shard).hash(&mut hasher);
        hasher.finish()
    });
    leases.into_iter()
}

fn taken(me: &WorkerId, lease: &Lease) -> Change {
    Change::Take {
        shard: lease.shard.clone(),
        seen: lease.holder().cloned(),
        counter: lease.counter,
        by: me.clone(),
    }
}

fn asked(me: &WorkerId, lease: &Lease) -> Option<Change> {
    Some(Change::Ask { shard: lease.shard.clone(), holder: lease.owner.clone()?, to: Some(me.clone()) })
}

#[cfg(test)]
mod tests;
