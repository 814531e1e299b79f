//! The adapter to SQS: one message for each letter, its body the event's own bytes.
//!
//! What the letter says about the event travels in message attributes, so that the queue's own redrive
//! (`StartMessageMoveTask`, the console's button) sends the event back as it came. The attribute `tributary.letter`
//! tells dedupe that an operator wants it tried again.

mod words;

use words::Attributes;
pub(crate) use words::about_again;

use std::{
    collections::{HashMap, HashSet},
    sync::atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    types::{MessageAttributeValue, QueueAttributeName, SendMessageBatchRequestEntry},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::{DeadLetter, Letter, StoreError};
use crate::{
    aws::{
        Aws, Reached, failure,
        sqs::{carries, class_of, of_entry},
    },
    config::{DeadLetterConfig, is_fifo},
    failure::CallError,
    limits,
};

/// Holds the letter's words, as JSON.
pub const LETTER_ATTRIBUTE: &str = "tributary.letter";
/// Holds the reason code, for filters.
pub const REASON_ATTRIBUTE: &str = "tributary.reason";
/// `base64` where the body could not be carried as it is; `empty` where there is none, and SQS wants one.
pub const ENCODING_ATTRIBUTE: &str = "tributary.encoding";
/// Stands for a body without a byte, where the encoding is `empty`.
const EMPTY_BODY: &str = "(empty)";
/// Says that every attribute is text; counts towards the size.
const STRING_TYPE: &str = "String";

/// A queue for letters.
pub struct SqsDeadLetters {
    client: Client,
    queue_url: String,
    /// What the queue takes; asked for once.
    bytes_max: AtomicUsize,
}

/// A letter as it will be sent.
struct Posted {
    body: String,
    attributes: Vec<(&'static str, String)>,
}

impl SqsDeadLetters {
    /// Sends to the queue that `config` names.
    pub fn new(aws: &Aws, config: &DeadLetterConfig) -> Self {
        let client = aws.sqs(&config.queue_url);
        Self { client, queue_url: config.queue_url.clone(), bytes_max: AtomicUsize::new(0) }
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
        let mut results: Vec<Option<Result<(), StoreError>>> = letters.iter().map(|_| None).collect();
        let mut batch: Vec<(usize, Posted)> = Vec::new();
        let mut batch_bytes = 0;
        for (at, letter) in letters.iter().enumerate() {
            let posted = match Posted::within(letter, bytes_max) {
                Ok(posted) => posted,
                Err(bytes) => {
                    results[at] = Some(Err(StoreError::TooLarge { bytes, bytes_max }));
                    continue;
                }
            };
            if batch.len() == limits::SQS_BATCH_MAX || batch_bytes + posted.bytes() > limits::SQS_BYTES_MAX {
                for (at, result) in self.send(&std::mem::take(&mut batch)).await {
                    results[at] = Some(result);
                }
                batch_bytes = 0;
            }
            batch_bytes += posted.bytes();
            batch.push((at, posted));
        }
        if !batch.is_empty() {
            for (at, result) in self.send(&batch).await {
                results[at] = Some(result);
            }
        }
        let unmentioned =
            || Err(StoreError::Call(CallError::transient("unmentioned", "the letter was not sent")));
        results.into_iter().map(|result| result.unwrap_or_else(unmentioned)).collect()
    }
}

impl Posted {
    /// The letter with as much of its words as fits: its sentence is shortened, then the attributes of the event's
    /// message are left out. Else the number of bytes that it needs.
    fn within(letter: &Letter, bytes_max: usize) -> Result<Self, usize> {
        let whole = Self::shortened(letter, Attributes::Kept, bytes_max);
        if whole.is_ok() || letter.about.attributes.is_empty() {
            return whole;
        }
        Self::shortened(letter, Attributes::LeftOut, bytes_max)
    }

    fn shortened(letter: &Letter, kept: Attributes, bytes_max: usize) -> Result<Self, usize> {
        let whole = Self::new(letter, &letter.detail, kept);
        if whole.bytes() <= bytes_max {
            return Ok(whole);
        }
        let least = Self::new(letter, "", kept);
        if least.bytes() > bytes_max {
            return Err(least.bytes());
        }
        let room = bytes_max - least.bytes();
        // One byte of the sentence may take six when escaped.
        let cut = letter.detail.floor_char_boundary(room / 6);
        Ok(Self::new(letter, &letter.detail[..cut], kept))
    }

    fn new(letter: &Letter, detail: &str, kept: Attributes) -> Self {
        let mut attributes = vec![
            (LETTER_ATTRIBUTE, words::words(letter, detail, kept)),
            (REASON_ATTRIBUTE, letter.reason.code().to_owned()),
        ];
        let body = match std::str::from_utf8(&letter.original) {
            Ok("") => {
                attributes.push((ENCODING_ATTRIBUTE, "empty".to_owned()));
                EMPTY_BODY.to_owned()
            }
            Ok(text) if text.chars().all(carries) => text.to_owned(),
            _ => {
                attributes.push((ENCODING_ATTRIBUTE, "base64".to_owned()));
                STANDARD.encode(&letter.original)
            }
        };
        Self { body, attributes }
    }

    /// As SQS counts: the body, and of each attribute its name, its type and its value.
    fn bytes(&self) -> usize {
        let attributes =
            self.attributes.iter().map(|(name, value)| name.len() + STRING_TYPE.len() + value.len());
        self.body.len() + attributes.sum::<usize>()
    }

    fn entry(
        &self,
        at: usize,
        is_fifo: bool,
    ) -> Result<SendMessageBatchRequestEntry, aws_sdk_sqs::error::BuildError> {
        let mut entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(&self.body);
        for (name, value) in &self.attributes {
            let value =
                MessageAttributeValue::builder().data_type(STRING_TYPE).string_value(value).build()?;
            entry = entry.message_attributes(*name, value);
        }
        if is_fifo {
            // Letters are in no order among themselves, and none waits for another in its group; each is sent
            // once, whatever its content.
            let unique = uuid::Uuid::new_v4().to_string();
            entry = entry.message_group_id(&unique).message_deduplication_id(unique);
        }
        entry.build()
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
