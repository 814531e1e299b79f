//! From the shards of a stream to leases: which to make, which may be read, which are not needed any more. Pure.
//!
//! A stream is resharded by closing shards and opening children of theirs. Order is kept by reading parents to their
//! end before their children, and nothing is skipped because children are read from their first record:
//! <https://docs.aws.amazon.com/streams/latest/dev/kinesis-using-sdk-java-after-resharding.html>.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use super::{
    lease::{Lease, Leases, ShardId},
    position::Checkpoint,
};

/// A shard as the stream lists it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Shard {
    /// Its name.
    pub id: ShardId,
    /// One after a split, two after a merge. They may be older than the stream remembers.
    pub parents: BTreeSet<ShardId>,
    /// The hash keys that belong to it.
    pub hash_keys: Option<RangeInclusive<u128>>,
    /// Nothing more is written to it.
    pub is_closed: bool,
}

/// Where a stream is begun that has no leases yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Beginning {
    /// With the oldest record that there is.
    TrimHorizon,
    /// With what comes after this time, which is now: milliseconds since 1970.
    Latest(u64),
    /// With what came at this time or later.
    At(u64),
}

/// The leases that are missing, parents before children: made in this order, a child that has a lease has parents that
/// have or had one, whenever the making was cut off.
///
/// Once there are leases, a shard without one is never begun at what comes next: its records since the last look would be
/// skipped. It is left out only if shards that came from it have leases, for then it is done.
pub fn missing(leases: &Leases, shards: &[Shard], beginning: Beginning) -> Vec<Lease> {
    let family = Family::of(leases, shards);
    let wanted = shards.iter().filter(|shard| !leases.contains_key(&shard.id));
    let wanted = wanted.filter(|shard| {
        if leases.is_empty() {
            !(shard.is_closed && matches!(beginning, Beginning::Latest(_)))
        } else {
            !family.has_leased_descendant(&shard.id)
        }
    });
    let started_ms = match beginning {
        _ if !leases.is_empty() => leases.values().filter_map(|lease| lease.started_ms).min(),
        Beginning::TrimHorizon => None,
        Beginning::Latest(ms) | Beginning::At(ms) => Some(ms),
    };
    let mut wanted: Vec<_> = wanted.map(|shard| (family.generation(&shard.id), shard)).collect();
    wanted.sort_by(|(one, a), (other, b)| one.cmp(other).then_with(|| a.id.cmp(&b.id)));
    let lease = |(_, shard): (usize, &Shard)| {
        let is_child = family.has_leased_ancestor(&shard.id);
        let checkpoint = match started_ms {
            Some(ms) if !is_child => Checkpoint::AtTimestamp(Some(ms)),
            _ => Checkpoint::TrimHorizon,
        };
        Lease {
            parents: shard.parents.clone(),
            hash_keys: shard.hash_keys.clone(),
            started_ms,
            ..Lease::new(shard.id.clone(), checkpoint)
        }
    };
    wanted.into_iter().map(lease).collect()
}

/// Whether a shard's turn has come: each of its parents is done, or was forgotten long ago.
pub fn may_be_read(lease: &Lease, leases: &Leases) -> bool {
    lease.parents.iter().all(|parent| leases.get(parent).is_none_or(Lease::is_ended))
}

/// The shards that came from a closed one. `None`: the list is older than its end.
pub fn children(closed: &ShardId, shards: &[Shard]) -> Option<BTreeSet<ShardId>> {
    let of_it = shards.iter().filter(|shard| shard.parents.contains(closed));
    let children: BTreeSet<ShardId> = of_it.map(|child| child.id.clone()).collect();
    // A closed shard has children; one that is not listed any more has expired.
    let is_listed = shards.iter().any(|shard| shard.id == *closed);
    (!children.is_empty() || !is_listed).then_some(children)
}

/// Leases of shards that are done and that the stream has forgotten.
pub fn forgotten(leases: &Leases, shards: &[Shard]) -> Vec<ShardId> {
    let listed: BTreeSet<&ShardId> = shards.iter().map(|shard| &shard.id).collect();
    let done = leases.values().filter(|lease| lease.is_ended() && !listed.contains(&lease.shard));
    done.map(|lease| lease.shard.clone()).collect()
}

/// Who came from whom, as far as the stream and the leases remember.
struct Family<'a> {
    leases: &'a Leases,
    listed: BTreeSet<&'a ShardId>,
    parents: BTreeMap<&'a ShardId, BTreeSet<&'a ShardId>>,
    children: BTreeMap<&'a ShardId, BTreeSet<&'a ShardId>>,
}

impl<'a> Family<'a> {
    fn of(leases: &'a Leases, shards: &'a [Shard]) -> Self {
        let listed = shards.iter().map(|shard| &shard.id).collect();
        let mut family = Self { leases, listed, parents: BTreeMap::new(), children: BTreeMap::new() };
        let of_shards = shards.iter().map(|shard| (&shard.id, &shard.parents));
        for (id, parents) in of_shards.chain(leases.values().map(|lease| (&lease.shard, &lease.parents))) {
            for parent in parents {
                family.parents.entry(id).or_default().insert(parent);
                family.children.entry(parent).or_default().insert(id);
            }
        }
        family
    }

    fn has_leased_ancestor(&self, id: &'a ShardId) -> bool {
        reached(&self.parents, id).into_iter().any(|ancestor| self.leases.contains_key(ancestor))
    }

    fn has_leased_descendant(&self, id: &'a ShardId) -> bool {
        reached(&self.children, id).into_iter().any(|descendant| self.leases.contains_key(descendant))
    }

    /// How many of its ancestors are listed, which is more for a child than for its parents.
    fn generation(&self, id: &'a ShardId) -> usize {
        reached(&self.parents, id).intersection(&self.listed).count()
    }
}

/// All that can be reached from `id`, without itself.
fn reached<'a>(
    next: &BTreeMap<&'a ShardId, BTreeSet<&'a ShardId>>,
    id: &'a ShardId,
) -> BTreeSet<&'a ShardId> {
    let mut found = BTreeSet::new();
    let mut open = vec![id];
    while let Some(id) = open.pop() {
        let of_id = next.get(id).into_iter().flatten().copied();
        open.extend(of_id.filter(|id| found.insert(*id)));
    }
    found
}

#[cfg(test)]
mod tests;
