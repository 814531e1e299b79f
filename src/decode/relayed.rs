//! Records as Lambda functions and pipes get them, sent on to a queue as they were. In: one record. Out: the body
//! that it carries.
//!
//! Each says in `eventSource` where it is from; no event of `CloudTrail` names a source that begins with `aws:`.
//! <https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>,
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-pipes-event-source.html>

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    envelope::{Opened, is_text, member, missing},
    notification, packing,
};
use crate::{event::RawEvent, failure::Rejection, json};

/// By `eventSource`.
pub(super) fn record(raw: &RawEvent) -> Option<Result<Opened, Rejection>> {
    match &**raw.get("eventSource")? {
        "\"aws:s3\"" => Some(notification::of_s3(raw)),
        "\"aws:kinesis\"" => Some(kinesis(raw)),
        "\"aws:sqs\"" => Some(sqs(raw)),
        _ => None,
    }
}

/// A notification of SNS, one level deeper than it comes to a queue.
pub(super) fn sns(raw: &RawEvent) -> Option<Result<Opened, Rejection>> {
    raw.get("EventSource").filter(|json| &***json == "\"aws:sns\"")?;
    raw.get("Sns").filter(|json| json.starts_with('{')).cloned().map(|sns| Ok(Opened::Value(sns)))
}

/// What Firehose gives to functions and HTTP endpoints.
/// <https://docs.aws.amazon.com/firehose/latest/dev/httpdeliveryrequestresponse.html>
pub(super) fn firehose(raw: &RawEvent) -> Option<Result<Opened, Rejection>> {
    let records = raw.get("records").filter(|json| json.starts_with('['))?;
    let is_for_function = raw.get("deliveryStreamArn").is_some_and(is_text);
    let is_for_endpoint = matches!(&*raw.members, [_, _, _])
        && raw.get("requestId").is_some_and(is_text)
        && raw.get("timestamp").is_some();
    let data = |record: &RawEvent| data(record.get("data"), "a Firehose record has no data");
    (is_for_function || is_for_endpoint).then(|| Ok(Opened::Each(records.clone(), data)))
}

/// A function gets the data one level deeper than a pipe.
fn kinesis(raw: &RawEvent) -> Result<Opened, Rejection> {
    let nested = raw.get("kinesis").and_then(|json| member(json, "data"));
    data(nested.as_ref().or_else(|| raw.get("data")), "a Kinesis record has no data").map(Opened::Body)
}

fn sqs(raw: &RawEvent) -> Result<Opened, Rejection> {
    let body = raw.get("body").and_then(json::shared_text).map(ByteString::into_bytes);
    body.map(Opened::Body).ok_or_else(|| missing("an SQS record has no body"))
}

fn data(json: Option<&ByteString>, absent: &'static str) -> Result<Bytes, Rejection> {
    let data = json.and_then(json::shared_text).ok_or_else(|| missing(absent))?;
    packing::from_base64(&data, "data")
}
