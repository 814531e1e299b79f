//! What is SQS' own: attributes, handles that change, heartbeats, groups. On our own queue, fauxqs and ministack.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_sqs::types::MessageAttributeValue;
use tokio::time::timeout;
use tributary::{
    aws::Aws,
    config::QueueConfig,
    dead_letter::sqs::{ENCODING_ATTRIBUTE, LETTER_ATTRIBUTE},
    failure::CallError,
    metrics::Metrics,
    receive::{Message, Source, sqs::SqsSource},
};

use super::promises::{Misled, Place};
use crate::support::{
    queues::{Kind, QueueServer, on_servers},
    scripted::Scripted,
};

/// Longest wait for anything that has to happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// Hides messages for longer than any test runs.
const LONG: u64 = 300;

pub(in crate::seams) fn source_at(aws: &Aws, url: &str, visibility: u64) -> (SqsSource, Arc<Metrics>) {
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

/// A queue of a server.
pub(super) struct QueuePlace {
    server: QueueServer,
    url: String,
}

impl QueuePlace {
    pub(super) async fn on(kind: Kind) -> Self {
        let server = QueueServer::start(kind).await;
        let url = server.queue(&[]).await;
        Self { server, url }
    }
}

impl fmt::Display for QueuePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

#[async_trait]
impl Place for QueuePlace {
    async fn send(&self, bodies: &[Vec<u8>]) -> Vec<String> {
        let mut names = Vec::new();
        for body in bodies {
            let body = str::from_utf8(body).expect("queues carry text");
            names.push(send(&self.server, &self.url, body).await);
        }
        names
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::new(source(&self.server, &self.url, LONG))
    }

    fn misled(&self) -> Vec<Misled> {
        let url = format!("{}-missing", self.url);
        let (source, metrics) = source_at(&self.server.aws(), &url, LONG);
        vec![Misled { source: Arc::new(source), metrics, named: url }]
    }

    fn stranded(&self, url: &str) -> Arc<dyn Source> {
        Arc::new(source_at(&Aws::local(url, url), &format!("{url}/000000000000/events"), LONG).0)
    }

    fn limit(&self) -> (Vec<usize>, String) {
        let text = format!("\"\\é€\t\n{}", self.server.beyond_first_plane());
        (vec![256_000, 1_048_576], text)
    }

    async fn left(&self) -> Option<usize> {
        Some(self.server.count(&self.url).await)
    }
}

/// Receives until there are so many.
pub(in crate::seams) async fn receive(
    source: &SqsSource,
    count: usize,
    server: &QueueServer,
) -> Vec<Message> {
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
            attributes_say_how_a_letter_is_to_be_read,
            the_latest_handle_deletes_whichever_delivery_is_acked,
            acking_what_others_deleted_succeeds_or_says_why,
            a_heartbeat_hides_a_message_until_it_is_settled,
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
