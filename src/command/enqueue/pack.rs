//! Packs pieces into messages and messages into batches that a queue or a stream takes. In: located pieces, and the
//! [`Limits`] of what takes them. Out: [`Batch`]es, and for each piece that no message can carry the reason. Pure.

use std::sync::Arc;

use crate::{
    aws::sqs::carries,
    command::enqueue::cut::{Located, Piece},
    limits,
};

/// Several events share a message only up to this size: queues made before the limit was raised to 1 MiB keep it.
const SHARED_BYTES_MAX: usize = 262_144;
/// Records share a call only up to this size: what a call held before records could be larger than 1 MiB, and what
/// other servers than AWS's still keep to.
const SHARED_CALL_BYTES_MAX: usize = limits::KINESIS_PUT_BYTES_MAX / 2;

/// What a message carries, and a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// What a message is called there.
    pub(crate) noun: &'static str,
    body_bytes_max: usize,
    events_per_message: u32,
    /// What comes beside each body and is counted with it.
    beside_bytes: usize,
    batch_messages_max: usize,
    /// Of several messages; one alone may be larger.
    batch_bytes_max: usize,
    /// Bodies are text of the characters that SQS carries.
    is_text: bool,
}

impl Limits {
    /// Of a queue.
    pub(crate) fn of_queue(events_per_message: u32) -> Self {
        Self {
            noun: "message",
            body_bytes_max: limits::SQS_BYTES_MAX,
            events_per_message,
            beside_bytes: 0,
            batch_messages_max: limits::SQS_BATCH_MAX,
            batch_bytes_max: limits::SQS_BYTES_MAX,
            is_text: true,
        }
    }

    /// Of a stream, whose records each have a key of so many bytes, and one event, so that each succeeds and fails by
    /// itself.
    pub(crate) fn of_stream(key_bytes: usize) -> Self {
        Self {
            noun: "record",
            body_bytes_max: limits::KINESIS_RECORD_BYTES_MAX.saturating_sub(key_bytes),
            events_per_message: 1,
            beside_bytes: key_bytes,
            batch_messages_max: limits::KINESIS_PUT_RECORDS_MAX,
            batch_bytes_max: SHARED_CALL_BYTES_MAX,
            is_text: false,
        }
    }
}

/// One message to be, or one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) body: Vec<u8>,
    /// Events in it; 1 for a piece that is sent as it is.
    pub(crate) events: u32,
    /// Where its first event begins.
    pub(crate) file: Arc<str>,
    pub(crate) line: u64,
}

/// As many messages as one call takes.
pub(crate) type Batch = Vec<Message>;

/// A piece that no message can carry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unsendable {
    pub(crate) line: u64,
    pub(crate) reason: String,
}

/// Collects until a batch is full.
pub(crate) struct Packer {
    limits: Limits,
    file: Arc<str>,
    open: Option<Message>,
    batch: Batch,
    full: Vec<Batch>,
}

impl Packer {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, file: Arc::from(""), open: None, batch: Batch::new(), full: Vec::new() }
    }

    /// The largest piece that may fit.
    pub(crate) fn piece_bytes_max(&self) -> usize {
        self.limits.body_bytes_max
    }

    /// The pieces that follow are of this file. No message spans two files.
    pub(crate) fn begin_file(&mut self, name: &str) {
        self.file = Arc::from(name);
        self.close();
    }

    /// Takes one piece. Afterwards [`Packer::take_full`] may give batches.
    ///
    /// # Errors
    /// No message can carry the piece.
    pub(crate) fn push(&mut self, located: Located) -> Result<(), Unsendable> {
        let Located { line, piece } = located;
        let unsendable = |reason: String| Unsendable { line, reason };
        let (bytes, is_event) = match piece {
            Piece::Event(bytes) => (bytes, true),
            Piece::AsItIs(bytes) => (bytes, false),
            Piece::TooLarge(bytes) => {
                let Limits { noun, body_bytes_max, .. } = self.limits;
                return Err(unsendable(format!("{bytes} bytes, and a {noun} holds {body_bytes_max}")));
            }
            Piece::EndsEarly => return Err(unsendable("the file ends inside an array".into())),
        };
        if self.limits.is_text {
            is_sendable(&bytes).map_err(|reason| unsendable(reason.into()))?;
        }
        let message = Message { body: bytes, events: 1, file: Arc::clone(&self.file), line };
        if self.limits.events_per_message > 1 && is_event {
            self.join(message);
        } else {
            self.close();
            self.add(message);
        }
        Ok(())
    }

    /// The batches that are full.
    pub(crate) fn take_full(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.full)
    }

    /// What is left at the end.
    pub(crate) fn finish(mut self) -> Vec<Batch> {
        self.close();
        if !self.batch.is_empty() {
            self.full.push(self.batch);
        }
        self.full
    }

    /// Puts an event on a line of its own in the open message.
    fn join(&mut self, mut event: Message) {
        // Outside strings a line break is white space, and inside there is none: each event becomes one line.
        for byte in event.body.iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
            *byte = b' ';
        }
        match &mut self.open {
            Some(open) if open.body.len() + 1 + event.body.len() <= SHARED_BYTES_MAX => {
                open.body.push(b'\n');
                open.body.append(&mut event.body);
                open.events += 1;
                if open.events == self.limits.events_per_message {
                    self.close();
                }
            }
            _ => {
                self.close();
                self.open = Some(event);
            }
        }
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.add(open);
        }
    }

    fn add(&mut self, message: Message) {
        let Limits { beside_bytes, batch_messages_max, batch_bytes_max, .. } = self.limits;
        let bytes_of = |message: &Message| message.body.len() + beside_bytes;
        let bytes = self.batch.iter().map(bytes_of).sum::<usize>() + bytes_of(&message);
        let is_full = self.batch.len() == batch_messages_max || bytes > batch_bytes_max;
        if is_full && !self.batch.is_empty() {
            self.full.push(std::mem::take(&mut self.batch));
        }
        self.batch.push(message);
    }
}

/// Whether SQS carries it.
fn is_sendable(bytes: &[u8]) -> Result<(), &'static str> {
    let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8, which a message must be")?;
    if text.chars().all(carries) { Ok(()) } else { Err("holds a character that SQS does not carry") }
}

#[cfg(test)]
mod tests;
