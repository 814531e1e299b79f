//! What goes wrong with a server, and comes right again by itself.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::task::JoinSet;
use tributary::{
    config::ValkeyConfig,
    dedupe::{Claim, Commit, Committed, Ledger, valkey::ValkeyLedger},
    failure::CallError,
};

use super::{ClaimAll, LEASE, claimed, ledger, namespace, one, published, several, wish};
use crate::support::valkey::{Cluster, Valkey};

/// What one worker was told about its keys.
#[derive(Default)]
struct Told {
    won: HashSet<String>,
    recorded: HashSet<String>,
    failures: usize,
    calls_after_restart: usize,
}

/// Claims and settles key after key, as long as it is told to. Each error must be the moment's.
async fn work(ledger: ValkeyLedger, owner: u128, is_back: Arc<AtomicBool>) -> Told {
    const CALLS_AFTER_RESTART: usize = 20;
    let mut told = Told::default();
    let moment = |error: &CallError| assert!(error.is_transient(), "{error:?}");
    for round in 0_u64.. {
        let wishes: Vec<_> = (0..10).map(|at| wish(&format!("{owner}-{round}-{at}"), owner, 1)).collect();
        match ledger.claim_all(&wishes, LEASE).await {
            Ok(answers) => {
                assert!(answers.iter().all(|answer| *answer == Claim::Won), "{answers:?}");
                told.won.extend(wishes.iter().map(|wish| wish.key.id.to_string()));
            }
            Err(error) => {
                moment(&error);
                told.failures += 1;
                tokio::task::yield_now().await;
                continue;
            }
        }
        let settled = wishes.iter().map(|wish| Committed { claim: claimed(wish), state: published() });
        for (wish, result) in wishes.iter().zip(ledger.commit(&settled.collect::<Vec<_>>()).await) {
            match result {
                Ok(result) => {
                    assert_eq!(result, Commit::Recorded, "lost to nobody");
                    told.recorded.insert(wish.key.id.to_string());
                }
                Err(error) => {
                    moment(&error);
                    told.failures += 1;
                }
            }
        }
        told.calls_after_restart += usize::from(is_back.load(Ordering::Acquire));
        if told.calls_after_restart >= CALLS_AFTER_RESTART {
            break;
        }
    }
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_killed_server_forgets_nothing_that_it_confirmed_and_is_found_again() {
    let mut server = Valkey::start().await;
    let (config, namespace) = (one(server.url()), namespace());
    let is_back = Arc::new(AtomicBool::new(false));
    let mut workers = JoinSet::new();
    for owner in 1..=4 {
        workers.spawn(work(ledger(&config, &namespace), owner, is_back.clone()));
    }
    let commands = |server: &Valkey| {
        let told: String = server.say(&["INFO", "stats"]);
        let line = told.lines().find_map(|line| line.strip_prefix("total_commands_processed:"));
        line.and_then(|count| count.trim().parse::<u64>().ok()).expect("a count")
    };
    while commands(&server) < 5_000 {
        tokio::task::yield_now().await;
    }
    tokio::task::spawn_blocking(move || {
        server.restart();
        is_back.store(true, Ordering::Release);
        server
    })
    .await
    .map(|server| async move {
        let told = workers.join_all().await;
        assert!(told.iter().any(|told| told.failures > 0), "the server was never missed");
        let stranger = ledger(&config, &namespace);
        for (told, owner) in told.iter().zip(1..) {
            assert!(!told.recorded.is_empty());
            for id in &told.won {
                let answer =
                    stranger.claim_all(&[wish(id, 100 + owner, 1)], LEASE).await.expect("claimed")[0];
                let is_known = if told.recorded.contains(id) {
                    matches!(answer, Claim::AlreadyPublished { .. })
                } else {
                    answer != Claim::Won
                };
                assert!(is_known, "{id}: {answer:?}");
            }
        }
        drop(server);
    })
    .expect("the server restarts")
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_waited_for_and_the_scripts_are_taught_again() {
    let mut server = Valkey::start_with(&[]).await;
    server.kill();
    let ledger = ledger(&one(server.url()), &namespace());
    for _ in 0..3 {
        let error = ledger.claim_all(&[wish("a", 1, 1)], LEASE).await.expect_err("nobody is there");
        assert!(error.is_transient(), "{error:?}");
        assert_eq!(error.code(), "unreachable");
    }
    assert!(ledger.describe().await.is_err());
    server.restart();
    assert_eq!(ledger.claim_all(&[wish("a", 1, 1)], LEASE).await, Ok(vec![Claim::Won]));
    server.say::<()>(&["SCRIPT", "FLUSH"]);
    assert_eq!(ledger.claim_all(&[wish("a", 1, 1)], LEASE).await, Ok(vec![Claim::Won]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_became_a_replica_is_left_for_its_successor() {
    let (server, successor) = (Valkey::start_with(&[]).await, Valkey::start_with(&[]).await);
    let ledger = ledger(&one(server.url()), &namespace());
    ledger.claim_all(&[wish("a", 1, 1)], LEASE).await.expect("claimed");
    let connections = || -> usize {
        let clients: String = server.say(&["INFO", "stats"]);
        let count = clients.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        count.and_then(|count| count.trim().parse().ok()).expect("a count")
    };
    let before = connections();
    server.say::<()>(&["REPLICAOF", "127.0.0.1", &successor.port().to_string()]);
    let error = ledger.claim_all(&[wish("b", 1, 1)], LEASE).await.expect_err("read only");
    assert!(error.is_transient(), "{error:?}");
    assert!(["READONLY", "MASTERDOWN"].contains(&error.code()), "{error:?}");
    server.say::<()>(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(ledger.claim_all(&[wish("b", 1, 1)], LEASE).await, Ok(vec![Claim::Won]));
    // Three are the test's own; the ledger's name may lead elsewhere by now.
    assert!(connections() - before > 3, "the old connection is still used");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_is_our_mistake_until_it_has_room_again() {
    let server = Valkey::start_with(&["--maxmemory-policy", "noeviction"]).await;
    let ledger = ledger(&one(server.url()), &namespace());
    server.say::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = ledger.claim_all(&[wish("a", 1, 1)], LEASE).await.expect_err("full");
    assert_eq!((error.code(), error.is_transient()), ("OOM", false), "{error}");
    server.say::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(ledger.claim_all(&[wish("a", 1, 1)], LEASE).await, Ok(vec![Claim::Won]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_forget_says_so() {
    let forgetful = Valkey::start_with(&["--maxmemory-policy", "allkeys-lru"]).await;
    let facts = ledger(&one(forgetful.url()), &namespace()).describe().await.expect("described");
    let warned = |what| facts.iter().any(|fact| fact.what == what && fact.warning.is_some());
    assert!(warned("persistence") && warned("when memory is full"), "{facts:?}");

    let good = Valkey::start().await;
    let facts = ledger(&one(good.url()), &namespace()).describe().await.expect("described");
    assert!(facts.iter().all(|fact| fact.warning.is_none()), "{facts:?}");

    let servers = Cluster::shared().await;
    let facts = ledger(&several(servers.urls()), &namespace()).describe().await.expect("described");
    assert!(facts.iter().any(|fact| fact.what == "role" && fact.value.starts_with("3 primary")), "{facts:?}");
}

/// Also within one script call, where an error would end it.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_under_which_somebody_else_keeps_a_text_stops_no_other() {
    let (server, servers) = (Valkey::shared().await, Cluster::shared().await);
    poisoned(&one(server.url()), &[&server]).await;
    poisoned(&several(servers.urls()), &servers.nodes.iter().collect::<Vec<_>>()).await;
}

async fn poisoned(config: &ValkeyConfig, nodes: &[&Valkey]) {
    let namespace = namespace();
    let ledger = ledger(config, &namespace);
    ledger.claim_all(&[wish("bad", 1, 1)], LEASE).await.expect("claimed");
    for node in nodes {
        for key in node.say::<Vec<String>>(&["KEYS", &format!("{namespace}:*")]) {
            node.say::<()>(&["SET", &key, "a text"]);
        }
    }
    let mut wishes: Vec<_> = (0..20).map(|at| wish(&at.to_string(), 1, 1)).collect();
    wishes.insert(10, wish("bad", 1, 1));
    let answers = ledger.claim(&wishes, LEASE).await;
    only_the_tenth_fails(&answers, &Claim::Won);
    let claims: Vec<_> = wishes.iter().map(claimed).collect();
    let settled = claims.iter().map(|claim| Committed { claim: claim.clone(), state: published() });
    only_the_tenth_fails(&ledger.commit(&settled.collect::<Vec<_>>()).await, &Commit::Recorded);
    only_the_tenth_fails(&ledger.release(&claims).await, &());
}

fn only_the_tenth_fails<T: PartialEq + std::fmt::Debug>(answers: &[Result<T, CallError>], others: &T) {
    for (at, answer) in answers.iter().enumerate() {
        match answer {
            Ok(answer) => assert!(at != 10 && answer == others, "{at}: {answer:?}"),
            Err(error) => assert!(at == 10 && error.code() == "WRONGTYPE", "{at}: {error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_lost_a_server_is_waited_for() {
    let mut servers = Cluster::start().await;
    let ledger = ledger(&several(servers.urls()), &namespace());
    let wishes: Vec<_> = (0..60).map(|at| wish(&at.to_string(), 1, 1)).collect();
    ledger.claim_all(&wishes, LEASE).await.expect("claimed");
    servers.nodes[1].kill();
    let error = ledger.claim_all(&wishes, LEASE).await.expect_err("a third of the keys is gone");
    assert!(error.is_transient(), "{error:?}");
    servers.restart(1);
    let mut tries = 0..5;
    while let Err(error) = ledger.claim_all(&wishes, LEASE).await {
        assert!(error.is_transient(), "{error:?}");
        assert!(tries.next().is_some(), "the cluster is not found again: {error:?}");
    }
}
