//! Log files in S3, from the notification to the lake: a real bucket that announces its objects on a real queue, both
//! ministack's, and the service between that queue and our lake.

use std::{fmt::Write as _, io::Write as _, path::Path};

use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use tributary::local::LocalOptions;

use super::{
    endpoints::Endpoints,
    memory::rss_kib,
    records::{Event, events},
    worker::Worker,
};
use crate::support::{
    local::options,
    program::run,
    s3::S3,
    s3_proxy::{Asked, Fate, Proxy},
    valkey::Valkey,
};

/// A folder of a trail's bucket.
const FOLDER: &str = "AWSLogs/111122223333/CloudTrail/eu-central-1/2026/01/02";

/// A bucket whose objects are announced on a queue, and what stands behind that queue.
struct Trail {
    s3: S3,
    endpoints: Endpoints,
    queue: String,
    letters: String,
}

impl Trail {
    async fn start(name: &str) -> Self {
        Self::with(name, options()).await
    }

    async fn with(name: &str, options: LocalOptions) -> Self {
        let trail = Self::silent(name, options).await;
        trail.s3.notify(&trail.queue).await;
        trail
    }

    /// As if the bucket had been there before the queue.
    async fn silent(name: &str, options: LocalOptions) -> Self {
        let s3 = S3::with_bucket(name).await;
        let (queue, letters) = (s3.server.queue(&[]).await, s3.server.queue(&[]).await);
        Self { s3, endpoints: Endpoints::with(options).await, queue, letters }
    }

    fn environment(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let url = self.s3.server.url();
        let ours = [
            ("AWS_ENDPOINT_URL_SQS", &*url),
            ("AWS_ENDPOINT_URL_S3", &url),
            ("TRIBUTARY_SOURCE_QUEUE_URL", &self.queue),
            ("TRIBUTARY_DEAD_LETTER_QUEUE_URL", &self.letters),
            ("TRIBUTARY_OBJECTS_BUCKETS", &self.s3.name),
        ];
        self.endpoints.environment(&[&ours, more].concat())
    }

    async fn worker(&self, more: &[(&str, &str)]) -> Worker {
        Worker::start(&self.environment(more)).await
    }

    /// Waits until the queue is empty and nothing is under way.
    async fn until_drained(&self, worker: &Worker) {
        worker
            .until("the queue is empty", async |_: &Worker| {
                (self.s3.server.count(&self.queue).await == 0).then_some(())
            })
            .await;
        worker
            .until("nothing is in flight", async |worker: &Worker| {
                (worker.scrape().await.in_flight() == 0).then_some(())
            })
            .await;
    }

    /// The letters' reasons, places and bodies.
    async fn letters(&self) -> Vec<(String, Value, String)> {
        let mut letters = Vec::new();
        for message in self.s3.server.receive(&self.letters, 1, 30).await {
            let attributes = message.message_attributes.unwrap_or_default();
            let words = attributes["tributary.letter"].string_value().expect("text");
            let words: Value = serde_json::from_str(words).expect("JSON");
            let reason = words["reason"].as_str().expect("a reason").to_owned();
            letters.push((reason, words, message.body.unwrap_or_default()));
        }
        letters
    }
}

/// As CloudTrail writes it.
fn log_file(events: &[Event]) -> Vec<u8> {
    let records: Vec<_> = events.iter().map(|event| event.value.to_string()).collect();
    gzip(format!("{{\"Records\":[{}]}}", records.join(",")).as_bytes())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

/// Real log files, where the machine has them.
fn samples() -> Vec<Vec<Event>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples/cloudtrail");
    let Ok(files) = std::fs::read_dir(folder) else { return Vec::new() };
    let text = |file: std::io::Result<std::fs::DirEntry>| {
        let path = file.ok()?.path();
        path.to_string_lossy().contains("_CloudTrail_").then(|| std::fs::read_to_string(path).ok())?
    };
    let events = |text: String| {
        let file: Value = serde_json::from_str(&text).expect("a log file");
        file["Records"].as_array().expect("records").iter().cloned().map(Event::of).collect()
    };
    files.filter_map(text).map(events).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_files_that_s3_announces_are_published_once() {
    let trail = Trail::start("announced").await;
    let mut files: Vec<_> = (0..4).map(|seed| events(seed, 150)).collect();
    files.extend(samples());
    for (at, file) in files.iter().enumerate() {
        trail.s3.write(&format!("{FOLDER}/log file+{at}.json.gz"), log_file(file)).await;
    }
    let lines: Vec<_> = events(77, 50);
    let text: Vec<_> = lines.iter().map(|event| event.value.to_string()).collect();
    trail.s3.write("plain/lines.ndjson", text.join("\n").into_bytes()).await;
    let digest = "AWSLogs/111122223333/CloudTrail-Digest/eu-central-1/2026/01/02/digest.json.gz";
    trail.s3.write(digest, gzip(b"{\"digestStartTime\":\"2026-01-02T00:00:00Z\"}")).await;
    trail.s3.write("AWSLogs/folder/", Vec::new()).await;
    files.push(lines);

    let worker = trail.worker(&[]).await;
    let all = files.concat();
    trail.endpoints.until_stored(&worker, all.len() as u64).await;
    trail.until_drained(&worker).await;
    assert_eq!(trail.endpoints.assert_all_stored(&all).await, 0);

    // Everything is announced once more.
    for (at, file) in files.iter().enumerate().take(3) {
        trail.s3.write(&format!("{FOLDER}/log file+{at}.json.gz"), log_file(file)).await;
    }
    let read = files.len() as u64 + 1;
    worker
        .until("the copies were read", async |worker: &Worker| {
            let scrape = worker.scrape().await;
            (scrape.sum_of("tributary_objects_total", "\"read\"") == read + 3).then_some(())
        })
        .await;
    trail.until_drained(&worker).await;
    assert_eq!(trail.endpoints.assert_all_stored(&all).await, 0, "nothing new");
    let scrape = worker.scrape().await;
    scrape.assert_at_rest();
    assert_eq!(scrape.sum_of("tributary_objects_total", "\"skipped\""), 1);
    assert_eq!(scrape.sum_of("tributary_notices_total", "\"s3_test\""), 1);
    assert_eq!(scrape.sum_of("tributary_notices_total", "\"digest\""), 1);
    assert_eq!(scrape.sum_of("tributary_notices_total", "\"empty_object\""), 1);
    assert_eq!(scrape.sum("tributary_object_records_total"), (all.len() + files[..3].concat().len()) as u64);
    assert_eq!(scrape.term("dead_lettered"), 0);
    assert_eq!(worker.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_that_is_sent_twice_is_published_once() {
    let trail = Trail::silent("history", options()).await;
    let files: Vec<_> = (20..24).map(|seed| events(seed, 60)).collect();
    for (at, file) in files.iter().enumerate() {
        trail.s3.write(&format!("{FOLDER}/a file+{at}.json.gz"), log_file(file)).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let place = format!("s3://{}/AWSLogs/", trail.s3.name);
    let backfill = async |checkpoint: &str| {
        let checkpoint = folder.path().join(checkpoint);
        let arguments = ["backfill", &place, "--json", "--checkpoint", checkpoint.to_str().expect("UTF-8")];
        let environment = trail.environment(&[]);
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let ran = run(&arguments, &environment).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        ran.json()["objects"].as_u64().expect("a number")
    };
    assert_eq!(backfill("first").await, files.len() as u64);
    let worker = trail.worker(&[]).await;
    let all = files.concat();
    trail.endpoints.until_stored(&worker, all.len() as u64).await;
    assert_eq!(backfill("second").await, files.len() as u64);
    worker
        .until("the copies were read", async |worker: &Worker| {
            let records = worker.scrape().await.sum("tributary_object_records_total");
            (records == 2 * all.len() as u64).then_some(())
        })
        .await;
    trail.until_drained(&worker).await;
    assert_eq!(trail.endpoints.assert_all_stored(&all).await, 0, "nothing new");
    worker.scrape().await.assert_at_rest();
    assert_eq!(worker.stop().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_damaged_or_not_listed_is_a_letter_that_leads_to_it() {
    let trail = Trail::start("damaged").await;
    let good = events(5, 40);
    trail.s3.write("gone.json.gz", log_file(&events(6, 2))).await;
    trail.s3.delete("gone.json.gz").await;
    // Four deliveries come to nothing before the worker's.
    for _ in 0..4 {
        trail.s3.server.receive(&trail.queue, 1, 0).await;
    }
    let whole = log_file(&good);
    trail.s3.write("cut off.json.gz", whole[..whole.len() - 6].to_vec()).await;
    let other = S3 { server: trail.s3.server.share(), name: format!("not-{}", trail.s3.name) };
    other.make().await;
    other.notify(&trail.queue).await;
    other.write("a.json", b"{}".to_vec()).await;

    let worker = trail.worker(&[("TRIBUTARY_BREAKER_DEAD_LETTER_SHARE", "1")]).await;
    trail.endpoints.until_stored(&worker, good.len() as u64).await;
    trail.until_drained(&worker).await;
    trail.endpoints.assert_all_stored(&good).await;
    let mut letters = trail.letters().await;
    letters.sort_by(|one, other| one.0.cmp(&other.0));
    let reasons: Vec<_> = letters.iter().map(|(reason, ..)| &**reason).collect();
    assert_eq!(reasons, ["broken_object", "bucket_not_listed", "object_missing"]);
    assert!(
        letters[0].1["detail"].as_str().expect("text").contains("from record 40 on"),
        "{:?}",
        letters[0].1
    );
    assert!(letters[0].1["event_id"].as_str().expect("text").ends_with("/cut off.json.gz#40"));

    // Repaired, and sent back as an operator would.
    trail.s3.write("cut off.json.gz", whole).await;
    let more = events(6, 2);
    trail.s3.write("gone.json.gz", log_file(&more)).await;
    for (_, _, body) in &letters {
        let client = trail.s3.server.client();
        client.send_message().queue_url(&trail.queue).message_body(body).send().await.expect("sent");
    }
    let all = [good, more].concat();
    trail.endpoints.until_stored(&worker, all.len() as u64).await;
    trail.until_drained(&worker).await;
    assert_eq!(trail.endpoints.assert_all_stored(&all).await, 0);
    worker.scrape().await.assert_at_rest();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_may_not_read_says_so_and_goes_on_when_it_may() {
    let trail = Trail::start("cured").await;
    let is_cured = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let cure = is_cured.clone();
    let fate = move |asked: &Asked| match asked {
        _ if !is_cured.load(std::sync::atomic::Ordering::Relaxed) => Fate::Refuse(403, "AccessDenied"),
        // Each connection breaks, and later.
        Asked { range: None, .. } => Fate::BreakAfter(1_000),
        Asked { nth, .. } => Fate::BreakAfter(nth * 1_000),
    };
    let proxy = Proxy::start(&trail.s3.server.url(), fate).await;
    let file = events(9, 300);
    trail.s3.write("log.json.gz", log_file(&file)).await;
    let worker = trail.worker(&[("AWS_ENDPOINT_URL_S3", &proxy.url)]).await;
    let said = worker.until_not_ready(&format!("objects of {}", trail.s3.name)).await;
    assert!(said.contains("s3:GetObject") && said.contains("s3:ListBucket"), "{said}");
    assert_eq!(trail.s3.server.count(&trail.queue).await, 1, "the message is held");
    cure.store(true, std::sync::atomic::Ordering::Relaxed);
    trail.endpoints.until_stored(&worker, file.len() as u64).await;
    trail.until_drained(&worker).await;
    worker.until_ready().await;
    assert_eq!(trail.endpoints.assert_all_stored(&file).await, 0);
    let scrape = worker.scrape().await;
    // Beside the records there is S3's own test event.
    assert_eq!(scrape.term("received"), file.len() as u64 + 1, "no record was read twice");
    assert!(proxy.asked().iter().filter(|asked| asked.range.is_some()).count() > 1, "it was opened again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_stopped_within_an_object_loses_nothing_and_doubles_nothing() {
    let (trail, valkey) = (Trail::start("stopped").await, Valkey::start().await);
    let file = events(11, 3_000);
    trail.s3.write("log.json.gz", log_file(&file)).await;
    let url = valkey.url();
    let more = [
        ("TRIBUTARY_LEDGER_KIND", "valkey"),
        ("TRIBUTARY_LEDGER_URL", &*url),
        // So little and so slowly that most of the object is still to be read.
        ("TRIBUTARY_FLOW_MAX_IN_FLIGHT_BYTES", "1MiB"),
        ("TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND", "6"),
    ];
    let mut stored = 0;
    for _ in 0..2 {
        let worker = trail.worker(&more).await;
        trail.endpoints.until_stored(&worker, stored + 200).await;
        let ended = worker.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        stored = trail.endpoints.stored();
        assert!(stored < file.len() as u64, "it was stopped within the object");
        assert_eq!(trail.s3.server.count(&trail.queue).await, 1, "the message is on the queue");
    }
    let worker = trail.worker(&more[..2]).await;
    trail.endpoints.until_stored(&worker, file.len() as u64).await;
    trail.until_drained(&worker).await;
    assert_eq!(trail.endpoints.assert_all_stored(&file).await, 0, "nothing twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_megabytes_of_records_are_read_in_little_memory() {
    const RECORDS: usize = 60_000;
    const RSS_MIB_MAX: u64 = 100;
    const GROWTH_MIB_MAX: u64 = 8;
    let trail = Trail::with("large", LocalOptions { retain_rows: 0, ..options() }).await;
    let mut text = String::from("{\"Records\":[");
    for round in 0..RECORDS / 1_000 {
        for event in events(round as u64, 1_000) {
            write!(text, "{}{}", if text.len() > 12 { "," } else { "" }, event.value).expect("text");
        }
    }
    text.push_str("]}");
    let (bytes, packed) = (text.len(), gzip(text.as_bytes()));
    drop(text);
    let packed_bytes = packed.len();
    trail.s3.write("large.json.gz", packed).await;
    let more = [
        ("TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND", "1000"),
        ("TRIBUTARY_DEDUPE_ENTRIES_MAX", "10000"),
    ];
    let worker = trail.worker(&more).await;
    let (mut most, mut at_half, mut stored) = (0, 0, 0);
    while stored < RECORDS as u64 {
        trail.endpoints.until_stored(&worker, (stored + 500).min(RECORDS as u64)).await;
        stored = trail.endpoints.stored();
        most = most.max(rss_kib(worker.id()) / 1024);
        if stored <= RECORDS as u64 / 2 {
            at_half = most;
        }
    }
    trail.until_drained(&worker).await;
    println!(
        "{} MB of records, {packed_bytes} bytes packed: at most {at_half} MiB in the first half, {most} MiB in all",
        bytes / 1_000_000
    );
    assert!(bytes > 50_000_000 && most < RSS_MIB_MAX, "{bytes} bytes, {most} MiB");
    assert!(most <= at_half + GROWTH_MIB_MAX, "{at_half} MiB in the first half, {most} MiB in all");
    assert_eq!(trail.endpoints.stored(), RECORDS as u64);
}
