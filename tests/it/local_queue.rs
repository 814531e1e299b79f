//! The local queue, judged by boto3 and the Rust SDK.

use std::{collections::BTreeSet, time::Duration};

use aws_sdk_sqs::{Client, types::MessageSystemAttributeName};
use serde_json::json;
use tempfile::TempDir;
use tributary::local::{self, LocalOptions, QueueSpec};

use crate::support::{
    local::{killed, options, sqs_client, start},
    python,
};

async fn receive(sqs: &Client, url: &str) -> Vec<aws_sdk_sqs::types::Message> {
    let received = sqs
        .receive_message()
        .queue_url(url)
        .max_number_of_messages(10)
        .message_system_attribute_names(MessageSystemAttributeName::All)
        .send()
        .await
        .expect("received");
    received.messages.unwrap_or_default()
}

async fn send(sqs: &Client, url: &str, body: &str) -> String {
    let sent = sqs.send_message().queue_url(url).message_body(body).send().await.expect("sent");
    sent.message_id.expect("a message has an id")
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_finds_everything_that_a_producer_and_a_consumer_need() {
    let local = start(options()).await;
    python::run("queue_tour.py", &json!({"endpoint": local.sqs_url()})).await;
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_sdk_sees_errors_as_what_they_are() {
    let local = start(options()).await;
    let sqs = sqs_client(&local);
    let missing =
        sqs.receive_message().queue_url(local.queue_url("missing")).send().await.expect_err("missing");
    assert!(missing.into_service_error().is_queue_does_not_exist());
    let delete = sqs.delete_message().queue_url(local.queue_url("events")).receipt_handle("garbage");
    assert!(delete.send().await.expect_err("garbage").into_service_error().is_receipt_handle_is_invalid());
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_ends_when_the_endpoint_stops() {
    let local = start(options()).await;
    let (sqs, url) = (sqs_client(&local), local.queue_url("events"));
    // A second request on the way in proves that the first one waits.
    let poll = sqs.receive_message().queue_url(&url).wait_time_seconds(20).send();
    let stop = async {
        while sqs.list_queues().send().await.is_err() {}
        tokio::task::yield_now().await;
        tokio::time::timeout(Duration::from_secs(4), local.stop())
            .await
            .expect("stops before the poll would end");
    };
    let (polled, ()) = tokio::join!(poll, stop);
    assert!(polled.is_err() || polled.is_ok_and(|polled| polled.messages().is_empty()));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_is_received_once_by_many_consumers_at_once() {
    let local = start(options()).await;
    let (sqs, url) = (sqs_client(&local), local.queue_url("events"));
    let mut sent = BTreeSet::new();
    for at in 0..200 {
        sent.insert(send(&sqs, &url, &at.to_string()).await);
    }
    let mut consumers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (sqs, url) = (sqs.clone(), url.clone());
        consumers.spawn(async move {
            let mut ids = Vec::new();
            loop {
                let messages = receive(&sqs, &url).await;
                if messages.is_empty() {
                    return ids;
                }
                ids.extend(messages.into_iter().filter_map(|message| message.message_id));
            }
        });
    }
    let received: Vec<String> = consumers.join_all().await.concat();
    assert_eq!(received.len(), 200);
    assert_eq!(received.into_iter().collect::<BTreeSet<_>>(), sent);
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_queue_answered_is_there_after_a_kill() {
    let dir = tempfile::tempdir().expect("a folder");
    let queues = vec![
        QueueSpec { name: "dead".to_owned(), dead_letter: None },
        QueueSpec { name: "live".to_owned(), dead_letter: Some(("dead".to_owned(), 1)) },
    ];
    let options = |dir: &TempDir| LocalOptions {
        dir: Some(dir.path().to_owned()),
        queues: queues.clone(),
        ..options()
    };
    let local = start(options(&dir)).await;
    let (sqs, url) = (sqs_client(&local), local.queue_url("live"));
    let kept = send(&sqs, &url, "kept").await;
    let dropped = send(&sqs, &url, "dropped").await;
    let messages = receive(&sqs, &url).await;
    let handle = |id: &str| {
        let message = messages.iter().find(|message| message.message_id() == Some(id));
        message.and_then(|message| message.receipt_handle()).expect("received").to_owned()
    };
    sqs.delete_message().queue_url(&url).receipt_handle(handle(&dropped)).send().await.expect("deleted");
    sqs.create_queue().queue_name("made").send().await.expect("made");
    let left = killed(dir.path());
    local.stop().await;

    let local = start(options(&left)).await;
    let (sqs, url) = (sqs_client(&local), local.queue_url("live"));
    sqs.get_queue_url().queue_name("made").send().await.expect("still there");
    let messages = receive(&sqs, &url).await;
    assert_eq!(
        messages.iter().filter_map(|message| message.message_id()).collect::<Vec<_>>(),
        [kept.as_str()]
    );
    // Hidden again at once: the next receive finds it used up, and moves it.
    let handle = messages[0].receipt_handle().expect("received");
    let change = sqs.change_message_visibility().queue_url(&url).receipt_handle(handle).visibility_timeout(0);
    change.send().await.expect("changed");
    assert!(receive(&sqs, &url).await.is_empty());
    let left = killed(left.path());
    local.stop().await;

    let local = start(options(&left)).await;
    let sqs = sqs_client(&local);
    assert!(receive(&sqs, &local.queue_url("live")).await.is_empty());
    let letters = receive(&sqs, &local.queue_url("dead")).await;
    assert_eq!(letters.iter().filter_map(|letter| letter.body()).collect::<Vec<_>>(), ["kept"]);
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_from_before_a_restart_deletes_until_the_message_is_received_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = |dir: &TempDir| LocalOptions { dir: Some(dir.path().to_owned()), ..options() };
    let local = start(options(&dir)).await;
    let (sqs, url) = (sqs_client(&local), local.queue_url("events"));
    send(&sqs, &url, "a").await;
    let handle = receive(&sqs, &url).await[0].receipt_handle().expect("received").to_owned();
    local.stop().await;

    let delete = async |sqs: &Client, url: &str| {
        sqs.delete_message().queue_url(url).receipt_handle(&handle).send().await.expect("answered");
    };
    let again = start(options(&killed(dir.path()))).await;
    let (sqs, url) = (sqs_client(&again), again.queue_url("events"));
    assert_eq!(receive(&sqs, &url).await.len(), 1);
    delete(&sqs, &url).await;
    let in_flight = aws_sdk_sqs::types::QueueAttributeName::ApproximateNumberOfMessagesNotVisible;
    let shown = sqs.get_queue_attributes().queue_url(&url).attribute_names(in_flight.clone()).send().await;
    let shown = shown.expect("answered").attributes.expect("one attribute");
    assert_eq!(shown.get(&in_flight).map(String::as_str), Some("1"));
    again.stop().await;

    let local = start(options(&dir)).await;
    let (sqs, url) = (sqs_client(&local), local.queue_url("events"));
    delete(&sqs, &url).await;
    assert!(receive(&sqs, &url).await.is_empty());
    local.stop().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_said_with_its_cure() {
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let error =
        local::start(LocalOptions { dir: Some(file), ..options() }).await.map(|_| ()).expect_err("a file");
    assert!(
        error.to_string().contains("make it a folder that can be written, or start without --dir"),
        "{error}"
    );

    let options = || LocalOptions { dir: Some(dir.path().to_owned()), ..options() };
    let first = start(options()).await;
    let error = local::start(options()).await.map(|_| ()).expect_err("in use");
    assert!(error.to_string().contains("another process"), "{error}");
    first.stop().await;
    start(options()).await.stop().await;
}
