//! What happened to which keys lately, bounded by time and by number.
//!
//! In: halves of SHA-256 digests, each with a small value. Out: the value and its age, until it is forgotten.

use std::{collections::VecDeque, time::Duration};

use hashbrown::HashMap;
use tokio::time::Instant;

use super::Key;
use crate::event::ContentHash;

/// Half of a SHA-256: 10^12 keys share one with a probability of 10^-15. As bytes, because a number would be aligned
/// to 16 of them and make each entry a third larger.
pub(super) type Half = [u8; 16];

/// The half that stands for a key.
pub(super) fn half_of_key(key: &Key) -> Half {
    first_half(&ContentHash(key.digest()))
}

/// The half that stands for an event's content.
pub(super) fn first_half(hash: &ContentHash) -> Half {
    let mut half = Half::default();
    half.copy_from_slice(&hash.0[..16]);
    half
}

/// Forgets by age when asked to, and the oldest first when there are too many.
#[derive(Debug)]
pub(super) struct Recent<V> {
    remembered_for: Duration,
    entries_max: usize,
    /// Seconds are counted from here.
    started: Instant,
    entries: HashMap<Half, Numbered<V>>,
    /// In the order of insertion, which is the order of forgetting. A key that was inserted again stands here twice.
    order: VecDeque<(u32, Half)>,
    /// How many were taken from the front of `order`, modulo 2^32: the number of the one that stands there now.
    forgotten: u32,
}

#[derive(Debug)]
struct Numbered<V> {
    /// Its number in `order`, modulo 2^32: what was inserted again since is not forgotten with its first insertion.
    number: u32,
    value: V,
}

impl<V: Copy> Recent<V> {
    pub(super) fn new(remembered_for: Duration, entries_max: usize) -> Self {
        Self {
            remembered_for,
            entries_max: entries_max.max(1),
            started: Instant::now(),
            entries: HashMap::new(),
            order: VecDeque::new(),
            forgotten: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The value and how long ago it was inserted, to the second.
    pub(super) fn get(&self, key: &Half) -> Option<(V, Duration)> {
        let entry = self.entries.get(key)?;
        let place = entry.number.wrapping_sub(self.forgotten) as usize;
        let (second, _) = self.order.get(place)?;
        Some((entry.value, Duration::from_secs(u64::from(self.now().saturating_sub(*second)))))
    }

    pub(super) fn insert(&mut self, key: Half, value: V) {
        #[expect(clippy::cast_possible_truncation, reason = "modulo 2^32, and no more entries than that")]
        let number = self.forgotten.wrapping_add(self.order.len() as u32);
        self.entries.insert(key, Numbered { number, value });
        self.order.push_back((self.now(), key));
    }

    pub(super) fn remove(&mut self, key: &Half) -> bool {
        self.entries.remove(key).is_some()
    }

    /// Forgets what is older than it is remembered for.
    pub(super) fn forget_old(&mut self) {
        let now = u64::from(self.now());
        let kept = self.remembered_for.as_secs();
        while self.order.front().is_some_and(|(second, _)| u64::from(*second) + kept < now) {
            self.forget_oldest();
        }
    }

    /// Forgets the oldest beyond the most that are kept, and says how many.
    pub(super) fn forget_beyond(&mut self) -> u64 {
        let too_many = self.order.len().saturating_sub(self.entries_max);
        (0..too_many).for_each(|_| self.forget_oldest());
        too_many as u64
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            if self.entries.get(&key).is_some_and(|entry| entry.number == self.forgotten) {
                self.entries.remove(&key);
            }
            self.forgotten = self.forgotten.wrapping_add(1);
        }
    }

    /// Whole seconds since the start: 136 years of them.
    fn now(&self) -> u32 {
        u32::try_from(self.started.elapsed().as_secs()).unwrap_or(u32::MAX)
    }
}
