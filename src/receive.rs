//! Stage 1, receive. In: a queue or a stream. Out: messages with the right to settle them. Next: decode.
//!
//! The seam [`Source`] and what it hands over. The loops that poll are in [`intake`]; adapters are files named
//! after what they adapt.

pub mod intake;
pub mod kinesis;
pub mod objects;
pub mod sqs;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::Instant;

use crate::{failure::CallError, settle::Receipt};

/// Names one delivery of one message to the source that made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Handle {
    /// The source's name for the message: the same at each delivery.
    pub message_id: Arc<str>,
    /// Which delivery of it, as counted by the adapter.
    pub delivery: u64,
}

/// Until when the message is ours. The source moves it while it keeps the message hidden from others.
#[derive(Clone, Debug)]
pub struct Deadline(Arc<Mutex<Instant>>);

impl Deadline {
    /// Ours until `at`.
    pub fn new(at: Instant) -> Self {
        Self(Arc::new(Mutex::new(at)))
    }

    /// When it ends, as known now.
    pub fn at(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The source gave us more time.
    pub fn move_to(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }
}

/// What is known of a message beside its body: what formats and routes may ask for, as `$message`. Payload, and in no
/// log, but for the names of the queue and of the object.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct About {
    /// The queue's name.
    pub source: Arc<str>,
    /// The message group that the producer chose, of any kind of queue.
    pub group: Option<Arc<str>>,
    /// The message attributes that are texts and not ours, by name.
    pub attributes: BTreeMap<String, String>,
    /// The S3 object that the event was read from, as `s3://bucket/key`.
    pub object: Option<Arc<str>>,
    /// Of a letter that was sent again: the destination that it was on its way to. It goes nowhere else, because the
    /// other destinations of its event had their own deliveries.
    pub redriven_to: Option<Arc<str>>,
    /// Of a letter that was sent again: the place of its event in the message, or in the object.
    pub redriven_at: Option<usize>,
}

impl About {
    /// What it takes, about.
    pub fn bytes(&self) -> usize {
        self.attributes.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// What a source hands over: plain values.
#[derive(Clone)]
pub struct Message {
    /// How to settle it.
    pub handle: Handle,
    /// As received.
    pub body: Bytes,
    /// The body is base64 of what the producer sent, because the queue could not carry the bytes.
    pub is_base64: bool,
    /// 1 for the first delivery.
    pub attempt: u32,
    /// When the producer sent it, by the source's clock.
    pub sent_at: Option<SystemTime>,
    /// Until when it is ours.
    pub deadline: Deadline,
    /// Messages of one group are settled in the order received.
    pub group: Option<Arc<str>>,
    /// An operator sent it again on purpose after it had been dead-lettered.
    pub is_redriven: bool,
    /// What came beside the body.
    pub about: Arc<About>,
}

impl Message {
    /// What it takes, about: its body and what came beside it.
    pub fn bytes(&self) -> usize {
        self.body.len() + self.about.bytes()
    }
}

#[cfg(test)]
impl Message {
    /// One that says nothing, for tests of what comes after it.
    pub(crate) fn empty(deadline: Deadline) -> Self {
        Self {
            handle: Handle { message_id: "m".into(), delivery: 1 },
            body: "".into(),
            is_base64: false,
            attempt: 1,
            sent_at: None,
            deadline,
            group: None,
            is_redriven: false,
            about: Arc::default(),
        }
    }
}

/// Where messages come from.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// Waits for at most [`Source::batch_max`] messages. An empty vector is a normal idle poll.
    ///
    /// # Errors
    /// The class says whether asking again can help.
    async fn receive(&self) -> Result<Vec<Message>, CallError>;

    /// The messages are done with: never deliver them again. One result for each handle, in the same order.
    async fn ack(&self, handles: &[Handle]) -> Vec<Result<(), CallError>>;

    /// Deliver the messages again, no sooner than their delay. One result for each handle, in the same order.
    async fn give_back(&self, handles: &[(Handle, Duration)]) -> Vec<Result<(), CallError>>;

    /// Keeps what was received and not settled from being delivered to others. Runs until it is dropped.
    async fn keep_alive(&self);

    /// Everything that was received is settled, and nothing more will be received: leave what others can have.
    async fn close(&self) {}

    /// Most messages of one poll.
    fn batch_max(&self) -> usize;

    /// Most bytes of bodies of one poll, about, where that is less than its messages could come to.
    fn batch_bytes_max(&self) -> usize {
        usize::MAX
    }

    /// Whether one more poll at once would find messages, although no poll came back full.
    fn has_more(&self) -> bool {
        false
    }
}

/// Where a delivery came from: enough to find the message again and to write its dead letter.
#[derive(Clone)]
pub struct Origin {
    /// The source's name for the message.
    pub message_id: Arc<str>,
    /// Which event of the message, or of the object that it led to, from 0; the same at each delivery.
    pub position: usize,
    /// The event's own bytes as received.
    pub original: Bytes,
    /// 1 for the first delivery of the message.
    pub attempt: u32,
    /// When the producer sent the message.
    pub sent_at: Option<SystemTime>,
    /// Until when the message is ours.
    pub deadline: Deadline,
    /// See [`Message::is_redriven`].
    pub is_redriven: bool,
    /// It is no record of the object, but stands for the object, or the rest of it.
    pub is_whole_object: bool,
    /// See [`Message::about`].
    pub about: Arc<About>,
}

impl Origin {
    /// Of the event that stands at `position` in `message`, with its own bytes.
    pub fn of(message: &Message, position: usize, original: Bytes) -> Self {
        Self {
            message_id: message.handle.message_id.clone(),
            position,
            original,
            attempt: message.attempt,
            sent_at: message.sent_at,
            deadline: message.deadline.clone(),
            is_redriven: message.is_redriven,
            is_whole_object: false,
            about: message.about.clone(),
        }
    }

    /// The message, or the object that it led to, and the place in it: names what has no id of its own. A record has
    /// the same name in every message about its object. What became of the object as a whole is another matter with
    /// each message about it.
    pub fn place(&self) -> String {
        let (message, position) = (&self.message_id, self.position);
        match &self.about.object {
            Some(object) if self.is_whole_object => format!("{message} {object}#{position}"),
            Some(object) => format!("{object}#{position}"),
            None => format!("{message}#{position}"),
        }
    }
}

/// An event on its way to one destination, with the one right to settle this delivery.
#[must_use = "a delivery must be settled"]
pub struct Delivery<E> {
    /// What is delivered.
    pub event: E,
    /// Where it came from.
    pub origin: Origin,
    /// The right to settle it.
    pub receipt: Receipt,
}

impl<E> Delivery<E> {
    /// The same delivery of something else: the event after one more stage, or the reason against it.
    pub fn map<T>(self, change: impl FnOnce(E) -> T) -> Delivery<T> {
        Delivery { event: change(self.event), origin: self.origin, receipt: self.receipt }
    }

    /// The event apart from its delivery.
    pub fn take(self) -> (E, Delivery<()>) {
        (self.event, Delivery { event: (), origin: self.origin, receipt: self.receipt })
    }
}

impl Delivery<()> {
    /// Puts an event into the delivery.
    pub fn with<E>(self, event: E) -> Delivery<E> {
        self.map(|()| event)
    }
}
