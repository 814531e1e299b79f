//! Events that are in the integration schema already.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/query-integration-event-schema.html>
//!
//! Fields stay as they are. `eventVersion` is read as `version`, because AWS's own announcement writes it so.
//! Members that the schema does not know are kept as `unmapped`: what the lake does with them is not documented.

use bytestring::ByteString;

use super::super::{put_additional, put_required, put_time};
use crate::{
    event::{EventData, Field, Member},
    failure::{Reason, Rejection},
    json,
};

pub(in crate::map) fn map(members: &[Member], mapped: &mut EventData) -> Result<(), Rejection> {
    let find = |key: &str| members.iter().find(|member| &*member.key == key).map(|member| &member.json);
    let present = |key: &str| find(key).filter(|json| &***json != "null");
    let (version, event_version) = (present("version"), present("eventVersion"));
    put_required(mapped, Field::Version, version.or(event_version))?;
    put_identity(mapped, present("userIdentity"))?;
    put_required(mapped, Field::EventSource, present("eventSource"))?;
    put_required(mapped, Field::EventName, present("eventName"))?;
    put_time(mapped, present("eventTime"))?;
    put_required(mapped, Field::Uid, present("UID"))?;
    for member in members.iter().filter(|member| &*member.json != "null") {
        match &*member.key {
            "version" | "userIdentity" | "eventSource" | "eventName" | "eventTime" | "UID" => {}
            "eventVersion" if version.is_none() => {}
            "additionalEventData" => put_additional(mapped, &member.json),
            key => match optional(key) {
                Some(field) => mapped.fields.put(field, Some(member.json.clone())),
                None => unmap(mapped, member.key.clone(), &member.json),
            },
        }
    }
    if !mapped.unmapped.is_empty() {
        let count = mapped.unmapped.len();
        mapped
            .notes
            .push(format!("members that the schema does not know, kept beside the data: {count}").into());
    }
    Ok(())
}

fn optional(key: &str) -> Option<Field> {
    Some(match key {
        "userAgent" => Field::UserAgent,
        "requestParameters" => Field::RequestParameters,
        "responseElements" => Field::ResponseElements,
        "errorCode" => Field::ErrorCode,
        "errorMessage" => Field::ErrorMessage,
        "sourceIPAddress" => Field::SourceIpAddress,
        "recipientAccountId" => Field::RecipientAccountId,
        _ => return None,
    })
}

fn put_identity(mapped: &mut EventData, json: Option<&ByteString>) -> Result<(), Rejection> {
    let json = json.ok_or_else(|| Rejection::new(Reason::MissingField, "userIdentity is absent"))?;
    let members = json::members(json)
        .ok_or_else(|| Rejection::new(Reason::WrongType, "userIdentity is not an object"))?;
    let present: Vec<Member> = members.into_iter().filter(|member| &*member.json != "null").collect();
    let value = |key: &str| present.iter().find(|member| &*member.key == key).map(|member| &member.json);
    put_required(mapped, Field::UserIdentityType, value("type"))?;
    put_required(mapped, Field::UserIdentityPrincipalId, value("principalId"))?;
    mapped.fields.put(Field::UserIdentityDetails, value("details").cloned());
    for member in &present {
        if !matches!(&*member.key, "type" | "principalId" | "details") {
            unmap(mapped, ByteString::from(format!("userIdentity.{}", member.key)), &member.json);
        }
    }
    Ok(())
}

fn unmap(mapped: &mut EventData, key: ByteString, json: &ByteString) {
    mapped.unmapped.push(Member { key, json: json.clone() });
}
