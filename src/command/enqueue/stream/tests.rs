//! Against a server on loopback that answers as each case wants.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use axum::{Router, body::Bytes, http::StatusCode, response::IntoResponse};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::{
    command::enqueue::{
        pack::{Batch, Message},
        send::{Sent, send},
        target::Target,
    },
    intervals::Intervals,
};

/// A record as it came: its key and its data.
type Record = (String, Vec<u8>);
/// The records of each call, in order.
type Calls = Arc<Mutex<Vec<Vec<Record>>>>;

struct Server {
    stream: Stream,
    calls: Calls,
    _serving: JoinSet<()>,
}

impl Server {
    /// Serves `answer`, which gets the number of the call and its records.
    async fn start(
        answer: impl Fn(usize, &[Record]) -> (u16, Value) + Clone + Send + Sync + 'static,
    ) -> Self {
        let calls = Calls::default();
        let seen = Arc::clone(&calls);
        let reply = move |body: Bytes| {
            let request: Value = serde_json::from_slice(&body).unwrap();
            let record = |record: &Value| {
                let data = BASE64_STANDARD.decode(record["Data"].as_str().unwrap()).unwrap();
                (record["PartitionKey"].as_str().unwrap().to_owned(), data)
            };
            let records: Vec<_> = request["Records"].as_array().unwrap().iter().map(record).collect();
            assert_eq!(request["StreamName"], "audit");
            let mut seen = seen.lock().unwrap();
            seen.push(records.clone());
            let (status, body) = answer(seen.len(), &records);
            let headers = [("content-type", "application/x-amz-json-1.1")];
            std::future::ready(
                (StatusCode::from_u16(status).unwrap(), headers, body.to_string()).into_response(),
            )
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, Router::new().fallback(reply)).await.unwrap() });
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .endpoint_url(&url)
            .build();
        let client = Client::from_conf(config);
        let stream = Stream { client, address: "audit".into(), partition_key: None };
        Self { stream, calls, _serving: serving }
    }

    async fn send(&self, bodies: &[&[u8]]) -> Sent {
        let message =
            |(line, body): (u64, &&[u8])| Message { body: body.to_vec(), events: 1, file: "f".into(), line };
        let batch: Batch = (1..).zip(bodies).map(message).collect();
        let at_once = Intervals::new(Duration::from_micros(1), Duration::from_micros(2));
        send(&Target::Stream(self.stream.clone()), batch, at_once).await
    }

    fn calls(&self) -> Vec<Vec<Record>> {
        self.calls.lock().unwrap().clone()
    }
}

/// What was not sent: line, code, and whether that is final.
fn failed(sent: &Sent) -> Vec<(u64, &str, bool)> {
    sent.failed.iter().map(|it| (it.message.line, it.code.as_str(), it.is_final)).collect()
}

fn ok() -> Value {
    json!({"SequenceNumber": "495", "ShardId": "shardId-000000000000"})
}

fn full() -> Value {
    json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded for shard"})
}

fn answer(records: impl IntoIterator<Item = Value>) -> (u16, Value) {
    let records: Vec<_> = records.into_iter().collect();
    let failed = records.iter().filter(|record| record["SequenceNumber"].is_null()).count();
    (200, json!({"FailedRecordCount": failed, "Records": records}))
}

fn all_taken(records: &[Record]) -> (u16, Value) {
    answer(records.iter().map(|_| ok()))
}

fn refusal(code: &str) -> (u16, Value) {
    (400, json!({"__type": code, "message": "no"}))
}

#[tokio::test]
async fn every_entry_of_an_answer_is_read_and_what_failed_goes_again_alone() {
    let server = Server::start(|call, records| match call {
        1 => answer([ok(), full(), json!({"ErrorCode": "InternalFailure"}), json!({}), ok()]),
        // The last one is not mentioned.
        2 => answer([full(), ok()]),
        _ => all_taken(records),
    })
    .await;
    let sent = server.send(&[b"one", b"two", b"three", b"four", b"five"]).await;
    assert_eq!((sent.messages, sent.events, failed(&sent)), (5, 5, vec![]));
    assert!(sent.refused.is_none());
    let calls = server.calls();
    let data = |call: usize| calls[call].iter().map(|(_, data)| data.as_slice()).collect::<Vec<_>>();
    assert_eq!(data(1), [&b"two"[..], b"three", b"four"]);
    assert_eq!(data(2), [&b"two"[..], b"four"]);
}

#[tokio::test]
async fn a_full_shard_is_waited_for_as_long_as_it_takes_something() {
    let server =
        Server::start(|_, records| answer((0..records.len()).map(|at| if at == 0 { ok() } else { full() })))
            .await;
    let bodies = [&b"x"[..]; 50];
    let sent = server.send(&bodies).await;
    assert_eq!((sent.messages, failed(&sent), server.calls().len()), (50, vec![], 50));
}

#[tokio::test]
async fn a_shard_that_stays_full_ends_it_and_each_record_is_named() {
    let server = Server::start(|_, records| answer(records.iter().map(|_| full()))).await;
    let sent = server.send(&[b"one", b"two"]).await;
    let code = "ProvisionedThroughputExceededException";
    assert_eq!(failed(&sent), [(1, code, false), (2, code, false)]);
    assert_eq!((sent.messages, server.calls().len()), (0, 30));
}

#[tokio::test]
async fn throttled_calls_are_waited_out() {
    let server = Server::start(|call, records| match call {
        1..=20 => refusal("ProvisionedThroughputExceededException"),
        21 => refusal("KMSThrottlingException"),
        22 => (500, json!({"__type": "InternalFailureException"})),
        _ => all_taken(records),
    })
    .await;
    let sent = server.send(&[b"one", b"two"]).await;
    assert_eq!((sent.messages, failed(&sent), server.calls().len()), (2, vec![], 23));
}

#[tokio::test]
async fn one_record_that_is_too_large_for_the_stream_is_found_in_few_calls() {
    let server = Server::start(|_, records| {
        if records.iter().any(|(_, data)| data.len() > 5) {
            return refusal("InvalidArgumentException");
        }
        all_taken(records)
    })
    .await;
    let mut bodies = vec![&b"small"[..]; 500];
    bodies[321] = b"too large";
    let sent = server.send(&bodies).await;
    assert_eq!((sent.messages, failed(&sent)), (499, vec![(322, "InvalidArgumentException", true)]));
    assert!(server.calls().len() < 20, "{}", server.calls().len());
}

#[tokio::test]
async fn what_no_repetition_cures_ends_it_at_once_with_its_cure() {
    for (code, cure) in [
        ("ResourceNotFoundException", "the stream audit exists in this account and Region"),
        ("AccessDeniedException", "kinesis:PutRecords on audit"),
        ("KMSDisabledException", "kms:GenerateDataKey"),
    ] {
        let server = Server::start(move |_, _| refusal(code)).await;
        let sent = server.send(&[b"one", b"two"]).await;
        assert_eq!((sent.messages, failed(&sent), server.calls().len()), (0, vec![], 1), "{code}");
        let said = Target::Stream(server.stream).trouble(sent.refused.unwrap());
        assert!(said.contains(code) && said.contains(cure), "{said}");
    }
}

#[tokio::test]
async fn records_spread_over_the_shards_unless_they_have_a_key_and_hold_any_bytes() {
    let mut server = Server::start(|call, records| match call {
        1 => answer(records.iter().map(|_| full())),
        _ => all_taken(records),
    })
    .await;
    server.send(&[b"\xff\x00", b"\xf3\x89\x9a\xc2", b""]).await;
    let calls = server.calls();
    assert_eq!(
        calls[1].iter().map(|(_, data)| &**data).collect::<Vec<_>>(),
        [&b"\xff\x00"[..], b"\xf3\x89\x9a\xc2", b""]
    );
    let keys: BTreeSet<_> = calls.iter().flatten().map(|(key, _)| key).collect();
    assert!(keys.len() == 6 && keys.iter().all(|key| key.len() == server.stream.key_bytes()), "{keys:?}");

    server.stream.partition_key = Some("tenant".into());
    server.send(&[b"one", b"two"]).await;
    assert!(server.calls()[2].iter().all(|(key, _)| key == "tenant"));
}

#[tokio::test]
async fn a_stream_is_named_by_name_or_arn_and_nothing_else() {
    let stream = target("audit", None).await.unwrap();
    assert_eq!(stream.address(), "audit");
    let arn = "arn:aws:kinesis:eu-west-1:111122223333:stream/audit";
    let stream = target(arn, None).await.unwrap();
    assert_eq!(stream.address(), arn);
    assert_eq!(stream.client.config().region().unwrap().as_ref(), "eu-west-1");
    for wrong in
        ["", "a b", "https://kinesis.eu-west-1.amazonaws.com", "arn:aws:sqs:eu-west-1:111122223333:audit"]
    {
        let Err(CommandError::Usage(said)) = target(wrong, None).await else { panic!("{wrong}") };
        assert!(said.starts_with("--stream ") && said.contains("the stream's name"), "{said}");
    }
}
