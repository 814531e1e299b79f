//! The publish log of real workers: whole after every ending, changed by nobody unseen, and in agreement with the lake
//! but for what is named.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tributary::{local::Faults, publish_log::LineHash};

use super::{
    endpoints::Endpoints,
    records::{Event, events, messages},
    worker::Worker,
};
use crate::support::program::{Ran, run};

/// The smallest segments that the configuration allows.
const SMALL: (&str, &str) = ("TRIBUTARY_PUBLISH_LOG_SEGMENT_BYTES", "64KiB");

struct Log {
    folder: TempDir,
    from: OffsetDateTime,
}

impl Log {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), from: OffsetDateTime::now_utc() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn place(&self) -> &str {
        self.path().to_str().expect("a path that is text")
    }

    async fn worker(&self, endpoints: &Endpoints, more: &[(&str, &str)]) -> Worker {
        endpoints.worker(&[&self.settings(), more].concat()).await
    }

    fn settings(&self) -> [(&str, &str); 2] {
        [("TRIBUTARY_PUBLISH_LOG_TO", self.place()), SMALL]
    }

    /// The files of the only chain.
    fn segments(&self) -> Vec<PathBuf> {
        let chains = files(self.path());
        assert_eq!(chains.len(), 1, "{chains:?}");
        files(&chains[0])
    }

    fn lines(&self, segment: usize) -> Vec<String> {
        let text = fs::read_to_string(&self.segments()[segment - 1]).expect("a segment");
        text.lines().map(str::to_owned).collect()
    }

    fn write(&self, segment: usize, lines: &[String]) {
        let path = &self.segments()[segment - 1];
        // Segments are read-only, which keeps nobody from putting another file in their place.
        let forged = path.with_extension("forged");
        fs::write(&forged, lines.join("\n") + "\n").expect("a new file");
        fs::rename(&forged, path).expect("its owner may rename");
    }

    async fn verify(&self, more: &[&str]) -> Ran {
        run(&[&["verify", self.place(), "--json"], more].concat(), &[]).await
    }

    /// The whole log is intact. Returns the report.
    async fn assert_intact(&self) -> Value {
        let ran = self.verify(&[]).await;
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        ran.json()
    }

    /// Compares with the endpoints' lake from the beginning of the test until now.
    async fn reconcile(&self, endpoints: &Endpoints) -> (i32, Value) {
        let text = |time: OffsetDateTime| time.format(&Rfc3339).expect("a time");
        let (from, to) = (text(self.from), text(OffsetDateTime::now_utc() + Duration::from_secs(1)));
        let (place, lake) = (self.place(), endpoints.local.lake_url());
        let window = ["--from", &from, "--to", &to, "--limit", "100000", "--json"];
        let ran = run(&[&["reconcile", "--log", place, "--lake", &lake], &window[..]].concat(), &[]).await;
        (ran.code, ran.json())
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn uids(listed: &Value) -> BTreeSet<String> {
    let uids = listed["uids"].as_array().expect("a list").iter();
    uids.map(|uid| uid.as_str().expect("text").to_owned()).collect()
}

/// A worker that published so many events and was stopped in order.
async fn published(count: usize) -> (Log, Endpoints, Vec<Event>, String) {
    let (log, endpoints) = (Log::new(), Endpoints::start().await);
    let events = events(11, count);
    endpoints.send(&messages(&events, 1..=6, 11)).await;
    let worker = log.worker(&endpoints, &[]).await;
    endpoints.until_drained(&worker).await;
    let scrape = worker.scrape().await;
    assert_eq!(scrape.sum("tributary_publish_log_lost_total"), 0);
    worker.tell_to_stop();
    let heads = worker
        .until("the last segment is whole", async |worker: &Worker| {
            let whole: Vec<_> = worker.lines().iter().filter_map(whole).collect();
            (whole.iter().map(|(_, records)| records).sum::<u64>() == count as u64).then_some(whole)
        })
        .await;
    let heads: Vec<_> = heads.into_iter().map(|(head, _)| head).collect();
    let ended = worker.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    (log, endpoints, events, heads.concat())
}

/// The hash that a worker logged for a segment, and how many records are in it.
fn whole(line: &Value) -> Option<(String, u64)> {
    let is_whole = line["message"] == "a segment of the publish log is whole";
    is_whole.then(|| {
        let head = line["head"].as_str().expect("a hash").to_owned();
        (head, line["records"].as_u64().expect("a number"))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_holds_what_the_lake_holds_and_two_verifiers_agree() {
    let (log, endpoints, events, heads) = published(600).await;
    let report = log.assert_intact().await;
    assert_eq!((&report["records"], report["chains"].as_array().map(Vec::len)), (&600.into(), Some(1)));
    let segments = log.segments();
    assert!(segments.len() > 2, "{} segments", segments.len());
    assert!(segments.iter().all(|path| fs::metadata(path).expect("a file").permissions().readonly()));

    // Each record is about one event, and says of it what the lake says.
    let rows = endpoints.rows().await;
    let mut logged = BTreeSet::new();
    for segment in 1..=segments.len() {
        for line in log.lines(segment) {
            let record: Value = serde_json::from_str(&line).expect("JSON");
            if record["line"] == "record" {
                let uid = record["uid"].as_str().expect("text");
                assert_eq!(rows[uid][0]["eventTime"], record["event_time"]);
                assert_eq!(record["sent_sha256"].as_str().map(str::len), Some(64));
                assert_eq!(record["content_sha256"].as_str().map(str::len), Some(64));
                logged.insert(uid.to_owned());
            }
        }
    }
    assert_eq!(logged, events.into_iter().map(|event| event.uid).collect());
    let (code, outcome) = log.reconcile(&endpoints).await;
    assert_eq!((code, &outcome["uids"], &outcome["rows"]), (0, &600.into(), &600.into()), "{outcome}");
    assert_eq!(outcome["unlogged"]["count"], 0);

    // The verifier of the documentation, and the heads that the worker logged.
    let (ended_well, said) = documented(log.path()).await;
    assert!(ended_well && said.contains(" 600 "), "{said}");
    assert_eq!(heads.len(), 64 * segments.len());
    for at in 0..segments.len() {
        let ran = log.verify(&["--head", &heads[64 * at..64 * at + 64]]).await;
        assert_eq!(ran.code, 0, "{}", ran.out);
    }
}

/// Runs the Python that stands in the documentation.
async fn documented(folder: &Path) -> (bool, String) {
    let page = include_str!("../../../docs/publish-log.md");
    let program = page.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    let python = crate::support::python::environment().await.join("bin/python");
    let ran =
        tokio::process::Command::new(python).args(["-c", program.expect("a program")]).arg(folder).output();
    let output = ran.await.expect("python runs");
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.success(), said.concat())
}

/// What somebody did to a log, and what must be said of it: segment, line, kind.
type Tampering = (&'static str, fn(&Log), &'static str, u64, &'static str);

const TAMPERINGS: &[Tampering] = &[
    (
        "a line is changed",
        |log| {
            edit(log, 2, |lines| change_destination(&mut lines[3]));
        },
        "00000002.jsonl",
        4,
        "changed",
    ),
    ("a line is removed", |log| edit(log, 2, |lines| drop(lines.remove(3))), "00000002.jsonl", 4, "removed"),
    (
        "a line is inserted",
        |log| edit(log, 2, |lines| lines.insert(4, forged(lines))),
        "00000002.jsonl",
        5,
        "inserted",
    ),
    ("two lines are swapped", |log| edit(log, 2, |lines| lines.swap(3, 4)), "00000002.jsonl", 4, "swapped"),
    (
        "a segment is removed",
        |log| fs::remove_file(&log.segments()[1]).expect("root, or its owner, may remove"),
        "00000002.jsonl",
        1,
        "segment_removed",
    ),
    (
        "a segment is truncated",
        |log| edit(log, 2, |lines| lines.truncate(10)),
        "00000002.jsonl",
        11,
        "truncated",
    ),
    (
        "a segment of another chain is put in place",
        |log| edit(log, 2, |lines| *lines = rehashed(&renamed(lines), None)),
        "00000002.jsonl",
        1,
        "foreign",
    ),
    (
        "a segment is put in place of another",
        |log| edit(log, 2, |lines| *lines = log.lines(1)),
        "00000002.jsonl",
        1,
        "foreign",
    ),
    ("a footer is rewritten", |log| edit(log, 1, rewrite_footer), "00000001.jsonl", 0, "changed"),
    (
        "a line is cut in two",
        |log| edit(log, 2, |lines| lines[3] = lines[3].replacen(',', "\n", 1)),
        "00000002.jsonl",
        4,
        "changed",
    ),
    (
        "a line of 1 MiB is inserted",
        |log| edit(log, 2, |lines| lines.insert(3, "x".repeat(1 << 20))),
        "00000002.jsonl",
        4,
        "changed",
    ),
];

fn edit(log: &Log, segment: usize, change: impl FnOnce(&mut Vec<String>)) {
    let mut lines = log.lines(segment);
    change(&mut lines);
    log.write(segment, &lines);
}

fn change_destination(line: &mut String) {
    *line = line.replace("\"destination\":\"lake\"", "\"destination\":\"leak\"");
}

/// A line that looks right after the fourth: its number is the next, and its hash is that of the line before.
fn forged(lines: &[String]) -> String {
    let number = |line: &str| serde_json::from_str::<Value>(line).expect("JSON")["number"].as_u64();
    let (this, next) = (number(&lines[3]).expect("a record"), number(&lines[4]).expect("a record"));
    assert_eq!(next, this + 1);
    let line = lines[3].replace(&format!("\"number\":{this},"), &format!("\"number\":{next},"));
    relinked(&line, &LineHash::of(lines[3].as_bytes()).to_string())
}

fn relinked(line: &str, previous: &str) -> String {
    let (head, tail) = line.split_once("\"previous\":\"").expect("a link");
    format!("{head}\"previous\":\"{previous}{}", &tail[64..])
}

fn renamed(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| line.replace("\"chain\":\"2", "\"chain\":\"3")).collect()
}

/// As a forger does who has read the documentation: every hash fits again.
fn rehashed(lines: &[String], mut previous: Option<String>) -> Vec<String> {
    let mut forged = Vec::new();
    for line in lines {
        let line = previous.as_ref().map_or_else(|| line.clone(), |previous| relinked(line, previous));
        previous = Some(LineHash::of(line.as_bytes()).to_string());
        forged.push(line);
    }
    forged
}

fn rewrite_footer(lines: &mut Vec<String>) {
    let footer = lines.pop().expect("a footer");
    lines.push(footer.replace("\"ended\":\"2", "\"ended\":\"3"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_done_to_a_log_is_named() {
    let (log, _endpoints, _, _) = published(600).await;
    let chain = files(log.path()).remove(0);
    for (deed, tamper, segment, line, kind) in TAMPERINGS {
        let copy = Log::new();
        let target = copy.path().join(chain.file_name().expect("a name"));
        fs::create_dir(&target).expect("a new folder");
        for file in files(&chain) {
            fs::copy(&file, target.join(file.file_name().expect("a name"))).expect("a copy");
        }
        let lines_before = copy.lines(1).len() as u64;
        assert_eq!(copy.verify(&[]).await.code, 0, "{deed}");
        tamper(&copy);
        let ran = copy.verify(&[]).await;
        assert_eq!(ran.code, 3, "{deed}: {}", ran.out);
        let found = ran.json()["chains"][0]["flaw"].clone();
        // The footer is the last line of its segment.
        let line = if *line == 0 { lines_before } else { *line };
        assert_eq!(
            (&found["segment"], &found["line"], &found["kind"]),
            (&(*segment).into(), &line.into(), &(*kind).into()),
            "{deed}: {found}"
        );
        let (ended_well, said) = documented(copy.path()).await;
        assert!(!ended_well, "{deed}: the documented verifier saw nothing\n{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_that_is_rewritten_with_all_its_hashes_is_seen_by_its_anchor_alone() {
    let (log, _endpoints, _, heads) = published(600).await;
    let last = log.segments().len();
    let anchor = &heads[64 * (last - 1)..];
    assert_eq!(log.verify(&["--head", anchor]).await.code, 0);
    let mut lines = log.lines(last);
    change_destination(&mut lines[1]);
    let forged =
        [&lines[..1], &rehashed(&lines[1..], Some(LineHash::of(lines[0].as_bytes()).to_string()))].concat();
    log.write(last, &forged);
    assert_eq!(log.verify(&[]).await.code, 0, "nothing in the log itself can tell");
    let ran = log.verify(&["--head", anchor]).await;
    assert_eq!((ran.code, &ran.json()["heads_not_found"][0]), (3, &anchor.into()), "{}", ran.out);
    // So is a tail that is cut off, and everything gone.
    fs::remove_file(&log.segments()[last - 1]).expect("root, or its owner, may remove");
    assert_eq!(log.verify(&[]).await.code, 0);
    assert_eq!(log.verify(&["--head", anchor]).await.code, 3);
    fs::remove_dir_all(&files(log.path())[0]).expect("root, or its owner, may remove");
    assert_eq!(log.verify(&[]).await.code, 3, "nothing is not intact");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_killed_under_load_leaves_an_intact_log_and_what_it_could_not_write_is_named() {
    let log = Log::new();
    let slow = Faults { delay_ms: 30, seed: Some(2), ..Faults::default() };
    let endpoints = Endpoints::misbehaving(slow).await;
    let events = events(12, 3_000);
    endpoints.send(&messages(&events, 1..=6, 12)).await;
    let little = [
        // Longer than a life: the segment is open at each kill.
        ("TRIBUTARY_PUBLISH_LOG_SEGMENT_BYTES", "8MiB"),
        ("TRIBUTARY_BATCH_EVENTS_MAX", "25"),
        ("TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND", "40"),
    ];
    for kill in 1..=3 {
        let worker = log.worker(&endpoints, &little).await;
        endpoints.until_stored(&worker, kill * 500).await;
        worker.kill().await;
        let report = log.assert_intact().await;
        let chains = report["chains"].as_array().expect("a list").clone();
        assert_eq!(chains.len() as u64, kill, "each process writes a chain of its own");
        assert!(chains.iter().all(|chain| chain["is_open"] == true && chain["records"] != 0), "{report}");
    }
    let worker = log.worker(&endpoints, &[]).await;
    endpoints.until_drained(&worker).await;
    worker.stop().await;
    endpoints.assert_all_stored(&events).await;

    let report = log.assert_intact().await;
    assert_eq!(report["chains"][3]["is_open"], false);
    let (_, outcome) = log.reconcile(&endpoints).await;
    assert_eq!(outcome["missing"]["count"], 0, "what is logged is in the lake");
    // What the lake holds is logged, or named as unlogged.
    let stored: BTreeSet<_> = endpoints.rows().await.into_keys().collect();
    let unlogged = uids(&outcome["unlogged"]);
    let logged: BTreeSet<_> =
        files(log.path()).iter().flat_map(|chain| files(chain)).flat_map(logged_in).collect();
    assert!(logged.is_disjoint(&unlogged));
    assert_eq!(&logged | &unlogged, stored);
    println!("{} of {} are unlogged after three kills", unlogged.len(), stored.len());
    assert_eq!(outcome["doubled"]["count"].as_u64(), endpoints.local.lake().status().repeated_uids);
}

fn logged_in(segment: PathBuf) -> Vec<String> {
    let text = fs::read_to_string(segment).expect("a segment");
    let record = |line: &str| serde_json::from_str::<Value>(line).ok()?["uid"].as_str().map(str::to_owned);
    text.lines().filter_map(record).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reconcile_names_the_uids_that_a_lake_has_twice_and_those_that_it_lost() {
    let log = Log::new();
    let endpoints =
        Endpoints::misbehaving(Faults { drop_reply_share: 0.3, seed: Some(4), ..Faults::default() }).await;
    let events = events(4, 400);
    endpoints.send(&messages(&events, 1..=6, 4)).await;
    let worker = log.worker(&endpoints, &[("TRIBUTARY_BATCH_EVENTS_MAX", "20")]).await;
    endpoints.until_drained(&worker).await;
    worker.stop().await;
    let (code, outcome) = log.reconcile(&endpoints).await;
    let rows = endpoints.rows().await;
    let twice: BTreeSet<_> =
        rows.iter().filter(|(_, rows)| rows.len() > 1).map(|(uid, _)| uid.clone()).collect();
    assert!(!twice.is_empty(), "the fault was there");
    assert_eq!((code, uids(&outcome["doubled"])), (3, twice));
    assert_eq!(outcome["doubled"]["count"].as_u64(), endpoints.local.lake().status().repeated_uids);
    assert_eq!((&outcome["missing"]["count"], &outcome["unlogged"]["count"]), (&0.into(), &0.into()));

    // A lake that has forgotten everything.
    let empty = Endpoints::start().await;
    let (code, outcome) = log.reconcile(&empty).await;
    assert_eq!((code, uids(&outcome["missing"])), (3, events.into_iter().map(|event| event.uid).collect()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_intake_and_nothing_is_missing_when_it_has_room_again() {
    let (log, endpoints) = (Log::new(), Endpoints::start().await);
    // 24 KiB: less than a segment.
    let worker = Worker::start_limited(&endpoints.environment(&log.settings()), 48).await;
    let first = events(13, 300);
    endpoints.send(&messages(&first, 1..=3, 13)).await;
    let said = worker.until_not_ready("publish_log").await;
    assert!(said.contains("free space there") && said.contains(log.place()), "{said}");
    // A poll that had begun may still bring ten messages; after it there is none.
    worker
        .until("the last poll before the pause has ended", async |worker: &Worker| {
            let polls = worker.scrape().await.sum("tributary_polls_total");
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            (worker.scrape().await.sum("tributary_polls_total") == polls).then_some(())
        })
        .await;
    let stored = endpoints.stored();
    let second = events(14, 100);
    endpoints.send(&messages(&second, 1..=3, 14)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let unwritten = worker.scrape().await.sum("tributary_publish_log_unwritten");
    assert!(unwritten > 0 && unwritten <= stored, "{unwritten} of {stored}");
    assert_eq!(endpoints.stored(), stored, "nothing more is published unlogged");

    worker.lift_limit();
    worker.until_ready().await;
    endpoints.until_drained(&worker).await;
    let ended = worker.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(log.assert_intact().await["records"], 400);
    assert_eq!(log.reconcile(&endpoints).await.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_cannot_be_made_is_said_before_anything_is_published() {
    let (log, endpoints) = (Log::new(), Endpoints::start().await);
    let place = log.path().join("log");
    fs::write(&place, "in the way").expect("a new file");
    let place_text = place.to_str().expect("text");
    let worker = endpoints.worker(&[("TRIBUTARY_PUBLISH_LOG_TO", place_text), SMALL]).await;
    let said = worker.until_not_ready("publish_log").await;
    assert!(said.contains("change publish_log.to") && said.contains(place_text), "{said}");
    fs::remove_file(&place).expect("the file can be removed");
    worker.until_ready().await;
    let events = events(15, 50);
    endpoints.send(&messages(&events, 1..=3, 15)).await;
    endpoints.until_drained(&worker).await;
    worker.stop().await;
    let ran = run(&["verify", place_text, "--json"], &[]).await;
    assert_eq!((ran.code, &ran.json()["records"]), (0, &50.into()), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_written_before_the_end_is_said_with_its_count() {
    let (log, endpoints) = (Log::new(), Endpoints::start().await);
    let worker = Worker::start_limited(&endpoints.environment(&log.settings()), 48).await;
    let events = events(16, 300);
    endpoints.send(&messages(&events, 1..=3, 16)).await;
    worker.until_not_ready("publish_log").await;
    worker.tell_to_stop();
    let lost = worker
        .until("the loss is said", async |worker: &Worker| {
            worker.lines().iter().find_map(|line| line["lost"].as_u64())
        })
        .await;
    worker.ended().await;
    let report = log.assert_intact().await;
    let logged = report["records"].as_u64().expect("a number");
    let unlogged = endpoints.stored() - logged;
    // Lines of the last try may have reached the disk before it was full.
    assert!(unlogged > 0 && unlogged <= lost, "{unlogged} are not in the log, {lost} were counted as lost");
    assert_eq!(log.reconcile(&endpoints).await.1["unlogged"]["count"], unlogged);
}
