//! Aggregates that AWS's own aggregators made, read back record by record, key by key; and what would become of them
//! by the rule of AWS's consumer library.

use std::{ops::RangeInclusive, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tributary::{
    aggregate::{UserRecord, user_records},
    decode::{Found, MESSAGE_EVENTS_MAX, decode},
};

use crate::support::{node, python};

const PYTHON: [&str; 3] = ["aws_kinesis_agg==1.2.3", "protobuf==5.29.5", "six==1.17.0"];
const NODE: &str = "aws-kinesis-agg@4.2.8";
const ALL: RangeInclusive<u128> = 0..=u128::MAX;
const MIB: usize = 1_048_576;

#[derive(Serialize)]
struct Given {
    partition_key: String,
    explicit_hash_key: Option<String>,
    data: String,
}

fn given(partition_key: &str, explicit_hash_key: Option<&str>, data: impl AsRef<[u8]>) -> Given {
    let explicit_hash_key = explicit_hash_key.map(str::to_owned);
    Given { partition_key: partition_key.to_owned(), explicit_hash_key, data: STANDARD.encode(data) }
}

#[derive(Deserialize)]
struct Made {
    aggregate: String,
    /// Of each record, as somebody else reckons them.
    hash_keys: Vec<String>,
}

impl Made {
    fn bytes(&self) -> Bytes {
        STANDARD.decode(&self.aggregate).expect("base64").into()
    }
}

/// One aggregate for each list.
async fn by_python(lists: &[Vec<Given>]) -> Vec<Made> {
    let input = serde_json::to_value(lists).expect("a value");
    let making = || python::environment_with("aws-kinesis-agg", &PYTHON);
    let environment = tokio::task::spawn_blocking(making).await.expect("the environment was made");
    let made = python::run_in(&environment, "aggregates.py", &input).await;
    serde_json::from_str(&made).expect("JSON")
}

async fn by_node(lists: &[Vec<Given>]) -> Vec<Made> {
    let input = serde_json::to_value(lists).expect("a value");
    let making = || -> Command {
        let mut command = node::command("aggregates.mjs");
        command.arg(node::modules("aws-kinesis-agg", &[NODE]));
        command
    };
    let command = tokio::task::spawn_blocking(making).await.expect("the packages are there");
    let output = python::finish(command.into(), &[], input.to_string()).await;
    python::succeeded(&output, "aggregates.mjs failed");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// What is taken out must be what was put in, and a shard must be told from its neighbour.
fn assert_read_back(given: &[Given], made: &Made) {
    let bytes = made.bytes();
    let lower_half = 0..=u128::MAX / 2;
    let records = user_records(&bytes, &lower_half).expect("an aggregate");
    assert_eq!(records.len(), given.len());
    for ((found, given), hash_key) in records.iter().zip(given).zip(&made.hash_keys) {
        let hash_key: u128 = hash_key.parse().expect("a number of 128 bits");
        assert!(STANDARD.encode(&found.data) == given.data, "data");
        assert_eq!(text(found.partition_key.as_ref()), Some(&*given.partition_key));
        assert_eq!(text(found.explicit_hash_key.as_ref()), given.explicit_hash_key.as_deref());
        assert_eq!(found.is_foreign, !lower_half.contains(&hash_key), "{}", given.partition_key);
    }
}

fn text(key: Option<&Bytes>) -> Option<&str> {
    key.map(|key| str::from_utf8(key).expect("UTF-8"))
}

fn lists() -> Vec<Vec<Given>> {
    let longest = "ж".repeat(256);
    let highest = u128::MAX.to_string();
    let middle = (u128::MAX / 2).to_string();
    let above = (u128::MAX / 2 + 1).to_string();
    let event = |at: usize| format!(r#"{{"eventName":"Put","eventID":"{at}","by":"somebody, in a test"}}"#);
    vec![
        vec![given("k", None, event(1))],
        vec![
            given("ключ", None, event(1)),
            given("鍵", None, "é"),
            given("ключ", None, [0xFF, 0x00, 0xC3]),
            given("🔑", None, event(2)),
            given("a key with \"quotes\"\n", None, "{}"),
            given(&longest, None, event(3)),
            given("鍵", None, event(4)),
        ],
        vec![
            given("k", Some("0"), "lowest"),
            given("k", Some(&highest), "highest"),
            given("k", None, "by its partition key"),
            given("other", Some(&middle), "the last of the lower half"),
            given("k", Some(&above), "the first of the upper half"),
        ],
        vec![given("k", None, ""), given("k", Some("17"), "x"), given("l", None, "")],
        // As large as a stream takes by default, as one record and as very many.
        vec![given("k", None, event(1).repeat(MIB / event(1).len() - 1))],
        (0..=MESSAGE_EVENTS_MAX).map(|at| given(&format!("key-{}", at % 777), None, event(at))).collect(),
    ]
}

#[tokio::test]
async fn what_aws_s_aggregators_make_is_read_back() {
    let lists = lists();
    for made in [by_python(&lists).await, by_node(&lists).await] {
        assert_eq!(made.len(), lists.len());
        for (given, made) in lists.iter().zip(&made) {
            assert_read_back(given, made);
        }
        let largest = made.iter().map(|made| made.bytes().len()).max();
        assert!(largest.is_some_and(|bytes| bytes > MIB - 1_000), "{largest:?}");
    }
}

/// By the rule of `AggregatorUtil` in Amazon's Kinesis Client Library: up to the first foreign user record all are
/// removed again, and those after it never added.
fn delivered_by_the_kcl(records: Vec<UserRecord>) -> Vec<UserRecord> {
    if records.iter().any(|record| record.is_foreign) { Vec::new() } else { records }
}

#[tokio::test]
async fn an_aggregate_for_several_shards_is_delivered_whole_where_the_kcl_would_deliver_nothing() {
    let keys = ["a", "b", "c", "d", "e"];
    let event = |key: &&str| format!(r#"{{"eventName":"Put","eventID":"{key}"}}"#);
    let list: Vec<_> = keys.iter().map(|key| given(key, None, event(key))).collect();
    // This aggregator sends all of it to where its first record belongs, and nothing of it a second time.
    let made = by_python(&[list]).await.remove(0);
    let hash_keys: Vec<u128> = made.hash_keys.iter().map(|key| key.parse().expect("a number")).collect();
    let shard = hash_keys[0]..=hash_keys[0];
    let records = user_records(&made.bytes(), &shard).expect("an aggregate");
    assert_eq!(records.iter().filter(|record| record.is_foreign).count(), 4);
    assert!(delivered_by_the_kcl(records.clone()).is_empty());
    let names = records.iter().map(|record| decode(record.data.clone()));
    assert!(names.flatten().all(|part| matches!(part.found, Found::Event(_))));
    assert_eq!(records.len(), keys.len());
    assert_eq!(delivered_by_the_kcl(user_records(&made.bytes(), &ALL).expect("an aggregate")).len(), 5);
}

#[tokio::test]
async fn keys_that_an_aggregator_confused_cost_no_record() {
    // JavaScript lists the keys of an object that look like small numbers before the others, whatever came first.
    let list = vec![given("b", Some("7"), "first"), given("7", None, "second")];
    let made = by_node(&[list]).await.remove(0);
    let of_seven: u128 = made.hash_keys[1].parse().expect("a number");
    let shard = 0..=of_seven;
    let records = user_records(&made.bytes(), &shard).expect("an aggregate");
    let found: Vec<_> = records.iter().map(|record| (&*record.data, record.is_foreign)).collect();
    assert_eq!(text(records[1].partition_key.as_ref()), Some("b"));
    assert_eq!(found, [(&b"first"[..], false), (b"second", true)]);
}
