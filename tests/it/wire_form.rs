//! The bytes that we count are the bytes that the SDK sends.

#![expect(clippy::expect_used, reason = "helpers of tests fail by panic")]

use aws_sdk_cloudtraildata::{
    Client,
    config::{BehaviorVersion, Credentials, Region},
    types::AuditEvent,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tributary::{checksum::REQUEST_OVERHEAD_BYTES, config::Oversize, event::ReadyEvent};

use crate::checks::ready;

fn events() -> Vec<ReadyEvent> {
    let texts = [
        "plain",
        "é€😀",
        "a \\\"quoted\\\" one",
        "\\\\\\\\",
        "\\u0000\\u001f\\n\\r\\t\\b\\f",
        "\u{7f}\u{2028}",
    ];
    let body: Vec<String> = texts
        .iter()
        .enumerate()
        .map(|(at, text)| {
            format!(
                "{{\"version\":\"1\",\"userIdentity\":{{\"type\":\"a\",\"principalId\":\"b\"}},\"eventSource\":\"c\",\
                 \"eventName\":\"d\",\"eventTime\":\"2024-03-01T08:15:00Z\",\"UID\":\"{at} {text}\",\
                 \"requestParameters\":{{\r\n\t\"{text}\" : [ \"{text}\" ]\n}},\"errorMessage\":\"{text}\"}}"
            )
        })
        .collect();
    let events = ready(format!("[{}]", body.join(",")), Oversize::Move);
    events.into_iter().map(|event| event.expect("published")).collect()
}

fn entry(event: &ReadyEvent) -> AuditEvent {
    AuditEvent::builder()
        .id(event.id().wire())
        .event_data(event.json())
        .event_data_checksum(event.checksum())
        .build()
        .expect("complete")
}

/// Answers one request and returns its body.
async fn serve_once(listener: TcpListener) -> Vec<u8> {
    let (mut stream, _) = listener.accept().await.expect("a client");
    let (mut received, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut chunk).await.expect("bytes");
        received.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&received).into_owned();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length: usize = head
            .lines()
            .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
            .expect("a length");
        if received.len() == head.len() + 4 + length {
            let answer = r#"{"successful":[],"failed":[]}"#;
            let head_out = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let reply = format!("{head_out}content-length: {}\r\n\r\n{answer}", answer.len());
            stream.write_all(reply.as_bytes()).await.expect("sent");
            return received.split_off(head.len() + 4);
        }
    }
}

async fn body_that_the_sdk_sends(events: &[ReadyEvent]) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound");
    let config = aws_sdk_cloudtraildata::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
        .endpoint_url(format!("http://{address}"))
        .build();
    let call = Client::from_conf(config)
        .put_audit_events()
        .channel_arn("arn:aws:cloudtrail:us-east-1:999999999999:channel/c")
        .set_audit_events(Some(events.iter().map(entry).collect()));
    let (body, answer) = tokio::join!(serve_once(listener), call.send());
    answer.expect("an answer");
    body
}

#[tokio::test]
async fn wire_bytes_are_the_bytes_of_the_request() {
    let events = events();
    for count in [1, events.len()] {
        let body = body_that_the_sdk_sends(&events[..count]).await;
        let counted: usize = events[..count].iter().map(ReadyEvent::wire_bytes).sum();
        // One comma too many: the last entry has none.
        assert_eq!(body.len(), REQUEST_OVERHEAD_BYTES + counted - 1);
        let request: Value = serde_json::from_slice(&body).expect("JSON");
        for (at, event) in events[..count].iter().enumerate() {
            assert_eq!(request["auditEvents"][at]["eventData"], event.json());
        }
    }
}
