//! One worker's chain: every line knows the one before. In: what the lake accepted. Out: lines, ready to be kept.

use std::time::SystemTime;

use base64::{Engine, engine::general_purpose::STANDARD};
use time::{OffsetDateTime, macros::format_description};

use super::{
    Accepted,
    line::{FORMAT, Footer, Header, Line, LineHash, Record, VERSION},
};
use crate::{clock::rfc3339_ms, event::ContentHash};

/// Characters of a worker's name in the name of its chain.
const WORKER_CHARS_MAX: usize = 100;
/// The lake's `eventID` has at most this many characters (service model of cloudtrail-data); more is cut.
const STORED_AS_CHARS_MAX: usize = 128;

/// Where a chain stands.
#[derive(Clone, Debug)]
pub struct Chain {
    name: String,
    worker: String,
    segment: u64,
    records: u64,
    lost: u64,
    previous: Option<LineHash>,
}

impl Chain {
    /// A chain without a line yet, of a worker that started at `started`. Its name sorts by that time, and is fit for
    /// folders and keys.
    pub fn new(worker: &str, started: SystemTime) -> Self {
        let format = format_description!("[year][month][day]T[hour][minute][second][subsecond digits:3]Z");
        let started = OffsetDateTime::from(started).format(format).unwrap_or_default();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let plain = worker.chars().map(|c| if is_plain(c) { c } else { '-' });
        // From its end, where it differs from all others.
        let skipped = worker.chars().count().saturating_sub(WORKER_CHARS_MAX);
        let name = format!("{started}-{}", plain.skip(skipped).collect::<String>());
        Self { name, worker: worker.to_owned(), segment: 0, records: 0, lost: 0, previous: None }
    }

    /// Whether this may be the name of a chain: the time at which its worker started, and plain characters.
    pub fn is_name(name: &str) -> bool {
        let form = b"00000000T000000000Z-";
        let fits =
            |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        name.len() > form.len() && name.bytes().all(is_plain) && name.as_bytes().iter().zip(form).all(fits)
    }

    /// Names the folder of its segments.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The segment that was begun last.
    pub fn segment(&self) -> u64 {
        self.segment
    }

    /// Begins the next segment.
    pub fn begin(&mut self, now: SystemTime, out: &mut Vec<u8>) {
        self.segment += 1;
        let header = Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            chain: self.name.clone(),
            segment: self.segment,
            worker: self.worker.clone(),
            began: rfc3339_ms(now),
            previous: self.previous,
        };
        self.previous = Some(Line::Header(header).write(out));
    }

    /// Adds what was accepted to the segment that is open.
    pub fn add(&mut self, accepted: &Accepted, out: &mut Vec<u8>) {
        self.records += 1;
        let record = Record {
            number: self.records,
            time: rfc3339_ms(accepted.at),
            destination: accepted.destination.to_string(),
            id: accepted.id.to_string(),
            uid: accepted.uid.to_string(),
            stored_as: accepted.stored_as.chars().take(STORED_AS_CHARS_MAX).collect(),
            event_time: accepted.event_time.to_string(),
            content_sha256: accepted.content.map(|hash| hash.to_string()),
            sent_sha256: hexadecimal(&accepted.checksum),
            previous: self.head(),
        };
        self.previous = Some(Line::Record(record).write(out));
    }

    /// So many records can never be added. The next footer says so.
    pub fn lose(&mut self, records: u64) {
        self.lost += records;
    }

    /// Ends the segment that is open and has so many records. Returns its head: the hash of its last line.
    pub fn end(&mut self, records: u64, now: SystemTime, out: &mut Vec<u8>) -> LineHash {
        let lost = std::mem::take(&mut self.lost);
        let footer = Footer { records, lost, ended: rfc3339_ms(now), previous: self.head() };
        let head = Line::Footer(footer).write(out);
        self.previous = Some(head);
        head
    }

    /// A segment begins with a header, so there is a line before.
    fn head(&self) -> LineHash {
        self.previous.unwrap_or_else(|| LineHash::of(b""))
    }
}

/// Checksums travel as base64 and are compared by people as hexadecimal digits.
fn hexadecimal(base64: &str) -> String {
    let bytes = STANDARD.decode(base64).unwrap_or_default();
    bytes.chunks_exact(32).flat_map(<[u8; 32]>::try_from).map(|hash| ContentHash(hash).to_string()).collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::publish_log::LINE_BYTES_MAX;

    #[test]
    fn a_chain_has_a_name_that_fits_a_folder_whatever_the_worker_is_called() {
        let at = UNIX_EPOCH + Duration::from_millis(1_767_323_045_678);
        for (worker, name) in [
            ("host-1/0badcafe", "20260102T030405678Z-host-1-0badcafe"),
            ("../../etc/x y", "20260102T030405678Z-------etc-x-y"),
        ] {
            assert_eq!(Chain::new(worker, at).name(), name);
            assert!(Chain::is_name(name));
        }
        let long = format!("{}/0badcafe", "ü".repeat(500));
        let name = Chain::new(&long, at).name().to_owned();
        assert!(name.len() < 128 && name.ends_with("-0badcafe"), "{name}");
    }

    #[test]
    fn what_no_worker_calls_its_chain_is_not_taken_for_one() {
        for other in [
            "lost+found",
            "",
            ".probe-00000000",
            "20260102T030405678Z-",
            "20260102T030405678-w",
            "2026010T2030405678Z-w",
            "20260102T030405678Z-w\u{1b}[2J",
            "20260102T030405678Z-w w",
            "old-20260102T030405678Z-w",
        ] {
            assert!(!Chain::is_name(other), "{other:?}");
        }
    }

    #[test]
    fn the_longest_line_is_short_enough_to_be_read() {
        let accepted = Accepted {
            at: UNIX_EPOCH,
            destination: "d".repeat(64).into(),
            id: "i".repeat(128).into(),
            uid: "\u{1}".repeat(1_024).into(),
            stored_as: "\u{1}".repeat(1_000_000).into(),
            event_time: "2026-01-02T03:04:05Z".into(),
            content: None,
            checksum: STANDARD.encode([7; 32]).into(),
        };
        let mut out = Vec::new();
        Chain::new("w", UNIX_EPOCH).add(&accepted, &mut out);
        assert!(out.len() < LINE_BYTES_MAX, "{}", out.len());
        let Some(Line::Record(record)) = Line::read(out.strip_suffix(b"\n").unwrap()) else {
            panic!("a record")
        };
        assert_eq!(record.sent_sha256, "07".repeat(32));
    }
}
