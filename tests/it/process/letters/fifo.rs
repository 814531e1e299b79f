//! Letters on their way back to a FIFO queue: in the group of their event, and once although they were sent twice.

use aws_sdk_sqs::types::{MessageAttributeValue, MessageSystemAttributeName};
use serde_json::json;

use super::dlq;
use crate::support::{
    queues::{QueueServer, on_servers},
    scripted::{Call, Scripted},
};

on_servers! { fauxqs = Fauxqs: sent_twice_and_there_once }
on_servers! { ministack = Ministack: sent_twice_and_there_once }

async fn sent_twice_and_there_once(server: &QueueServer) {
    let (source, letters) = (server.fifo_queue().await, server.fifo_queue().await);
    let sqs = server.client();
    for group in ["red", "blue"] {
        let words =
            json!({ "reason": "no_route", "event_id": group, "about": { "group": group } }).to_string();
        let words = MessageAttributeValue::builder().data_type("String").string_value(words).build();
        let send = sqs.send_message().queue_url(&letters).message_body(group);
        let send = send.message_attributes("tributary.letter", words.expect("a value"));
        let of_letter = format!("letter-{group}");
        let send = send.message_group_id(&of_letter).message_deduplication_id(&of_letter);
        send.send().await.expect("the queue answers");
    }
    let script = |call: &Call| {
        let is_first = call.action == "DeleteMessageBatch" && call.nth == 0;
        is_first.then(|| call.outcome(|_| Some(("InvalidClientTokenId", true))))
    };
    let proxy = Scripted::before(&server.url(), script).await;
    let environment = [
        ("AWS_ENDPOINT_URL_SQS", proxy.url()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let redrive = ["redrive", "--queue-url", &letters, "--to-queue", &source, "--json"];
    let ran = dlq(&environment, &redrive).await;
    assert_eq!((ran.code, &ran.json()["redriven"]), (3, &json!(2)), "{server}: {} {}", ran.out, ran.err);
    let ran = dlq(&environment, &redrive).await;
    assert!(ran.json()["redriven"].as_u64() >= Some(1), "{server}: {} {}", ran.out, ran.err);
    assert_eq!((server.count(&letters).await, server.count(&source).await), (0, 2), "{server}");
    let mut seen = 0;
    while seen < 2 {
        for message in server.receive(&source, 1, 30).await {
            let group =
                message.attributes().and_then(|all| all.get(&MessageSystemAttributeName::MessageGroupId));
            assert_eq!(group.map(String::as_str), message.body(), "{server}: its event's group");
            seen += 1;
        }
    }
}
