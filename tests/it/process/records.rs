//! Events of our own making, with the traits of real ones: seeded, so that a failing run can be repeated.

use std::ops::RangeInclusive;

use fastrand::Rng;
use serde_json::{Value, json};

/// An event as its producer knows it.
#[derive(Clone)]
pub(crate) struct Event {
    /// What must be the `UID` in the lake.
    pub(crate) uid: String,
    /// As sent.
    pub(crate) value: Value,
}

impl Event {
    /// Any event that says who it is.
    pub(crate) fn of(value: Value) -> Self {
        let uid = value.get("eventID").or_else(|| value.get("UID")).and_then(Value::as_str);
        Self { uid: uid.expect("an event says its id").to_owned(), value }
    }
}

/// So many events. Four of five are native records, of which many break the lake's schema as real ones do: no IP
/// address, no principal, a long error message, parameters that are no object.
pub(crate) fn events(seed: u64, count: usize) -> Vec<Event> {
    let mut rng = Rng::with_seed(seed);
    (0..count)
        .map(|at| Event::of(if at % 5 == 4 { lake_event(&mut rng) } else { record(&mut rng) }))
        .collect()
}

/// Messages as producers send them: single events, arrays, lines and `Records`, with so many events in each.
pub(crate) fn messages(events: &[Event], sizes: RangeInclusive<usize>, seed: u64) -> Vec<String> {
    let mut rng = Rng::with_seed(seed);
    let mut bodies = Vec::new();
    let mut left = events;
    while !left.is_empty() {
        let (these, others) = left.split_at(rng.usize(sizes.clone()).min(left.len()));
        let texts: Vec<_> = these.iter().map(|event| event.value.to_string()).collect();
        bodies.push(match rng.u8(0..3) {
            _ if texts.len() == 1 => texts[0].clone(),
            0 => format!("[{}]", texts.join(", ")),
            1 => format!("{{\"Records\":[{}]}}", texts.join(",\n")),
            _ => texts.join("\n"),
        });
        left = others;
    }
    bodies
}

fn uuid(rng: &mut Rng) -> String {
    uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid().to_string()
}

fn record(rng: &mut Rng) -> Value {
    let second = rng.u8(0..60);
    let mut record = json!({
        "eventVersion": "1.11",
        "userIdentity": {
            "type": "AssumedRole", "principalId": format!("AROA{}:build", rng.u32(..)),
            "arn": "arn:aws:sts::111122223333:assumed-role/build/s", "accountId": "111122223333",
            "sessionContext": { "sessionIssuer": {}, "attributes": { "mfaAuthenticated": "false" } },
        },
        "eventTime": format!("2024-03-01T08:15:{second:02}Z"),
        "eventSource": "s3.amazonaws.com",
        "eventName": rng.choice(["PutObject", "GetObject", "CreateRole"]),
        "awsRegion": "eu-central-1",
        "sourceIPAddress": format!("198.51.100.{}", rng.u8(..)),
        "userAgent": "aws-cli/2.15.0",
        "requestParameters": {
            "bucketName": "a-bucket", "key": format!("bönus/{:x} \\ \"quoted\"", rng.u64(..)),
            "size": rng.u64(..), "filler": "x".repeat(rng.usize(..400)),
        },
        "responseElements": null,
        "requestID": uuid(rng),
        "eventID": uuid(rng),
        "readOnly": rng.bool(),
        "eventType": "AwsApiCall",
        "recipientAccountId": "111122223333",
        "eventCategory": "Data",
    });
    match rng.u8(0..10) {
        0 => record["sourceIPAddress"] = json!("cloudformation.amazonaws.com"),
        1 => {
            record["userIdentity"] = json!({ "type": "AWSService", "invokedBy": "cloudtrail.amazonaws.com" });
        }
        2 => record["errorMessage"] = json!(format!("not authorized {}", "because ".repeat(60))),
        3 => record["requestParameters"] = json!(["no", "object"]),
        4 => record["aFieldOfALaterVersion"] = json!({ "of": [1, null, "two"] }),
        5 => record["additionalEventData"] = json!({ "bytesTransferredIn": rng.u32(..) }),
        _ => {}
    }
    record
}

fn lake_event(rng: &mut Rng) -> Value {
    json!({
        "version": "1.0",
        "userIdentity": { "type": "User", "principalId": "alice", "details": { "team": "payments" } },
        "eventSource": "ledger.example.com",
        "eventName": "ApproveTransfer",
        "eventTime": "2024-03-01T08:15:04Z",
        "UID": format!("transfer/{}:{}", rng.u32(..), rng.u64(..)),
        "requestParameters": { "amount": rng.u64(..), "currency": "EUR" },
        "sourceIPAddress": "2001:db8::1",
    })
}
