//! `tributary explain`: what every stage says to one message. In: its bytes. Out: one `Explanation` for each event.
//!
//! The one place that shows payload, to the user who brought it. Nothing is sent, claimed or settled.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{
    checksum::checksum,
    config::Oversize,
    decode::{Decoded, decode},
    event::{Note, ReadyEvent},
    failure::Rejection,
    identify::{Format, identify},
    json,
    map::map,
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
    /// `lake` or `cloudtrail`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<&'static str>,
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

/// How the event would end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It would be published.
    Publish,
    /// It would go to the dead-letter queue.
    DeadLetter,
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

/// Takes a message through every pure stage. `recipient_account` is the channel's; `fixed` overrules the content.
pub fn explain(
    body: Bytes,
    recipient_account: &str,
    oversize: Oversize,
    fixed: Option<Format>,
) -> Vec<Explanation> {
    let explain_one = |(position, decoded): (usize, Decoded)| {
        let mut explanation = Explanation::new(position, decoded.original.len());
        let ready = explanation.follow(decoded, recipient_account, oversize, fixed);
        match ready {
            Ok(ready) => explanation.entry = Some(Entry::new(&ready)),
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
            format: None,
            declared_id: None,
            wire_id: None,
            content_hash: None,
            received_bytes,
            rules: Vec::new(),
            entry: None,
        }
    }

    /// The stages in their order, noting on the way what each makes known.
    fn follow(
        &mut self,
        decoded: Decoded,
        recipient_account: &str,
        oversize: Oversize,
        fixed: Option<Format>,
    ) -> Result<ReadyEvent, Rejection> {
        let raw = decoded.found.into_event()?;
        self.content_hash = Some(raw.content_hash.to_string());
        let identified = identify(raw, fixed)?;
        self.format = Some(identified.format.name());
        self.declared_id = Some(identified.id.declared().to_owned());
        self.wire_id = Some(identified.id.wire().to_owned());
        let mapped = map(&identified, recipient_account)?;
        self.rules.clone_from(&mapped.notes);
        let valid = validate(mapped, oversize)?;
        valid.notes().clone_into(&mut self.rules);
        Ok(checksum(valid))
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

/// For people; scripts take the JSON.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rejection {
            None => writeln!(f, "event {}: would be published", self.position)?,
            Some(RejectionText { stage, reason, detail }) => {
                writeln!(f, "event {}: would be dead-lettered at {stage}: {reason}", self.position)?;
                writeln!(f, "  {detail}")?;
            }
        }
        let mut line = |name: &str, value: Option<&str>| match value {
            Some(value) => writeln!(f, "  {name:<16}{value}"),
            None => Ok(()),
        };
        line("format", self.format)?;
        // Escaped, because an id can hold what a terminal would obey.
        let declared = self.declared_id.as_deref().map(|id| id.escape_debug().to_string());
        line("declared id", declared.as_deref())?;
        line("wire id", self.wire_id.as_deref())?;
        line("content hash", self.content_hash.as_deref())?;
        line("received", Some(&format!("{} bytes", self.received_bytes)))?;
        if let Some(entry) = &self.entry {
            let sizes = format!("{} bytes, {} in the request", entry.event_data_bytes, entry.wire_bytes);
            line("event data", Some(&sizes))?;
            line("checksum", Some(&entry.checksum))?;
        }
        self.rules.iter().try_for_each(|rule| line("rule", Some(rule)))?;
        match &self.entry {
            Some(entry) => writeln!(f, "{}", json::pretty(entry.event_data.get())),
            None => Ok(()),
        }
    }
}
