//! Stage 5, map. In: `IdentifiedEvent`. Out: `EventData`. Next: validate.
//!
//! Every value of the event lands in one place: its field of the schema, or `additionalEventData.tributary`.
//! Nothing is invented, nothing is dropped but members that are `null`, which say nothing. The same event maps to
//! the same data on every worker, so that a second copy is a copy.

use std::borrow::Cow;

use bytestring::ByteString;

use crate::{
    event::{EventData, Field, Fields, IdentifiedEvent, Member, OWN_KEY},
    failure::{Reason, Rejection},
    formats::Format,
    json,
    receive::About,
};

mod formats;
pub mod time;

/// Maps an event to the integration schema; `recipient_account` is the account of the channel. A mapping may ask for
/// what is known of the message.
///
/// # Errors
/// [`Reason::MissingField`], [`Reason::WrongType`], [`Reason::BadTime`], [`Reason::UnknownVersion`],
/// [`Reason::MappingFailed`].
pub fn map(event: &IdentifiedEvent, about: &About, recipient_account: &str) -> Result<EventData, Rejection> {
    let mut mapped = EventData {
        id: event.id.clone(),
        fields: Fields::default(),
        details: Vec::new(),
        additional: Vec::new(),
        unmapped: Vec::new(),
        moved: Vec::new(),
        principal_id_from: None,
        notes: Vec::new(),
    };
    match &event.format {
        Format::CloudTrail => formats::cloudtrail::map(event, &mut mapped)?,
        Format::Lake => formats::lake::map(&event.raw.members, &mut mapped)?,
        Format::Mapped(mapping) => formats::mapped::map(event, mapping, about, &mut mapped)?,
    }
    set_recipient(&mut mapped, recipient_account);
    shorten_uid(&mut mapped);
    Ok(mapped)
}

/// The lake refuses any account but the channel's own; what the event said is kept where it differs.
fn set_recipient(mapped: &mut EventData, account: &str) {
    let account = json::quote(account);
    if let Some(original) = mapped.fields.get(Field::RecipientAccountId).filter(|json| **json != account) {
        let original = original.clone();
        keep(mapped, Field::RecipientAccountId, original, "is not the channel's account: replaced");
    }
    mapped.fields.put(Field::RecipientAccountId, Some(account));
}

/// A `UID` that is longer than the field makes way for the wire id, which is as unique.
fn shorten_uid(mapped: &mut EventData) {
    if mapped.id.uid() == mapped.id.declared() {
        return;
    }
    let uid = json::quote(mapped.id.uid());
    if let Some(original) = mapped.fields.get(Field::Uid).cloned() {
        keep(mapped, Field::Uid, original, "is too long: replaced by its hash");
    }
    mapped.fields.put(Field::Uid, Some(uid));
}

/// Puts an original beside the data, and says why.
pub(crate) fn keep(mapped: &mut EventData, field: Field, original: ByteString, why: &'static str) {
    mapped.moved.push(Member { key: ByteString::from_static(field.name()), json: original });
    mapped.notes.push(format!("{} {why}, original kept", field.name()).into());
}

/// Sets a field whose value must be a string that is not empty.
fn put_required(mapped: &mut EventData, field: Field, json: Option<&ByteString>) -> Result<(), Rejection> {
    let json = json.ok_or_else(|| missing(field, "is absent"))?;
    if !json.starts_with('"') {
        return Err(Rejection::new(Reason::WrongType, format!("{} is not a string", field.name())));
    }
    if &**json == "\"\"" {
        return Err(missing(field, "is empty"));
    }
    mapped.fields.put(field, Some(json.clone()));
    Ok(())
}

fn missing(field: Field, what: &str) -> Rejection {
    Rejection::new(Reason::MissingField, format!("{} {what}", field.name()))
}

/// Sets the event's time in seconds UTC; keeps what was written where that said more. Both `CloudTrail` and the lake's
/// schema document their times as UTC, so one without a zone is no guess.
fn put_time(mapped: &mut EventData, json: Option<&ByteString>) -> Result<(), Rejection> {
    put_required(mapped, Field::EventTime, json)?;
    let Some(json) = json else { return Ok(()) };
    let sentence = "eventTime is no time such as 2024-01-31T23:59:59Z";
    let written = json::text(json).ok_or_else(|| Rejection::new(Reason::BadTime, sentence))?;
    match time::seconds_utc(&written).or_else(|| time::any_text(&written).map(Cow::Owned)) {
        None => return Err(Rejection::new(Reason::BadTime, sentence)),
        Some(time) if time == *written => {}
        Some(time) => {
            keep(mapped, Field::EventTime, json.clone(), "is not in seconds UTC: converted");
            mapped.fields.put(Field::EventTime, Some(json::quote(&time)));
        }
    }
    Ok(())
}

/// Takes the event's own `additionalEventData`. A member that has our name is set aside, so that a reader can
/// rely on what stands under it.
fn put_additional(mapped: &mut EventData, json: &ByteString) {
    let Some(members) = json::members(json) else {
        mapped.fields.put(Field::AdditionalEventData, Some(json.clone()));
        return;
    };
    for member in members {
        if &*member.key == OWN_KEY {
            let key = ByteString::from_static("additionalEventData.tributary");
            mapped.moved.push(Member { key, json: member.json });
            mapped.notes.push("additionalEventData.tributary is a reserved name: moved".into());
        } else {
            mapped.additional.push(member);
        }
    }
}
