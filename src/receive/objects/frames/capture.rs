//! One record while it arrives. In: its bytes, one after the other. Out: where it ends.

use bytes::Bytes;

use super::{Frame, RECORD_BYTES_MAX};

/// Containers whose kind is remembered, one bit each. What is nested deeper is refused by stage 2 anyway.
const DEPTH_KNOWN: u32 = 128;
/// The start of a log file is no longer, white space included.
const OPENING_BYTES_MAX: usize = 64;
/// How a log file begins, and the body of a `PutAuditEvents` request, without white space.
const OPENINGS: [&[u8]; 2] = [b"{\"Records\":[", b"{\"auditEvents\":["];

/// A record that is being read.
pub(super) struct Capture {
    /// So far; empty once it is too long.
    bytes: Vec<u8>,
    /// How many bytes it has, kept or not.
    seen: usize,
    shape: Shape,
}

/// What tells where the record ends.
enum Shape {
    /// An object, an array or a string: it ends where its first bracket or quote is closed.
    Closed(Closed),
    /// A number, a word, or no JSON at all: it ends with its line, and in an array before a comma or bracket.
    Loose { in_array: bool },
}

/// Brackets and quotes that are open.
#[derive(Default)]
struct Closed {
    depth: u32,
    /// A bit for each container, the innermost lowest: set for an array.
    arrays: u128,
    /// In a string: whether the next character is escaped.
    string: Option<bool>,
    /// The last character that was neither white space nor inside of a string.
    before: u8,
    /// A string was broken by the end of its line, which no JSON allows.
    is_torn: bool,
}

/// What a byte was to the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A part of it.
    More,
    /// Its last part.
    Last,
    /// No part of it: it had ended.
    Beyond,
}

impl Capture {
    /// Of a record that begins with `byte`.
    pub(super) fn begin(byte: u8, in_array: bool) -> Self {
        let shape = match byte {
            b'{' | b'[' | b'"' => {
                let mut closed = Closed::default();
                closed.see(byte, false);
                Shape::Closed(closed)
            }
            _ => Shape::Loose { in_array },
        };
        Self { bytes: vec![byte], seen: 1, shape }
    }

    /// Takes one more byte, unless it is beyond the record.
    pub(super) fn see(&mut self, byte: u8, is_line_start: bool) -> Seen {
        let seen = match &mut self.shape {
            Shape::Closed(closed) => closed.see(byte, is_line_start),
            Shape::Loose { in_array } => match byte {
                b'\n' => Seen::Beyond,
                b',' | b']' if *in_array => Seen::Beyond,
                _ => Seen::More,
            },
        };
        if seen != Seen::Beyond {
            self.keep(byte);
        }
        seen
    }

    /// Whether this is no record but the start of a log file, up to the bracket that opens its records.
    pub(super) fn opens_records(&self) -> bool {
        let is_opening = |opening: &[u8]| {
            let black = self.bytes.iter().filter(|byte| !byte.is_ascii_whitespace());
            black.eq(opening.iter())
        };
        self.seen <= OPENING_BYTES_MAX && OPENINGS.into_iter().any(is_opening)
    }

    /// Whether the text may end here.
    pub(super) fn may_end(&self) -> bool {
        matches!(self.shape, Shape::Loose { .. })
    }

    pub(super) fn into_frame(self) -> Frame {
        if self.seen > RECORD_BYTES_MAX {
            return Frame::TooLong(self.seen);
        }
        let bytes = Bytes::from(self.bytes);
        Frame::Record(bytes.slice_ref(bytes.trim_ascii_end()))
    }

    fn keep(&mut self, byte: u8) {
        self.seen = self.seen.saturating_add(1);
        if self.seen <= RECORD_BYTES_MAX {
            self.bytes.push(byte);
        } else if !self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }
}

impl Closed {
    fn see(&mut self, byte: u8, is_line_start: bool) -> Seen {
        if let Some(is_escaped) = self.string {
            return self.see_in_string(byte, is_escaped);
        }
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => return Seen::More,
            b'{' if is_line_start && self.cannot_hold_object() => return Seen::Beyond,
            b'"' => self.string = Some(false),
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.arrays = self.arrays << 1 | u128::from(byte == b'[');
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.arrays >>= 1;
                if self.depth == 0 {
                    return Seen::Last;
                }
            }
            _ => {}
        }
        self.before = byte;
        Seen::More
    }

    fn see_in_string(&mut self, byte: u8, is_escaped: bool) -> Seen {
        self.is_torn |= byte == b'\n';
        let goes_on = byte != b'\n' && (byte != b'"' || is_escaped);
        self.string = goes_on.then_some(byte == b'\\' && !is_escaped);
        if !goes_on && self.depth == 0 { Seen::Last } else { Seen::More }
    }

    /// Whether a brace that begins a line here is no part of this record, which is broken, but the start of the next.
    fn cannot_hold_object(&self) -> bool {
        let in_array = self.depth > DEPTH_KNOWN || self.arrays & 1 == 1;
        let is_expected = self.before == b':' || (in_array && matches!(self.before, b'[' | b','));
        self.depth > 0 && (self.is_torn || !is_expected)
    }
}
