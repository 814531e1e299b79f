//! The states of one event, in the order in which more becomes true of it:
//! [`RawEvent`] -> [`IdentifiedEvent`] -> [`EventData`] -> [`ValidEvent`](crate::validate::ValidEvent) ->
//! [`ReadyEvent`].
//!
//! Each is consumed to make the next. Nested JSON is never rebuilt: it travels as slices of the text that was
//! received, so numbers keep their digits and strings their escapes.

use std::{borrow::Cow, fmt, sync::Arc};

use bytestring::ByteString;

use crate::{formats::Format, jq::Parsed, json, limits::LONG_TEXT_CHARS_MAX};

mod form;

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

    /// What stands in the lake as `UID`: the declared id, or the wire id where that one is too long for the field.
    pub fn uid(&self) -> &str {
        // Bytes are never fewer than characters, so nearly every id is let through without counting.
        let declared = self.declared();
        let fits = declared.len() <= LONG_TEXT_CHARS_MAX || declared.chars().count() <= LONG_TEXT_CHARS_MAX;
        if fits { declared } else { self.wire() }
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

impl ContentHash {
    /// The first 32 digits: all that a ledger in memory keeps, and enough to tell contents apart.
    pub fn half(&self) -> String {
        let mut digits = self.to_string();
        digits.truncate(32);
        digits
    }
}

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
#[derive(Clone, PartialEq, Eq)]
pub struct Member {
    /// The key, unescaped.
    pub key: ByteString,
    /// The value's own JSON text, for example `"a \u00e9"`, `12345678901234567890` or `{"a": 1}`.
    pub json: ByteString,
}

impl fmt::Debug for Member {
    /// Sizes only: neither key nor value may reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("json_bytes", &self.json.len()).finish_non_exhaustive()
    }
}

/// A JSON object, parsed one level deep, and nothing else is known to be true.
#[derive(Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// The object's text as received.
    pub json: ByteString,
    /// Its members in the order received; keys are distinct.
    pub members: Vec<Member>,
    /// Over the whole object.
    pub content_hash: ContentHash,
}

impl RawEvent {
    /// The JSON text of a member, unless it is absent.
    pub fn get(&self, key: &str) -> Option<&ByteString> {
        self.members.iter().find(|member| &*member.key == key).map(|member| &member.json)
    }
}

impl fmt::Debug for RawEvent {
    /// Sizes and the hash only: no payload may reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawEvent")
            .field("json_bytes", &self.json.len())
            .field("members", &self.members.len())
            .field("content_hash", &self.content_hash)
            .finish_non_exhaustive()
    }
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
    /// By which two events of one id are told apart: over the whole event, or over what identifies it, where the id is
    /// the hash of that.
    pub content_hash: ContentHash,
    /// The event's value, where its format is a mapping: it is parsed once.
    pub(crate) parsed: Option<Parsed>,
}

impl IdentifiedEvent {
    /// What it takes beyond its own bytes, about, until it is mapped.
    pub(crate) fn added_bytes(&self) -> usize {
        self.parsed.as_ref().map_or(0, |_| Parsed::bytes(self.raw.json.len()))
    }

    /// The same event with another text, of which something was taken out. Its id and its content hash stay those of
    /// what was received.
    pub(crate) fn with_text(&self, json: String) -> Self {
        let json = ByteString::from(json);
        let members = json::members(&json).unwrap_or_default();
        let raw = RawEvent { json, members, content_hash: self.raw.content_hash };
        let (format, id) = (self.format.clone(), self.id.clone());
        Self { raw, format, id, content_hash: self.content_hash, parsed: None }
    }
}

/// CloudTrail Lake's event schema for integrations, not yet serialised.
///
/// Source of the schema:
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/query-integration-event-schema.html>.
/// Every value is JSON text as it will be sent. [`crate::validate`] makes the limits true.
#[derive(Clone)]
pub struct EventData {
    /// Goes beside the data, in the entry.
    pub id: EventId,
    pub(crate) fields: Fields,
    /// Members of `userIdentity.details`; empty where the event brought them as one value
    /// ([`Field::UserIdentityDetails`]).
    pub(crate) details: Vec<Member>,
    /// Members of `additionalEventData` that the event brought; none of them is named [`OWN_KEY`].
    pub(crate) additional: Vec<Member>,
    /// What the schema has no field for: goes under `additionalEventData.tributary.unmapped`.
    pub(crate) unmapped: Vec<Member>,
    /// What did not fit its own field: goes under `additionalEventData.tributary.moved`, keyed by the field.
    pub(crate) moved: Vec<Member>,
    /// Where `principalId` was taken from, if the event has none: `additionalEventData.tributary.principalIdFrom`.
    pub(crate) principal_id_from: Option<&'static str>,
    /// Which rules changed something, for `explain`: never part of what is sent.
    pub(crate) notes: Vec<Note>,
}

impl EventData {
    /// The fields that the event has.
    pub(crate) fn present(&self) -> impl Iterator<Item = Field> {
        let has_additional = !self.additional.is_empty();
        Field::ALL.iter().copied().filter(move |field| {
            self.fields.get(*field).is_some() || (*field == Field::AdditionalEventData && has_additional)
        })
    }
}

/// A sentence about a rule that fired; names fields and sizes, never values.
pub type Note = Cow<'static, str>;

/// The one member of `additionalEventData` that is ours.
pub(crate) const OWN_KEY: &str = "tributary";

impl fmt::Debug for EventData {
    /// The id and the rules that fired: no payload may reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventData").field("id", &self.id).field("notes", &self.notes).finish_non_exhaustive()
    }
}

macro_rules! fields {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// The fields of the integration schema that hold one value, in the order in which they are sent.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "named as the schema names them")]
        pub enum Field { $($variant),+ }

        impl Field {
            /// Every field, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The field's name in the schema, with its parent's where it has one.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }
    };
}

fields! {
    Version = "version",
    UserIdentityType = "userIdentity.type",
    UserIdentityPrincipalId = "userIdentity.principalId",
    UserIdentityDetails = "userIdentity.details",
    UserAgent = "userAgent",
    EventSource = "eventSource",
    EventName = "eventName",
    EventTime = "eventTime",
    Uid = "UID",
    RequestParameters = "requestParameters",
    ResponseElements = "responseElements",
    ErrorCode = "errorCode",
    ErrorMessage = "errorMessage",
    SourceIpAddress = "sourceIPAddress",
    RecipientAccountId = "recipientAccountId",
    // Only where it is no object; the members of an object are kept apart, because ours join them.
    AdditionalEventData = "additionalEventData",
}

/// The value of each field that is present.
#[derive(Clone, Default)]
pub(crate) struct Fields([Option<ByteString>; Field::ALL.len()]);

impl Fields {
    pub(crate) fn get(&self, field: Field) -> Option<&ByteString> {
        self.0.get(field as usize).and_then(Option::as_ref)
    }

    /// Sets a field, or takes it out.
    pub(crate) fn put(&mut self, field: Field, json: Option<ByteString>) {
        if let Some(slot) = self.0.get_mut(field as usize) {
            *slot = json;
        }
    }

    /// Every value that is present.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut ByteString> {
        self.0.iter_mut().flatten()
    }
}

/// Ready for `PutAuditEvents`: within every limit, and the checksum was computed over exactly `json()`.
///
/// Built by [`crate::checksum`] alone. Cheap to clone.
#[derive(Clone)]
pub struct ReadyEvent {
    pub(crate) id: EventId,
    pub(crate) json: Arc<str>,
    pub(crate) checksum: String,
    pub(crate) wire_bytes: usize,
    /// The JSON text of `eventTime`: by it a lake is searched.
    pub(crate) event_time: ByteString,
    /// The JSON text of `UID`: what a reader knows the event by.
    pub(crate) uid: ByteString,
}

impl fmt::Debug for ReadyEvent {
    /// The id, the checksum and sizes: no payload may reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadyEvent")
            .field("id", &self.id)
            .field("json_bytes", &self.json.len())
            .field("checksum", &self.checksum)
            .field("wire_bytes", &self.wire_bytes)
            .finish_non_exhaustive()
    }
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
