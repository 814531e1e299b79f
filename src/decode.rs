//! Stage 2, decode. In: the bytes of a message. Out: its parts: events, S3 objects that hold events, notices and
//! rejections. Next: identify.
//!
//! A body holds one event, an array of them, one per line (NDJSON), `{"Records":[…]}`, or any of these inside what
//! services wrap around events on their way. All of it is told by content; `docs/envelopes.md` has the table. What
//! can be cut apart safely is cut before it is judged, so that one bad event does not spoil its neighbours.
//!
//! Whatever the bytes, the answer comes in bounded time and memory, and nothing is dropped: what cannot be read is
//! a rejection that keeps its bytes.

use std::fmt;

use bytes::Bytes;

use crate::failure::{Reason, Rejection};

mod canonical;
mod envelope;
mod found;
mod logs;
mod notification;
mod packing;
mod parts;
mod relayed;
mod stored;

pub(crate) use self::stored::{pointed as pointed_to_stored, pointer as pointer_to_stored};
pub use self::{
    canonical::{DEPTH_MAX, hash as canonical_hash},
    found::{Found, Notice, ObjectRef},
    stored::Sum,
};
use self::{packing::Unpacking, parts::Parts};

/// Most parts of one message. An SQS message of 1 MiB that holds more has less than 105 bytes for each: such a body is
/// hardly work, but an attack or a mistake.
pub const MESSAGE_EVENTS_MAX: usize = 10_000;

/// A body with more events than this must be long enough to hold real ones. What many tiny ones would cost in
/// letters and memory is out of all proportion to the message.
pub(crate) const TINY_EVENTS_MAX: usize = 100;
/// Less than any event: an id, a time and a name in the shortest format that somebody may have mapped.
pub(crate) const EVENT_BYTES_MIN: usize = 30;

/// How many envelopes, packings and arrays may stand around an event. The deepest that is likely, `CloudWatch` Logs
/// in aggregated Kinesis records as Lambda gets them, takes five.
pub const ENVELOPES_MAX: usize = 8;

/// Most bytes that decompression may make of one message, over all its layers. A message of 1 MiB that is base64 of
/// gzip holds about 8 MB of audit events, which shrink to a tenth.
pub const MESSAGE_UNPACKED_BYTES_MAX: usize = 16 * 1_048_576;
/// So many are allowed to a message of any size.
pub(crate) const UNPACKED_BYTES_FREE: usize = 1_048_576;
/// Beyond that, so many for each byte of the message: far more than text that says anything shrinks by, and far less
/// than the 1,032 that DEFLATE allows.
pub(crate) const UNPACKED_RATIO_MAX: usize = 200;

/// How gzip begins: <https://www.rfc-editor.org/rfc/rfc1952#section-2.3.1>.
pub(crate) const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];
/// What some programs put before UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One part of a message.
pub struct Decoded {
    /// The part's own bytes, a slice of the message where nothing had to be unpacked or unescaped: what a dead
    /// letter keeps.
    pub original: Bytes,
    /// What it is.
    pub found: Found,
}

impl Decoded {
    /// Bytes that are no event, with the reason.
    pub(crate) fn rejected(original: Bytes, rejection: Rejection) -> Self {
        Self { original, found: Found::Rejected(rejection) }
    }
}

impl fmt::Debug for Decoded {
    /// Without the original: no payload may reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoded").field("found", &self.found).finish_non_exhaustive()
    }
}

/// A message, taken apart.
#[derive(Debug)]
pub struct Unpacked {
    /// Never empty; the place here is the place in the message, for every delivery.
    pub parts: Vec<Decoded>,
    /// What decompression added to the bytes of the message, and the parts may hold on to.
    pub added_bytes: usize,
}

impl Unpacked {
    /// The whole body is one rejection.
    pub(crate) fn rejected(body: Bytes, rejection: Rejection) -> Self {
        Self { parts: vec![Decoded::rejected(body, rejection)], added_bytes: 0 }
    }
}

/// The parts of [`unpack`] alone.
pub fn decode(body: Bytes) -> Vec<Decoded> {
    unpack(body).parts
}

/// Takes a message apart.
///
/// A broken document is one rejection for the whole body; a broken element or line is one for itself.
pub fn unpack(body: Bytes) -> Unpacked {
    let mut unpacking = Unpacking::of_message(body.len());
    let mut parts = Parts::new(&mut unpacking).of(&body);
    let added_bytes = unpacking.added_bytes();
    let bytes = body.len().max(added_bytes);
    let events_max = (bytes / EVENT_BYTES_MIN).clamp(TINY_EVENTS_MAX, MESSAGE_EVENTS_MAX);
    if parts.is_empty() {
        return Unpacked::rejected(body, Rejection::new(Reason::NoEvents, "the message holds no event"));
    }
    if parts.len() > events_max {
        let text = format!("more than the {events_max} events that {bytes} bytes may hold");
        return Unpacked::rejected(body, Rejection::new(Reason::TooManyEvents, text));
    }
    if parts.len() > 1 {
        parts.iter_mut().for_each(refuse_stored);
    }
    Unpacked { parts, added_bytes }
}

/// What a pointer leads to takes the place of the message, and so has no neighbours.
fn refuse_stored(part: &mut Decoded) {
    if matches!(&part.found, Found::Object(object) if object.whole.is_some()) {
        let sentence = "a pointer to the event of a letter has to be the only thing in its message";
        part.found = Found::Rejected(Rejection::new(Reason::BrokenEnvelope, sentence));
    }
}
