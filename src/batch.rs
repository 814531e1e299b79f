//! Stage 8, batch. In: `ReadyEvent`. Out: batches within every limit of a request. Next: publish.
//!
//! "Does it fit" is pure; the clock is the lane's.

use std::collections::HashSet;

use bytestring::ByteString;

use crate::{checksum::REQUEST_OVERHEAD_BYTES, event::ReadyEvent, receive::Delivery};

/// Events that may leave in one request.
pub type Batch = Vec<Delivery<ReadyEvent>>;

/// What one request may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub events_max: usize,
    /// Bytes of the request body, after escaping.
    pub bytes_max: usize,
}

/// The batch that is being filled.
pub struct Batcher {
    limits: Limits,
    open: Batch,
    ids: HashSet<ByteString>,
    bytes: usize,
}

impl Batcher {
    /// An empty batch under these limits.
    pub fn new(limits: Limits) -> Self {
        Self { limits, open: Batch::new(), ids: HashSet::new(), bytes: REQUEST_OVERHEAD_BYTES }
    }

    /// Adds an event. Returns the batch so far if the event does not fit into it: too many, too large, or its id is
    /// in the batch already, for which the service would refuse the whole request.
    pub fn push(&mut self, event: Delivery<ReadyEvent>) -> Option<Batch> {
        let full = (!self.fits(&event.event)).then(|| self.take());
        self.bytes += event.event.wire_bytes();
        self.ids.insert(event.event.id().wire.clone());
        self.open.push(event);
        full
    }

    /// Nothing more can be added, whatever comes.
    pub fn is_full(&self) -> bool {
        self.open.len() >= self.limits.events_max
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The batch so far; filling starts anew.
    pub fn take(&mut self) -> Batch {
        self.ids.clear();
        self.bytes = REQUEST_OVERHEAD_BYTES;
        std::mem::take(&mut self.open)
    }

    fn fits(&self, event: &ReadyEvent) -> bool {
        self.open.is_empty()
            || (self.open.len() < self.limits.events_max
                && self.bytes + event.wire_bytes() <= self.limits.bytes_max
                && !self.ids.contains(event.id().wire()))
    }
}
