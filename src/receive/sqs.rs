//! The adapter to SQS: standard and FIFO queues.
//!
//! Rules of the service:
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html>. A receipt handle changes at
//! each receive, and only the latest deletes; a batch call succeeds as a whole while single entries fail.

pub(crate) mod batches;
mod held;

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use aws_sdk_sqs::{
    Client,
    types::{Message as SqsMessage, MessageAttributeValue, MessageSystemAttributeName as Attribute},
};
use md5::{Digest, Md5};
use tokio::time::{Instant, sleep};
use tracing::{debug, warn};

use super::{About, Deadline, Handle, Message, Source};
use crate::{
    aws::{Aws, Failure, failure, sqs::class_of},
    config::{QueueConfig, is_fifo},
    dead_letter::sqs::{ENCODING_ATTRIBUTE, LETTER_ATTRIBUTE, about_again, decoded},
    failure::CallError,
    intervals::jittered,
    limits,
    metrics::Metrics,
};
use batches::{Entry, in_batches};
use held::{Held, HeldMessages};

/// Attributes with this start are Tributary's own.
const OWN_ATTRIBUTES: &str = "tributary.";
/// How often the heartbeat looks for messages to extend.
const HEARTBEAT_LOOK: Duration = Duration::from_millis(500);

/// A queue as a source.
pub struct SqsSource {
    client: Client,
    queue_url: String,
    queue_name: Arc<str>,
    wait: Duration,
    visibility: Duration,
    held: HeldMessages,
    metrics: Arc<Metrics>,
}

impl SqsSource {
    /// Receives from the queue that `config` names.
    pub fn new(aws: &Aws, config: &QueueConfig, metrics: Arc<Metrics>) -> Self {
        Self {
            client: aws.sqs(&config.queue_url),
            queue_url: config.queue_url.clone(),
            queue_name: config.name().into(),
            wait: config.wait,
            visibility: config.visibility,
            held: HeldMessages::default(),
            metrics,
        }
    }

    fn class(&self, call: &'static str, failed: Failure) -> CallError {
        self.metrics.process.source_errors.by(&[("call", call), ("code", &failed.code)]).increment(1);
        let actions = "sqs:ReceiveMessage, sqs:DeleteMessage and sqs:ChangeMessageVisibility";
        class_of(failed, &self.queue_url, actions)
    }

    /// `None`: not as sent, or without the parts that every message has. It was left to come again.
    fn message(&self, received: SqsMessage, now: Instant) -> Option<Message> {
        let SqsMessage {
            message_id, receipt_handle, md5_of_body, body, attributes, message_attributes, ..
        } = received;
        let (message_id, receipt_handle, body) = (message_id?, receipt_handle?, body?);
        let attributes = attributes.unwrap_or_default();
        let message_attributes = message_attributes.unwrap_or_default();
        let message_id: Arc<str> = message_id.into();
        if md5_of_body.is_some_and(|md5| md5 != md5_hex(body.as_bytes())) {
            warn!(stage = "receive", %message_id, "the body does not match its MD5, the message will come again");
            self.metrics.process.source_errors.by(&[("call", "receive"), ("code", "bad_md5")]).increment(1);
            return None;
        }
        let deadline = Deadline::new(now + self.visibility);
        let delivery = self.held.add(&message_id, receipt_handle, &deadline, now, self.visibility);
        let encoding =
            message_attributes.get(ENCODING_ATTRIBUTE).and_then(|encoding| encoding.string_value());
        let (body, is_base64) = decoded(body, encoding);
        let is_redriven = message_attributes.contains_key(LETTER_ATTRIBUTE);
        Some(Message {
            handle: Handle { message_id, delivery },
            body,
            is_base64,
            attempt: attribute(&attributes, &Attribute::ApproximateReceiveCount).unwrap_or(1),
            sent_at: attribute(&attributes, &Attribute::SentTimestamp)
                .map(|millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis)),
            deadline,
            // On a standard queue a group is only a hint for fair sharing and orders nothing.
            group: attributes
                .get(&Attribute::MessageGroupId)
                .filter(|_| is_fifo(&self.queue_url))
                .map(|group| group.as_str().into()),
            is_redriven,
            about: Arc::new(self.about(&attributes, message_attributes)),
        })
    }

    /// What came beside the body; of a letter, what came beside its event.
    fn about(
        &self,
        attributes: &HashMap<Attribute, String>,
        mut own: HashMap<String, MessageAttributeValue>,
    ) -> About {
        let letter = own.remove(LETTER_ATTRIBUTE).and_then(|letter| letter.string_value);
        let now = About {
            source: self.queue_name.clone(),
            group: attributes.get(&Attribute::MessageGroupId).map(|group| group.as_str().into()),
            attributes: texts(own),
            object: None,
            redriven_to: None,
            redriven_at: None,
        };
        match letter {
            Some(words) => about_again(&words, now),
            None => now,
        }
    }

    /// Extends what is due, in batches of ten.
    async fn extend(&self, due: Vec<Held>) {
        let entries = due
            .into_iter()
            .map(|held| {
                let seconds = held.extension(self.visibility).as_secs();
                Entry { receipt_handle: held.receipt_handle.clone(), seconds, of: held }
            })
            .filter(|entry| entry.seconds > 0)
            .collect();
        let called_at = Instant::now();
        for (entry, result) in
            in_batches(&self.client, &self.queue_url, batches::Call::ChangeVisibility, entries).await
        {
            let result_label = if result.is_ok() { "ok" } else { "failed" };
            self.metrics.process.heartbeats.by(&[("result", result_label)]).increment(1);
            match result {
                Ok(()) => self.held.extended(&entry.of, called_at + Duration::from_secs(entry.seconds)),
                Err(failed) => {
                    let error = self.class("extend", failed);
                    warn!(stage = "receive", message_id = %entry.of.message_id, code = error.code(), %error,
                        "could not keep a message hidden, it may be delivered to others as well");
                }
            }
        }
    }
}

#[async_trait]
impl Source for SqsSource {
    async fn receive(&self) -> Result<Vec<Message>, CallError> {
        let seconds = |duration: Duration| i32::try_from(duration.as_secs()).unwrap_or(i32::MAX);
        let messages_max = i32::try_from(limits::SQS_BATCH_MAX).unwrap_or(i32::MAX);
        // Visibility counts from the moment in which the service hands the messages out, which is after this.
        let answer = self
            .client
            .receive_message()
            .queue_url(&self.queue_url)
            .max_number_of_messages(messages_max)
            .wait_time_seconds(seconds(self.wait))
            .visibility_timeout(seconds(self.visibility))
            .message_system_attribute_names(Attribute::ApproximateReceiveCount)
            .message_system_attribute_names(Attribute::SentTimestamp)
            .message_system_attribute_names(Attribute::MessageGroupId)
            .message_attribute_names("All")
            .send()
            .await
            .map_err(|error| self.class("receive", failure(&error)))?;
        let now = Instant::now();
        Ok(answer
            .messages
            .unwrap_or_default()
            .into_iter()
            .filter_map(|message| self.message(message, now))
            .collect())
    }

    async fn ack(&self, handles: &[Handle]) -> Vec<Result<(), CallError>> {
        // The latest handle is the one that deletes, whichever delivery it came with.
        let latest: Vec<_> = handles.iter().map(|handle| self.held.remove(handle)).collect();
        let entries = latest
            .into_iter()
            .enumerate()
            .filter_map(|(at, held)| {
                held.map(|held| Entry { receipt_handle: held.receipt_handle, seconds: 0, of: at })
            })
            .collect();
        let mut results: Vec<_> = handles.iter().map(|_| Ok(())).collect();
        for (entry, result) in in_batches(&self.client, &self.queue_url, batches::Call::Delete, entries).await
        {
            results[entry.of] = result.map_err(|failed| self.class("delete", failed));
        }
        results
    }

    async fn give_back(&self, handles: &[(Handle, Duration)]) -> Vec<Result<(), CallError>> {
        let entries = handles
            .iter()
            .enumerate()
            .filter_map(|(at, (handle, after))| {
                let held = self.held.release(handle)?;
                let seconds = after.as_secs().min(limits::SQS_VISIBILITY_SECONDS_MAX);
                Some(Entry { receipt_handle: held.receipt_handle, seconds, of: at })
            })
            .collect();
        let mut results: Vec<_> = handles.iter().map(|_| Ok(())).collect();
        for (entry, result) in
            in_batches(&self.client, &self.queue_url, batches::Call::ChangeVisibility, entries).await
        {
            results[entry.of] = result.map_err(|failed| self.class("give_back", failed));
        }
        results
    }

    async fn keep_alive(&self) {
        loop {
            sleep(jittered(HEARTBEAT_LOOK)).await;
            let due = self.held.due(Instant::now());
            if !due.is_empty() {
                debug!(stage = "receive", messages = due.len(), "extending");
                self.extend(due).await;
            }
        }
    }

    fn batch_max(&self) -> usize {
        limits::SQS_BATCH_MAX
    }
}

fn attribute<T: std::str::FromStr>(attributes: &HashMap<Attribute, String>, name: &Attribute) -> Option<T> {
    attributes.get(name)?.parse().ok()
}

/// The producer's own attributes. Binary ones say nothing that a format or a route could ask for.
fn texts(attributes: HashMap<String, MessageAttributeValue>) -> BTreeMap<String, String> {
    attributes
        .into_iter()
        .filter(|(name, _)| !name.starts_with(OWN_ATTRIBUTES))
        .filter_map(|(name, value)| Some((name, value.string_value?)))
        .collect()
}

/// As SQS writes it.
pub(crate) fn md5_hex(bytes: &[u8]) -> String {
    let mut hex = String::with_capacity(32);
    for byte in Md5::digest(bytes) {
        // Writing to a string cannot fail.
        write!(hex, "{byte:02x}").ok();
    }
    hex
}
