//! Sends one batch, reads what became of every entry, and tries again what may work next time.

use std::time::Duration;

use aws_sdk_sqs::types::{BatchResultErrorEntry, SendMessageBatchRequestEntry};

use crate::{
    aws::{self, Failure, Reached, sqs::OURS},
    command::enqueue::pack::{Batch, Message},
    failure::is_throttling,
    intervals::Intervals,
};

/// Attempts at one message, those of the SDK inside each not counted.
const ATTEMPTS_MAX: u32 = 8;

/// Shortest and longest wait before a batch is tried again.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

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
    /// Not sent.
    pub(crate) failed: Vec<NotSent>,
    /// The queue takes nothing: what is in none of the numbers above was not sent, as far as we know.
    pub(crate) refused: Option<Failure>,
}

/// A message that was not sent.
pub(crate) struct NotSent {
    pub(crate) message: Message,
    /// What the queue said.
    pub(crate) code: String,
    /// It would say so again: the message is at fault.
    pub(crate) is_final: bool,
}

/// How long to wait before a batch is tried again.
pub(crate) fn intervals() -> Intervals {
    Intervals::new(FIRST_WAIT, LONGEST_WAIT)
}

/// Sends until every message is sent or has failed for good, or until it is clear that no call will succeed.
pub(crate) async fn send(target: &Target, batch: Batch, mut intervals: Intervals) -> Sent {
    let mut sent = Sent::default();
    // An entry keeps its deduplication id through all attempts, so that a FIFO queue stores it once.
    let mut waiting =
        vec![batch.into_iter().map(|message| (message, uuid::Uuid::new_v4())).collect::<Vec<_>>()];
    let mut attempts = 0;
    while let Some(entries) = waiting.pop() {
        attempts += 1;
        let again = match call(target, &entries).await {
            Ok(answer) => settle(&mut sent, entries, &answer, attempts < ATTEMPTS_MAX),
            // One message may be at fault: each alone tells which.
            Err(failure) if is_refusal(&failure) && entries.len() > 1 => {
                waiting.extend(entries.into_iter().rev().map(|entry| vec![entry]));
                attempts = 0;
                continue;
            }
            Err(failure) if is_refusal(&failure) => {
                let (code, is_final) = (&failure.code, is_of_the_message(&failure.code));
                let not_sent = |(message, _)| NotSent { message, code: code.clone(), is_final };
                sent.failed.extend(entries.into_iter().map(not_sent));
                Vec::new()
            }
            Err(failure) if is_fatal(&failure) || attempts >= ATTEMPTS_MAX => {
                sent.refused = Some(failure);
                return sent;
            }
            Err(_) => entries,
        };
        if again.is_empty() {
            attempts = 0;
        } else {
            waiting.push(again);
            tokio::time::sleep(intervals.next_interval()).await;
        }
    }
    sent
}

type Entry = (Message, uuid::Uuid);

/// Counts what was sent, keeps what was refused, and gives back what may work next time. An entry that the answer
/// does not mention is taken for not sent.
fn settle(sent: &mut Sent, entries: Vec<Entry>, answer: &Answer, may_try_again: bool) -> Vec<Entry> {
    let mut again = Vec::new();
    for (position, entry) in entries.into_iter().enumerate() {
        let id = position.to_string();
        if answer.successful.contains(&id) {
            sent.messages += 1;
            sent.events += u64::from(entry.0.events);
            continue;
        }
        let failed = answer.failed.iter().find(|failed| failed.id == id);
        let is_final = failed.is_some_and(|failed| failed.sender_fault && is_of_the_message(&failed.code));
        if may_try_again && !is_final {
            again.push(entry);
        } else {
            let code = failed.map_or("unmentioned", |failed| &failed.code).to_owned();
            sent.failed.push(NotSent { message: entry.0, code, is_final });
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
    failure.reached == Reached::NothingByOurFault || OURS.contains(&failure.code.as_str())
}

/// Whether a code says that this message can never be sent, whoever sends it and when. Only then may it be passed over:
/// what is said of a key, a permission or a proxy holds for every message, and may be cured.
fn is_of_the_message(code: &str) -> bool {
    OF_THE_MESSAGE.contains(&code)
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>, and what the
/// service says of a message that is too long.
const OF_THE_MESSAGE: [&str; 5] = [
    "InvalidMessageContents",
    "InvalidParameterValue",
    "MessageTooLong",
    "BatchRequestTooLong",
    "AWS.SimpleQueueService.BatchRequestTooLong",
];

/// An answer that says no to this request, and would again.
fn is_refusal(failure: &Failure) -> bool {
    let is_throttle = is_throttling(&failure.code);
    matches!(failure.reached, Reached::Answer(400..=499)) && !is_throttle && !is_fatal(failure)
}

#[cfg(test)]
pub(in crate::command) mod tests;
