use time::macros::datetime;

use super::*;
use crate::publish_log::LineHash;

fn record(uid: &str, minute: i64) -> Record {
    let time = datetime!(2026-01-05 12:00:00.500 UTC) + Duration::minutes(minute);
    Record {
        number: 1,
        time: time.format(&Rfc3339).unwrap(),
        destination: "lake".to_owned(),
        id: uid.to_owned(),
        uid: uid.to_owned(),
        stored_as: String::new(),
        event_time: "2026-01-04T08:00:00Z".to_owned(),
        content_sha256: None,
        sent_sha256: String::new(),
        previous: LineHash::of(b""),
    }
}

fn row(uid: &str, copies: u64, minute: i64) -> Row {
    let ingested = datetime!(2026-01-05 12:00:00 UTC) + Duration::minutes(minute);
    Row { uid: uid.to_owned(), copies, ingested: Some(ingested) }
}

/// The hour from 12:00.
fn compare(limit: usize, records: &[Record], rows: &[Row]) -> Outcome {
    let window = Window {
        from: datetime!(2026-01-05 12:00:00 UTC),
        to: datetime!(2026-01-05 13:00:00 UTC),
        destination: Some("lake".to_owned()),
    };
    let mut comparison = Comparison::new(window, limit);
    for record in records {
        comparison.record(record).unwrap();
    }
    for row in rows {
        comparison.row(row).unwrap();
    }
    for record in records {
        comparison.look_for(record);
    }
    comparison.finish()
}

fn names(listed: &Listed) -> Vec<&str> {
    assert_eq!(listed.count, listed.uids.len() as u64);
    listed.uids.iter().map(String::as_str).collect()
}

#[test]
fn missing_doubled_and_unlogged_are_told_apart() {
    let records = [record("there", 1), record("missing", 2), record("twice", 3), record("thrice", 4)];
    let rows = [
        row("there", 1, 1),
        row("twice", 1, 3),
        row("unlogged", 1, 5),
        row("twice", 1, 6),
        row("twice", 1, 7),
        row("thrice", 3, 4),
        row("unlogged twice", 2, 9),
    ];
    let outcome = compare(10, &records, &rows);
    assert_eq!((outcome.records, outcome.uids, outcome.rows), (4, 4, 10));
    assert_eq!(names(&outcome.missing), ["missing"]);
    assert_eq!(names(&outcome.doubled), ["twice", "thrice", "unlogged twice"]);
    assert_eq!(names(&outcome.unlogged), ["unlogged", "unlogged twice"]);
}

#[test]
fn only_the_window_counts_and_what_lies_near_its_edge_is_known() {
    let records = [record("before", -1), record("after", 60), record("long before", -61), record("in", 0)];
    // The lake took each in on the other side of the edge.
    let rows = [row("before", 2, 1), row("after", 1, 59), row("in", 1, 70), row("stranger", 1, 60)];
    let outcome = compare(10, &records, &rows);
    assert_eq!((outcome.records, outcome.uids), (1, 1));
    assert_eq!((outcome.missing.count, outcome.doubled.count, outcome.unlogged.count), (0, 0, 0));
    let outcome = compare(10, &records, &[row("long before", 1, 1)]);
    assert_eq!((outcome.missing.count, outcome.unlogged.count), (1, 1));
}

#[test]
fn an_event_that_was_logged_twice_is_one_event() {
    let outcome =
        compare(10, &[record("a", 1), record("a", 2), record("b", 3), record("b", 3)], &[row("a", 2, 2)]);
    assert_eq!((outcome.records, outcome.uids), (4, 2));
    assert_eq!((names(&outcome.missing), names(&outcome.doubled)), (vec!["b"], vec!["a"]));
}

#[test]
fn other_destinations_and_times_that_are_none_are_left_out() {
    let mut other = record("other", 1);
    other.destination = "archive".to_owned();
    let mut broken = record("broken", 1);
    broken.time = "noon".to_owned();
    assert_eq!(compare(10, &[other, broken], &[]), Outcome::default());
}

#[test]
fn everything_is_counted_and_only_the_first_are_named() {
    let records: Vec<_> = (0..50).map(|number| record(&format!("u{number}"), 1)).collect();
    let outcome = compare(3, &records, &[]);
    assert_eq!((outcome.missing.count, outcome.missing.uids.len()), (50, 3));
}

#[test]
fn the_search_is_bounded_by_the_event_times_of_the_window() {
    let window = Window {
        from: datetime!(2026-01-05 12:00:00 UTC),
        to: datetime!(2026-01-05 13:00:00 UTC),
        destination: None,
    };
    let mut comparison = Comparison::new(window, 1);
    let times =
        ["2026-01-04T08:00:00Z", "2026-01-04T07:00:00Z", "2024-02-29T00:00:00Z", "2026-01-04T07:30:00Z"];
    for time in times {
        comparison.record(&Record { event_time: time.to_owned(), ..record(time, 1) }).unwrap();
    }
    comparison.record(&Record { event_time: "1999-01-01T00:00:00Z".to_owned(), ..record("x", 70) }).unwrap();
    let found: Vec<_> = comparison.event_times().values().copied().collect();
    assert_eq!(
        found,
        [
            (datetime!(2024-02-29 00:00:00 UTC), datetime!(2024-02-29 00:00:00 UTC)),
            (datetime!(2026-01-04 07:00:00 UTC), datetime!(2026-01-04 08:00:00 UTC)),
        ]
    );
}
