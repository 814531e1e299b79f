//! The conservation law, kept as numbers.
//!
//! `received = published + duplicate + filtered + dead_lettered + returned + in_flight`, counted in deliveries: one
//! event to one destination. All terms change under one lock, so the law holds at every look, not only at rest.

use std::{
    ops::AddAssign,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use metrics::Histogram;

use crate::settle::Ending;

/// The terms of the law for one destination, or for all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Deliveries that began.
    pub received: u64,
    /// The destination confirmed them.
    pub published: u64,
    /// The ledger knew them as settled before.
    pub duplicate: u64,
    /// A rule of the operator dropped them, or they were no events to begin with, such as S3's test event.
    pub filtered: u64,
    /// The dead-letter queue confirmed them.
    pub dead_lettered: u64,
    /// Given back to the source; they come again as new deliveries.
    pub returned: u64,
    /// Begun, not ended: the number of receipts alive or waiting for the settler.
    pub in_flight: u64,
}

impl Counts {
    /// What the law says must be zero.
    pub fn imbalance(&self) -> i128 {
        i128::from(self.received) - i128::from(self.settled() + self.returned) - i128::from(self.in_flight)
    }

    /// Deliveries that ended for good.
    pub fn settled(&self) -> u64 {
        self.published + self.duplicate + self.filtered + self.dead_lettered
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.published += other.published;
        self.duplicate += other.duplicate;
        self.filtered += other.filtered;
        self.dead_lettered += other.dead_lettered;
        self.returned += other.returned;
        self.in_flight += other.in_flight;
    }
}

/// Counts the deliveries to one destination.
#[derive(Debug)]
pub struct Flow {
    /// The destination's name, or `none` for events that were rejected before one was known.
    pub destination: Arc<str>,
    counts: Mutex<Counts>,
    end_to_end_seconds: Histogram,
}

impl Flow {
    /// Nothing received yet.
    pub fn new(destination: &str, end_to_end_seconds: Histogram) -> Arc<Self> {
        Arc::new(Self { destination: destination.into(), counts: Mutex::default(), end_to_end_seconds })
    }

    /// A consistent look at all terms.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.received += 1;
        counts.in_flight += 1;
    }

    pub(crate) fn end(&self, ending: Ending) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.in_flight -= 1;
        match ending {
            Ending::Published => counts.published += 1,
            Ending::Duplicate => counts.duplicate += 1,
            Ending::DeadLettered => counts.dead_lettered += 1,
            Ending::Filtered => counts.filtered += 1,
            Ending::Returned => counts.returned += 1,
        }
    }

    /// Seconds from the producer's send to the destination's confirmation.
    pub(crate) fn observe_age(&self, sent_at: Option<SystemTime>) {
        if let Some(age) = sent_at.and_then(|sent| SystemTime::now().duration_since(sent).ok()) {
            self.end_to_end_seconds.record(age.as_secs_f64());
        }
    }
}
