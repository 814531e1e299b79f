//! Is a chain whole? In: its segments, line by line. Out: how much there is and where it ends, or the first line that
//! was changed, removed or inserted.
//! Memory use does not depend on its length.

mod checker;

pub use checker::Checker;

use std::fmt;

use hashbrown::HashSet;
use serde::Serialize;

use super::{
    Archive, ArchiveError, LineHash, Record,
    archive::{Lines, Read},
};

/// What was found out about one chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Its name.
    pub chain: String,
    /// Segments that were read.
    pub segments: u64,
    /// Records in them, before the first thing that is wrong.
    pub records: u64,
    /// The hash of the last line: whoever knows it later can tell whether the chain was rewritten since. `None` if
    /// anything is wrong.
    pub head: Option<String>,
    /// Events that were published and that its worker had to leave out, as its footers say.
    pub lost: u64,
    /// The last segment has no footer: its worker still writes, or ended without one.
    pub is_open: bool,
    /// Bytes of a line that was being written when its worker ended.
    pub torn_bytes: usize,
    /// The first thing that is wrong.
    pub flaw: Option<Flaw>,
}

/// The first thing that is wrong in a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Flaw {
    /// The segment's file.
    pub segment: String,
    /// From 1.
    pub line: u64,
    /// What kind of thing.
    pub kind: FlawKind,
    /// In words.
    pub what: String,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}: {}", self.segment, self.line, self.what)
    }
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FlawKind {
    /// A line says something else than it did.
    Changed,
    /// Lines are missing.
    Removed,
    /// Lines were added.
    Inserted,
    /// Two lines changed places.
    Swapped,
    /// A whole segment is missing, or all of them.
    SegmentRemoved,
    /// A segment of another chain, or of another place in this one.
    Foreign,
    /// A segment ends before its end.
    Truncated,
    /// Written by a version of the program that this one does not know.
    UnknownVersion,
}

/// Reads a whole chain. Hands over each record that is vouched for, up to the first flaw. Ticks off the heads of
/// segments that are among `anchors`.
///
/// # Errors
/// The place cannot be read.
pub async fn verify(
    archive: &Archive,
    chain: &str,
    anchors: &mut HashSet<LineHash>,
    mut on_record: impl FnMut(&Record),
) -> Result<Report, ArchiveError> {
    let mut checker = Checker::new(chain);
    let mut line = Vec::new();
    for segment in archive.segments(chain).await? {
        checker.segment(segment);
        let mut lines = archive.lines(chain, segment).await?;
        while read_line(&mut checker, &mut lines, &mut line, &mut on_record).await? {
            if let Some(head) = checker.head() {
                anchors.remove(&head);
            }
        }
        if checker.has_flaw() {
            break;
        }
    }
    let (report, last) = checker.finish();
    last.iter().for_each(on_record);
    if let Some(Ok(head)) = report.head.as_deref().map(str::parse::<LineHash>) {
        anchors.remove(&head);
    }
    Ok(report)
}

/// Whether there may be more to read in this segment.
async fn read_line(
    checker: &mut Checker,
    lines: &mut Lines,
    line: &mut Vec<u8>,
    on_record: impl FnMut(&Record),
) -> Result<bool, ArchiveError> {
    match lines.next(line).await? {
        Read::Line => checker.line(line).iter().for_each(on_record),
        // A worker may be writing this line: what comes now is the rest of it, and no line.
        Read::Torn => {
            checker.torn(line.len());
            return Ok(false);
        }
        Read::TooLong => checker.too_long(),
        Read::End => return Ok(false),
    }
    Ok(!checker.has_flaw())
}

#[cfg(test)]
mod tests;
