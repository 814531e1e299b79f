//! Exports, and purges that delete nothing that is not in the file.

use std::{collections::BTreeSet, path::Path, process::Stdio};

use serde_json::Value;
use tokio::process::Command;

use super::{borrowed, dlq, put};
use crate::process::endpoints::{DEAD_LETTERS, Depth, Endpoints};

/// Bodies of the letters in a file, as far as its lines are whole.
fn exported(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).expect("a file");
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|line| line["body"].as_str().map(str::to_owned)).collect()
}

async fn with_letters(count: usize) -> (Endpoints, BTreeSet<String>) {
    let endpoints = Endpoints::start().await;
    let letters: Vec<_> =
        (0..count).map(|at| (format!("letter {at}"), vec![("team", "payments".to_owned())])).collect();
    put(&endpoints, &letters).await;
    (endpoints, letters.into_iter().map(|(body, _)| body).collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_has_everything_and_deletes_nothing() {
    let (endpoints, all) = with_letters(33).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("letters.ndjson");
    let environment = endpoints.environment(&[]);
    let export = ["export", "--to", file.to_str().expect("a path")];
    let ran = dlq(&environment, &export).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(exported(&file), all);
    let first: Value = std::fs::read_to_string(&file)
        .expect("a file")
        .lines()
        .next()
        .expect("a line")
        .parse()
        .expect("JSON");
    assert_eq!(first["attributes"]["team"]["value"], "payments");
    assert!(first["system_attributes"]["SentTimestamp"].is_string(), "{first}");
    assert_eq!(endpoints.depth(DEAD_LETTERS).await, Depth { visible: 33, hidden: 0 });

    let again = dlq(&environment, &export).await;
    assert_eq!(again.code, 2, "an older export is not written over: {}", again.err);
    assert_eq!(exported(&file), all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_asks_and_deletes_what_it_has_exported() {
    let (endpoints, all) = with_letters(33).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("letters.ndjson");
    let (environment, path) = (endpoints.environment(&[]), file.to_str().expect("a path"));
    let ran = dlq(&environment, &["purge", "--to", path]).await;
    assert_eq!(ran.code, 2, "{}", ran.out);
    assert!(ran.err.contains("--yes"), "{}", ran.err);
    assert_eq!(endpoints.depth(DEAD_LETTERS).await.visible, 33);
    let ran = dlq(&environment, &["purge", "--to", path, "--yes", "--limit", "12"]).await;
    assert_eq!((ran.code, exported(&file).len()), (0, 12), "{}", ran.err);
    assert_eq!(endpoints.depth(DEAD_LETTERS).await, Depth { visible: 21, hidden: 0 });
    let rest = folder.path().join("rest.ndjson");
    let ran = dlq(&environment, &["purge", "--to", rest.to_str().expect("a path"), "--yes"]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(&exported(&file) | &exported(&rest), all);
    endpoints.assert_no_dead_letters().await;
}

/// The disk is full in the middle of the export.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_exported_is_not_deleted() {
    let (endpoints, all) = with_letters(60).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("letters.ndjson");
    // So many blocks of 512 bytes: some of the letters fit.
    let script = "trap '' XFSZ; ulimit -S -f 20; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_tributary"), "dlq", "purge", "--yes", "--to"]);
    command.arg(&file).env_clear().envs(borrowed(&endpoints.environment(&[]))).stdin(Stdio::null());
    let ended = command.output().await.expect("it runs");
    assert_eq!(ended.status.code(), Some(1), "{}", String::from_utf8_lossy(&ended.stderr));
    let (Depth { visible, hidden }, safe) = (endpoints.depth(DEAD_LETTERS).await, exported(&file));
    assert!(visible > 0 && visible < 60 && hidden == 0, "{visible} are left, and {hidden} hidden");
    let left = folder.path().join("left.ndjson");
    let ran = dlq(&endpoints.environment(&[]), &["export", "--to", left.to_str().expect("a path")]).await;
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(&safe | &exported(&left), all, "each is on the queue or in the file");
}
