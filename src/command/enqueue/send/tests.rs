//! Against a server on loopback that answers as each case wants.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use axum::{Router, body::Bytes, http::StatusCode, response::IntoResponse};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::*;
use crate::command::enqueue::queue::Queue;

/// The bodies of each call, in order.
pub(in crate::command) type Calls = Arc<Mutex<Vec<Vec<String>>>>;

/// Serves `answer`, which gets the number of the call and the bodies of its entries.
pub(in crate::command) async fn serve(
    answer: impl Fn(usize, &[String]) -> (u16, Value) + Clone + Send + Sync + 'static,
) -> (Target, Calls, JoinSet<()>) {
    let calls = Calls::default();
    let seen = Arc::clone(&calls);
    let reply = move |body: Bytes| {
        let request: Value = serde_json::from_slice(&body).unwrap();
        let entries = request["Entries"].as_array().unwrap();
        let bodies: Vec<_> =
            entries.iter().map(|entry| entry["MessageBody"].as_str().unwrap().to_owned()).collect();
        let mut seen = seen.lock().unwrap();
        seen.push(bodies.clone());
        let (status, body) = answer(seen.len(), &bodies);
        let headers = [("content-type", "application/x-amz-json-1.0")];
        std::future::ready((StatusCode::from_u16(status).unwrap(), headers, body.to_string()).into_response())
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    let router = Router::new().fallback(reply);
    server.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .retry_config(RetryConfig::disabled())
        .endpoint_url(&url)
        .build();
    let queue_url = format!("{url}/000000000000/events");
    let client = aws_sdk_sqs::Client::from_conf(config);
    (Target::Queue(Queue { client, url: queue_url, group: None }), calls, server)
}

fn batch(bodies: &[&str]) -> Batch {
    let message =
        |(line, body): (u64, &&str)| Message { body: (*body).into(), events: 2, file: "f".into(), line };
    (1..).zip(bodies).map(message).collect()
}

pub(in crate::command) fn at_once() -> Intervals {
    Intervals::new(Duration::from_micros(1), Duration::from_micros(2))
}

/// The answer that takes the entries in these places, as SQS words it.
pub(in crate::command) fn taken(places: impl IntoIterator<Item = usize>) -> Vec<Value> {
    let entry = |place: usize| json!({"Id": place.to_string(), "MessageId": "m", "MD5OfMessageBody": "x"});
    places.into_iter().map(entry).collect()
}

pub(in crate::command) fn refusal(code: &str) -> Value {
    json!({"__type": format!("com.amazonaws.sqs#{code}"), "message": "no"})
}

#[tokio::test]
async fn every_entry_of_an_answer_is_read() {
    let (target, calls, _server) = serve(|call, bodies| {
        let failed = |place: usize, code: &str, sender_fault: bool| {
            json!({"Id": place.to_string(), "Code": code, "SenderFault": sender_fault})
        };
        match call {
            // The last one is not mentioned.
            1 => {
                let failed = [failed(1, "InternalError", false), failed(2, "InvalidMessageContents", true)];
                (200, json!({"Successful": taken([0]), "Failed": failed}))
            }
            _ => (200, json!({"Successful": taken(0..bodies.len()), "Failed": []})),
        }
    })
    .await;
    let sent = send(&target, batch(&["good", "late", "bad", "forgotten"]), at_once()).await;
    assert_eq!((sent.messages, sent.events), (3, 6));
    let failed: Vec<_> =
        sent.failed.iter().map(|it| (it.message.line, it.code.as_str(), it.is_final)).collect();
    assert_eq!(failed, [(3, "InvalidMessageContents", true)]);
    assert!(sent.refused.is_none());
    assert_eq!(calls.lock().unwrap()[1..], [["late", "forgotten"]]);
}

#[tokio::test]
async fn an_entry_that_never_succeeds_is_named_in_the_end() {
    let (target, calls, _server) = serve(|_, bodies| {
        let places = bodies.iter().enumerate().filter(|(_, body)| *body == "good").map(|(place, _)| place);
        (200, json!({"Successful": taken(places), "Failed": []}))
    })
    .await;
    let sent = send(&target, batch(&["good", "bad"]), at_once()).await;
    assert_eq!((sent.messages, sent.failed.len()), (1, 1));
    assert_eq!((sent.failed[0].code.as_str(), sent.failed[0].is_final), ("unmentioned", false));
    assert_eq!(calls.lock().unwrap().len(), ATTEMPTS_MAX as usize);
}

#[tokio::test]
async fn one_bad_message_does_not_keep_its_batch_back() {
    let (target, _calls, _server) = serve(|_, bodies| {
        if bodies.iter().any(|body| body == "bad") {
            return (400, refusal("InvalidParameterValue"));
        }
        (200, json!({"Successful": taken(0..bodies.len()), "Failed": []}))
    })
    .await;
    let sent = send(&target, batch(&["one", "bad", "two"]), at_once()).await;
    assert_eq!(sent.messages, 2);
    assert_eq!((sent.failed[0].message.line, sent.failed[0].code.as_str()), (2, "InvalidParameterValue"));
}

#[tokio::test]
async fn a_moment_of_trouble_is_waited_out() {
    let (target, calls, _server) = serve(|call, bodies| match call {
        1 => (400, refusal("RequestThrottled")),
        2 => (503, json!({})),
        _ => (200, json!({"Successful": taken(0..bodies.len()), "Failed": []})),
    })
    .await;
    let sent = send(&target, batch(&["one", "two"]), at_once()).await;
    assert_eq!((sent.messages, sent.failed.len(), calls.lock().unwrap().len()), (2, 0, 3));
}

#[tokio::test]
async fn what_no_repetition_cures_ends_it_at_once_and_what_does_not_pass_ends_it_later() {
    for (status, code, attempts) in [
        (400, "QueueDoesNotExist", 1),
        (403, "AccessDenied", 1),
        (500, "InternalError", ATTEMPTS_MAX as usize),
    ] {
        let (target, calls, _server) = serve(move |_, _| (status, refusal(code))).await;
        let sent = send(&target, batch(&["one", "two"]), at_once()).await;
        assert_eq!((sent.messages, sent.failed.len()), (0, 0), "{code}");
        assert_eq!(sent.refused.unwrap().code, code);
        assert_eq!(calls.lock().unwrap().len(), attempts, "{code}");
    }
}

#[tokio::test]
async fn what_is_said_of_a_key_or_by_a_proxy_is_no_fault_of_a_message() {
    for (code, is_final) in
        [("KMS.SomethingNew", false), ("unnamed", false), ("InvalidMessageContents", true)]
    {
        let (target, _calls, _server) = serve(move |_, _| (400, refusal(code))).await;
        let sent = send(&target, batch(&["one"]), at_once()).await;
        assert_eq!((sent.messages, sent.failed.len()), (0, 1), "{code}");
        assert_eq!(sent.failed[0].is_final, is_final, "{code}");
    }
    let (target, _calls, _server) = serve(|_, _| {
        let failed = json!([{"Id": "0", "Code": "KmsSomethingNew", "SenderFault": true}]);
        (200, json!({"Successful": [], "Failed": failed}))
    })
    .await;
    let sent = send(&target, batch(&["one"]), at_once()).await;
    assert!(!sent.failed[0].is_final);
}
