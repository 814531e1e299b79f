//! One destination's own way: its batcher, its calls, its budget and its pause, so that a broken channel never blocks
//! another.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hashbrown::HashMap;
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, interval, sleep, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Destination, Entrance, Verdict, attempts, calls::Calls, pace::Pace, waiting::Waiting};
use crate::{
    batch::{Batch, Batcher},
    event::ReadyEvent,
    failure::{CallError, Rejection, is_throttling},
    gate::{Cause, Gate},
    metrics::LaneMetrics,
    receive::Delivery,
};

/// How often a lane that waits for a free call looks whether it holds too much.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Failed calls in a row after which the destination counts as gone.
const FAILURES_UNTIL_PAUSED: usize = 5;

/// The numbers of a lane.
#[derive(Clone, Debug)]
pub struct LaneSettings {
    /// The destination's name.
    pub name: String,
    /// Longest wait for a batch to fill.
    pub linger: Duration,
    /// This worker's share of the account's quota.
    pub requests_per_second: u32,
    /// Most calls in flight.
    pub concurrency_max: usize,
    /// How long one call may take before its outcome is unknown.
    pub request_timeout: Duration,
}

/// What the calls of one destination share.
pub struct Lane {
    pub(super) settings: LaneSettings,
    pub(super) pace: Pace,
    pub(super) rejected: mpsc::UnboundedSender<Delivery<Rejection>>,
    destination: Arc<dyn Destination>,
    pub(super) entrance: Arc<Entrance>,
    /// While the lane is paused and others are not, one delivery finds out whether it is cured. The
    /// others leave.
    pub(super) finding_out: Semaphore,
    gate: Arc<Gate>,
    cause: Cause,
    stop: CancellationToken,
    /// Calls that failed since the last that did not, other than by being throttled.
    failures: AtomicUsize,
    metrics: LaneMetrics,
}

impl Lane {
    /// A lane to `destination`. After `stop` a paused lane waits for no cure.
    pub fn new(
        settings: LaneSettings,
        destination: Arc<dyn Destination>,
        entrance: Arc<Entrance>,
        rejected: mpsc::UnboundedSender<Delivery<Rejection>>,
        stop: CancellationToken,
        metrics: LaneMetrics,
    ) -> Self {
        let pace = Pace::new(settings.requests_per_second, settings.concurrency_max);
        let cause = Cause::Destination(settings.name.clone());
        let gate = entrance.gate().clone();
        Self {
            settings,
            pace,
            rejected,
            destination,
            entrance,
            finding_out: Semaphore::new(1),
            gate,
            cause,
            stop,
            failures: AtomicUsize::new(0),
            metrics,
        }
    }

    /// Runs until `ready` is closed and everything has left. After `give_up` the rest is returned.
    pub async fn run(
        self: Arc<Self>,
        ready: mpsc::UnboundedReceiver<Delivery<ReadyEvent>>,
        give_up: CancellationToken,
    ) {
        let mut waiting = Waiting::new(ready);
        let mut batcher = Batcher::new(self.destination.limits());
        let mut calls = Calls::default();
        let mut flush_at = Instant::now();
        let mut is_open = true;
        while is_open || !batcher.is_empty() {
            let full = tokio::select! {
                // Ends calls first: their slots are what the next batch waits for.
                biased;
                () = calls.next_ended(), if !calls.is_empty() => {
                    self.metrics.concurrency.set(calls.len() as f64);
                    None
                }
                () = sleep_until(flush_at), if !batcher.is_empty() => Some(batcher.take()),
                event = waiting.next(), if is_open => if let Some(event) = event {
                    if batcher.is_empty() {
                        flush_at = Instant::now() + self.settings.linger;
                    }
                    fill(&mut batcher, event)
                } else {
                    is_open = false;
                    Some(batcher.take())
                },
            };
            if let Some(batch) = full.filter(|batch| !batch.is_empty()) {
                if !batcher.is_empty() {
                    flush_at = Instant::now() + self.settings.linger;
                }
                if let Some(batch) = self.wait_for_slot(batch, &mut calls, &mut waiting).await {
                    self.start(batch, &mut calls, &give_up);
                }
            }
        }
        while !calls.is_empty() {
            calls.next_ended().await;
        }
    }

    /// Waits for a free slot. Meanwhile nothing is taken from the stage before: that is the back-pressure. What waits
    /// there for a lane that holds more than it may is given back, and the batch too where the lane is paused and
    /// others are not: the only slot may be that of the call that finds out.
    async fn wait_for_slot(&self, batch: Batch, calls: &mut Calls, waiting: &mut Waiting) -> Option<Batch> {
        let bytes = room_of(&batch);
        let mut look = interval(LOOK_EVERY);
        while calls.len() >= self.pace.concurrency()
            || (!calls.is_empty() && calls.bytes() + bytes > self.entrance.call_bytes_max())
        {
            tokio::select! {
                () = calls.next_ended() => {}
                _ = look.tick() => {
                    waiting.make_room(&self.entrance);
                    if self.entrance.is_paused_alone() {
                        for delivery in batch {
                            self.entrance.give_back(delivery);
                        }
                        return None;
                    }
                }
            }
        }
        Some(batch)
    }

    fn start(self: &Arc<Self>, batch: Batch, calls: &mut Calls, give_up: &CancellationToken) {
        self.metrics.batch(&batch);
        let (lane, give_up, bytes) = (self.clone(), give_up.clone(), room_of(&batch));
        calls.start(bytes, async move {
            // Dropping the unfinished work returns it.
            give_up.run_until_cancelled(attempts::publish(&lane, batch)).await;
        });
        self.metrics.concurrency.set(calls.len() as f64);
    }

    /// One call, with its time limit, its pace and its numbers.
    pub(super) async fn put(&self, events: &[&ReadyEvent]) -> Result<Vec<Verdict>, CallError> {
        let started = Instant::now();
        let mut in_doubt = InDoubt { metrics: &self.metrics, events: events.len() };
        let answer = timeout(self.settings.request_timeout, self.destination.put(events)).await;
        let answer = answer.unwrap_or_else(|_elapsed| {
            Err(CallError::transient("timeout", "no answer in time, the outcome is unknown"))
        });
        in_doubt.answered(&answer);
        self.metrics.put(&answer, started.elapsed());
        self.learn_from(&answer);
        answer
    }

    fn learn_from(&self, answer: &Result<Vec<Verdict>, CallError>) {
        let trouble = self.entrance.trouble();
        match answer {
            Ok(verdicts) if verdicts.iter().any(is_throttled) => {
                self.pace.was_throttled();
                trouble.begins();
            }
            Ok(verdicts) => {
                self.pace.went_well();
                if verdicts.iter().all(is_put_off) { trouble.begins() } else { trouble.ends() }
            }
            Err(CallError::Transient { .. }) => {
                self.pace.was_throttled();
                trouble.begins();
            }
            Err(CallError::Misconfigured { .. }) => trouble.begins(),
            // Says something about the events alone.
            Err(CallError::BadRequest { .. }) => {}
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.settings.name
    }

    /// The destination says that we are misconfigured, or cannot be reached: take nothing more in for it.
    pub(super) fn pause(&self, why: &str) {
        self.metrics.paused.set(1.0);
        self.gate.close(self.cause.clone(), why);
    }

    /// A call failed for a reason that may pass. Many in a row are a state: better not to take in what cannot leave.
    pub(super) fn count_failure(&self, code: &str) {
        if !is_throttling(code) && self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES_UNTIL_PAUSED
        {
            self.pause(&format!(
                "the destination cannot be reached ({code}); check the network and the endpoint"
            ));
        }
    }

    /// The destination accepts calls again.
    pub(super) fn resume(&self) {
        self.failures.store(0, Ordering::Relaxed);
        self.metrics.paused.set(0.0);
        self.gate.open(&self.cause);
    }

    /// Waits before the next call that finds out whether the lane is cured: `at_most` this long, shorter if another
    /// call found out. Breaks once the process stops: what is held is better given back than tried again.
    pub(super) async fn wait_for_cure(&self, at_most: Duration) -> ControlFlow<()> {
        tokio::select! {
            () = sleep(at_most) => ControlFlow::Continue(()),
            () = self.gate.cured(&self.cause) => ControlFlow::Continue(()),
            () = self.stop.cancelled() => ControlFlow::Break(()),
        }
    }
}

/// The room that a batch keeps: each message keeps all of its own, however few of its events are in the batch.
fn room_of(batch: &Batch) -> usize {
    let places: HashMap<_, _> = batch.iter().map(|delivery| delivery.receipt.place()).collect();
    places.values().sum()
}

/// Counts the events of a call whose outcome stays unknown, also when the call is given up half-way.
struct InDoubt<'a> {
    metrics: &'a LaneMetrics,
    events: usize,
}

impl InDoubt<'_> {
    fn answered(&mut self, answer: &Result<Vec<Verdict>, CallError>) {
        self.events = match answer {
            Ok(verdicts) => verdicts.iter().filter(|verdict| **verdict == Verdict::Unknown).count(),
            // Throttled or never sent: the events are not there. After any other failure they may be.
            Err(CallError::Transient { code, .. }) if !is_throttling(code) && code != "unreachable" => {
                self.events
            }
            Err(_) => 0,
        };
    }
}

impl Drop for InDoubt<'_> {
    fn drop(&mut self) {
        self.metrics.unknown_outcome.increment(self.events as u64);
    }
}

fn fill(batcher: &mut Batcher, event: Delivery<ReadyEvent>) -> Option<Batch> {
    let full = batcher.push(event);
    if full.is_none() && batcher.is_full() {
        return Some(batcher.take());
    }
    full
}

fn is_put_off(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::TryAgain { .. } | Verdict::Unknown)
}

fn is_throttled(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::TryAgain { code } if is_throttling(code))
}

#[cfg(test)]
mod tests;
