//! `tributary explain`: what every stage says to one message. In: its bytes. Out: one `Explanation` for each event.
//!
//! The one place that shows payload, to the user who brought it. Nothing is sent, claimed or settled.

mod text;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    checksum::checksum,
    config::Oversize,
    decode::{Decoded, Found, decode},
    event::{EventData, Field, IdentifiedEvent, Note, RawEvent, ReadyEvent},
    failure::Rejection,
    formats::{Format, Formats, Mapping},
    identify::{format_named, format_of, identify},
    jq::RunError,
    map::map,
    receive::About,
    redact::Redaction,
    route::{Asked, Route, Unmatched, Way, no_route},
    validate::validate,
};

/// What would become of one event. Members are absent where the event did not come so far.
#[derive(Serialize)]
pub struct Explanation {
    /// The place in the message, from 0.
    pub position: usize,
    /// The ending, unless the ledger or the lake have something against it.
    pub verdict: Verdict,
    /// Why it would be dead-lettered.
    #[serde(flatten)]
    pub rejection: Option<RejectionText>,
    /// What the interpreter said, in full, where a program failed: of the configuration, or of the format. It can hold
    /// payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program_said: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Where the format's mapping says what becomes of each field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapped_by: Option<MappedBy>,
    /// What the producer wrote; `UID` in the lake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared_id: Option<String>,
    /// The id of the entry: as unique as the declared id, by which duplicates are recognised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wire_id: Option<String>,
    /// Hexadecimal SHA-256 over the canonical form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    /// The event as received, in bytes.
    pub received_bytes: usize,
    /// The rules that changed something, in order.
    pub rules: Vec<Note>,
    /// What would be sent.
    #[serde(flatten)]
    pub entry: Option<Entry>,
}

/// An entry of `PutAuditEvents`.
#[derive(Serialize)]
pub struct Entry {
    /// The event data, serialised, in bytes.
    pub event_data_bytes: usize,
    /// Its share of the request body, escaped, in bytes.
    pub wire_bytes: usize,
    /// Base64 of the SHA-256 of the event data.
    pub checksum: String,
    /// The event data itself.
    pub event_data: Box<RawValue>,
}

/// The lines of a mapping that made the fields of one event.
#[derive(Serialize)]
pub struct MappedBy {
    /// The file, or `built in`.
    pub mapping: String,
    /// Fields that are in the event data, with the lines that write them: several where a condition chooses.
    pub fields: Vec<FieldLines>,
}

/// Where one field is written.
#[derive(Serialize)]
pub struct FieldLines {
    /// Its name in the schema.
    pub field: &'static str,
    /// From 1.
    pub lines: Vec<usize>,
}

/// What an explanation depends on beside the message.
pub struct Circumstances<'a> {
    /// The channel's account.
    pub recipient_account: &'a str,
    /// What becomes of optional fields that break the schema.
    pub oversize: Oversize,
    /// The formats that are known.
    pub formats: &'a Formats,
    /// Overrules the content.
    pub fixed: Option<&'a Format>,
    /// The message attribute that names the format, if there is one. It overrules `fixed`.
    pub format_attribute: Option<&'a str>,
    /// What came beside the body.
    pub about: &'a About,
    /// Which events the destination wants.
    pub route: &'a Route,
    /// Which the other destinations want.
    pub others: &'a [Route],
    /// What becomes of events that none wants.
    pub unmatched: Unmatched,
    /// What of them must not get there.
    pub redaction: &'a Redaction,
}

/// How the event would end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It would be published.
    Publish,
    /// It would go to the dead-letter queue.
    DeadLetter,
    /// It names an S3 object, whose records would be read.
    ReadObject,
    /// It is no event, or a rule drops it: it would be acked and counted as filtered.
    Filter,
    /// The destination does not want it; another may.
    NotWanted,
}

impl Verdict {
    fn said(self) -> &'static str {
        match self {
            Self::Publish => "published",
            Self::DeadLetter => "dead-lettered",
            Self::ReadObject => "read from S3",
            Self::Filter => "acked, and counted as filtered",
            Self::NotWanted => "sent to other destinations alone",
        }
    }
}

/// A [`Rejection`] for people and scripts.
#[derive(Serialize)]
pub struct RejectionText {
    /// The stage that rejects the event.
    pub stage: &'static str,
    /// The reason's code.
    pub reason: &'static str,
    /// What is wrong.
    pub detail: String,
}

impl From<Rejection> for RejectionText {
    fn from(rejection: Rejection) -> Self {
        let Rejection { reason, detail } = rejection;
        Self { stage: reason.stage().name(), reason: reason.code(), detail: detail.into_owned() }
    }
}

/// Takes a message through every pure stage.
pub fn explain(body: Bytes, circumstances: &Circumstances<'_>) -> Vec<Explanation> {
    let explain_one = |(position, decoded): (usize, Decoded)| {
        let mut explanation = Explanation::new(position, decoded.original.len());
        let followed = match decoded.found {
            Found::Event(raw) => explanation.follow(&raw, circumstances),
            Found::Rejected(rejection) => Err(rejection),
            Found::Object(object) => return explanation.ends(Verdict::ReadObject, object.to_string()),
            Found::Notice(notice) => return explanation.ends(Verdict::Filter, notice.sentence()),
        };
        match followed {
            Ok(ready) => explanation.entry = ready.as_ref().map(Entry::new),
            Err(rejection) => {
                explanation.verdict = Verdict::DeadLetter;
                explanation.rejection = Some(rejection.into());
            }
        }
        explanation
    };
    decode(body).into_iter().enumerate().map(explain_one).collect()
}

impl Explanation {
    fn new(position: usize, received_bytes: usize) -> Self {
        Self {
            position,
            verdict: Verdict::Publish,
            rejection: None,
            program_said: None,
            format: None,
            mapped_by: None,
            declared_id: None,
            wire_id: None,
            content_hash: None,
            received_bytes,
            rules: Vec::new(),
            entry: None,
        }
    }

    fn ends(self, verdict: Verdict, rule: impl Into<Note>) -> Self {
        Self { verdict, rules: vec![rule.into()], ..self }
    }

    /// The stages in their order, noting on the way what each makes known.
    fn follow(&mut self, raw: &RawEvent, by: &Circumstances<'_>) -> Result<Option<ReadyEvent>, Rejection> {
        self.content_hash = Some(raw.content_hash.to_string());
        let identified = self.identify(raw, by)?;
        self.format = Some(identified.format.name().to_owned());
        self.declared_id = Some(identified.id.declared().to_owned());
        self.wire_id = Some(identified.id.wire().to_owned());
        let asked = Asked::new(&identified, by.about);
        match by.route.way(&asked) {
            Way::Here => {}
            Way::Unknown(error) => return Err(self.heard(error)),
            Way::Dropped(_) => {
                self.verdict = Verdict::Filter;
                return Ok(None);
            }
            Way::Elsewhere => {
                self.verdict = elsewhere(&asked, by)?;
                return Ok(None);
            }
        }
        let redacted = by.redaction.apply(&identified, by.about).map_err(|error| self.heard(error))?;
        let (identified, redacted) = redacted.unwrap_or_else(|| (identified.clone(), Vec::new()));
        let mapped = map(&identified, by.about, by.recipient_account);
        if let Format::Mapped(mapping) = &identified.format {
            match &mapped {
                Ok(mapped) => self.mapped_by = Some(MappedBy::new(mapping, mapped)),
                Err(_) => self.program_said = mapping.said_of(&mapping.event, &identified.raw, by.about),
            }
        }
        let mapped = mapped?;
        self.rules = [&redacted[..], &mapped.notes].concat();
        let valid = validate(mapped, by.oversize)?;
        self.rules = [&redacted, valid.notes()].concat();
        Ok(Some(checksum(valid)))
    }

    fn identify(&mut self, raw: &RawEvent, by: &Circumstances<'_>) -> Result<IdentifiedEvent, Rejection> {
        let named = format_named(by.formats, by.format_attribute, by.about)?;
        let fixed = named.as_ref().or(by.fixed);
        identify(raw.clone(), by.about, by.formats, fixed).inspect_err(|_| {
            let format = format_of(raw, by.about, by.formats, fixed);
            self.format = format.as_ref().map(|format| format.name().to_owned());
            if let Some(Format::Mapped(mapping)) = format {
                self.program_said = mapping.said_of(&mapping.id, raw, by.about);
            }
        })
    }

    fn heard(&mut self, RunError { rejection, in_full }: RunError) -> Rejection {
        self.program_said = Some(in_full);
        rejection
    }
}

/// What becomes of an event that the destination does not want.
fn elsewhere(asked: &Asked<'_>, by: &Circumstances<'_>) -> Result<Verdict, Rejection> {
    if by.others.iter().any(|route| !matches!(route.way(asked), Way::Elsewhere)) {
        return Ok(Verdict::NotWanted);
    }
    match by.unmatched {
        Unmatched::DeadLetter => Err(no_route()),
        Unmatched::Filter => Ok(Verdict::Filter),
    }
}

impl MappedBy {
    fn new(mapping: &Mapping, mapped: &EventData) -> Self {
        let lines = |field: Field| FieldLines { field: field.name(), lines: mapping.lines_of(field.name()) };
        Self { mapping: mapping.origin(), fields: mapped.present().map(lines).collect() }
    }
}

impl Entry {
    fn new(ready: &ReadyEvent) -> Self {
        Self {
            event_data_bytes: ready.json().len(),
            wire_bytes: ready.wire_bytes(),
            checksum: ready.checksum().to_owned(),
            event_data: RawValue::from_string(ready.json().to_owned()).unwrap_or_default(),
        }
    }
}
