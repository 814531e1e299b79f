//! Stage 3, identify. In: `RawEvent`. Out: `IdentifiedEvent`. Next: dedupe.
//!
//! The format is told by content, unless the source is known to carry one format alone. The format says what
//! identifies an event: an id that its producer declared, or, where there is none, what makes it the event that it is,
//! of which the hash is taken. An id that we made up could not tell a second copy from a second event.

use std::sync::Arc;

use bytestring::ByteString;

use crate::{
    decode::canonical_hash,
    event::{ContentHash, EventId, IdentifiedEvent, RawEvent},
    failure::{Reason, Rejection},
    formats::{Format, Formats, Mapping, hot_format_of},
    jq::Input,
    json,
    receive::About,
};

mod id;

pub use self::id::{DECLARED_ID_BYTES_MAX, RESERVED_PREFIX};

/// Tells the format and the id; `fixed` overrules the content.
///
/// # Errors
/// [`Reason::UnknownFormat`], [`Reason::NoId`], [`Reason::IdTooLong`].
pub fn identify(
    raw: RawEvent,
    about: &About,
    formats: &Formats,
    fixed: Option<&Format>,
) -> Result<IdentifiedEvent, Rejection> {
    match fixed.cloned().or_else(|| hot_format_of(&raw)) {
        Some(Format::CloudTrail) => declared(raw, Format::CloudTrail, "eventID"),
        Some(Format::Lake) => declared(raw, Format::Lake, "UID"),
        Some(Format::Mapped(mapping)) => {
            let input = Input::new(&raw.json, about, &mapping.name);
            mapped(raw, mapping, &input)
        }
        None => {
            let input = Input::new(&raw.json, about, "");
            let mapping = formats.matching(&input).ok_or_else(|| unknown_format(formats))?;
            let input = input.of_format(&mapping.name);
            mapped(raw, mapping, &input)
        }
    }
}

/// The format that the message itself names in the attribute `key`, if it names one: it overrules every other.
///
/// # Errors
/// [`Reason::UnknownFormat`].
pub fn format_named(
    formats: &Formats,
    key: Option<&str>,
    about: &About,
) -> Result<Option<Format>, Rejection> {
    let named = key.and_then(|key| about.attributes.get(key));
    named.map(|name| formats.get(name).ok_or_else(|| unknown_name(formats))).transpose()
}

/// The format alone, for `explain`.
pub(crate) fn format_of(
    raw: &RawEvent,
    about: &About,
    formats: &Formats,
    fixed: Option<&Format>,
) -> Option<Format> {
    let by_mapping = || formats.matching(&Input::new(&raw.json, about, "")).map(Format::Mapped);
    fixed.cloned().or_else(|| hot_format_of(raw)).or_else(by_mapping)
}

/// The id is a member. `sharedEventID` is none: it joins the copies that several accounts receive.
fn declared(raw: RawEvent, format: Format, key: &'static str) -> Result<IdentifiedEvent, Rejection> {
    let id = id::event_id(raw.get(key), key)?;
    let content_hash = raw.content_hash;
    Ok(IdentifiedEvent { raw, format, id, content_hash, parsed: None })
}

fn mapped(raw: RawEvent, mapping: Arc<Mapping>, input: &Input<'_>) -> Result<IdentifiedEvent, Rejection> {
    let said =
        mapping.id.json(input).map_err(|error| error.of(Reason::NoId, "the format's `id`").rejection)?;
    let (id, content_hash) = identity(said.as_ref(), raw.content_hash)?;
    let parsed = Some(input.parsed());
    Ok(IdentifiedEvent { raw, format: Format::Mapped(mapping), id, content_hash, parsed })
}

/// A text is an id that the producer declared. Of anything else the hash is taken; then two events with one id are
/// one event, however differently they are written.
fn identity(said: Option<&ByteString>, of_content: ContentHash) -> Result<(EventId, ContentHash), Rejection> {
    match said {
        Some(json) if json.starts_with(['{', '[']) => {
            let hash = canonical_hash(json);
            let hex = json::quote(&hash.to_string());
            Ok((id::event_id(Some(&hex), ID)?, hash))
        }
        said => Ok((id::event_id(said, ID)?, of_content)),
    }
}

const ID: &str = "the id that the format's mapping names";

fn unknown_name(formats: &Formats) -> Rejection {
    let sentence =
        format!("the message names a format that is not known; known are {}", formats.names().join(", "));
    Rejection::new(Reason::UnknownFormat, sentence)
}

fn unknown_format(formats: &Formats) -> Rejection {
    let names = formats.names().join(", ");
    let sentence = format!("told by content, the event is in none of the formats that are known: {names}");
    Rejection::new(Reason::UnknownFormat, sentence)
}
