//! Reads the objects of messages, a few at once. In: [`Job`]s. Out: [`Part`]s, given to `process`.
//!
//! The message stays ours meanwhile, kept alive by its source. It is given back where an object cannot be read now,
//! and where the process stops; what was read of it by then is known as a duplicate when it comes again.

mod ending;
mod standing;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use self::standing::Standing;
use super::{
    ObjectError, ObjectStore,
    denials::Watched,
    frames::{Frame, RECORD_BYTES_MAX},
    pointer::pointer,
    reading::{Reading, Stopped},
};
use crate::{
    decode::{Decoded, Found, ObjectRef, Sum, Unpacked, unpack},
    failure::{CallError, Reason},
    gate::{Cause, Gate},
    intervals::Intervals,
    metrics::Metrics,
    pipeline::Shutdown,
    receive::{Message, Origin},
    room::{Permit, Room},
    settle::MessageReceipt,
    tasks::joined,
};

/// What a record costs beyond its bytes, about: its own structures, and its mapped form.
const RECORD_OVERHEAD_BYTES: usize = 1_024;
/// Denials of one object, with others of its bucket opened in between, after which it is the object's problem.
const DENIALS_MAX: u32 = 5;

/// A message whose events are in objects.
pub struct Job {
    /// The message.
    pub message: Message,
    /// Its own, unsealed: dropped, it gives the message back.
    pub receipt: MessageReceipt,
    /// In order.
    pub objects: Vec<ObjectRef>,
}

/// One part of an object, as stage 2 finds it in a record.
pub struct Part {
    /// The object and the place in it.
    pub origin: Origin,
    /// What it is.
    pub found: Found,
    /// What it takes until it is settled.
    pub room: Option<Arc<Permit>>,
}

/// What is done with parts. Says whether the part is an event, or at least no mistake.
pub type Process = Arc<dyn Fn(Part, &mut MessageReceipt) -> bool + Send + Sync>;

/// The stage.
pub struct Objects {
    /// Where objects are.
    pub store: Arc<dyn ObjectStore>,
    /// Objects that are read at once, at most.
    pub concurrency_max: usize,
    /// For records. Not the room of messages: a message that waits for its records would wait for itself.
    pub room: Arc<Room>,
    /// Shows what is denied.
    pub gate: Arc<Gate>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// What is done with parts.
    pub process: Process,
}

/// What the jobs share.
struct Shared {
    objects: Objects,
    store: Arc<Watched>,
    slots: Semaphore,
    stop: CancellationToken,
}

/// How it went with one object.
enum Ended {
    /// It is settled what becomes of it.
    Done,
    /// The message is to come again after this long.
    Again(Duration),
    /// The message is not ours any more, or the process stops: at once.
    Stopped,
}

impl Objects {
    /// Runs until `jobs` is closed and every job has ended.
    pub async fn run(self, mut jobs: mpsc::UnboundedReceiver<Job>, shutdown: Shutdown) {
        let shared = Arc::new(Shared {
            store: Arc::new(Watched::new(self.store.clone(), self.gate.clone())),
            slots: Semaphore::new(self.concurrency_max.max(1)),
            stop: shutdown.stop,
            objects: self,
        });
        let run = async {
            let (mut reading, mut is_open) = (JoinSet::new(), true);
            // Each job owns a part of the room for messages, so there are never too many.
            while is_open || !reading.is_empty() {
                tokio::select! {
                    job = jobs.recv(), if is_open => match job {
                        Some(job) => drop(reading.spawn(shared.clone().message(job))),
                        None => is_open = false,
                    },
                    ended = reading.join_next(), if !reading.is_empty() => drop(joined(ended)),
                }
            }
        };
        // Dropping the jobs drops their receipts, which returns them.
        shutdown.give_up.run_until_cancelled(run).await;
    }
}

impl Shared {
    async fn message(self: Arc<Self>, Job { message, mut receipt, objects }: Job) {
        let mut again = None;
        for object in &objects {
            match self.object(&message, object, &mut receipt).await {
                Ended::Done => {}
                Ended::Again(after) => again = again.max(Some(after)),
                Ended::Stopped => {
                    self.count("returned");
                    return receipt.return_after(Duration::ZERO);
                }
            }
        }
        match again {
            Some(after) => receipt.return_after(after),
            None => receipt.seal(),
        }
    }

    async fn object(&self, message: &Message, object: &ObjectRef, receipt: &mut MessageReceipt) -> Ended {
        let mut standing = Standing::new(message, object);
        let mut reading = Reading::new(self.store.clone(), object.clone());
        let (mut waiting, mut intervals) = (None, Intervals::for_operators());
        loop {
            let stopped =
                match self.while_ours(message, self.parts(&mut reading, &mut standing, receipt)).await {
                    None => return Ended::Stopped,
                    Some(Ok(())) => return self.whole(&standing, receipt),
                    Some(Err(stopped)) => stopped,
                };
            let error = match stopped {
                Stopped::Broken(damage) => return self.broken(&standing, reading.passed(), &damage, receipt),
                Stopped::Fetch(error) => error,
            };
            let ObjectError::Call(CallError::Misconfigured { code, message: why }) = &error else {
                return self.not_now(&standing, &error, receipt);
            };
            let denials = self.store.denied(&message.handle.message_id, object);
            if denials.of_itself >= DENIALS_MAX {
                return self.denied(&standing, code, receipt);
            }
            waiting = waiting.or_else(|| self.store.wait_for(&object.bucket));
            if waiting.is_none() {
                return self.not_now(&standing, &error, receipt);
            }
            if denials.is_of_itself {
                warn!(stage = "receive", %object, %code, why, "denied, though others of its bucket are not");
            } else {
                self.objects.gate.close(Cause::Objects(object.bucket.clone()), why.clone());
            }
            if self.while_ours(message, sleep(intervals.next_interval())).await.is_none() {
                return Ended::Stopped;
            }
        }
    }

    /// `None`: the message is not ours any more, or the process stops.
    async fn while_ours<T>(&self, message: &Message, work: impl Future<Output = T>) -> Option<T> {
        let lost = async {
            while message.deadline.at() > Instant::now() {
                tokio::time::sleep_until(message.deadline.at()).await;
            }
        };
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            () = lost => None,
            done = work => Some(done),
        }
    }

    /// To the end of the object, one of a few at once.
    async fn parts(
        &self,
        reading: &mut Reading,
        standing: &mut Standing<'_>,
        receipt: &mut MessageReceipt,
    ) -> Result<(), Stopped> {
        let _slot = self.slots.acquire().await;
        match standing.object.whole {
            Some(sum) => self.in_place_of_message(sum, reading, standing, receipt).await,
            None => self.records(reading, standing, receipt).await,
        }
    }

    /// All of the object, in the place of its message. It is held whole, so its room is taken before it is read.
    async fn in_place_of_message(
        &self,
        sum: Sum,
        reading: &mut Reading,
        standing: &mut Standing<'_>,
        receipt: &mut MessageReceipt,
    ) -> Result<(), Stopped> {
        let bytes_max = standing.object.bytes.unwrap_or_default();
        let bytes = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        let room = self.objects.room.take(bytes.saturating_add(RECORD_OVERHEAD_BYTES)).await;
        let body = reading.whole(sum, bytes_max).await?;
        self.unpacked(body, room, standing, receipt);
        Ok(())
    }

    /// One record after the other; each takes its room by itself.
    async fn records(
        &self,
        reading: &mut Reading,
        standing: &mut Standing<'_>,
        receipt: &mut MessageReceipt,
    ) -> Result<(), Stopped> {
        while let Some(frame) = reading.next().await? {
            match frame {
                Frame::TooLong(bytes) => {
                    let detail = format!(
                        "a record of {bytes} bytes, which ends at byte {}; at most {RECORD_BYTES_MAX} are read",
                        reading.passed()
                    );
                    self.reject(
                        standing.origin(pointer(standing.object)),
                        Reason::EventTooLarge,
                        detail,
                        receipt,
                    );
                    standing.position += 1;
                    standing.rejected += 1;
                }
                Frame::Record(bytes) => self.record(bytes, standing, receipt).await,
                Frame::CutOff | Frame::NotJson => {}
            }
            standing.doubt(reading.passed()).map_err(Stopped::Broken)?;
        }
        Ok(())
    }

    /// Waits for room, and so for what was read before to be settled: this is the back-pressure.
    async fn record(&self, bytes: Bytes, standing: &mut Standing<'_>, receipt: &mut MessageReceipt) {
        let room = self.objects.room.take(bytes.len() + RECORD_OVERHEAD_BYTES).await;
        self.unpacked(bytes, room, standing, receipt);
    }

    fn unpacked(
        &self,
        bytes: Bytes,
        room: Permit,
        standing: &mut Standing<'_>,
        receipt: &mut MessageReceipt,
    ) {
        let Unpacked { parts, added_bytes } = unpack(bytes);
        room.grow(added_bytes + parts.len().saturating_sub(1) * RECORD_OVERHEAD_BYTES);
        let room = Arc::new(room);
        self.objects.metrics.process.object_records.increment(parts.len() as u64);
        for Decoded { original, found } in parts {
            let origin = standing.origin(original);
            let is_event = (self.objects.process)(Part { origin, found, room: Some(room.clone()) }, receipt);
            standing.position += 1;
            standing.rejected += usize::from(!is_event);
        }
    }
}

#[cfg(test)]
mod tests;
