//! What is wrapped around events on their way. In: an object. Out: what is inside, or the object itself.
//!
//! An envelope is recognised by its whole signature: an event that merely has a member called `detail` or
//! `Message` is an event.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use bytestring::ByteString;
use sha2::{Digest, Sha256};

use super::{Decoded, Found, logs, notification, relayed, stored};
use crate::{
    event::RawEvent,
    failure::{Reason, Rejection},
    json::{self, Cursor},
};

/// What an object turned out to be.
pub(super) enum Opened {
    /// No envelope.
    Event(RawEvent),
    /// No envelope and no event.
    Instead(Found),
    /// What the envelope lists, complete.
    Parts(Vec<Decoded>),
    /// An envelope around a value that is well-formed already.
    Value(ByteString),
    /// An envelope around bytes that can be anything.
    Body(Bytes),
    /// An envelope around an array; each element holds a body, and the function finds it.
    Each(ByteString, Contents),
}

/// Finds the body in one element of a list.
pub(super) type Contents = fn(&RawEvent) -> Result<Bytes, Rejection>;

/// Looks whether the object is this kind of envelope; `None` where it is not.
type Opener = fn(&RawEvent) -> Option<Result<Opened, Rejection>>;

/// The array of `{"Records":[…]}` (a CloudTrail log file, an S3 notification) or of `{"auditEvents":[…]}` (the body
/// of a `PutAuditEvents` request), if the array is all there is.
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
/// Where an envelope is damaged, or its own checksum does not fit what is inside.
pub(super) fn open(raw: RawEvent) -> Result<Opened, Rejection> {
    // Nearly every object is an event, and says so; hardly anything else is asked of it.
    let opened = if raw.get("eventName").is_some() {
        relayed::record(&raw)
    } else {
        raw.members.iter().find_map(|member| opener(&member.key)?(&raw))
    };
    opened.unwrap_or(Ok(Opened::Event(raw)))
}

/// By a key that hardly anything else has.
fn opener(key: &str) -> Option<Opener> {
    Some(match key {
        "TopicArn" => sns,
        "detail-type" => event_bridge,
        "Event" => notification::s3_test,
        "s3ObjectKey" => notification::of_cloudtrail,
        "logEvents" => |raw| logs::subscription(&raw.members).map(Ok),
        "awslogs" => logs::for_lambda,
        "eventSource" => relayed::record,
        "Sns" => relayed::sns,
        "records" => relayed::firehose,
        "eventData" | "EventData" => put_entry,
        "tributary.stored" => stored::open,
        _ => return None,
    })
}

/// <https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html>
fn sns(raw: &RawEvent) -> Option<Result<Opened, Rejection>> {
    raw.get("TopicArn").filter(|json| is_text(json))?;
    match &**raw.get("Type")? {
        "\"Notification\"" => {
            let message = json::shared_text(raw.get("Message")?)?;
            Some(Ok(Opened::Body(message.into_bytes())))
        }
        "\"SubscriptionConfirmation\"" | "\"UnsubscribeConfirmation\"" => Some(Err(confirmation())),
        _ => None,
    }
}

/// Opening the link is a decision about who may send, so a person takes it.
fn confirmation() -> Rejection {
    let sentence = "SNS asks to confirm that a subscription begins or ends. If it is to deliver here, open the \
                    SubscribeURL of the message or call ConfirmSubscription with its Token";
    Rejection::new(Reason::SnsConfirmation, sentence)
}

/// <https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html>
fn event_bridge(raw: &RawEvent) -> Option<Result<Opened, Rejection>> {
    let detail_type = raw.get("detail-type").filter(|json| is_text(json))?;
    let source = raw.get("source").filter(|json| is_text(json))?;
    let detail = raw.get("detail").filter(|json| json.starts_with('{'))?;
    // S3 has its calls reported by CloudTrail too, under another type: those are events.
    if &**source == "\"aws.s3\"" && detail_type.starts_with("\"Object ") {
        return Some(notification::of_event_bridge(detail_type, detail));
    }
    Some(Ok(Opened::Value(detail.clone())))
}

/// An entry of `PutAuditEvents`, in the API's spelling or with capital letters, as in the announcement of the
/// API. The entry's id only correlates a request with its answer; the event's own is inside.
fn put_entry(raw: &RawEvent) -> Option<Result<Opened, Rejection>> {
    let (mut has_id, mut event_data, mut checksum) = (false, None, None);
    for member in &raw.members {
        match &*member.key {
            "id" | "Id" => has_id = true,
            "eventData" | "EventData" => event_data = Some(&member.json),
            "eventDataChecksum" | "EventDataChecksum" => checksum = Some(&member.json),
            _ => return None,
        }
    }
    let event_data = event_data.filter(|_| has_id)?;
    let Some(inner) = json::shared_text(event_data) else {
        // Only a string has bytes that a checksum can have been computed over.
        return event_data.starts_with('{').then(|| Ok(Opened::Value(event_data.clone())));
    };
    let expected = STANDARD.encode(Sha256::digest(inner.as_bytes()));
    if checksum.is_some_and(|json| json::text(json).as_deref() != Some(&expected) && &**json != "null") {
        let sentence = "eventDataChecksum is not the base64 of the SHA-256 of eventData";
        return Some(Err(Rejection::new(Reason::ChecksumMismatch, sentence)));
    }
    Some(Ok(Opened::Body(inner.into_bytes())))
}

/// An envelope that lacks what it is for.
pub(super) fn missing(sentence: &'static str) -> Rejection {
    Rejection::new(Reason::BrokenEnvelope, sentence)
}

/// Whether a value is a string.
pub(super) fn is_text(json: &ByteString) -> bool {
    json.starts_with('"')
}

/// A member of a nested object.
pub(super) fn member(json: &ByteString, key: &str) -> Option<ByteString> {
    json::members(json)?.into_iter().find(|member| &*member.key == key).map(|member| member.json)
}
