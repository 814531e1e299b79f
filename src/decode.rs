//! Stage 2, decode. In: the bytes of a message. Out: its events, each a `RawEvent` or a `Rejection`. Next: identify.
//!
//! A body holds one event, an array of them, one per line (NDJSON), `{"Records":[…]}`, or any of these inside
//! an SNS notification, an EventBridge event or an entry of `PutAuditEvents`. What can be cut apart safely is cut
//! before it is judged, so that one bad event does not spoil its neighbours.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use crate::{
    event::RawEvent,
    failure::{Reason, Rejection},
    json,
};

mod canonical;
mod envelope;

pub use self::canonical::{DEPTH_MAX, hash as canonical_hash};
use self::envelope::Opened;

/// Most events of one message. An SQS message of 1 MiB that holds more has less than 105 bytes for each, and the
/// smallest event that the lake accepts is larger: such a body is no work but an attack or a mistake.
pub const MESSAGE_EVENTS_MAX: usize = 10_000;

/// A body with more events than this must be long enough to hold real ones. What many tiny ones would cost in
/// letters and memory is out of all proportion to the message.
const TINY_EVENTS_MAX: usize = 100;
/// Less than any event that the lake accepts.
const EVENT_BYTES_MIN: usize = 100;

/// How many envelopes and arrays may stand around an event.
pub const ENVELOPES_MAX: usize = 4;

/// One part of a message.
pub struct Decoded {
    /// The part's own bytes, a slice of the message where nothing had to be unescaped: what a dead letter keeps.
    pub original: Bytes,
    /// What it is.
    pub found: Found,
}

/// What one part of a message turned out to be.
#[derive(Debug)]
pub enum Found {
    /// An event: what stage 3 works on.
    Event(RawEvent),
    /// It says where events are: an object of S3, which stage 1 has to fetch.
    Object(ObjectRef),
    /// No event, and nobody's mistake: a test, or a sign of life.
    Notice(Notice),
    /// It should have been an event.
    Rejected(Rejection),
}

impl Found {
    /// The event, or why there is none here.
    ///
    /// # Errors
    /// Also [`Reason::NoEvents`] for what is no event and no mistake, so that a caller who wants events can say so.
    pub fn into_event(self) -> Result<RawEvent, Rejection> {
        match self {
            Self::Event(raw) => Ok(raw),
            Self::Rejected(rejection) => Err(rejection),
            Self::Object(_) => {
                Err(Rejection::new(Reason::NoEvents, "names an S3 object; its events are there"))
            }
            Self::Notice(notice) => Err(Rejection::new(Reason::NoEvents, notice.sentence())),
        }
    }
}

/// An object of S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRef {
    /// The bucket's name.
    pub bucket: String,
    /// The key as S3 knows it: decoded, where the notification had it URL-encoded.
    pub key: String,
    /// Which version, where the notification says it.
    pub version: Option<String>,
    /// Bytes as stored, where the notification says it.
    pub bytes: Option<u64>,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// What services send besides events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// S3, when notifications are set up: `s3:TestEvent`.
    S3Test,
    /// `CloudTrail`, when a trail's SNS topic is set up: "CloudTrail validation message."
    CloudTrailValidation,
    /// `CloudWatch` Logs, to see whether a subscription is reachable: `CONTROL_MESSAGE`.
    LogsControl,
    /// A `CloudTrail` digest file: hashes of log files.
    Digest,
    /// A `CloudTrail` Insights file: about activity, no activity itself.
    Insight,
}

impl Notice {
    /// Every kind.
    pub const ALL: &'static [Self] =
        &[Self::S3Test, Self::CloudTrailValidation, Self::LogsControl, Self::Digest, Self::Insight];

    /// As a metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::S3Test => "s3_test",
            Self::CloudTrailValidation => "cloudtrail_validation",
            Self::LogsControl => "logs_control",
            Self::Digest => "digest",
            Self::Insight => "insight",
        }
    }

    /// For people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::S3Test => "S3's test event, sent when notifications are set up",
            Self::CloudTrailValidation => "CloudTrail's test message, sent when a trail's topic is set up",
            Self::LogsControl => "CloudWatch Logs' test message, sent to see whether the subscription works",
            Self::Digest => "a CloudTrail digest file, which holds hashes and no events",
            Self::Insight => "a CloudTrail Insights file, which holds no audit events",
        }
    }
}

impl fmt::Debug for Decoded {
    /// Without the original: no payload may reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoded").field("found", &self.found).finish_non_exhaustive()
    }
}

/// Takes a message apart. Never empty; the place in the answer is the place in the message, for every delivery.
///
/// A broken document is one rejection for the whole body; a broken element or line is one for itself.
pub fn decode(body: Bytes) -> Vec<Decoded> {
    let mut taking = TakingApart { decoded: Vec::with_capacity(1) };
    taking.body(&body, 0);
    let events_max = (body.len() / EVENT_BYTES_MIN).clamp(TINY_EVENTS_MAX, MESSAGE_EVENTS_MAX);
    let problem = match taking.decoded.len() {
        0 => Rejection::new(Reason::NoEvents, "the message holds no event"),
        count if count > events_max => {
            let text =
                format!("more than the {events_max} events that a message of {} bytes may hold", body.len());
            Rejection::new(Reason::TooManyEvents, text)
        }
        _ => return taking.decoded,
    };
    vec![Decoded { original: body, found: Found::Rejected(problem) }]
}

struct TakingApart {
    decoded: Vec<Decoded>,
}

impl TakingApart {
    /// A whole body: of the message, or of an SNS notification.
    fn body(&mut self, bytes: &Bytes, depth: usize) {
        match document(&without_byte_order_mark(bytes)) {
            Ok(None) => {}
            Ok(Some(text)) => self.value(&text, depth),
            Err(rejection) => {
                if !self.lines(bytes, depth) {
                    self.decoded.push(Decoded { original: bytes.clone(), found: Found::Rejected(rejection) });
                }
            }
        }
    }

    /// One document a line, if the body is of that kind: its first line is a document by itself, or all others
    /// are. (A document that is broken over several lines is not cut into pieces by that rule.)
    fn lines(&mut self, bytes: &Bytes, depth: usize) -> bool {
        let whole = without_byte_order_mark(bytes);
        let lines: Vec<Bytes> = whole
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.is_empty())
            .map(|line| whole.slice_ref(line))
            .take(MESSAGE_EVENTS_MAX + 1)
            .collect();
        let documents: Vec<_> = lines.iter().map(document).collect();
        let is_document = |read: &Result<Option<ByteString>, Rejection>| {
            read.as_ref().is_ok_and(|text| text.as_ref().is_some_and(|text| text.starts_with(['{', '['])))
        };
        let are_lines = match documents.as_slice() {
            [] | [_] => false,
            [first, others @ ..] => is_document(first) || others.iter().all(is_document),
        };
        if !are_lines {
            return false;
        }
        for (line, read) in lines.into_iter().zip(documents) {
            match read {
                Ok(text) => text.iter().for_each(|text| self.value(text, depth + 1)),
                Err(rejection) => {
                    self.decoded.push(Decoded { original: line, found: Found::Rejected(rejection) });
                }
            }
        }
        true
    }

    /// Any well-formed value.
    fn value(&mut self, text: &ByteString, depth: usize) {
        if self.decoded.len() > MESSAGE_EVENTS_MAX {
            return;
        }
        if depth > ENVELOPES_MAX {
            let sentence = format!("more than {ENVELOPES_MAX} envelopes and arrays around the event");
            return self.reject(text, Rejection::new(Reason::TooDeep, sentence));
        }
        match text.as_bytes().first() {
            Some(b'{') => self.object(text, depth),
            Some(b'[') => {
                json::elements(text).for_each(|element| self.value(&text.slice_ref(element), depth + 1));
            }
            _ => self.reject(text, Rejection::new(Reason::NotAnObject, "JSON, but not an object")),
        }
    }

    fn object(&mut self, text: &ByteString, depth: usize) {
        if let Some(records) = envelope::records(text) {
            return self.records(text, records, depth);
        }
        match canonical::read(text).and_then(envelope::open) {
            Ok(Opened::Event(raw)) => {
                self.decoded.push(Decoded { original: text.as_bytes().clone(), found: Found::Event(raw) });
            }
            Ok(Opened::Value(inner)) => self.value(&inner, depth + 1),
            Ok(Opened::Body(inner)) => self.body(inner.as_bytes(), depth + 1),
            Err(rejection) => self.reject(text, rejection),
        }
    }

    fn records(&mut self, text: &ByteString, records: &str, depth: usize) {
        let first = self.decoded.len();
        self.value(&text.slice_ref(records), depth);
        let is_notification =
            |decoded: &Decoded| matches!(&decoded.found, Found::Event(raw) if envelope::is_s3_record(raw));
        if self.decoded.get(first).is_some_and(is_notification) {
            self.decoded.truncate(first);
            self.reject(text, envelope::s3_is_not_read());
        }
    }

    fn reject(&mut self, text: &ByteString, rejection: Rejection) {
        self.decoded.push(Decoded { original: text.as_bytes().clone(), found: Found::Rejected(rejection) });
    }
}

/// The bytes as well-formed text without white space around it; `None` where there is nothing but white space.
fn document(bytes: &Bytes) -> Result<Option<ByteString>, Rejection> {
    let text = match ByteString::try_from(bytes.clone()) {
        Ok(text) => text.slice_ref(text.trim_matches([' ', '\n', '\r', '\t'])),
        Err(_) => return Err(not_utf8(bytes)),
    };
    if text.is_empty() {
        return Ok(None);
    }
    json::well_formed(&text)?;
    Ok(Some(text))
}

fn not_utf8(bytes: &Bytes) -> Rejection {
    let at = str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to());
    Rejection::new(Reason::NotUtf8, format!("not UTF-8 from byte {at} on"))
}

fn without_byte_order_mark(bytes: &Bytes) -> Bytes {
    bytes.strip_prefix(b"\xEF\xBB\xBF").map_or_else(|| bytes.clone(), |rest| bytes.slice_ref(rest))
}
