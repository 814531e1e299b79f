//! Stage 3, identify. In: `RawEvent`. Out: `IdentifiedEvent`. Next: dedupe.
//!
//! The format is told by content, unless the source is known to carry one format alone. The format says where
//! the id is; an event without an id of its own is rejected, because an id that we made up could not tell a second
//! copy from a second event.

use crate::{
    event::{IdentifiedEvent, RawEvent},
    failure::{Reason, Rejection},
};

mod id;

pub use self::id::{DECLARED_ID_BYTES_MAX, RESERVED_PREFIX};

/// The formats that can be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Already in the integration schema.
    Lake,
    /// A native CloudTrail record.
    CloudTrail,
}

impl Format {
    /// As written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lake => "lake",
            Self::CloudTrail => "cloudtrail",
        }
    }

    /// The member that holds the id. `sharedEventID` is none: it joins the copies that several accounts receive.
    fn id_key(self) -> &'static str {
        match self {
            Self::Lake => "UID",
            Self::CloudTrail => "eventID",
        }
    }
}

/// Tells the format and the id; `fixed` overrules the content.
///
/// # Errors
/// [`Reason::UnknownFormat`], [`Reason::NoId`], [`Reason::IdTooLong`].
pub fn identify(raw: RawEvent, fixed: Option<Format>) -> Result<IdentifiedEvent, Rejection> {
    let format = match fixed {
        Some(format) => format,
        None => format_of(&raw).ok_or_else(unknown_format)?,
    };
    let id = id::event_id(raw.get(format.id_key()), format.id_key())?;
    Ok(IdentifiedEvent { raw, format, id })
}

/// What is looked for, gathered in one pass.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each answers one question, and all combinations occur")]
struct Signs {
    id: bool,
    uid: bool,
    version: bool,
    event_version: bool,
    name_and_source: u8,
    native: bool,
    is_s3: bool,
}

fn format_of(raw: &RawEvent) -> Option<Format> {
    let mut signs = Signs::default();
    for member in raw.members.iter().filter(|member| &*member.json != "null") {
        match &*member.key {
            "eventID" => signs.id = true,
            "UID" => signs.uid = true,
            "version" => signs.version = true,
            "eventVersion" => signs.event_version = true,
            "eventName" => signs.name_and_source += 1,
            "eventSource" => {
                signs.name_and_source += 1;
                signs.is_s3 = &*member.json == "\"aws:s3\"";
            }
            "awsRegion" | "eventType" | "requestID" => signs.native = true,
            _ => {}
        }
    }
    signs.format()
}

impl Signs {
    /// Both formats name an event and its source. A native record has `eventVersion` and an `eventID`; an event
    /// of the lake has a `UID` and a `version`, which AWS's own announcement calls `eventVersion`. Where neither
    /// id is there, what else is there decides which one is missed.
    fn format(&self) -> Option<Format> {
        if self.name_and_source < 2 || self.is_s3 {
            return None;
        }
        match (self.id, self.uid) {
            (true, false) if self.event_version => Some(Format::CloudTrail),
            (_, true) if self.version || !self.native => Some(Format::Lake),
            _ if self.event_version && (self.native || self.id) => Some(Format::CloudTrail),
            (false, false) if self.version => Some(Format::Lake),
            _ => None,
        }
    }
}

fn unknown_format() -> Rejection {
    let sentence = "neither a CloudTrail record (eventVersion, eventSource, eventName, eventID) nor an event of \
                    the integration schema (version, eventSource, eventName, UID)";
    Rejection::new(Reason::UnknownFormat, sentence)
}
