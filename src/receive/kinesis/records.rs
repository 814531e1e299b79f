//! The records that were read and are not settled. In: records as they are read and given back. Out: messages, when
//! their time has come. Pure.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use super::lease::ShardId;
use crate::receive::{Handle, Message, intake::MESSAGE_OVERHEAD_BYTES};

/// One record that was read and is not settled.
pub(super) struct Unsettled {
    /// Where it was read.
    pub(super) shard: ShardId,
    /// In which tenancy of that shard.
    pub(super) tenancy: u64,
    /// Its number in that tenancy's progress.
    pub(super) number: u64,
    /// As it was handed out last; before the first time, with attempt 0.
    pub(super) message: Message,
}

/// All of them, of all shards.
#[derive(Default)]
pub(super) struct Records {
    /// By when they are to be handed out, and in the order in which they came.
    waiting: BTreeMap<(Instant, u64), Unsettled>,
    waiting_bytes: usize,
    /// Handed out, by the number of the delivery.
    out: HashMap<u64, Unsettled>,
    counted: u64,
}

impl Records {
    fn count(&mut self) -> u64 {
        self.counted += 1;
        self.counted
    }

    /// Keeps a record until its time comes.
    pub(super) fn wait(&mut self, record: Unsettled, until: Instant) {
        let count = self.count();
        self.waiting_bytes += weight(&record.message);
        self.waiting.insert((until, count), record);
    }

    /// Hands out the next record whose time has come: one more delivery of its message.
    pub(super) fn hand_out(&mut self, now: Instant) -> Option<&Unsettled> {
        let first = self.waiting.first_entry().filter(|entry| entry.key().0 <= now)?;
        let mut record = first.remove();
        self.waiting_bytes -= weight(&record.message);
        let delivery = self.count();
        record.message.handle.delivery = delivery;
        record.message.attempt = record.message.attempt.saturating_add(1);
        Some(self.out.entry(delivery).insert_entry(record).into_mut())
    }

    /// The record of a delivery that has ended; `None` if it has ended before.
    pub(super) fn ended(&mut self, handle: &Handle) -> Option<Unsettled> {
        self.out.remove(&handle.delivery)
    }

    /// When the next one's time comes.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    /// Bytes of what waits.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.waiting_bytes
    }

    /// A tenancy ends, or is about to: whoever has the shard next reads again what waits here.
    pub(super) fn forget(&mut self, tenancy: u64) {
        let waiting_bytes = &mut self.waiting_bytes;
        self.waiting.retain(|_, record| {
            let stays = record.tenancy != tenancy;
            *waiting_bytes -= if stays { 0 } else { weight(&record.message) };
            stays
        });
    }
}

/// What a message takes, about.
fn weight(message: &Message) -> usize {
    message.bytes() + MESSAGE_OVERHEAD_BYTES
}
