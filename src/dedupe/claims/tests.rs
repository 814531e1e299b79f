//! Renewals: what is moved on, and what must not be.

use std::collections::HashSet;

use async_trait::async_trait;

use super::*;
use crate::{
    dedupe::{Commit, Committed, Entry, Fact, Key, memory::MemoryLedger},
    event::ContentHash,
    failure::CallError,
    receive::Deadline,
};

const LEASE: Duration = Duration::from_secs(10);

/// A ledger in memory, and what may happen while it is asked.
struct Watched {
    memory: MemoryLedger,
    /// Wishes for these fail.
    failing: HashSet<&'static str>,
    /// These end while the ledger is asked.
    ending: Mutex<Vec<OpenClaim>>,
    /// How many wishes each call had.
    calls: Mutex<Vec<usize>>,
    latency: Duration,
}

impl Watched {
    fn new() -> Self {
        Self {
            memory: MemoryLedger::new(Duration::from_hours(1), 10),
            failing: HashSet::new(),
            ending: Mutex::default(),
            calls: Mutex::default(),
            latency: Duration::ZERO,
        }
    }
}

#[async_trait]
impl Ledger for Watched {
    async fn claim(&self, wishes: &[Claiming], lease: Duration) -> Vec<Result<Claim, CallError>> {
        self.calls.lock().unwrap().push(wishes.len());
        // As the settler does: first the ledger is told, then the claim is renewed no more.
        let ending: Vec<_> = self.ending.lock().unwrap().drain(..).collect();
        let ended: Vec<_> = ending.iter().map(|open| open.claimed().clone()).collect();
        self.memory.release(&ended).await;
        drop(ending);
        sleep(self.latency).await;
        let answers = self.memory.claim(wishes, lease).await.into_iter().zip(wishes);
        let failed = || CallError::transient("flaky", "scripted");
        let answers = answers.map(
            |(answer, wish)| {
                if self.failing.contains(&*wish.key.id) { Err(failed()) } else { answer }
            },
        );
        answers.collect()
    }

    async fn commit(&self, settled: &[Committed]) -> Vec<Result<Commit, CallError>> {
        self.memory.commit(settled).await
    }

    async fn release(&self, claims: &[Claimed]) -> Vec<Result<(), CallError>> {
        self.memory.release(claims).await
    }

    async fn find(&self, key: &Key) -> Result<Option<Entry>, CallError> {
        self.memory.find(key).await
    }

    async fn forget(&self, key: &Key) -> Result<bool, CallError> {
        self.memory.forget(key).await
    }

    async fn describe(&self) -> Result<Vec<Fact>, CallError> {
        self.memory.describe().await
    }
}

fn key(id: &str) -> Key {
    Key { destination: "lake".into(), id: id.to_owned().into(), conflict: None }
}

async fn win(ledger: &dyn Ledger, open: &Arc<OpenClaims>, id: &str) -> OpenClaim {
    let (token, content_hash) = (Token(fastrand::u128(..)), ContentHash([0; 32]));
    let wish = Claiming { key: key(id), token, content_hash, is_redriven: false };
    assert_eq!(ledger.claim(std::slice::from_ref(&wish), LEASE).await, [Ok(Claim::Won)]);
    let Claiming { key, token, content_hash, is_redriven } = wish;
    let lease = Deadline::new(Instant::now() + LEASE);
    open.add(Claimed { key, token, content_hash, is_redriven, lease })
}

/// Renews for so long.
async fn renew_for(open: &Arc<OpenClaims>, ledger: &Arc<dyn Ledger>, time: Duration) {
    drop(tokio::time::timeout(time, open.keep_alive(ledger, LEASE)).await);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_kept_alive_has_always_half_its_lease_left() {
    let ledger: Arc<dyn Ledger> = Arc::new(MemoryLedger::new(Duration::from_hours(1), 10));
    let open = Arc::new(OpenClaims::default());
    let claim = win(&*ledger, &open, "a").await;
    let watch = async {
        for _ in 0..600 {
            sleep(Duration::from_millis(100)).await;
            let left = claim.claimed().lease.at() - Instant::now();
            assert!(left >= LEASE / 2, "{left:?}");
        }
    };
    tokio::select! {
        () = open.keep_alive(&ledger, LEASE) => {}
        () = watch => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_failed_keeps_its_lease_and_its_neighbours_move_on() {
    let ledger = Arc::new(Watched { failing: HashSet::from(["bad"]), ..Watched::new() });
    let open = Arc::new(OpenClaims::default());
    let good = win(&ledger.memory, &open, "good").await;
    let bad = win(&ledger.memory, &open, "bad").await;
    let (first, ledger) = (bad.claimed().lease.at(), ledger as Arc<dyn Ledger>);
    renew_for(&open, &ledger, LEASE * 3 / 4).await;
    assert_eq!(bad.claimed().lease.at(), first);
    assert!(good.claimed().lease.at() > first, "renewed");
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_is_not_won_back_even_if_it_ends_while_the_ledger_is_asked() {
    for is_early in [true, false] {
        let ledger = Arc::new(Watched::new());
        let open = Arc::new(OpenClaims::default());
        let ends = win(&ledger.memory, &open, "ends").await;
        let stays = win(&ledger.memory, &open, "stays").await;
        tokio::time::advance(LEASE / 2).await;
        if is_early {
            let due = vec![ends.claimed().clone(), stays.claimed().clone()];
            ledger.memory.release(&due[..1]).await;
            drop(ends);
            open.renew(due, &*ledger, LEASE).await;
            assert_eq!(*ledger.calls.lock().unwrap(), [1], "only what is open is asked for");
        } else {
            ledger.ending.lock().unwrap().push(ends);
            renew_for(&open, &(ledger.clone() as Arc<dyn Ledger>), LEASE / 4).await;
        }
        assert_eq!(ledger.find(&key("ends")).await, Ok(None), "held for a lease by nobody");
        assert!(ledger.find(&key("stays")).await.unwrap().is_some());
        assert!(stays.claimed().lease.at() > Instant::now() + LEASE / 2);
    }
}

#[tokio::test(start_paused = true)]
async fn many_claims_are_renewed_side_by_side() {
    let ledger = Arc::new(Watched { latency: LEASE / 8, ..Watched::new() });
    let open = Arc::new(OpenClaims::default());
    let mut claims = Vec::new();
    for at in 0..ROUND_MAX * 4 {
        claims.push(win(&ledger.memory, &open, &at.to_string()).await);
    }
    renew_for(&open, &(ledger.clone() as Arc<dyn Ledger>), LEASE / 2 + LEASE / 50).await;
    assert_eq!(*ledger.calls.lock().unwrap(), [ROUND_MAX; 4]);
    assert!(claims.iter().all(|open| open.claimed().lease.at() > Instant::now() + LEASE / 2));
}
