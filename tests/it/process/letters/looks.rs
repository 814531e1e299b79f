//! Looks at the dead-letter queue, which must leave it as it was.

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;
use std::io::Write as _;
use tributary::{
    decode::Sum,
    local::{LocalOptions, QueueSpec},
};

use super::{dlq, ls, put};
use crate::{
    process::endpoints::{DEAD_LETTERS, Depth, Endpoints, QUEUE},
    support::local::options,
};

fn letter(at: usize, reason: &str) -> (String, Vec<(&'static str, String)>) {
    let words = json!({
        "reason": reason, "detail": "a sentence", "event_id": format!("e-{at}"), "destination": "lake",
        "dead_lettered_at": format!("2026-01-02T03:04:{at:02}Z"), "about": { "source": "events" },
    });
    (format!("{{\"at\":{at}}}"), vec![("tributary.letter", words.to_string())])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_letter_is_seen_once_and_is_there_at_once_for_the_next() {
    let endpoints = Endpoints::start().await;
    let reasons = ["no_route", "not_json", "bad_time"];
    let letters: Vec<_> = (0..45).map(|at| letter(at, reasons[at % 3])).collect();
    put(&endpoints, &letters).await;
    let environment = endpoints.environment(&[]);
    let all = Depth { visible: 45, hidden: 0 };
    for _ in 0..2 {
        let found = ls(&environment, &[]).await;
        let ids: Vec<_> =
            found.iter().map(|letter| letter["event_id"].as_str().unwrap_or_default()).collect();
        let expected: Vec<_> = (0..45).map(|at| format!("e-{at}")).collect();
        assert_eq!(ids, expected, "in the order of their times, each once");
        assert_eq!(endpoints.depth(DEAD_LETTERS).await, all);
    }
    assert_eq!(ls(&environment, &["--reason", "no_route"]).await.len(), 15);
    assert_eq!(ls(&environment, &["--since", "2026-01-02T03:04:40Z"]).await.len(), 5);
    let cut = dlq(&environment, &["ls", "--limit", "5"]).await;
    assert_eq!((cut.code, cut.out.lines().count()), (0, 5), "{}", cut.out);
    assert!(cut.err.contains("--limit"), "{}", cut.err);

    let part = dlq(&environment, &["stats", "--look-at", "20"]).await;
    assert!(
        part.out.contains("20 letters") && part.err.contains("about 25 letters"),
        "{}{}",
        part.out,
        part.err
    );
    let stats = dlq(&environment, &["stats", "--json"]).await.json();
    assert_eq!(stats["reason"], json!({ "bad_time": 15, "no_route": 15, "not_json": 15 }));
    assert_eq!((&stats["source"], &stats["destination"]), (&json!({ "events": 45 }), &json!({ "lake": 45 })));
    assert_eq!(endpoints.depth(DEAD_LETTERS).await, all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_opened_wherever_its_letter_keeps_it() {
    let endpoints = Endpoints::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (kept, text) = (folder.path().join("kept"), "{\"kept\":\"apart\"}");
    std::fs::write(&kept, text).expect("a file");
    let pointer = |sum: Sum| {
        json!({ "tributary.stored": { "at": kept, "sha256": sum.to_string(), "bytes": text.len() } })
            .to_string()
    };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(b"packed").expect("memory");
    let packed = STANDARD.encode(gzip.finish().expect("memory"));
    let rows: [(&str, String, &[u8]); 5] = [
        ("stored", pointer(Sum::of(text.as_bytes())), text.as_bytes()),
        ("base64", packed, b"packed"),
        ("base64", STANDARD.encode(b"\xff\0"), b"\xff\0"),
        ("empty", "(empty)".to_owned(), b""),
        ("stored", pointer(Sum::of(b"other")), b"never"),
    ];
    let letters = rows.iter().enumerate().map(|(at, (encoding, body, _))| {
        let (_, mut attributes) = letter(at, "not_json");
        attributes.push(("tributary.encoding", (*encoding).to_owned()));
        (body.clone(), attributes)
    });
    put(&endpoints, &letters.collect::<Vec<_>>()).await;
    let environment = endpoints.environment(&[]);
    for (at, (_, _, original)) in rows.iter().enumerate().take(4) {
        let id = format!("e-{at}");
        let shown = crate::support::program::command(
            &["dlq", "show", &id, "--original"],
            &super::borrowed(&environment),
        );
        let shown = { shown }.output().await.expect("it runs");
        assert_eq!((shown.status.code(), &*shown.stdout), (Some(0), *original), "{id}");
    }
    let other = dlq(&environment, &["show", "e-4"]).await;
    assert!(other.code == 3 && other.out.contains("has not the SHA-256"), "{}", other.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_queue_itself_moved_says_where_it_was() {
    let spec = |name: &str, dead_letter| QueueSpec { name: name.to_owned(), dead_letter };
    let queues = vec![spec(DEAD_LETTERS, None), spec(QUEUE, Some((DEAD_LETTERS.to_owned(), 1)))];
    let endpoints = Endpoints::with(LocalOptions { queues, ..options() }).await;
    endpoints.send(&["hello".to_owned()]).await;
    while endpoints.depth(DEAD_LETTERS).await == Depth::EMPTY {
        let call = endpoints.sqs.receive_message().queue_url(endpoints.local.queue_url(QUEUE));
        call.visibility_timeout(0).send().await.expect("the queue answers");
    }
    let environment = endpoints.environment(&[]);
    let found = ls(&environment, &["--source", QUEUE, "--reason", "moved_by_queue"]).await;
    let [moved] = &*found else { panic!("{found:?}") };
    let shown = dlq(&environment, &["show", moved["letter"].as_str().expect("an id")]).await;
    for part in ["moved by the queue's redrive policy", "moved from", ":events", "cure", "hello"] {
        assert!(shown.out.contains(part), "{part}: {}", shown.out);
    }
}
