//! What became of an event: `trace` and `ledger` against a ledger that real workers have written.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use super::{
    endpoints::Endpoints,
    records::{events, messages},
};
use crate::support::{dynamodb::DynamoDb, valkey::Valkey};

struct Auditor {
    environment: Vec<(String, String)>,
}

impl Auditor {
    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_tributary"))
            .args(arguments)
            .envs(self.environment.clone())
            .stdin(Stdio::null())
            .output()
            .await
            .expect("the program runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    async fn ask(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let (code, out, err) = self.run(arguments).await;
        (code, serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}")))
    }
}

/// One event that is published, one that is rejected, one that nobody has seen; then one that is forgotten.
async fn everything_is_answered(ledger: &[(&str, String)]) {
    let endpoints = Endpoints::start().await;
    let more: Vec<_> = ledger.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let more = [&more[..], &[("TRIBUTARY_SERVICE_WORKER", "clerk")]].concat();
    let worker = endpoints.worker(&more).await;
    let event = events(31, 1).remove(0);
    let mut bad = events(32, 1).remove(0);
    bad.value["eventTime"] = "the year 2024".into();
    endpoints.send(&messages(&[event.clone(), bad.clone()], 1..=1, 31)).await;
    endpoints.until_drained(&worker).await;
    let auditor = Auditor { environment: endpoints.environment(&more) };

    let (code, said) = auditor.ask(&["trace", &event.uid, "--json"]).await;
    let answer = &said[0];
    assert_eq!(
        (code, &answer["state"], &answer["destination"]),
        (Some(0), &"published".into(), &"lake".into())
    );
    assert!(answer["worker"].as_str().is_some_and(|worker| worker.starts_with("clerk/")), "{said}");
    let stored_as = answer["stored_as"].as_str().expect("the lake's own name");
    let (code, row) =
        auditor.ask(&["lake", "get", stored_as, "--json", "--url", &endpoints.local.lake_url()]).await;
    assert_eq!((code, &row["eventData"]["UID"]), (Some(0), &event.uid.clone().into()), "{row}");
    let (_, out, _) = auditor.run(&["trace", &event.uid]).await;
    assert!(out.contains("lake: published") && out.contains(stored_as) && out.contains("SHA-256"), "{out}");

    let (code, said) = auditor.ask(&["trace", &bad.uid, "--json"]).await;
    assert_eq!(
        (code, &said[0]["state"], &said[0]["reason"]),
        (Some(3), &"dead-lettered".into(), &"bad_time".into())
    );
    let (code, said) = auditor.ask(&["trace", "nobody", "--json"]).await;
    assert_eq!((code, &said[0]["state"]), (Some(3), &"never-seen".into()));

    let (code, out, _) = auditor.run(&["ledger", "stats"]).await;
    assert_eq!(code, Some(0), "{out}");
    assert!(out.lines().count() >= 3, "{out}");

    let forget = ["ledger", "forget", &event.uid, "--reason", "CHG-1234"];
    let (code, _, err) = auditor.run(&forget).await;
    assert_eq!(code, Some(2), "nobody is there to confirm");
    assert!(err.contains("--yes"), "{err}");
    let (code, _, err) = auditor.run(&[&forget[..], &["--yes"]].concat()).await;
    assert_eq!(code, Some(0), "{err}");
    assert!(err.contains("CHG-1234") && err.contains("operator:"), "who and why: {err}");
    let (code, said) = auditor.ask(&["ledger", "get", &event.uid, "--json"]).await;
    assert_eq!((code, &said["state"]), (Some(3), &"never-seen".into()));
    let (code, _, _) = auditor.run(&[&forget[..], &["--yes"]].concat()).await;
    assert_eq!(code, Some(3), "there is nothing to forget");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dynamodb_tells_what_became_of_an_event() {
    let server = DynamoDb::start_in_memory().await;
    server.create_table("receipts").await;
    everything_is_answered(&[
        ("TRIBUTARY_LEDGER_KIND", "dynamodb".to_owned()),
        ("TRIBUTARY_LEDGER_TABLE", "receipts".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", server.url.clone()),
        ("USER", "alex".to_owned()),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn valkey_tells_what_became_of_an_event() {
    let server = Valkey::start().await;
    everything_is_answered(&[
        ("TRIBUTARY_LEDGER_KIND", "valkey".to_owned()),
        ("TRIBUTARY_LEDGER_URL", server.url()),
        ("USER", "alex".to_owned()),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_in_memory_cannot_be_asked_and_says_what_can() {
    let endpoints = Endpoints::start().await;
    let auditor = Auditor { environment: endpoints.environment(&[]) };
    let (code, _, err) = auditor.run(&["trace", "a"]).await;
    assert_eq!(code, Some(2));
    assert!(err.contains("ledger.kind") && err.contains("dynamodb"), "{err}");
}
