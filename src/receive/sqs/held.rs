//! The messages that are ours now, with the receipt handle that counts.
//!
//! A message can be delivered to us twice while we hold it (its visibility ended unnoticed). Both deliveries are of
//! one message: the latest handle deletes it, and it is given back only when neither is under way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{intervals::jittered, limits, receive::Deadline, receive::Handle};

/// A message, as needed to extend, delete or give it back.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) message_id: Arc<str>,
    pub(super) receipt_handle: String,
    /// One for each delivery under way.
    deadlines: Vec<(u64, Deadline)>,
    /// After about a quarter of its time: at the shortest visibility too, more than half is left for a put, however
    /// late the look.
    extend_at: Instant,
    /// The service hides a message for 12 hours at most, counted from here.
    first_received: Instant,
}

impl Held {
    /// How long the message may still be hidden: `visibility`, less near the 12 hours.
    pub(super) fn extension(&self, visibility: Duration) -> Duration {
        let longest = Duration::from_secs(limits::SQS_VISIBILITY_SECONDS_MAX);
        // A second less than the service allows: our clock started after the service's.
        let left =
            longest.saturating_sub(self.first_received.elapsed()).saturating_sub(Duration::from_secs(1));
        visibility.min(left)
    }
}

#[derive(Default)]
pub(super) struct HeldMessages {
    messages: Mutex<Messages>,
}

#[derive(Default)]
struct Messages {
    held: HashMap<Arc<str>, Held>,
    deliveries: u64,
}

impl HeldMessages {
    /// Counts one more delivery of the message and makes its handle the latest.
    pub(super) fn add(
        &self,
        message_id: &Arc<str>,
        receipt_handle: String,
        deadline: &Deadline,
        now: Instant,
        visibility: Duration,
    ) -> u64 {
        let mut messages = self.lock();
        messages.deliveries += 1;
        let delivery = messages.deliveries;
        let held = messages.held.entry(message_id.clone()).or_insert_with(|| Held {
            message_id: message_id.clone(),
            receipt_handle: String::new(),
            deadlines: Vec::with_capacity(1),
            extend_at: now,
            first_received: now,
        });
        held.receipt_handle = receipt_handle;
        held.extend_at = now + jittered(visibility / 4);
        held.deadlines.push((delivery, deadline.clone()));
        held.deadlines.iter().for_each(|(_, deadline)| deadline.move_to(now + visibility));
        delivery
    }

    /// The message is to be deleted: it is not held any more, however often it was delivered.
    pub(super) fn remove(&self, handle: &Handle) -> Option<Held> {
        self.lock().held.remove(&handle.message_id)
    }

    /// One delivery is given back. `None`: another one is still under way, or the message is deleted.
    pub(super) fn release(&self, handle: &Handle) -> Option<Held> {
        let mut messages = self.lock();
        let held = messages.held.get_mut(&handle.message_id)?;
        held.deadlines.retain(|(delivery, _)| *delivery != handle.delivery);
        if held.deadlines.is_empty() { messages.held.remove(&handle.message_id) } else { None }
    }

    /// What must be extended now. It is due again soon, in case the extension fails.
    pub(super) fn due(&self, now: Instant) -> Vec<Held> {
        let mut messages = self.lock();
        let due = messages.held.values_mut().filter(|held| held.extend_at <= now);
        due.map(|held| {
            held.extend_at = now + Duration::from_secs(2);
            held.clone()
        })
        .collect()
    }

    /// The message is ours until `at`, unless it was settled or received again meanwhile.
    pub(super) fn extended(&self, extended: &Held, until: Instant) {
        let now = Instant::now();
        if let Some(held) = self.lock().held.get_mut(&extended.message_id)
            && held.receipt_handle == extended.receipt_handle
        {
            held.extend_at = now + jittered((until - now) / 4);
            held.deadlines.iter().for_each(|(_, deadline)| deadline.move_to(until));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VISIBILITY: Duration = Duration::from_mins(2);

    fn received(held: &HeldMessages, receipt_handle: &str) -> (Handle, Deadline) {
        let (id, now): (Arc<str>, _) = ("m".into(), Instant::now());
        let deadline = Deadline::new(now + VISIBILITY);
        let delivery = held.add(&id, receipt_handle.to_owned(), &deadline, now, VISIBILITY);
        (Handle { message_id: id, delivery }, deadline)
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_handle_deletes_whichever_delivery_is_acked() {
        let held = HeldMessages::default();
        let (first, _) = received(&held, "old");
        let (second, _) = received(&held, "new");
        assert_eq!(held.remove(&first).unwrap().receipt_handle, "new");
        assert!(held.remove(&second).is_none(), "the message is deleted already");
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_given_back_when_its_last_delivery_is() {
        let held = HeldMessages::default();
        let (first, _) = received(&held, "old");
        let (second, _) = received(&held, "new");
        assert!(held.release(&first).is_none());
        assert_eq!(held.release(&second).unwrap().receipt_handle, "new");
    }

    #[tokio::test(start_paused = true)]
    async fn however_late_the_look_half_of_the_shortest_visibility_is_left() {
        let shortest = Duration::from_secs(10);
        // Looks are at most 750 ms apart, and one of them must come in the first half.
        let look = Duration::from_millis(4_250);
        let held = HeldMessages::default();
        let (id, now): (Arc<str>, _) = ("m".into(), Instant::now());
        for _ in 0..200 {
            let deadline = Deadline::new(now + shortest);
            held.add(&id, "a".to_owned(), &deadline, now, shortest);
            assert_eq!(held.due(now + look).len(), 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_is_extended_in_good_time_and_never_beyond_twelve_hours() {
        let held = HeldMessages::default();
        let (_, deadline) = received(&held, "a");
        let received_at = Instant::now();
        while received_at.elapsed() + VISIBILITY < Duration::from_hours(12) {
            tokio::time::advance(Duration::from_secs(1)).await;
            for due in held.due(Instant::now()) {
                assert!(deadline.at() > Instant::now(), "extended too late");
                held.extended(&due, Instant::now() + due.extension(VISIBILITY));
            }
        }
        assert!(deadline.at() - received_at < Duration::from_hours(12));
        assert!(deadline.at() - received_at + VISIBILITY > Duration::from_hours(12));
    }
}
