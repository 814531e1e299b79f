//! Cuts a body apart. In: bytes of any kind. Out: the parts, in the order in which they stand in the body.
//!
//! Two kinds of places: a *body* can be anything, and its first bytes say how to go on; a *value* is JSON that is
//! known to be well-formed. Each step inwards counts against [`ENVELOPES_MAX`], which bounds the recursion.

use bytes::Bytes;
use bytestring::ByteString;

use super::{
    BYTE_ORDER_MARK, Decoded, ENVELOPES_MAX, Found, MESSAGE_EVENTS_MAX, Notice, canonical,
    envelope::{self, Contents, Opened},
    logs,
    packing::{self, Packing, Unpacking},
};
use crate::{
    aggregate,
    failure::{Reason, Rejection},
    json,
};

/// What `CloudTrail` sends to the SNS topic of a new trail, by itself.
const CLOUDTRAIL_VALIDATION: &[u8] = b"CloudTrail validation message.";

/// The parts found so far.
pub(super) struct Parts<'a> {
    decoded: Vec<Decoded>,
    unpacking: &'a mut Unpacking,
}

impl<'a> Parts<'a> {
    pub(super) fn new(unpacking: &'a mut Unpacking) -> Self {
        Self { decoded: Vec::with_capacity(1), unpacking }
    }

    /// Of a whole message. May be empty, and may be one more than [`MESSAGE_EVENTS_MAX`].
    pub(super) fn of(mut self, message: &Bytes) -> Vec<Decoded> {
        self.body(message, 0);
        self.decoded
    }

    /// A whole body: of the message, or of whatever wraps another.
    fn body(&mut self, bytes: &Bytes, depth: usize) {
        if self.is_full() || bytes.is_empty() {
            return;
        }
        if depth > ENVELOPES_MAX {
            return self.reject(bytes, too_deep());
        }
        match packing::of(bytes) {
            Packing::None => self.text(bytes, depth),
            Packing::Gzip => match self.unpacking.gunzip(bytes) {
                Ok(plain) => self.body(&plain, depth + 1),
                Err(rejection) => self.reject(bytes, rejection),
            },
            Packing::Aggregate => match aggregate::read(bytes, MESSAGE_EVENTS_MAX) {
                Ok(aggregate) => {
                    aggregate.records.iter().for_each(|record| self.body(&record.data, depth + 1));
                }
                Err(unreadable) => self.reject(bytes, unreadable.into()),
            },
        }
    }

    fn text(&mut self, bytes: &Bytes, depth: usize) {
        match document(&without_byte_order_mark(bytes)) {
            Ok(None) => {}
            Ok(Some(text)) => self.value(&text, depth),
            Err(rejection) => self.no_document(bytes, rejection, depth),
        }
    }

    fn no_document(&mut self, bytes: &Bytes, rejection: Rejection, depth: usize) {
        if bytes.trim_ascii() == CLOUDTRAIL_VALIDATION {
            self.push(bytes, Found::Notice(Notice::CloudTrailValidation));
        } else if let Some(inner) = packing::from_base64_of_known(bytes) {
            self.body(&inner, depth + 1);
        } else if !self.lines(bytes, depth) {
            self.reject(bytes, rejection);
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
                Err(rejection) => self.reject(&line, rejection),
            }
        }
        true
    }

    /// Any well-formed value.
    fn value(&mut self, text: &ByteString, depth: usize) {
        if self.is_full() {
            return;
        }
        if depth > ENVELOPES_MAX {
            return self.reject(text.as_bytes(), too_deep());
        }
        match text.as_bytes().first() {
            Some(b'{') => self.object(text, depth),
            Some(b'[') => {
                json::elements(text).for_each(|element| self.value(&text.slice_ref(element), depth + 1));
            }
            _ => self.reject(text.as_bytes(), not_an_object()),
        }
    }

    fn object(&mut self, text: &ByteString, depth: usize) {
        if let Some(records) = envelope::records(text) {
            return self.value(&text.slice_ref(records), depth);
        }
        match canonical::read(text).and_then(envelope::open) {
            Ok(opened) => self.opened(text, opened, depth),
            Err(rejection) => match logs::of_damaged(text) {
                Some(opened) => self.opened(text, opened, depth),
                None => self.reject(text.as_bytes(), rejection),
            },
        }
    }

    fn opened(&mut self, text: &ByteString, opened: Opened, depth: usize) {
        match opened {
            Opened::Event(raw) => self.push(text.as_bytes(), Found::Event(raw)),
            Opened::Instead(found) => self.push(text.as_bytes(), found),
            Opened::Parts(parts) => self.decoded.extend(parts),
            Opened::Value(inner) => self.value(&inner, depth + 1),
            Opened::Body(inner) => self.body(&inner, depth + 1),
            Opened::Each(array, contents) => {
                json::elements(&array)
                    .for_each(|element| self.element(&array.slice_ref(element), contents, depth + 1));
            }
        }
    }

    /// One of several that an envelope lists, each with a body in it.
    fn element(&mut self, text: &ByteString, contents: Contents, depth: usize) {
        if self.is_full() {
            return;
        }
        if !text.starts_with('{') {
            return self.reject(text.as_bytes(), not_an_object());
        }
        match canonical::read(text).and_then(|raw| contents(&raw)) {
            Ok(inner) => self.body(&inner, depth),
            Err(rejection) => self.reject(text.as_bytes(), rejection),
        }
    }

    fn push(&mut self, original: &Bytes, found: Found) {
        self.decoded.push(Decoded { original: original.clone(), found });
    }

    fn reject(&mut self, original: &Bytes, rejection: Rejection) {
        self.decoded.push(Decoded::rejected(original.clone(), rejection));
    }

    /// Nothing that comes now changes the answer.
    fn is_full(&self) -> bool {
        self.decoded.len() > MESSAGE_EVENTS_MAX
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

fn too_deep() -> Rejection {
    let sentence = format!("more than {ENVELOPES_MAX} envelopes and arrays around the event");
    Rejection::new(Reason::TooDeep, sentence)
}

fn not_an_object() -> Rejection {
    Rejection::new(Reason::NotAnObject, "JSON, but not an object")
}

fn not_utf8(bytes: &Bytes) -> Rejection {
    let at = str::from_utf8(bytes).err().map_or(0, |error| error.valid_up_to());
    Rejection::new(Reason::NotUtf8, format!("not UTF-8 from byte {at} on"))
}

fn without_byte_order_mark(bytes: &Bytes) -> Bytes {
    bytes.strip_prefix(BYTE_ORDER_MARK).map_or_else(|| bytes.clone(), |rest| bytes.slice_ref(rest))
}
