//! Real and half-real events of every system, where they lie beside the project: each is published, filtered or
//! dead-lettered for a reason, and none of the real ones is dead-lettered but for a fault of its own.

#![expect(clippy::expect_used, reason = "helpers of tests fail by panic")]

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tributary::{
    checksum::checksum,
    config::Oversize,
    decode::{Found, decode},
    event::{RawEvent, ReadyEvent},
    failure::Rejection,
    formats::Formats,
    identify::identify,
    map::map,
    receive::About,
    validate::validate,
};

use crate::checks::{ACCOUNT, breaches};

/// How often each ending came.
type Endings = BTreeMap<String, usize>;

/// Where every event was as it left its system; those of `panther` are edited by hand, or normalised.
const REAL: [&str; 3] = ["cloudtrail", "falcon", "kong"];

#[test]
fn every_sample_ends_and_the_real_ones_end_in_the_lake() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples");
    let files = files(&root);
    if files.is_empty() {
        return println!("absent, not read: {}", root.display());
    }
    let mut of_files = BTreeMap::new();
    for file in &files {
        let name = file.strip_prefix(&root).expect("below").display().to_string();
        let endings = endings_of(file);
        println!("{name}");
        for (ending, count) in &endings {
            println!("  {count:>5} {ending}");
        }
        of_files.insert(name, endings);
    }
    for (name, endings) in &of_files {
        let is_real = REAL.iter().any(|folder| name.starts_with(folder));
        assert!(endings.values().sum::<usize>() > 0, "{name} holds nothing");
        assert!(!is_real || endings.keys().all(|ending| ending == "published"), "{name}: {endings:?}");
    }
    for (name, expected) in known_faults() {
        if let Some(endings) = of_files.get(name) {
            let rejected: Vec<&str> =
                endings.keys().map(String::as_str).filter(|ending| *ending != "published").collect();
            assert_eq!(rejected, expected, "{name}");
        }
    }
}

/// What is wrong with events that were edited by hand.
fn known_faults() -> [(&'static str, Vec<&'static str>); 2] {
    [
        // One has no `created`.
        ("panther/snyk_groupaudit.ndjson", vec!["dead-lettered: mapping_failed: created is absent"]),
        ("panther/crowdstrike_eventstreams.ndjson", vec![]),
    ]
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|extension| extension == "json" || extension == "ndjson") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// A line is a message, and so is a file that is one document.
fn endings_of(file: &Path) -> Endings {
    let text = std::fs::read(file).expect("readable");
    let is_lines = file.extension().is_some_and(|extension| extension == "ndjson");
    let lines = || text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let messages: Vec<&[u8]> = if is_lines { lines().collect() } else { vec![&text] };
    let mut endings = Endings::new();
    for found in messages.into_iter().flat_map(|message| decode(Bytes::copy_from_slice(message))) {
        *endings.entry(ending_of(found.found)).or_default() += 1;
    }
    endings
}

fn ending_of(found: Found) -> String {
    let rejected = |rejection: Rejection| {
        assert!(!rejection.detail.is_empty());
        format!("dead-lettered: {}: {}", rejection.reason.code(), rejection.detail)
    };
    match found {
        Found::Object(_) => "read from S3".to_owned(),
        Found::Notice(notice) => format!("filtered: {}", notice.name()),
        Found::Rejected(rejection) => rejected(rejection),
        Found::Event(raw) => match ready(raw) {
            Err(rejection) => rejected(rejection),
            Ok(event) => {
                assert_eq!(breaches(&event), Vec::<String>::new());
                "published".to_owned()
            }
        },
    }
}

fn ready(raw: RawEvent) -> Result<ReadyEvent, Rejection> {
    let (formats, about) = (Formats::built_in(), About::default());
    let event = identify(raw, &about, &formats, None)?;
    validate(map(&event, &about, ACCOUNT)?, Oversize::Move).map(checksum)
}
