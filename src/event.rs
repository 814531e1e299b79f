//! The states of one event, in the order in which more becomes true of it:
//! [`RawEvent`] -> [`IdentifiedEvent`] -> [`EventData`] -> [`ReadyEvent`].
//!
//! Each is consumed to make the next. Nested JSON is never rebuilt: it travels as slices of the text that was
//! received, so numbers keep their digits and strings their escapes.

use std::{fmt, sync::Arc};

use bytestring::ByteString;

use crate::identify::Format;

/// The id of an event as the lake accepts it, beside the id that its producer declared.
///
/// Built by [`crate::identify`] alone, which makes sure that two declared ids never share one wire id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId {
    pub(crate) wire: ByteString,
    pub(crate) declared: ByteString,
}

impl EventId {
    /// 1 to 128 characters of `[-_A-Za-z0-9]`: the `id` of a `PutAuditEvents` entry.
    pub fn wire(&self) -> &str {
        &self.wire
    }

    /// What the producer wrote; kept in the lake as `UID`.
    pub fn declared(&self) -> &str {
        &self.declared
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.wire())
    }
}

/// SHA-256 over the canonical form of an event: the same for any order of keys and any white space.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentHash(pub [u8; 32]);

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One member of a JSON object: the key as decoded text, the value as the JSON text that was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The key, unescaped.
    pub key: ByteString,
    /// The value's own JSON text, for example `"a \u00e9"`, `12345678901234567890` or `{"a": 1}`.
    pub json: ByteString,
}

/// A JSON object, parsed one level deep, and nothing else is known to be true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawEvent {
    /// The object's text as received.
    pub json: ByteString,
    /// Its members in the order received; keys are distinct.
    pub members: Vec<Member>,
    /// Over the whole object.
    pub content_hash: ContentHash,
}

/// An event whose format and id are known.
#[derive(Clone, Debug)]
pub struct IdentifiedEvent {
    /// The event as received.
    pub raw: RawEvent,
    /// What decided how it is mapped.
    pub format: Format,
    /// What it is deduplicated by.
    pub id: EventId,
}

/// CloudTrail Lake's event schema for integrations, not yet serialised.
///
/// Source of the schema:
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/query-integration-event-schema.html>.
/// Every value is JSON text as it will be sent. [`crate::validate`] makes the limits true.
#[derive(Clone, Debug)]
pub struct EventData {
    /// Goes beside the data, in the entry.
    pub id: EventId,
    /// The value of each schema field that is present, in the order of [`Field`].
    pub(crate) fields: Vec<(Field, ByteString)>,
    /// Members of `userIdentity.details`.
    pub(crate) details: Vec<Member>,
    /// Members of `additionalEventData` that the event brought.
    pub(crate) additional: Vec<Member>,
    /// What did not fit its own field: goes under `additionalEventData.tributary.moved`.
    pub(crate) moved: Vec<Member>,
    /// Which rules changed something, for `explain`: never part of what is sent.
    pub(crate) notes: Vec<String>,
}

/// The fields of the integration schema that hold one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named as the schema names them")]
pub enum Field {
    Version,
    UserIdentityType,
    UserIdentityPrincipalId,
    UserAgent,
    EventSource,
    EventName,
    EventTime,
    Uid,
    RequestParameters,
    ResponseElements,
    ErrorCode,
    ErrorMessage,
    SourceIpAddress,
    RecipientAccountId,
}

/// Ready for `PutAuditEvents`: within every limit, and the checksum was computed over exactly `json()`.
///
/// Built by [`crate::checksum`] alone. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ReadyEvent {
    pub(crate) id: EventId,
    pub(crate) json: Arc<str>,
    pub(crate) checksum: String,
    pub(crate) wire_bytes: usize,
}

impl ReadyEvent {
    /// The entry's id.
    pub fn id(&self) -> &EventId {
        &self.id
    }

    /// The event data, serialised once. Nobody serialises it again.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Standard base64 of the SHA-256 of `json()`.
    pub fn checksum(&self) -> &str {
        &self.checksum
    }

    /// Bytes of this entry inside the request body, after JSON-in-JSON escaping, with its comma.
    pub fn wire_bytes(&self) -> usize {
        self.wire_bytes
    }
}
