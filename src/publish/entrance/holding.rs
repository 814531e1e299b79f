//! What one lane holds of the room that it shares, and for how long. In: deliveries that come and go. Out: bytes, and
//! how long a delivery stays.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hashbrown::HashMap;
use tokio::time::Instant;

/// What one lane holds of the room.
#[derive(Debug)]
pub(super) struct Holding(Mutex<Held>);

#[derive(Debug)]
struct Held {
    bytes: usize,
    /// Bytes of each place in the room, and how many deliveries of this lane are in it. A message keeps all of its
    /// place until the last of its deliveries is settled.
    places: HashMap<usize, (usize, usize)>,
    /// How long the last delivery that left had been here.
    last_stay: Duration,
    /// When a delivery last left, or came into an empty lane.
    moved_at: Instant,
}

/// A delivery's part in what its lane holds, until it is dropped.
#[derive(Debug)]
pub(crate) struct Stay {
    holding: Arc<Holding>,
    place: usize,
    since: Instant,
}

impl Default for Holding {
    fn default() -> Self {
        let (last_stay, moved_at) = (Duration::ZERO, Instant::now());
        Self(Mutex::new(Held { bytes: 0, places: HashMap::new(), last_stay, moved_at }))
    }
}

impl Holding {
    pub(super) fn enter(self: Arc<Self>, place: usize, bytes: usize) -> Stay {
        let since = Instant::now();
        let mut held = self.lock();
        if held.places.is_empty() {
            (held.last_stay, held.moved_at) = (Duration::ZERO, since);
        }
        let (_, deliveries) = held.places.entry(place).or_insert((bytes, 0));
        *deliveries += 1;
        let is_first = *deliveries == 1;
        held.bytes += if is_first { bytes } else { 0 };
        drop(held);
        Stay { holding: self, place, since }
    }

    /// The bytes that are held, and how long a delivery stays here.
    pub(super) fn look(&self) -> (usize, Duration) {
        let held = self.lock();
        let stay = if held.places.is_empty() {
            Duration::ZERO
        } else {
            // Where nothing moves, the last that left says too little.
            held.last_stay.max(held.moved_at.elapsed())
        };
        (held.bytes, stay)
    }

    fn leave(&self, place: usize, since: Instant) {
        let mut held = self.lock();
        (held.last_stay, held.moved_at) = (since.elapsed(), Instant::now());
        let Some((bytes, deliveries)) = held.places.get_mut(&place) else { return };
        *deliveries -= 1;
        if *deliveries == 0 {
            let bytes = *bytes;
            held.places.remove(&place);
            held.bytes -= bytes;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        self.holding.leave(self.place, self.since);
    }
}
