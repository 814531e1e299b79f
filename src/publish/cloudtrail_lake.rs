//! The adapter to CloudTrail Lake: `PutAuditEvents`.
//!
//! In: events that are ready. Out: one verdict for each. Wire and errors:
//! <https://docs.aws.amazon.com/awscloudtraildata/latest/APIReference/API_PutAuditEvents.html>.

use std::collections::HashMap;

use async_trait::async_trait;
use aws_sdk_cloudtraildata::{Client, operation::put_audit_events::PutAuditEventsOutput, types::AuditEvent};

use super::{Destination, Verdict};
use crate::{
    aws::{Aws, Failure, Reached, failure},
    batch::Limits,
    config::{BatchConfig, DestinationConfig},
    event::ReadyEvent,
    failure::CallError,
};

/// One channel.
pub struct CloudTrailLake {
    client: Client,
    channel_arn: String,
    external_id: Option<String>,
    limits: Limits,
}

impl CloudTrailLake {
    /// Publishes to the channel of `destination`.
    pub fn new(aws: &Aws, destination: &DestinationConfig, batch: &BatchConfig) -> Self {
        Self {
            client: aws.lake(&destination.channel_arn.region, destination.request_timeout),
            channel_arn: destination.channel_arn.arn.clone(),
            external_id: destination.external_id.clone(),
            limits: Limits { events_max: batch.events_max, bytes_max: batch.bytes_max },
        }
    }
}

#[async_trait]
impl Destination for CloudTrailLake {
    fn limits(&self) -> Limits {
        self.limits
    }

    async fn put(&self, events: &[&ReadyEvent]) -> Result<Vec<Verdict>, CallError> {
        let mut entries = Vec::with_capacity(events.len());
        for event in events {
            let entry = AuditEvent::builder()
                .id(event.id().wire())
                .event_data(event.json())
                .event_data_checksum(event.checksum())
                .build();
            entries
                .push(entry.map_err(|error| CallError::misconfigured("invalid_request", error.to_string()))?);
        }
        let call = self.client.put_audit_events().channel_arn(&self.channel_arn);
        let answer =
            call.set_external_id(self.external_id.clone()).set_audit_events(Some(entries)).send().await;
        match answer {
            Ok(answer) => verdicts(events, &answer),
            Err(error) => Err(class_of(failure(&error))),
        }
    }
}

/// Matches the answer to the events by id; an id that is in neither list is unknown. Where the lake refuses every
/// event for the account's sake, the call as a whole is at fault and none of the events.
fn verdicts(events: &[&ReadyEvent], answer: &PutAuditEventsOutput) -> Result<Vec<Verdict>, CallError> {
    let failed = answer.failed();
    let ours =
        |code: &&str| failed.len() == events.len() && failed.iter().all(|entry| entry.error_code() == *code);
    if let Some(code) = ["AccountNotSubscribed", "InvalidRecipient"].iter().find(|code| ours(code)) {
        return Err(misconfigured(code, failed.first().map_or("", |entry| entry.error_message())));
    }
    let mut by_id = HashMap::with_capacity(events.len());
    for entry in answer.successful() {
        by_id.insert(entry.id(), Verdict::Accepted { stored_as: entry.event_id().to_owned() });
    }
    for entry in failed {
        by_id.insert(entry.id(), verdict_of(entry.error_code()));
    }
    Ok(events.iter().map(|event| by_id.remove(event.id().wire()).unwrap_or(Verdict::Unknown)).collect())
}

/// Codes of single entries inside an HTTP 200, which the SDK's own retries never see.
fn verdict_of(code: &str) -> Verdict {
    let code = code.to_owned();
    match code.as_str() {
        // The moment's. `AccountNotSubscribed` for some and not for all is a change that is under way.
        "Throttling" | "InternalFailure" | "AccountNotSubscribed" => Verdict::TryAgain { code },
        // The event's: FieldTooLong, FieldNotFound, InvalidData, InvalidEventSource, InvalidRecipient;
        // InvalidChecksum would be our own fault, and sending the same bytes again would not cure it.
        _ => Verdict::Refused { code },
    }
}

/// Codes of whole requests: all that the API reference and its common errors name, and whose fault each one is.
fn class_of(failed: Failure) -> CallError {
    let Failure { reached, code, message } = failed;
    let Reached::Answer(status) = reached else {
        return Failure { reached, code, message }.classed(&[], "");
    };
    match code.as_str() {
        // Ours: no event can pass until somebody changes the channel, its policy, our role or our clock.
        "ChannelInsufficientPermission"
        | "ChannelNotFound"
        | "ChannelUnsupportedSchema"
        | "InvalidChannelARN"
        | "UnsupportedOperationException"
        | "AccessDeniedException"
        | "AccessDenied"
        | "ExpiredTokenException"
        | "ExpiredToken"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "NotAuthorized"
        | "OptInRequired"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException" => misconfigured(&code, &message),
        // The moment's. ThrottlingException is an HTTP 400: the status alone would call it the event's fault.
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "TooManyRequestsException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "SlowDown" => CallError::transient(format!("Throttling:{code}"), "the lake asks for fewer calls"),
        "InternalFailure" | "ServiceUnavailable" | "RequestTimeoutException" | "RequestAbortedException" => {
            CallError::transient(code, message)
        }
        _ if status >= 500 || status == 408 || status == 429 => CallError::transient(code, message),
        // A success that cannot be read: the events may be there or not.
        _ if status < 300 => CallError::transient("no_reply", "an answer that cannot be read"),
        // An event's, and the answer does not say whose: DuplicatedAuditEventId, RequestEntityTooLargeException,
        // ValidationError, MalformedHttpRequestException. The message may quote the request, so it is not kept.
        _ if status == 400 || status == 413 => {
            CallError::BadRequest { code: code.into(), message: format!("HTTP status {status}") }
        }
        // Nobody's that we know: a proxy, a wrong endpoint. Not the event's fault in any case.
        _ => misconfigured(&code, &format!("HTTP status {status}")),
    }
}

fn misconfigured(code: &str, message: &str) -> CallError {
    let cure = match code {
        "ChannelNotFound" => "no channel has this ARN: check channel_arn, its Region and its account",
        "InvalidChannelARN" => "channel_arn is no channel's ARN",
        "ChannelInsufficientPermission" => {
            "the channel's resource policy does not let us in: check its principals and external_id"
        }
        "ChannelUnsupportedSchema" => {
            "the channel takes another schema: it must belong to a custom integration"
        }
        "AccountNotSubscribed" => "the channel's event data store does not take events: check its status",
        "InvalidRecipient" => "recipientAccountId is not the channel owner's account: check channel_arn",
        "UnsupportedOperationException" => {
            "CloudTrail Lake is not offered here: check the Region of channel_arn"
        }
        _ => {
            "the call was not allowed: check that the role may call cloudtrail-data:PutAuditEvents on the channel"
        }
    };
    let said = if message.is_empty() { String::new() } else { format!(" ({message})") };
    CallError::misconfigured(code.to_owned(), format!("{code}: {cure}{said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: &str) -> CallError {
        class_of(Failure { reached: Reached::Answer(status), code: code.into(), message: String::new() })
    }

    #[test]
    fn each_documented_error_has_its_class() {
        for code in [
            "ChannelInsufficientPermission",
            "ChannelNotFound",
            "ChannelUnsupportedSchema",
            "InvalidChannelARN",
            "UnsupportedOperationException",
        ] {
            assert!(matches!(answered(400, code), CallError::Misconfigured { .. }), "{code}");
        }
        for (status, code) in [
            (403, "AccessDeniedException"),
            (403, "ExpiredTokenException"),
            (403, "IncompleteSignature"),
            (401, "NotAuthorized"),
            (403, "OptInRequired"),
        ] {
            assert!(matches!(answered(status, code), CallError::Misconfigured { .. }), "{code}");
        }
        for (status, code) in [
            (400, "ThrottlingException"),
            (500, "InternalFailure"),
            (503, "ServiceUnavailable"),
            (408, "RequestTimeoutException"),
            (400, "RequestAbortedException"),
            (502, "unnamed"),
            (429, "unnamed"),
        ] {
            assert!(matches!(answered(status, code), CallError::Transient { .. }), "{code}");
        }
        for status in [302, 401, 403, 404, 407, 418] {
            assert!(matches!(answered(status, "unnamed"), CallError::Misconfigured { .. }), "{status}");
        }
        assert!(matches!(answered(200, "unnamed"), CallError::Transient { code, .. } if code == "no_reply"));
        for (status, code) in [
            (400, "DuplicatedAuditEventId"),
            (413, "RequestEntityTooLargeException"),
            (400, "ValidationError"),
            (400, "MalformedHttpRequestException"),
            (413, "unnamed"),
            (400, "SomethingNew"),
        ] {
            assert!(matches!(answered(status, code), CallError::BadRequest { .. }), "{code}");
        }
    }

    #[test]
    fn a_refused_request_is_described_without_its_words() {
        let failed = Failure {
            reached: Reached::Answer(400),
            code: "ValidationError".into(),
            message: "value 'secret' is wrong".into(),
        };
        assert!(!class_of(failed).to_string().contains("secret"));
    }
}
