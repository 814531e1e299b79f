//! The loops that poll: as many at once as the source is worth.
//!
//! In: room. Out: messages with their receipts, given to `process`. A poll that comes back full, or from a source that has more,
//! asks for one more poll at once beside it; a poll that comes back empty asks for one less.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{sync::Notify, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Message, Source};
use crate::{
    failure::CallError,
    gate::{Cause, Gate},
    intervals::Intervals,
    metrics::Metrics,
    room::{Permit, Room},
    settle::{MessageEnd, MessageReceipt, ToSettler},
    tasks::joined,
};

/// What a message costs beyond its body, about: its parts in our own structures.
pub(crate) const MESSAGE_OVERHEAD_BYTES: usize = 1_024;
/// The size of a message before the first one was seen.
const FIRST_GUESS_BYTES: usize = 4_096;
/// A poll that is under way when the process stops may still bring messages; after this long it is idle, and what
/// it would bring later comes to another worker when its visibility ends.
const STOPPING_POLL_MAX: Duration = Duration::from_secs(2);

/// A poll may fail once in a while; so many in a row are a state.
const FAILURES_UNTIL_NOT_READY: usize = 3;

/// Messages of one poll, each with the right to settle it.
pub type Received = Vec<(Message, MessageReceipt)>;
/// What is done with them.
pub type Process = Arc<dyn Fn(Received) + Send + Sync>;

/// Polls one source.
pub struct Intake {
    /// Where messages come from.
    pub source: Arc<dyn Source>,
    /// Taken before each poll.
    pub room: Arc<Room>,
    /// Closed: no poll.
    pub gate: Arc<Gate>,
    /// Where settlements go.
    pub to_settler: ToSettler,
    /// What is done with the messages.
    pub process: Process,
    /// Most polls in flight.
    pub receivers_max: usize,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// What the receivers share.
struct Shared {
    intake: Intake,
    /// Receivers from this one on rest.
    wanted: AtomicUsize,
    changed: Notify,
    /// Bytes of a usual message.
    usual_bytes: AtomicUsize,
    /// Polls that failed since the last that did not.
    failures: AtomicUsize,
}

impl Intake {
    /// Polls until `stop`, then until what was received is processed.
    pub async fn run(self, stop: CancellationToken) {
        let receivers_max = self.receivers_max.max(1);
        let shared = Arc::new(Shared {
            intake: self,
            wanted: AtomicUsize::new(1),
            changed: Notify::new(),
            usual_bytes: AtomicUsize::new(FIRST_GUESS_BYTES),
            failures: AtomicUsize::new(0),
        });
        let mut receivers = JoinSet::new();
        for number in 0..receivers_max {
            receivers.spawn(shared.clone().receiver(number, stop.clone()));
        }
        while let Some(ended) = receivers.join_next().await {
            joined(Some(ended));
        }
    }
}

impl Shared {
    async fn receiver(self: Arc<Self>, number: usize, stop: CancellationToken) {
        let mut intervals = Intervals::for_calls();
        let mut groups = JoinSet::new();
        while let Some(permit) = stop.run_until_cancelled(self.turn(number)).await {
            match self.poll(&stop).await {
                Some(Ok(messages)) => {
                    intervals.reset();
                    self.failures.store(0, Ordering::Relaxed);
                    self.intake.gate.open(&Cause::Source);
                    self.observe(number, &messages);
                    let received = self.with_receipts(messages, permit);
                    if received.iter().any(|(message, _)| message.group.is_some()) {
                        in_group_order(received, &self.intake.process, &mut groups);
                    } else if !received.is_empty() {
                        (self.intake.process)(received);
                    }
                }
                Some(Err(error)) => {
                    self.complain(&error);
                    drop(permit);
                    stop.run_until_cancelled(sleep(intervals.next_interval())).await;
                }
                None => break,
            }
            while let Some(ended) = groups.try_join_next() {
                joined(Some(ended));
            }
        }
        while let Some(ended) = groups.join_next().await {
            joined(Some(ended));
        }
    }

    /// Waits until this receiver is wanted, the gate is open and there is room for a usual poll.
    async fn turn(&self, number: usize) -> Permit {
        loop {
            let changed = self.changed.notified();
            if number < self.wanted.load(Ordering::Relaxed) {
                break;
            }
            changed.await;
        }
        self.intake.gate.passable().await;
        let usual = self.usual_bytes.load(Ordering::Relaxed) + MESSAGE_OVERHEAD_BYTES;
        let source = &self.intake.source;
        let overheads = MESSAGE_OVERHEAD_BYTES * source.batch_max();
        let most = source.batch_bytes_max().saturating_add(overheads);
        self.intake.room.take((usual * source.batch_max()).min(most)).await
    }

    /// `None`: the process stops, and this poll brought nothing in time.
    async fn poll(&self, stop: &CancellationToken) -> Option<Result<Vec<Message>, CallError>> {
        let poll = self.intake.source.receive();
        tokio::pin!(poll);
        tokio::select! {
            result = &mut poll => Some(result),
            () = async { stop.cancelled().await; sleep(STOPPING_POLL_MAX).await } => None,
        }
    }

    fn with_receipts(&self, messages: Vec<Message>, mut permit: Permit) -> Received {
        let receipts = messages.into_iter().map(|message| {
            let room = permit.split(message.bytes() + MESSAGE_OVERHEAD_BYTES);
            let receipt = MessageReceipt::new(&message, room, self.intake.to_settler.clone());
            (message, receipt)
        });
        receipts.collect()
    }

    /// Learns from what a poll brought: how many polls are worth while, and how large messages are.
    fn observe(&self, number: usize, messages: &[Message]) {
        let process = &self.intake.metrics.process;
        let wanted = self.wanted.load(Ordering::Relaxed);
        let result = if messages.is_empty() {
            // Only the last of the wanted rests, so that one empty poll of many ends one receiver.
            if number + 1 == wanted && wanted > 1 {
                self.want(wanted, wanted - 1);
            }
            "empty"
        } else if messages.len() >= self.intake.source.batch_max() || self.intake.source.has_more() {
            if wanted < self.intake.receivers_max {
                self.want(wanted, wanted + 1);
            }
            "full"
        } else {
            "partial"
        };
        process.polls.by(&[("result", result)]).increment(1);
        process.messages_received.increment(messages.len() as u64);
        process.receivers.set(self.wanted.load(Ordering::Relaxed) as f64);
        if let Some(bytes) = messages.iter().map(Message::bytes).sum::<usize>().checked_div(messages.len()) {
            let usual = self.usual_bytes.load(Ordering::Relaxed);
            self.usual_bytes.store((usual * 7 + bytes) / 8, Ordering::Relaxed);
        }
        let lag = messages.last().and_then(|message| SystemTime::now().duration_since(message.sent_at?).ok());
        process.queue_lag_seconds.set(lag.unwrap_or_default().as_secs_f64());
    }

    fn want(&self, now: usize, wanted: usize) {
        // Lost against another receiver's wish: that one counts, and the next poll wishes again.
        if self.wanted.compare_exchange(now, wanted, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.changed.notify_waiters();
        }
    }

    fn complain(&self, error: &CallError) {
        self.intake.metrics.process.polls.by(&[("result", "error")]).increment(1);
        warn!(stage = "receive", code = error.code(), %error, "could not receive, will try again");
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if matches!(error, CallError::Misconfigured { .. }) {
            self.intake.gate.close(Cause::Source, error.to_string());
        } else if failures >= FAILURES_UNTIL_NOT_READY {
            let why = format!(
                "the source cannot be reached ({error}); check its URL or ARN, the network and the endpoint"
            );
            self.intake.gate.close(Cause::Source, why);
        }
    }
}

/// Messages of one group go one after the other: the next begins when the one before has been acked. If that one
/// was returned, those behind it are returned too, or they would overtake it. Groups do not wait for each other.
fn in_group_order(received: Received, process: &Process, tasks: &mut JoinSet<()>) {
    let mut groups: BTreeMap<Option<Arc<str>>, Received> = BTreeMap::new();
    for (message, receipt) in received {
        groups.entry(message.group.clone()).or_default().push((message, receipt));
    }
    for group in groups.into_values() {
        let process = process.clone();
        tasks.spawn(async move {
            for (message, receipt) in group {
                let ended = receipt.ended();
                process(vec![(message, receipt)]);
                if !matches!(ended.await, Ok(MessageEnd::Acked)) {
                    return;
                }
            }
        });
    }
}
