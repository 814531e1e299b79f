//! Stage 4, dedupe. In: identified events, and rejections. Out: the ones that this worker has claimed. Next: map.
//!
//! An event is claimed before it is published and committed after, never marked as seen before success: a worker
//! that dies in between leaves a claim that ends by itself. Rejections are claimed too, under their own key, so that
//! a message that comes again for the sake of one neighbour does not dead-letter its bad event twice.

mod claims;
pub mod memory;
mod stage;
pub mod waiting;

pub use claims::{OpenClaim, OpenClaims};
pub use stage::{Candidate, Dedupe, Sorted};

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    event::ContentHash,
    failure::{CallError, Reason},
    receive::Deadline,
};
use async_trait::async_trait;
use bytestring::ByteString;

/// What is claimed: one event on its way to one destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The destination's name.
    pub destination: Arc<str>,
    /// The event's declared id, or the place of an event that has none.
    pub id: ByteString,
    /// Set for an event whose id was published before with other content: the id itself belongs to that one.
    pub conflict: Option<ContentHash>,
}

/// Says whose claim it is. Made new for each delivery, so that a late owner can be told from the present one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(pub u128);

impl Token {
    /// A source of tokens for one worker: a random upper half, a counter below.
    pub fn source() -> impl Fn() -> Self + Send + Sync {
        let worker = u128::from(fastrand::u64(..)) << 64;
        let next = AtomicU64::new(1);
        move || Self(worker | u128::from(next.fetch_add(1, Ordering::Relaxed)))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:x})", self.0)
    }
}

/// A wish to claim.
#[derive(Clone, Debug)]
pub struct Claiming {
    /// What is to be claimed.
    pub key: Key,
    /// By whom. The owner of an open claim wins again: that is how a claim is renewed.
    pub token: Token,
    /// Tells a copy from another event under the same id.
    pub content_hash: ContentHash,
    /// An operator sent it again on purpose: an earlier dead letter does not count.
    pub is_redriven: bool,
}

impl Claiming {
    /// The same claim once more: how its owner renews it.
    pub(crate) fn again(claimed: &Claimed) -> Self {
        let Claimed { key, token, content_hash, is_redriven, .. } = claimed.clone();
        Self { key, token, content_hash, is_redriven }
    }
}

/// The ledger's answer to one [`Claiming`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Ours, for the length of the lease.
    Won,
    /// In the lake already.
    AlreadyPublished {
        /// Of the event that was published.
        content_hash: ContentHash,
    },
    /// In the dead-letter queue already, with the same content. (Other content is a corrected event, which wins.)
    AlreadyDeadLettered,
    /// Under way in other hands; ask again after this long at the latest.
    HeldElsewhere {
        /// What is left of the lease.
        lease_left: Duration,
    },
}

/// An open claim.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// What is claimed.
    pub key: Key,
    /// By whom.
    pub token: Token,
    /// Of the event.
    pub content_hash: ContentHash,
    /// See [`Claiming::is_redriven`].
    pub is_redriven: bool,
    /// Until when; moved while the claim is kept alive.
    pub lease: Deadline,
}

/// What the ledger remembers of a settled event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Final {
    /// The destination has it, under this name of its own (the lake's `eventID`).
    Published {
        /// The destination's own name for it.
        stored_as: String,
    },
    /// The dead-letter queue has it.
    DeadLettered {
        /// Why.
        reason: Reason,
    },
}

/// A claim that ends because its event is settled.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The claim.
    pub claim: Claimed,
    /// How the event was settled.
    pub state: Final,
}

/// What the ledger knows of an id, for one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Claimed, not settled.
    InProgress,
    /// Settled.
    Settled(Final),
}

/// How much a ledger remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerSize {
    /// Keys, open and settled.
    pub entries: u64,
    /// Settled keys that were forgotten before their window ended, because there were too many.
    pub evicted: u64,
}

/// Remembers which events are under way and which are settled.
#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Claims each key for `lease`. One answer for each, in the same order; two claims of one key in one call are
    /// answered as if one had come after the other.
    ///
    /// # Errors
    /// Nothing is known to be claimed: the caller gives the messages back or asks again.
    async fn claim(&self, wishes: &[Claiming], lease: Duration) -> Result<Vec<Claim>, CallError>;

    /// Ends claims of settled events, for the length of the dedupe window. One result for each, in the same order;
    /// a claim that is not ours any more is left alone and answered with an error.
    async fn commit(&self, settled: &[Committed]) -> Vec<Result<(), CallError>>;

    /// Gives claims up, so that the next delivery can be claimed at once. One result for each, in the same order;
    /// releasing a claim that is not ours any more changes nothing and succeeds.
    async fn release(&self, claims: &[Claimed]) -> Vec<Result<(), CallError>>;

    /// What is known of a key.
    ///
    /// # Errors
    /// The ledger could not be asked.
    async fn find(&self, key: &Key) -> Result<Option<Known>, CallError>;

    /// How much is remembered, where that is cheap to know.
    fn size(&self) -> LedgerSize {
        LedgerSize::default()
    }
}

/// Proof that the ledger knew the event as settled before.
#[derive(Debug)]
pub struct Duplicate(());
