//! One `PutAuditEvents` request. In: the HTTP request. Out: the answer in AWS's rest-json protocol.
//!
//! What is wrong with the whole request is an HTTP error; what is wrong with one entry is a `failed` entry inside
//! HTTP 200. Errors: <https://docs.aws.amazon.com/awscloudtraildata/latest/APIReference/CommonErrors.html>.

use std::{borrow::Cow, sync::Arc, time::Duration};

use axum::extract::Query;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderValue},
};
use serde::{Deserialize, Serialize, Serializer};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Lake, State, channel,
    check::{self, EntryError},
    store::{Row, UidDigest},
};
use crate::{
    config::ChannelArn,
    limits,
    local::{
        faults::PutFault,
        serve::{self, Answer, Hangup, Read},
    },
};

/// The whole request is refused.
struct Refusal {
    status: StatusCode,
    code: Cow<'static, str>,
    message: Cow<'static, str>,
}

fn refuse(code: &'static str, message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal { status: status_of(code), code: code.into(), message: message.into() }
}

/// The HTTP status that AWS documents for a code. `ThrottlingException` is 400, like all that are not listed.
fn status_of(code: &str) -> StatusCode {
    match code {
        "NotAuthorized" => StatusCode::UNAUTHORIZED,
        "AccessDeniedException"
        | "ExpiredTokenException"
        | "IncompleteSignature"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "OptInRequired"
        | "UnrecognizedClientException" => StatusCode::FORBIDDEN,
        "RequestTimeoutException" => StatusCode::REQUEST_TIMEOUT,
        "RequestEntityTooLargeException" => StatusCode::PAYLOAD_TOO_LARGE,
        "InternalFailure" => StatusCode::INTERNAL_SERVER_ERROR,
        "ServiceUnavailable" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}

/// An error in the rest-json protocol: the code travels in a header.
pub(super) fn refusal(status: StatusCode, code: &str, message: &str) -> Response<Full<Bytes>> {
    let body = serve::to_json(&serde_json::json!({ "message": message }));
    let mut response = serve::json(status, "application/json", body);
    if let Ok(code) = HeaderValue::from_str(code) {
        response.headers_mut().insert("x-amzn-errortype", code);
    }
    response
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    channel_arn: Option<String>,
    external_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Put<'a> {
    #[serde(borrow)]
    audit_events: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    event_data: Cow<'a, str>,
    #[serde(borrow)]
    event_data_checksum: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    successful: Vec<Successful<'a>>,
    failed: Vec<Failed<'a>>,
}

#[derive(Serialize)]
struct Successful<'a> {
    id: &'a str,
    #[serde(rename = "eventID", serialize_with = "as_text")]
    event_id: Uuid,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed<'a> {
    id: &'a str,
    error_code: Cow<'static, str>,
    error_message: Cow<'static, str>,
}

fn as_text<S: Serializer>(id: &Uuid, output: S) -> Result<S::Ok, S::Error> {
    output.collect_str(id)
}

/// Answers one put, as faithfully as the faults in force allow.
pub(super) async fn answer(lake: &Arc<Lake>, request: Request<Incoming>, stop: &CancellationToken) -> Answer {
    let target = Query::<Target>::try_from_uri(request.uri()).ok();
    let channel = target.as_ref().and_then(|target| target.channel_arn.clone());
    let fault = lake.state().mischief.next_put(channel.as_deref());
    if fault == Some(PutFault::Down) {
        lake.state().count_put("ConnectionClosed");
        return Err(Hangup);
    }
    let (head, body) = request.into_parts();
    let body = serve::read_body(body, lake.put_bytes_max).await?;
    let signed = head.headers.contains_key(header::AUTHORIZATION);
    let outcome = lake
        .run(move |lake| {
            let outcome =
                admit(lake, fault, signed, target, body).and_then(|(body, arn)| put(lake, &body, &arn));
            let mut state = lake.state();
            state.count_put(outcome.as_ref().map_or_else(|refusal| &*refusal.code, |_| "Accepted"));
            let is_concerned = state.mischief.concerns(channel.as_deref());
            let drops = outcome.is_ok() && is_concerned && state.mischief.drops_reply();
            if drops {
                state.count_put("ReplyDropped");
            }
            let delay = if is_concerned { state.mischief.faults().delay() } else { Duration::ZERO };
            (outcome, drops, delay)
        })
        .await?;
    let (outcome, drops, delay) = outcome;
    if !delay.is_zero() {
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = stop.cancelled() => {}
        }
    }
    if drops {
        return Err(Hangup);
    }
    Ok(match outcome {
        Ok(body) => serve::json(StatusCode::OK, "application/json", body),
        Err(refused) => refusal(refused.status, &refused.code, &refused.message),
    })
}

/// All that is checked before the entries are looked at.
fn admit(
    lake: &Lake,
    fault: Option<PutFault>,
    signed: bool,
    target: Option<Query<Target>>,
    body: Read,
) -> Result<(Bytes, ChannelArn), Refusal> {
    if let Some(fault) = fault {
        return Err(refusal_of(fault));
    }
    if !signed {
        return Err(refuse(
            "MissingAuthenticationToken",
            "the request is not signed; any credentials will do here",
        ));
    }
    let Read::Whole(body) = body else {
        let message = format!("the request body has more than {} bytes", lake.put_bytes_max);
        return Err(refuse("RequestEntityTooLargeException", message));
    };
    let Some(Query(Target { channel_arn: Some(arn), external_id })) = target else {
        return Err(refuse("ValidationError", "channelArn is required, as a query parameter"));
    };
    if external_id.as_deref().is_some_and(|id| !is_external_id(id)) {
        return Err(refuse("ValidationError", "externalId must be 2 to 1224 characters of [\\w+=,.@:/-]"));
    }
    let Some(arn) = channel::parse(&arn) else {
        return Err(refuse(
            "InvalidChannelARN",
            "channelArn must be arn:aws:cloudtrail:REGION:ACCOUNT:channel/ID",
        ));
    };
    if let Some(channels) = &lake.channels {
        let Some(channel) = channels.iter().find(|channel| channel.arn == arn) else {
            return Err(refuse("ChannelNotFound", "the channel could not be found"));
        };
        if channel.external_id.is_some() && channel.external_id != external_id {
            let message = "the channel's policy asks for another external ID";
            return Err(refuse("ChannelInsufficientPermission", message));
        }
    }
    Ok((body, arn))
}

fn refusal_of(fault: PutFault) -> Refusal {
    let message = "a fault that this local lake was told to have";
    match fault {
        PutFault::Throttle => refuse("ThrottlingException", "the rate of requests is exceeded"),
        PutFault::Error(status) => Refusal {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            ..refuse(if status == 503 { "ServiceUnavailable" } else { "InternalFailure" }, message)
        },
        PutFault::Refuse(code) => {
            Refusal { status: status_of(&code), code: code.into(), message: message.into() }
        }
        PutFault::Down => refuse("ServiceUnavailable", message),
    }
}

/// 2 to 1224 characters of `[\w+=,.@:/-]`.
pub(super) fn is_external_id(id: &str) -> bool {
    (2..=limits::EXTERNAL_ID_CHARS_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte))
}

fn is_event_id(id: &str) -> bool {
    (1..=limits::EVENT_ID_CHARS_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Checks and stores the entries; gives back the body of the answer.
fn put(lake: &Lake, body: &[u8], channel: &ChannelArn) -> Result<Vec<u8>, Refusal> {
    let put: Put<'_> = serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = format!("the body is not a PutAuditEvents request (line {line}, column {column})");
        refuse("SerializationException", message)
    })?;
    check_request(&put.audit_events)?;
    let checked: Vec<_> = put.audit_events.iter().map(|entry| check_entry(entry, &channel.account)).collect();
    let (ids, data): (Vec<_>, Vec<_>) =
        put.audit_events.into_iter().map(|entry| (entry.id, entry.event_data)).unzip();
    let Sorted { rows, outcome } = sort(&mut lake.state(), &ids, data, checked, channel);
    lake.state().store.append(rows).map_err(|error| {
        tracing::error!(error = %crate::failure::chain(&error), "events were not stored");
        refuse("InternalFailure", crate::failure::chain(&error))
    })?;
    Ok(serve::to_json(&outcome))
}

fn check_request(entries: &[Entry<'_>]) -> Result<(), Refusal> {
    if !(1..=limits::PUT_EVENTS_MAX).contains(&entries.len()) {
        return Err(refuse("ValidationError", "auditEvents must have 1 to 100 entries"));
    }
    let mut ids: Vec<&str> = entries.iter().map(|entry| &*entry.id).collect();
    if !ids.iter().all(|id| is_event_id(id)) {
        return Err(refuse("ValidationError", "an id must be 1 to 128 characters of [-_A-Za-z0-9]"));
    }
    ids.sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(refuse("DuplicatedAuditEventId", "two or more entries in the request have the same id"));
    }
    Ok(())
}

fn check_entry(entry: &Entry<'_>, account: &str) -> Result<UidDigest, EntryError> {
    let uid = check::check(&entry.event_data, account)?;
    if let Some(checksum) = &entry.event_data_checksum {
        let computed = BASE64_STANDARD.encode(Sha256::digest(entry.event_data.as_bytes()));
        if computed != **checksum {
            let message = "eventDataChecksum must be the base64 of the SHA-256 of eventData".to_owned();
            return Err(EntryError { code: "InvalidChecksum", message });
        }
    }
    Ok(UidDigest::of(&uid))
}

struct Sorted<'a> {
    rows: Vec<(UidDigest, Row)>,
    outcome: Outcome<'a>,
}

/// Decides what becomes of each entry: stored and told, stored and forgotten, or failed.
fn sort<'a>(
    state: &mut State,
    ids: &'a [Cow<'_, str>],
    data: Vec<Cow<'_, str>>,
    checked: Vec<Result<UidDigest, EntryError>>,
    channel: &ChannelArn,
) -> Sorted<'a> {
    let arn: Arc<str> = channel.arn.as_str().into();
    let ingested_ms = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    let ingested_ms = i64::try_from(ingested_ms).unwrap_or(i64::MAX);
    let is_concerned = state.mischief.concerns(Some(&channel.arn));
    let mut rows = Vec::with_capacity(ids.len());
    let mut outcome = Outcome { successful: Vec::with_capacity(ids.len()), failed: Vec::new() };
    for ((id, data), checked) in ids.iter().zip(data).zip(checked) {
        let digest = match checked {
            Ok(_) if is_concerned && state.mischief.fails_entry() => {
                let code = Cow::Owned(state.mischief.faults().fail_code.clone());
                let message = Cow::Borrowed("a fault that this local lake was told to have");
                state.count_failed(&code);
                outcome.failed.push(Failed { id, error_code: code, error_message: message });
                continue;
            }
            Ok(digest) => digest,
            Err(EntryError { code, message }) => {
                state.count_failed(code);
                outcome.failed.push(Failed { id, error_code: code.into(), error_message: message.into() });
                continue;
            }
        };
        let event_id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_le_bytes()).into_uuid();
        rows.push((
            digest,
            Row { event_id, ingested_ms, channel_arn: Arc::clone(&arn), data: data.into_owned() },
        ));
        if is_concerned && state.mischief.forgets_entry() {
            state.forgotten_entries += 1;
        } else {
            outcome.successful.push(Successful { id, event_id });
        }
    }
    Sorted { rows, outcome }
}
