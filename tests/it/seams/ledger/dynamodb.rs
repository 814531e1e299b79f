//! The ledger in a DynamoDB table, against two servers, and what is its own: what it costs, what its errors mean, what
//! it does when the server is throttled, slow, killed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use serde_json::json;
use tokio::{sync::mpsc, task::JoinSet};
use tributary::{
    aws::Aws,
    clock::Clock,
    dedupe::{
        Claim, Claiming, Commit, Committed, Ledger, State, Token, connect::SharedLedger,
        dynamodb::DynamoDbLedger,
    },
    failure::CallError,
};

use super::{
    Bench, ClaimAll, LEASE, Time, WINDOW, claimed, dead_lettered, hash, key, ledgers, published, wish,
};
use crate::support::{
    dynamodb::{self, DynamoDb},
    dynamodb_proxy::{Fate, Proxy},
    queues::{Kind, QueueServer},
    scripted::Scripted,
};

const TABLE: &str = "tributary-ledger";

static NEXT_NAMESPACE: AtomicUsize = AtomicUsize::new(0);

/// A namespace that no other test has.
fn namespace() -> String {
    format!("case-{}", NEXT_NAMESPACE.fetch_add(1, Ordering::Relaxed))
}

fn shared(namespace: &str, ahead: &Arc<AtomicU64>) -> SharedLedger {
    let ahead = ahead.clone();
    let clock = Clock::new(move || SystemTime::now() + Duration::from_millis(ahead.load(Ordering::Relaxed)));
    SharedLedger { namespace: namespace.to_owned(), worker: "worker-1/1".to_owned(), window: WINDOW, clock }
}

fn bench(aws: &Aws, name: &'static str, server: Box<dyn Send>) -> Bench {
    let ahead = Arc::default();
    let ledger = DynamoDbLedger::new(aws, TABLE, shared(&namespace(), &ahead));
    Bench { ledger: Arc::new(ledger), time: Time::Ahead(ahead), name, _server: server }
}

async fn dynoxide() -> Bench {
    let server = dynamodb::shared().await;
    server.create_table(TABLE).await;
    bench(&server.aws(), "dynoxide", Box::new(server))
}

async fn ministack() -> Bench {
    let server = QueueServer::start(Kind::Ministack).await;
    dynamodb::create_table(&dynamodb::client_at(&server.url()), TABLE).await;
    bench(&dynamodb::aws_at(&server.url()), "ministack", Box::new(server))
}

ledgers! { dynoxide(flavor = "multi_thread") }
ledgers! { ministack(flavor = "multi_thread") }

/// A ledger behind a proxy, on a dynoxide of its own table's namespace.
async fn behind(
    latency: Duration,
    fates: impl Fn(u64) -> Fate + Send + Sync + 'static,
) -> (Arc<DynamoDbLedger>, Proxy, Arc<DynamoDb>) {
    let server = dynamodb::shared().await;
    server.create_table(TABLE).await;
    let proxy = Proxy::start(&server.url, latency, fates).await;
    let ledger = DynamoDbLedger::new(&proxy.aws(), TABLE, shared(&namespace(), &Arc::default()));
    (Arc::new(ledger), proxy, server)
}

/// Wishes for different keys, of different owners.
fn wishes(count: usize) -> Vec<Claiming> {
    (0..count).map(|at| wish(&format!("id-{at}"), at as u128 + 1, 1)).collect()
}

fn commits(wishes: &[Claiming]) -> Vec<Committed> {
    wishes.iter().map(|wish| Committed { claim: claimed(wish), state: published() }).collect()
}

async fn claim(ledger: &DynamoDbLedger, wishes: &[Claiming]) -> Vec<Claim> {
    ledger.claim_all(wishes, LEASE).await.expect("claimed")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_event_costs_two_writes_and_twenty_five_share_a_request() {
    let (ledger, proxy, _server) = behind(Duration::ZERO, |_| Fate::Pass).await;
    let wishes = wishes(1_000);
    assert!(claim(&ledger, &wishes).await.iter().all(|answer| *answer == Claim::Won));
    assert!(ledger.commit(&commits(&wishes)).await.iter().all(|result| *result == Ok(Commit::Recorded)));
    let passed = proxy.take();
    println!("1,000 new events: {passed:?}");
    assert_eq!((passed.requests, passed.statements), (80, 2_000));
    assert_eq!((passed.write_units, passed.read_units), (2_000.0, 0.0));

    let copies: Vec<_> = wishes.iter().map(|it| Claiming { token: Token(9_999), ..it.clone() }).collect();
    let answers = claim(&ledger, &copies).await;
    assert!(answers.iter().all(|answer| matches!(answer, Claim::AlreadyPublished { .. })));
    let passed = proxy.take();
    println!("1,000 copies: {passed:?}");
    assert_eq!((passed.requests, passed.statements), (80, 2_000));
    // A request of which no statement succeeds does not say what it costs: a unit for each that was refused.
    assert_eq!((passed.write_units, passed.read_units), (0.0, 1_000.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rounds_flow_side_by_side_within_a_bound() {
    let (ledger, proxy, _server) = behind(Duration::from_millis(30), |_| Fate::Pass).await;
    let mut rounds = JoinSet::new();
    for round in 0..16 {
        let ledger = ledger.clone();
        rounds.spawn(async move {
            let wishes: Vec<_> = (0..250).map(|at| wish(&format!("{round}-{at}"), 1, 1)).collect();
            claim(&ledger, &wishes).await.iter().filter(|answer| **answer == Claim::Won).count()
        });
    }
    assert_eq!(rounds.join_all().await, [250; 16]);
    let at_once = proxy.take().at_once_max;
    assert!((33..=64).contains(&at_once), "{at_once} requests at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_copies_in_one_call_cost_no_more_than_two() {
    let (ledger, proxy, _server) = behind(Duration::ZERO, |_| Fate::Pass).await;
    let copies: Vec<_> = (1..=1_000).map(|owner| wish("same", owner, 1)).collect();
    let answers = claim(&ledger, &copies).await;
    assert_eq!(answers[0], Claim::Won);
    assert!(answers[1..].iter().all(|answer| matches!(answer, Claim::HeldElsewhere { .. })));
    assert_eq!(proxy.take().requests, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_changes_nothing() {
    // The first insert, and the first commit: which is the fifth request, after the insert's repetition, the look and
    // the claim that is renewed by it.
    let lost = |nth| if matches!(nth, 0 | 4) { Fate::LoseAnswer } else { Fate::Pass };
    let (ledger, _proxy, _server) = behind(Duration::ZERO, lost).await;
    let wishes = wishes(3);
    assert_eq!(claim(&ledger, &wishes).await, [Claim::Won; 3]);
    let commits = commits(&wishes);
    assert_eq!(ledger.commit(&commits).await, vec![Ok(Commit::Recorded); 3], "the answer was lost");
    assert_eq!(ledger.commit(&commits).await, vec![Ok(Commit::Recorded); 3], "said again");
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_statements_are_tried_again_by_themselves() {
    for code in [
        "ThrottlingError",
        "ProvisionedThroughputExceeded",
        "RequestLimitExceeded",
        "TransactionConflict",
        "InternalServerError",
    ] {
        let fate = move |nth| if nth % 2 == 0 { Fate::FailEvery(3, code) } else { Fate::Pass };
        let (ledger, _proxy, _server) = behind(Duration::ZERO, fate).await;
        let wishes = wishes(20);
        assert_eq!(claim(&ledger, &wishes).await, [Claim::Won; 20], "{code}");
        assert_eq!(ledger.commit(&commits(&wishes)).await, vec![Ok(Commit::Recorded); 20], "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_throttled_fails_alone_and_says_so() {
    // One try of which all but one succeed and five in vain: of the claims, then of the commits.
    let fate = |nth| match nth % 6 {
        0 => Fate::FailEvery(19, "ThrottlingError"),
        _ => Fate::FailAll("ThrottlingError"),
    };
    let (throttled, _proxy, _server) = behind(Duration::ZERO, fate).await;
    let wishes = wishes(20);
    let answers = throttled.claim(&wishes, LEASE).await;
    let won = answers.iter().filter(|answer| **answer == Ok(Claim::Won)).count();
    let failed = answers.into_iter().find_map(Result::err).expect("the last is throttled");
    assert!(failed.is_transient() && failed.code() == "ThrottlingError", "{failed:?}");
    assert_eq!(won, 19, "the others are answered");
    let results = throttled.commit(&commits(&wishes)).await;
    let recorded = results.iter().filter(|result| **result == Ok(Commit::Recorded)).count();
    assert_eq!(recorded, 19, "{results:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_s_errors_have_the_right_class() {
    for (code, is_transient, cure) in [
        ("AccessDeniedException", false, "dynamodb:PartiQLSelect, PartiQLInsert"),
        ("UnrecognizedClientException", false, "check that the role"),
        ("ExpiredTokenException", false, "renew them"),
        ("KMSDisabledException", false, "kms:Decrypt"),
        ("KMSAccessDeniedException", false, "kms:Decrypt"),
        ("ResourceNotFoundException", false, TABLE),
        ("ItemCollectionSizeLimitExceededException", true, "scripted"),
        ("ReplicatedWriteConflictException", true, "scripted"),
    ] {
        let answer =
            json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "scripted"});
        let server = Scripted::start(move |_| (400, answer.clone())).await;
        let aws = dynamodb::aws_at(server.url());
        let ledger = DynamoDbLedger::new(&aws, TABLE, shared(&namespace(), &Arc::default()));
        let failed = ledger.claim_all(&wishes(3), LEASE).await.expect_err(code);
        assert_eq!(failed.is_transient(), is_transient, "{failed:?}");
        assert!(failed.code().ends_with(code) && failed.to_string().contains(cure), "{failed:?}");
        let looked = ledger.find(&key("a")).await.expect_err(code);
        assert_eq!(looked.code(), failed.code());
        assert!(ledger.describe().await.is_err(), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_answer_answers_nothing() {
    let server = Scripted::start(|_| (200, json!({"Responses": [{"TableName": TABLE}]}))).await;
    let aws = dynamodb::aws_at(server.url());
    let ledger = DynamoDbLedger::new(&aws, TABLE, shared(&namespace(), &Arc::default()));
    let failed = ledger.claim_all(&wishes(3), LEASE).await.expect_err("two are not mentioned");
    assert!(failed.is_transient(), "{failed:?}");
    // Which of them is mentioned, nobody knows.
    let results = ledger.commit(&commits(&wishes(3))).await;
    assert!(results.iter().all(|it| it.as_ref().is_err_and(CallError::is_transient)), "{results:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_comes_late_is_no_claim() {
    let (ledger, _proxy, _server) = behind(Duration::from_millis(150), |_| Fate::Pass).await;
    let failed =
        ledger.claim_all(&wishes(3), Duration::from_millis(400)).await.expect_err("little is left of it");
    assert!(failed.is_transient() && failed.code() == "timeout", "{failed:?}");
    assert_eq!(claim(&ledger, &wishes(3)).await, [Claim::Won; 3], "in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_some_succeed_the_others_are_not_given_up() {
    // All but the first of each request fail, more often in a row than is tried in vain.
    let (ledger, proxy, _server) = behind(Duration::ZERO, |_| Fate::FailEvery(1, "ThrottlingError")).await;
    assert_eq!(claim(&ledger, &wishes(7)).await, [Claim::Won; 7]);
    assert_eq!(proxy.take().requests, 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_in_time_counts_and_the_rest_is_late() {
    let (ledger, _proxy, _server) = behind(Duration::from_millis(400), |_| Fate::Pass).await;
    assert_eq!(claim(&ledger, &[wish("old", 1, 1)]).await, [Claim::Won]);
    // One request fits, and not the look that the old key takes.
    let lease = Duration::from_millis(2_800);
    let answers = ledger.claim(&[wish("old", 2, 1), wish("new", 2, 1), wish("old", 3, 1)], lease).await;
    assert_eq!(answers[1], Ok(Claim::Won));
    for late in [&answers[0], &answers[2]] {
        assert!(
            late.as_ref().is_err_and(|error| error.is_transient() && error.code() == "timeout"),
            "{late:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_no_ledger_wrote_is_ours_to_cure() {
    let server = DynamoDb::start_in_memory().await;
    server.create_table(TABLE).await;
    let ledger = DynamoDbLedger::new(&server.aws(), TABLE, shared("fleet", &Arc::default()));
    claim(&ledger, &wishes(1)).await;
    let client = server.client();
    let items = client.scan().table_name(TABLE).send().await.expect("scanned").items.unwrap_or_default();
    let foreign = AttributeValue::S("of another program".to_owned());
    let put = client.put_item().table_name(TABLE).item("key", items[0]["key"].clone()).item("claim", foreign);
    put.send().await.expect("put");
    let mut answers = ledger.claim(&wishes(3), LEASE).await.into_iter();
    let failed = answers.next().and_then(Result::err).expect("unreadable");
    assert_eq!(answers.collect::<Vec<_>>(), [Ok(Claim::Won), Ok(Claim::Won)], "its neighbours are answered");
    assert!(!failed.is_transient() && failed.code() == "foreign_item", "{failed:?}");
    assert!(!failed.to_string().contains("another program"), "{failed:?}");
    assert_eq!(ledger.forget(&wishes(1)[0].key).await, Ok(true));
    assert_eq!(claim(&ledger, &wishes(1)).await, [Claim::Won]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_and_a_wrong_key_are_told_with_their_cure() {
    let server = dynamodb::shared().await;
    let client = server.client();
    let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S);
    let schema = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build();
    let made = client.create_table().table_name("wrong-key").billing_mode(BillingMode::PayPerRequest);
    let made = made.attribute_definitions(id.build().expect("whole")).key_schema(schema.expect("whole"));
    made.send().await.expect("a table");
    for (table, cure) in
        [("no-such-table", "the table no-such-table exists"), ("wrong-key", "partition key `key`")]
    {
        let ledger = DynamoDbLedger::new(&server.aws(), table, shared(&namespace(), &Arc::default()));
        let failed = ledger.claim_all(&wishes(1), LEASE).await.expect_err(table);
        assert!(!failed.is_transient() && failed.to_string().contains(cure), "{table}: {failed:?}");
        let failed = ledger.commit(&commits(&wishes(1))).await.remove(0).expect_err(table);
        assert!(!failed.is_transient() && failed.to_string().contains(cure), "{table}: {failed:?}");
        let failed = ledger.release(&[claimed(&wish("a", 1, 1))]).await.remove(0).expect_err(table);
        assert!(!failed.is_transient(), "{table}: {failed:?}");
        let failed = ledger.find(&key("a")).await.expect_err(table);
        assert!(!failed.is_transient(), "{table}: {failed:?}");
    }
    let ledger = DynamoDbLedger::new(&server.aws(), "wrong-key", shared(&namespace(), &Arc::default()));
    let warnings = warnings(&ledger).await;
    assert_eq!(warnings, ["key", "time to live"]);
}

async fn warnings(ledger: &DynamoDbLedger) -> Vec<&'static str> {
    let facts = ledger.describe().await.expect("described");
    facts.into_iter().filter(|fact| fact.warning.is_some()).map(|fact| fact.what).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_says_what_an_operator_must_know() {
    let (ledger, _proxy, _server) = behind(Duration::ZERO, |_| Fate::Pass).await;
    let facts = ledger.describe().await.expect("described");
    let named: Vec<_> = facts.iter().map(|fact| fact.what).collect();
    assert_eq!(named, ["table", "status", "key", "items", "bytes", "billing", "time to live"]);
    assert_eq!(warnings(&ledger).await, [""; 0], "{facts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_tells_no_ids_and_keeps_what_a_trace_needs() {
    let server = DynamoDb::start().await;
    server.create_table(TABLE).await;
    let ledger = DynamoDbLedger::new(&server.aws(), TABLE, shared("fleet", &Arc::default()));
    let secret = wish("card-4711-0815", 1, 7);
    claim(&ledger, std::slice::from_ref(&secret)).await;
    ledger.commit(&commits(std::slice::from_ref(&secret))).await.remove(0).expect("committed");
    let items =
        server.client().scan().table_name(TABLE).send().await.expect("scanned").items.unwrap_or_default();
    assert_eq!(items.len(), 1);
    let text = format!("{items:?}");
    assert!(!text.contains("4711") && !text.contains("lake"), "{text}");
    let stored = items[0]["key"].as_s().expect("a string");
    assert!(stored.starts_with("fleet#") && stored.len() == "fleet#".len() + 43, "{stored}");
    let entry = ledger.find(&secret.key).await.expect("asked").expect("known");
    assert_eq!(entry.worker.as_deref(), Some("worker-1/1"));
    assert_eq!(entry.content_hash, hash(7));
    let State::Published { stored_as, at } = entry.state else { panic!("{entry:?}") };
    assert_eq!(stored_as, "event-1");
    assert!(at.elapsed().is_ok_and(|age| age < LEASE), "{at:?}");
    // Two deployments in one table do not meet.
    let other = DynamoDbLedger::new(&server.aws(), TABLE, shared("other", &Arc::default()));
    assert_eq!(claim(&other, &[secret]).await, [Claim::Won]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_was_not_removed_in_time_blocks_nothing() {
    let bench = dynoxide().await;
    bench.settle(&wish("settled", 1, 1), published()).await;
    bench.win(&wish("abandoned", 1, 1)).await;
    bench.pass(WINDOW + LEASE).await;
    for id in ["settled", "abandoned"] {
        // Other content: what was remembered is not even a conflict.
        bench.win(&wish(id, 2, 9)).await;
        assert!(bench.is_held(&wish(id, 3, 9)).await, "{id}");
        bench.release(&[wish(id, 2, 9)]).await;
        bench.settle(&wish(id, 3, 9), dead_lettered()).await;
        assert_eq!(bench.claim(&wish(id, 4, 9)).await, Claim::AlreadyDeadLettered, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_owners_that_commit_in_one_call_one_is_late() {
    let bench = dynoxide().await;
    let (late, present) = (wish("a", 1, 1), wish("a", 2, 1));
    bench.win(&late).await;
    bench.pass(LEASE).await;
    bench.win(&present).await;
    let results = bench.ledger.commit(&commits(&[late, present])).await;
    assert_eq!(results, [Ok(Commit::Lost), Ok(Commit::Recorded)]);
}

/// Sixteen workers with a client each, all after claims that a dead one has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_dead_worker_held_is_taken_over_once() {
    const KEYS: usize = 100;
    let server = dynamodb::shared().await;
    server.create_table(TABLE).await;
    let (namespace, ahead) = (namespace(), Arc::default());
    let new = || DynamoDbLedger::new(&server.aws(), TABLE, shared(&namespace, &ahead));
    let ids: Vec<_> = (0..KEYS).map(|at| at.to_string()).collect();
    let of = |owner| ids.iter().map(|id| wish(id, owner, 1)).collect::<Vec<_>>();
    assert_eq!(claim(&new(), &of(99)).await, [Claim::Won; KEYS]);
    ahead.store(tributary::clock::millis(LEASE), Ordering::Relaxed);
    let mut claimers = JoinSet::new();
    for owner in 1..=16 {
        let (ledger, wishes) = (new(), of(owner));
        claimers.spawn(async move {
            let answers = claim(&ledger, &wishes).await;
            answers
                .iter()
                .enumerate()
                .filter(|(_, it)| **it == Claim::Won)
                .map(|(at, _)| at)
                .collect::<Vec<_>>()
        });
    }
    let mut won = claimers.join_all().await.concat();
    won.sort_unstable();
    assert_eq!(won, (0..KEYS).collect::<Vec<_>>());
}

/// Killed as a process is by `kill -9`, with claims and commits under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_is_killed_and_started_again_forgets_no_claim() {
    const KEYS: usize = 600;
    const ROUND: usize = 60;
    let server = Arc::new(DynamoDb::start().await);
    server.create_table(TABLE).await;
    let (rounds, mut ended) = mpsc::unbounded_channel();
    let mut workers = JoinSet::new();
    for owner in 1..=4_u128 {
        let ledger = DynamoDbLedger::new(&server.aws(), TABLE, shared("fleet", &Arc::default()));
        let rounds = rounds.clone();
        workers.spawn(async move {
            let ids: Vec<_> = (0..KEYS).map(|at| at.to_string()).collect();
            let mut won = Vec::new();
            for ids in ids.chunks(ROUND) {
                let wishes: Vec<_> = ids.iter().map(|id| wish(id, owner, 1)).collect();
                let answers = loop {
                    match ledger.claim_all(&wishes, LEASE).await {
                        Ok(answers) => break answers,
                        Err(error) => assert!(error.is_transient(), "{error:?}"),
                    }
                };
                let mine: Vec<_> =
                    wishes.into_iter().zip(answers).filter(|(_, it)| *it == Claim::Won).collect();
                let mine: Vec<_> = mine.into_iter().map(|(wish, _)| wish).collect();
                won.extend(mine.iter().map(|wish| wish.key.id.to_string()));
                let mut open = commits(&mine);
                while !open.is_empty() {
                    let results = ledger.commit(&open).await;
                    for result in &results {
                        match result {
                            Ok(commit) => assert_eq!(*commit, Commit::Recorded, "nobody else may own it"),
                            Err(error) => assert!(error.is_transient(), "{error:?}"),
                        }
                    }
                    let left = open.into_iter().zip(results).filter(|(_, result)| result.is_err());
                    open = left.map(|(commit, _)| commit).collect();
                }
                rounds.send(()).expect("somebody counts");
            }
            won
        });
    }
    drop(rounds);
    let mut kills = 0;
    let mut count = 0;
    while ended.recv().await.is_some() {
        count += 1;
        if count % 12 == 0 && kills < 3 {
            kills += 1;
            let server = server.clone();
            tokio::task::spawn_blocking(move || server.restart()).await.expect("restarted");
        }
    }
    let mut won = workers.join_all().await.concat();
    won.sort_unstable();
    let all = won.len();
    won.dedup();
    assert_eq!((all, won.len(), kills), (KEYS, KEYS, 3), "each key is won once");
}
