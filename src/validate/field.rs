//! One field against its rule. In: the event and a field. Out: the event with the field valid or taken out.

use std::net::IpAddr;

use bytestring::ByteString;

use super::{Rule, allow};
use crate::{
    config::Oversize,
    event::{EventData, Field},
    failure::{Reason, Rejection},
    json,
    limits::{IDENTITY_TYPE_CHARS_MAX, SHORT_TEXT_CHARS_MAX},
    map::keep,
};

pub(super) fn apply(
    event: &mut EventData,
    field: Field,
    rule: Rule,
    oversize: Oversize,
) -> Result<(), Rejection> {
    let value = event.fields.get(field);
    match (rule, value) {
        (Rule::Required { chars_max }, value) => required(field, value, chars_max),
        (_, None) => Ok(()),
        (Rule::Text { chars_max }, Some(json)) => match chars(json) {
            Some(count) if count <= chars_max => Ok(()),
            Some(_) => cut(event, field, chars_max, oversize),
            None => take_out(event, field, "is not a string: moved", oversize),
        },
        (Rule::Address, Some(json)) => {
            let is_address = json::text(json).is_some_and(|text| text.parse::<IpAddr>().is_ok());
            if is_address { Ok(()) } else { take_out(event, field, "is no IP address: moved", oversize) }
        }
        // The size is looked at later, when all that was moved is known.
        (Rule::Object { .. }, Some(json)) if json.starts_with('{') => Ok(()),
        (Rule::Object { .. }, Some(_)) => take_out(event, field, "is not an object: moved", oversize),
    }
}

fn required(field: Field, json: Option<&ByteString>, chars_max: usize) -> Result<(), Rejection> {
    let name = field.name();
    match json.and_then(|json| chars(json)) {
        None => Err(Rejection::new(Reason::MissingField, format!("{name} is absent or no string"))),
        Some(0) => Err(Rejection::new(Reason::MissingField, format!("{name} is empty"))),
        Some(count) if count > chars_max => {
            let sentence = format!("{name} has {count} characters, more than {chars_max}");
            Err(Rejection::new(Reason::FieldTooLong, sentence))
        }
        Some(_) => Ok(()),
    }
}

/// JSON strings of no more bytes than this are within every limit and need no counting.
const SHORT_BYTES: usize = 128;
const _: () = assert!(SHORT_BYTES <= IDENTITY_TYPE_CHARS_MAX && SHORT_BYTES <= SHORT_TEXT_CHARS_MAX);

/// Characters of a JSON string, or a larger number that is still within every limit; `None` for any other value.
fn chars(json: &str) -> Option<usize> {
    let inner_bytes = json.strip_prefix('"')?.len().saturating_sub(1);
    // No text has more characters than its JSON has bytes.
    if inner_bytes <= SHORT_BYTES {
        return Some(inner_bytes);
    }
    json::text(json).map(|text| text.chars().count())
}

fn take_out(
    event: &mut EventData,
    field: Field,
    why: &'static str,
    oversize: Oversize,
) -> Result<(), Rejection> {
    allow(oversize, field, why.trim_end_matches(": moved"))?;
    if let Some(original) = event.fields.get(field).cloned() {
        event.fields.put(field, None);
        keep(event, field, original, why);
    }
    Ok(())
}

/// Cuts the decoded text, so that no escape and no character is cut through.
fn cut(event: &mut EventData, field: Field, chars_max: usize, oversize: Oversize) -> Result<(), Rejection> {
    allow(oversize, field, "is longer than the lake allows")?;
    let Some(original) = event.fields.get(field).cloned() else { return Ok(()) };
    let head: String = json::text(&original).unwrap_or_default().chars().take(chars_max).collect();
    event.fields.put(field, Some(json::quote(&head)));
    keep(event, field, original, "is longer than the lake allows: cut");
    Ok(())
}
