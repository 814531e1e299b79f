//! Sends one batch, reads what became of every entry, and tries again what may work next time.

use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchRequestEntry};

use crate::{
    aws::{self, Failure, Reached},
    command::enqueue::pack::{Batch, Message},
    intervals::Intervals,
};

/// Attempts at one message, those of the SDK inside each not counted.
const ATTEMPTS_MAX: u32 = 8;

/// Codes of whole calls that no repetition cures: every other batch would fail alike.
const FATAL: &[&str] = &[
    "QueueDoesNotExist",
    "AWS.SimpleQueueService.NonExistentQueue",
    "InvalidAddress",
    "InvalidSecurity",
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "UnrecognizedClientException",
    "SignatureDoesNotMatch",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "KmsAccessDenied",
    "KmsDisabled",
    "KmsInvalidState",
    "KmsNotFound",
    "KmsOptInRequired",
];

/// Where messages go.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) client: aws_sdk_sqs::Client,
    pub(crate) queue_url: String,
    /// For a FIFO queue.
    pub(crate) group: Option<String>,
}

/// What became of a batch.
#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) messages: u64,
    pub(crate) events: u64,
    /// Not sent, each with its code.
    pub(crate) failed: Vec<(Message, String)>,
}

/// Sends until every message is sent or has failed for good.
///
/// # Errors
/// What no repetition cures. Messages of the batch may have been sent before.
pub(crate) async fn send(target: &Target, batch: Batch) -> Result<Sent, Failure> {
    let mut sent = Sent::default();
    let mut intervals = Intervals::for_calls();
    // The same entries keep their deduplication ids through all attempts, so a FIFO queue stores them once.
    let mut waiting =
        vec![batch.into_iter().map(|message| (message, uuid::Uuid::new_v4())).collect::<Vec<_>>()];
    let mut attempts = 0;
    while let Some(entries) = waiting.pop() {
        let left = match call(target, &entries).await {
            Ok(answer) => settle(&mut sent, entries, &answer),
            Err(failure) if is_fatal(&failure) => return Err(failure),
            // One message may be at fault: each alone tells which.
            Err(failure) if is_refusal(&failure) && entries.len() > 1 => {
                waiting.extend(entries.into_iter().rev().map(|entry| vec![entry]));
                continue;
            }
            Err(failure) if is_refusal(&failure) => {
                sent.failed.extend(entries.into_iter().map(|(message, _)| (message, failure.code.clone())));
                continue;
            }
            Err(failure) => entries.into_iter().map(|entry| (entry, failure.code.clone())).collect(),
        };
        if left.is_empty() {
            continue;
        }
        attempts += 1;
        if attempts >= ATTEMPTS_MAX {
            sent.failed.extend(left.into_iter().map(|((message, _), code)| (message, code)));
            continue;
        }
        waiting.push(left.into_iter().map(|(entry, _)| entry).collect());
        tokio::time::sleep(intervals.next_interval()).await;
    }
    Ok(sent)
}

type Entry = (Message, uuid::Uuid);

/// Counts what was sent, keeps what was refused, and gives back what may work next time, each with its code. An
/// entry that the answer does not mention is taken for not sent.
fn settle(sent: &mut Sent, entries: Vec<Entry>, answer: &Answer) -> Vec<(Entry, String)> {
    let mut again = Vec::new();
    for (position, entry) in entries.into_iter().enumerate() {
        let id = position.to_string();
        if answer.successful.contains(&id) {
            sent.messages += 1;
            sent.events += u64::from(entry.0.events);
            continue;
        }
        match answer.failed.iter().find(|failed| failed.id == id) {
            Some(failed) if failed.sender_fault => sent.failed.push((entry.0, failed.code.clone())),
            Some(failed) => again.push((entry, failed.code.clone())),
            None => again.push((entry, "unmentioned".into())),
        }
    }
    again
}

struct Answer {
    successful: Vec<String>,
    failed: Vec<BatchResultErrorEntry>,
}

async fn call(target: &Target, entries: &[Entry]) -> Result<Answer, Failure> {
    let entry = |(position, (message, deduplication)): (usize, &Entry)| {
        let id = position.to_string();
        let mut entry = SendMessageBatchRequestEntry::builder().id(id).message_body(&message.body);
        if let Some(group) = &target.group {
            entry = entry.message_group_id(group).message_deduplication_id(deduplication.to_string());
        }
        entry.build()
    };
    let entries: Result<Vec<_>, _> = entries.iter().enumerate().map(entry).collect();
    let entries = entries.map_err(|error| Failure {
        reached: Reached::NothingByOurFault,
        code: "invalid_request".into(),
        message: error.to_string(),
    })?;
    let request = target.client.send_message_batch().queue_url(&target.queue_url).set_entries(Some(entries));
    let output = request.send().await.map_err(|error| aws::failure(&error))?;
    let successful = output.successful.into_iter().map(|entry| entry.id).collect();
    Ok(Answer { successful, failed: output.failed })
}

fn is_fatal(failure: &Failure) -> bool {
    failure.reached == Reached::NothingByOurFault || FATAL.contains(&failure.code.as_str())
}

/// An answer that says no to this request, and would again.
fn is_refusal(failure: &Failure) -> bool {
    let is_throttle = failure.code.contains("Throttl");
    matches!(failure.reached, Reached::Answer(400..=499)) && !is_throttle
}
