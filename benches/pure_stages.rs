//! Nanoseconds per event of each pure stage, on one core. `cargo bench --bench pure_stages [-- --json]`.
//!
//! Median of several rounds over a native CloudTrail record of about 1 kB and its neighbours in size and form.
//! The target is 6,000 ns for all stages of the first one, and 25,000 ns for what an event of a user's own format
//! costs in the stages that run its mapping: identify and map.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a benchmark prints, and stops where its samples are wrong"
)]

use std::hint::black_box;

use bytes::Bytes;
use tokio::time::Instant;
use tributary::{
    checksum::checksum,
    config::Oversize,
    decode::{Decoded, decode},
    event::{EventData, IdentifiedEvent},
    formats::Formats,
    identify::identify,
    map::map,
    receive::About,
    validate::{ValidEvent, validate},
};

const ACCOUNT: &str = "999999999999";
/// Short rounds, so that the few in which the machine did something else fall out of the median.
const ROUNDS: usize = 401;
/// Events of one round.
const ROUND_EVENTS: usize = 200;
const TARGET_NS: f64 = 6_000.0;
const MAPPING_TARGET_NS: f64 = 25_000.0;
const USERS: &str = "user's format";

const STAGES: [&str; 5] = ["decode", "identify", "map", "validate", "checksum"];

struct Row {
    sample: &'static str,
    bytes: usize,
    stages: [f64; 5],
    total: f64,
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("ours.jq"), MAPPING).expect("a file");
    let formats = Formats::with_folder(folder.path()).expect("a format");
    let rows: Vec<Row> = samples().into_iter().map(|(name, body)| measure(name, &body, &formats)).collect();
    if std::env::args().any(|argument| argument == "--json") {
        print_json(&rows);
    } else {
        print_table(&rows);
    }
}

fn samples() -> Vec<(&'static str, Bytes)> {
    let record = record(0);
    let records: Vec<String> = (0..100).map(self::record).collect();
    vec![
        ("1 kB record", Bytes::from(record.clone())),
        ("4 kB record", Bytes::from(record.replacen("\"maxResults\":100", &filler(), 1))),
        ("100 in Records", Bytes::from(format!("{{\"Records\":[{}]}}", records.join(",")))),
        ("lake event", Bytes::from(LAKE)),
        (USERS, Bytes::from(OURS)),
    ]
}

fn record(number: usize) -> String {
    RECORD.replace("NUMBER", &format!("{number:04}"))
}

fn filler() -> String {
    let items: Vec<String> =
        (0..60).map(|at| format!("{{\"instanceId\":\"i-0d1e2f3a4b5c{at:05}\"}}")).collect();
    format!("\"instancesSet\":{{\"items\":[{}]}}", items.join(","))
}

fn measure(sample: &'static str, body: &Bytes, formats: &Formats) -> Row {
    let about = About::default();
    let decoded = || decode(body.clone());
    let identified = |decoded: Vec<Decoded>| -> Vec<IdentifiedEvent> {
        let raw = decoded.into_iter().map(|decoded| decoded.found.into_event().expect("an event"));
        raw.map(|raw| identify(raw, &about, formats, None).expect("a format")).collect()
    };
    let mapped = |events: &[IdentifiedEvent]| -> Vec<EventData> {
        events.iter().map(|event| map(event, &about, ACCOUNT).expect("mapped")).collect()
    };
    let valid = |events: Vec<EventData>| -> Vec<ValidEvent> {
        events.into_iter().map(|event| validate(event, Oversize::Move).expect("valid")).collect()
    };
    let events = identified(decoded());
    let data = mapped(&events);
    let valids = valid(data.clone());
    let count = events.len();
    let stages = [
        median(count, || (), |()| decode(body.clone())),
        median(count, decoded, identified),
        median(count, || (), |()| mapped(&events)),
        median(count, || data.clone(), valid),
        median(count, || valids.clone(), |events| events.into_iter().map(checksum).collect::<Vec<_>>()),
    ];
    let total = median(
        count,
        || (),
        |()| {
            let events = identified(decode(body.clone()));
            valid(mapped(&events)).into_iter().map(checksum).collect::<Vec<_>>()
        },
    );
    Row { sample, bytes: body.len() / count, stages, total }
}

/// Nanoseconds for each event. The input of every run is made before the clock starts; dropping what comes out
/// is part of the run.
fn median<I, O>(events: usize, make: impl Fn() -> I, run: impl Fn(I) -> O) -> f64 {
    let repeats = (ROUND_EVENTS / events).max(1);
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let inputs: Vec<I> = (0..repeats).map(|_| make()).collect();
            let start = Instant::now();
            for input in inputs {
                black_box(run(black_box(input)));
            }
            start.elapsed().as_secs_f64() * 1e9 / (repeats * events) as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn print_table(rows: &[Row]) {
    print!("{:<16}{:>7}", "ns per event", "bytes");
    for stage in STAGES {
        print!("{stage:>10}");
    }
    println!("{:>10}", "all");
    for row in rows {
        print!("{:<16}{:>7}", row.sample, row.bytes);
        for ns in row.stages {
            print!("{ns:>10.0}");
        }
        println!("{:>10.0}", row.total);
    }
    println!("target for all stages of the first line: {TARGET_NS:.0}");
    println!("target for identify and map of a {USERS}: {MAPPING_TARGET_NS:.0}");
}

fn print_json(rows: &[Row]) {
    for row in rows {
        let stages: Vec<String> =
            STAGES.iter().zip(row.stages).map(|(stage, ns)| format!("\"{stage}\":{ns:.0}")).collect();
        let Row { sample, bytes, total, .. } = row;
        println!(
            "{{\"sample\":\"{sample}\",\"bytes\":{bytes},\"ns\":{{{},\"all\":{total:.0}}}}}",
            stages.join(",")
        );
    }
}

const RECORD: &str = r#"{"eventVersion":"1.08","userIdentity":{"type":"IAMUser","principalId":"AIDAEXAMPLE0000000001","arn":"arn:aws:iam::111122223333:user/ana","accountId":"111122223333","accessKeyId":"AKIAEXAMPLE0000000001","userName":"ana"},"eventTime":"2024-03-01T08:15:00Z","eventSource":"ec2.amazonaws.com","eventName":"DescribeInstances","awsRegion":"eu-central-1","sourceIPAddress":"203.0.113.7","userAgent":"aws-cli/2.15.0 Python/3.11.6 Linux/6.1 exe/x86_64.amzn.2023","requestParameters":{"maxResults":100,"filterSet":{"items":[{"name":"instance-state-name","valueSet":{"items":[{"value":"running"},{"value":"pending"}]}}]}},"responseElements":null,"requestID":"5b3f0a2e-0001-4000-8000-00000000NUMBER","eventID":"5b3f0a2e-1001-4000-8000-00000000NUMBER","readOnly":true,"eventType":"AwsApiCall","managementEvent":true,"recipientAccountId":"111122223333","eventCategory":"Management","tlsDetails":{"tlsVersion":"TLSv1.3","cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"ec2.eu-central-1.amazonaws.com"}}"#;

const LAKE: &str = r#"{"version":"1.0","userIdentity":{"type":"User","principalId":"ana","details":{"team":"billing"}},"userAgent":"console/3.1","eventSource":"billing.example.com","eventName":"InvoiceApproved","eventTime":"2024-03-01T08:15:00Z","UID":"4f7d3c1a-90b2-4d7c-8a55-2f1f9b0c7e11","requestParameters":{"invoice":"INV-2024-0042","amount":"1200.00"},"sourceIPAddress":"203.0.113.7","recipientAccountId":"999999999999","additionalEventData":{"channel":"web"}}"#;

/// An event of nobody's format, of about 1 kB.
const OURS: &str = r#"{"log":{"id":"01HVZ8M3Q2T7B9K4X6R5D1C0AE","seq":918273,"at":1709280900123,"service":"ledger-api","region":"eu-central-1","level":"audit"},"actor":{"kind":"employee","id":"u-48213","name":"Ana Example","email":"ana@example.com","groups":["finance","approvers","emea"],"session":{"id":"s-77aa12","mfa":true,"ip":"203.0.113.7","agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Example/1.0"}},"action":"payment.approve","target":{"type":"payment","id":"pay-2024-03-01-000417","amount":"18250.00","currency":"EUR","beneficiary":{"name":"Example Supplies GmbH","country":"DE","reference":"INV-2024-0042"}},"result":{"ok":false,"code":"LIMIT_EXCEEDED","message":"the amount is above the approver's limit"},"context":{"request":"5b3f0a2e-0001-4000-8000-000000000417","trace":"4bf92f3577b34da6a3ce929d0e0e4736","tags":{"team":"payments","tier":"1","change":"CHG-20817"},"previous":[{"step":"created","by":"u-10021","at":1709280000001},{"step":"checked","by":"u-30177","at":1709280600420}]}}"#;

/// As a user would write it.
const MAPPING: &str = r#"
def matches: has("log") and has("actor") and has("action");
def id: .log.id;
def event: {
    version: "1",
    userIdentity: {
        type: .actor.kind,
        principalId: .actor.id,
        details: {name: .actor.name, email: .actor.email, groups: .actor.groups, mfa: .actor.session.mfa}
    },
    userAgent: .actor.session.agent,
    eventSource: (.log.service + ".example.com"),
    eventName: .action,
    eventTime: (.log.at | utc),
    sourceIPAddress: (.actor.session.ip | ip),
    requestParameters: .target,
    errorCode: (if .result.ok then null else .result.code end),
    errorMessage: (if .result.ok then null else .result.message end),
    additionalEventData: {context: .context, log: .log}
};
def secrets: empty;
"#;
