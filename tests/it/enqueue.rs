//! `tributary enqueue --stream`: the real binary, and streams of servers that are not ours, read back without it.

use std::collections::BTreeMap;

use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    kinesis::{Kind, Options, Stream, StreamServer, on_streams},
    program::{Ran, run},
};

/// What the environment of a task would say.
async fn enqueue(server: &StreamServer, arguments: &[&str], more: &[(&str, &str)]) -> Ran {
    let url = server.url();
    let environment = [
        ("AWS_ENDPOINT_URL_KINESIS", url.as_str()),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ];
    let environment: Vec<_> = environment.into_iter().chain(more.iter().copied()).collect();
    run(&[&["enqueue"], arguments].concat(), &environment).await
}

/// Files of these contents, and their paths.
fn files<const N: usize>(texts: [(&str, Vec<u8>); N]) -> (TempDir, [String; N]) {
    let folder = tempfile::tempdir().expect("a folder");
    let paths = texts.map(|(name, text)| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    });
    (folder, paths)
}

/// All records of a stream in the order of their bytes, and how many each shard has.
async fn records(stream: &Stream) -> (Vec<Vec<u8>>, Vec<usize>) {
    let (mut all, mut counts) = (Vec::new(), Vec::new());
    for shard in stream.open_shards().await {
        let held = stream.read(&shard).await.records;
        counts.push(held.len());
        all.extend(held.into_iter().map(|record| record.data.into_inner()));
    }
    all.sort();
    (all, counts)
}

fn numbered(count: usize) -> Vec<u8> {
    (0..count).flat_map(|n| format!("{{\"n\":{n}}}\n").into_bytes()).collect()
}

async fn files_of_every_shape_arrive_one_event_to_a_record(server: &StreamServer) {
    let stream = server.stream(2).await;
    let (_folder, [lines, array, trail]) = files([
        ("lines.ndjson", b"{\"n\":1}\n\xff is no UTF-8\n{\n\"n\": 2}".to_vec()),
        ("array.json", b"[{\"n\":3},\n {\"n\":4}]".to_vec()),
        ("trail.json", b"{\"Records\":[{\"n\":5},{\"n\":6}]}".to_vec()),
    ]);
    let ran = enqueue(server, &[&lines, &array, &trail, "--stream", &stream.name, "--json"], &[]).await;
    assert_eq!(ran.code, 0, "{server}: {}", ran.err);
    assert_eq!(ran.json(), json!({"events": 7, "messages": 7, "failed_messages": 0, "unsendable": 0}));
    let mut expected: Vec<_> =
        [1, 3, 4, 5, 6].iter().map(|n| format!("{{\"n\":{n}}}").into_bytes()).collect();
    expected.extend([b"\xff is no UTF-8".to_vec(), b"{\n\"n\": 2}".to_vec()]);
    expected.sort();
    assert_eq!(records(&stream).await.0, expected, "{server}");
}

async fn more_than_a_call_takes_is_spread_over_the_shards_or_led_to_one(server: &StreamServer) {
    let stream = server.stream(2).await;
    let (_folder, [file]) = files([("many.ndjson", numbered(1_300))]);
    let ran = enqueue(server, &[&file, "--stream", &stream.arn], &[]).await;
    assert_eq!((ran.code, ran.out.trim()), (0, "sent 1300 events in 1300 records"), "{server}: {}", ran.err);
    let (all, counts) = records(&stream).await;
    let copies = all.iter().fold(BTreeMap::new(), |mut copies, record| {
        *copies.entry(record).or_insert(0) += 1;
        copies
    });
    assert!(copies.len() == 1_300 && copies.values().all(|count| *count == 1), "{server}");
    assert!(counts.iter().all(|count| *count > 400), "{server}: {counts:?}");

    let one = server.stream(2).await;
    let ran = enqueue(server, &[&file, "--stream", &one.name, "--partition-key", "tenant"], &[]).await;
    assert_eq!(ran.code, 0, "{server}: {}", ran.err);
    let mut counts = records(&one).await.1;
    counts.sort_unstable();
    assert_eq!(counts, [0, 1_300], "{server}");
}

async fn the_stream_of_the_configuration_is_the_one_without_a_word(server: &StreamServer) {
    let stream = server.stream(1).await;
    let (_folder, [file]) = files([("one.json", b"{\"n\":1}".to_vec())]);
    let ran = enqueue(server, &[&file], &[("TRIBUTARY_STREAM_ARN", &stream.arn)]).await;
    assert_eq!(ran.code, 0, "{server}: {}", ran.err);
    assert_eq!(records(&stream).await.0, [b"{\"n\":1}"], "{server}");
}

async fn a_record_that_the_stream_is_too_small_for_is_named_and_spares_its_neighbours(server: &StreamServer) {
    let stream = server.stream(1).await;
    let mut lines = numbered(20);
    lines.extend(format!("{{\"large\":\"{}\"}}\n", "x".repeat(1 << 20)).into_bytes());
    lines.extend(numbered(20));
    let (_folder, [file]) = files([("large.ndjson", lines)]);
    let ran = enqueue(server, &[&file, "--stream", &stream.name], &[]).await;
    assert_eq!(ran.code, 3, "{server}: {}", ran.err);
    assert!(ran.err.contains("large.ndjson:21: "), "{server}: {}", ran.err);
    assert!(
        ran.out.starts_with("sent 40 events in 40 records\nnot sent: 1 records"),
        "{server}: {}",
        ran.out
    );
    assert_eq!(records(&stream).await.0.len(), 40, "{server}");
}

async fn a_stream_that_is_not_there_ends_it_with_its_cure(server: &StreamServer) {
    let (_folder, [file]) = files([("one.json", b"{\"n\":1}".to_vec())]);
    let ran = enqueue(server, &[&file, "--stream", "nowhere"], &[]).await;
    assert_eq!(ran.code, 1, "{server}: {}", ran.err);
    for part in [
        "the stream nowhere takes nothing: ResourceNotFoundException",
        "check that the stream nowhere exists",
    ] {
        assert!(ran.err.contains(part), "{server}: {part}: {}", ran.err);
    }
}

on_streams! {
    ferrokinesis = Ferrokinesis:
        files_of_every_shape_arrive_one_event_to_a_record,
        more_than_a_call_takes_is_spread_over_the_shards_or_led_to_one,
        the_stream_of_the_configuration_is_the_one_without_a_word,
        a_record_that_the_stream_is_too_small_for_is_named_and_spares_its_neighbours,
        a_stream_that_is_not_there_ends_it_with_its_cure;
    kinesis_local = KinesisLocal:
        files_of_every_shape_arrive_one_event_to_a_record,
        more_than_a_call_takes_is_spread_over_the_shards_or_led_to_one,
        the_stream_of_the_configuration_is_the_one_without_a_word,
        a_record_that_the_stream_is_too_small_for_is_named_and_spares_its_neighbours,
        a_stream_that_is_not_there_ends_it_with_its_cure;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_takes_large_records_gets_them() {
    let server = StreamServer::start(Kind::KinesisLocal).await;
    let stream = server.stream(1).await;
    stream.allow_large_records().await;
    let large = format!("{{\"large\":\"{}\"}}", "x".repeat(6 << 20)).into_bytes();
    let lines = [large.clone(), b"\n{\"n\":1}\n".to_vec()].concat();
    let (_folder, [file]) = files([("large.ndjson", lines)]);
    let ran = enqueue(&server, &[&file, "--stream", &stream.name], &[]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(records(&stream).await.0 == [large, b"{\"n\":1}".to_vec()]);
}

/// A shard takes a thousand records in a second: the rest of a call fails record by record, and is sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_too_slow_slows_it_down_and_gets_every_record_once() {
    let server = StreamServer::start_with(Options { throttles_writes: true, ..Options::default() }).await;
    let stream = server.stream(1).await;
    let (_folder, [file]) = files([("many.ndjson", numbered(3_500))]);
    let ran = enqueue(&server, &[&file, "--stream", &stream.name], &[]).await;
    assert_eq!((ran.code, ran.out.trim()), (0, "sent 3500 events in 3500 records"), "{}", ran.err);
    let mut all = records(&stream).await.0;
    all.dedup();
    assert_eq!(all.len(), 3_500);
}

/// Arguments, variables, and a part of what must be said.
type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

#[tokio::test]
async fn what_does_not_go_together_is_said_before_anything_is_read() {
    let (queue, arn) =
        ("http://127.0.0.1:9/000000000000/q", "arn:aws:kinesis:us-east-1:111122223333:stream/audit");
    let rows: [Row<'_>; 7] = [
        (&["--stream", "audit", "--queue-url", queue], &[], "cannot be used with"),
        (&["--stream", "audit", "--events-per-message", "5"], &[], "--events-per-message is for a queue"),
        (&["--queue-url", queue, "--partition-key", "k"], &[], "--partition-key is for a stream"),
        (&["--stream", "audit", "--partition-key", ""], &[], "1 to 256 characters"),
        (&["--stream", "a b"], &[], "--stream \"a b\" is no ARN"),
        (&[], &[], "no valid queue or stream is named"),
        (
            &[],
            &[("TRIBUTARY_STREAM_ARN", arn), ("TRIBUTARY_SOURCE_QUEUE_URL", queue)],
            "names a queue and a stream",
        ),
    ];
    for (arguments, environment, said) in rows {
        let ran = run(&[&["enqueue", "/does/not/exist"], arguments].concat(), environment).await;
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.err);
        assert!(ran.err.contains(said), "{arguments:?}: {}", ran.err);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().to_str().expect("text");
    let ran = run(&["backfill", place], &[("TRIBUTARY_STREAM_ARN", arn)]).await;
    assert!(ran.code == 2 && ran.err.contains("a backfill goes to a queue"), "{}", ran.err);
}
