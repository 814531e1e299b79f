//! `backfill` against an S3 and an SQS that we did not write, and with the whole way behind it: nothing is missing
//! wherever it was stopped, and what was sent twice is in the lake once.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::{Client, config::Credentials, primitives::ByteStream};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{process::Child, task::JoinSet, time};

use crate::{
    process::{Endpoints, events},
    support::{
        program::{Ran, command, run},
        queues::{Kind, QueueServer},
    },
};

const LOGS: &str = "AWSLogs/111122223333/CloudTrail/eu-west-1/2026/01";

/// A bucket, a queue, and a folder for the checkpoint, for one test.
struct Place {
    server: QueueServer,
    bucket: String,
    queue: String,
    folder: TempDir,
}

impl Place {
    async fn new(name: &str) -> Self {
        let server = QueueServer::start(Kind::Ministack).await;
        let queue = server.queue(&[]).await;
        let bucket = format!("{name}-{}", std::process::id());
        let place = Self { server, bucket, queue, folder: tempfile::tempdir().expect("a folder") };
        place.s3().create_bucket().bucket(&place.bucket).send().await.expect("a new bucket");
        place
    }

    fn s3(&self) -> Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
            .endpoint_url(self.server.url())
            .build();
        Client::from_conf(config)
    }

    /// Each object with one byte, unless its key says "empty".
    async fn put(&self, keys: impl IntoIterator<Item = String>) {
        let mut puts = JoinSet::new();
        for key in keys {
            let body = if key.contains("empty") { Vec::new() } else { vec![b'x'] };
            let call = self.s3().put_object().bucket(&self.bucket).key(key).body(ByteStream::from(body));
            puts.spawn(call.send());
            if puts.len() == 20 {
                puts.join_next().await.expect("one").expect("joined").expect("put");
            }
        }
        while let Some(put) = puts.join_next().await {
            put.expect("joined").expect("put");
        }
    }

    fn checkpoint(&self) -> PathBuf {
        self.folder.path().join("checkpoint.json")
    }

    fn arguments<'a>(&'a self, more: &[&'a str], checkpoint: &'a str) -> Vec<&'a str> {
        [&["backfill", "--queue-url", &self.queue, "--checkpoint", checkpoint, "--json"], more].concat()
    }

    fn environment(&self) -> Vec<(String, String)> {
        let ours = [
            ("AWS_ENDPOINT_URL", self.server.url()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ];
        ours.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    async fn run(&self, more: &[&str]) -> Ran {
        let checkpoint = self.checkpoint();
        let environment = self.environment();
        let environment: Vec<_> = pairs(&environment);
        run(&self.arguments(more, checkpoint.to_str().expect("UTF-8")), &environment).await
    }

    fn start(&self, more: &[&str]) -> Child {
        let checkpoint = self.checkpoint();
        let environment = self.environment();
        let arguments = self.arguments(more, checkpoint.to_str().expect("UTF-8"));
        let mut command = command(&arguments, &pairs(&environment));
        command.stdout(Stdio::null()).spawn().expect("the binary can be started")
    }

    /// Waits until the checkpoint says that more objects than these were sent, and how many that were.
    async fn until_beyond(&self, known: u64) -> u64 {
        for _ in 0..30_000 {
            let text = fs::read_to_string(self.checkpoint()).unwrap_or_default();
            let saved: Value = serde_json::from_str(&text).unwrap_or_default();
            if let Some(objects) = saved["objects"].as_u64().filter(|objects| *objects > known) {
                return objects;
            }
            time::sleep(Duration::from_millis(2)).await;
        }
        panic!("nothing was sent in a minute")
    }

    /// How often each key was announced; empties the queue.
    async fn announced(&self) -> BTreeMap<String, u32> {
        let mut keys = BTreeMap::new();
        loop {
            let messages = self.server.receive(&self.queue, 0, 600).await;
            if messages.is_empty() {
                return keys;
            }
            for message in messages {
                let body: Value = serde_json::from_str(&message.body.unwrap_or_default()).expect("JSON");
                assert_eq!(body["s3Bucket"], self.bucket.as_str());
                let [key] = body["s3ObjectKey"].as_array().expect("keys").as_slice() else {
                    panic!("{body}")
                };
                *keys.entry(key.as_str().expect("a key").to_owned()).or_default() += 1;
            }
        }
    }

    fn url(&self, prefix: &str) -> String {
        format!("s3://{}/{prefix}", self.bucket)
    }
}

fn pairs(environment: &[(String, String)]) -> Vec<(&str, &str)> {
    environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn logs(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{LOGS}/{:02}/{n:05}.json.gz", n % 28 + 1)).collect()
}

#[tokio::test]
async fn every_log_file_is_announced_once_and_a_second_run_finds_nothing_left() {
    let place = Place::new("whole").await;
    let mut expected = logs(23);
    expected.push(format!("{LOGS}/09/a b+c%2B\"ü\".json.gz"));
    let others = [
        "AWSLogs/111122223333/CloudTrail-Digest/eu-west-1/2026/01/05/d.json.gz",
        "AWSLogs/111122223333/CloudTrail-Insight/eu-west-1/2026/01/05/i.json.gz",
        "AWSLogs/111122223333/CloudTrail/empty.json.gz",
        "AWSLogs-of-others/x.json.gz",
    ];
    place.put(expected.iter().cloned().chain(others.map(str::to_owned))).await;
    expected.sort();

    let ran = place.run(&[&place.url("AWSLogs/")]).await;
    let summary = ran.json();
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!((&summary["objects"], &summary["messages"]), (&24.into(), &24.into()), "{summary}");
    assert_eq!(
        summary["skipped"],
        serde_json::json!({"digests": 1, "insights": 1, "empty": 1, "other_days": 0})
    );
    assert_eq!(place.announced().await, expected.into_iter().map(|key| (key, 1)).collect());

    let again = place.run(&[&place.url("AWSLogs/")]).await;
    assert_eq!((again.code, &again.json()["messages"]), (0, &0.into()));
    assert!(again.err.contains("there is nothing left: all 24 objects"), "{}", again.err);
    assert!(place.announced().await.is_empty());
}

#[tokio::test]
async fn more_objects_than_a_page_holds_are_all_announced_and_days_choose_among_them() {
    let place = Place::new("pages").await;
    let keys = logs(1_150);
    place.put(keys.iter().cloned()).await;
    let dry = place.run(&[&place.url(""), "--dry-run"]).await;
    assert_eq!((dry.code, &dry.json()["objects"], &dry.json()["bytes"]), (0, &1_150.into(), &1_150.into()));
    assert!(!place.checkpoint().exists(), "a dry run leaves nothing behind");
    assert!(place.announced().await.is_empty());

    let ran = place.run(&[&place.url(""), "--since", "2026-01-05", "--until", "2026-01-06"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    let is_wanted = |key: &&String| key.contains("/2026/01/05/") || key.contains("/2026/01/06/");
    let wanted: BTreeMap<_, _> = keys.iter().filter(is_wanted).map(|key| (key.clone(), 1)).collect();
    assert_eq!(wanted.len(), 82);
    assert_eq!(place.announced().await, wanted);

    let other = place.run(&[&place.url(""), "--since", "2026-01-05"]).await;
    assert_eq!(other.code, 2);
    assert!(other.err.contains("its --until is 2026-01-06, yours is none"), "{}", other.err);
    assert!(place.announced().await.is_empty());
}

#[tokio::test]
async fn killed_and_run_again_nothing_is_missing_and_only_what_was_under_way_comes_twice() {
    let place = Place::new("killed").await;
    let keys = logs(600);
    place.put(keys.iter().cloned()).await;
    let url = place.url("AWSLogs/");
    let (kills, mut sent) = (3, 0);
    for _ in 0..kills {
        let mut child = place.start(&[&url]);
        sent = place.until_beyond(sent).await;
        child.kill().await.expect("killed");
        let saved: Value =
            serde_json::from_slice(&fs::read(place.checkpoint()).expect("a checkpoint")).expect("whole");
        assert_eq!(saved["is_finished"], false, "killed too late to prove anything, after {sent}");
    }
    let last = place.run(&[&url]).await;
    assert_eq!(last.code, 0, "{}", last.err);
    assert!(last.err.contains("going on after AWSLogs/"), "{}", last.err);
    let announced = place.announced().await;
    assert!(keys.iter().all(|key| announced.contains_key(key)) && announced.len() == keys.len());
    let twice: u32 = announced.values().map(|times| times - 1).sum();
    // Four calls of ten may be under way at each kill, and as many be confirmed and not yet on disk.
    assert!(twice <= kills * 2 * 4 * 10, "{twice} came twice");
}

#[tokio::test]
async fn told_to_stop_it_ends_after_what_is_under_way_and_goes_on_without_a_repetition() {
    let place = Place::new("stopped").await;
    place.put(logs(400)).await;
    let url = place.url("AWSLogs/");
    let child = place.start(&[&url]);
    place.until_beyond(0).await;
    let id = child.id().expect("it runs").to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
    let output = child.wait_with_output().await.expect("it ends");
    let said = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("run the same command again: it goes on after AWSLogs/"), "{said}");
    assert_eq!(place.run(&[&url]).await.code, 0);
    let announced = place.announced().await;
    assert_eq!((announced.len(), announced.values().sum::<u32>()), (400, 400));
}

#[tokio::test]
async fn a_checkpoint_of_another_backfill_and_missing_places_are_told_with_the_cure() {
    let place = Place::new("wrong").await;
    place.put(logs(3)).await;
    let missing = place.run(&["s3://there-is-no-such-bucket/AWSLogs/"]).await;
    assert_eq!(missing.code, 1, "{}", missing.err);
    assert!(missing.err.contains("there is no bucket there-is-no-such-bucket"), "{}", missing.err);
    let nothing = place.run(&[&place.url("AWSLogz/")]).await;
    assert_eq!(nothing.code, 3, "{}", nothing.err);
    assert!(nothing.err.contains("there is nothing at s3://"), "{}", nothing.err);

    // Neither of them keeps the right one from its work.
    assert_eq!(place.run(&[&place.url("AWSLogs/")]).await.code, 0);
    let other = place.run(&[&place.url("")]).await;
    assert_eq!(other.code, 2);
    assert!(
        other.err.contains("is of another backfill") && other.err.contains("--checkpoint"),
        "{}",
        other.err
    );
    let folder = place.run(&["/does/not/exist"]).await;
    assert_eq!(folder.code, 1);
    assert!(folder.err.contains("/does/not/exist"), "{}", folder.err);
    let backwards = place.run(&[&place.url(""), "--since", "2026-01-02", "--until", "2026-01-01"]).await;
    assert_eq!(backwards.code, 2, "{}", backwards.err);
    assert_eq!(place.announced().await.len(), 3);
}

fn gzip(path: &Path, text: &str) {
    let mut encoder = GzEncoder::new(fs::File::create(path).expect("a file"), Compression::fast());
    encoder.write_all(text.as_bytes()).expect("written");
    encoder.finish().expect("finished");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_sent_twice_is_in_the_lake_once() {
    let endpoints = Endpoints::start().await;
    let all = events(31, 300);
    let folder = tempfile::tempdir().expect("a folder");
    for (number, events) in all.chunks(75).enumerate() {
        let day = folder.path().join(format!("2026/01/{:02}", number + 1));
        fs::create_dir_all(&day).expect("a folder");
        let records: Vec<_> = events.iter().map(|event| event.value.to_string()).collect();
        gzip(&day.join("log.json.gz"), &format!("{{\"Records\":[{}]}}", records.join(",")));
    }
    let environment = endpoints.environment(&[]);
    let checkpoint = folder.path().join("checkpoint.json");
    let (from, checkpoint) = (folder.path().to_str().expect("UTF-8"), checkpoint.to_str().expect("UTF-8"));
    let arguments = ["backfill", from, "--checkpoint", checkpoint, "--events-per-message", "20", "--json"];
    let worker = endpoints.worker(&[]).await;
    for _ in 0..2 {
        let ran = run(&arguments, &pairs(&environment)).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert_eq!((&ran.json()["objects"], &ran.json()["messages"]), (&4.into(), &16.into()));
        endpoints.until_drained(&worker).await;
        fs::remove_file(checkpoint).expect("removed, to begin anew");
    }
    assert_eq!(endpoints.assert_all_stored(&all).await, 0, "rows beyond the first of each");
    endpoints.assert_no_dead_letters().await;
    assert_eq!(worker.stop().await.code, Some(0));
}
