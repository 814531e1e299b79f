//! What every source promises, on every server: our own queue, fauxqs and ministack.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::TcpListener,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_sdk_sqs::types::MessageAttributeValue;
use tokio::time::{Instant, timeout};
use tributary::{
    aws::Aws,
    config::QueueConfig,
    dead_letter::sqs::{ENCODING_ATTRIBUTE, LETTER_ATTRIBUTE},
    failure::CallError,
    metrics::Metrics,
    receive::{Handle, Message, Source, sqs::SqsSource},
};

use crate::support::{
    queues::{QueueServer, on_servers},
    scripted::Scripted,
};

/// Longest wait for anything that has to happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// Hides messages for longer than any test runs.
const LONG: u64 = 300;

pub(super) fn source_at(aws: &Aws, url: &str, visibility: u64) -> (SqsSource, Arc<Metrics>) {
    let metrics = Metrics::new().expect("metrics");
    let config = QueueConfig {
        queue_url: url.to_owned(),
        wait: Duration::from_secs(1),
        visibility: Duration::from_secs(visibility),
    };
    (SqsSource::new(aws, &config, metrics.clone()), metrics)
}

fn source(server: &QueueServer, url: &str, visibility: u64) -> SqsSource {
    source_at(&server.aws(), url, visibility).0
}

/// Receives until there are so many.
pub(super) async fn receive(source: &SqsSource, count: usize, server: &QueueServer) -> Vec<Message> {
    let mut received = Vec::new();
    let polls = async {
        while received.len() < count {
            let polled = source.receive().await;
            received.extend(polled.unwrap_or_else(|error| panic!("{server}: {error}")));
        }
    };
    let in_time = timeout(PATIENCE, polls).await.is_ok();
    assert!(in_time, "{server}: {} of {count} messages came", received.len());
    received
}

async fn one(source: &SqsSource, server: &QueueServer) -> Message {
    receive(source, 1, server).await.pop().expect("one message")
}

async fn send(server: &QueueServer, url: &str, body: &str) -> String {
    let sent = server.client().send_message().queue_url(url).message_body(body).send().await;
    sent.unwrap_or_else(|error| panic!("{server}: {error:?}")).message_id.expect("a message has an id")
}

async fn send_many(server: &QueueServer, url: &str, count: usize) {
    for first in (0..count).step_by(10) {
        let entries = (first..count.min(first + 10)).map(|at| {
            let entry = aws_sdk_sqs::types::SendMessageBatchRequestEntry::builder().id(at.to_string());
            entry.message_body(format!("message {at}")).build().expect("complete")
        });
        let call = server.client().send_message_batch().queue_url(url);
        let sent = call.set_entries(Some(entries.collect())).send().await;
        let sent = sent.unwrap_or_else(|error| panic!("{server}: {error:?}"));
        assert!(sent.failed.is_empty(), "{server}: not every message was sent");
    }
}

fn assert_all_ok(results: &[Result<(), CallError>], count: usize, server: &QueueServer) {
    assert_eq!(results.len(), count, "{server}: one result for each handle");
    let failed: Vec<_> = results.iter().filter(|result| result.is_err()).collect();
    assert!(failed.is_empty(), "{server}: {failed:?}");
}

async fn a_message_comes_with_all_that_was_sent(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let source = source(server, &url, LONG);
    let about_now = SystemTime::now();
    let id = send(server, &url, "{\"a\": 1}").await;
    let mut deliveries = BTreeSet::new();
    for attempt in 1..=3 {
        let asked_at = Instant::now();
        let message = one(&source, server).await;
        assert_eq!(message.body, "{\"a\": 1}", "{server}");
        assert_eq!(*message.handle.message_id, *id, "{server}");
        assert_eq!(message.attempt, attempt, "{server}: attempts are counted");
        let sent_at = message.sent_at.unwrap_or(SystemTime::UNIX_EPOCH);
        let off_by = sent_at.duration_since(about_now).or_else(|_| about_now.duration_since(sent_at));
        assert!(off_by.is_ok_and(|off_by| off_by < PATIENCE), "{server}: sent at {sent_at:?}");
        assert!(!message.is_base64 && !message.is_redriven, "{server}: a plain message");
        assert_eq!(message.group, None, "{server}");
        let hidden = Duration::from_secs(LONG);
        let ours = message.deadline.at();
        assert!(ours > asked_at && ours <= Instant::now() + hidden, "{server}: ours until {ours:?}");
        assert!(
            deliveries.insert(message.handle.delivery),
            "{server}: each delivery has a handle of its own"
        );
        assert_all_ok(&source.give_back(&[(message.handle, Duration::ZERO)]).await, 1, server);
    }
}

async fn attributes_say_how_a_letter_is_to_be_read(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let source = source(server, &url, LONG);
    let text = |text: &str| {
        MessageAttributeValue::builder().data_type("String").string_value(text).build().expect("complete")
    };
    let cases = [
        ("plain", None, None, (false, false)),
        ("letter", Some("{}"), None, (false, true)),
        ("bGV0dGVy", Some("{}"), Some("base64"), (true, true)),
        ("other", None, Some("rot13"), (false, false)),
        // Whatever a producer claims, its body is not taken for nothing.
        ("not empty", None, Some("empty"), (false, false)),
    ];
    for (body, letter, encoding, expected) in cases {
        let mut call = server.client().send_message().queue_url(&url).message_body(body);
        for (name, value) in [(LETTER_ATTRIBUTE, letter), (ENCODING_ATTRIBUTE, encoding)] {
            if let Some(value) = value {
                call = call.message_attributes(name, text(value));
            }
        }
        call.send().await.unwrap_or_else(|error| panic!("{server}: {error:?}"));
        let message = one(&source, server).await;
        assert_eq!(message.body, body, "{server}");
        assert_eq!((message.is_base64, message.is_redriven), expected, "{server}: {body}");
        assert_all_ok(&source.ack(&[message.handle]).await, 1, server);
    }
}

async fn the_latest_handle_deletes_whichever_delivery_is_acked(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let source = source(server, &url, 1);
    send(server, &url, "a").await;
    let first = one(&source, server).await;
    // Nothing keeps it hidden: it comes again while the first delivery is under way.
    let second = one(&source, server).await;
    assert_eq!(first.handle.message_id, second.handle.message_id, "{server}");
    assert_eq!(second.attempt, 2, "{server}");
    assert_all_ok(&source.ack(&[first.handle]).await, 1, server);
    assert_eq!(server.count(&url).await, 0, "{server}: the message was not deleted");
    assert_all_ok(&source.ack(&[second.handle]).await, 1, server);
}

async fn acking_what_others_deleted_succeeds_or_says_why(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let source = source(server, &url, 1);
    send(server, &url, "a").await;
    let message = one(&source, server).await;
    let stolen = loop {
        if let Some(stolen) = server.receive(&url, 2, 60).await.pop() {
            break stolen.receipt_handle.expect("a handle");
        }
    };
    let delete = server.client().delete_message().queue_url(&url).receipt_handle(stolen);
    delete.send().await.unwrap_or_else(|error| panic!("{server}: {error:?}"));
    let results = source.ack(&[message.handle]).await;
    assert_eq!(results.len(), 1, "{server}");
    // AWS documents success; ministack says that the handle is no handle any more.
    let is_told = |error: &CallError| error.code() == "ReceiptHandleIsInvalid";
    assert!(results[0].as_ref().err().is_none_or(is_told), "{server}: {results:?}");
}

async fn given_back_it_is_there_at_once_or_after_the_delay(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let source = source(server, &url, LONG);
    send(server, &url, "a").await;
    let message = one(&source, server).await;
    assert!(server.receive(&url, 0, 1).await.is_empty(), "{server}: hidden");
    assert_all_ok(&source.give_back(&[(message.handle, Duration::ZERO)]).await, 1, server);
    let message = one(&source, server).await;
    let delay = Duration::from_secs(2);
    let given_back_at = Instant::now();
    assert_all_ok(&source.give_back(&[(message.handle, delay)]).await, 1, server);
    let again = one(&source, server).await;
    let after = given_back_at.elapsed();
    // A clock of whole milliseconds on the other side may round down.
    assert!(after + Duration::from_millis(50) > delay, "{server}: came again after {after:?}");
    assert_eq!(again.attempt, 3, "{server}");
}

async fn a_call_answers_for_each_handle(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let source = source(server, &url, LONG);
    for count in [1, 10, 11, 205] {
        send_many(server, &url, count).await;
        let received = receive(&source, count, server).await;
        let bodies: BTreeSet<_> = received.iter().map(|message| message.body.clone()).collect();
        assert_eq!(bodies.len(), count, "{server}: every message once");
        let handles: Vec<_> = received.into_iter().map(|message| (message.handle, Duration::ZERO)).collect();
        assert_all_ok(&source.give_back(&handles).await, count, server);
        let received = receive(&source, count, server).await;
        let handles: Vec<Handle> = received.into_iter().map(|message| message.handle).collect();
        assert_all_ok(&source.ack(&handles).await, count, server);
        assert_eq!(server.count(&url).await, 0, "{server}: {count} messages were acked");
        assert_all_ok(&source.ack(&handles).await, count, server);
    }
    assert_all_ok(&source.ack(&[]).await, 0, server);
    assert_all_ok(&source.give_back(&[]).await, 0, server);
}

/// Keeps messages alive while something else goes on.
async fn meanwhile<T>(source: &SqsSource, scenario: impl Future<Output = T>) -> T {
    tokio::select! {
        () = source.keep_alive() => unreachable!("runs until it is dropped"),
        result = scenario => result,
    }
}

async fn a_heartbeat_hides_a_message_until_it_is_settled(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let (source, metrics) = source_at(&server.aws(), &url, 2);
    let heartbeats = || {
        let text = metrics.render();
        let counts = text.lines().filter(|line| line.starts_with("tributary_heartbeats_total"));
        counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum::<u64>()
    };
    send_many(server, &url, 2).await;
    let mut messages = receive(&source, 2, server).await;
    let ours_at_first = messages[0].deadline.at();
    let others = meanwhile(&source, server.receive(&url, 5, 1)).await;
    assert!(others.is_empty(), "{server}: others received a message that is kept alive");
    for message in &messages {
        assert!(
            message.deadline.at() > ours_at_first + Duration::from_secs(1),
            "{server}: the deadline moves"
        );
    }
    let (one, other) = (messages.remove(0).handle, messages.remove(0).handle);
    assert_all_ok(&source.ack(&[one]).await, 1, server);
    assert_all_ok(&source.give_back(&[(other, Duration::ZERO)]).await, 1, server);
    // Others get it at once, and again when their own time is over: nobody extends it any more.
    let others = server.receive(&url, 5, 2).await;
    assert_eq!(others.len(), 1, "{server}: given back, and not there");
    let before = heartbeats();
    let others = meanwhile(&source, server.receive(&url, 5, 1)).await;
    assert_eq!(others.len(), 1, "{server}: the heartbeat did not stop");
    assert!(before >= 4, "{server}: {before} heartbeats");
    assert_eq!(heartbeats(), before, "{server}: settled messages are extended");
}

async fn a_missing_queue_is_our_mistake(server: &QueueServer) {
    let url = format!("{}-missing", server.queue(&[]).await);
    let (source, metrics) = source_at(&server.aws(), &url, LONG);
    let Err(error) = source.receive().await else { panic!("{server}: received from no queue") };
    assert!(matches!(error, CallError::Misconfigured { .. }), "{server}: {error:?}");
    let text = error.to_string();
    assert!(text.contains(&url) && text.contains("Region"), "{server}: no queue and no cure in: {text}");
    assert!(
        metrics.render().contains("tributary_source_errors_total{call=\"receive\""),
        "{server}: not counted"
    );
}

async fn bodies_up_to_the_limit_arrive_whole(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let source = source(server, &url, LONG);
    for bytes in [256_000, 1_048_576] {
        let text = format!("\"\\é€\t\n{}", server.beyond_first_plane());
        let body = text.repeat(bytes / text.len()) + &"x".repeat(bytes % text.len());
        assert_eq!(body.len(), bytes);
        send(server, &url, &body).await;
        let message = one(&source, server).await;
        assert!(message.body == body.as_bytes(), "{server}: a body of {bytes} bytes changed on its way");
        assert_all_ok(&source.ack(&[message.handle]).await, 1, server);
    }
}

async fn a_group_on_a_standard_queue_orders_nothing(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let source = source(server, &url, LONG);
    let sent = server.client().send_message().queue_url(&url).message_body("a").message_group_id("tenant");
    sent.send().await.unwrap_or_else(|error| panic!("{server}: {error:?}"));
    assert_eq!(one(&source, server).await.group, None, "{server}");
}

async fn messages_of_one_group_come_in_order(server: &QueueServer) {
    let url = server.fifo_queue().await;
    let source = source(server, &url, LONG);
    for at in 0..6 {
        let (body, group) = (format!("{at}"), ["even", "odd"][at % 2]);
        let sent = server.client().send_message().queue_url(&url).message_body(&body).message_group_id(group);
        let sent = sent.message_deduplication_id(body).send().await;
        sent.unwrap_or_else(|error| panic!("{server}: {error:?}"));
    }
    // Given back whole: what comes again may not have changed its order.
    let returned: Vec<_> =
        receive(&source, 1, server).await.into_iter().map(|it| (it.handle, Duration::ZERO)).collect();
    assert_all_ok(&source.give_back(&returned).await, returned.len(), server);
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while groups.values().map(Vec::len).sum::<usize>() < 6 {
        // Some servers hand out one message of a group at a time.
        for message in receive(&source, 1, server).await {
            let group = message.group.as_deref().unwrap_or_else(|| panic!("{server}: no group"));
            let body = String::from_utf8(message.body.to_vec()).expect("text");
            groups.entry(group.to_owned()).or_default().push(body);
            assert_all_ok(&source.ack(&[message.handle]).await, 1, server);
        }
    }
    let expected = [("even", ["0", "2", "4"]), ("odd", ["1", "3", "5"])];
    let expected = expected.map(|(group, bodies)| (group.to_owned(), bodies.map(str::to_owned).to_vec()));
    assert_eq!(groups, BTreeMap::from(expected), "{server}");
}

macro_rules! standard_cases {
    ($($name:ident = $kind:ident: $($more:ident),*;)+) => {
        $(on_servers! { $name = $kind:
            a_message_comes_with_all_that_was_sent,
            attributes_say_how_a_letter_is_to_be_read,
            the_latest_handle_deletes_whichever_delivery_is_acked,
            acking_what_others_deleted_succeeds_or_says_why,
            given_back_it_is_there_at_once_or_after_the_delay,
            a_call_answers_for_each_handle,
            a_heartbeat_hides_a_message_until_it_is_settled,
            a_missing_queue_is_our_mistake,
            bodies_up_to_the_limit_arrive_whole,
            a_group_on_a_standard_queue_orders_nothing,
            $($more),*
        })+
    };
}

standard_cases! {
    local = Local: ;
    fauxqs = Fauxqs: messages_of_one_group_come_in_order;
    ministack = Ministack: messages_of_one_group_come_in_order;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_the_moments_fault() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
    let url = format!("http://127.0.0.1:{port}");
    let (source, _) = source_at(&Aws::local(&url, &url), &format!("{url}/000000000000/events"), LONG);
    let Err(error) = source.receive().await else { panic!("received from nowhere") };
    assert!(matches!(&error, CallError::Transient { code, .. } if code == "unreachable"), "{error:?}");
}

#[tokio::test]
async fn a_body_that_does_not_match_its_md5_is_left_to_come_again() {
    let server = Scripted::start(|_| {
        let message = |id: &str, md5: &str| {
            serde_json::json!({
                "MessageId": id, "ReceiptHandle": id, "Body": "a", "MD5OfBody": md5, "Attributes": {}
            })
        };
        let good = "0cc175b9c0f1b6a831c399e269772661";
        let messages = [message("good", good), message("bad", "0cc175b9c0f1b6a831c399e269772662")];
        (200, serde_json::json!({ "Messages": messages }))
    });
    let server = server.await;
    let (source, metrics) = source_at(&server.aws(), &server.queue_url(), LONG);
    let received = source.receive().await.expect("received");
    let ids: Vec<_> = received.iter().map(|message| &*message.handle.message_id).collect();
    assert_eq!(ids, ["good"], "the server with the wrong MD5");
    let text = metrics.render();
    let counted = text.lines().find(|line| line.contains("bad_md5")).unwrap_or_default();
    assert!(counted.starts_with("tributary_source_errors_total") && counted.ends_with(" 1"), "{counted:?}");
}
