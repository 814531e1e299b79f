use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, UNIX_EPOCH},
};

use proptest::prelude::*;
use tokio::io::{AsyncRead, ReadBuf};

use super::*;
use crate::publish_log::{Accepted, Chain, Footer, Line, folder::file_name};

/// Lines of the chain's segments.
type Segments = Vec<Vec<Vec<u8>>>;

const WORKER: &str = "w/1";
const RECORDS: u64 = 5;

fn accepted(number: u64) -> Accepted {
    Accepted {
        at: UNIX_EPOCH + Duration::from_secs(number),
        destination: "lake".into(),
        id: format!("id-{number}").into(),
        uid: format!("uid {number}").into(),
        stored_as: format!("stored-{number}").into(),
        event_time: "2026-01-02T03:04:05Z".into(),
        content: None,
        checksum: "".into(),
    }
}

/// Three segments of five records; the last is open if `is_open`.
fn segments_of(worker: &str, is_open: bool) -> (String, Segments) {
    let mut chain = Chain::new(worker, UNIX_EPOCH);
    let mut segments = Segments::new();
    for segment in 0..3 {
        let mut bytes = Vec::new();
        chain.begin(UNIX_EPOCH, &mut bytes);
        (0..RECORDS).for_each(|number| chain.add(&accepted(segment * RECORDS + number), &mut bytes));
        if segment < 2 || !is_open {
            chain.end(RECORDS, UNIX_EPOCH, &mut bytes);
        }
        segments.push(
            bytes.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect(),
        );
    }
    (chain.name().to_owned(), segments)
}

fn segments() -> Segments {
    segments_of(WORKER, false).1
}

fn check_numbered(segments: &[(u64, &Vec<Vec<u8>>)]) -> (Report, Vec<u64>) {
    let mut checker = Checker::new(Chain::new(WORKER, UNIX_EPOCH).name());
    let mut records = Vec::new();
    for (number, lines) in segments {
        checker.segment(*number);
        records.extend(lines.iter().filter_map(|line| checker.line(line)).map(|record| record.number));
    }
    let (report, last) = checker.finish();
    records.extend(last.map(|record| record.number));
    (report, records)
}

fn check(segments: &Segments) -> (Report, Vec<u64>) {
    check_numbered(&(1..).zip(segments).collect::<Vec<_>>())
}

/// Segment, line and kind of the flaw that a checker finds.
fn flaw(segments: &Segments) -> (String, u64, FlawKind) {
    let (report, records) = check(segments);
    let flaw = report.flaw.expect("a flaw is found");
    assert!(records.len() <= 10 || report.segments == 3, "records after the flaw were vouched for");
    (flaw.segment, flaw.line, flaw.kind)
}

fn at(segment: u64, line: u64, kind: FlawKind) -> (String, u64, FlawKind) {
    (file_name(segment), line, kind)
}

fn replaced(line: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = str::from_utf8(line).unwrap();
    assert!(text.contains(from), "{text}");
    text.replace(from, to).into_bytes()
}

/// A line that its writer could have written in this place.
fn forged(number: u64, before: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chain = Chain::new(WORKER, UNIX_EPOCH);
    chain.add(&accepted(77), &mut out);
    let Some(Line::Record(mut record)) = Line::read(out.strip_suffix(b"\n").unwrap()) else {
        panic!("a record")
    };
    (record.number, record.previous) = (number, LineHash::of(before));
    out.clear();
    Line::Record(record).write(&mut out);
    out.pop();
    out
}

/// A file whose worker writes the rest of a line while it is read: its end is reached, and then there is more.
struct Growing(VecDeque<Vec<u8>>);

impl AsyncRead for Growing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(&self.0.pop_front().unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_line_that_is_completed_while_it_is_read_is_no_flaw() {
    let (name, open) = segments_of(WORKER, true);
    let bytes: Vec<u8> = open[0][..6].iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
    let (written, rest) = bytes.split_at(bytes.len() - 50);
    // Nothing read is the end of what there is for now.
    let growing = Growing([written.to_vec(), Vec::new(), rest.to_vec()].into());
    let (mut lines, mut line) = (Lines::new(growing, "growing".into()), Vec::new());
    let (mut checker, mut records) = (Checker::new(&name), 0);
    checker.segment(1);
    while read_line(&mut checker, &mut lines, &mut line, |_| records += 1).await.unwrap() {}
    let (report, last) = checker.finish();
    assert_eq!((report.flaw, report.is_open, report.records), (None, true, 4));
    assert!(report.torn_bytes > 0 && last.is_some() && records == 3);
}

#[test]
fn a_chain_without_segments_is_not_intact_and_has_no_head() {
    let (report, _) = check(&Vec::new());
    assert_eq!((report.flaw.unwrap().kind, report.head), (FlawKind::SegmentRemoved, None));
}

#[test]
fn a_chain_with_a_flaw_has_no_head() {
    let mut changed = segments();
    changed[1][3] = b"rubbish".to_vec();
    assert_eq!(check(&changed).0.head, None);
}

#[test]
fn a_count_that_no_log_can_have_is_named_as_any_other() {
    let mut absurd = segments();
    absurd[2].truncate(6);
    let footer =
        Footer { records: u64::MAX, lost: u64::MAX, ended: String::new(), previous: LineHash::of(b"") };
    let mut bytes = Vec::new();
    Line::Footer(footer).write(&mut bytes);
    absurd[2].push(bytes.strip_suffix(b"\n").unwrap().to_vec());
    assert_eq!(flaw(&absurd).2, FlawKind::Removed);
}

#[test]
fn what_was_written_is_intact_and_every_record_is_vouched_for() {
    let (report, records) = check(&segments());
    assert_eq!(report.flaw, None);
    assert_eq!((report.segments, report.records, report.is_open), (3, 15, false));
    assert_eq!(records, (1..=15).collect::<Vec<_>>());
    assert_eq!(report.head.unwrap(), LineHash::of(segments()[2].last().unwrap()).to_string());
}

#[test]
fn a_chain_whose_worker_was_killed_is_intact_and_open() {
    let (_, mut open) = segments_of(WORKER, true);
    let (report, records) = check(&open);
    assert_eq!((report.flaw, report.is_open, records.len()), (None, true, 15));
    // As far as the disk has it: any number of whole lines, none included.
    while open[2].pop().is_some() {
        let (report, _) = check(&open);
        assert_eq!((report.flaw, report.is_open), (None, true));
    }
}

#[test]
fn a_torn_line_is_no_flaw_at_the_end_of_the_last_segment_and_one_in_any_other() {
    let run = |torn_in: u64| {
        let (name, mut open) = segments_of(WORKER, true);
        open[0].pop();
        let mut checker = Checker::new(&name);
        for (number, lines) in (1..=torn_in).zip(&open) {
            checker.segment(number);
            for line in lines {
                checker.line(line);
            }
        }
        checker.torn(9);
        checker
    };
    let (report, _) = run(1).finish();
    assert_eq!((report.flaw, report.torn_bytes, report.is_open), (None, 9, true));
    let mut more = run(1);
    more.segment(2);
    let flaw = more.finish().0.flaw.unwrap();
    assert_eq!((flaw.line, flaw.kind), (7, FlawKind::Truncated));
}

#[test]
fn a_changed_line_is_named_wherever_it_stands() {
    for (segment, line, from, to) in [
        (1, 1, "w/1", "w/2"),
        (1, 2, "uid 0", "uid 9"),
        (2, 4, "stored-7", "stored-8"),
        (2, 6, "uid 9", "uid x"),
        (3, 1, "w/1", "w/2"),
        (3, 6, "lake", "leak"),
        (2, 3, "\"number\":7", "\"number\":8"),
        (2, 4, "{", ""),
    ] {
        let mut changed = segments();
        let place = &mut changed[segment - 1][line - 1];
        *place = replaced(place, from, to);
        assert_eq!(flaw(&changed), at(segment as u64, line as u64, FlawKind::Changed), "{from}");
        let intact = (segment as u64 - 1) * RECORDS + (line as u64).saturating_sub(2);
        assert_eq!(check(&changed).0.records, intact, "{from}");
    }
}

#[test]
fn a_changed_hash_is_seen_at_the_line_that_it_stands_for() {
    let mut changed = segments();
    let hash = LineHash::of(&changed[1][2]).to_string();
    changed[1][3] = replaced(&changed[1][3], &hash, &LineHash::of(b"").to_string());
    assert_eq!(flaw(&changed), at(2, 3, FlawKind::Changed));
}

#[test]
fn removed_lines_are_named_by_the_line_that_follows() {
    for (lines, line, words) in
        [(1..2, 2, "record 6 was"), (2..4, 3, "records 7 to 8 were"), (5..6, 6, "record 10 was")]
    {
        let mut removed = segments();
        removed[1].drain(lines);
        let found = check(&removed).0.flaw.unwrap();
        assert_eq!(
            (found.segment.as_str(), found.line, found.kind),
            ("00000002.jsonl", line, FlawKind::Removed)
        );
        assert!(found.what.starts_with(words), "{}", found.what);
    }
    let mut headless = segments();
    headless[1].remove(0);
    assert_eq!(flaw(&headless), at(2, 1, FlawKind::Removed));
}

#[test]
fn an_inserted_line_is_named_however_well_it_was_made() {
    for number in [8, 9, 99] {
        let mut inserted = segments();
        let line = forged(number, &inserted[1][2]);
        inserted[1].insert(3, line);
        assert_eq!(flaw(&inserted), at(2, 4, FlawKind::Inserted), "{number}");
    }
    // With a hash of its own making; as a copy of another line; as rubbish; before the footer; after it.
    for (place, line) in [
        (3, forged(8, b"x")),
        (3, segments()[1][1].clone()),
        (3, b"rubbish".to_vec()),
        (6, forged(11, &segments()[1][5])),
        (7, forged(11, &segments()[1][6])),
    ] {
        let mut inserted = segments();
        inserted[1].insert(place, line);
        assert_eq!(flaw(&inserted), at(2, place as u64 + 1, FlawKind::Inserted));
    }
}

#[test]
fn several_inserted_lines_that_follow_each_other_are_named_by_their_first() {
    let mut inserted = segments();
    for place in 3..6 {
        let line = forged(5 + place as u64, &inserted[1][place - 1]);
        inserted[1].insert(place, line);
    }
    assert_eq!(flaw(&inserted), at(2, 4, FlawKind::Inserted));
}

#[test]
fn two_swapped_lines_are_named() {
    for first in 1..5 {
        let mut swapped = segments();
        swapped[1].swap(first, first + 1);
        assert_eq!(flaw(&swapped), at(2, first as u64 + 1, FlawKind::Swapped), "{first}");
    }
}

#[test]
fn a_removed_segment_is_named() {
    let all = segments();
    for (left, missing) in [([1, 3], 2), ([2, 3], 1)] {
        let left: Vec<_> = (1..).zip(&all).filter(|(number, _)| left.contains(number)).collect();
        let flaw = check_numbered(&left).0.flaw.unwrap();
        assert_eq!((flaw.segment, flaw.kind), (file_name(missing), FlawKind::SegmentRemoved));
    }
    // Renamed to close the gap.
    let renamed = check_numbered(&[(1, &all[0]), (2, &all[2])]).0.flaw.unwrap();
    assert_eq!((renamed.segment, renamed.line, renamed.kind), (file_name(2), 1, FlawKind::Foreign));
}

#[test]
fn a_truncated_segment_is_named_by_the_line_that_is_missing() {
    for left in 1..=6 {
        let mut truncated = segments();
        truncated[1].truncate(left);
        assert_eq!(flaw(&truncated), at(2, left as u64 + 1, FlawKind::Truncated), "{left}");
    }
}

#[test]
fn a_segment_of_another_chain_is_named() {
    let mut foreign = segments();
    foreign[1] = segments_of("w/2", false).1.remove(1);
    assert_eq!(flaw(&foreign), at(2, 1, FlawKind::Foreign));
}

#[test]
fn a_rewritten_footer_is_named() {
    for (segment, from, to) in [
        (2, "\"records\":5", "\"records\":4"),
        (3, "\"records\":5", "\"records\":4"),
        (2, "1970-01-01", "1971-01-01"),
    ] {
        let mut rewritten = segments();
        let footer = rewritten[segment - 1].last_mut().unwrap();
        *footer = replaced(footer, from, to);
        assert_eq!(flaw(&rewritten), at(segment as u64, 7, FlawKind::Changed), "{to}");
    }
}

#[test]
fn a_version_that_is_not_known_is_said_to_be_so() {
    let mut newer = segments();
    newer[0][0] = replaced(&newer[0][0], "\"version\":1", "\"version\":2");
    assert_eq!(flaw(&newer), at(1, 1, FlawKind::UnknownVersion));
}

proptest! {
    /// Whatever one byte of whatever line becomes, a flaw is found, at that line or, where its hash was changed, at the
    /// one before it; only the last line has none after it that would know.
    #[test]
    fn no_byte_can_change_unseen(segment in 0..3_usize, line in 0..7_usize, byte: prop::sample::Index, flip in 1..=255_u8) {
        let mut changed = segments();
        let is_last = segment == 2 && line == 6;
        let bytes = &mut changed[segment][line];
        let at = byte.index(bytes.len());
        bytes[at] ^= flip;
        prop_assume!(bytes[at] != b'\n');
        let (report, records) = check(&changed);
        if !is_last {
            let flaw = report.flaw.expect("a flaw is found");
            let name = |at: usize| (file_name(at as u64 / 7 + 1), at as u64 % 7 + 1);
            let at = segment * 7 + line;
            let found = (flaw.segment, flaw.line);
            prop_assert!([name(at), name(at.saturating_sub(1))].contains(&found), "{:?}", found);
            let before = (segment * 5 + line.saturating_sub(1)) as u64;
            prop_assert!(records.iter().all(|number| *number <= before.max(1)), "{:?}", records);
        }
    }
}
