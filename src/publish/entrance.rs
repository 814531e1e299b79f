//! The way into a lane, where several lanes share one room: a destination that is gone or in trouble must not hold so
//! much of it that nothing is taken in for the others.
//!
//! In: deliveries that are ready for the lane. Out: the same, or, given back to the queue, none: what has no place
//! comes again after a wait that doubles with each delivery of its message. A lane that is alone has the whole room,
//! and one that is only busy may fill it: intake waits for it, as with a single lane.

mod holding;

use std::{sync::Arc, time::Duration};

use self::holding::Holding;
pub(crate) use self::holding::Stay;
use super::trouble::Trouble;
use crate::{
    gate::{Cause, Gate},
    intervals::of_attempt,
    receive::Delivery,
};

/// The first wait for a destination that is paused. Doubled with each delivery, the wait is about as long as the
/// outage has lasted: short outages are over soon for everybody, and a long one costs few deliveries, of which the
/// queue's `maxReceiveCount` allows only so many. At a fixed 5 minutes 100 of them were used up after 8 hours; so they
/// last for four days.
const PAUSED_FOR: Duration = Duration::from_secs(30);
/// The longest wait: what an operator has cured is to arrive within the hour. With jitter, half as long again.
const AGAIN_WITHIN: Duration = Duration::from_hours(1);
/// A lane in trouble that takes longer than this to work off what it holds is slow.
const SLOW: Duration = Duration::from_secs(5);
/// From this delivery on a message waits in the room of a slow lane: the queue's `maxReceiveCount` is not to be used up
/// for a destination that is there.
const PATIENT_FROM: u32 = 3;

/// The way into one lane.
#[derive(Debug)]
pub struct Entrance {
    cause: Cause,
    gate: Arc<Gate>,
    /// What one lane may hold while it is slow and another has little.
    share_bytes: usize,
    holding: Arc<Holding>,
    trouble: Trouble,
    others: Vec<(Cause, Arc<Holding>)>,
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
            Arc::new(Self { cause, gate, share_bytes, holding, trouble: Trouble::default(), others })
        };
        lanes.iter().map(entrance).collect()
    }

    /// How long a delivery has to stay away from the lane, if it does. One with room of its own takes none from the
    /// others' messages, so it stays away only while the lane is paused.
    pub(crate) fn turns_away(&self, attempt: u32, has_own_room: bool) -> Option<Duration> {
        let first = if self.is_paused_alone() {
            Some(PAUSED_FOR)
        } else if attempt < PATIENT_FROM && !has_own_room {
            self.slow_for()
        } else {
            None
        };
        first.map(|first| of_attempt(attempt, first, AGAIN_WITHIN))
    }

    /// Lets a delivery in, or gives it back.
    pub(crate) fn admit<E>(&self, delivery: Delivery<E>) -> Option<Delivery<E>> {
        let mut delivery = self.keep(delivery)?;
        if !self.others.is_empty() && !delivery.receipt.has_own_room() {
            let (place, bytes) = delivery.receipt.place();
            delivery.receipt.stays(self.holding.clone().enter(place, bytes));
        }
        Some(delivery)
    }

    /// The delivery while it has a place; else it is given back.
    pub(super) fn keep<E>(&self, delivery: Delivery<E>) -> Option<Delivery<E>> {
        match self.wait_of(&delivery) {
            None => Some(delivery),
            Some(after) => {
                delivery.receipt.return_after(after);
                None
            }
        }
    }

    /// Gives a delivery back.
    pub(super) fn give_back<E>(&self, delivery: Delivery<E>) {
        // Cured at this very moment, it may come again at once.
        let after = self.wait_of(&delivery).unwrap_or_default();
        delivery.receipt.return_after(after);
    }

    fn wait_of<E>(&self, delivery: &Delivery<E>) -> Option<Duration> {
        self.turns_away(delivery.origin.attempt, delivery.receipt.has_own_room())
    }

    /// Where the lane's calls say how they went.
    pub(super) fn trouble(&self) -> &Trouble {
        &self.trouble
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

    /// Whether the lane may have no place for what waits for it.
    pub(super) fn is_crowded(&self) -> bool {
        self.is_paused_alone() || self.slow_for().is_some()
    }

    /// How long the lane takes to work off what it holds, where that is more than it may hold: a first wait that
    /// brings a delivery back when there is place again.
    fn slow_for(&self) -> Option<Duration> {
        if self.others.is_empty() || !self.trouble.is_now() {
            return None;
        }
        let (bytes, stay) = self.holding.look();
        (bytes > self.share_bytes && stay > SLOW && self.starves_another()).then_some(stay)
    }

    /// Whether a lane that works has next to nothing to do.
    fn starves_another(&self) -> bool {
        let is_hungry = |(cause, holding): &(Cause, Arc<Holding>)| {
            holding.look().0 < self.share_bytes / 2 && !self.gate.is_closed_by(cause)
        };
        self.others.iter().any(is_hungry)
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
        assert_eq!(b.turns_away(1, false), None);
        for (attempt, seconds) in [(1, 30), (2, 60), (3, 120), (7, 1_920), (8, 3_600), (40, 3_600), (0, 30)] {
            let wait = a.turns_away(attempt, false).unwrap().as_secs_f64();
            let seconds = f64::from(seconds);
            assert!((seconds * 0.5..=seconds * 1.5).contains(&wait), "attempt {attempt}: {wait} s");
        }
        gate.close(Cause::Destination("b".into()), "channel not found");
        assert_eq!(a.turns_away(1, false), None, "nothing is taken in then, so nothing is turned away");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_in_trouble_is_crowded_when_it_holds_more_than_its_share_and_is_slow_and_another_has_nothing()
     {
        let (_gate, a, b) = two();
        a.trouble().begins();
        let first = enter(&a, 1, 400);
        let second = enter(&a, 2, 200);
        assert_eq!(a.turns_away(1, false), None, "it may be only busy");
        advance(SLOW + Duration::from_secs(1)).await;
        let wait = a.turns_away(1, false).unwrap();
        assert!(wait >= SLOW / 2 && wait <= SLOW * 2, "{wait:?}");
        let busy = enter(&b, 1, 400);
        assert_eq!(a.turns_away(1, false), None, "nobody starves");
        drop(busy);
        assert!(a.turns_away(1, false).is_some());
        drop(first);
        assert_eq!(a.turns_away(1, false), None, "it holds less than its share");
        drop(second);
        assert_eq!(a.holding.look(), (0, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_is_only_busy_turns_nothing_away_however_long_it_takes() {
        let (_gate, a, b) = two();
        b.trouble().begins();
        let _held = enter(&a, 1, ROOM);
        advance(SLOW * 100).await;
        assert_eq!(a.turns_away(1, false), None);
        a.trouble().begins();
        assert!(a.turns_away(1, false).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_turned_away_from_a_slow_lane_twice_and_one_with_room_of_its_own_never() {
        let (gate, a, _b) = two();
        a.trouble().begins();
        let _held = enter(&a, 1, ROOM);
        advance(SLOW * 2).await;
        assert!(a.turns_away(2, false).is_some());
        assert_eq!((a.turns_away(3, false), a.turns_away(9, false)), (None, None));
        assert_eq!(a.turns_away(1, true), None);
        gate.close(Cause::Destination("a".into()), "channel not found");
        assert!(
            a.turns_away(3, false).is_some() && a.turns_away(1, true).is_some(),
            "paused, it has no place"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_counts_once_and_until_its_last_delivery_has_left() {
        let (_gate, a, _b) = two();
        a.trouble().begins();
        let many: Vec<_> = (0..10).map(|_| enter(&a, 7, 600)).collect();
        advance(SLOW * 2).await;
        assert_eq!(a.holding.look().0, 600);
        let last = many.into_iter().next();
        assert_eq!(a.holding.look().0, 600);
        assert!(a.turns_away(1, false).is_some(), "those that left had been there for long");
        drop(last);
        assert_eq!(a.holding.look().0, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_is_alone_has_the_whole_room() {
        let gate = Arc::new(Gate::new(1));
        let alone = Entrance::for_lanes(["a"], &gate, ROOM).remove(0);
        alone.trouble().begins();
        let _stay = enter(&alone, 1, 10 * ROOM);
        advance(SLOW * 2).await;
        assert_eq!(alone.turns_away(1, false), None);
        gate.close(Cause::Destination("a".into()), "channel not found");
        assert_eq!(alone.turns_away(1, false), None);
    }
}
