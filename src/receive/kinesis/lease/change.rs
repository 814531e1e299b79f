//! What can be done to a lease, and what each expects to find. Pure.
//!
//! In: the lease as it is, and a [`Change`]. Out: the lease as it will be, or a [`Conflict`].

use std::collections::BTreeSet;

use super::{Lease, ShardId, WorkerId};
use crate::receive::kinesis::position::Checkpoint;

/// What a worker, or an operator, wants to become of a lease. Each names what it expects to find.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A lease for a shard that has none. Expects none.
    Create(Lease),
    /// Takes a lease that nobody holds, or whose holder is dead. Expects the holder and the counter that were seen.
    Take {
        /// Which lease.
        shard: ShardId,
        /// Who held it when it was last looked at.
        seen: Option<WorkerId>,
        /// The counter then.
        counter: u64,
        /// Who takes it.
        by: WorkerId,
    },
    /// Asks the holder to leave, for somebody or for nobody. Expects the holder, and that nobody has asked before.
    Ask {
        /// Which lease.
        shard: ShardId,
        /// Who holds it.
        holder: WorkerId,
        /// Who is to have it.
        to: Option<WorkerId>,
    },
    /// Whoever asked for it does not want it any more. Expects that it was asked for by that one.
    Withdraw {
        /// Which lease.
        shard: ShardId,
        /// Who asked.
        by: WorkerId,
    },
    /// The holder is alive, and has come so far. Expects the holder and the counter.
    Keep {
        /// Which lease.
        shard: ShardId,
        /// Who holds it.
        holder: WorkerId,
        /// As it wrote it last.
        counter: u64,
        /// If it has moved.
        checkpoint: Option<Checkpoint>,
    },
    /// The holder leaves, to whoever asked. Expects the holder, the counter, and that it was or was not asked.
    Leave {
        /// Which lease.
        shard: ShardId,
        /// Who held it.
        holder: WorkerId,
        /// As it wrote it last.
        counter: u64,
        /// Whether somebody asked for it.
        is_asked_for: bool,
        /// If it has moved.
        checkpoint: Option<Checkpoint>,
    },
    /// The shard is done. Expects the holder and the counter.
    End {
        /// Which lease.
        shard: ShardId,
        /// Who held it.
        holder: WorkerId,
        /// As it wrote it last.
        counter: u64,
        /// The shards that came from this one. They have leases already.
        children: BTreeSet<ShardId>,
    },
    /// An operator says where to go on. Whoever holds the lease loses it. Expects the counter.
    Set {
        /// Which lease.
        shard: ShardId,
        /// As the operator saw it.
        counter: u64,
        /// Where to go on.
        checkpoint: Checkpoint,
    },
    /// Nobody needs the lease any more. Expects that its shard is done.
    Delete {
        /// Which lease.
        shard: ShardId,
    },
}

impl Change {
    /// Which lease.
    pub fn shard(&self) -> &ShardId {
        match self {
            Self::Create(lease) => &lease.shard,
            Self::Take { shard, .. }
            | Self::Ask { shard, .. }
            | Self::Withdraw { shard, .. }
            | Self::Keep { shard, .. }
            | Self::Leave { shard, .. }
            | Self::End { shard, .. }
            | Self::Set { shard, .. }
            | Self::Delete { shard } => shard,
        }
    }
}

/// The lease is not as the change expects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the lease is not as it was: somebody else has changed it")]
pub struct Conflict;

/// The one statement of what each change expects and does: `found` is the lease as it is, the answer is the lease as it
/// will be, `None` once it is deleted.
///
/// # Errors
/// What the change expects does not hold; nothing is changed.
pub fn changed(found: Option<&Lease>, change: &Change) -> Result<Option<Lease>, Conflict> {
    if let Change::Create(lease) = change {
        return if found.is_none() { Ok(Some(lease.clone())) } else { Err(Conflict) };
    }
    let found = found.ok_or(Conflict)?;
    if !expected(found, change) {
        return Err(Conflict);
    }
    let mut lease = found.clone();
    // Asking must not disturb the holder, who expects its own counter.
    lease.counter += u64::from(!matches!(change, Change::Ask { .. } | Change::Withdraw { .. }));
    match change {
        Change::Delete { .. } => return Ok(None),
        Change::Create(_) => {}
        Change::Take { by, .. } => {
            lease.owner = Some(by.clone());
            lease.checkpoint_owner = None;
            lease.switches += 1;
        }
        Change::Ask { holder, to, .. } => {
            lease.owner.clone_from(to);
            lease.checkpoint_owner = Some(holder.clone());
        }
        Change::Withdraw { .. } => lease.owner = None,
        Change::Keep { checkpoint, .. } => lease.moved_to(checkpoint.as_ref()),
        Change::Leave { is_asked_for, checkpoint, .. } => {
            lease.moved_to(checkpoint.as_ref());
            if *is_asked_for {
                lease.checkpoint_owner = None;
            } else {
                lease.owner = None;
            }
        }
        Change::End { children, .. } => {
            lease.moved_to(Some(&Checkpoint::ShardEnd));
            lease.children.clone_from(children);
            (lease.owner, lease.checkpoint_owner) = (None, None);
        }
        Change::Set { checkpoint, .. } => {
            lease.moved_to(Some(checkpoint));
            (lease.owner, lease.checkpoint_owner) = (None, None);
        }
    }
    Ok(Some(lease))
}

/// Whether the lease is as the change expects it.
fn expected(found: &Lease, change: &Change) -> bool {
    let is_held =
        |holder: &WorkerId, counter: u64| found.holder() == Some(holder) && found.counter == counter;
    match change {
        Change::Create(_) => false,
        Change::Take { seen, counter, .. } => found.holder() == seen.as_ref() && found.counter == *counter,
        Change::Ask { holder, .. } => found.owner.as_ref() == Some(holder) && !found.is_asked_for(),
        Change::Withdraw { by, .. } => found.owner.as_ref() == Some(by) && found.is_asked_for(),
        Change::Keep { holder, counter, .. } | Change::End { holder, counter, .. } => {
            is_held(holder, *counter)
        }
        Change::Leave { holder, counter, is_asked_for, .. } => {
            is_held(holder, *counter) && found.is_asked_for() == *is_asked_for
        }
        Change::Set { counter, .. } => found.counter == *counter,
        Change::Delete { .. } => found.is_ended(),
    }
}

impl Lease {
    fn moved_to(&mut self, checkpoint: Option<&Checkpoint>) {
        if let Some(checkpoint) = checkpoint {
            self.checkpoint.clone_from(checkpoint);
            self.switches = 0;
            if let Checkpoint::AtTimestamp(started_ms) = checkpoint {
                self.started_ms = *started_ms;
            }
        }
    }
}
