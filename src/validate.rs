//! Stage 6, validate. In: `EventData`. Out: `ValidEvent`, which the lake's schema has nothing against. Next: checksum.
//!
//! The lake refuses what breaks a rule, it does not cut. So an optional field that breaks one is cut or taken out
//! here, and its original kept beside the data (or, by policy, the event is rejected). A required field is never
//! cut: a name that is cut is another name, and in an audit trail it would accuse somebody else.

use crate::{
    config::Oversize,
    event::{EventData, EventId, Field, Note},
    failure::{Reason, Rejection},
    limits::{IDENTITY_TYPE_CHARS_MAX, LONG_TEXT_CHARS_MAX, PARAMETERS_BYTES_MAX, SHORT_TEXT_CHARS_MAX},
};

mod field;
mod size;

/// Event data within every documented rule and limit. Built by [`validate`] alone.
#[derive(Clone, Debug)]
pub struct ValidEvent {
    event: EventData,
    json_bytes: usize,
}

impl ValidEvent {
    /// The entry's id.
    pub fn id(&self) -> &EventId {
        &self.event.id
    }

    /// Which rules changed something, in the order in which they fired.
    pub fn notes(&self) -> &[Note] {
        &self.event.notes
    }

    /// Bytes of the serialised event data, at most 256,000.
    pub fn json_bytes(&self) -> usize {
        self.json_bytes
    }

    pub(crate) fn into_event(self) -> EventData {
        self.event
    }
}

/// What a field has to be.
#[derive(Clone, Copy)]
enum Rule {
    /// A string that is not empty and not longer than this many characters.
    Required { chars_max: usize },
    /// If present, a string of at most this many characters.
    Text { chars_max: usize },
    /// If present, a string that holds an IPv4 or IPv6 address.
    Address,
    /// If present, an object of at most this many bytes.
    Object { bytes_max: usize },
}

/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/query-integration-event-schema.html>
fn rule(field: Field) -> Rule {
    match field {
        Field::Version => Rule::Required { chars_max: SHORT_TEXT_CHARS_MAX },
        Field::UserIdentityType => Rule::Required { chars_max: IDENTITY_TYPE_CHARS_MAX },
        Field::UserIdentityPrincipalId
        | Field::EventSource
        | Field::EventName
        | Field::EventTime
        | Field::Uid
        | Field::RecipientAccountId => Rule::Required { chars_max: LONG_TEXT_CHARS_MAX },
        Field::UserAgent => Rule::Text { chars_max: LONG_TEXT_CHARS_MAX },
        Field::ErrorCode | Field::ErrorMessage => Rule::Text { chars_max: SHORT_TEXT_CHARS_MAX },
        Field::SourceIpAddress => Rule::Address,
        Field::RequestParameters | Field::ResponseElements => {
            Rule::Object { bytes_max: PARAMETERS_BYTES_MAX }
        }
        // No limit of their own: the whole event's holds for the details, and the size of additionalEventData is
        // looked at with everything that was moved there.
        Field::UserIdentityDetails | Field::AdditionalEventData => Rule::Object { bytes_max: usize::MAX },
    }
}

/// Makes every rule and limit of the schema true, or says which one cannot be.
///
/// # Errors
/// [`Reason::MissingField`] and [`Reason::FieldTooLong`] for required fields; [`Reason::FieldRejected`] for
/// optional fields under [`Oversize::Reject`]; [`Reason::OverflowTooLarge`] where what was moved does not fit;
/// [`Reason::EventTooLarge`].
pub fn validate(mut event: EventData, oversize: Oversize) -> Result<ValidEvent, Rejection> {
    for field in Field::ALL {
        field::apply(&mut event, *field, rule(*field), oversize)?;
    }
    let json_bytes = size::fit(&mut event, oversize)?;
    Ok(ValidEvent { event, json_bytes })
}

/// Under [`Oversize::Reject`], an optional field that breaks a rule ends the event.
fn allow(oversize: Oversize, field: Field, what: &str) -> Result<(), Rejection> {
    match oversize {
        Oversize::Move => Ok(()),
        Oversize::Reject => Err(Rejection::new(Reason::FieldRejected, format!("{} {what}", field.name()))),
    }
}
