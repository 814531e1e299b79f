//! Puts bodies into what services put them in. Written for the tests alone: nothing of the code under test is used.

use std::io::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use md5::{Digest, Md5};
use serde_json::{Value, json};

pub(crate) fn event(number: usize) -> String {
    format!(
        r#"{{"eventVersion":"1.08","eventSource":"ec2.amazonaws.com","eventName":"RunInstances","eventID":"id-{number}"}}"#
    )
}

pub(crate) fn gzip(plain: impl AsRef<[u8]>) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain.as_ref()).expect("written to memory");
    encoder.finish().expect("written to memory")
}

pub(crate) fn base64(plain: impl AsRef<[u8]>) -> String {
    STANDARD.encode(plain)
}

pub(crate) fn from_base64(text: &str) -> Vec<u8> {
    STANDARD.decode(text).expect("base64")
}

pub(crate) fn aggregate(records: &[&[u8]]) -> Vec<u8> {
    let mut message = b"\x0a\x01k".to_vec();
    for data in records {
        let mut record = b"\x08\x00".to_vec();
        record.push(0x1A);
        push_varint(&mut record, data.len());
        record.extend_from_slice(data);
        message.push(0x1A);
        push_varint(&mut message, record.len());
        message.extend(record);
    }
    signed(&message)
}

/// A magic number, a protobuf message, and the MD5 that fits it.
pub(crate) fn signed(message: &[u8]) -> Vec<u8> {
    [b"\xF3\x89\x9A\xC2", message, &Md5::digest(message)[..]].concat()
}

fn push_varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7F | 0x80).expect("a byte"));
        number >>= 7;
    }
    out.push(u8::try_from(number).expect("a byte"));
}

pub(crate) fn sns(message: impl Into<String>) -> String {
    json!({ "Type": "Notification", "MessageId": "m", "TopicArn": "arn:aws:sns:r:1:t", "Message": message.into() })
        .to_string()
}

pub(crate) fn logs(messages: &[&str]) -> String {
    let log_events: Vec<Value> =
        messages.iter().map(|message| json!({ "id": "1", "timestamp": 1, "message": message })).collect();
    json!({ "messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "g", "logStream": "s", "subscriptionFilters": [], "logEvents": log_events })
        .to_string()
}

pub(crate) fn kinesis(data: impl AsRef<[u8]>) -> String {
    json!({ "kinesis": { "data": base64(data), "partitionKey": "k" }, "eventSource": "aws:kinesis", "eventName": "aws:kinesis:record" })
        .to_string()
}

pub(crate) fn firehose(data: &[Vec<u8>]) -> String {
    let records: Vec<Value> =
        data.iter().map(|data| json!({ "recordId": "1", "data": base64(data) })).collect();
    json!({ "invocationId": "i", "deliveryStreamArn": "a", "records": records }).to_string()
}
