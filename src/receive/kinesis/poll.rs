//! One poll: messages that wait, or one read of the shard whose turn it is. In: a turn. Out: messages, and when the
//! shard's next turn is.

use std::{
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::{
    Shared,
    api::{Batch, ReadError, Record},
    position::Position,
    state::{Part, State, Turn},
};
use crate::{
    aggregate::user_records,
    failure::CallError,
    intervals::of_attempt,
    receive::{About, Deadline, Handle, Message},
};

/// Most messages of one poll, and most records of one read: at five reads a second, five times what a shard takes in.
pub(super) const MESSAGES_MAX: usize = 1_000;
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
                let turn = if messages.is_empty() { state.turn(now) } else { None };
                let trouble = state.trouble.clone().filter(|_| state.held.is_empty());
                (messages, turn, state.next_due(now).unwrap_or(until), trouble)
            });
            if !messages.is_empty() || now >= until {
                return Ok(messages);
            }
            if let Some(turn) = turn {
                self.read(Reading { shared: self.clone(), turn, due: now }).await?;
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
                self.took(&reading.turn, batch);
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
                self.missing_shard(&reading.turn, error).await
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
            (self.stream.iterator(&turn.shard, &turn.from, self.settings.started_ms()).await?, begun)
        };
        match self.stream.read(&iterator, MESSAGES_MAX).await {
            Ok(mut batch) => {
                turn.iterator = batch.next.take().map(|next| (next, Instant::now()));
                Ok(batch)
            }
            // The same iterator reads the same records again.
            Err(error @ (ReadError::Throttled(_) | ReadError::Call(_))) => {
                turn.iterator = Some((iterator, made_at));
                Err(error)
            }
            Err(error) => Err(error),
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

    /// What a read brought is ours, unless the lease was lost meanwhile: then whoever has it reads it too.
    fn took(&self, turn: &Turn, batch: Batch) {
        let Batch { records, behind, children, .. } = batch;
        let is_drained = turn.iterator.is_none();
        let hash_keys = self.with(|state| {
            state.of(&turn.shard, turn.number).and_then(|held| held.tenancy.lease().hash_keys.clone())
        });
        let parts: Vec<Part> =
            records.into_iter().flat_map(|record| self.parts(turn, record, hash_keys.as_ref())).collect();
        let now = Instant::now();
        self.with(|state| {
            state.read(&turn.shard, turn.number, parts, now);
            if let Some(held) = state.of(&turn.shard, turn.number) {
                held.failures = 0;
                held.behind = behind.unwrap_or_default();
                if is_drained {
                    held.tenancy.drained();
                    held.children = children;
                }
            }
        });
        if is_drained {
            self.look_now.notify_one();
        }
        self.changed.notify_waiters();
    }

    /// The messages of one record: one, or one for each user record of an aggregate.
    fn parts(&self, turn: &Turn, record: Record, hash_keys: Option<&RangeInclusive<u128>>) -> Vec<Part> {
        let all = 0..=u128::MAX;
        let Record { sequence, data, partition_key, arrived } = record;
        let part = |sub: u64, data: Bytes, key: Option<Arc<str>>| {
            let position = Position { sequence: sequence.clone(), sub };
            let message = self.message(turn, &position, data, key, arrived);
            Part { position, message: Some(message) }
        };
        match user_records(&data, hash_keys.unwrap_or(&all)) {
            None => vec![part(0, data, partition_key.map(Into::into))],
            Some(users) => {
                let key = |key: Bytes| String::from_utf8(key.into()).ok().map(Into::into);
                let parts = users.into_iter().zip(0..);
                parts.map(|(user, sub)| part(sub, user.data, user.partition_key.and_then(key))).collect()
            }
        }
    }

    /// Not yet delivered; its deadline is set where the tenancy is known.
    fn message(
        &self,
        turn: &Turn,
        position: &Position,
        body: Bytes,
        partition_key: Option<Arc<str>>,
        sent_at: Option<SystemTime>,
    ) -> Message {
        let source = self.settings.source.clone();
        let about = About { source: source.clone(), group: partition_key, ..About::default() };
        Message {
            handle: Handle { message_id: format!("{source}/{}:{position}", turn.shard).into(), delivery: 0 },
            body,
            is_base64: false,
            attempt: 0,
            sent_at,
            deadline: Deadline::new(Instant::now()),
            // A group is settled one message after the other, which no stream could bear.
            group: None,
            is_redriven: false,
            about: Arc::new(about),
        }
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
