//! The ledger in Valkey: the contract, alone and in a cluster, and what is particular about it.

mod access;
mod faults;
mod round_trips;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::task::JoinSet;
use tributary::{
    clock::Clock,
    config::ValkeyConfig,
    dedupe::{
        Claim, Claiming, Commit, Committed, Ledger,
        connect::SharedLedger,
        valkey::{ValkeyError, ValkeyLedger},
    },
};

use super::{
    Bench, ClaimAll, LEASE, Time, WINDOW, claimed, dead_lettered, key, ledgers, published, redriven, wish,
};
use crate::support::valkey::{Cluster, Valkey};

ledgers! { alone }
ledgers! { cluster }

static NEXT_NAMESPACE: AtomicUsize = AtomicUsize::new(0);

fn namespace() -> String {
    format!("seam-{}-{}", std::process::id(), NEXT_NAMESPACE.fetch_add(1, Ordering::Relaxed))
}

fn one(url: String) -> ValkeyConfig {
    ValkeyConfig { urls: vec![url], is_cluster: false, password: None, ca_file: None }
}

fn several(urls: Vec<String>) -> ValkeyConfig {
    ValkeyConfig { urls, is_cluster: true, password: None, ca_file: None }
}

fn connect(config: &ValkeyConfig, namespace: &str, clock: Clock) -> Result<ValkeyLedger, ValkeyError> {
    let (namespace, worker) = (namespace.to_owned(), "worker-1/0badcafe".to_owned());
    ValkeyLedger::new(config, SharedLedger { namespace, worker, window: WINDOW, clock })
}

fn ledger(config: &ValkeyConfig, namespace: &str) -> ValkeyLedger {
    connect(config, namespace, Clock::system()).expect("a configuration that can be used")
}

fn bench(config: &ValkeyConfig, namespace: &str, name: &'static str, server: Box<dyn Send>) -> Bench {
    let ahead = Arc::new(AtomicU64::new(0));
    let by = ahead.clone();
    let clock = Clock::new(move || SystemTime::now() + Duration::from_millis(by.load(Ordering::Relaxed)));
    let ledger = Arc::new(connect(config, namespace, clock).expect("a configuration that can be used"));
    Bench { ledger, time: Time::Ahead(ahead), name, _server: server }
}

async fn alone() -> Bench {
    let server = Valkey::shared().await;
    bench(&one(server.url()), &namespace(), "valkey", Box::new(server))
}

async fn cluster() -> Bench {
    let servers = Cluster::shared().await;
    bench(&several(servers.urls()), &namespace(), "valkey cluster", Box::new(servers))
}

/// Claims as workers do: each over a connection of its own.
async fn of_sixteen_workers_one_wins(config: ValkeyConfig) {
    const KEYS: usize = 200;
    let namespace = namespace();
    let mut workers = JoinSet::new();
    for owner in 1..=16 {
        let ledger = ledger(&config, &namespace);
        workers.spawn(async move {
            let mut won = 0;
            for keys in (0..KEYS).collect::<Vec<_>>().chunks(7) {
                let wishes: Vec<_> = keys.iter().map(|at| wish(&at.to_string(), owner, 1)).collect();
                let answers = ledger.claim_all(&wishes, LEASE).await.expect("claimed");
                won += answers.iter().filter(|answer| **answer == Claim::Won).count();
            }
            won
        });
    }
    assert_eq!(workers.join_all().await.into_iter().sum::<usize>(), KEYS, "each key is won once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_workers_with_a_connection_each_one_wins() {
    of_sixteen_workers_one_wins(one(Valkey::shared().await.url())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_sixteen_workers_of_a_cluster_one_wins() {
    let servers = Cluster::shared().await;
    of_sixteen_workers_one_wins(several(servers.urls())).await;
}

/// What the server holds of one namespace: each key's time to live in milliseconds, and its fields.
fn keys_of(server: &Valkey, namespace: &str) -> Vec<(i64, Vec<String>)> {
    let keys: Vec<String> = server.say(&["KEYS", &format!("{namespace}:*")]);
    keys.iter().map(|key| (server.say(&["PTTL", key]), server.say(&["HKEYS", key]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_removes_what_has_ended_and_a_grace_later() {
    let (server, namespace) = (Valkey::shared().await, namespace());
    let bench = bench(&one(server.url()), &namespace, "valkey", Box::new(()));
    let grace = Duration::from_mins(1);
    let lives = |least: Duration| {
        let keys = keys_of(&server, &namespace);
        assert_eq!(keys.len(), 1, "{keys:?}");
        let left = Duration::from_millis(u64::try_from(keys[0].0).expect("a key that is never removed"));
        assert!(left <= least + grace && left > least, "{left:?}, not {least:?} and a grace");
    };
    bench.win(&wish("a", 1, 1)).await;
    lives(LEASE);
    assert!(bench.commit(&wish("a", 1, 1), dead_lettered()).await);
    lives(WINDOW);
    // A claim beside a dead letter must not shorten its life, and is gone after its release.
    bench.win(&redriven("a", 2, 1)).await;
    lives(WINDOW);
    bench.release(&[redriven("a", 2, 1)]).await;
    lives(WINDOW);
    bench.win(&redriven("a", 3, 1)).await;
    assert_eq!(bench.ledger.forget(&key("a")).await, Ok(true));
    lives(LEASE);
    bench.win(&wish("a", 4, 1)).await;
    bench.release(&[wish("a", 4, 1)]).await;
    bench.win(&wish("b", 4, 1)).await;
    bench.release(&[wish("b", 4, 1)]).await;
    lives(LEASE);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_settled_keeps_no_trace_of_the_claim_and_a_new_claim_none_of_what_is_too_old() {
    let (server, namespace) = (Valkey::shared().await, namespace());
    let bench = bench(&one(server.url()), &namespace, "valkey", Box::new(()));
    let fields = || {
        let mut fields = keys_of(&server, &namespace).pop().expect("a key").1;
        fields.sort();
        fields.concat()
    };
    bench.win(&wish("a", 1, 1)).await;
    assert_eq!(fields(), "ctuw");
    assert!(bench.commit(&wish("a", 1, 1), dead_lettered()).await);
    assert_eq!(fields(), "ACNSTUW");
    bench.pass(WINDOW).await;
    bench.win(&wish("a", 2, 1)).await;
    assert_eq!(fields(), "ctuw");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_can_be_said_again() {
    for bench in [alone().await, cluster().await] {
        bench.settle(&wish("a", 1, 1), published()).await;
        assert!(bench.commit(&wish("a", 1, 1), published()).await, "{}: said twice", bench.name);
        assert!(!bench.commit(&wish("a", 2, 1), published()).await, "{}: somebody else's", bench.name);
        let found = bench.find("a").await.expect("known");
        assert_eq!(found.worker.as_deref(), Some("worker-1/0badcafe"), "{}", bench.name);
        assert_eq!(found.content_hash, super::hash(1), "{}", bench.name);
    }
}

/// A failover or a restart without a log: nobody owns the key, and what is known is better kept than dropped.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_is_recorded_by_a_server_that_lost_its_memory_unless_another_has_claimed_since() {
    let server = Valkey::start_with(&[]).await;
    let bench = bench(&one(server.url()), &namespace(), "valkey", Box::new(()));
    bench.win(&wish("a", 1, 1)).await;
    bench.win(&wish("b", 1, 1)).await;
    server.say::<()>(&["FLUSHALL"]);
    bench.win(&wish("b", 2, 1)).await;
    assert!(bench.commit(&wish("a", 1, 1), published()).await, "known to be published and not recorded");
    assert!(!bench.commit(&wish("b", 1, 1), published()).await, "recorded over another's claim");
    assert!(matches!(bench.claim(&wish("a", 3, 1)).await, Claim::AlreadyPublished { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_took_away_is_neither_renewed_nor_committed_even_if_nobody_else_claims_it() {
    for bench in [alone().await, cluster().await] {
        bench.win(&wish("a", 1, 1)).await;
        assert_eq!(bench.ledger.forget(&key("a")).await, Ok(true), "{}", bench.name);
        assert_eq!(bench.find("a").await, None, "{}", bench.name);
        assert_eq!(bench.ledger.forget(&key("a")).await, Ok(false), "{}: forgotten twice", bench.name);
        assert!(bench.is_held(&wish("a", 1, 1)).await, "{}: renewed", bench.name);
        assert!(!bench.commit(&wish("a", 1, 1), published()).await, "{}: committed", bench.name);
        bench.win(&wish("a", 2, 1)).await;
        bench.release(&[wish("a", 2, 1)]).await;
        assert!(!bench.commit(&wish("a", 1, 1), published()).await, "{}: committed", bench.name);
        bench.settle(&wish("a", 3, 1), published()).await;
    }
}

/// More than one script call holds, with keys that come again in another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_call_answers_for_each_in_order() {
    for bench in [alone().await, cluster().await] {
        let wishes: Vec<_> = (0..1_000).map(|at| wish(&(at % 600).to_string(), at / 600 + 1, 1)).collect();
        let answers = bench.ledger.claim_all(&wishes, LEASE).await.expect("claimed");
        let won: Vec<_> = answers.iter().map(|answer| *answer == Claim::Won).collect();
        // Of two claims of one key one comes first: which, is open, for a server that has to be taught the script
        // first gets that part of the call again.
        for key in 0..600 {
            let winners = (key..1_000).step_by(600).filter(|at| won[*at]).count();
            assert_eq!(winners, 1, "{}: {key}", bench.name);
        }
        let settled = wishes.iter().map(|wish| Committed { claim: claimed(wish), state: published() });
        let results = bench.ledger.commit(&settled.collect::<Vec<_>>()).await;
        let recorded: Vec<_> = results.iter().map(|result| *result == Ok(Commit::Recorded)).collect();
        assert_eq!(recorded, won, "{}", bench.name);
    }
}

/// One that tells its keys apart by their first letters would.
#[tokio::test(flavor = "multi_thread")]
async fn deployments_with_namespaces_of_their_own_do_not_see_each_other() {
    let server = Valkey::shared().await;
    let one = one(server.url());
    let wishes: &[Claiming] = &[wish("a", 1, 1)];
    for namespace in [namespace(), namespace()] {
        assert_eq!(ledger(&one, &namespace).claim_all(wishes, LEASE).await, Ok(vec![Claim::Won]));
        let theirs = ledger(&one, &namespace).claim_all(&[wish("a", 2, 1)], LEASE).await.expect("claimed");
        assert!(matches!(theirs[0], Claim::HeldElsewhere { .. }));
    }
}

/// docs/ledgers.md names what was measured; `--nocapture` shows what it is here.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_takes_no_more_memory_than_is_documented() {
    let server = Valkey::start_with(&[]).await;
    let ledger = ledger(&one(server.url()), "tributary");
    let used = || {
        let told: String = server.say(&["INFO", "memory"]);
        let line = told.lines().find_map(|line| line.strip_prefix("used_memory:"));
        line.and_then(|bytes| bytes.trim().parse::<usize>().ok()).expect("a number")
    };
    let before = used();
    let wishes: Vec<_> = (0..20_000).map(|at| wish(&at.to_string(), 1, 1)).collect();
    let stored_as = "0fd2dd0c-e2b5-4b1e-8b3e-5b6d4d3f8a10".to_owned();
    for wishes in wishes.chunks(1_000) {
        ledger.claim_all(wishes, LEASE).await.expect("claimed");
        let state = tributary::dedupe::Final::Published { stored_as: stored_as.clone() };
        let settled = wishes.iter().map(|wish| Committed { claim: claimed(wish), state: state.clone() });
        let results = ledger.commit(&settled.collect::<Vec<_>>()).await;
        assert!(results.iter().all(|result| *result == Ok(Commit::Recorded)));
    }
    let bytes = (used() - before) / wishes.len();
    println!("{bytes} bytes an id");
    assert!(bytes < 450, "{bytes} bytes an id");
}
