//! Native CloudTrail records, eventVersion 1.x.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>
//!
//! What the schema has a field for goes there; what of `userIdentity` is neither type nor principal goes into its
//! details; all else (awsRegion, readOnly, resources, and what later versions add) is kept as `unmapped`.

use bytestring::ByteString;

use super::super::{put_additional, put_required, put_time};
use crate::{
    event::{EventData, Field, IdentifiedEvent, Member},
    failure::{Reason, Rejection},
    json,
};

/// A minor version only adds fields, a major version changes what is there (the page above says to compare the
/// major for equality).
const MAJOR_VERSION: &str = "1";

/// The members of `userIdentity` that can stand for a principal, the most telling first. Anonymous and
/// service calls have no `principalId`; every kind of identity that AWS documents has one of these.
const PRINCIPALS: [&str; 7] =
    ["arn", "accountId", "userName", "invokedBy", "identityProvider", "credentialId", "accessKeyId"];

/// CloudTrail's own word where it cannot tell who it was. No actor is made up.
const UNKNOWN: ByteString = ByteString::from_static("\"Unknown\"");

pub(in crate::map) fn map(event: &IdentifiedEvent, mapped: &mut EventData) -> Result<(), Rejection> {
    let mut required = Required::default();
    mapped.unmapped.reserve(event.raw.members.len());
    for member in event.raw.members.iter().filter(|member| &*member.json != "null") {
        match &*member.key {
            "eventVersion" => required.version = Some(&member.json),
            "eventSource" => required.source = Some(&member.json),
            "eventName" => required.name = Some(&member.json),
            "eventTime" => required.time = Some(&member.json),
            "eventID" => required.uid = Some(&member.json),
            "userIdentity" => required.identity = Some(&member.json),
            "additionalEventData" => put_additional(mapped, &member.json),
            key => match optional(key) {
                Some(field) => mapped.fields.put(field, Some(member.json.clone())),
                None => mapped.unmapped.push(member.clone()),
            },
        }
    }
    put_required(mapped, Field::Version, required.version)?;
    check_version(required.version)?;
    put_required(mapped, Field::EventSource, required.source)?;
    put_required(mapped, Field::EventName, required.name)?;
    put_required(mapped, Field::Uid, required.uid)?;
    put_time(mapped, required.time)?;
    put_identity(mapped, required.identity)
}

#[derive(Default)]
struct Required<'a> {
    version: Option<&'a ByteString>,
    source: Option<&'a ByteString>,
    name: Option<&'a ByteString>,
    time: Option<&'a ByteString>,
    uid: Option<&'a ByteString>,
    identity: Option<&'a ByteString>,
}

fn optional(key: &str) -> Option<Field> {
    Some(match key {
        "userAgent" => Field::UserAgent,
        "sourceIPAddress" => Field::SourceIpAddress,
        "errorCode" => Field::ErrorCode,
        "errorMessage" => Field::ErrorMessage,
        "requestParameters" => Field::RequestParameters,
        "responseElements" => Field::ResponseElements,
        "recipientAccountId" => Field::RecipientAccountId,
        _ => return None,
    })
}

fn check_version(json: Option<&ByteString>) -> Result<(), Rejection> {
    let version = json.and_then(|json| json::text(json)).unwrap_or_default();
    let (major, minor) = version.split_once('.').unwrap_or((&version, "0"));
    if major == MAJOR_VERSION && minor.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(());
    }
    let sentence = format!("eventVersion is not {MAJOR_VERSION}.x, the only one that is known");
    Err(Rejection::new(Reason::UnknownVersion, sentence))
}

fn put_identity(mapped: &mut EventData, json: Option<&ByteString>) -> Result<(), Rejection> {
    let members = match json {
        None => Vec::new(),
        Some(json) => json::members(json)
            .ok_or_else(|| Rejection::new(Reason::WrongType, "userIdentity is not an object"))?,
    };
    let (mut kind, mut principal) = (None, None);
    for member in members {
        let is_text = member.json.starts_with('"') && member.json.len() > 2;
        match &*member.key {
            "type" if is_text => kind = Some(member.json),
            "principalId" if is_text => principal = Some(member.json),
            _ if &*member.json == "null" => {}
            _ => mapped.details.push(member),
        }
    }
    if kind.is_none() {
        mapped.notes.push("userIdentity has no type: \"Unknown\"".into());
    }
    let kind = kind.unwrap_or(UNKNOWN);
    let principal = principal.unwrap_or_else(|| other_principal(mapped, &kind));
    mapped.fields.put(Field::UserIdentityType, Some(kind));
    mapped.fields.put(Field::UserIdentityPrincipalId, Some(principal));
    Ok(())
}

/// What stands for an absent `principalId`: another member that names the actor, else the identity's type.
fn other_principal(mapped: &mut EventData, kind: &ByteString) -> ByteString {
    let is_named = |name: &str, member: &Member| {
        &*member.key == name && member.json.starts_with('"') && member.json.len() > 2
    };
    let found = PRINCIPALS.iter().find_map(|name| {
        let member = mapped.details.iter().find(|member| is_named(name, member))?;
        Some((*name, member.json.clone()))
    });
    let (from, principal) = found.unwrap_or_else(|| ("type", kind.clone()));
    mapped.principal_id_from = Some(from);
    mapped.notes.push(format!("userIdentity has no principalId: {from} stands for it").into());
    principal
}
