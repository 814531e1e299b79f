//! Finds records in plain bytes as they arrive. In: pieces of a text. Out: whole records, none longer than
//! [`RECORD_BYTES_MAX`], and what is no record.
//!
//! The text is a log file (`{"Records":[…]}`), an array, one record a line, or records one after the other. Only where
//! records begin and end is found out here; what is in them is for stage 2 to say. The answers do not depend on where
//! the text was cut into pieces.

mod capture;

use bytes::Bytes;

use self::capture::{Capture, Seen};
use crate::{decode::BYTE_ORDER_MARK, limits};

/// Longest record. Three times what the lake takes, and a dead letter can hold it even as base64.
pub(super) const RECORD_BYTES_MAX: usize = 750_000;
const LETTER_WORDS_BYTES: usize = 32_000;
const _: () = assert!(RECORD_BYTES_MAX.div_ceil(3) * 4 + LETTER_WORDS_BYTES < limits::SQS_BYTES_MAX);
const _: () = assert!(RECORD_BYTES_MAX > 2 * limits::EVENT_DATA_BYTES_MAX);

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A record, or what stands in the place of one.
    Record(Bytes),
    /// A record of so many bytes, which was passed over.
    TooLong(usize),
    /// The text ends before its last record or its array does. Nothing follows.
    CutOff,
    /// The text begins as no JSON does. Nothing follows.
    NotJson,
}

/// A text on its way to records.
pub(super) struct Frames {
    /// Arrived, and passed up to `at`.
    pieces: Vec<u8>,
    at: usize,
    /// Bytes passed in all.
    passed: u64,
    place: Place,
    capture: Option<Capture>,
    /// The first line, where it begins no JSON. It is damage if JSON follows, and the wrong kind of file if not.
    first_line: Option<Bytes>,
    is_line_start: bool,
    is_ended: bool,
}

/// Between which brackets the text stands when no record is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// No record yet.
    Start,
    /// Between documents.
    Documents,
    /// In an array of records.
    Elements { is_wrapped: bool },
    /// Behind the array of a log file, before the brace that closes it.
    Rest,
    /// Nothing more is looked for.
    Nowhere,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            pieces: Vec::new(),
            at: 0,
            passed: 0,
            place: Place::Start,
            capture: None,
            first_line: None,
            is_line_start: true,
            is_ended: false,
        }
    }

    /// Where the next piece of the text goes: behind what is there.
    pub(super) fn pieces(&mut self) -> &mut Vec<u8> {
        self.pieces.drain(..self.at);
        self.at = 0;
        &mut self.pieces
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self) {
        self.is_ended = true;
    }

    /// How many bytes of the text were passed.
    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    /// What is found next; `None` where more of the text is needed, or where it has ended.
    pub(super) fn next(&mut self) -> Option<Frame> {
        while let Some(&byte) = self.pieces.get(self.at) {
            let seen = self.capture.as_mut().map(|capture| capture.see(byte, self.is_line_start));
            let (found, is_passed) = match seen {
                None => self.begin(byte),
                Some(Seen::More) => {
                    if byte == b'[' {
                        self.open_records();
                    }
                    (None, true)
                }
                Some(end) => (self.captured(), end == Seen::Last),
            };
            if is_passed {
                self.at += 1;
                self.passed += 1;
                self.is_line_start = byte == b'\n';
            }
            if found.is_some() {
                return found;
            }
        }
        if self.is_ended { self.last() } else { None }
    }

    /// No record is open. Whether the byte was passed: a closing bracket of another place is looked at again.
    fn begin(&mut self, byte: u8) -> (Option<Frame>, bool) {
        match (self.place, byte) {
            (Place::Nowhere, _)
            | (
                Place::Documents | Place::Elements { .. } | Place::Rest,
                b' ' | b'\n' | b'\r' | b'\t' | b',',
            )
            | (Place::Start, b' ' | b'\n' | b'\r' | b'\t') => {}
            (Place::Start, _) if self.passes_mark(byte) => {}
            (Place::Start, b'{' | b'[') => {
                self.place = Place::Documents;
                return (self.first_line.take().map(Frame::Record), false);
            }
            (Place::Start, _) if self.first_line.is_some() => return (Some(self.stop(Frame::NotJson)), true),
            (Place::Documents, b'[') => self.place = Place::Elements { is_wrapped: false },
            (Place::Elements { is_wrapped: true }, b']') => self.place = Place::Rest,
            (Place::Elements { .. }, b']') | (Place::Rest, b'}') => self.place = Place::Documents,
            (Place::Rest, _) => {
                // Members beside the array are an object of their own, so that they are not passed over in silence.
                self.place = Place::Documents;
                self.capture = Some(Capture::begin(b'{', false));
                return (None, false);
            }
            (Place::Start | Place::Documents, _) => self.capture = Some(Capture::begin(byte, false)),
            (Place::Elements { .. }, _) => self.capture = Some(Capture::begin(byte, true)),
        }
        (None, true)
    }

    /// What looked like a record may be the start of a log file.
    fn open_records(&mut self) {
        if self.place == Place::Documents && self.capture.as_ref().is_some_and(Capture::opens_records) {
            self.capture = None;
            self.place = Place::Elements { is_wrapped: true };
        }
    }

    /// The record has ended.
    fn captured(&mut self) -> Option<Frame> {
        match (self.place, self.capture.take()?.into_frame()) {
            (Place::Start, Frame::Record(line)) => {
                self.first_line = Some(line);
                None
            }
            (Place::Start, _) => Some(self.stop(Frame::NotJson)),
            (_, frame) => Some(frame),
        }
    }

    /// The text has ended.
    fn last(&mut self) -> Option<Frame> {
        if self.capture.as_ref().is_some_and(|capture| !capture.may_end()) {
            return Some(self.stop(Frame::CutOff));
        }
        let loose = self.captured();
        match self.place {
            _ if loose.is_some() => loose,
            Place::Start if self.first_line.is_some() => Some(self.stop(Frame::NotJson)),
            Place::Elements { .. } | Place::Rest => Some(self.stop(Frame::CutOff)),
            Place::Start | Place::Documents | Place::Nowhere => None,
        }
    }

    fn stop(&mut self, frame: Frame) -> Frame {
        self.place = Place::Nowhere;
        self.capture = None;
        self.first_line = None;
        frame
    }

    fn passes_mark(&self, byte: u8) -> bool {
        let at = usize::try_from(self.passed).ok();
        at.and_then(|at| BYTE_ORDER_MARK.get(at)).is_some_and(|expected| *expected == byte)
    }
}

#[cfg(test)]
mod tests;
