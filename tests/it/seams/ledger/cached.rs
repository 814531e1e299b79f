//! A ledger with a worker's own memory in front keeps every promise, and answers copies by itself.

use std::time::Duration;

use async_trait::async_trait;
use tributary::{
    dedupe::{CachedLedger, Fact},
    failure::CallError,
};

use super::*;

const CACHE_TIME: Duration = Duration::from_mins(5);

async fn cached() -> Bench {
    let ledger = CachedLedger::new(Arc::new(MemoryLedger::new(WINDOW, ENTRIES_MAX)), CACHE_TIME, ENTRIES_MAX);
    Bench { ledger: Arc::new(ledger), time: Time::Paused, name: "cached", _server: Box::new(()) }
}

ledgers! { cached(start_paused = true) }

/// The ledger behind forgets; the memory in front knows for its time and no longer.
#[tokio::test(start_paused = true)]
async fn what_was_published_is_known_without_asking_for_a_while() {
    let behind = Arc::new(MemoryLedger::new(WINDOW, ENTRIES_MAX));
    let ledger = CachedLedger::new(behind.clone(), CACHE_TIME, ENTRIES_MAX);
    for (id, state) in [("ours", published()), ("dead", dead_lettered())] {
        let wish = wish(id, 1, 1);
        assert_eq!(ledger.claim_all(std::slice::from_ref(&wish), LEASE).await, Ok(vec![Claim::Won]));
        let committed = Committed { claim: claimed(&wish), state };
        assert_eq!(ledger.commit(&[committed]).await, [Ok(Commit::Recorded)]);
    }
    let theirs = wish("theirs", 2, 1);
    assert_eq!(behind.claim_all(std::slice::from_ref(&theirs), LEASE).await, Ok(vec![Claim::Won]));
    behind.commit(&[Committed { claim: claimed(&theirs), state: published() }]).await;
    let known = Claim::AlreadyPublished { content_hash: hash(1) };
    assert_eq!(
        ledger.claim_all(&[wish("theirs", 3, 1)], LEASE).await,
        Ok(vec![known]),
        "asked, and remembered"
    );

    for id in ["ours", "theirs", "dead"] {
        assert_eq!(behind.forget(&key(id)).await, Ok(true));
    }
    let wishes = [wish("ours", 4, 1), wish("new", 4, 1), wish("theirs", 4, 9), wish("dead", 4, 1)];
    let answers = ledger.claim_all(&wishes, LEASE).await;
    assert_eq!(answers, Ok(vec![known, Claim::Won, known, Claim::Won]), "a dead letter is not remembered");
    tokio::time::advance(CACHE_TIME + Duration::from_secs(1)).await;
    assert_eq!(ledger.claim_all(&[wish("ours", 5, 1)], LEASE).await, Ok(vec![Claim::Won]));
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_forgets_through_it_is_heard_at_once() {
    let bench = cached().await;
    bench.settle(&wish("a", 1, 1), published()).await;
    assert_eq!(bench.ledger.forget(&key("a")).await, Ok(true));
    bench.win(&wish("a", 2, 1)).await;
}

/// Cannot claim what is called so.
struct Failing(MemoryLedger);

#[async_trait]
impl Ledger for Failing {
    async fn claim(&self, wishes: &[Claiming], lease: Duration) -> Vec<Result<Claim, CallError>> {
        let answers = self.0.claim(wishes, lease).await.into_iter().zip(wishes);
        let fails = |wish: &Claiming| wish.key.id.starts_with("fails");
        let failed = || CallError::transient("flaky", "scripted");
        answers.map(|(answer, wish)| if fails(wish) { Err(failed()) } else { answer }).collect()
    }

    async fn commit(&self, settled: &[Committed]) -> Vec<Result<Commit, CallError>> {
        self.0.commit(settled).await
    }

    async fn release(&self, claims: &[Claimed]) -> Vec<Result<(), CallError>> {
        self.0.release(claims).await
    }

    async fn find(&self, key: &Key) -> Result<Option<Entry>, CallError> {
        self.0.find(key).await
    }

    async fn forget(&self, key: &Key) -> Result<bool, CallError> {
        self.0.forget(key).await
    }

    async fn describe(&self) -> Result<Vec<Fact>, CallError> {
        self.0.describe().await
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_stays_with_its_wish_and_what_is_known_is_answered_all_the_same() {
    let behind = Arc::new(Failing(MemoryLedger::new(WINDOW, ENTRIES_MAX)));
    let ledger = CachedLedger::new(behind.clone(), CACHE_TIME, ENTRIES_MAX);
    for id in ["known", "other"] {
        let wish = wish(id, 1, 1);
        assert_eq!(behind.claim(std::slice::from_ref(&wish), LEASE).await, [Ok(Claim::Won)]);
        behind.commit(&[Committed { claim: claimed(&wish), state: published() }]).await;
    }
    ledger.claim_all(&[wish("known", 2, 1)], LEASE).await.expect("claimed");
    let ids = ["fails-1", "known", "new", "fails-2", "other"];
    let wishes: Vec<_> = ids.iter().map(|id| wish(id, 3, 1)).collect();
    let answers = ledger.claim(&wishes, LEASE).await;
    let known = Claim::AlreadyPublished { content_hash: hash(1) };
    let failed = Err(CallError::transient("flaky", "scripted"));
    assert_eq!(answers, [failed.clone(), Ok(known), Ok(Claim::Won), failed, Ok(known)]);
    assert_eq!(behind.forget(&key("other")).await, Ok(true));
    let again = ledger.claim(&[wish("other", 4, 1)], LEASE).await;
    assert_eq!(again, [Ok(known)], "remembered, although others failed");
}
