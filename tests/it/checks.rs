//! What the lake documents, written a second time and without the code under test: a schema checker, and a search
//! for values that were lost.

use std::{collections::HashMap, net::IpAddr};

use bytes::Bytes;
use serde_json::{Map, Value};
use tributary::{
    checksum::checksum,
    config::Oversize,
    decode::decode,
    event::ReadyEvent,
    failure::Rejection,
    identify::{Format, identify},
    map::map,
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
    fixed: Option<Format>,
) -> Vec<Result<ReadyEvent, Rejection>> {
    let stages = |raw| validate(map(&identify(raw, fixed)?, ACCOUNT)?, oversize).map(checksum);
    decode(body.into()).into_iter().map(|decoded| decoded.event.and_then(stages)).collect()
}

/// Every documented rule that an entry breaks; empty for a good one.
pub(crate) fn breaches(event: &ReadyEvent) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |is_kept: bool, rule: &str| {
        if !is_kept {
            found.push(rule.to_owned());
        }
    };
    let id = event.id().wire();
    check((1..=128).contains(&id.len()), "id length");
    check(id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_'), "id pattern");
    check(event.json().len() <= 256_000, "256 kB");
    let Ok(Value::Object(fields)) = serde_json::from_str(event.json()) else {
        return vec!["not a JSON object".to_owned()];
    };
    let text = |map: &Map<String, Value>, key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
    let length = |map: &Map<String, Value>, key: &str| text(map, key).map(|text| text.chars().count());
    let identity = fields.get("userIdentity").and_then(Value::as_object).cloned().unwrap_or_default();
    for (map, key, max) in [
        (&fields, "version", 256),
        (&identity, "type", 128),
        (&identity, "principalId", 1024),
        (&fields, "eventSource", 1024),
        (&fields, "eventName", 1024),
        (&fields, "UID", 1024),
        (&fields, "recipientAccountId", 12),
        (&fields, "eventTime", 20),
    ] {
        check(length(map, key).is_some_and(|length| (1..=max).contains(&length)), key);
    }
    for (key, max) in [("userAgent", 1024), ("errorCode", 256), ("errorMessage", 256)] {
        check(!fields.contains_key(key) || length(&fields, key).is_some_and(|length| length <= max), key);
    }
    for (key, max) in
        [("requestParameters", 100_000), ("responseElements", 100_000), ("additionalEventData", 28_000)]
    {
        let Some(value) = fields.get(key) else { continue };
        check(value.is_object(), key);
        // As sent, but for white space, which `to_string` takes out: the stricter sizes are in `sizes_as_sent`.
        check(value.to_string().len() <= max, key);
    }
    check(identity.get("details").is_none_or(Value::is_object), "details");
    let address = text(&fields, "sourceIPAddress");
    check(
        !fields.contains_key("sourceIPAddress") || address.is_some_and(|ip| ip.parse::<IpAddr>().is_ok()),
        "sourceIPAddress",
    );
    check(text(&fields, "recipientAccountId").as_deref() == Some(ACCOUNT), "recipientAccountId");
    check(
        text(&fields, "eventTime").is_some_and(|time| time.ends_with('Z') && time.contains('T')),
        "eventTime",
    );
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
    check(fields.keys().all(|key| KNOWN.contains(&key.as_str())), "unknown key");
    check(
        identity.keys().all(|key| matches!(key.as_str(), "type" | "principalId" | "details")),
        "identity key",
    );
    found
}

/// Leaf values of `source` that are not in `published`, each as often as it occurs. Members that are `null` at
/// the top of the record or of its identity say nothing and are not looked for.
pub(crate) fn lost(source: &Value, published: &Value) -> Vec<String> {
    let mut kept = HashMap::<String, isize>::new();
    leaves(published, "", &mut |leaf| *kept.entry(leaf).or_default() += 1);
    let mut source = source.clone();
    drop_nulls(&mut source);
    for parent in ["userIdentity", "additionalEventData"] {
        source.get_mut(parent).into_iter().for_each(drop_nulls);
    }
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
