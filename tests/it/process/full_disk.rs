//! `tributary local --dir` when the disk is full: said with the cure, and nothing that was acknowledged is missing
//! after a restart.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use aws_sdk_cloudtraildata::{error::ProvideErrorMetadata as _, types::AuditEvent};
use serde_json::{Value, json};
use tributary::{
    aws::Aws,
    local::{EventQuery, LakeClient},
};

use crate::support::local::CHANNEL;

/// The largest file that the limited process may write, in blocks of 512 bytes: 6 MiB.
const BLOCKS: &str = "12288";
const TRIES: usize = 2_000;

/// A running `tributary local --dir`; ends with the test.
struct Kept {
    child: Child,
    sqs_url: String,
    lake_url: String,
}

impl Kept {
    /// With `blocks`, no file of it may be larger. The signal that would end a process at its limit is ignored, so
    /// that it sees an error, as on a full disk.
    fn start(dir: &Path, blocks: Option<&str>) -> Self {
        let limited = format!("trap '' XFSZ; ulimit -f {}; exec \"$@\"", blocks.unwrap_or("unlimited"));
        let mut child = Command::new("sh")
            .args(["-c", &limited, "sh", env!("CARGO_BIN_EXE_tributary"), "local", "--json"])
            .args(["--sqs-listen", "127.0.0.1:0", "--lake-listen", "127.0.0.1:0", "--dir"])
            .arg(dir)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let answer: Value = serde_json::from_str(&line).expect("one JSON object");
        let url = |name: &str| answer[name].as_str().expect("a URL").to_owned();
        Self { sqs_url: url("sqs_url"), lake_url: url("lake_url"), child }
    }

    fn aws(&self) -> Aws {
        Aws::local(&self.sqs_url, &self.lake_url)
    }

    fn queue_url(&self) -> String {
        format!("{}/{}/events", self.sqs_url, tributary::local::ACCOUNT)
    }

    /// Sends until the queue says no. Returns what it took, and what it said.
    async fn fill_queue(&self) -> (BTreeSet<String>, String) {
        let client = self.aws().sqs(&self.queue_url());
        let mut taken = BTreeSet::new();
        for number in 0..TRIES {
            let body = format!("{number} {}", "z".repeat(8_000));
            let sent = client.send_message().queue_url(self.queue_url()).message_body(&body).send().await;
            match sent {
                Ok(_) => taken.insert(body),
                Err(error) => {
                    let status = error.raw_response().map(|response| response.status().as_u16());
                    assert_eq!(status, Some(500), "{error:?}");
                    return (taken, error.message().unwrap_or_default().to_owned());
                }
            };
        }
        panic!("the disk was never full");
    }

    /// What the queue holds.
    async fn bodies(&self) -> BTreeSet<String> {
        let client = self.aws().sqs(&self.queue_url());
        let mut bodies = BTreeSet::new();
        loop {
            let call = client.receive_message().queue_url(self.queue_url()).max_number_of_messages(10);
            let messages = call.send().await.expect("the queue answers").messages.unwrap_or_default();
            if messages.is_empty() {
                return bodies;
            }
            bodies.extend(messages.into_iter().filter_map(|message| message.body));
        }
    }

    /// Puts one event. Returns its lake event id, or the status and the sentence.
    async fn put(&self, number: usize) -> Result<String, (u16, String)> {
        let event = json!({
            "version": "1.0", "userIdentity": { "type": "User", "principalId": "p" }, "eventSource": "a.example.com",
            "eventName": "Login", "eventTime": "2026-01-02T03:04:05Z", "UID": number.to_string(),
            "recipientAccountId": "123456789012", "requestParameters": { "filler": "z".repeat(8_000) },
        });
        let entry = AuditEvent::builder().id(number.to_string()).event_data(event.to_string());
        let client = self.aws().lake("us-east-1", std::time::Duration::from_secs(10));
        let entry = entry.build().expect("an id and data");
        match client.put_audit_events().channel_arn(CHANNEL).audit_events(entry).send().await {
            Ok(answer) => Ok(answer.successful()[0].event_id().to_owned()),
            Err(error) => {
                let status = error.raw_response().map_or(0, |response| response.status().as_u16());
                Err((status, error.message().unwrap_or_default().to_owned()))
            }
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

fn assert_names_the_cure(said: &str, dir: &Path) {
    let expected =
        format!("could not keep state in {}; free space there, or start without --dir", dir.display());
    assert!(said.contains(&expected), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_nothing_acknowledged_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let full = Kept::start(folder.path(), Some(BLOCKS));
    let mut stored = vec![full.put(0).await.expect("there is room for the first")];
    let (taken, said) = full.fill_queue().await;
    assert!(taken.len() > 10, "only {} fitted", taken.len());
    assert_names_the_cure(&said, folder.path());
    let mut refused = 0;
    for number in 1..20 {
        match full.put(number).await {
            Ok(id) => stored.push(id),
            Err((status, said)) => {
                assert_eq!(status, 500, "{said}");
                assert_names_the_cure(&said, folder.path());
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the lake found room where the queue found none");
    println!("{} messages and {} events were acknowledged", taken.len(), stored.len());
    drop(full);

    let again = Kept::start(folder.path(), None);
    let found = again.bodies().await;
    assert!(found.is_superset(&taken), "{} of {} messages are there", found.len(), taken.len());
    let lake = LakeClient::new(&again.lake_url).expect("a lake's URL");
    for id in &stored {
        assert!(lake.event(id).await.expect("the lake answers").is_some(), "{id} is missing");
    }
    let listed = lake.events(&EventQuery { limit: Some(1_000), ..EventQuery::default() }).await;
    assert!(listed.expect("the lake answers").events.len() >= stored.len());
}
