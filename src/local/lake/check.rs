//! Every rule that CloudTrail Lake documents for one entry's `eventData`. Pure.
//!
//! In: the text of `eventData` and the channel's account. Out: the event's `UID`, or the per-entry error.
//! Source of the schema:
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/query-integration-event-schema.html>.
//! Where the page is silent the stricter reading is taken: an event that passes here is within every rule.

use std::{borrow::Cow, fmt, net::IpAddr};

use serde::{
    Deserialize,
    de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;
use time::{Date, Month};

use crate::limits;

/// Why one entry is refused: a documented code, and a sentence that names fields and sizes but no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EntryError {
    pub(super) code: &'static str,
    pub(super) message: String,
}

fn refused<T>(code: &'static str, message: impl Into<String>) -> Result<T, EntryError> {
    Err(EntryError { code, message: message.into() })
}

/// What a field must be.
#[derive(Clone, Copy)]
enum Rule {
    /// A string of at most this many characters.
    Text(usize),
    /// A JSON object of at most this many bytes.
    Object(usize),
    /// `yyyy-MM-DDTHH:mm:ss`, with or without `Z`.
    Time,
    /// An IPv4 or IPv6 address.
    Address,
    /// The account that owns the channel.
    Account,
    /// The object that [`IDENTITY`] describes.
    Identity,
}

/// Name, whether it is required, rule.
type Field = (&'static str, bool, Rule);

const DATA: [Field; 14] = [
    ("version", true, Rule::Text(limits::SHORT_TEXT_CHARS_MAX)),
    ("userIdentity", true, Rule::Identity),
    ("userAgent", false, Rule::Text(limits::LONG_TEXT_CHARS_MAX)),
    ("eventSource", true, Rule::Text(limits::LONG_TEXT_CHARS_MAX)),
    ("eventName", true, Rule::Text(limits::LONG_TEXT_CHARS_MAX)),
    ("eventTime", true, Rule::Time),
    ("UID", true, Rule::Text(limits::LONG_TEXT_CHARS_MAX)),
    ("requestParameters", false, Rule::Object(limits::PARAMETERS_BYTES_MAX)),
    ("responseElements", false, Rule::Object(limits::PARAMETERS_BYTES_MAX)),
    ("errorCode", false, Rule::Text(limits::SHORT_TEXT_CHARS_MAX)),
    ("errorMessage", false, Rule::Text(limits::SHORT_TEXT_CHARS_MAX)),
    ("sourceIPAddress", false, Rule::Address),
    ("recipientAccountId", true, Rule::Account),
    ("additionalEventData", false, Rule::Object(limits::ADDITIONAL_BYTES_MAX)),
];

const IDENTITY: [Field; 3] = [
    ("type", true, Rule::Text(limits::IDENTITY_TYPE_CHARS_MAX)),
    ("principalId", true, Rule::Text(limits::LONG_TEXT_CHARS_MAX)),
    ("details", false, Rule::Object(limits::EVENT_DATA_BYTES_MAX)),
];

/// Checks one event; `account` owns the channel.
///
/// # Errors
/// The first rule that is broken, as CloudTrail Lake names it.
pub(super) fn check<'a>(event_data: &'a str, account: &str) -> Result<Cow<'a, str>, EntryError> {
    if event_data.len() > limits::EVENT_DATA_BYTES_MAX {
        let (length, max) = (event_data.len(), limits::EVENT_DATA_BYTES_MAX);
        return refused("FieldTooLong", format!("eventData has {length} bytes; at most {max} are accepted"));
    }
    let values = members(event_data, "eventData", &DATA)?;
    let mut uid = Cow::Borrowed("");
    for (field, value) in DATA.iter().zip(values) {
        let Some(text) = check_field(field, value, account)? else { continue };
        if field.0 == "UID" {
            uid = text;
        }
    }
    Ok(uid)
}

/// Checks one field; gives back its text where it is one.
fn check_field<'a>(
    &(name, required, rule): &Field,
    value: Option<&'a RawValue>,
    account: &str,
) -> Result<Option<Cow<'a, str>>, EntryError> {
    let Some(json) = value.map(RawValue::get).filter(|json| !(required && *json == "null")) else {
        if required {
            return refused("FieldNotFound", format!("{name} is required"));
        }
        return Ok(None);
    };
    match rule {
        Rule::Object(bytes_max) => object(name, json, bytes_max).map(|()| None),
        Rule::Identity => identity(json).map(|()| None),
        Rule::Text(_) | Rule::Time | Rule::Address | Rule::Account => {
            let text = text(name, json)?;
            if required && text.is_empty() {
                return refused("FieldNotFound", format!("{name} is required and is empty"));
            }
            text_rule(name, &text, rule, account)?;
            Ok(Some(text))
        }
    }
}

fn text_rule(name: &str, text: &str, rule: Rule, account: &str) -> Result<(), EntryError> {
    match rule {
        Rule::Text(max) if text.len() > max && text.chars().count() > max => {
            let length = text.chars().count();
            refused("FieldTooLong", format!("{name} has {length} characters; at most {max} are accepted"))
        }
        Rule::Time if !is_time(text) => {
            refused("InvalidData", format!("{name} must have the form yyyy-MM-DDTHH:mm:ssZ"))
        }
        Rule::Address if text.parse::<IpAddr>().is_err() => {
            refused("InvalidData", format!("{name} must be an IPv4 or IPv6 address"))
        }
        Rule::Account if text != account => {
            refused("InvalidRecipient", format!("{name} must be the account that owns the channel"))
        }
        _ => Ok(()),
    }
}

fn identity(json: &str) -> Result<(), EntryError> {
    let values = members(json, "userIdentity", &IDENTITY)?;
    IDENTITY.iter().zip(values).try_for_each(|(field, value)| check_field(field, value, "").map(|_| ()))
}

fn object(name: &str, json: &str, bytes_max: usize) -> Result<(), EntryError> {
    if !json.starts_with('{') {
        return refused("InvalidData", format!("{name} must be a JSON object"));
    }
    if json.len() > bytes_max {
        let length = json.len();
        return refused(
            "FieldTooLong",
            format!("{name} has {length} bytes; at most {bytes_max} are accepted"),
        );
    }
    match serde_json::from_str::<DistinctKeys>(json) {
        Ok(_) => Ok(()),
        Err(_) => refused("InvalidData", format!("{name} has a key twice, or text that is not Unicode")),
    }
}

fn text<'a>(name: &str, json: &'a str) -> Result<Cow<'a, str>, EntryError> {
    if !json.starts_with('"') {
        return refused("InvalidData", format!("{name} must be a string"));
    }
    match serde_json::from_str::<Text<'a>>(json) {
        Ok(text) => Ok(text.0),
        Err(_) => refused("InvalidData", format!("{name} is not valid Unicode text")),
    }
}

fn is_time(text: &str) -> bool {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let shaped = text.len() == 19
        && text.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            10 => byte == b'T',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    if !shaped {
        return false;
    }
    let number = |from: usize, to: usize| text[from..to].parse::<u16>().unwrap_or(u16::MAX);
    let small = |from, to| u8::try_from(number(from, to)).unwrap_or(u8::MAX);
    let date = Month::try_from(small(5, 7))
        .and_then(|month| Date::from_calendar_date(i32::from(number(0, 4)), month, small(8, 10)));
    date.is_ok() && number(11, 13) < 24 && number(14, 16) < 60 && number(17, 19) < 60
}

/// The values of an object whose keys are all known, in the order of `fields`.
fn members<'a, const N: usize>(
    json: &'a str,
    name: &str,
    fields: &'static [Field; N],
) -> Result<[Option<&'a RawValue>; N], EntryError> {
    if !json.trim_start_matches([' ', '\t', '\r', '\n']).starts_with('{') {
        return refused("InvalidData", format!("{name} must be a JSON object"));
    }
    let mut input = serde_json::Deserializer::from_str(json);
    let values = Members(fields).deserialize(&mut input).and_then(|values| input.end().map(|()| values));
    values.map_err(|error| {
        // The error's own text is not passed on where it could quote the event.
        let message = match error.classify() {
            serde_json::error::Category::Data => format!("{name}: {error}"),
            _ => format!("{name} is not JSON (line {}, column {})", error.line(), error.column()),
        };
        EntryError { code: "InvalidData", message }
    })
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct Members<const N: usize>(&'static [Field; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Members<N> {
    type Value = [Option<&'de RawValue>; N];

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Self::Value, D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = [None; N];
        while let Some(key) = map.next_key::<Text<'de>>()? {
            let Some(at) = self.0.iter().position(|field| field.0 == key.0) else {
                return Err(de::Error::custom("has a key that the schema does not know"));
            };
            if values[at].replace(map.next_value::<&'de RawValue>()?).is_some() {
                return Err(de::Error::custom(format_args!("has {} twice", self.0[at].0)));
            }
        }
        Ok(values)
    }
}

/// An object whose first-level keys differ: the lake stores it as a map.
struct DistinctKeys;

impl<'de> Deserialize<'de> for DistinctKeys {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_map(DistinctKeys)
    }
}

impl<'de> Visitor<'de> for DistinctKeys {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut keys = Vec::new();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            keys.push(key.0);
            map.next_value::<IgnoredAny>()?;
        }
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(de::Error::custom("has a key twice"));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests;
