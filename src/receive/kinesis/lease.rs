//! Leases: who reads which shard, and how far it is done. In: changes that workers wish for. Out: the lease after the
//! change, or the news that it is not as the worker thought.
//!
//! There is one lease for each shard, in a table that all workers share. No clock of anybody's is written down: the
//! holder adds one to the counter while it is alive, and whoever sees a counter stand still for long enough, by its own
//! clock, takes the lease over. Each change names what it expects, and [`changed`] says whether that holds; tables do
//! the same in one step. So a holder that was thought dead and comes back writes nothing over its successor's work.
//!
//! Names and meanings are those of the Kinesis Client Library 3, whose table this can be.

pub mod dynamodb;
mod item;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use async_trait::async_trait;

use super::position::{Checkpoint, Position};
use crate::failure::CallError;

/// A shard's name, which is the key of its lease.
pub type ShardId = Arc<str>;
/// A worker's name: no other process, and no later one, has the same.
pub type WorkerId = Arc<str>;
/// Leases by shard.
pub type Leases = BTreeMap<ShardId, Lease>;

/// One shard's lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The shard.
    pub shard: ShardId,
    /// Whose it is, or, while somebody else is still named as `checkpoint_owner`, whose it is going to be.
    pub owner: Option<WorkerId>,
    /// Who holds it still, after another worker has asked for it: it finishes, writes its checkpoint and leaves.
    pub checkpoint_owner: Option<WorkerId>,
    /// Moves while the holder is alive, and with every other change of holder or checkpoint.
    pub counter: u64,
    /// How often it was taken from somebody since the checkpoint last moved.
    pub switches: u64,
    /// How far the shard is done.
    pub checkpoint: Checkpoint,
    /// The shards that this one came from.
    pub parents: BTreeSet<ShardId>,
    /// The shards that came from this one, once it has ended.
    pub children: BTreeSet<ShardId>,
    /// The hash keys that belong to the shard.
    pub hash_keys: Option<RangeInclusive<u128>>,
    /// When the first worker met the stream, in milliseconds since 1970, unless it started at the oldest record. What
    /// came before is nobody's business.
    pub started_ms: Option<u64>,
}

impl Lease {
    /// A lease that nobody holds yet.
    pub fn new(shard: ShardId, checkpoint: Checkpoint) -> Self {
        Self {
            shard,
            owner: None,
            checkpoint_owner: None,
            counter: 0,
            switches: 0,
            checkpoint,
            parents: BTreeSet::new(),
            children: BTreeSet::new(),
            hash_keys: None,
            started_ms: None,
        }
    }

    /// Who may read the shard and write its checkpoint, as long as it moves the counter.
    pub fn holder(&self) -> Option<&WorkerId> {
        self.checkpoint_owner.as_ref().or(self.owner.as_ref())
    }

    /// Whether the holder has been asked to leave.
    pub fn is_asked_for(&self) -> bool {
        self.checkpoint_owner.is_some()
    }

    /// Up to where the shard is done, if it has been begun and is not at its end.
    pub fn position(&self) -> Option<&Position> {
        match &self.checkpoint {
            Checkpoint::At(position) => Some(position),
            _ => None,
        }
    }

    /// Whether the shard is done.
    pub fn is_ended(&self) -> bool {
        self.checkpoint == Checkpoint::ShardEnd
    }
}

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
    lease.counter += u64::from(!matches!(change, Change::Ask { .. }));
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

/// Why a change was not made, or perhaps was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It was not made.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// Whether it was made is not known, unless the class says that the call never came so far.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Where leases are kept.
#[async_trait]
pub trait LeaseTable: Send + Sync + 'static {
    /// All of them; a little old, perhaps. None: there are none now.
    ///
    /// # Errors
    /// The class says whether asking again can help.
    async fn list(&self) -> Result<Leases, CallError>;

    /// One of them, as it is.
    ///
    /// # Errors
    /// As [`LeaseTable::list`].
    async fn find(&self, shard: &ShardId) -> Result<Option<Lease>, CallError>;

    /// Changes a lease as [`changed`] says, in one step; the answer is the lease after it, `None` once deleted.
    ///
    /// # Errors
    /// It is not as the change expects, or the call failed.
    async fn change(&self, change: &Change) -> Result<Option<Lease>, ChangeError>;
}
