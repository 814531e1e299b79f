//! Messages that say where events are: in an object of S3. In: a notification. Out: the object.
//!
//! Three services tell of it in three forms, and only S3 itself encodes the key. Each part keeps bytes that lead to
//! its object again when they are sent again.

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    Decoded, Found, MESSAGE_EVENTS_MAX, Notice, ObjectRef,
    envelope::{Opened, is_text, member, missing},
};
use crate::{
    event::RawEvent,
    failure::Rejection,
    json,
    limits::{S3_BUCKET_CHARS_MAX, S3_KEY_BYTES_MAX},
};

/// One record of an S3 event notification. The key is encoded as in a form: `+` is a space.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>
pub(super) fn of_s3(raw: &RawEvent) -> Result<Opened, Rejection> {
    let name = raw.get("eventName").ok_or_else(|| missing("an S3 notification has no eventName"))?;
    if !name.starts_with("\"ObjectCreated:") {
        return Ok(Opened::Instead(Found::Notice(Notice::S3Other)));
    }
    let s3 = raw.get("s3").ok_or_else(nameless)?;
    object(s3, "versionId", form_decoded).map(Found::Object).map(Opened::Instead)
}

/// What S3 sends once when notifications are set up.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html>
pub(super) fn s3_test(raw: &RawEvent) -> Option<Result<Opened, Rejection>> {
    raw.get("Event").filter(|json| &***json == "\"s3:TestEvent\"")?;
    raw.get("Service").filter(|json| &***json == "\"Amazon S3\"")?;
    Some(Ok(Opened::Instead(Found::Notice(Notice::S3Test))))
}

/// The `detail` of an event that S3 sent to EventBridge. The key is as it is.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html>
pub(super) fn of_event_bridge(detail_type: &str, detail: &ByteString) -> Result<Opened, Rejection> {
    if detail_type != "\"Object Created\"" {
        return Ok(Opened::Instead(Found::Notice(Notice::S3Other)));
    }
    object(detail, "version-id", |key| Some(key.to_owned())).map(Found::Object).map(Opened::Instead)
}

/// What a trail sends to its topic: a bucket and keys, which are as they are.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/configure-sns-notifications-for-cloudtrail.html>
pub(super) fn of_cloudtrail(raw: &RawEvent) -> Option<Result<Opened, Rejection>> {
    let bucket = raw.get("s3Bucket").filter(|json| is_text(json))?;
    let keys = raw.get("s3ObjectKey").filter(|json| json.starts_with('['))?;
    // Judged before the name is repeated for each key.
    let Ok(name) = bucket_name(json::shared_text(bucket)) else { return Some(Err(nameless())) };
    let part = |key: &str| {
        let key = keys.slice_ref(key);
        let original = Bytes::from(format!("{{\"s3Bucket\":{bucket},\"s3ObjectKey\":[{key}]}}"));
        match object_key(json::shared_text(&key).map(String::from)) {
            Ok(key) => {
                let object = ObjectRef { bucket: name.clone(), key, version: None, bytes: None, whole: None };
                Decoded { original, found: Found::Object(object) }
            }
            Err(rejection) => Decoded::rejected(original, rejection),
        }
    };
    Some(Ok(Opened::Parts(json::elements(keys).take(MESSAGE_EVENTS_MAX + 1).map(part).collect())))
}

/// S3 describes an object alike in its own notifications and in those of EventBridge.
fn object(
    json: &ByteString,
    version: &str,
    decode: fn(&str) -> Option<String>,
) -> Result<ObjectRef, Rejection> {
    let bucket = member(json, "bucket").and_then(|bucket| member(&bucket, "name"));
    let object = member(json, "object").ok_or_else(nameless)?;
    let key = member(&object, "key").and_then(|key| decode(&json::shared_text(&key)?));
    Ok(ObjectRef {
        bucket: bucket_name(bucket.as_ref().and_then(json::shared_text))?,
        key: object_key(key)?,
        version: member(&object, version).and_then(|json| json::shared_text(&json)).map(String::from),
        bytes: member(&object, "size").and_then(|json| json.parse().ok()),
        whole: None,
    })
}

pub(super) fn bucket_name(name: Option<ByteString>) -> Result<String, Rejection> {
    let is_one = |name: &ByteString| (1..=S3_BUCKET_CHARS_MAX).contains(&name.len());
    name.filter(is_one).map(String::from).ok_or_else(nameless)
}

pub(super) fn object_key(key: Option<String>) -> Result<String, Rejection> {
    key.filter(|key| (1..=S3_KEY_BYTES_MAX).contains(&key.len())).ok_or_else(nameless)
}

fn nameless() -> Rejection {
    missing("a notification names no S3 object: the bucket or the key is absent, or is none")
}

/// Undoes `application/x-www-form-urlencoded`; `None` where it cannot be that.
fn form_decoded(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => hexadecimal(bytes.next()?)? << 4 | hexadecimal(bytes.next()?)?,
            plain => plain,
        });
    }
    String::from_utf8(decoded).ok()
}

pub(super) fn hexadecimal(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
