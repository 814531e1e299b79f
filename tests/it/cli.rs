//! The command line as a user and a script meet it: the real binary, its output and its exit codes.
#![expect(clippy::unwrap_used, reason = "the lint knows test functions, not what they call")]

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use serde_json::Value;

mod explain;
mod leases;
mod local;

const ARN: &str = "arn:aws:cloudtrail:eu-central-1:111122223333:channel/one";
const GOOD_EVENT: &str = r#"{"version":"1.0","userIdentity":{"type":"User","principalId":"p"},
    "eventSource":"shop.example.com","eventName":"Login","eventTime":"2026-01-02T03:04:05Z","UID":"u-1"}"#;
const COMMANDS: &[&[&str]] = &[
    &[],
    &["run"],
    &["demo"],
    &["local"],
    &["check"],
    &["explain"],
    &["enqueue"],
    &["backfill"],
    &["lake"],
    &["lake", "list"],
    &["lake", "count"],
    &["lake", "get"],
    &["trace"],
    &["ledger"],
    &["ledger", "get"],
    &["ledger", "forget"],
    &["leases"],
    &["leases", "release"],
    &["leases", "move"],
    &["checkpoint"],
    &["checkpoint", "show"],
    &["checkpoint", "set"],
    &["verify"],
    &["reconcile"],
    &["dlq"],
    &["dlq", "ls"],
    &["dlq", "show"],
    &["dlq", "stats"],
    &["dlq", "redrive"],
    &["dlq", "export"],
    &["dlq", "purge"],
    &["completions"],
];

/// The binary without anything of ours or of AWS in its environment.
fn tributary(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    let inherited = std::env::vars_os().map(|(name, _)| name);
    for name in inherited.filter(|name| {
        name.to_string_lossy().starts_with("TRIBUTARY_") || name.to_string_lossy().starts_with("AWS_")
    }) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(args: &[&str]) -> Output {
    tributary(args).output().unwrap()
}

fn run_with_input(args: &[&str], input: &str) -> Output {
    let mut child = tributary(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_of_every_command_teaches_with_an_example() {
    for command in COMMANDS {
        let output = run(&[command, &["--help"][..]].concat());
        let help = stdout(&output);
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        assert!(help.contains("Example: ") && help.contains("tributary"), "{command:?}: {help}");
        assert!(command.len() > 1 || help.contains("Exit codes:"), "{command:?}: {help}");
    }
}

#[test]
fn wrong_usage_exits_with_2_and_says_so_on_stderr() {
    let rows: &[&[&str]] = &[
        &[],
        &["publish"],
        &["run", "--verbose"],
        &["demo", "--events", "0"],
        &["demo", "--events", "many"],
        &["local", "--external-id", "secret"],
        &["local", "--sqs-listen", "here"],
        &["local", "--fail-share", "2", "--sqs-listen", "127.0.0.1:0", "--lake-listen", "127.0.0.1:0"],
        &["local", "--channel-arn", "one", "--sqs-listen", "127.0.0.1:0", "--lake-listen", "127.0.0.1:0"],
        &["check", "--print-reference", "--show"],
        &["explain"],
        &["explain", "-", "--account", "12"],
        &["explain", "-", "--format", "ocsf"],
        &["enqueue", "-"],
        &["enqueue", "-", "--queue-url", "events"],
        &["enqueue", "-", "--events-per-message", "0"],
        &["backfill"],
        &["backfill", "s3://trail"],
        &["backfill", "s3://UPPER", "--dry-run"],
        &["backfill", ".", "--since", "yesterday", "--dry-run"],
        &["backfill", ".", "--since", "2026-01-02", "--until", "2026-01-01", "--dry-run"],
        &["lake"],
        &["lake", "list", "--limit", "0"],
        &["lake", "count", "--url", "ftp://here"],
        &["lake", "get", "no-uuid"],
        &["dlq", "ls"],
        &["dlq", "ls", "--queue-url", "letters"],
        &["dlq", "ls", "--queue-url", "http://127.0.0.1:1/0/dead", "--reason", "bad"],
        &["dlq", "purge", "--queue-url", "http://127.0.0.1:1/0/dead"],
        &["dlq", "purge", "--queue-url", "http://127.0.0.1:1/0/dead", "--no-export", "--to", "x"],
        &["dlq", "redrive", "--queue-url", "http://127.0.0.1:1/0/dead", "--rate", "0"],
        &["dlq", "redrive", "--queue-url", "http://127.0.0.1:1/0/a", "--to-queue", "http://127.0.0.1:1/0/a"],
        &["completions", "cmd"],
    ];
    for args in rows {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
        assert!(stdout(&output).is_empty() && !stderr(&output).is_empty(), "{args:?}");
    }
}

#[test]
fn check_prints_every_problem_at_once() {
    let environment = [
        ("TRIBUTARY_SOURCE_QUEUE_URL", "events"),
        ("TRIBUTARY_BATCH_LINGER", "1 hour"),
        ("TRIBUTARY_DESTINATIONS_LAKE_EXTERNAL_ID", "secret with spaces"),
        ("TRIBUTARY_SOURCE_VISIBILTY", "1m"),
    ];
    let output = tributary(&["check"]).envs(environment).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = stderr(&output);
    for part in [
        "source.queue_url (environment TRIBUTARY_SOURCE_QUEUE_URL)",
        "batch.linger",
        "destinations.lake.external_id",
        "destinations.lake.channel_arn",
        "dead_letter.queue_url",
        "did you mean TRIBUTARY_SOURCE_VISIBILITY?",
        "6 problems",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("secret with"), "{text}");

    let output = tributary(&["check", "--json"]).envs(environment).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["valid"], false);
    assert_eq!(answer["problems"].as_array().unwrap().len(), 6);
    assert!(answer["problems"][0]["cure"].is_string());
}

#[test]
fn check_accepts_a_valid_configuration_and_shows_it_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tributary.toml");
    std::fs::write(&path, "[batch]\nlinger = \"1s\"\n").unwrap();
    let environment = [
        ("TRIBUTARY_CONFIG", path.to_str().unwrap()),
        ("TRIBUTARY_SOURCE_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/111122223333/audit"),
        ("TRIBUTARY_DEAD_LETTER_QUEUE_URL", "https://sqs.eu-central-1.amazonaws.com/111122223333/dead"),
        ("TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN", ARN),
        ("TRIBUTARY_DESTINATIONS_LAKE_EXTERNAL_ID", "to-be-hidden"),
    ];
    for args in [&["check", "--show"][..], &["check", "--show", "--json"]] {
        let output = tributary(args).envs(environment).output().unwrap();
        let text = stdout(&output) + &stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{text}");
        assert!(!text.contains("to-be-hidden"), "{text}");
        for part in ["(hidden)", ARN, "tributary.toml:2", "environment TRIBUTARY_SOURCE_QUEUE_URL", "default"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

#[test]
fn the_reference_that_is_printed_is_the_one_in_the_repository() {
    let output =
        tributary(&["check", "--print-reference"]).env("TRIBUTARY_CONFIG", "x.toml").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output) == include_str!("../../config.reference.toml"));
}

#[test]
fn run_with_a_wrong_configuration_exits_with_2() {
    let output = tributary(&["run", "--config", "/does/not/exist.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("could not read /does/not/exist.toml"), "{}", stderr(&output));
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("enqueue"), "{shell}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = tributary(&["completions", "bash"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn explain_tells_the_ending_by_its_exit_code() {
    let output = run_with_input(&["explain", "-"], GOOD_EVENT);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(stdout(&output).contains("would be published"));

    let output = run_with_input(&["explain", "-", "--json"], &format!("[{GOOD_EVENT}, 5]"));
    assert_eq!(output.status.code(), Some(3));
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer[0]["verdict"], "publish");
    assert_eq!(answer[1]["reason"], "not_an_object");

    let output = run(&["explain", "/does/not/exist.json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("could not read /does/not/exist.json"));
}

#[test]
fn a_lake_that_does_not_answer_is_named_with_its_cure() {
    let output = run(&["lake", "count", "--url", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("http://127.0.0.1:1") && text.contains("tributary local"), "{text}");
}

#[test]
fn a_compressed_file_is_refused_with_the_command_that_helps() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.json.gz");
    std::fs::write(&path, [0x1f, 0x8b, 8, 0]).unwrap();
    let queue = "http://127.0.0.1:1/000000000000/events";
    let output = run(&["enqueue", path.to_str().unwrap(), "--queue-url", queue]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("gunzip -c"), "{}", stderr(&output));
}
