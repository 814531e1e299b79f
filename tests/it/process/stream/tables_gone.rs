//! The lease table or the ledger goes away for a while under load, the lease table alone for longer than the failover time: the worker stands still, and
//! then goes on with nothing lost and nothing twice.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use fastrand::Rng;
use tokio::time::sleep;

use super::{
    super::{
        records::{Event, events},
        worker::Worker,
    },
    streaming::{FAILOVER_SECONDS, Setting, Streaming},
};
use crate::support::{dynamodb::DynamoDb, valkey::Valkey};

/// Few: a ledger that survives `kill -9` waits for the disk at each write.
const NEW_EVENTS: usize = 5;
const PACE: Duration = Duration::from_millis(100);
/// How long they are gone.
const GONE: Duration = Duration::from_secs(2 * FAILOVER_SECONDS);
/// Before and after.
const THERE: Duration = Duration::from_secs(2);

fn on(valkey: &Valkey) -> Vec<(&'static str, String)> {
    vec![("TRIBUTARY_LEDGER_KIND", "valkey".to_owned()), ("TRIBUTARY_LEDGER_URL", valkey.url())]
}

async fn with(tables: DynamoDb, ledger: Option<Vec<(&'static str, String)>>) -> Streaming {
    let setting = Setting::with_shards(4).await;
    Streaming::start(Setting { tables, ledger, ..setting }).await
}

/// Load before, while and after something is gone; then everything is in the lake once.
async fn stands(
    streaming: &Streaming,
    failover_time: &str,
    (cause, whose): (&str, &str),
    go: impl FnOnce(),
    come_back: impl FnOnce(),
) {
    let worker = streaming.worker("only", &[("TRIBUTARY_STREAM_FAILOVER_TIME", failover_time)]).await;
    let mut rng = Rng::with_seed(34);
    let mut all = Vec::new();
    let is_over = AtomicBool::new(false);
    let produce = async {
        while !is_over.load(Ordering::Relaxed) {
            let new = events(rng.u64(..), NEW_EVENTS);
            let bodies: Vec<_> = new.iter().map(|event| event.value.to_string()).collect();
            streaming.put(&bodies, &mut rng).await;
            all.extend(new);
            sleep(PACE).await;
        }
    };
    let disturb = async {
        streaming.endpoints.until_stored(&worker, 1).await;
        sleep(THERE).await;
        go();
        let text = worker.until_not_ready(cause).await;
        assert!(text.contains(whose), "{text}");
        sleep(GONE).await;
        let stored = streaming.endpoints.stored();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(streaming.endpoints.stored(), stored, "nothing more is published");
        come_back();
        // A worker that lost its leases meanwhile holds nothing to ask the ledger with: it is tried after a minute.
        worker
            .until_within(Duration::from_mins(2), "/readyz is 200", async |worker: &Worker| {
                worker.get("/readyz").await.filter(|(status, _)| *status == 200)
            })
            .await;
        sleep(THERE).await;
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(produce, disturb);
    settled(streaming, &worker, &all).await;
}

async fn settled(streaming: &Streaming, worker: &Worker, all: &[Event]) {
    streaming.until_settled(worker).await;
    let twice = streaming.endpoints.assert_all_stored(all).await;
    let scrape = worker.scrape().await;
    scrape.assert_at_rest();
    let unknown = scrape.sum("tributary_unknown_outcome_total");
    assert!(twice <= unknown, "{twice} rows twice, and only {unknown} outcomes were unknown");
    assert_eq!(scrape.sum("tributary_commits_lost_total"), 0);
    streaming.endpoints.assert_no_dead_letters().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_lease_table_is_gone() {
    let valkey = Valkey::start().await;
    let streaming = with(DynamoDb::start().await, Some(on(&valkey))).await;
    stands(
        &streaming,
        "3s",
        ("source", "the table leases"),
        || streaming.tables.kill(),
        || streaming.tables.restart(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_ledger_is_gone() {
    let valkey = std::cell::RefCell::new(Valkey::start().await);
    let ledger = on(&valkey.borrow());
    let streaming = with(DynamoDb::start_in_memory().await, Some(ledger)).await;
    stands(
        &streaming,
        "3s",
        ("ledger", "the ledger"),
        || valkey.borrow_mut().kill(),
        || valkey.borrow_mut().restart(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_the_lease_table_and_the_ledger_are_gone() {
    let streaming = with(DynamoDb::start().await, None).await;
    stands(
        &streaming,
        "10s",
        ("ledger", "the ledger"),
        || streaming.tables.kill(),
        || streaming.tables.restart(),
    )
    .await;
}
