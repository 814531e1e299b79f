//! Real CloudTrail records: published by default, within the schema, and no value lost.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail by panic"
)]

use std::path::{Path, PathBuf};

use serde_json::Value;
use tributary::config::Oversize;

use crate::checks::{breaches, lost, ready};

/// Our own small records with the traits of real ones, and real ones where they lie beside the project.
pub(crate) fn log_files() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [here.join("tests/fixtures/cloudtrail"), here.join("../shared/samples/cloudtrail")];
    let mut files: Vec<PathBuf> = folders
        .iter()
        .filter_map(|folder| folder.read_dir().ok())
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    println!("log files: {files:#?}");
    files
}

pub(crate) fn records_of(text: &str) -> Vec<Value> {
    match serde_json::from_str(text).expect("a JSON file") {
        Value::Object(mut file) if file.contains_key("Records") => match file.remove("Records") {
            Some(Value::Array(records)) => records,
            _ => panic!("Records is no array"),
        },
        record => vec![record],
    }
}

#[test]
fn every_record_is_published_within_the_schema_and_whole() {
    let files = log_files();
    assert!(!files.is_empty(), "tests/fixtures/cloudtrail holds no log file");
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        let records = records_of(&text);
        let published = ready(text, Oversize::Move);
        assert_eq!(published.len(), records.len(), "{}", file.display());
        for (at, (record, event)) in records.iter().zip(published).enumerate() {
            let place = format!("record {at} of {}", file.display());
            let event = event.unwrap_or_else(|rejection| panic!("{place}: {rejection}"));
            assert_eq!(breaches(&event), Vec::<String>::new(), "{place}");
            let json = serde_json::from_str(event.json()).expect("JSON");
            assert_eq!(lost(record, &json), Vec::<String>::new(), "{place}");
        }
    }
}

#[test]
fn records_edited_by_hand_are_published_or_have_a_reason() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples/panther/aws_cloudtrail.ndjson");
    let Ok(body) = std::fs::read(&file) else { return println!("absent, not read: {}", file.display()) };
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    let events = ready(body, Oversize::Move);
    assert_eq!(events.len(), lines);
    let (published, rejected): (Vec<_>, Vec<_>) = events.into_iter().partition(Result::is_ok);
    println!("published {}, rejected {}", published.len(), rejected.len());
    assert!(published.len() > rejected.len());
    for event in published.into_iter().flatten() {
        assert_eq!(breaches(&event), Vec::<String>::new());
    }
}
