//! Stage 4, dedupe. In: identified events, and rejections. Out: the ones that this worker has claimed. Next: map.
//!
//! An event is claimed before it is published and committed after, never marked as seen before success: a worker
//! that dies in between leaves a claim that ends by itself. Rejections are claimed too, under their own key, so that
//! a message that comes again for the sake of one neighbour does not dead-letter its bad event twice.

mod cache;
mod claims;
pub mod connect;
pub mod dynamodb;
pub mod memory;
mod recent;
mod rounds;
mod stage;
pub mod valkey;
pub mod waiting;

pub use cache::CachedLedger;
pub use claims::{OpenClaim, OpenClaims};
pub use rounds::in_rounds;
pub use stage::{COMMITS_FIRST, Candidate, Dedupe, OnConflict, Sorted};

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytestring::ByteString;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    event::ContentHash,
    failure::{CallError, Reason},
    receive::Deadline,
};

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

impl Key {
    /// SHA-256 over all parts: what stands for the key where keys must be short, spread evenly and tell nothing.
    pub fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.destination.as_bytes());
        hash.update([0]);
        hash.update(self.id.as_bytes());
        if let Some(content) = &self.conflict {
            // No id holds this byte, as no UTF-8 text does.
            hash.update([0xFF]);
            hash.update(content.0);
        }
        hash.finalize().into()
    }
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

/// How a commit ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// The ledger remembers it.
    Recorded,
    /// The claim is not ours any more: its lease had ended, and another took it over. Trying again changes nothing.
    Lost,
}

/// What the ledger knows of a key: the event's receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What became of it.
    pub state: State,
    /// Of the event as it came.
    pub content_hash: ContentHash,
    /// The worker that claimed or settled it; `None` where the ledger is one worker's own.
    pub worker: Option<String>,
}

/// What became of an event, as far as the ledger knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Claimed, not settled.
    InProgress {
        /// The end of the lease; it moves while work goes on.
        until: SystemTime,
    },
    /// The destination has it.
    Published {
        /// The destination's own name for it.
        stored_as: String,
        /// When it was settled.
        at: SystemTime,
    },
    /// The dead-letter queue has it.
    DeadLettered {
        /// The reason's code, which a newer version may have written.
        reason: String,
        /// When it was settled.
        at: SystemTime,
    },
}

/// Something that a ledger says of itself, for an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What it is about.
    pub what: &'static str,
    /// What is so.
    pub value: String,
    /// What is wrong with that and what cures it, if anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
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
    /// answered as if one had come after the other. After an error it is not known whether that one is claimed; the
    /// caller asks again under the same token, which wins what it has won.
    async fn claim(&self, wishes: &[Claiming], lease: Duration) -> Vec<Result<Claim, CallError>>;

    /// Ends claims of settled events, for the length of the dedupe window. One result for each, in the same order;
    /// a claim that is not ours any more is left alone. Where nothing at all is known of the key, a ledger that may lose
    /// its memory records the commit, and the others say that the claim is lost (`docs/adr/0012`). After an error the
    /// outcome is unknown and the same commit may be tried again.
    async fn commit(&self, settled: &[Committed]) -> Vec<Result<Commit, CallError>>;

    /// Gives claims up, so that the next delivery can be claimed at once. One result for each, in the same order;
    /// releasing a claim that is not ours any more changes nothing and succeeds.
    async fn release(&self, claims: &[Claimed]) -> Vec<Result<(), CallError>>;

    /// What is known of a key: the open claim; without one, or if its lease has ended, what was settled; else the claim
    /// that has ended, as long as the ledger keeps it.
    ///
    /// # Errors
    /// The ledger could not be asked.
    async fn find(&self, key: &Key) -> Result<Option<Entry>, CallError>;

    /// Forgets a key, whatever its state: an operator's act. Says whether there was anything to forget. A claim that
    /// is forgotten is lost to its owner.
    ///
    /// # Errors
    /// The ledger could not be asked; the outcome is unknown.
    async fn forget(&self, key: &Key) -> Result<bool, CallError>;

    /// What the ledger says of itself: size, settings that matter, and what is wrong with them.
    ///
    /// # Errors
    /// The ledger could not be asked.
    async fn describe(&self) -> Result<Vec<Fact>, CallError>;

    /// How much is remembered, where that is cheap to know.
    fn size(&self) -> LedgerSize {
        LedgerSize::default()
    }
}

/// Proof that the ledger knew the event as settled before.
#[derive(Debug)]
pub struct Duplicate(());
