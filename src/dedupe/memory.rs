//! A ledger in memory: for one worker, forgotten when it stops.
//!
//! Bounded twice: settled ids are forgotten after the window, and the oldest are forgotten when there are too many.
//! Open claims are bounded by the room for messages. What it costs: about 80 bytes an id.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use hashbrown::HashMap;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{Claim, Claimed, Claiming, Committed, Final, Key, Known, Ledger, LedgerSize, Token};
use crate::{event::ContentHash, failure::CallError, failure::Reason};

/// Half of a SHA-256: ids are told apart by 128 bits, which 10^12 of them share with a probability of 10^-15.
/// As bytes, because a number would be aligned to 16 of them and make each entry a third larger.
type Digest128 = [u8; 16];

/// Forgets on restart.
#[derive(Debug)]
pub struct MemoryLedger {
    window: Duration,
    entries_max: usize,
    state: Mutex<State>,
    evicted: AtomicU64,
}

#[derive(Debug)]
struct State {
    /// Seconds are counted from here.
    started: Instant,
    open: HashMap<Digest128, Open>,
    settled: HashMap<Digest128, Settled>,
    /// In the order of settling, which is the order of forgetting. A key that was settled again stands here twice.
    order: VecDeque<(u32, Digest128)>,
    /// How many were taken from the front of `order`, modulo 2^32: the number of the one that stands there now.
    forgotten: u32,
}

#[derive(Debug)]
struct Open {
    token: Token,
    lease_until: Instant,
}

#[derive(Debug)]
struct Settled {
    content: Digest128,
    /// Its number in `order`, modulo 2^32: what was settled again since is not forgotten with its first settlement.
    number: u32,
    /// `None`: published. The lake's own name for it is not kept here; it would double the size.
    dead_lettered: Option<Reason>,
}

impl MemoryLedger {
    /// Remembers at most `entries_max` settled ids, each for `window`.
    pub fn new(window: Duration, entries_max: usize) -> Self {
        let state = State {
            started: Instant::now(),
            open: HashMap::new(),
            settled: HashMap::new(),
            order: VecDeque::new(),
            forgotten: 0,
        };
        Self { window, entries_max: entries_max.max(1), state: Mutex::new(state), evicted: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.forget_older_than(self.window);
        state
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn claim(&self, wishes: &[Claiming], lease: Duration) -> Result<Vec<Claim>, CallError> {
        let keys: Vec<_> = wishes.iter().map(|wish| digest(&wish.key)).collect();
        let mut state = self.lock();
        let now = Instant::now();
        Ok(wishes.iter().zip(keys).map(|(wish, key)| state.claim(key, wish, now, lease)).collect())
    }

    async fn commit(&self, settled: &[Committed]) -> Vec<Result<(), CallError>> {
        let keys: Vec<_> = settled.iter().map(|committed| digest(&committed.claim.key)).collect();
        let mut state = self.lock();
        let now = Instant::now();
        let results =
            settled.iter().zip(keys).map(|(committed, key)| state.commit(key, committed, now)).collect();
        let evicted = state.forget_beyond(self.entries_max);
        self.evicted.fetch_add(evicted, Ordering::Relaxed);
        results
    }

    async fn release(&self, claims: &[Claimed]) -> Vec<Result<(), CallError>> {
        let mut state = self.lock();
        for claim in claims {
            let key = digest(&claim.key);
            if state.open.get(&key).is_some_and(|open| open.token == claim.token) {
                state.open.remove(&key);
            }
        }
        claims.iter().map(|_| Ok(())).collect()
    }

    async fn find(&self, key: &Key) -> Result<Option<Known>, CallError> {
        let key = digest(key);
        let state = self.lock();
        let settled = state.settled.get(&key).map(|settled| match settled.dead_lettered {
            None => Final::Published { stored_as: String::new() },
            Some(reason) => Final::DeadLettered { reason },
        });
        Ok(settled.map(Known::Settled).or_else(|| state.open.get(&key).map(|_| Known::InProgress)))
    }

    fn size(&self) -> LedgerSize {
        let state = self.lock();
        let entries = (state.open.len() + state.settled.len()) as u64;
        LedgerSize { entries, evicted: self.evicted.load(Ordering::Relaxed) }
    }
}

impl State {
    fn claim(&mut self, key: Digest128, wish: &Claiming, now: Instant, lease: Duration) -> Claim {
        if let Some(settled) = self.settled.get(&key) {
            let is_same = settled.content == first_half(&wish.content_hash);
            match settled.dead_lettered {
                // The whole hash is not kept; the caller compares, so it is given what makes the comparison right.
                None if is_same => return Claim::AlreadyPublished { content_hash: wish.content_hash },
                None => return Claim::AlreadyPublished { content_hash: whole(settled.content) },
                Some(_) if is_same && !wish.is_redriven => return Claim::AlreadyDeadLettered,
                Some(_) => {}
            }
        }
        if let Some(open) = self.open.get(&key)
            && open.token != wish.token
            && open.lease_until > now
        {
            return Claim::HeldElsewhere { lease_left: open.lease_until - now };
        }
        self.open.insert(key, Open { token: wish.token, lease_until: now + lease });
        Claim::Won
    }

    fn commit(&mut self, key: Digest128, committed: &Committed, now: Instant) -> Result<(), CallError> {
        if self.open.get(&key).is_none_or(|open| open.token != committed.claim.token) {
            return Err(CallError::BadRequest {
                code: "claim_lost".into(),
                message: "the claim was taken over after its lease had ended".into(),
            });
        }
        self.open.remove(&key);
        let dead_lettered = match &committed.state {
            Final::Published { .. } => None,
            Final::DeadLettered { reason } => Some(*reason),
        };
        let content = first_half(&committed.claim.content_hash);
        #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32, and no more entries than that")]
        let number = self.forgotten.wrapping_add(self.order.len() as u32);
        self.settled.insert(key, Settled { content, number, dead_lettered });
        self.order.push_back((self.second_of(now), key));
        Ok(())
    }

    fn forget_older_than(&mut self, window: Duration) {
        let now = u64::from(self.second_of(Instant::now()));
        while self
            .order
            .front()
            .is_some_and(|(settled_at, _)| u64::from(*settled_at) + window.as_secs() < now)
        {
            self.forget_oldest();
        }
    }

    /// Whole seconds since the start: 136 years of them.
    fn second_of(&self, at: Instant) -> u32 {
        u32::try_from(at.duration_since(self.started).as_secs()).unwrap_or(u32::MAX)
    }

    fn forget_beyond(&mut self, entries_max: usize) -> u64 {
        let too_many = self.order.len().saturating_sub(entries_max);
        (0..too_many).for_each(|_| self.forget_oldest());
        too_many as u64
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            if self.settled.get(&key).is_some_and(|settled| settled.number == self.forgotten) {
                self.settled.remove(&key);
            }
            self.forgotten = self.forgotten.wrapping_add(1);
        }
    }
}

fn digest(key: &Key) -> Digest128 {
    let mut hash = Sha256::new();
    hash.update(key.destination.as_bytes());
    hash.update([0]);
    hash.update(key.id.as_bytes());
    if let Some(content) = &key.conflict {
        // No id holds this byte, as no UTF-8 text does.
        hash.update([0xFF]);
        hash.update(content.0);
    }
    first_half(&ContentHash(hash.finalize().into()))
}

fn first_half(hash: &ContentHash) -> Digest128 {
    let mut half = Digest128::default();
    half.copy_from_slice(&hash.0[..16]);
    half
}

fn whole(half: Digest128) -> ContentHash {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&half);
    ContentHash(bytes)
}
