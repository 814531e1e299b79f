//! A ledger with a worker's own memory in front keeps every promise, and answers copies by itself.

use std::time::Duration;

use super::*;
use tributary::dedupe::CachedLedger;

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
