//! A ledger in memory: for one worker, forgotten when it stops.
//!
//! Bounded twice: settled ids are forgotten after the window, and the oldest are forgotten when there are too many.
//! Open claims are bounded by the room for messages. What it costs: about 80 bytes an id.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use hashbrown::HashMap;
use tokio::time::Instant;

use super::{
    Claim, Claimed, Claiming, Commit, Committed, Entry, Fact, Final, Key, Ledger, LedgerSize, State, Token,
    recent::{Half, Recent, first_half, half_of_key},
};
use crate::{event::ContentHash, failure::CallError, failure::Reason};

/// Forgets on restart.
#[derive(Debug)]
pub struct MemoryLedger {
    entries_max: usize,
    events: Mutex<Events>,
    evicted: AtomicU64,
}

#[derive(Debug)]
struct Events {
    open: HashMap<Half, Open>,
    settled: Recent<Settled>,
}

#[derive(Debug)]
struct Open {
    token: Token,
    content: Half,
    lease_until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Settled {
    content: Half,
    /// `None`: published. The lake's own name for it is not kept here; it would double the size.
    dead_lettered: Option<Reason>,
}

impl MemoryLedger {
    /// Remembers at most `entries_max` settled ids, each for `window`.
    pub fn new(window: Duration, entries_max: usize) -> Self {
        let events = Events { open: HashMap::new(), settled: Recent::new(window, entries_max) };
        Self { entries_max: entries_max.max(1), events: Mutex::new(events), evicted: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Events> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.settled.forget_old();
        events
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn claim(&self, wishes: &[Claiming], lease: Duration) -> Vec<Result<Claim, CallError>> {
        let keys: Vec<_> = wishes.iter().map(|wish| half_of_key(&wish.key)).collect();
        let mut events = self.lock();
        let now = Instant::now();
        wishes.iter().zip(keys).map(|(wish, key)| Ok(events.claim(key, wish, now, lease))).collect()
    }

    async fn commit(&self, settled: &[Committed]) -> Vec<Result<Commit, CallError>> {
        let keys: Vec<_> = settled.iter().map(|committed| half_of_key(&committed.claim.key)).collect();
        let mut events = self.lock();
        let results =
            settled.iter().zip(keys).map(|(committed, key)| Ok(events.commit(key, committed))).collect();
        self.evicted.fetch_add(events.settled.forget_beyond(), Ordering::Relaxed);
        results
    }

    async fn release(&self, claims: &[Claimed]) -> Vec<Result<(), CallError>> {
        let mut events = self.lock();
        for claim in claims {
            let key = half_of_key(&claim.key);
            if events.open.get(&key).is_some_and(|open| open.token == claim.token) {
                events.open.remove(&key);
            }
        }
        claims.iter().map(|_| Ok(())).collect()
    }

    async fn find(&self, key: &Key) -> Result<Option<Entry>, CallError> {
        let key = half_of_key(key);
        let events = self.lock();
        let open = events.open.get(&key).map(|open| {
            let left = open.lease_until.saturating_duration_since(Instant::now());
            (!left.is_zero(), (State::InProgress { until: SystemTime::now() + left }, open.content))
        });
        let settled = || {
            let (settled, age) = events.settled.get(&key)?;
            let at = SystemTime::now() - age;
            let state = match settled.dead_lettered {
                None => State::Published { stored_as: String::new(), at },
                Some(reason) => State::DeadLettered { reason: reason.code().to_owned(), at },
            };
            Some((state, settled.content))
        };
        let known = match open {
            Some((true, open)) => Some(open),
            open => settled().or(open.map(|(_, open)| open)),
        };
        Ok(known.map(|(state, content)| Entry { state, content_hash: whole(content), worker: None }))
    }

    async fn forget(&self, key: &Key) -> Result<bool, CallError> {
        let key = half_of_key(key);
        let mut events = self.lock();
        let was_open = events.open.remove(&key).is_some();
        Ok(events.settled.remove(&key) || was_open)
    }

    async fn describe(&self) -> Result<Vec<Fact>, CallError> {
        let LedgerSize { entries, evicted } = self.size();
        let warning = (evicted > 0)
            .then(|| "ids were forgotten before their window ended: raise dedupe.entries_max".to_owned());
        let fact = |what, value: String, warning| Fact { what, value, warning };
        Ok(vec![
            fact("entries", entries.to_string(), None),
            fact("most entries", self.entries_max.to_string(), None),
            fact("forgotten too early", evicted.to_string(), warning),
        ])
    }

    fn size(&self) -> LedgerSize {
        let events = self.lock();
        let entries = (events.open.len() + events.settled.len()) as u64;
        LedgerSize { entries, evicted: self.evicted.load(Ordering::Relaxed) }
    }
}

impl Events {
    fn claim(&mut self, key: Half, wish: &Claiming, now: Instant, lease: Duration) -> Claim {
        let content = first_half(&wish.content_hash);
        if let Some((settled, _)) = self.settled.get(&key) {
            let is_same = settled.content == content;
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
        self.open.insert(key, Open { token: wish.token, content, lease_until: now + lease });
        Claim::Won
    }

    fn commit(&mut self, key: Half, committed: &Committed) -> Commit {
        if self.open.get(&key).is_none_or(|open| open.token != committed.claim.token) {
            return Commit::Lost;
        }
        self.open.remove(&key);
        let dead_lettered = match &committed.state {
            Final::Published { .. } => None,
            Final::DeadLettered { reason } => Some(*reason),
        };
        let content = first_half(&committed.claim.content_hash);
        self.settled.insert(key, Settled { content, dead_lettered });
        Commit::Recorded
    }
}

fn whole(half: Half) -> ContentHash {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&half);
    ContentHash(bytes)
}
