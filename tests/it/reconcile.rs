//! The path to CloudTrail Lake. No emulator that we know answers `StartQuery`, so the answers are scripted; what we ask
//! and what the script answers is checked against the model of the service that boto3 carries.

use std::{fs, path::Path, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudtrail::config::{Credentials, SharedCredentialsProvider};
use serde_json::{Value, json};
use time::macros::{date, datetime};
use tributary::{
    aws::Aws,
    publish_log::{Accepted, Chain},
    reconcile::{
        EventTimes, Row, Rows as _,
        cloudtrail::{EventDataStore, LakeRows},
    },
};

use crate::support::{
    program::{Ran, command, run},
    python,
    scripted::{Answer, Call, Scripted},
};

const STORE: &str =
    "arn:aws:cloudtrail:us-east-1:111122223333:eventdatastore/1a2b3c4d-0000-4000-8000-000000000000";
const QUERY: &str = "0a1b2c3d-0000-4000-8000-00000000000f";

fn aws(scripted: &Scripted) -> Aws {
    let credentials = Credentials::new("test", "test", None, None, "tests");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(scripted.url())
        .build()
        .into()
}

fn started() -> Answer {
    (200, json!({ "QueryId": QUERY, "EventDataStoreOwnerAccountId": "111122223333" }))
}

fn waiting(status: &str) -> Answer {
    (200, json!({ "QueryStatus": status }))
}

fn page(rows: &[(&str, u64)], next: Option<&str>) -> Answer {
    let row = |(uid, copies): &(&str, u64)| json!([{ "uid": uid }, { "copies": copies.to_string() }, { "ingested": "2026-01-05 12:30:00.000" }]);
    let mut answer = json!({
        "QueryStatus": "FINISHED",
        "QueryStatistics": { "ResultsCount": rows.len(), "TotalResultsCount": rows.len(), "BytesScanned": 1 },
        "QueryResultRows": rows.iter().map(row).collect::<Vec<_>>(),
    });
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    (200, answer)
}

fn failed(code: &str) -> Answer {
    (400, json!({ "__type": code, "message": "scripted" }))
}

/// A queue of ten that is full once, a query that waits, runs, and has two pages.
fn patient(call: &Call) -> Answer {
    match (call.action.as_str(), call.nth) {
        ("StartQuery", 0) => failed("MaxConcurrentQueriesException"),
        ("StartQuery", _) => started(),
        ("GetQueryResults", 0) => waiting("QUEUED"),
        ("GetQueryResults", 1) => waiting("RUNNING"),
        ("GetQueryResults", 2) => page(&[("uid-0", 1), ("uid-1", 2)], Some("token")),
        ("GetQueryResults", _) => page(&[("uid-2", 1), ("stranger", 1)], None),
        (action, _) => panic!("nobody asked for {action:?}"),
    }
}

/// Every request and every scripted answer, judged by botocore.
async fn assert_as_modelled(scripted: &Scripted, script: fn(&Call) -> Answer) {
    let calls: Vec<_> = ["StartQuery", "GetQueryResults", "CancelQuery"]
        .iter()
        .flat_map(|action| scripted.calls(action))
        .collect();
    assert!(!calls.is_empty());
    let requests: Vec<_> = calls.iter().map(|call| json!([call.action, call.body])).collect();
    let answers: Vec<_> = calls.iter().map(|call| json!([call.action, script(call).1])).collect();
    python::run("cloudtrail_model.py", &json!({ "requests": requests, "answers": answers })).await;
}

async fn all_rows(rows: &mut LakeRows) -> Result<Vec<Row>, String> {
    let mut all = Vec::new();
    while let Some(page) = rows.next().await.map_err(|error| error.to_string())? {
        all.extend(page);
    }
    Ok(all)
}

fn times() -> EventTimes {
    let day = (datetime!(2026-01-05 12:00:00 UTC), datetime!(2026-01-05 12:59:59 UTC));
    EventTimes::from([(date!(2026 - 01 - 05), day)])
}

fn lake_rows(scripted: &Scripted) -> LakeRows {
    LakeRows::new(&aws(scripted), &EventDataStore::parse(STORE).expect("an ARN"), &times(), None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_waited_for_and_read_to_its_last_page() {
    let scripted = Scripted::start(patient).await;
    let rows = all_rows(&mut lake_rows(&scripted)).await.expect("rows");
    let found: Vec<_> = rows.iter().map(|row| (row.uid.as_str(), row.copies)).collect();
    assert_eq!(found, [("uid-0", 1), ("uid-1", 2), ("uid-2", 1), ("stranger", 1)]);
    assert!(rows.iter().all(|row| row.ingested == Some(datetime!(2026-01-05 12:30:00 UTC))));
    let asked = scripted.calls("GetQueryResults");
    let tokens: Vec<_> = asked.iter().map(|call| call.body["NextToken"].as_str()).collect();
    assert_eq!(tokens, [None, None, None, Some("token")]);
    assert!(asked.iter().all(|call| call.body["QueryId"] == QUERY && call.body["MaxQueryResults"] == 1_000));
    assert_as_modelled(&scripted, patient).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_ends_without_rows_says_why() {
    for status in ["FAILED", "CANCELLED", "TIMED_OUT"] {
        let scripted = Scripted::start(move |call: &Call| match call.action.as_str() {
            "StartQuery" => started(),
            _ => (200, json!({ "QueryStatus": status, "ErrorMessage": "the reason" })),
        })
        .await;
        let error = all_rows(&mut lake_rows(&scripted)).await.expect_err("no rows");
        assert!(error.contains(status) && error.contains("the reason"), "{error}");
    }
    let scripted = Scripted::start(|_: &Call| failed("EventDataStoreNotFoundException")).await;
    let error = all_rows(&mut lake_rows(&scripted)).await.expect_err("no rows");
    assert!(error.contains("StartQuery failed with EventDataStoreNotFoundException"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_the_window_asks_for_nothing() {
    let scripted = Scripted::start(patient).await;
    let store = EventDataStore::parse(STORE).expect("an ARN");
    let mut rows = LakeRows::new(&aws(&scripted), &store, &EventTimes::new(), None);
    assert_eq!(all_rows(&mut rows).await, Ok(Vec::new()));
    assert!(scripted.calls("StartQuery").is_empty());
}

/// A closed chain in a folder: three records around noon, 2026-01-05.
fn write_log(folder: &Path) {
    let at = datetime!(2026-01-05 12:30:00 UTC).into();
    let (mut chain, mut bytes) = (Chain::new("w", at), Vec::new());
    chain.begin(at, &mut bytes);
    for number in 0..4 {
        let accepted = Accepted {
            at,
            destination: "lake".into(),
            id: format!("id-{number}").into(),
            // It looks like SQL and must not become part of any.
            uid: if number == 3 { "missing' OR 'a'='a".into() } else { format!("uid-{number}").into() },
            stored_as: "s".into(),
            event_time: format!("2026-01-05T12:0{number}:00Z").into(),
            content: None,
            checksum: "".into(),
        };
        chain.add(&accepted, &mut bytes);
    }
    chain.end(4, at, &mut bytes);
    let folder = folder.join(chain.name());
    fs::create_dir(&folder).expect("a new folder");
    fs::write(folder.join("00000001.jsonl"), bytes).expect("a new file");
}

fn arguments<'a>(place: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let window = ["--from", "2026-01-05T12:00:00Z", "--to", "2026-01-05T13:00:00Z"];
    [&["reconcile", "--log", place, "--event-data-store", STORE], &window[..], more].concat()
}

async fn reconcile(folder: &Path, url: &str, more: &[&str]) -> Ran {
    run(&arguments(folder.to_str().expect("text"), more), &environment(url)).await
}

fn environment(url: &str) -> [(&str, &str); 4] {
    [
        ("AWS_ENDPOINT_URL_CLOUDTRAIL", url),
        // As `tributary local` tells everybody to set it: the event data store wins.
        ("TRIBUTARY_LAKE_URL", "http://127.0.0.1:1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_compares_a_log_with_an_event_data_store() {
    let folder = tempfile::tempdir().expect("a folder");
    write_log(folder.path());
    let scripted = Scripted::start(patient).await;
    let channel = "arn:aws:cloudtrail:us-east-1:111122223333:channel/a";
    let ran = reconcile(folder.path(), scripted.url(), &["--json", "--channel-arn", channel]).await;
    let outcome = ran.json();
    assert_eq!(ran.code, 3, "{outcome}");
    assert_eq!(
        (&outcome["records"], &outcome["rows"], &outcome["log_intact"]),
        (&4.into(), &5.into(), &true.into())
    );
    for (kind, uid) in [("missing", "missing' OR 'a'='a"), ("doubled", "uid-1"), ("unlogged", "stranger")] {
        assert_eq!(outcome[kind], json!({ "count": 1, "uids": [uid] }), "{kind}");
    }
    let asked = scripted.calls("StartQuery");
    let statement = asked[1].body["QueryStatement"].as_str().expect("a statement");
    assert_eq!(
        statement,
        "SELECT eventdata.uid AS uid, count(*) AS copies, min(metadata.ingestiontime) AS ingested \
         FROM 1a2b3c4d-0000-4000-8000-000000000000 \
         WHERE ((eventtime >= '2026-01-05 12:00:00' AND eventtime <= '2026-01-05 12:03:00')) \
         AND metadata.channelarn = 'arn:aws:cloudtrail:us-east-1:111122223333:channel/a' GROUP BY eventdata.uid"
    );
    assert_as_modelled(&scripted, patient).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_not_intact_is_not_compared_beyond_its_flaw() {
    let folder = tempfile::tempdir().expect("a folder");
    write_log(folder.path());
    let chain =
        fs::read_dir(folder.path()).expect("a folder").next().expect("a chain").expect("a chain").path();
    let file = chain.join("00000001.jsonl");
    let text = fs::read_to_string(&file).expect("text");
    fs::write(&file, text.replace("uid-2", "uid-9")).expect("written over");
    let scripted = Scripted::start(patient).await;
    let ran = reconcile(folder.path(), scripted.url(), &[]).await;
    assert_eq!(ran.code, 3, "{}", ran.out);
    assert!(ran.err.contains("the log is not intact") && ran.err.contains("line 4"), "{}", ran.err);
    assert!(ran.out.contains("2 records in the window") && ran.out.contains("unlogged uid-2"), "{}", ran.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_compare_is_said_and_is_not_success() {
    let folder = tempfile::tempdir().expect("a folder");
    // What a disk has anyway is no chain.
    fs::create_dir(folder.path().join("lost+found")).expect("a new folder");
    let scripted = Scripted::start(patient).await;
    let ran = reconcile(folder.path(), scripted.url(), &[]).await;
    assert!(ran.code == 3 && ran.err.contains("there is no publish log here"), "{}{}", ran.out, ran.err);
    let place = folder.path().to_str().expect("text");
    let verified = run(&["verify", place], &[]).await;
    assert!(verified.code == 3 && verified.out.contains("0 chains"), "{}", verified.out);

    write_log(folder.path());
    let ran = reconcile(folder.path(), scripted.url(), &["--destination", "typo"]).await;
    assert!(ran.code == 3 && ran.err.contains("no record of the log is in the window"), "{}", ran.err);
    let verified = run(&["verify", place], &[]).await;
    assert!(verified.code == 0 && verified.err.contains("compare the last head"), "{}", verified.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_without_segments_is_not_intact_and_an_end_without_its_head_is_noted() {
    let folder = tempfile::tempdir().expect("a folder");
    write_log(folder.path());
    let place = folder.path().to_str().expect("text");
    let chain = |ran: &Ran, nth: usize| ran.json()["chains"][nth].clone();
    let ran = run(&["verify", place, "--json"], &[]).await;
    let head = chain(&ran, 0)["head"].as_str().expect("a hash").to_owned();
    assert_eq!(ran.json()["ends_without_head"], json!([]));

    // Another chain, whole, which nobody vouches for.
    let (name, copy) = (chain(&ran, 0)["chain"].clone(), "20270101T000000000Z-w");
    let name = name.as_str().expect("text");
    fs::create_dir(folder.path().join(copy)).expect("a new folder");
    let ran = run(&["verify", place, "--json"], &[]).await;
    assert_eq!((ran.code, &chain(&ran, 1)["flaw"]["kind"]), (3, &"segment_removed".into()), "{}", ran.out);
    let text = fs::read_to_string(folder.path().join(name).join("00000001.jsonl")).expect("a segment");
    let header = text.lines().next().expect("a header").replace(name, copy) + "\n";
    fs::write(folder.path().join(copy).join("00000001.jsonl"), header).expect("a new file");
    let ran = run(&["verify", place, "--json", "--head", &head], &[]).await;
    assert_eq!((ran.code, &ran.json()["ends_without_head"]), (0, &json!([copy])), "{}", ran.out);
    let ran = run(&["verify", place, "--head", &head], &[]).await;
    assert!(ran.err.contains("1 chain ends with none of the given heads"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_cannot_be_read_ends_the_comparison_and_the_query() {
    fn odd(call: &Call) -> Answer {
        match call.action.as_str() {
            "StartQuery" => started(),
            "CancelQuery" => (200, json!({ "QueryId": QUERY, "QueryStatus": "CANCELLED" })),
            _ => {
                let mut answer = page(&[("uid-0", 1)], Some("token"));
                answer.1["QueryResultRows"][0][1] = json!({ "copies": "many" });
                answer
            }
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    write_log(folder.path());
    let scripted = Scripted::start(odd).await;
    let ran = reconcile(folder.path(), scripted.url(), &[]).await;
    assert!(ran.code == 1 && ran.err.contains("a row without a UID or a count"), "{}{}", ran.out, ran.err);
    assert_eq!(scripted.calls("CancelQuery").len(), 1);
    assert_as_modelled(&scripted, odd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_it_cancels_the_query_that_runs() {
    fn endless(call: &Call) -> Answer {
        match call.action.as_str() {
            "StartQuery" => started(),
            "CancelQuery" => (200, json!({ "QueryId": QUERY, "QueryStatus": "CANCELLED" })),
            _ => waiting("RUNNING"),
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    write_log(folder.path());
    let scripted = Scripted::start(endless).await;
    let place = folder.path().to_str().expect("text");
    let child = command(&arguments(place, &[]), &environment(scripted.url())).spawn().expect("it starts");
    let id = child.id().expect("it runs").to_string();
    tokio::time::timeout(Duration::from_mins(1), async {
        while scripted.calls("GetQueryResults").is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("the query runs");
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().expect("kill runs").success());
    let output = child.wait_with_output().await.expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("interrupted"), "{said}");
    let cancelled = scripted.calls("CancelQuery");
    assert_eq!(cancelled.iter().map(|call| call.body["QueryId"].clone()).collect::<Vec<Value>>(), [QUERY]);
    assert_as_modelled(&scripted, endless).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_said_before_anything_is_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path().to_str().expect("text");
    for (more, words) in [
        (
            &["--from", "2026-01-05T13:00:00Z", "--to", "2026-01-05T12:00:00Z"][..],
            "--from must be before --to",
        ),
        (&["--from", "yesterday", "--to", "2026-01-05T12:00:00Z"], "RFC 3339"),
        (
            &["--from", "2026-01-05T12:00:00Z", "--to", "2026-01-05T13:00:00Z", "--event-data-store", "x"],
            "eventdatastore",
        ),
    ] {
        let ran = run(&[&["reconcile", "--log", place], more].concat(), &[]).await;
        assert!(ran.code == 2 && ran.err.contains(words), "{}", ran.err);
    }
    let missing = run(&["verify", "/nowhere/at/all"], &[]).await;
    assert!(missing.code == 1 && missing.err.contains("could not read /nowhere/at/all"), "{}", missing.err);
}
