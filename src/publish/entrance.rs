//! The way into a lane, where several lanes share one room: a destination that is gone or slow must not hold so much
//! of it that nothing is taken in for the others.
//!
//! In: deliveries that are ready for the lane. Out: the same, or, given back to the queue, none: what has no place
//! comes again after a wait that doubles with each delivery of its message. A lane that is alone has the whole room.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hashbrown::HashMap;
use tokio::time::Instant;

use crate::{
    gate::{Cause, Gate},
    intervals::jittered,
    receive::Delivery,
};

/// The first wait for a destination that is paused. Doubled with each delivery, the wait is about as long as the
/// outage has lasted: short outages are over soon for everybody, and a long one costs few deliveries, of which the
/// queue's `maxReceiveCount` allows only so many. At a fixed 5 minutes 100 of them were used up after 8 hours; so they
/// last for four days.
const PAUSED_FOR: Duration = Duration::from_secs(30);
/// The longest wait: what an operator has cured is to arrive within the hour. With jitter, half as long again.
const AGAIN_WITHIN: Duration = Duration::from_hours(1);
/// A lane that takes longer than this to work off what it holds is slow. One that is only busy is faster: it may
/// fill the room, and intake waits for it, as with a single lane.
const SLOW: Duration = Duration::from_secs(5);
/// The way into one lane.
#[derive(Debug)]
pub struct Entrance {
    cause: Cause,
    gate: Arc<Gate>,
    /// What one lane may hold while it is slow and another has little.
    share_bytes: usize,
    holding: Arc<Holding>,
    others: Vec<(Cause, Arc<Holding>)>,
}

/// What one lane holds of the room.
#[derive(Debug)]
struct Holding(Mutex<Held>);

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

impl Entrance {
    /// One for each of the lanes that share a room of `room_bytes`.
    pub fn for_lanes<'a>(
        names: impl IntoIterator<Item = &'a str>,
        gate: &Arc<Gate>,
        room_bytes: usize,
    ) -> Vec<Arc<Self>> {
        let lanes: Vec<_> = names
            .into_iter()
            .map(|name| (Cause::Destination(name.to_owned()), Arc::new(Holding::default())))
            .collect();
        let share_bytes = room_bytes / lanes.len().max(1);
        let entrance = |(cause, holding): &(Cause, Arc<Holding>)| {
            let others = lanes.iter().filter(|(other, _)| other != cause).cloned().collect();
            let (cause, holding, gate) = (cause.clone(), holding.clone(), gate.clone());
            Arc::new(Self { cause, gate, share_bytes, holding, others })
        };
        lanes.iter().map(entrance).collect()
    }

    /// How long a delivery has to stay away from the lane, if it does.
    pub(crate) fn turns_away(&self, attempt: u32) -> Option<Duration> {
        self.crowded().map(|first| growing(first, attempt))
    }

    /// Lets a delivery in, or gives it back.
    pub(crate) fn admit<E>(&self, mut delivery: Delivery<E>) -> Option<Delivery<E>> {
        if self.crowded().is_some() {
            self.give_back(delivery);
            return None;
        }
        if !self.others.is_empty() {
            let (place, bytes) = delivery.receipt.place();
            delivery.receipt.stays(self.holding.clone().enter(place, bytes));
        }
        Some(delivery)
    }

    pub(super) fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// What the calls of the lane may hold together.
    pub(super) fn call_bytes_max(&self) -> usize {
        if self.others.is_empty() { usize::MAX } else { self.share_bytes }
    }

    /// Whether the lane is paused and others are not.
    pub(super) fn is_paused_alone(&self) -> bool {
        !self.others.is_empty() && self.gate.is_closed_by(&self.cause) && self.gate.is_passable()
    }

    /// The first wait of what has no place in the lane; `None` while there is place.
    pub(super) fn crowded(&self) -> Option<Duration> {
        if self.is_paused_alone() {
            return Some(PAUSED_FOR);
        }
        let (bytes, stay) = if self.others.is_empty() { return None } else { self.holding.look() };
        // It comes again about when the lane has worked off what it holds now.
        (bytes > self.share_bytes && stay > SLOW && self.starves_another()).then_some(stay)
    }

    /// Gives a delivery back that has no place.
    pub(super) fn give_back<E>(&self, delivery: Delivery<E>) {
        // Cured at this very moment, it may come again at once.
        let after = self.turns_away(delivery.origin.attempt).unwrap_or_default();
        delivery.receipt.return_after(after);
    }

    /// Whether a lane that works has next to nothing to do.
    fn starves_another(&self) -> bool {
        let is_hungry = |(cause, holding): &(Cause, Arc<Holding>)| {
            holding.look().0 < self.share_bytes / 2 && !self.gate.is_closed_by(cause)
        };
        self.others.iter().any(is_hungry)
    }
}

fn growing(first: Duration, attempt: u32) -> Duration {
    let doubled = first.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    jittered(doubled.min(AGAIN_WITHIN))
}

impl Default for Holding {
    fn default() -> Self {
        let (last_stay, moved_at) = (Duration::ZERO, Instant::now());
        Self(Mutex::new(Held { bytes: 0, places: HashMap::new(), last_stay, moved_at }))
    }
}

impl Holding {
    fn enter(self: Arc<Self>, place: usize, bytes: usize) -> Stay {
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
    fn look(&self) -> (usize, Duration) {
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

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const ROOM: usize = 1_000;

    fn two() -> (Arc<Gate>, Arc<Entrance>, Arc<Entrance>) {
        let gate = Arc::new(Gate::new(2));
        let mut both = Entrance::for_lanes(["a", "b"], &gate, ROOM);
        let (b, a) = (both.pop().unwrap(), both.pop().unwrap());
        (gate, a, b)
    }

    fn enter(entrance: &Entrance, place: usize, bytes: usize) -> Stay {
        entrance.holding.clone().enter(place, bytes)
    }

    #[tokio::test(start_paused = true)]
    async fn the_wait_of_a_paused_lane_doubles_up_to_an_hour() {
        let (gate, a, b) = two();
        gate.close(Cause::Destination("a".into()), "channel not found");
        assert_eq!(b.turns_away(1), None);
        for (attempt, seconds) in [(1, 30), (2, 60), (3, 120), (7, 1_920), (8, 3_600), (40, 3_600), (0, 30)] {
            let wait = a.turns_away(attempt).unwrap().as_secs_f64();
            let seconds = f64::from(seconds);
            assert!((seconds * 0.5..=seconds * 1.5).contains(&wait), "attempt {attempt}: {wait} s");
        }
        gate.close(Cause::Destination("b".into()), "channel not found");
        assert_eq!(a.turns_away(1), None, "nothing is taken in then, so nothing is turned away");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_is_crowded_when_it_holds_more_than_its_share_and_is_slow_and_another_has_nothing() {
        let (_gate, a, b) = two();
        let first = enter(&a, 1, 400);
        let second = enter(&a, 2, 200);
        assert_eq!(a.turns_away(1), None, "it may be only busy");
        advance(SLOW + Duration::from_secs(1)).await;
        let wait = a.turns_away(1).unwrap();
        assert!(wait >= SLOW / 2 && wait <= SLOW * 2, "{wait:?}");
        let busy = enter(&b, 1, 400);
        assert_eq!(a.turns_away(1), None, "nobody starves");
        drop(busy);
        assert!(a.turns_away(1).is_some());
        drop(first);
        assert_eq!(a.turns_away(1), None, "it holds less than its share");
        drop(second);
        assert_eq!(a.holding.look(), (0, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_counts_once_and_until_its_last_delivery_has_left() {
        let (_gate, a, _b) = two();
        let many: Vec<_> = (0..10).map(|_| enter(&a, 7, 600)).collect();
        advance(SLOW * 2).await;
        assert_eq!(a.holding.look().0, 600);
        let last = many.into_iter().next();
        assert_eq!(a.holding.look().0, 600);
        assert!(a.turns_away(1).is_some(), "those that left had been there for long");
        drop(last);
        assert_eq!(a.holding.look().0, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_is_alone_has_the_whole_room() {
        let gate = Arc::new(Gate::new(1));
        let alone = Entrance::for_lanes(["a"], &gate, ROOM).remove(0);
        let _stay = enter(&alone, 1, 10 * ROOM);
        advance(SLOW * 2).await;
        assert_eq!(alone.turns_away(1), None);
        gate.close(Cause::Destination("a".into()), "channel not found");
        assert_eq!(alone.turns_away(1), None);
    }
}
