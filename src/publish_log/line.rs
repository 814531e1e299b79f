//! The form of the log: one JSON object a line, each with the hash of the line before.
//!
//! In: what is to be said. Out: a line, and back. The same types write and read, and `docs/publish-log.md` describes
//! them for everyone else.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// What a header says it is the header of.
pub(super) const FORMAT: &str = "tributary publish log";
/// Grows when an old reader could misread what a new writer writes.
pub(super) const VERSION: u32 = 1;

/// Longest line in bytes, without its newline. A `UID` has at most 1,024 characters, and JSON spells none of them
/// with more than 6 bytes; all else is shorter.
pub const LINE_BYTES_MAX: usize = 16 << 10;

/// SHA-256 over the bytes of one line, without its newline.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LineHash([u8; 32]);

impl LineHash {
    /// Of this line.
    pub fn of(line: &[u8]) -> Self {
        Self(Sha256::digest(line).into())
    }
}

impl fmt::Display for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not the hash of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 lower-case hexadecimal digits")]
pub struct NoHash;

impl FromStr for LineHash {
    type Err = NoHash;

    fn from_str(text: &str) -> Result<Self, NoHash> {
        let digit = |byte: &u8| match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(NoHash),
        };
        let mut hash = [0; 32];
        if text.len() != 2 * hash.len() {
            return Err(NoHash);
        }
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            for one in pair {
                *byte = *byte << 4 | digit(one)?;
            }
        }
        Ok(Self(hash))
    }
}

impl Serialize for LineHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LineHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "lowercase")]
pub enum Line {
    /// The first of a segment.
    Header(Header),
    /// What the lake accepted.
    Record(Record),
    /// The last of a segment that was closed.
    Footer(Footer),
}

/// The first line of a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The chain's name, and the folder that it lies in.
    pub chain: String,
    /// From 1.
    pub segment: u64,
    /// The worker that writes the chain.
    pub worker: String,
    /// When the segment began.
    pub began: String,
    /// Of the last line of the segment before; `None` in the first segment.
    pub previous: Option<LineHash>,
}

/// One event that the lake accepted. Times are RFC 3339, UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// From 1 through the whole chain.
    pub number: u64,
    /// When the lake's answer came, in milliseconds.
    pub time: String,
    /// The destination's name in the worker's configuration.
    pub destination: String,
    /// The entry's `id` as sent.
    pub id: String,
    /// `UID` as sent.
    pub uid: String,
    /// The lake's `eventID`.
    pub stored_as: String,
    /// `eventTime` as sent.
    pub event_time: String,
    /// The content hash of the event as it came.
    pub content_sha256: Option<String>,
    /// Of the event data as sent.
    pub sent_sha256: String,
    /// Of the line before.
    pub previous: LineHash,
}

/// The last line of a segment that was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Footer {
    /// Of this segment.
    pub records: u64,
    /// Events that were published since the footer before and are in no segment: they did not fit in memory while
    /// nothing could be written. Not there if none.
    #[serde(default, skip_serializing_if = "is_none")]
    pub lost: u64,
    /// When it was closed.
    pub ended: String,
    /// Of the line before.
    pub previous: LineHash,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Line {
    /// The hash that it gives for the line before.
    pub fn previous(&self) -> Option<LineHash> {
        match self {
            Self::Header(header) => header.previous,
            Self::Record(record) => Some(record.previous),
            Self::Footer(footer) => Some(footer.previous),
        }
    }

    /// Reads a line without its newline; `None` if it is none.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// Appends the line and a newline. Returns its hash.
    pub fn write(&self, out: &mut Vec<u8>) -> LineHash {
        let from = out.len();
        // Writing text and numbers into memory cannot fail.
        drop(serde_json::to_writer(&mut *out, self));
        let hash = LineHash::of(out.get(from..).unwrap_or_default());
        out.push(b'\n');
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footer() -> Line {
        let previous = LineHash::of(b"x");
        Line::Footer(Footer { records: 2, lost: 0, ended: "2026-01-02T03:04:05.678Z".to_owned(), previous })
    }

    #[test]
    fn a_line_reads_as_it_was_written_and_its_hash_is_that_of_its_bytes_without_the_newline() {
        let mut out = b"before\n".to_vec();
        let hash = footer().write(&mut out);
        let line = out.strip_prefix(b"before\n").unwrap().strip_suffix(b"\n").unwrap();
        assert_eq!(hash, LineHash::of(line));
        assert_eq!(Line::read(line), Some(footer()));
        assert!(line.starts_with(br#"{"line":"footer","records":2,"#), "{line:?}");
    }

    #[test]
    fn a_footer_speaks_of_lost_records_only_where_there_are_any() {
        let mut out = Vec::new();
        footer().write(&mut out);
        assert!(!str::from_utf8(&out).unwrap().contains("lost"));
        let Line::Footer(footer) = footer() else { panic!("a footer") };
        let lossy = Line::Footer(Footer { lost: 7, ..footer });
        out.clear();
        lossy.write(&mut out);
        assert_eq!(Line::read(out.strip_suffix(b"\n").unwrap()), Some(lossy));
    }

    #[test]
    fn a_hash_is_read_only_as_it_is_written() {
        let hash = LineHash::of(b"a line");
        let text = hash.to_string();
        assert_eq!(text.parse(), Ok(hash));
        for wrong in [&text[1..], &text.to_uppercase(), &format!("{text}0"), "", &"g".repeat(64)] {
            assert_eq!(wrong.parse::<LineHash>(), Err(NoHash), "{wrong}");
        }
    }
}
