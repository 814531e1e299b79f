//! A shared ledger that goes away, or was never there: nothing is lost, nothing is published unclaimed, and the worker
//! recovers by itself.

use std::time::Duration;

use super::{
    endpoints::{Depth, Endpoints, QUEUE},
    records::{events, messages},
    worker::Worker,
};
use crate::support::{dynamodb::DynamoDb, valkey::Valkey};

fn on_valkey(server: &Valkey) -> [(&'static str, String); 2] {
    [("TRIBUTARY_LEDGER_KIND", "valkey".to_owned()), ("TRIBUTARY_LEDGER_URL", server.url())]
}

async fn worker(endpoints: &Endpoints, environment: &[(&str, String)]) -> Worker {
    let more: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    endpoints.worker(&more).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_is_gone_stops_intake_and_costs_nothing() {
    let mut server = Valkey::start().await;
    let endpoints = Endpoints::start().await;
    let worker = worker(&endpoints, &on_valkey(&server)).await;
    let known = events(21, 60);
    endpoints.send(&messages(&known, 1..=3, 21)).await;
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.stored(), 60);

    server.kill();
    let new = events(22, 90);
    endpoints.send(&messages(&new, 1..=3, 22)).await;
    endpoints.send(&messages(&known, 1..=3, 23)).await;
    let text = worker.until_not_ready("ledger").await;
    assert!(text.contains("ledger does not answer"), "{text}");
    assert_eq!(worker.get("/livez").await, Some((200, "alive\n".to_owned())), "no reason to restart");
    // As long as a lease: what is held is held, what is on the queue stays there.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(endpoints.stored(), 60, "nothing is published unclaimed");
    assert_ne!(endpoints.depth(QUEUE).await, Depth::EMPTY);

    server.restart();
    worker.until_ready().await;
    endpoints.until_drained(&worker).await;
    let all = [known, new].concat();
    assert_eq!(endpoints.assert_all_stored(&all).await, 0);
    let scrape = worker.scrape().await;
    scrape.assert_at_rest();
    assert_eq!((scrape.term("published"), scrape.term("duplicate"), scrape.term("returned")), (150, 60, 0));
    assert_eq!(scrape.sum("tributary_commits_lost_total"), 0);
    endpoints.assert_no_dead_letters().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_ledger_is_gone_stops_in_time_and_gives_everything_back() {
    let mut server = Valkey::start().await;
    let endpoints = Endpoints::start().await;
    let worker = worker(&endpoints, &on_valkey(&server)).await;
    worker.until_ready().await;
    server.kill();
    let bodies = messages(&events(24, 60), 2..=2, 24);
    endpoints.send(&bodies).await;
    worker.until_not_ready("ledger").await;
    let ended = worker.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.took < Duration::from_secs(9), "{:?}", ended.took);
    assert_eq!(endpoints.depth(QUEUE).await, Depth { visible: bodies.len() as u64, hidden: 0 });
    assert_eq!(endpoints.stored(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_does_not_exist_is_named_and_waited_for() {
    let server = DynamoDb::start_in_memory().await;
    let endpoints = Endpoints::start().await;
    let environment = [
        ("TRIBUTARY_LEDGER_KIND", "dynamodb".to_owned()),
        ("TRIBUTARY_LEDGER_TABLE", "not-yet".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", server.url.clone()),
    ];
    let worker = worker(&endpoints, &environment).await;
    let events = events(25, 40);
    endpoints.send(&messages(&events, 1..=3, 25)).await;
    let text = worker.until_not_ready("ledger").await;
    assert!(text.contains("ResourceNotFound") && text.contains("not-yet"), "{text}");
    server.create_table("not-yet").await;
    worker.until_ready().await;
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.assert_all_stored(&events).await, 0);
}
