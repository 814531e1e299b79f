//! Leases: who reads which shard, and how far it is done. In: changes that workers wish for. Out: the lease after the
//! change, or the news that it is not as the worker thought.
//!
//! There is one lease for each shard, in a table that all workers share. No clock of anybody's is written down: the
//! holder adds one to the counter while it is alive, and whoever sees a counter stand still for long enough, by its own
//! clock, takes the lease over. Each change names what it expects, and [`changed`] says whether that holds; tables do
//! the same in one step. So a holder that was thought dead and comes back writes nothing over its successor's work.
//!
//! Names and meanings are those of the Kinesis Client Library 3, whose table this can be.

mod change;
pub mod dynamodb;
mod item;

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use async_trait::async_trait;

pub use self::change::{Change, Conflict, changed};
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
