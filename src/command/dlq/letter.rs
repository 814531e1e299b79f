//! One message of the dead-letter queue as SQS hands it out: a letter of this service, or a message that the source queue's own
//! redrive policy moved. In: the message. Out: what is asked about both in the same words.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, SystemTime},
};

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName as Name};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::MOVED;
use crate::{
    clock::{at_ms, rfc3339},
    dead_letter::sqs::{ENCODING_ATTRIBUTE, LETTER_ATTRIBUTE, REASON_ATTRIBUTE, Told},
    failure::Reason,
    receive::sqs::md5_hex,
};

/// Where a letter's reason can be read nowhere.
const UNKNOWN: &str = "unknown";
/// What is said of a message that was moved, for want of a sentence.
const MOVED_DETAIL: &str =
    "it was received as often as the source queue's redrive policy allows, and never settled";
const MOVED_CURE: &str = "either it ended its worker each time, or its letter was too large (set dead_letter.overflow), or its destination was \
     paused for long: look into the logs of that time; then redrive it";
const UNKNOWN_CURE: &str =
    "a version of this program that knows the reason tells the cure: see its docs/dead-letters.md";

/// Of a sentence and of an id in a summary, of which many are held: whoever may send to the queue may write long ones.
const SUMMARY_BYTES_MAX: usize = 1_024;

/// A message with all that SQS tells.
pub(super) struct DeadLetterMessage {
    pub(super) message_id: String,
    pub(super) receipt_handle: String,
    pub(super) body: String,
    pub(super) attributes: HashMap<String, MessageAttributeValue>,
    pub(super) system: HashMap<Name, String>,
    /// The letter's words; `None` for a message that is no letter.
    pub(super) told: Option<Told>,
}

/// A letter in one line, or in one object of JSON.
#[derive(Serialize)]
pub(super) struct Summary {
    pub(super) letter: String,
    pub(super) reason: String,
    pub(super) detail: String,
    pub(super) event_id: Option<String>,
    pub(super) destination: Option<String>,
    pub(super) source: String,
    pub(super) at: Option<String>,
    pub(super) receives: u64,
    pub(super) bytes: usize,
}

impl DeadLetterMessage {
    /// `None`: not as SQS sent it, or without the parts that every message has. It is left to come again.
    pub(super) fn read(message: Message) -> Option<Self> {
        let body = message.body?;
        if message.md5_of_body.is_some_and(|md5| md5 != md5_hex(body.as_bytes())) {
            return None;
        }
        let attributes = message.message_attributes.unwrap_or_default();
        let words = text_of(&attributes, LETTER_ATTRIBUTE);
        // Words that cannot be read are a letter all the same, and one that may be redriven.
        let told = words.map(|words| Told::read(words).unwrap_or_default());
        Some(Self {
            message_id: message.message_id?,
            receipt_handle: message.receipt_handle?,
            body,
            attributes,
            system: message.attributes.unwrap_or_default(),
            told,
        })
    }

    /// The code of the reason, or [`MOVED`].
    pub(super) fn reason(&self) -> &str {
        let Some(told) = &self.told else { return MOVED };
        let code = if told.reason.is_empty() { self.text(REASON_ATTRIBUTE) } else { Some(&*told.reason) };
        code.unwrap_or(UNKNOWN)
    }

    /// What is wrong.
    pub(super) fn detail(&self) -> &str {
        self.told.as_ref().map_or(MOVED_DETAIL, |told| &told.detail)
    }

    /// What would cure it.
    pub(super) fn cure(&self) -> &'static str {
        match &self.told {
            None => MOVED_CURE,
            Some(_) => Reason::of_code(self.reason()).map_or(UNKNOWN_CURE, Reason::cure),
        }
    }

    /// A whole message may hold many events, and names none.
    pub(super) fn event_id(&self) -> Option<&str> {
        self.told.as_ref().map(|told| &*told.event_id)
    }

    pub(super) fn destination(&self) -> Option<&str> {
        self.told.as_ref().map(|told| &*told.destination)
    }

    /// The queue or stream that it came from; empty where nobody says it.
    pub(super) fn source(&self) -> &str {
        match &self.told {
            Some(told) => told.source(),
            None => self.moved_from().and_then(|arn| arn.rsplit(':').next()).unwrap_or_default(),
        }
    }

    /// The ARN of the queue from which SQS itself moved it.
    pub(super) fn moved_from(&self) -> Option<&str> {
        self.system.get(&Name::DeadLetterQueueSourceArn).map(String::as_str)
    }

    pub(super) fn encoding(&self) -> Option<&str> {
        self.text(ENCODING_ATTRIBUTE)
    }

    /// When it came to this queue; a message that SQS moved keeps the time at which it was sent first.
    pub(super) fn sent_at(&self) -> Option<SystemTime> {
        self.system.get(&Name::SentTimestamp)?.parse().ok().map(at_ms)
    }

    /// When the letter was written.
    pub(super) fn at(&self) -> Option<SystemTime> {
        let said = self.told.as_ref().and_then(|told| told.dead_lettered_at.as_deref());
        let said = said.and_then(|at| OffsetDateTime::parse(at, &Rfc3339).ok());
        said.map(SystemTime::from).or_else(|| self.sent_at())
    }

    pub(super) fn expires_at(&self, retention: Option<Duration>) -> Option<SystemTime> {
        self.sent_at()?.checked_add(retention?)
    }

    /// How often it was received here and, if SQS moved it, before.
    pub(super) fn receives(&self) -> u64 {
        let count = self.system.get(&Name::ApproximateReceiveCount);
        count.and_then(|count| count.parse().ok()).unwrap_or(1)
    }

    /// As SQS counts.
    pub(super) fn bytes(&self) -> usize {
        let of_value = |value: &MessageAttributeValue| {
            let text = value.string_value().map_or(0, str::len);
            text + value.binary_value().map_or(0, |bytes| bytes.as_ref().len()) + value.data_type().len()
        };
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + of_value(value));
        self.body.len() + attributes.sum::<usize>()
    }

    pub(super) fn summary(&self) -> Summary {
        Summary {
            letter: self.message_id.clone(),
            reason: short(self.reason()),
            detail: short(self.detail()),
            event_id: self.event_id().map(short),
            destination: self.destination().map(short),
            source: short(self.source()),
            at: self.at().map(rfc3339),
            receives: self.receives(),
            bytes: self.bytes(),
        }
    }

    /// Everything, so that the message could be sent again from it.
    pub(super) fn whole(&self) -> Value {
        let of_value = |value: &MessageAttributeValue| match (value.string_value(), value.binary_value()) {
            (Some(text), _) => json!({ "type": value.data_type(), "value": text }),
            (None, bytes) => {
                let bytes = bytes.map(AsRef::as_ref).unwrap_or_default();
                json!({ "type": value.data_type(), "base64": STANDARD.encode(bytes) })
            }
        };
        let attributes: BTreeMap<_, _> =
            self.attributes.iter().map(|(name, value)| (name, of_value(value))).collect();
        let system: BTreeMap<_, _> = self.system.iter().map(|(name, value)| (name.as_str(), value)).collect();
        json!({
            "letter": self.message_id,
            "reason": self.reason(),
            "event_id": self.event_id(),
            "destination": self.destination(),
            "source": self.source(),
            "at": self.at().map(rfc3339),
            "body": self.body,
            "attributes": attributes,
            "system_attributes": system,
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        text_of(&self.attributes, name)
    }
}

fn short(text: &str) -> String {
    text[..text.floor_char_boundary(SUMMARY_BYTES_MAX)].to_owned()
}

fn text_of<'a>(attributes: &'a HashMap<String, MessageAttributeValue>, name: &str) -> Option<&'a str> {
    attributes.get(name)?.string_value()
}
