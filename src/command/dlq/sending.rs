//! Letters on their way back. In: letters, and the queue that is to have them. Out: for each of them whether SQS has confirmed
//! it. A letter that the answer does not mention was not sent, as far as we know.
//!
//! The letter goes as it is: its body and its attributes, by which dedupe knows that it is wanted again.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use aws_sdk_sqs::{
    Client,
    error::BuildError,
    types::{MessageSystemAttributeName, SendMessageBatchRequestEntry},
};
use tokio::time::sleep;

use super::letter::DeadLetterMessage;
use crate::{
    aws::{
        Failure, Reached, failure,
        sqs::{self, class_of, of_entry},
    },
    command::{CommandError, enqueue::queue::target},
    config::is_fifo,
    failure::is_throttling,
    intervals::Intervals,
    limits,
};

/// Tries of one letter, those of the SDK inside each not counted.
const TRIES_MAX: u32 = 5;

/// The queue that letters are sent back to.
pub(super) struct SourceQueue {
    client: Client,
    url: String,
}

/// What became of letters that were sent together.
#[derive(Default)]
pub(super) struct Sent {
    /// By message id: SQS has them.
    pub(super) confirmed: Vec<String>,
    /// By message id, with what SQS said: they stay where they are.
    pub(super) refused: Vec<(String, String)>,
}

impl SourceQueue {
    pub(super) async fn open(url: String) -> Self {
        Self { client: target(url.clone(), "").await.client, url }
    }

    /// Sends letters. What is confirmed is in `sent`, whatever is returned.
    ///
    /// # Errors
    /// The queue takes nothing; what is not known to be sent stays where it is.
    pub(super) async fn send(
        &self,
        letters: &[DeadLetterMessage],
        sent: &mut Sent,
    ) -> Result<(), CommandError> {
        let mut call: Vec<&DeadLetterMessage> = Vec::new();
        let mut bytes = 0;
        for letter in letters {
            if bytes + letter.bytes() > limits::SQS_BYTES_MAX || call.len() == limits::SQS_BATCH_MAX {
                self.send_call(std::mem::take(&mut call), sent).await?;
                bytes = 0;
            }
            bytes += letter.bytes();
            call.push(letter);
        }
        self.send_call(call, sent).await
    }

    async fn send_call(
        &self,
        mut waiting: Vec<&DeadLetterMessage>,
        sent: &mut Sent,
    ) -> Result<(), CommandError> {
        let mut intervals = Intervals::new(Duration::from_millis(100), Duration::from_secs(2));
        for tries in 1..=TRIES_MAX {
            if waiting.is_empty() {
                break;
            }
            let answers = match self.call(&waiting).await {
                Ok(answers) => answers,
                Err(failed) if is_ours(&failed) => return Err(self.takes_nothing(failed)),
                Err(failed) if tries == TRIES_MAX => return Err(self.takes_nothing(failed)),
                // One letter may be at fault for all: alone, each has its own answer.
                Err(failed) if !may_pass(&failed) && waiting.len() > 1 => {
                    for letter in waiting {
                        Box::pin(self.send_call(vec![letter], sent)).await?;
                    }
                    return Ok(());
                }
                Err(failed) => vec![Err(failed); waiting.len()],
            };
            let mut again = Vec::new();
            for (letter, answer) in waiting.into_iter().zip(answers) {
                match answer {
                    Ok(()) => sent.confirmed.push(letter.message_id.clone()),
                    Err(failed) if is_ours(&failed) => return Err(self.takes_nothing(failed)),
                    Err(failed) if may_pass(&failed) && tries < TRIES_MAX => again.push(letter),
                    Err(failed) => sent.refused.push((letter.message_id.clone(), failed.code)),
                }
            }
            waiting = again;
            if !waiting.is_empty() {
                sleep(intervals.next_interval()).await;
            }
        }
        Ok(())
    }

    /// One answer for each letter, in the same order.
    async fn call(&self, letters: &[&DeadLetterMessage]) -> Result<Vec<Result<(), Failure>>, Failure> {
        let invalid = |error: BuildError| Failure {
            reached: Reached::NothingByOurFault,
            code: "invalid_request".to_owned(),
            message: error.to_string(),
        };
        let entries = letters.iter().enumerate().map(|(at, letter)| self.entry(at, letter));
        let entries = entries.collect::<Result<Vec<_>, _>>().map_err(invalid)?;
        let call = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let answer = call.send().await.map_err(|error| failure(&error))?;
        let taken: HashSet<_> = answer.successful.into_iter().map(|entry| entry.id).collect();
        let mut failed: HashMap<_, _> = answer.failed.into_iter().map(of_entry).collect();
        let answer = |at: usize| match failed.remove(&at.to_string()) {
            Some(failed) => Err(failed),
            None if taken.contains(&at.to_string()) => Ok(()),
            None => Err(Failure {
                reached: Reached::Unknown,
                code: "unmentioned".to_owned(),
                message: "the answer omits this letter".to_owned(),
            }),
        };
        Ok((0..letters.len()).map(answer).collect())
    }

    fn entry(
        &self,
        at: usize,
        letter: &DeadLetterMessage,
    ) -> Result<SendMessageBatchRequestEntry, BuildError> {
        let entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(&letter.body);
        let entry = entry.set_message_attributes(Some(letter.attributes.clone()));
        let group = letter.told.as_ref().and_then(|told| told.about["group"].as_str());
        let moved_group = letter.system.get(&MessageSystemAttributeName::MessageGroupId).map(String::as_str);
        // A letter's own group names no order; that of its event stands in its words.
        let group = if letter.told.is_some() { group } else { moved_group };
        if is_fifo(&self.url) {
            // The same at each try, also of another run within five minutes: then it is there once.
            let entry = entry.message_deduplication_id(&letter.message_id);
            return entry.message_group_id(group.unwrap_or(&letter.message_id)).build();
        }
        // On a standard queue a group is a hint for fair sharing, which a letter need not give again: formats and
        // routes read it from the letter's words.
        entry.set_message_group_id(moved_group.filter(|_| letter.told.is_none()).map(str::to_owned)).build()
    }

    fn takes_nothing(&self, failed: Failure) -> CommandError {
        let said = class_of(failed, &self.url, "sqs:SendMessage");
        CommandError::Failed(format!("the queue {} takes nothing: {said}", self.url).into())
    }
}

fn is_ours(failed: &Failure) -> bool {
    failed.reached == Reached::NothingByOurFault || sqs::is_ours(&failed.code)
}

/// An answer that blames the letter stays the same when asked again.
fn may_pass(failed: &Failure) -> bool {
    match failed.reached {
        Reached::NothingByOurFault => false,
        Reached::Nothing | Reached::Unknown => true,
        Reached::Answer(status) => status >= 500 || is_throttling(&failed.code),
    }
}
