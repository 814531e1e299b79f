//! `local`, `enqueue` and `lake` together, as a newcomer would use them.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader},
    process::{Child, Stdio},
};

use serde_json::{Value, json};
use tributary::aws::Aws;

use super::*;

/// A running `tributary local`; ends with the test.
struct Endpoints {
    child: Child,
    answer: Value,
}

impl Endpoints {
    fn start(more: &[&str]) -> Self {
        let args = ["local", "--json", "--sqs-listen", "127.0.0.1:0", "--lake-listen", "127.0.0.1:0"];
        let mut child = tributary(&[&args, more].concat()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, answer: serde_json::from_str(&line).unwrap() }
    }

    fn variable(&self, name: &str) -> &str {
        self.answer["environment"][name].as_str().unwrap()
    }

    fn lake_url(&self) -> &str {
        self.answer["lake_url"].as_str().unwrap()
    }

    /// What waits in the queue, body by body.
    async fn bodies(&self) -> Vec<String> {
        let queue_url = self.variable("TRIBUTARY_SOURCE_QUEUE_URL");
        let client = Aws::local(self.answer["sqs_url"].as_str().unwrap(), self.lake_url()).sqs(queue_url);
        let mut bodies = Vec::new();
        loop {
            let receive = client.receive_message().queue_url(queue_url).max_number_of_messages(10);
            let messages = receive.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() {
                return bodies;
            }
            bodies.extend(messages.into_iter().filter_map(|message| message.body));
        }
    }

    /// Asks it to end, and says how it did.
    fn stop(mut self) -> Option<i32> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Endpoints {
    fn drop(&mut self) {
        // Already ended in the good case.
        let _ended = self.child.kill();
    }
}

#[tokio::test]
async fn files_of_every_shape_arrive_in_the_queue_whole() {
    let endpoints = Endpoints::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("lines.ndjson", "{\"n\":1}\n{\"n\":2}\nwhat is this\n"),
        ("array.json", "[{\"n\":3},\n {\"n\":4}]"),
        ("trail.json", "{\"Records\":[{\"n\":5},{\"n\":6}]}"),
        ("one.json", "{\n  \"n\": 7\n}\n"),
    ];
    let mut args = vec!["enqueue", "--queue-url", endpoints.variable("TRIBUTARY_SOURCE_QUEUE_URL"), "--json"];
    let paths: Vec<_> = files.iter().map(|(name, _)| folder.path().join(name)).collect();
    for (path, (_, text)) in paths.iter().zip(files) {
        std::fs::write(path, text).unwrap();
    }
    args.extend(paths.iter().map(|path| path.to_str().unwrap()));
    let output = run(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary, json!({"events": 8, "messages": 8, "failed_messages": 0, "unsendable": 0}));
    let mut bodies = endpoints.bodies().await;
    bodies.sort();
    let mut expected: Vec<_> = (1..=6).map(|n| format!("{{\"n\":{n}}}")).collect();
    expected.extend(["what is this".into(), "{\n  \"n\": 7\n}".into()]);
    expected.sort();
    assert_eq!(bodies, expected);
    assert_eq!(endpoints.stop(), Some(0));
}

#[tokio::test]
async fn a_large_stream_arrives_event_by_event_and_what_cannot_is_named_by_line() {
    let endpoints = Endpoints::start(&[]);
    let mut lines: Vec<_> = (0..=5_000).map(|n| format!("{{\"n\":{n}}}")).collect();
    lines.insert(5_000, format!("{{\"large\":\"{}\"}}", "x".repeat(1 << 20)));
    let input = lines.join("\n");
    let queue_url = endpoints.variable("TRIBUTARY_SOURCE_QUEUE_URL");
    let output =
        run_with_input(&["enqueue", "-", "--queue-url", queue_url, "--events-per-message", "100"], &input);
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("not sent: stdin:5001: "), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("sent 5001 events in 51 messages"), "{}", stdout(&output));
    let mut seen: BTreeMap<u64, u32> = BTreeMap::new();
    for body in endpoints.bodies().await {
        for line in body.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            *seen.entry(event["n"].as_u64().unwrap()).or_default() += 1;
        }
    }
    assert_eq!(seen.len(), 5001);
    assert!(seen.values().all(|count| *count == 1));
}

#[tokio::test]
async fn what_was_read_before_a_missing_file_is_sent_and_the_missing_file_is_an_error() {
    let endpoints = Endpoints::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let good = folder.path().join("good.json");
    std::fs::write(&good, "{\"n\":1}").unwrap();
    let queue_url = endpoints.variable("TRIBUTARY_SOURCE_QUEUE_URL");
    let missing = "/does/not/exist.json";
    let output = run(&["enqueue", good.to_str().unwrap(), missing, "--queue-url", queue_url]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(missing), "{}", stderr(&output));
    assert_eq!(endpoints.bodies().await, ["{\"n\":1}"]);
}

#[test]
fn a_queue_that_does_not_exist_ends_it_with_a_sentence() {
    let endpoints = Endpoints::start(&[]);
    let queue_url = endpoints.variable("TRIBUTARY_SOURCE_QUEUE_URL").replace("/events", "/evens");
    let output = run_with_input(&["enqueue", "-", "--queue-url", &queue_url], "{\"n\":1}\n");
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains(&queue_url), "{}", stderr(&output));
}

#[tokio::test]
async fn the_lake_is_looked_into() {
    let endpoints = Endpoints::start(&[]);
    let client = Aws::local(endpoints.lake_url(), endpoints.lake_url())
        .lake("us-east-1", std::time::Duration::from_secs(10));
    let event = aws_sdk_cloudtraildata::types::AuditEvent::builder()
        .id("u-1")
        .event_data(with_account(GOOD_EVENT))
        .build()
        .unwrap();
    let channel = endpoints.variable("TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN");
    let answer = client.put_audit_events().channel_arn(channel).audit_events(event).send().await.unwrap();
    let event_id = answer.successful()[0].event_id();

    let lake = |args: &[&str]| run(&[&["lake", "--url", endpoints.lake_url()], args].concat());
    let count: Value = serde_json::from_slice(&lake(&["count", "--json"]).stdout).unwrap();
    assert_eq!(count["stored"], 1);
    assert!(stdout(&lake(&["count"])).contains("1 events stored"));
    let list = stdout(&lake(&["list", "--name", "Login"]));
    assert!(list.contains(event_id) && list.contains("shop.example.com") && list.contains("u-1"), "{list}");
    let none: Value = serde_json::from_slice(&lake(&["list", "--name", "Logout", "--json"]).stdout).unwrap();
    assert_eq!(none, json!([]));
    let event: Value = serde_json::from_slice(&lake(&["get", event_id]).stdout).unwrap();
    assert_eq!(event["eventData"]["UID"], "u-1");
    assert_eq!(lake(&["get", "00000000-0000-0000-0000-000000000000"]).status.code(), Some(3));
}

/// The event with the account of the local channel.
fn with_account(event: &str) -> String {
    let mut event: Value = serde_json::from_str(event).unwrap();
    event["recipientAccountId"] = "000000000000".into();
    event.to_string()
}

#[test]
fn local_prints_what_a_shell_can_read_and_no_secret() {
    let args = ["local", "--sqs-listen", "127.0.0.1:0", "--lake-listen", "127.0.0.1:0", "--channel-arn", ARN];
    let mut child = tributary(&[&args[..], &["--external-id", "to-be-hidden"]].concat()).spawn().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        let is_last = line.contains("Then try");
        lines.push(line);
        if is_last {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(lines.iter().all(|line| line.starts_with("# ") || line.starts_with("export ")), "{lines:?}");
    let text = lines.join("\n");
    assert!(text.contains(&format!("export TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN={ARN}")), "{text}");
    assert!(text.contains("export AWS_ENDPOINT_URL_CLOUDTRAIL_DATA=http://127.0.0.1:"), "{text}");
    assert!(!text.contains("to-be-hidden"), "{text}");
}

#[test]
fn an_address_in_use_is_named() {
    let endpoints = Endpoints::start(&[]);
    let taken = endpoints.lake_url().trim_start_matches("http://");
    let output = run(&["local", "--sqs-listen", "127.0.0.1:0", "--lake-listen", taken]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(taken), "{}", stderr(&output));
}
