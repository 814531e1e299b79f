//! One item of the table, without any I/O. In: attributes. Out: what they mean for a wish, and attributes again.
//!
//! An item has two halves, each absent or whole: `claim`, the claim that is open, and `settled`, what is remembered of
//! the last one that was committed. They stand side by side because a claim on a corrected event must not make a dead
//! letter forgotten: if it is given up, the letter still counts.
//!
//! ```text
//! key      S  <namespace>#<SHA-256 of destination and id, base64url>
//! claim    M  token B, until N (ms), content B, worker S
//! settled  M  token B, until N (ms), content B, worker S, at N (ms), state S, stored_as S | reason S
//! expires  N  seconds; when time to live may remove the item
//! ```
//!
//! Whether a half still counts is told by its own `until`, never by whether the item is still there: time to live
//! removes items days late.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};

use crate::{
    clock::{at_ms, millis},
    dedupe::{Claim, Claiming, Entry, Final, State, Token},
    event::ContentHash,
};

pub(super) type Attributes = HashMap<String, AttributeValue>;

const PUBLISHED: &str = "published";
const DEAD_LETTERED: &str = "dead_lettered";

/// What an item says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) claim: Option<Half>,
    pub(super) settled: Option<(Half, Outcome)>,
}

/// What both halves have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Half {
    /// Whose claim this is, or was when it was committed.
    pub(super) token: Token,
    /// Counts before this time, in milliseconds.
    pub(super) until_ms: u64,
    pub(super) content_hash: ContentHash,
    pub(super) worker: String,
}

/// How a settled event ended, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) at_ms: u64,
    pub(super) ended: Ended,
}

/// As [`Final`], but with a reason that a newer version may have written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Published { stored_as: String },
    DeadLettered { reason: String },
}

impl From<&Final> for Ended {
    fn from(state: &Final) -> Self {
        match state {
            Final::Published { stored_as } => Self::Published { stored_as: stored_as.clone() },
            Final::DeadLettered { reason } => Self::DeadLettered { reason: reason.code().to_owned() },
        }
    }
}

impl Item {
    /// `None`: not an item that a ledger wrote.
    pub(super) fn read(attributes: &Attributes) -> Option<Self> {
        let claim = match attributes.get("claim") {
            Some(claim) => Some(Half::read(claim.as_m().ok()?)?),
            None => None,
        };
        let settled = match attributes.get("settled") {
            Some(settled) => {
                let settled = settled.as_m().ok()?;
                Some((Half::read(settled)?, Outcome::read(settled)?))
            }
            None => None,
        };
        Some(Self { claim, settled })
    }

    /// Why the wish cannot be granted now; `None` if nothing stands in its way.
    pub(super) fn refusal(&self, wish: &Claiming, now_ms: u64) -> Option<Claim> {
        if let Some((settled, outcome)) = &self.settled
            && settled.until_ms > now_ms
        {
            let content_hash = settled.content_hash;
            match outcome.ended {
                Ended::Published { .. } => return Some(Claim::AlreadyPublished { content_hash }),
                Ended::DeadLettered { .. } if content_hash == wish.content_hash && !wish.is_redriven => {
                    return Some(Claim::AlreadyDeadLettered);
                }
                Ended::DeadLettered { .. } => {}
            }
        }
        let held =
            self.claim.as_ref().filter(|claim| claim.token != wish.token && claim.until_ms > now_ms)?;
        Some(Claim::HeldElsewhere { lease_left: Duration::from_millis(held.until_ms - now_ms) })
    }

    /// What an operator is told. A claim whose lease has ended is still the last that is known of the event.
    pub(super) fn entry(&self, now_ms: u64) -> Option<Entry> {
        let open = self.claim.as_ref().map(|claim| {
            let state = State::InProgress { until: at_ms(claim.until_ms) };
            (claim.until_ms > now_ms, claim.entry(state))
        });
        let settled = self.settled.as_ref().filter(|(settled, _)| settled.until_ms > now_ms);
        let settled = settled.map(|(settled, outcome)| settled.entry(outcome.state()));
        match open {
            Some((true, entry)) => Some(entry),
            open => settled.or(open.map(|(_, entry)| entry)),
        }
    }

    /// When time to live may remove it, in seconds: a claim is kept for `window` beyond its lease, because its owner
    /// may commit late as long as nobody else has taken it over.
    pub(super) fn expires(&self, window: Duration) -> AttributeValue {
        let claim = self.claim.as_ref().map(|claim| claim.until_ms.saturating_add(millis(window)));
        let settled = self.settled.as_ref().map(|(settled, _)| settled.until_ms);
        number(claim.max(settled).unwrap_or_default().div_ceil(1_000))
    }

    /// The attribute `settled`.
    pub(super) fn settled_attribute((half, outcome): &(Half, Outcome)) -> AttributeValue {
        let mut attributes = half.attributes();
        let (state, name, value) = match &outcome.ended {
            Ended::Published { stored_as } => (PUBLISHED, "stored_as", stored_as),
            Ended::DeadLettered { reason } => (DEAD_LETTERED, "reason", reason),
        };
        attributes.insert("at".to_owned(), number(outcome.at_ms));
        attributes.insert("state".to_owned(), AttributeValue::S(state.to_owned()));
        attributes.insert(name.to_owned(), AttributeValue::S(value.clone()));
        AttributeValue::M(attributes)
    }
}

impl Half {
    fn read(attributes: &Attributes) -> Option<Self> {
        let token = <[u8; 16]>::try_from(bytes_of(attributes, "token")?).ok()?;
        let content = <[u8; 32]>::try_from(bytes_of(attributes, "content")?).ok()?;
        Some(Self {
            token: Token(u128::from_be_bytes(token)),
            until_ms: number_of(attributes, "until")?,
            content_hash: ContentHash(content),
            worker: text_of(attributes, "worker")?,
        })
    }

    /// The attribute `claim`.
    pub(super) fn attribute(&self) -> AttributeValue {
        AttributeValue::M(self.attributes())
    }

    fn attributes(&self) -> Attributes {
        Attributes::from([
            ("token".to_owned(), token(self.token)),
            ("until".to_owned(), number(self.until_ms)),
            ("content".to_owned(), AttributeValue::B(Blob::new(self.content_hash.0))),
            ("worker".to_owned(), AttributeValue::S(self.worker.clone())),
        ])
    }

    fn entry(&self, state: State) -> Entry {
        Entry { state, content_hash: self.content_hash, worker: Some(self.worker.clone()) }
    }
}

impl Outcome {
    fn read(attributes: &Attributes) -> Option<Self> {
        let ended = match text_of(attributes, "state")?.as_str() {
            PUBLISHED => Ended::Published { stored_as: text_of(attributes, "stored_as")? },
            DEAD_LETTERED => Ended::DeadLettered { reason: text_of(attributes, "reason")? },
            _ => return None,
        };
        Some(Self { at_ms: number_of(attributes, "at")?, ended })
    }

    fn state(&self) -> State {
        let at = at_ms(self.at_ms);
        match &self.ended {
            Ended::Published { stored_as } => State::Published { stored_as: stored_as.clone(), at },
            Ended::DeadLettered { reason } => State::DeadLettered { reason: reason.clone(), at },
        }
    }
}

/// A token as it stands in the table.
pub(super) fn token(token: Token) -> AttributeValue {
    AttributeValue::B(Blob::new(token.0.to_be_bytes()))
}

/// A number as it stands in the table.
pub(super) fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn bytes_of<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a [u8]> {
    attributes.get(name)?.as_b().ok().map(AsRef::as_ref)
}

fn number_of(attributes: &Attributes, name: &str) -> Option<u64> {
    attributes.get(name)?.as_n().ok()?.parse().ok()
}

fn text_of(attributes: &Attributes, name: &str) -> Option<String> {
    attributes.get(name)?.as_s().ok().cloned()
}

#[cfg(test)]
mod tests;
