//! What the lake documents, written a second time and without the code under test: a schema checker, and a search
//! for values that were lost.

use std::{collections::HashMap, net::IpAddr};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tributary::{
    checksum::checksum,
    config::Oversize,
    decode::decode,
    event::ReadyEvent,
    failure::Rejection,
    formats::{Format, Formats},
    identify::identify,
    map::map,
    receive::About,
    validate::validate,
};

pub(crate) const ACCOUNT: &str = "999999999999";

/// All pure stages, for every event of a message.
pub(crate) fn ready(body: impl Into<Bytes>, oversize: Oversize) -> Vec<Result<ReadyEvent, Rejection>> {
    ready_as(body, oversize, None)
}

pub(crate) fn ready_as(
    body: impl Into<Bytes>,
    oversize: Oversize,
    fixed: Option<&Format>,
) -> Vec<Result<ReadyEvent, Rejection>> {
    let (formats, about) = (Formats::built_in(), About::default());
    let stages = |raw| {
        let event = identify(raw, &about, &formats, fixed)?;
        validate(map(&event, &about, ACCOUNT)?, oversize).map(checksum)
    };
    decode(body.into()).into_iter().map(|decoded| decoded.found.into_event().and_then(stages)).collect()
}

/// Every documented rule that an entry breaks; empty for a good one.
pub(crate) fn breaches(event: &ReadyEvent) -> Vec<String> {
    let Ok(Value::Object(fields)) = serde_json::from_str(event.json()) else {
        return vec!["not a JSON object".to_owned()];
    };
    let nothing = Map::new();
    let identity = fields.get("userIdentity").and_then(Value::as_object).unwrap_or(&nothing);
    let id = event.id().wire();
    let is_id = (1..=128).contains(&id.len())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    let time = fields.get("eventTime").and_then(Value::as_str).unwrap_or_default();
    let mut found = Vec::new();
    let mut rule = |is_kept: bool, name: &str| {
        if !is_kept {
            found.push(name.to_owned());
        }
    };
    rule(is_id, "id");
    rule(STANDARD.encode(Sha256::digest(event.json())) == event.checksum(), "checksum");
    rule(event.json().len() <= 256_000, "256 kB");
    rule(fields.keys().all(|key| KNOWN.contains(&key.as_str())), "unknown key");
    rule(identity.keys().all(|key| matches!(key.as_str(), "type" | "principalId" | "details")), "identity");
    rule(identity.get("details").is_none_or(Value::is_object), "details");
    rule(fields.get("recipientAccountId") == Some(&Value::from(ACCOUNT)), "recipientAccountId");
    rule(time.len() == 20 && time.ends_with('Z') && time.contains('T'), "eventTime");
    for (map, name, max) in required(&fields, identity) {
        rule(map.get(name).and_then(characters).is_some_and(|count| (1..=max).contains(&count)), name);
    }
    for (name, max) in [("userAgent", 1024), ("errorCode", 256), ("errorMessage", 256)] {
        rule(fields.get(name).is_none_or(|value| characters(value).is_some_and(|count| count <= max)), name);
    }
    for (name, max) in OBJECTS {
        // Without the white space that may be in it: what is as sent is checked by the whole event's size.
        rule(fields.get(name).is_none_or(|value| value.is_object() && value.to_string().len() <= max), name);
    }
    let is_address = |value: &Value| value.as_str().is_some_and(|text| text.parse::<IpAddr>().is_ok());
    rule(fields.get("sourceIPAddress").is_none_or(is_address), "sourceIPAddress");
    found
}

const OBJECTS: [(&str, usize); 3] =
    [("requestParameters", 100_000), ("responseElements", 100_000), ("additionalEventData", 28_000)];

const KNOWN: [&str; 14] = [
    "version",
    "userIdentity",
    "userAgent",
    "eventSource",
    "eventName",
    "eventTime",
    "UID",
    "requestParameters",
    "responseElements",
    "errorCode",
    "errorMessage",
    "sourceIPAddress",
    "recipientAccountId",
    "additionalEventData",
];

type Object = Map<String, Value>;

fn required<'a>(fields: &'a Object, identity: &'a Object) -> [(&'a Object, &'static str, usize); 6] {
    [
        (fields, "version", 256),
        (identity, "type", 128),
        (identity, "principalId", 1024),
        (fields, "eventSource", 1024),
        (fields, "eventName", 1024),
        (fields, "UID", 1024),
    ]
}

fn characters(value: &Value) -> Option<usize> {
    value.as_str().map(|text| text.chars().count())
}

/// Leaf values of `source` that are not in `published`, each as often as it occurs. Members that are `null` at
/// the top of the record or of its identity say nothing and are not looked for, nor are identities and
/// additional data that are empty.
pub(crate) fn lost(source: &Value, published: &Value) -> Vec<String> {
    let mut kept = HashMap::<String, isize>::new();
    leaves(published, "", &mut |leaf| *kept.entry(leaf).or_default() += 1);
    let mut source = source.clone();
    for parent in ["userIdentity", "additionalEventData"] {
        source.get_mut(parent).into_iter().for_each(drop_nulls);
        if source.get(parent) == Some(&Value::Object(Map::new())) {
            source[parent].take();
        }
    }
    drop_nulls(&mut source);
    let mut lost = Vec::new();
    leaves(&source, "", &mut |leaf| {
        let left = kept.entry(leaf.clone()).or_default();
        *left -= 1;
        if *left < 0 {
            lost.push(leaf);
        }
    });
    lost
}

fn drop_nulls(value: &mut Value) {
    if let Value::Object(map) = value {
        map.retain(|_, value| !value.is_null());
    }
}

/// The last key on the way to a leaf, and the leaf.
fn leaves(value: &Value, key: &str, found: &mut impl FnMut(String)) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| leaves(value, key, found));
        }
        Value::Array(items) if !items.is_empty() => items.iter().for_each(|item| leaves(item, key, found)),
        leaf => {
            let key = match key.rsplit('.').next().unwrap_or_default() {
                "UID" => "eventID",
                "version" => "eventVersion",
                key => key,
            };
            found(format!("{key}={leaf}"));
        }
    }
}

/// The keys and the scalars of a value, as JSON text.
pub(crate) fn scalars(value: &Value, keys: &mut Vec<String>, values: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, value) in members {
                keys.push(json!(key).to_string());
                scalars(value, keys, values);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|value| scalars(value, keys, values)),
        scalar => values.push(scalar.to_string()),
    }
}
