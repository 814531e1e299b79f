//! Log events of `CloudWatch` Logs, as a subscription sends them. In: an object. Out: its log events, each a body.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html>. Kinesis and Firehose carry
//! it as gzip; Lambda gets it as base64 of that, in `{"awslogs":{"data":"…"}}`.

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    Found, Notice,
    envelope::{Opened, is_text, member, missing},
    packing,
};
use crate::{
    event::{Member, RawEvent},
    failure::Rejection,
    json,
};

/// A batch of log events, or the message by which the service looks whether anybody is there.
pub(super) fn subscription(members: &[Member]) -> Option<Opened> {
    let log_events = only(members, "logEvents").filter(|json| json.starts_with('['))?;
    match &**only(members, "messageType")? {
        "\"DATA_MESSAGE\"" => Some(Opened::Each(log_events.clone(), message)),
        "\"CONTROL_MESSAGE\"" => Some(Opened::Instead(Found::Notice(Notice::LogsControl))),
        _ => None,
    }
}

/// The same for a text that breaks the rules for events. The log events come from anywhere, and one with half a
/// character in it must not spoil the others.
pub(super) fn of_damaged(text: &ByteString) -> Option<Opened> {
    subscription(&json::members(text)?)
}

/// What Lambda gets.
pub(super) fn for_lambda(raw: &RawEvent) -> Option<Result<Opened, Rejection>> {
    let data = member(raw.get("awslogs")?, "data").filter(is_text)?;
    let data = json::shared_text(&data)?;
    Some(packing::from_base64(&data, "awslogs.data").map(Opened::Body))
}

fn message(log_event: &RawEvent) -> Result<Bytes, Rejection> {
    let message = log_event.get("message").and_then(json::shared_text);
    message.map(ByteString::into_bytes).ok_or_else(|| missing("a log event has no message"))
}

/// Two values would be two readings.
fn only<'a>(members: &'a [Member], key: &str) -> Option<&'a ByteString> {
    let mut found = members.iter().filter(|member| &*member.key == key);
    let first = found.next()?;
    found.next().is_none().then_some(&first.json)
}
