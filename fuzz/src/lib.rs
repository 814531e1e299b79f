//! What every target asserts, and how bodies are packed.

mod accounted;
pub mod ids;

use std::io::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use md5::{Digest, Md5};
use serde_json::json;
use tributary::{
    decode::{Decoded, Found, MESSAGE_EVENTS_MAX, MESSAGE_UNPACKED_BYTES_MAX, decode, unpack},
    failure::Reason,
    limits::{S3_BUCKET_CHARS_MAX, S3_KEY_BYTES_MAX},
};

/// Takes a message apart and judges the answer.
///
/// # Panics
/// Where the answer breaks a promise of decode.
pub fn check(body: &Bytes) {
    let unpacked = unpack(body.clone());
    let parts = &unpacked.parts;
    assert!(!parts.is_empty(), "a message without an answer");
    assert!(parts.len() <= MESSAGE_EVENTS_MAX, "{} parts", parts.len());
    let allowed = (body.len() * 200).clamp(1 << 20, MESSAGE_UNPACKED_BYTES_MAX);
    assert!(unpacked.added_bytes <= allowed, "{} bytes out of {}", unpacked.added_bytes, body.len());
    // Nothing but decompression makes more of a message than it was, but for a bucket's name beside each of its keys.
    let kept: usize = parts.iter().map(|part| part.original.len()).sum();
    let named = parts.iter().filter(|part| part.original.starts_with(b"{\"s3Bucket\":")).count();
    assert!(kept <= body.len() + unpacked.added_bytes + named * 6 * S3_BUCKET_CHARS_MAX, "{kept} bytes kept");
    accounted::assert_accounted(body, parts);
    parts.iter().for_each(|part| of_part(part, parts.len() == 1, body));
}

fn of_part(part: &Decoded, is_only: bool, body: &Bytes) {
    match &part.found {
        Found::Event(raw) => {
            assert!(raw.json.starts_with('{') && raw.json.ends_with('}'));
            assert!(is_only && part.original == *body || part.original == *raw.json.as_bytes());
            ids::check(raw);
        }
        Found::Object(object) => {
            assert!(!object.bucket.is_empty());
            assert!((1..=S3_KEY_BYTES_MAX).contains(&object.key.len()));
        }
        Found::Notice(_) => assert!(!part.original.is_empty()),
        Found::Rejected(rejection) => {
            let is_about_nothing = rejection.reason == Reason::NoEvents;
            assert!(is_about_nothing || !part.original.is_empty(), "{:?} lost its bytes", rejection.reason);
            if matches!(rejection.reason, Reason::NoEvents | Reason::TooManyEvents) {
                assert_eq!(part.original, *body, "the whole message is kept");
            }
        }
    }
    leads_to_itself(part);
}

/// What is kept says the same when it comes again, as it does when a letter is sent back.
fn leads_to_itself(part: &Decoded) {
    let again = decode(part.original.clone());
    match (&part.found, again.as_slice()) {
        (Found::Event(raw), [only]) => match &only.found {
            Found::Event(again) => assert_eq!(raw.content_hash, again.content_hash),
            found => panic!("an event came again as {found:?}"),
        },
        (Found::Object(object), [only]) => match &only.found {
            Found::Object(again) => assert_eq!(object, again),
            found => panic!("an object came again as {found:?}"),
        },
        (Found::Notice(notice), [only]) => match &only.found {
            Found::Notice(again) => assert_eq!(notice, again),
            found => panic!("a notice came again as {found:?}"),
        },
        // By itself it can be within a bound that it exceeded where it stood.
        (Found::Rejected(_), again) => assert!(!again.is_empty()),
        (found, again) => panic!("{found:?} came again as {} parts", again.len()),
    }
}

/// The body with one more layer around it; which one, a number says.
pub fn pack(layer: u8, body: &[u8]) -> Vec<u8> {
    let text = || String::from_utf8(body.to_vec()).unwrap_or_else(|_| STANDARD.encode(body));
    let data = || STANDARD.encode(body);
    let value = match layer % 13 {
        0 => return gzip(body),
        1 => return data().into_bytes(),
        2 => return aggregate(&[body]),
        3 => return aggregate(&[body, b"{}", body]),
        4 => return [gzip(body), gzip(b"")].concat(),
        5 => return [b"[", body, b",{}]"].concat(),
        6 => return [br#"{"Records":["#, body, b"]}"].concat(),
        7 => json!({ "Type": "Notification", "TopicArn": "a", "Message": text() }),
        8 => {
            let log_event = json!({ "id": "1", "timestamp": 1, "message": text() });
            json!({ "messageType": "DATA_MESSAGE", "logEvents": [log_event, log_event] })
        }
        9 => json!({ "awslogs": { "data": data() } }),
        10 => json!({ "eventSource": "aws:kinesis", "kinesis": { "data": data() } }),
        11 => json!({ "deliveryStreamArn": "a", "records": [{ "data": data() }, { "data": data() }] }),
        _ => return [br#"{"detail-type":"d","source":"s","detail":"#, body, b"}"].concat(),
    };
    value.to_string().into_bytes()
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(plain).and_then(|()| encoder.finish()).unwrap_or_default()
}

fn aggregate(records: &[&[u8]]) -> Vec<u8> {
    let mut message = Vec::new();
    for data in records {
        let mut record = vec![0x1A];
        push_varint(&mut record, data.len());
        record.extend_from_slice(data);
        message.push(0x1A);
        push_varint(&mut message, record.len());
        message.extend(record);
    }
    [b"\xF3\x89\x9A\xC2", &message[..], &Md5::digest(&message)[..]].concat()
}

fn push_varint(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
