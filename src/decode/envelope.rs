//! What is wrapped around events on their way. In: an object. Out: what is inside, or the object itself.
//!
//! An envelope is recognised by its whole signature: an event that merely has a member called `detail` or
//! `Message` is an event.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytestring::ByteString;
use sha2::{Digest, Sha256};

use crate::{
    event::RawEvent,
    failure::{Reason, Rejection},
    json::{self, Cursor},
};

/// What an object turned out to be.
pub(super) enum Opened {
    /// No envelope.
    Event(RawEvent),
    /// An envelope around a value that is well-formed already.
    Value(ByteString),
    /// An envelope around a text that can be anything.
    Body(ByteString),
}

/// The array of `{"Records":[…]}` (a CloudTrail log file) or of `{"auditEvents":[…]}` (the body of a
/// `PutAuditEvents` request), if the array is all there is.
pub(super) fn records(text: &str) -> Option<&str> {
    let mut cursor = Cursor::new(text);
    if !cursor.eat(b'{') || cursor.peek() != b'"' {
        return None;
    }
    if !matches!(cursor.string().inner, "Records" | "auditEvents")
        || !cursor.eat(b':')
        || cursor.peek() != b'['
    {
        return None;
    }
    let array = cursor.value();
    cursor.eat(b'}').then_some(array)
}

/// Opens one envelope.
///
/// # Errors
/// Where the envelope's own checksum does not fit what is inside, or S3 sent a test event.
pub(super) fn open(raw: RawEvent) -> Result<Opened, Rejection> {
    // Nearly every object is an event, and says so; nothing else is asked of it.
    if raw.get("eventName").is_some() {
        return Ok(Opened::Event(raw));
    }
    if let Some(message) = sns_message(&raw) {
        return Ok(Opened::Body(message));
    }
    if let Some(detail) = event_bridge_detail(&raw) {
        return Ok(Opened::Value(detail));
    }
    if raw.get("Event").is_some_and(|json| &**json == "\"s3:TestEvent\"") {
        return Err(s3_is_not_read());
    }
    match put_entry(&raw)? {
        Some(inner) => Ok(inner),
        None => Ok(Opened::Event(raw)),
    }
}

/// <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>
fn sns_message(raw: &RawEvent) -> Option<ByteString> {
    raw.get("Type").filter(|json| &***json == "\"Notification\"")?;
    raw.get("TopicArn").filter(|json| json.starts_with('"'))?;
    json::shared_text(raw.get("Message")?)
}

/// <https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html>
fn event_bridge_detail(raw: &RawEvent) -> Option<ByteString> {
    raw.get("detail-type").filter(|json| json.starts_with('"'))?;
    raw.get("source").filter(|json| json.starts_with('"'))?;
    raw.get("detail").filter(|json| json.starts_with('{')).cloned()
}

/// An entry of `PutAuditEvents`, in the API's spelling or with capital letters, as in the announcement of the
/// API. The entry's id only correlates a request with its answer; the event's own is inside.
fn put_entry(raw: &RawEvent) -> Result<Option<Opened>, Rejection> {
    let (mut has_id, mut event_data, mut checksum) = (false, None, None);
    for member in &raw.members {
        match &*member.key {
            "id" | "Id" => has_id = true,
            "eventData" | "EventData" => event_data = Some(&member.json),
            "eventDataChecksum" | "EventDataChecksum" => checksum = Some(&member.json),
            _ => return Ok(None),
        }
    }
    let Some(event_data) = event_data.filter(|_| has_id) else { return Ok(None) };
    let Some(inner) = json::shared_text(event_data) else {
        // Only a string has bytes that a checksum can have been computed over.
        return Ok(event_data.starts_with('{').then(|| Opened::Value(event_data.clone())));
    };
    let expected = STANDARD.encode(Sha256::digest(inner.as_bytes()));
    if checksum.is_some_and(|json| json::text(json).as_deref() != Some(&expected) && &**json != "null") {
        let sentence = "eventDataChecksum is not the base64 of the SHA-256 of eventData";
        return Err(Rejection::new(Reason::ChecksumMismatch, sentence));
    }
    Ok(Some(Opened::Body(inner)))
}

/// Whether this is an entry of an S3 event notification, which is shaped much like a CloudTrail record.
pub(super) fn is_s3_record(raw: &RawEvent) -> bool {
    raw.get("eventSource").is_some_and(|json| &**json == "\"aws:s3\"")
}

pub(super) fn s3_is_not_read() -> Rejection {
    let sentence = "S3 notifications are not read yet; send the records of the object instead";
    Rejection::new(Reason::UnknownFormat, sentence)
}
