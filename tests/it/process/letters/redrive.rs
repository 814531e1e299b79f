//! Redrives that are killed, and queues that answer what no operator hopes for: no letter is lost, and no event is in the lake
//! twice.

use std::time::Duration;

use serde_json::{Value, json};

use super::{borrowed, cured_after_refusal, dlq, put};
use crate::{
    process::{
        endpoints::{DEAD_LETTERS, Depth, Endpoints, QUEUE},
        worker::Worker,
    },
    support::{
        program::command,
        scripted::{Call, Scripted},
    },
};

/// An answer that is not the whole truth.
type Lie = fn(&Call) -> (u16, Value);

const HIDE: &[&str] = &["--hide-for", "5"];

/// The commands reach the queues through something else than the service does.
fn through(endpoints: &Endpoints, proxy: &Scripted) -> Vec<(String, String)> {
    endpoints.environment(&[("AWS_ENDPOINT_URL_SQS", proxy.url())])
}

async fn until_visible(endpoints: &Endpoints, worker: &Worker) {
    worker
        .until("no letter is hidden", async |_: &Worker| {
            (endpoints.depth(DEAD_LETTERS).await.hidden == 0).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redrive_that_is_killed_again_and_again_loses_nothing() {
    let (endpoints, worker, events) = cured_after_refusal(41, 90).await;
    let environment = endpoints.environment(&[]);
    let mut left = 90;
    for kill in 0..3 {
        let stored = endpoints.stored();
        let redrive = [&["dlq", "redrive", "--rate", "15"], HIDE].concat();
        let mut child = command(&redrive, &borrowed(&environment)).spawn().expect("it starts");
        endpoints.until_stored(&worker, stored + 1 + kill * 7).await;
        child.kill().await.expect("it can be killed");
        until_visible(&endpoints, &worker).await;
        let now = endpoints.depth(DEAD_LETTERS).await.visible;
        assert!(now < left, "kill {kill}: it goes on where it was: {now} of {left}");
        left = now;
    }
    assert!(left > 0, "the kills came too late");
    let ran = dlq(&environment, &["redrive", "--json", "--rate", "1000"]).await;
    assert_eq!((ran.code, &ran.json()["redriven"]), (0, &json!(left)), "{} {}", ran.out, ran.err);
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.assert_all_stored(&events).await, 0);
    endpoints.assert_no_dead_letters().await;
}

/// As if it were killed between the two: the letters are on both queues, and are sent once more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_and_not_deleted_is_sent_again_and_recognised() {
    let (endpoints, worker, events) = cured_after_refusal(42, 25).await;
    let script = |call: &Call| {
        (call.action == "DeleteMessageBatch").then(|| call.outcome(|_| Some(("InvalidClientTokenId", true))))
    };
    let proxy = Scripted::before(&endpoints.local.sqs_url(), script).await;
    let ran = dlq(&through(&endpoints, &proxy), &["redrive", "--json"]).await;
    assert_eq!((ran.code, &ran.json()["not_deleted"]), (3, &json!(25)), "{} {}", ran.out, ran.err);
    endpoints.until_stored(&worker, 25).await;
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.depth(DEAD_LETTERS).await, Depth { visible: 25, hidden: 0 }, "given back");

    let ran = dlq(&endpoints.environment(&[]), &["redrive", "--json"]).await;
    assert_eq!((ran.code, &ran.json()["redriven"]), (0, &json!(25)), "{} {}", ran.out, ran.err);
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.assert_all_stored(&events).await, 0);
    assert_eq!(worker.scrape().await.term("duplicate"), 25);
    endpoints.assert_no_dead_letters().await;
}

/// Each answer to a send that confirms not all of it; what it leaves out must still be there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_the_queue_did_not_confirm_stays() {
    let refused =
        |call: &Call| call.outcome(|entry| (entry["Id"] == "0").then_some(("InvalidMessageContents", true)));
    let unmentioned = |call: &Call| {
        let (status, mut answer) = call.outcome(|_| None);
        answer["Successful"].as_array_mut().expect("entries").retain(|entry| entry["Id"] != "0");
        (status, answer)
    };
    for (name, lie) in [("refused", refused as Lie), ("unmentioned", unmentioned as Lie)] {
        let endpoints = Endpoints::start().await;
        let letters: Vec<_> = (0..7).map(|at| (format!("letter {at}"), Vec::new())).collect();
        put(&endpoints, &letters).await;
        let script = move |call: &Call| (call.action == "SendMessageBatch").then(|| lie(call));
        let proxy = Scripted::before(&endpoints.local.sqs_url(), script).await;
        let ran = dlq(&through(&endpoints, &proxy), &["redrive", "--json"]).await;
        assert_eq!((ran.code, &ran.json()["refused"]), (3, &json!(1)), "{name}: {} {}", ran.out, ran.err);
        let first = proxy.calls("SendMessageBatch").remove(0);
        let kept = first.entries()[0]["MessageBody"].clone();
        let left = super::ls(&endpoints.environment(&[]), &[]).await;
        assert_eq!(left.len(), 1, "{name}");
        let id = left[0]["letter"].as_str().expect("an id");
        let original = dlq(&endpoints.environment(&[]), &["show", id, "--original"]).await;
        assert_eq!(json!(original.out), kept, "{name}: this one was not confirmed");
    }
}

/// A service that dead-letters again what it gets: the command ends, and the new letters are left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn letters_that_come_back_at_once_are_not_sent_round_and_round() {
    let (endpoints, worker, _) = cured_after_refusal(43, 20).await;
    endpoints.misbehave(tributary::local::Faults {
        fail_share: 1.0,
        fail_code: "InvalidData".to_owned(),
        ..Default::default()
    });
    let environment = endpoints.environment(&[]);
    let redrive = dlq(&environment, &["redrive", "--json", "--rate", "10"]);
    let ran = tokio::time::timeout(Duration::from_mins(1), redrive).await.expect("it ends");
    assert_eq!((ran.code, &ran.json()["redriven"]), (0, &json!(20)), "{} {}", ran.out, ran.err);
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.depth(DEAD_LETTERS).await, Depth { visible: 20, hidden: 0 });
    assert_eq!(worker.scrape().await.term("dead_lettered"), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_gets_no_letters_and_a_queue_none_of_another() {
    let endpoints = Endpoints::start().await;
    let of = |source: &str| {
        let words = json!({ "reason": "no_route", "event_id": source, "about": { "source": source } });
        ("{}".to_owned(), vec![("tributary.letter", words.to_string())])
    };
    put(&endpoints, &[of(QUEUE), of("orders")]).await;
    let mut environment = endpoints.environment(&[]);
    environment.retain(|(name, _)| name != "TRIBUTARY_SOURCE_QUEUE_URL");
    let arn = "arn:aws:kinesis:us-east-1:111122223333:stream/audit";
    environment.push(("TRIBUTARY_STREAM_ARN".to_owned(), arn.to_owned()));
    let ran = dlq(&environment, &["redrive"]).await;
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert!(ran.err.contains("--to-queue") && ran.err.contains("ledger"), "{}", ran.err);

    let ran = dlq(&endpoints.environment(&[]), &["redrive", "--json"]).await;
    let told = ran.json();
    assert_eq!((&told["redriven"], &told["from_elsewhere"]), (&json!(1), &json!(1)), "{}", ran.err);
    let url = endpoints.local.queue_url(QUEUE);
    let ran = dlq(&environment, &["redrive", "--to-queue", &url, "--json"]).await;
    assert_eq!((ran.code, &ran.json()["redriven"]), (0, &json!(1)), "{}", ran.err);
    assert_eq!(endpoints.depth(QUEUE).await.visible, 2);
    endpoints.assert_no_dead_letters().await;
}

/// A slow redrive holds what it has not sent yet for longer than it hides it at first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_its_turn_stays_hidden() {
    let endpoints = Endpoints::start().await;
    let letters: Vec<_> = (0..10).map(|at| (format!("letter {at}"), Vec::new())).collect();
    put(&endpoints, &letters).await;
    let redrive = [&["dlq", "redrive", "--rate", "1"], HIDE].concat();
    let environment = endpoints.environment(&[]);
    let mut child = command(&redrive, &borrowed(&environment)).spawn().expect("it starts");
    let (mut looks, mut is_held) = (0, false);
    while child.try_wait().expect("a child").is_none() {
        let Depth { visible, hidden } = endpoints.depth(DEAD_LETTERS).await;
        is_held |= hidden > 0;
        looks += u32::from(hidden > 0);
        assert!(visible == 0 || !is_held, "{visible} can be seen that are held, and {hidden} cannot");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(looks > 40, "{looks} looks are less than the time that letters are hidden at first");
    assert_eq!(endpoints.depth(QUEUE).await.visible, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_redrive_gives_back_at_once_what_it_has_not_sent() {
    let endpoints = Endpoints::start().await;
    let letters: Vec<_> = (0..10).map(|at| (format!("letter {at}"), Vec::new())).collect();
    put(&endpoints, &letters).await;
    let environment = endpoints.environment(&[]);
    let child =
        command(&["dlq", "redrive", "--rate", "1"], &borrowed(&environment)).spawn().expect("it starts");
    while endpoints.depth(QUEUE).await.visible == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let id = child.id().expect("it runs").to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().expect("kill runs").success());
    let ended = child.wait_with_output().await.expect("it ends");
    assert_eq!(ended.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("interrupted"));
    let (back, left) = (endpoints.depth(QUEUE).await.visible, endpoints.depth(DEAD_LETTERS).await);
    assert!(back < 10 && left.hidden == 0 && back + left.visible >= 10, "{back} sent, and left {left:?}");
}
