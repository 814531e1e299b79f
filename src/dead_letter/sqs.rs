//! The adapter to SQS: one message for each letter, its body the event's own bytes. Those that are too many are packed, and
//! those that are too many even so are kept elsewhere first.
//!
//! What the letter says about the event travels in message attributes, so that the queue's own redrive
//! (`StartMessageMoveTask`, the console's button) sends the event back as it came. The attribute `tributary.letter`
//! tells dedupe that an operator wants it tried again.

mod packed;
mod posted;
mod told;
mod words;

use posted::Posted;
pub(crate) use told::Told;
pub(crate) use words::about_again;

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use aws_sdk_sqs::{Client, types::QueueAttributeName};
use bytes::Bytes;

use super::{DeadLetter, Letter, StoreError, overflow::Overflow};
use crate::{
    aws::{
        Aws, Reached, failure,
        sqs::{class_of, of_entry},
    },
    config::{DeadLetterConfig, is_fifo},
    decode::Sum,
    failure::CallError,
    limits,
};

/// Holds the letter's words, as JSON.
pub const LETTER_ATTRIBUTE: &str = "tributary.letter";
/// Holds the reason code, for filters.
pub const REASON_ATTRIBUTE: &str = "tributary.reason";
/// `base64` where the body could not be carried as it is, or is packed; `empty` where there is none, and SQS wants one;
/// `stored` where it only leads to the event.
pub const ENCODING_ATTRIBUTE: &str = "tributary.encoding";
/// Stands for a body without a byte, where the encoding is `empty`.
const EMPTY_BODY: &str = "(empty)";

/// A queue for letters.
pub struct SqsDeadLetters {
    client: Client,
    queue_url: String,
    /// What the queue takes; asked for once.
    bytes_max: AtomicUsize,
    overflow: Option<Overflow>,
}

/// Letters of one call while they are sent.
struct Sending<'a> {
    letters: &'a SqsDeadLetters,
    results: Vec<Option<Result<(), StoreError>>>,
    batch: Vec<(usize, Posted)>,
    batch_bytes: usize,
}

impl SqsDeadLetters {
    /// Sends to the queue that `config` names.
    pub fn new(aws: &Aws, config: &DeadLetterConfig) -> Self {
        Self {
            client: aws.sqs(&config.queue_url),
            queue_url: config.queue_url.clone(),
            bytes_max: AtomicUsize::new(0),
            overflow: config.overflow.as_ref().map(|storage| Overflow::new(aws, storage)),
        }
    }

    /// The queue's own `MaximumMessageSize`, which may be lower than what SQS allows. Where the role may not ask,
    /// the highest is assumed, and the queue's refusal of a letter says the rest.
    async fn bytes_max(&self) -> usize {
        let known = self.bytes_max.load(Ordering::Relaxed);
        if known > 0 {
            return known;
        }
        let name = QueueAttributeName::MaximumMessageSize;
        let call =
            self.client.get_queue_attributes().queue_url(&self.queue_url).attribute_names(name.clone());
        let said = match call.send().await {
            Ok(answer) => answer.attributes.and_then(|attributes| attributes.get(&name)?.parse().ok()),
            // The moment's fault: a lower limit may be learnt by the next letter.
            Err(error) if !matches!(failure(&error).reached, Reached::Answer(400..500)) => {
                return limits::SQS_BYTES_MAX;
            }
            Err(_) => None,
        };
        let bytes = said.unwrap_or(limits::SQS_BYTES_MAX);
        self.bytes_max.store(bytes, Ordering::Relaxed);
        bytes
    }

    async fn send(&self, batch: &[(usize, Posted)]) -> Vec<(usize, Result<(), StoreError>)> {
        let is_fifo = is_fifo(&self.queue_url);
        let entries =
            batch.iter().map(|(at, posted)| posted.entry(*at, is_fifo)).collect::<Result<Vec<_>, _>>();
        let answer = match entries {
            Ok(entries) => {
                let call = self.client.send_message_batch().queue_url(&self.queue_url);
                call.set_entries(Some(entries)).send().await.map_err(|error| failure(&error))
            }
            Err(error) => return all(batch, &CallError::misconfigured("invalid_request", error.to_string())),
        };
        match answer {
            Ok(answer) => {
                let stored: HashSet<_> = answer.successful.into_iter().map(|entry| entry.id).collect();
                let mut failed: HashMap<_, _> = answer.failed.into_iter().map(of_entry).collect();
                let result = |at: &usize| match failed.remove(&at.to_string()) {
                    None if stored.contains(&at.to_string()) => Ok(()),
                    None => Err(StoreError::Call(CallError::transient(
                        "unmentioned",
                        "the answer omits this letter",
                    ))),
                    Some(failed) => Err(StoreError::Call(self.class(failed))),
                };
                batch.iter().map(|(at, _)| *at).zip(batch.iter().map(|(at, _)| at).map(result)).collect()
            }
            Err(failed) => all(batch, &self.class(failed)),
        }
    }

    fn class(&self, failed: crate::aws::Failure) -> CallError {
        class_of(failed, &self.queue_url, "sqs:SendMessage")
    }
}

#[async_trait]
impl DeadLetter for SqsDeadLetters {
    async fn store(&self, letters: &[Letter]) -> Vec<Result<(), StoreError>> {
        let bytes_max = self.bytes_max().await;
        let mut sending = Sending::new(self, letters.len());
        let mut apart = Vec::new();
        for (at, letter) in letters.iter().enumerate() {
            match Posted::within(letter, bytes_max, self.overflow.as_ref()).await {
                Ok(posted) => match posted.apart {
                    Some(sum) => apart.push((at, posted, sum, letter.original.clone())),
                    None => sending.add(at, posted).await,
                },
                Err(bytes) => sending.results[at] = Some(Err(StoreError::TooLarge { bytes, bytes_max })),
            }
        }
        if !apart.is_empty() {
            sending.send().await;
            self.keep_apart(apart, &mut sending).await;
        }
        sending.send().await;
        sending.results()
    }
}

impl SqsDeadLetters {
    /// Last, because a store that does not answer must not hold up letters that have no need of it. For the same reason
    /// nothing more is asked of it in this call.
    async fn keep_apart(&self, apart: Vec<(usize, Posted, Sum, Bytes)>, sending: &mut Sending<'_>) {
        let Some(overflow) = &self.overflow else { return };
        let mut failed = None;
        for (at, posted, sum, original) in apart {
            if failed.is_none() {
                failed = overflow.keep(sum, original).await.err();
            }
            match &failed {
                None => sending.add(at, posted).await,
                Some(error) => sending.results[at] = Some(Err(StoreError::Call(error.clone()))),
            }
        }
    }
}

impl<'a> Sending<'a> {
    fn new(letters: &'a SqsDeadLetters, count: usize) -> Self {
        Self { letters, results: (0..count).map(|_| None).collect(), batch: Vec::new(), batch_bytes: 0 }
    }

    /// Sends what was added before, where this one would be too much for a call.
    async fn add(&mut self, at: usize, posted: Posted) {
        let bytes = posted.bytes();
        if self.batch.len() == limits::SQS_BATCH_MAX || self.batch_bytes + bytes > limits::SQS_BYTES_MAX {
            self.send().await;
        }
        self.batch_bytes += bytes;
        self.batch.push((at, posted));
    }

    async fn send(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        self.batch_bytes = 0;
        for (at, result) in self.letters.send(&std::mem::take(&mut self.batch)).await {
            self.results[at] = Some(result);
        }
    }

    fn results(self) -> Vec<Result<(), StoreError>> {
        let unmentioned =
            || Err(StoreError::Call(CallError::transient("unmentioned", "the letter was not sent")));
        self.results.into_iter().map(|result| result.unwrap_or_else(unmentioned)).collect()
    }
}

fn all(batch: &[(usize, Posted)], error: &CallError) -> Vec<(usize, Result<(), StoreError>)> {
    batch.iter().map(|(at, _)| (*at, Err(StoreError::Call(error.clone())))).collect()
}

/// The bytes that a letter's body stands for, and whether they are base64 still. Only what [`Posted`] writes for
/// nothing is read as nothing: whatever else a producer claims, its body is kept.
pub(crate) fn decoded(body: String, encoding: Option<&str>) -> (Bytes, bool) {
    match encoding {
        Some("empty") if body == EMPTY_BODY => (Bytes::new(), false),
        _ => (Bytes::from(body), encoding == Some("base64")),
    }
}
