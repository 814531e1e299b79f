//! The task that writes. In: what was accepted. Out: segments on the shelf, the hash of each one's last line in the
//! log, and a closed gate while nothing can be written.

use std::{
    convert::Infallible,
    future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::{Accepted, Chain, Held, Part, PublishLog, Shelf};
use crate::{
    clock::Clock,
    failure::CallError,
    gate::{Cause, Gate},
    intervals::Intervals,
    metrics::Metrics,
};

/// A line waits at most this long for others to be kept with it. (A shelf that takes whole segments makes it wait for
/// the end of its segment.)
const KEEP_AFTER: Duration = Duration::from_millis(200);
/// The first segment of a shelf that takes whole ones ends after this long, so that a missing permission is found out
/// while little is published.
const FIRST_SEGMENT_TIME: Duration = Duration::from_secs(1);
/// A shelf that has not answered for so long may never do.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// What the last try may take once the process has given up.
const LAST_TRY: Duration = Duration::from_secs(1);

/// Writes one chain.
pub struct LogWriter {
    accepted: mpsc::UnboundedReceiver<Accepted>,
    shelf: Box<dyn Shelf>,
    chain: Chain,
    open: Option<Segment>,
    /// Records that came after giving up.
    too_late: u64,
    /// Records that did not fit and that the chain knows of.
    told_lost: u64,
    held: Arc<Held>,
    segment_time: Duration,
    segment_bytes: usize,
    clock: Clock,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
}

/// The segment that is written now.
struct Segment {
    /// Bytes on the shelf.
    kept: u64,
    /// Lines that are not.
    unkept: Vec<u8>,
    /// Records among those, and what they took before they were lines.
    unkept_records: usize,
    unkept_held: usize,
    records: u64,
    keep_at: Instant,
    end_at: Instant,
    has_ended: bool,
}

impl LogWriter {
    pub(super) fn new(
        log: PublishLog,
        accepted: mpsc::UnboundedReceiver<Accepted>,
        held: Arc<Held>,
        gate: Arc<Gate>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let PublishLog { shelf, chain, segment_time, segment_bytes, clock } = log;
        let (open, too_late, told_lost) = (None, 0, 0);
        Self {
            accepted,
            shelf,
            chain,
            open,
            too_late,
            told_lost,
            held,
            segment_time,
            segment_bytes,
            clock,
            gate,
            metrics,
        }
    }

    /// Writes until nobody is left to tell anything, then ends the segment. After `give_up` a failure is final, and
    /// what could not be written is counted as lost.
    pub async fn run(mut self, give_up: CancellationToken) {
        info!(chain = self.chain.name(), "the publish log begins when something is published");
        if self.write_all(&give_up).await.is_err() {
            while self.accepted.recv().await.is_some() {
                self.too_late += 1;
            }
        }
    }

    async fn write_all(&mut self, give_up: &CancellationToken) -> Result<(), GaveUp> {
        self.prepare(give_up).await?;
        loop {
            let due = self.open.as_ref().map(|open| self.due(open));
            // A timer may be late by a millisecond, in which much can come.
            if due.is_some_and(|due| due <= Instant::now()) {
                self.keep(give_up).await?;
                continue;
            }
            tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => self.keep(give_up).await?,
                accepted = self.accepted.recv() => match accepted {
                    Some(accepted) => self.add(&accepted),
                    None => break,
                },
            }
        }
        if let Some(open) = &mut self.open {
            open.end_at = Instant::now();
        }
        self.keep(give_up).await
    }

    /// Finds out whether anything can be written before anything is published.
    async fn prepare(&mut self, give_up: &CancellationToken) -> Result<(), GaveUp> {
        let mut intervals = intervals();
        loop {
            let patience = Patience::new(&self.gate, &self.held, give_up, self.shelf.place());
            let Err(error) = patience.wait_for(self.shelf.prepare()).await else { break };
            self.failed(&error);
            if give_up.is_cancelled() || (self.accepted.is_closed() && self.accepted.is_empty()) {
                return Err(GaveUp);
            }
            pause(intervals.next_interval(), give_up).await;
        }
        self.works();
        Ok(())
    }

    /// Makes a line, in a new segment if none is open.
    fn add(&mut self, accepted: &Accepted) {
        let now = Instant::now();
        let open = self.open.get_or_insert_with(|| {
            let mut unkept = Vec::new();
            self.chain.begin(self.clock.now(), &mut unkept);
            let is_trial = self.chain.segment() == 1 && !self.shelf.takes_parts();
            let time = if is_trial { FIRST_SEGMENT_TIME.min(self.segment_time) } else { self.segment_time };
            Segment {
                kept: 0,
                unkept,
                unkept_records: 0,
                unkept_held: 0,
                records: 0,
                keep_at: now + KEEP_AFTER,
                end_at: now + time,
                has_ended: false,
            }
        });
        if open.unkept.is_empty() {
            open.keep_at = now + KEEP_AFTER;
        }
        open.unkept_held += accepted.bytes();
        open.unkept_records += 1;
        open.records += 1;
        self.chain.add(accepted, &mut open.unkept);
        if open.kept + open.unkept.len() as u64 >= self.segment_bytes as u64 {
            open.end_at = now;
        }
    }

    /// When something has to be kept.
    fn due(&self, open: &Segment) -> Instant {
        let keeps_now = self.shelf.takes_parts() && !open.unkept.is_empty();
        if keeps_now { open.keep_at.min(open.end_at) } else { open.end_at }
    }

    /// Keeps what is not kept, and ends the segment if it is time.
    async fn keep(&mut self, give_up: &CancellationToken) -> Result<(), GaveUp> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let head = (open.end_at <= Instant::now()).then(|| {
            open.has_ended = true;
            let lost = self.held.overflowed.load(Ordering::Relaxed);
            self.chain.lose(lost - self.told_lost);
            self.told_lost = lost;
            self.chain.end(open.records, self.clock.now(), &mut open.unkept)
        });
        self.keep_for_sure(give_up).await?;
        let Some(open) = &mut self.open else { return Ok(()) };
        open.kept += open.unkept.len() as u64;
        open.unkept.clear();
        self.metrics.process.publish_log_records.increment(open.unkept_records as u64);
        self.held.forget(open.unkept_records, open.unkept_held, &self.metrics);
        (open.unkept_records, open.unkept_held) = (0, 0);
        if let Some(head) = head {
            self.metrics.process.publish_log_segments.increment(1);
            info!(chain = self.chain.name(), segment = self.chain.segment(), records = open.records, %head,
                "a segment of the publish log is whole");
            self.open = None;
        }
        self.works();
        Ok(())
    }

    /// Tries until it works; meanwhile nothing more is taken in.
    async fn keep_for_sure(&mut self, give_up: &CancellationToken) -> Result<(), GaveUp> {
        let mut intervals = intervals();
        loop {
            let Some(open) = &self.open else { return Ok(()) };
            let part = Part {
                chain: self.chain.name(),
                segment: self.chain.segment(),
                offset: open.kept,
                bytes: &open.unkept,
                is_last: open.has_ended,
            };
            let patience = Patience::new(&self.gate, &self.held, give_up, self.shelf.place());
            let Err(error) = patience.wait_for(self.shelf.keep(part)).await else { return Ok(()) };
            self.failed(&error);
            if give_up.is_cancelled() {
                return Err(GaveUp);
            }
            pause(intervals.next_interval(), give_up).await;
        }
    }

    /// Opens the gate, unless more waits than may wait before an open one: then the next success does.
    fn works(&self) {
        if !self.held.is_crowded() {
            self.gate.open(&Cause::PublishLog);
        }
    }

    /// Once is enough: a shelf tries by itself what trying may cure, and a gate that was closed in vain opens soon.
    fn failed(&self, error: &CallError) {
        warn!(code = error.code(), %error, "could not write the publish log, will try again");
        self.gate.close(Cause::PublishLog, error.to_string());
    }
}

/// How long an answer of the shelf is waited for: as long as it takes, but soon with a closed gate.
struct Patience<'a> {
    gate: &'a Gate,
    held: &'a Held,
    give_up: &'a CancellationToken,
    place: String,
}

impl<'a> Patience<'a> {
    fn new(gate: &'a Gate, held: &'a Held, give_up: &'a CancellationToken, place: String) -> Self {
        Self { gate, held, give_up, place }
    }

    /// The answer, or a failure when the process has given up.
    async fn wait_for(&self, answer: impl Future<Output = Result<(), CallError>>) -> Result<(), CallError> {
        let last_try_is_over = async {
            self.give_up.cancelled().await;
            sleep(LAST_TRY).await;
        };
        tokio::select! {
            answer = answer => answer,
            () = last_try_is_over => Err(CallError::transient("timeout", "no answer in time")),
            never = self.close_meanwhile() => match never {},
        }
    }

    async fn close_meanwhile(&self) -> Infallible {
        let close = |why: String| {
            warn!(why, "the publish log waits");
            self.gate.close(Cause::PublishLog, why);
        };
        let stalled = async {
            sleep(ANSWERS_WITHIN).await;
            close(format!("no answer for {} s from {}", ANSWERS_WITHIN.as_secs(), self.place));
        };
        let crowded = async {
            self.held.crowded().await;
            close(format!("half of the records that fit in memory wait for {}", self.place));
        };
        tokio::join!(stalled, crowded);
        future::pending().await
    }
}

/// The process has given up, and the last try failed.
struct GaveUp;

/// Short, because each try is cheap and a closed gate is not.
fn intervals() -> Intervals {
    Intervals::new(Duration::from_millis(100), Duration::from_secs(5))
}

async fn pause(interval: Duration, give_up: &CancellationToken) {
    let _elapsed = give_up.run_until_cancelled(sleep(interval)).await;
}

impl Drop for LogWriter {
    /// However the task ended: what is left here is in no log, but for lines that a failed try may have left there.
    fn drop(&mut self) {
        self.accepted.close();
        let unkept = self.open.as_ref().map_or(0, |open| open.unkept_records as u64);
        let mut lost = self.too_late + unkept;
        while self.accepted.try_recv().is_ok() {
            lost += 1;
        }
        if lost > 0 {
            self.metrics.process.publish_log_lost.increment(lost);
        }
        lost += self.held.overflowed.load(Ordering::Relaxed);
        if lost > 0 {
            error!(
                lost,
                chain = self.chain.name(),
                "events were published that are not in the publish log: it could not be written to before the end"
            );
        }
    }
}

#[cfg(test)]
mod tests;
