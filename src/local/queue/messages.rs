//! The messages of one queue and where each one is: visible, delayed or in flight. No clock of its own, no lock,
//! no disk.
//!
//! In: messages, and the time it is. Out: deliveries, in about the order of sending.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    fault::{Code, Fault},
    wire::Attributes,
};
use crate::limits;

/// Received and not yet deleted, in one standard queue.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html>
const IN_FLIGHT_MAX: usize = 120_000;

/// What was sent.
#[derive(Serialize, Deserialize)]
pub(super) struct Payload {
    pub(super) id: String,
    pub(super) body: String,
    pub(super) md5: String,
    pub(super) sent_ms: u64,
    pub(super) attributes: Attributes,
    pub(super) trace_header: Option<String>,
    pub(super) group_id: Option<String>,
}

impl Payload {
    /// Tells this message from any other that had its number.
    fn mark(&self) -> u64 {
        Uuid::try_parse(&self.id).map_or(0, |id| id.as_u64_pair().0)
    }

    /// As SQS counts it: body and attributes.
    pub(super) fn bytes(&self) -> usize {
        self.body.len() + super::send::attribute_bytes(&self.attributes)
    }
}

/// What was sent and what became of it so far.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Message {
    #[serde(with = "shared")]
    pub(super) payload: Arc<Payload>,
    pub(super) receives: u32,
    /// Zero before the first receive.
    pub(super) first_received_ms: u64,
    /// ARN of the queue that it came from, in a dead-letter queue.
    pub(super) dead_letter_source: Option<String>,
}

/// Serde for an `Arc` that is never shared on disk.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Payload;

    pub(super) fn serialize<S: Serializer>(payload: &Arc<Payload>, output: S) -> Result<S::Ok, S::Error> {
        payload.as_ref().serialize(output)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Arc<Payload>, D::Error> {
        Payload::deserialize(input).map(Arc::new)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Visible,
    Delayed { until: Instant },
    InFlight { until: Instant, since: Instant },
}

struct Entry {
    message: Message,
    place: Place,
    /// Of the latest receive in this run of the program; zero before the first.
    receipt: u64,
}

/// Names one receive of one message.
#[derive(Clone, Copy)]
pub(super) struct Handle {
    /// Of the queue, so that no other queue takes it.
    tag: u64,
    /// Of the run of the program that made it.
    run: u64,
    pub(super) number: u64,
    /// Of the message: after a restart, a number can come again.
    mark: u64,
    receipt: u64,
}

impl Handle {
    fn encode(self) -> String {
        let words = [self.tag, self.run, self.number, self.mark, self.receipt];
        BASE64_URL_SAFE_NO_PAD.encode(words.map(u64::to_be_bytes).concat())
    }

    fn decode(text: &str) -> Option<Self> {
        let bytes: [u8; 40] = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let mut words = bytes.as_chunks::<8>().0.iter().copied().map(u64::from_be_bytes);
        let mut next = || words.next();
        Some(Self { tag: next()?, run: next()?, number: next()?, mark: next()?, receipt: next()? })
    }
}

/// One message, received.
pub(super) struct Delivery {
    pub(super) message: Message,
    pub(super) handle: String,
}

/// How many messages are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) visible: usize,
    pub(super) in_flight: usize,
    pub(super) delayed: usize,
}

/// All messages of one queue.
pub(super) struct Messages {
    tag: u64,
    run: u64,
    next: u64,
    receipts: u64,
    entries: HashMap<u64, Entry>,
    /// May name messages that are gone or elsewhere by now; they are skipped.
    visible: VecDeque<u64>,
    /// Delayed or in flight, by the time at which they become visible.
    hidden: BTreeSet<(Instant, u64)>,
    in_flight: usize,
    bytes: usize,
}

impl Messages {
    /// None yet. `tag` tells this queue's handles from others', `run` those of this process.
    pub(super) fn new(tag: u64, run: u64) -> Self {
        Self {
            tag,
            run,
            next: 0,
            receipts: 0,
            entries: HashMap::new(),
            visible: VecDeque::new(),
            hidden: BTreeSet::new(),
            in_flight: 0,
            bytes: 0,
        }
    }

    /// The number that the next message gets.
    pub(super) fn next_number(&self) -> u64 {
        self.next
    }

    /// Payload bytes of all messages.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a message that becomes visible at once, or `until` a time.
    pub(super) fn insert(&mut self, number: u64, message: Message, until: Option<Instant>) {
        self.next = self.next.max(number + 1);
        self.bytes += message.payload.bytes();
        let place = if let Some(until) = until {
            self.hidden.insert((until, number));
            Place::Delayed { until }
        } else {
            self.visible.push_back(number);
            Place::Visible
        };
        self.entries.insert(number, Entry { message, place, receipt: 0 });
    }

    /// Makes visible what has waited long enough.
    pub(super) fn release(&mut self, now: Instant) {
        while let Some(&(until, number)) = self.hidden.first()
            && until <= now
        {
            self.hidden.pop_first();
            if let Some(entry) = self.entries.get_mut(&number) {
                self.in_flight -= usize::from(matches!(entry.place, Place::InFlight { .. }));
                entry.place = Place::Visible;
                self.visible.push_back(number);
            }
        }
    }

    /// When the next hidden message becomes visible.
    pub(super) fn next_release(&self) -> Option<Instant> {
        self.hidden.first().map(|(until, _)| *until)
    }

    /// Whether a receive would find something.
    pub(super) fn has_visible(&self) -> bool {
        self.entries.len() > self.hidden.len()
    }

    /// Numbers of visible messages to be received next, those first that wait longest. Drops stale ones.
    fn next_visible(&mut self) -> Option<u64> {
        while let Some(number) = self.visible.pop_front() {
            if self.entries.get(&number).is_some_and(|entry| entry.place == Place::Visible) {
                return Some(number);
            }
        }
        None
    }

    /// Receives one message, hiding it until a time.
    ///
    /// # Errors
    /// `OverLimit` when too many are in flight.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        now_ms: u64,
        visibility: Duration,
    ) -> Result<Option<Delivery>, Fault> {
        if self.in_flight >= IN_FLIGHT_MAX {
            let message = format!("{IN_FLIGHT_MAX} messages of this queue are in flight; delete some first");
            return Err(Fault::new(Code::OverLimit, message));
        }
        let Some(number) = self.next_visible() else { return Ok(None) };
        let Some(entry) = self.entries.get_mut(&number) else { return Ok(None) };
        self.receipts += 1;
        entry.receipt = self.receipts;
        entry.message.receives += 1;
        if entry.message.first_received_ms == 0 {
            entry.message.first_received_ms = now_ms;
        }
        let until = now + visibility;
        entry.place = Place::InFlight { until, since: now };
        self.hidden.insert((until, number));
        self.in_flight += 1;
        let (tag, run, mark) = (self.tag, self.run, entry.message.payload.mark());
        let handle = Handle { tag, run, number, mark, receipt: entry.receipt }.encode();
        Ok(Some(Delivery { message: entry.message.clone(), handle }))
    }

    /// Takes out the visible messages at the head that `is_over`, at most `max`.
    pub(super) fn take_visible(
        &mut self,
        max: usize,
        is_over: impl Fn(&Message) -> bool,
    ) -> Vec<(u64, Message)> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some(number) = self.next_visible()
        {
            if self.entries.get(&number).is_some_and(|entry| is_over(&entry.message)) {
                taken.extend(self.remove(number).map(|message| (number, message)));
            } else {
                self.visible.push_front(number);
                break;
            }
        }
        taken
    }

    /// Removes a message wherever it is.
    pub(super) fn remove(&mut self, number: u64) -> Option<Message> {
        let entry = self.entries.remove(&number)?;
        self.bytes -= entry.message.payload.bytes();
        if let Place::Delayed { until } | Place::InFlight { until, .. } = entry.place {
            self.hidden.remove(&(until, number));
        }
        self.in_flight -= usize::from(matches!(entry.place, Place::InFlight { .. }));
        Some(entry.message)
    }

    /// Reads a receipt handle.
    ///
    /// # Errors
    /// `ReceiptHandleIsInvalid` when it is none of this queue's.
    pub(super) fn handle(&self, text: &str) -> Result<Handle, Fault> {
        Handle::decode(text).filter(|handle| handle.tag == self.tag).ok_or_else(|| {
            Fault::new(Code::ReceiptHandleIsInvalid, "the receipt handle is none of this queue's")
        })
    }

    /// Whether a handle is of the latest receive. One from before a restart is, until the message is received anew.
    pub(super) fn is_latest(&self, handle: Handle) -> bool {
        let receipt = if handle.run == self.run { handle.receipt } else { 0 };
        let is_latest =
            |entry: &Entry| entry.receipt == receipt && entry.message.payload.mark() == handle.mark;
        self.entries.get(&handle.number).is_some_and(is_latest)
    }

    /// Hides a message for so long from now; zero makes it visible at once.
    ///
    /// # Errors
    /// The message is gone, was received by another, is visible, or would be hidden for more than twelve hours.
    pub(super) fn change_visibility(
        &mut self,
        handle: Handle,
        visibility: Duration,
        now: Instant,
    ) -> Result<(), Fault> {
        if !self.is_latest(handle) {
            let message = "the message is gone, or was received again under another handle";
            return Err(Fault::new(Code::InvalidParameterValue, message));
        }
        let number = handle.number;
        let Some(entry) = self.entries.get_mut(&number) else { return Ok(()) };
        let Place::InFlight { until, since } = entry.place else {
            return Err(Fault::new(Code::MessageNotInflight, "the message is not in flight"));
        };
        if now + visibility > since + Duration::from_secs(limits::SQS_VISIBILITY_SECONDS_MAX) {
            let message = "the message would be hidden for more than 12 hours since it was received";
            return Err(Fault::new(Code::InvalidParameterValue, message));
        }
        self.hidden.remove(&(until, number));
        if visibility.is_zero() {
            entry.place = Place::Visible;
            self.in_flight -= 1;
            self.visible.push_back(number);
        } else {
            entry.place = Place::InFlight { until: now + visibility, since };
            self.hidden.insert((now + visibility, number));
        }
        Ok(())
    }

    /// Removes every message.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.visible.clear();
        self.hidden.clear();
        (self.in_flight, self.bytes) = (0, 0);
    }

    /// Messages that were sent before a time: their retention is over.
    pub(super) fn sent_before(&self, ms: u64) -> Vec<u64> {
        let is_old =
            |(number, entry): (&u64, &Entry)| (entry.message.payload.sent_ms < ms).then_some(*number);
        self.entries.iter().filter_map(is_old).collect()
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            visible: self.entries.len() - self.hidden.len(),
            in_flight: self.in_flight,
            delayed: self.hidden.len() - self.in_flight,
        }
    }
}

#[cfg(test)]
mod tests;
