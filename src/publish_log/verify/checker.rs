//! Judges the lines of one chain. In: segments and lines, in order. Out: the records that are vouched for, and the
//! first flaw.
//!
//! A hash that does not fit says that something is wrong between two lines. What it is, the numbers and one line more
//! can tell: [`Checker`] therefore looks one line ahead before it judges.

use std::collections::VecDeque;

use super::{Flaw, FlawKind, Report};
use crate::publish_log::{
    Line, LineHash, Record,
    folder::file_name,
    line::{FORMAT, VERSION},
};

/// Lines that are remembered to tell inserted ones from changed ones.
const REMEMBERED: usize = 1_024;

/// Where a line stands: segment and line, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    segment: u64,
    line: u64,
}

impl Place {
    fn flaw(self, kind: FlawKind, what: impl Into<String>) -> Flaw {
        Flaw { segment: file_name(self.segment), line: self.line, kind, what: what.into() }
    }
}

/// A line that was read.
struct Seen {
    place: Place,
    hash: LineHash,
    line: Option<Line>,
}

impl Seen {
    fn previous(&self) -> Option<LineHash> {
        self.line.as_ref().and_then(Line::previous)
    }
}

/// What is odd about a line.
enum Oddity {
    /// It is no line of a log.
    Unreadable,
    /// It does not carry the hash of the line before.
    Unlinked,
    /// Its number, or its count, is not the next.
    Miscounted,
}

/// Checks one chain, line after line.
pub struct Checker {
    chain: String,
    segments: u64,
    records: u64,
    records_in_segment: u64,
    at: Place,
    /// The lines passed last, oldest first.
    passed: VecDeque<(LineHash, Place)>,
    /// Passed, and vouched for once the next line carries its hash.
    unvouched: Option<Record>,
    has_footer: bool,
    lost: u64,
    torn_bytes: usize,
    odd: Option<(Seen, Oddity)>,
    flaw: Option<Flaw>,
    /// Records before the flaw.
    intact: Option<u64>,
    /// The last two segments, and how many records came before each.
    begun: VecDeque<(u64, u64)>,
}

impl Checker {
    /// For this chain.
    pub fn new(chain: &str) -> Self {
        Self {
            chain: chain.to_owned(),
            segments: 0,
            records: 0,
            records_in_segment: 0,
            at: Place { segment: 0, line: 0 },
            passed: VecDeque::new(),
            unvouched: None,
            has_footer: true,
            lost: 0,
            torn_bytes: 0,
            odd: None,
            flaw: None,
            intact: None,
            begun: VecDeque::new(),
        }
    }

    /// Whether nothing more needs to be read.
    pub fn has_flaw(&self) -> bool {
        self.flaw.is_some()
    }

    /// The next segment begins.
    pub fn segment(&mut self, number: u64) {
        let (expected, at) = (self.at.segment + 1, self.at);
        let is_cut = self.torn_bytes > 0 || !self.has_footer;
        if number != expected {
            self.judge(None);
            let missing = match number - expected {
                1 => format!("segment {expected} is missing"),
                _ => format!("segments {expected} to {} are missing", number - 1),
            };
            self.say(Place { segment: expected, line: 1 }.flaw(FlawKind::SegmentRemoved, missing));
        } else if is_cut && self.odd.is_none() {
            self.judge(None);
            let what = "the segment ends here, without its footer: lines were removed at its end";
            self.say(Place { line: at.line + 1, ..at }.flaw(FlawKind::Truncated, what));
        }
        self.at = Place { segment: number, line: 0 };
        self.has_footer = false;
        // What is odd is judged by the counts of its own segment.
        if self.odd.is_none() {
            self.records_in_segment = 0;
        }
        self.segments += 1;
        self.begun.push_back((number, self.records));
        if self.begun.len() > 2 {
            self.begun.pop_front();
        }
    }

    /// The next line, without its newline. Returns the record that it vouches for by carrying its hash.
    pub fn line(&mut self, bytes: &[u8]) -> Option<Record> {
        self.at.line += 1;
        let seen = Seen { place: self.at, hash: LineHash::of(bytes), line: Line::read(bytes) };
        if self.odd.is_some() {
            self.judge(Some(&seen));
        }
        if self.flaw.is_some() {
            return None;
        }
        if let Some(flaw) = self.misplaced(&seen) {
            self.say(flaw);
            return None;
        }
        match self.oddity(&seen) {
            Some(oddity) => {
                self.odd = Some((seen, oddity));
                None
            }
            None => self.pass(seen),
        }
    }

    /// The segment ends with bytes that are no line.
    pub fn torn(&mut self, bytes: usize) {
        self.torn_bytes = bytes;
        if self.has_footer {
            let place = Place { line: self.at.line + 1, ..self.at };
            self.say(place.flaw(FlawKind::Inserted, "something follows the footer"));
        }
    }

    /// The segment goes on with more bytes than any line has.
    pub fn too_long(&mut self) {
        self.judge(None);
        let place = Place { line: self.at.line + 1, ..self.at };
        self.say(
            place
                .flaw(FlawKind::Changed, "the line was changed: it is longer than any line of a publish log"),
        );
    }

    /// There is nothing more. Returns what was found out, and the last record.
    pub fn finish(mut self) -> (Report, Option<Record>) {
        self.judge(None);
        if self.segments == 0 {
            let what = "there is no segment: all were removed, or the worker ended before it wrote the first";
            self.say(Place { segment: 1, line: 1 }.flaw(FlawKind::SegmentRemoved, what));
        }
        let head = self.last_hash().filter(|_| self.flaw.is_none()).map(|hash| hash.to_string());
        let last = if self.flaw.is_none() { self.unvouched.take() } else { None };
        let report = Report {
            records: self.intact.unwrap_or(self.records),
            chain: self.chain,
            segments: self.segments,
            head,
            lost: self.lost,
            is_open: self.flaw.is_none() && !self.has_footer,
            torn_bytes: self.torn_bytes,
            flaw: self.flaw,
        };
        (report, last)
    }

    /// The hash of the line passed last, if it is a footer.
    pub fn head(&self) -> Option<LineHash> {
        self.passed.back().filter(|_| self.has_footer).map(|(hash, _)| *hash)
    }

    fn say(&mut self, flaw: Flaw) {
        if self.flaw.is_some() {
            return;
        }
        let begun = self.begun.iter().find(|(segment, _)| file_name(*segment) == flaw.segment);
        // The first record of a segment stands on its second line.
        let before_flaw = begun.map(|(_, records)| records + flaw.line.saturating_sub(2));
        self.intact = before_flaw.map(|records| records.min(self.records));
        self.flaw = Some(flaw);
    }

    fn last_hash(&self) -> Option<LineHash> {
        self.passed.back().map(|(hash, _)| *hash)
    }

    /// What needs no second look: a line of a kind that cannot stand here, or of another chain.
    fn misplaced(&self, seen: &Seen) -> Option<Flaw> {
        let flaw = |kind, what: &str| Some(seen.place.flaw(kind, what));
        if self.has_footer {
            return flaw(FlawKind::Inserted, "something follows the footer");
        }
        match (&seen.line, seen.place.line) {
            (Some(Line::Header(header)), 1) => {
                if header.format != FORMAT || header.version != VERSION {
                    let what = format!(
                        "is version {} of {:?}, which this program does not know",
                        header.version, header.format
                    );
                    return Some(seen.place.flaw(FlawKind::UnknownVersion, what));
                }
                if header.chain != self.chain {
                    let what = format!("the segment is of another chain: {:?}", header.chain);
                    return Some(seen.place.flaw(FlawKind::Foreign, what));
                }
                if header.segment != seen.place.segment {
                    let what = format!("the segment is segment {} under another name", header.segment);
                    return Some(seen.place.flaw(FlawKind::Foreign, what));
                }
                None
            }
            (Some(_), 1) => flaw(FlawKind::Removed, "the header is missing"),
            (Some(Line::Header(_)), _) => flaw(FlawKind::Inserted, "a second header"),
            _ => None,
        }
    }

    fn oddity(&self, seen: &Seen) -> Option<Oddity> {
        let Some(line) = &seen.line else { return Some(Oddity::Unreadable) };
        if line.previous() != self.last_hash() {
            return Some(Oddity::Unlinked);
        }
        let is_next = match line {
            Line::Header(_) => true,
            Line::Record(record) => record.number == self.records + 1,
            Line::Footer(footer) => footer.records == self.records_in_segment,
        };
        (!is_next).then_some(Oddity::Miscounted)
    }

    fn pass(&mut self, seen: Seen) -> Option<Record> {
        if self.passed.len() == REMEMBERED {
            self.passed.pop_front();
        }
        self.passed.push_back((seen.hash, seen.place));
        let vouched = self.unvouched.take();
        match seen.line {
            Some(Line::Record(record)) => {
                self.records += 1;
                self.records_in_segment += 1;
                self.unvouched = Some(record);
            }
            Some(Line::Footer(footer)) => {
                self.has_footer = true;
                self.lost = self.lost.saturating_add(footer.lost);
            }
            Some(Line::Header(_)) | None => {}
        }
        vouched
    }

    /// Says what the odd line and the one after it mean together.
    fn judge(&mut self, next: Option<&Seen>) {
        let Some((odd, oddity)) = self.odd.take() else { return };
        let last = self.last_hash();
        let next_follows_last = next.is_some_and(|next| next.line.is_some() && next.previous() == last);
        let flaw = match oddity {
            _ if next_follows_last && next.is_some_and(|next| odd.previous() == Some(next.hash)) => {
                odd.place.flaw(FlawKind::Swapped, "this line and the next one changed places")
            }
            _ if next_follows_last => odd
                .place
                .flaw(FlawKind::Inserted, "the line was inserted: the next one follows the one before"),
            Oddity::Unreadable => {
                odd.place.flaw(FlawKind::Changed, "the line was changed: it is no line of a publish log")
            }
            Oddity::Miscounted => odd.place.flaw(FlawKind::Changed, self.miscounted(&odd)),
            Oddity::Unlinked => self.unlinked(&odd, next),
        };
        self.say(flaw);
    }

    fn miscounted(&self, odd: &Seen) -> String {
        match &odd.line {
            Some(Line::Footer(footer)) => format!(
                "the footer was changed: it counts {} records, and there are {}",
                footer.records, self.records_in_segment
            ),
            Some(Line::Record(record)) => format!(
                "the line was changed: it has number {} where {} follows",
                record.number,
                self.records + 1
            ),
            _ => "the line was changed".to_owned(),
        }
    }

    fn unlinked(&self, odd: &Seen, next: Option<&Seen>) -> Flaw {
        let previous = odd.previous();
        let earlier = self.passed.iter().rposition(|(hash, _)| Some(*hash) == previous);
        if let Some((_, first)) = earlier.and_then(|at| self.passed.get(at + 1)) {
            let what = "the line was inserted: a later one follows the one before it";
            return first.flaw(FlawKind::Inserted, what);
        }
        if let Some(missing) = self.missing_before(odd) {
            let what = format!("{missing} removed before this line");
            return odd.place.flaw(FlawKind::Removed, what);
        }
        let Some((_, before)) = self.passed.back() else {
            return odd
                .place
                .flaw(FlawKind::Removed, "something came before: this is not the beginning of a chain");
        };
        let odd_is_intact = next.is_some_and(|next| next.previous() == Some(odd.hash));
        if odd_is_intact {
            return before
                .flaw(FlawKind::Changed, "the line was changed: the next one carries the hash of another");
        }
        let what = "the line was changed, or the hash of it that the next one carries";
        before.flaw(FlawKind::Changed, what)
    }

    fn missing_before(&self, odd: &Seen) -> Option<String> {
        let missing = match odd.line.as_ref()? {
            Line::Header(_) => return None,
            Line::Record(record) => record.number.checked_sub(self.records + 1)?,
            Line::Footer(footer) => footer.records.checked_sub(self.records_in_segment)?,
        };
        match missing {
            0 => None,
            1 => Some(format!("record {} was", self.records + 1)),
            _ => {
                Some(format!("records {} to {} were", self.records + 1, self.records.saturating_add(missing)))
            }
        }
    }
}
