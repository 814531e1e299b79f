//! What was delivered and acked, by all workers, in the order in which it happened.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::sleep;

/// A record: its key, and its place among the records of the key, from 1.
pub(super) type Record = (usize, u64);

#[derive(Default)]
pub(super) struct Log(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    deliveries: usize,
    /// The places of each key in the order in which they were delivered for the first time, and by whom.
    first: BTreeMap<usize, Vec<(u64, String)>>,
    delivered: BTreeSet<Record>,
    acked: BTreeSet<Record>,
}

impl Log {
    fn with<T>(&self, look: impl FnOnce(&mut Lines) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn delivered(&self, records: &[Record], to: &str) {
        self.with(|lines| {
            lines.deliveries += records.len();
            for (key, place) in records {
                if lines.delivered.insert((*key, *place)) {
                    lines.first.entry(*key).or_default().push((*place, to.to_owned()));
                }
            }
        });
    }

    pub(super) fn acked(&self, record: Record) {
        self.with(|lines| lines.acked.insert(record));
    }

    pub(super) fn deliveries(&self) -> usize {
        self.with(|lines| lines.deliveries)
    }

    /// What nobody has acked, of so many records of each key.
    pub(super) fn missing(&self, put: &[u64]) -> Vec<Record> {
        let all = put.iter().enumerate().flat_map(|(key, count)| (1..=*count).map(move |place| (key, place)));
        self.with(|lines| all.filter(|record| !lines.acked.contains(record)).collect())
    }

    pub(super) async fn until_all_acked(&self, put: &[u64]) {
        while !self.missing(put).is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Of each key the first deliveries came in the order in which the records were put.
    pub(super) fn assert_in_order(&self) {
        self.with(|lines| {
            for (key, first) in &lines.first {
                for pair in first.windows(2) {
                    assert!(pair[0].0 < pair[1].0, "key {key}: {pair:?}");
                }
            }
        });
    }
}
