//! The waiting room: deliveries whose event is in other hands.
//!
//! In: deliveries that could not be claimed. Out: the same, when it is time to ask the ledger again. They wait here,
//! kept alive by the source, instead of on the queue: giving them back would use up their `maxReceiveCount` for
//! somebody else's slowness.

use std::time::Duration;

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};

use super::{Candidate, Dedupe, Sorted, rounds::ROUND_MAX};
use crate::{intervals::of_attempt, receive::Delivery};

/// How often the room looks who is due.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The longest wait before the ledger is asked again.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

type Waiting = Vec<(Instant, Delivery<Candidate>)>;

/// Runs until `held` is closed and nobody waits. What is claimed goes to `proceed`; what is still in other hands comes
/// back from it. Dropped, it returns all that wait.
pub async fn wait(
    dedupe: &Dedupe,
    mut held: mpsc::UnboundedReceiver<Delivery<Candidate>>,
    proceed: impl Fn(Sorted) -> Vec<Delivery<Candidate>>,
) {
    let mut waiting = Waiting::new();
    let mut is_open = true;
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while is_open || !waiting.is_empty() {
        tokio::select! {
            came = held.recv(), if is_open => match came {
                Some(delivery) => enter(&mut waiting, delivery),
                None => is_open = false,
            },
            _ = look.tick(), if !waiting.is_empty() => {
                let due = take_due(&mut waiting);
                for delivery in proceed(dedupe.claim(due).await) {
                    enter(&mut waiting, delivery);
                }
            }
        }
    }
}

fn enter(waiting: &mut Waiting, mut delivery: Delivery<Candidate>) {
    delivery.event.asked += 1;
    let wait = of_attempt(delivery.event.asked, LOOK_EVERY, LONGEST_WAIT);
    waiting.push((Instant::now() + wait, delivery));
}

/// The first that are due, as many as one call to the ledger takes; the others wait for the next look. Past its
/// deadline the message is somebody else's: dropping the receipt returns it.
fn take_due(waiting: &mut Waiting) -> Vec<Delivery<Candidate>> {
    let now = Instant::now();
    let is_due = |entry: &mut (Instant, Delivery<Candidate>)| entry.0 <= now;
    let due = waiting.extract_if(.., is_due).take(ROUND_MAX);
    due.map(|(_, delivery)| delivery).filter(|delivery| delivery.origin.deadline.at() > now).collect()
}
