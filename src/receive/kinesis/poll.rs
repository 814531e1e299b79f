//! One poll: messages that wait, or one read of the shard whose turn it is. In: a turn. Out: messages, and when the
//! shard's next turn is.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{
    Shared,
    api::{Batch, ReadError},
    state::{State, Turn},
};
use crate::{failure::CallError, intervals::of_attempt, receive::Message};

/// Most messages of one poll, and most records of one read: at five reads a second, five times what a shard takes in.
pub(super) const MESSAGES_MAX: usize = 1_000;
/// Bodies of one poll come to little more than this: a poll waits for room for all of them, and while it asked for a
/// thousand of 10 kB, nothing would be received as long as anything is in flight.
pub(super) const BYTES_MAX: usize = 1_048_576;
/// A poll that brings nothing for so long ends, as a long poll of a queue does.
const WAIT: Duration = Duration::from_secs(20);
/// How long a shard rests in which nothing new was found.
const IDLE: Duration = Duration::from_secs(1);
/// How long a shard rests after a read that failed, at first and at most.
const FAILED: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));

impl Shared {
    /// Waits for messages. None after a while is a normal idle poll.
    pub(super) async fn poll(self: &Arc<Self>) -> Result<Vec<Message>, CallError> {
        let until = Instant::now() + WAIT;
        let _polling = Polling::new(self);
        loop {
            let changed = self.changed.notified();
            let now = Instant::now();
            let (messages, turn, due, trouble) = self.with(|state| {
                let messages = state.hand_out(now, MESSAGES_MAX);
                let turn = if messages.is_empty() && now < until { state.turn(now) } else { None };
                let trouble = state.trouble();
                (messages, turn, state.next_due(now).unwrap_or(until), trouble)
            });
            // Whatever happens from here on, the shard whose turn it is can be read again.
            let reading = turn.map(|turn| Reading { shared: self.clone(), turn, due: now });
            if !messages.is_empty() || now >= until {
                return Ok(messages);
            }
            if let Some(reading) = reading {
                self.read(reading).await?;
            } else if let Some(trouble) = trouble {
                return Err(trouble);
            } else {
                // Whoever changes something wakes this; the time is for what comes due by itself.
                drop(timeout_at(due.min(until), changed).await);
            }
        }
    }

    /// One read of one shard. Only what is nobody's fault but ours or the moment's is an error.
    async fn read(&self, mut reading: Reading) -> Result<(), CallError> {
        let begun = Instant::now();
        let pause = Duration::from_secs(1) / self.settings.calls_per_second.max(1);
        match self.batch(&mut reading.turn).await {
            Ok(batch) => {
                let is_idle = batch.records.is_empty() && batch.behind.unwrap_or_default().is_zero();
                reading.due = begun + if is_idle { pause.max(IDLE) } else { pause };
                self.took(&reading.turn.shard, reading.turn.number, batch);
                Ok(())
            }
            Err(ReadError::Expired) => {
                reading.due = begun + pause;
                self.count_error("GetRecords", "ExpiredIteratorException");
                Ok(())
            }
            Err(ReadError::Throttled(error)) => {
                reading.due = self.failed_until(&reading.turn);
                self.count_error("GetRecords", error.code());
                Ok(())
            }
            Err(ReadError::NotFound(error)) => {
                reading.due = self.failed_until(&reading.turn);
                self.count_error("GetRecords", error.code());
                self.missing_shard(&reading.turn.shard, reading.turn.number, error).await
            }
            Err(ReadError::Call(error)) => {
                reading.due = self.failed_until(&reading.turn);
                self.count_error("GetRecords", error.code());
                Err(error)
            }
        }
    }

    async fn batch(&self, turn: &mut Turn) -> Result<Batch, ReadError> {
        let (iterator, made_at) = if let Some(iterator) = turn.iterator.take() {
            iterator
        } else {
            let begun = Instant::now();
            (self.stream.iterator(&turn.shard, &turn.from, self.settings.start.named_ms()).await?, begun)
        };
        match self.stream.read(&iterator, MESSAGES_MAX).await {
            Ok(batch) => {
                turn.iterator = batch.next.clone().map(|next| (next, Instant::now()));
                Ok(batch)
            }
            Err(error) => {
                // The same iterator reads the same records again.
                if error.is_passing() {
                    turn.iterator = Some((iterator, made_at));
                }
                Err(error)
            }
        }
    }

    fn failed_until(&self, turn: &Turn) -> Instant {
        let failures = self.with(|state| {
            let held = state.of(&turn.shard, turn.number)?;
            held.failures += 1;
            Some(held.failures)
        });
        Instant::now() + of_attempt(failures.unwrap_or(1), FAILED.0, FAILED.1)
    }
}

/// A poll under way.
struct Polling(Arc<Shared>);

impl Polling {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.with(State::poll_began);
        Self(shared.clone())
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        let now = Instant::now();
        self.0.with(|state| state.poll_ended(now));
    }
}

/// A turn under way. Dropped at any moment, it lets the shard be read again from where it was.
struct Reading {
    shared: Arc<Shared>,
    turn: Turn,
    due: Instant,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let due = self.due;
        self.shared.with(|state| state.turn_ended(&mut self.turn, due));
        self.shared.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
