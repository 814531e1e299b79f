//! Whether intake may go on, and if not, why.
//!
//! A closed gate leaves messages on the queue, where they are safe, instead of taking them in and giving them back,
//! which would use up the queue's `maxReceiveCount` for our own mistake.

use std::{collections::BTreeMap, fmt, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tracing::{error, info};

/// A cause that nobody has said again for this long opens for a try: whoever found it may hold nothing any more that
/// it could find out with. Longer than [`Intervals::for_operators`](crate::intervals::Intervals::for_operators) ever
/// waits.
const SAID_AGAIN_WITHIN: Duration = Duration::from_mins(1);

/// What can close the gate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The source answers that we are misconfigured, or does not answer.
    Source,
    /// The ledger does not answer.
    Ledger,
    /// The ledger does not take down what was settled.
    Commits,
    /// Dead letters cannot be stored.
    DeadLetters,
    /// What was published cannot be logged.
    PublishLog,
    /// So many dead letters in a row that our own mistake is the likelier reason.
    Breaker,
    /// Objects of this bucket may not be read. Messages are still taken in: those that wait for their objects fill
    /// the room by themselves, and others show whether it is the bucket or one object.
    Objects(String),
    /// The process stops.
    Stopping,
    /// This destination answers that we are misconfigured, or does not answer.
    Destination(String),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source => f.write_str("source"),
            Self::Ledger => f.write_str("ledger"),
            Self::Commits => f.write_str("ledger_commits"),
            Self::DeadLetters => f.write_str("dead_letters"),
            Self::PublishLog => f.write_str("publish_log"),
            Self::Breaker => f.write_str("breaker"),
            Self::Objects(bucket) => write!(f, "objects of {bucket}"),
            Self::Stopping => f.write_str("stopping"),
            Self::Destination(name) => write!(f, "destination {name}"),
        }
    }
}

type Causes = BTreeMap<Cause, Closed>;

/// Why, and when that was last found out.
#[derive(Clone, Debug)]
struct Closed {
    why: String,
    said_at: Instant,
    /// Nothing failed so far.
    is_held: bool,
}

/// Open while nothing closes it. Shared by all stages.
#[derive(Debug)]
pub struct Gate {
    closed_by: watch::Sender<Causes>,
    destinations: usize,
}

impl Gate {
    /// An open gate before this many destinations.
    pub fn new(destinations: usize) -> Self {
        Self { closed_by: watch::Sender::new(BTreeMap::new()), destinations }
    }

    /// Closes the gate for `cause`; `why` names the cure.
    pub fn close(&self, cause: Cause, why: impl Into<String>) {
        let closed = Closed { why: why.into(), said_at: Instant::now(), is_held: false };
        self.closed_by.send_if_modified(|causes| {
            let is_news = causes.get(&cause).is_none_or(|closed| closed.is_held);
            if is_news && cause != Cause::Stopping {
                error!(%cause, why = closed.why, "paused until this is cured");
            }
            causes.insert(cause, closed).is_none()
        });
    }

    /// Keeps the gate closed for `cause` until it is known to be none: no failure, so nothing is said about it.
    pub fn hold(&self, cause: Cause, why: impl Into<String>) {
        let held = Closed { why: why.into(), said_at: Instant::now(), is_held: true };
        self.closed_by.send_if_modified(|causes| causes.insert(cause, held).is_none());
    }

    /// Opens causes that nobody has said again. Runs until it is dropped. (The breaker opens by its own rule, the
    /// source by its next poll, the publish log by its next try, and a process that stops never.)
    pub async fn run(&self) {
        loop {
            sleep(SAID_AGAIN_WITHIN / 10).await;
            self.closed_by.send_if_modified(|causes| {
                let before = causes.len();
                causes.retain(|cause, closed| {
                    let is_kept =
                        matches!(cause, Cause::Source | Cause::Breaker | Cause::PublishLog | Cause::Stopping)
                            || closed.said_at.elapsed() < SAID_AGAIN_WITHIN;
                    if !is_kept {
                        info!(%cause, "nothing is left to try with, opened for a try");
                    }
                    is_kept
                });
                causes.len() != before
            });
        }
    }

    /// `cause` is cured.
    pub fn open(&self, cause: &Cause) {
        self.closed_by.send_if_modified(|causes| {
            let closed = causes.remove(cause);
            if closed.as_ref().is_some_and(|closed| !closed.is_held) {
                info!(%cause, "resumed");
            }
            closed.is_some()
        });
    }

    /// Whether `cause` keeps the gate closed.
    pub fn is_closed_by(&self, cause: &Cause) -> bool {
        self.closed_by.borrow().contains_key(cause)
    }

    /// Everything that is wrong now, for readiness: one broken destination of several is not ready either.
    pub fn causes(&self) -> BTreeMap<Cause, String> {
        self.closed_by.borrow().iter().map(|(cause, closed)| (cause.clone(), closed.why.clone())).collect()
    }

    /// Waits until messages may be taken in. The source itself is no reason to wait: asking it is how we learn
    /// that it is cured.
    pub async fn passable(&self) {
        let mut causes = self.closed_by.subscribe();
        // The sender lives as long as `self`, so waiting cannot fail.
        drop(causes.wait_for(|causes| self.lets_pass(causes)).await);
    }

    /// Whether messages may be taken in now.
    pub fn is_passable(&self) -> bool {
        self.lets_pass(&self.closed_by.borrow())
    }

    /// Waits until `cause` no longer closes the gate.
    pub async fn cured(&self, cause: &Cause) {
        let mut causes = self.closed_by.subscribe();
        drop(causes.wait_for(|causes| !causes.contains_key(cause)).await);
    }

    /// Waits until `cause` closes the gate.
    pub async fn caused(&self, cause: &Cause) {
        let mut causes = self.closed_by.subscribe();
        drop(causes.wait_for(|causes| causes.contains_key(cause)).await);
    }

    /// One broken destination must not block the others: only when none is left is there nothing to take in for.
    fn lets_pass(&self, causes: &Causes) -> bool {
        let broken = causes.keys().filter(|cause| matches!(cause, Cause::Destination(_))).count();
        let lets_pass =
            |cause: &Cause| matches!(cause, Cause::Source | Cause::Objects(_) | Cause::Destination(_));
        let stopped = !causes.keys().all(lets_pass);
        !stopped && (broken == 0 || broken < self.destinations)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    async fn lets_pass(gate: &Gate) -> bool {
        timeout(Duration::from_millis(1), gate.passable()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn one_broken_destination_of_two_leaves_the_gate_passable_but_not_ready() {
        let gate = Gate::new(2);
        gate.close(Cause::Destination("a".into()), "channel not found");
        assert!(lets_pass(&gate).await);
        assert_eq!(gate.causes().len(), 1);
        gate.close(Cause::Destination("b".into()), "channel not found");
        assert!(!lets_pass(&gate).await);
        gate.open(&Cause::Destination("a".into()));
        assert!(lets_pass(&gate).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cause_that_nobody_says_again_opens_for_a_try_and_one_that_is_said_again_does_not() {
        let gate = Gate::new(2);
        gate.close(Cause::DeadLetters, "queue not found");
        gate.close(Cause::Breaker, "too many");
        gate.close(Cause::PublishLog, "the disk is full");
        let say_again = async {
            for _ in 0..10 {
                gate.close(Cause::Ledger, "table not found");
                sleep(SAID_AGAIN_WITHIN * 3 / 4).await;
            }
        };
        tokio::select! {
            () = gate.run() => {}
            () = say_again => {}
        }
        let causes = gate.causes();
        assert!(causes.contains_key(&Cause::Ledger) && causes.contains_key(&Cause::Breaker));
        assert!(causes.contains_key(&Cause::PublishLog));
        assert!(!causes.contains_key(&Cause::DeadLetters));
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_that_is_held_lets_nothing_pass_until_it_is_opened() {
        let gate = Gate::new(1);
        gate.hold(Cause::PublishLog, "not known yet");
        assert!(!lets_pass(&gate).await);
        gate.open(&Cause::PublishLog);
        assert!(lets_pass(&gate).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_ledger_closes_the_gate_for_everyone() {
        let gate = Gate::new(2);
        gate.close(Cause::Ledger, "table not found");
        assert!(!lets_pass(&gate).await);
        gate.open(&Cause::Ledger);
        assert!(lets_pass(&gate).await);
    }
}
