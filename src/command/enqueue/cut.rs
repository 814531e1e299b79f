//! Cuts a file into events. In: bytes of NDJSON, a JSON array, JSON objects one after another, or a CloudTrail log
//! file. Out: [`Piece`]s in order, in bounded memory however large the file is.
//!
//! Nothing is parsed here: brackets and quotation marks are counted, and whether a piece is good JSON is for the
//! service to say. What cannot be cut out comes out as it is, so that every byte that is not white space, or the
//! frame around events, is in some piece or is reported.

use std::io::{self, Read};

/// Deeper than any event; a line that opens more brackets is broken.
const DEPTH_MAX: usize = 256;
const READ_BYTES: usize = 64 << 10;

/// Something found in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// One event, from bracket to bracket.
    Event(Vec<u8>),
    /// A line, or several, out of which no event can be cut.
    AsItIs(Vec<u8>),
    /// An event or line larger than a message may be, of this many bytes. It was left out.
    TooLarge(u64),
    /// The file ends inside an array: events that it should hold are missing.
    EndsEarly,
}

/// A [`Piece`] and the line where it begins, counted from 1.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) line: u64,
    pub(crate) piece: Piece,
}

/// Where in the file the next piece is looked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    /// Inside `[…]`.
    Array,
    /// Inside the `[…]` of `{"Records": […]}`.
    Records,
    /// Between that `]` and its `}`.
    AfterRecords,
}

/// An iterator over the pieces of one file.
pub(crate) struct Cutter<R> {
    input: R,
    /// Read and not yet given out; begins at `start`.
    buffer: Vec<u8>,
    start: usize,
    line: u64,
    at_end: bool,
    place: Place,
    piece_bytes_max: usize,
}

/// How a look at the bytes from `start` on ended.
enum Extent {
    /// The value is this long.
    Whole(usize),
    /// No value; what is broken is this long.
    Broken(usize),
    /// Longer than `piece_bytes_max`.
    TooLarge,
}

impl<R: Read> Cutter<R> {
    /// For pieces of up to `piece_bytes_max` bytes.
    pub(crate) fn new(input: R, piece_bytes_max: usize) -> Self {
        let buffer = Vec::new();
        Self { input, buffer, start: 0, line: 1, at_end: false, place: Place::Top, piece_bytes_max }
    }

    /// The next piece; `None` at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read on.
    pub(crate) fn next_piece(&mut self) -> io::Result<Option<Located>> {
        loop {
            let Some(byte) = self.next_byte()? else {
                let ends_early = self.place != Place::Top;
                self.place = Place::Top;
                return Ok(ends_early.then_some(Located { line: self.line, piece: Piece::EndsEarly }));
            };
            match (self.place, byte) {
                (Place::Top, b'[') => self.enter(Place::Array, 1),
                (Place::Top, b'{') => match self.records_prefix()? {
                    Some(length) => self.enter(Place::Records, length),
                    None => return self.value().map(Some),
                },
                (Place::Top, _) => return self.line().map(Some),
                (Place::Array, b']') | (Place::AfterRecords, b'}') => self.enter(Place::Top, 1),
                (Place::Records, b']') => self.enter(Place::AfterRecords, 1),
                (Place::Array | Place::Records, b',') => self.advance(1),
                (Place::Array | Place::Records, _) => return self.value().map(Some),
                (Place::AfterRecords, _) => {
                    self.place = Place::Top;
                    return self.line().map(Some);
                }
            }
        }
    }

    fn enter(&mut self, place: Place, skipped: usize) {
        self.place = place;
        self.advance(skipped);
    }

    /// Skips white space, and says what comes then.
    fn next_byte(&mut self) -> io::Result<Option<u8>> {
        loop {
            if self.rest().is_empty() && !self.fill()? {
                return Ok(None);
            }
            let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
            let found = self.rest().iter().position(|byte| !is_space(byte));
            self.advance(found.unwrap_or(self.rest().len()));
            if found.is_some() {
                return Ok(self.rest().first().copied());
            }
        }
    }

    /// The length of `{"Records":[`, if that is how the object begins.
    fn records_prefix(&mut self) -> io::Result<Option<usize>> {
        let (mut at, mut expected) = (0, b"{\"Records\":[".iter());
        let mut next = expected.next();
        while let Some(&wanted) = next {
            if at == self.rest().len() && !self.fill()? {
                return Ok(None);
            }
            let byte = self.rest()[at];
            // White space may stand between tokens, not inside the name.
            let between = matches!(wanted, b'"' | b':' | b'[') && at > 0 && at < READ_BYTES;
            if byte == wanted {
                next = expected.next();
            } else if !(between && byte.is_ascii_whitespace()) {
                return Ok(None);
            }
            at += 1;
        }
        Ok(Some(at))
    }

    /// Cuts out the value that begins here, or what is broken.
    fn value(&mut self) -> io::Result<Located> {
        let line = self.line;
        let piece = match self.extent()? {
            Extent::Whole(length) => Piece::Event(self.take(length)),
            Extent::Broken(length) => {
                // A broken line breaks its array: what follows is looked at afresh.
                self.place = Place::Top;
                Piece::AsItIs(trimmed(self.take(length)))
            }
            Extent::TooLarge => self.skip_value()?,
        };
        Ok(Located { line, piece })
    }

    fn extent(&mut self) -> io::Result<Extent> {
        let mut scan = Scan::default();
        let mut at = 0;
        loop {
            if at == self.rest().len() && (at > self.piece_bytes_max || !self.fill()?) {
                break;
            }
            match scan.step(self.rest()[at]) {
                Step::On => at += 1,
                Step::EndsBefore => return Ok(sized(at, self.piece_bytes_max)),
                Step::EndsHere => return Ok(sized(at + 1, self.piece_bytes_max)),
                Step::Broken => return self.broken(at),
            }
        }
        if at > self.piece_bytes_max { Ok(Extent::TooLarge) } else { self.broken(at) }
    }

    /// The end of what is broken: the next line that begins like an event, or the end of what was seen and of its
    /// line. Lines that begin otherwise belong to a value that was written over several lines.
    fn broken(&mut self, seen: usize) -> io::Result<Extent> {
        let rest = self.rest();
        let begins = |at: &usize| rest[*at] == b'\n' && matches!(rest.get(at + 1), Some(b'{' | b'['));
        if let Some(at) = (0..seen.min(rest.len())).find(begins) {
            return Ok(Extent::Broken(at));
        }
        self.end_of_line(seen)
    }

    fn end_of_line(&mut self, from: usize) -> io::Result<Extent> {
        let mut at = from;
        while at <= self.piece_bytes_max {
            if at >= self.rest().len() && !self.fill()? {
                break;
            }
            if self.rest()[at] == b'\n' {
                break;
            }
            at += 1;
        }
        Ok(if at > self.piece_bytes_max { Extent::TooLarge } else { Extent::Broken(at) })
    }

    /// A line as it is.
    fn line(&mut self) -> io::Result<Located> {
        let line = self.line;
        let piece = match self.end_of_line(0)? {
            Extent::Whole(length) | Extent::Broken(length) => Piece::AsItIs(trimmed(self.take(length))),
            Extent::TooLarge => self.skip(|_, byte| byte == b'\n')?,
        };
        Ok(Located { line, piece })
    }

    /// Passes over a value that is too large to keep.
    fn skip_value(&mut self) -> io::Result<Piece> {
        let mut scan = Scan::default();
        self.skip(|seen, byte| match scan.step(byte) {
            Step::On => false,
            Step::EndsBefore | Step::EndsHere => true,
            Step::Broken => seen > 0 && byte == b'\n',
        })
    }

    /// Passes over bytes up to and with the one that `is_last`.
    fn skip(&mut self, mut is_last: impl FnMut(u64, u8) -> bool) -> io::Result<Piece> {
        let mut skipped = 0;
        loop {
            if self.rest().is_empty() && !self.fill()? {
                return Ok(Piece::TooLarge(skipped));
            }
            let byte = self.rest()[0];
            self.advance(1);
            skipped += 1;
            if is_last(skipped, byte) {
                return Ok(Piece::TooLarge(skipped));
            }
        }
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let taken = self.rest()[..length].to_vec();
        self.advance(length);
        taken
    }

    fn advance(&mut self, length: usize) {
        let passed = &self.buffer[self.start..self.start + length];
        self.line += passed.iter().map(|byte| u64::from(*byte == b'\n')).sum::<u64>();
        self.start += length;
    }

    /// Reads on; false at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        if self.at_end {
            return Ok(false);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + READ_BYTES, 0);
        let read = loop {
            match self.input.read(&mut self.buffer[before..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        self.at_end = read? == 0;
        Ok(!self.at_end)
    }
}

fn sized(length: usize, most: usize) -> Extent {
    if length > most { Extent::TooLarge } else { Extent::Whole(length) }
}

/// Without the white space at its end.
fn trimmed(mut line: Vec<u8>) -> Vec<u8> {
    line.truncate(line.trim_ascii_end().len());
    line
}

enum Step {
    On,
    EndsHere,
    /// The byte is the comma, bracket or white space behind a number or word.
    EndsBefore,
    Broken,
}

/// Follows brackets and strings through one value, and little else: enough to see that a line broke off.
#[derive(Default)]
struct Scan {
    open: Vec<u8>,
    in_string: bool,
    escaped: bool,
    /// The last byte that was no white space, outside strings.
    last: u8,
    begun: bool,
}

impl Scan {
    fn step(&mut self, byte: u8) -> Step {
        if self.in_string {
            return self.step_in_string(byte);
        }
        let first = !std::mem::replace(&mut self.begun, true);
        match byte {
            b'{' | b'[' if !self.may_open() || self.open.len() == DEPTH_MAX => return Step::Broken,
            b'{' | b'[' => self.open.push(byte),
            b'"' => self.in_string = true,
            b'}' | b']' | b',' | b' ' | b'\t' | b'\r' | b'\n' if self.open.is_empty() && !first => {
                return Step::EndsBefore;
            }
            b'}' | b']' => {
                let opened = if byte == b'}' { b'{' } else { b'[' };
                if self.open.pop() != Some(opened) {
                    return Step::Broken;
                }
                if self.open.is_empty() {
                    return Step::EndsHere;
                }
            }
            _ => {}
        }
        if !byte.is_ascii_whitespace() {
            self.last = byte;
        }
        Step::On
    }

    fn step_in_string(&mut self, byte: u8) -> Step {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' => self.escaped = true,
            b'"' => {
                self.in_string = false;
                self.last = byte;
                if self.open.is_empty() {
                    return Step::EndsHere;
                }
            }
            // No string of JSON goes over the end of its line.
            b'\n' => return Step::Broken,
            _ => {}
        }
        Step::On
    }

    /// In an object a bracket may only follow a colon, in an array only a comma or the opening bracket.
    fn may_open(&self) -> bool {
        match self.open.last() {
            None => self.last == 0,
            Some(b'{') => self.last == b':',
            Some(_) => matches!(self.last, b',' | b'['),
        }
    }
}

#[cfg(test)]
mod tests;
