//! A letter as it will be sent. In: a [`Letter`], and what the queue takes. Out: the first of several ways to write it that
//! fits: with its sentence shortened, with its event packed, with its event kept elsewhere, and last without the attributes of
//! its event's message.

use aws_sdk_sqs::{
    error::BuildError,
    types::{MessageAttributeValue, SendMessageBatchRequestEntry},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{
    EMPTY_BODY, ENCODING_ATTRIBUTE, LETTER_ATTRIBUTE, REASON_ATTRIBUTE, packed,
    words::{self, Attributes},
};
use crate::{
    aws::sqs::carries,
    dead_letter::{Letter, overflow::Overflow},
    decode::Sum,
    tasks::joined,
};

/// Says that every attribute is text; counts towards the size.
const STRING_TYPE: &str = "String";

/// A letter as it will be sent.
pub(super) struct Posted {
    body: String,
    attributes: Vec<(&'static str, String)>,
    /// What the body only leads to, and what has to be kept before the letter is sent.
    pub(super) apart: Option<Sum>,
}

impl Posted {
    /// The letter with as much of its words as fits. Else the number of bytes that it needs at least.
    pub(super) async fn within(
        letter: &Letter,
        bytes_max: usize,
        overflow: Option<&Overflow>,
    ) -> Result<Self, usize> {
        let mut ways = Ways { letter, bytes_max, bodies: Vec::new(), least: usize::MAX };
        if let Some(posted) = ways.with(Body::plain(&letter.original, bytes_max)) {
            return Ok(posted);
        }
        if let Some(body) = Body::packed(letter.original.clone(), bytes_max).await
            && let Some(posted) = ways.with(body)
        {
            return Ok(posted);
        }
        if let Some(overflow) = overflow
            && let Some(posted) = ways.with(Body::apart(&letter.original, overflow))
        {
            return Ok(posted);
        }
        ways.without_attributes()
    }

    /// As SQS counts: the body, and of each attribute its name, its type and its value.
    pub(super) fn bytes(&self) -> usize {
        self.body.len() + bytes_of(&self.attributes)
    }

    pub(super) fn entry(&self, at: usize, is_fifo: bool) -> Result<SendMessageBatchRequestEntry, BuildError> {
        let mut entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(&self.body);
        for (name, value) in &self.attributes {
            let value =
                MessageAttributeValue::builder().data_type(STRING_TYPE).string_value(value).build()?;
            entry = entry.message_attributes(*name, value);
        }
        if is_fifo {
            // Letters are in no order among themselves, and none waits for another in its group; each is sent
            // once, whatever its content.
            let unique = uuid::Uuid::new_v4().to_string();
            entry = entry.message_group_id(&unique).message_deduplication_id(unique);
        }
        entry.build()
    }
}

fn bytes_of(attributes: &[(&'static str, String)]) -> usize {
    attributes.iter().map(|(name, value)| name.len() + STRING_TYPE.len() + value.len()).sum()
}

/// What stands for the event.
struct Body {
    /// Empty where it alone is more than the queue takes: then it is not written out.
    text: String,
    bytes: usize,
    encoding: Option<&'static str>,
    apart: Option<Sum>,
}

impl Body {
    /// The event's own bytes; base64 where SQS cannot carry them.
    fn plain(original: &[u8], bytes_max: usize) -> Self {
        match std::str::from_utf8(original) {
            Ok("") => Self::new(EMPTY_BODY.to_owned(), Some("empty")),
            Ok(text) if text.chars().all(carries) => {
                Self::at_most(text.len(), bytes_max, None, || text.to_owned())
            }
            _ => Self::at_most(base64_bytes(original.len()), bytes_max, Some("base64"), || {
                STANDARD.encode(original)
            }),
        }
    }

    /// gzip in base64. `None` where that is longer than the queue takes.
    async fn packed(original: Bytes, bytes_max: usize) -> Option<Self> {
        let packed_max = bytes_max / 4 * 3;
        let packing = spawn_blocking(move || packed::gzip(&original, packed_max));
        let packed = joined(Some(packing.await))??;
        Some(Self::new(STANDARD.encode(packed), Some("base64")))
    }

    /// A pointer to where the event is kept.
    fn apart(original: &[u8], overflow: &Overflow) -> Self {
        let sum = Sum::of(original);
        let pointer = overflow.pointer(sum, original.len());
        Self { apart: Some(sum), ..Self::new(pointer, Some("stored")) }
    }

    fn new(text: String, encoding: Option<&'static str>) -> Self {
        Self { bytes: text.len(), text, encoding, apart: None }
    }

    fn at_most(
        bytes: usize,
        bytes_max: usize,
        encoding: Option<&'static str>,
        text: impl FnOnce() -> String,
    ) -> Self {
        let text = if bytes > bytes_max { String::new() } else { text() };
        Self { text, bytes, encoding, apart: None }
    }
}

fn base64_bytes(plain: usize) -> usize {
    plain.div_ceil(3) * 4
}

/// The ways to write one letter that were tried.
struct Ways<'a> {
    letter: &'a Letter,
    bytes_max: usize,
    bodies: Vec<Body>,
    /// What the shortest of them takes.
    least: usize,
}

impl Ways<'_> {
    /// With this body and all attributes of the event's message, if that fits.
    fn with(&mut self, body: Body) -> Option<Posted> {
        let Some(attributes) = self.attributes(&body, Attributes::Kept) else {
            self.bodies.push(body);
            return None;
        };
        Some(posted(body, attributes))
    }

    /// Whatever fits now: what is left out is better lost than the event.
    fn without_attributes(mut self) -> Result<Posted, usize> {
        if self.letter.about.attributes.is_empty() {
            return Err(self.least);
        }
        for body in std::mem::take(&mut self.bodies) {
            if let Some(attributes) = self.attributes(&body, Attributes::LeftOut) {
                return Ok(posted(body, attributes));
            }
        }
        Err(self.least)
    }

    /// What the letter says beside this body, with as much of its sentence as fits.
    fn attributes(&mut self, body: &Body, kept: Attributes) -> Option<Vec<(&'static str, String)>> {
        let detail = &self.letter.detail;
        let whole = self.words(body, detail, kept);
        if body.bytes + bytes_of(&whole) <= self.bytes_max {
            return Some(whole);
        }
        let least = body.bytes + bytes_of(&self.words(body, "", kept));
        self.least = self.least.min(least);
        let room = self.bytes_max.checked_sub(least)?;
        // One byte of the sentence may take six when escaped.
        let cut = detail.floor_char_boundary(room / 6);
        Some(self.words(body, &detail[..cut], kept))
    }

    fn words(&self, body: &Body, detail: &str, kept: Attributes) -> Vec<(&'static str, String)> {
        let mut attributes = vec![
            (LETTER_ATTRIBUTE, words::words(self.letter, detail, kept)),
            (REASON_ATTRIBUTE, self.letter.reason.code().to_owned()),
        ];
        attributes.extend(body.encoding.map(|encoding| (ENCODING_ATTRIBUTE, encoding.to_owned())));
        attributes
    }
}

fn posted(body: Body, attributes: Vec<(&'static str, String)>) -> Posted {
    Posted { body: body.text, attributes, apart: body.apart }
}
