//! The adapter to Kinesis: a stream that any number of workers share out among themselves.
//!
//! Each shard is read by the one worker that holds its lease ([`lease`]). The [`keeper`] loop takes leases and keeps
//! them; [`poll`] reads the shards whose turn it is; [`state`] is all that is remembered between the two. A record is
//! done when the settler acks its message; the unbroken row of records that are done is the shard's checkpoint
//! ([`progress`]), and is written with the next renewal of its lease. What is given back waits here in memory.
//!
//! Everything that decides is pure and knows no client: [`lease`], [`watch`], [`share`], [`shards`], [`progress`] and
//! [`tenancy`]. An exhaustive search over two workers runs on those very functions (`tests/leases/main.rs`).

mod api;
mod fan_out;
mod keeper;
pub mod lease;
mod messages;
pub mod operator;
mod poll;
pub mod position;
pub mod progress;
mod records;
pub mod shards;
pub mod share;
mod state;
pub mod tenancy;
pub mod watch;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::Instant,
};

use super::{Handle, Message, Source};
use crate::{
    aws::Aws,
    clock::epoch_ms,
    config::{ForeignRecords, Start, StreamConfig},
    failure::CallError,
    metrics::Metrics,
};
use api::{Batch, Stream};
use lease::{LeaseTable, ShardId, WorkerId, dynamodb::DynamoDbLeases};
use messages::Place;
use shards::Beginning;
use state::State;
use tenancy::Times;

/// Writes to the table under way at once.
const WRITES_MAX: usize = 32;

/// A stream as a source.
pub struct KinesisSource {
    shared: Arc<Shared>,
}

/// What the polls and the keeper share.
struct Shared {
    settings: Settings,
    stream: Stream,
    table: Arc<dyn LeaseTable>,
    state: Mutex<State>,
    /// Something may be due earlier than it was.
    changed: Notify,
    /// The keeper is to look at the table now.
    look_now: Notify,
    /// Writes to the table under way. They outlive the loops that began them: what became of a lease has to be known when
    /// the source is closed.
    writes: Mutex<JoinSet<()>>,
    writes_at_once: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

struct Settings {
    me: WorkerId,
    source: Arc<str>,
    start: Start,
    times: Times,
    calls_per_second: u32,
    /// Of enhanced fan-out.
    consumer_arn: Option<String>,
    drops_foreign: bool,
}

impl Settings {
    /// Where a stream that nobody has read is begun.
    fn beginning(&self) -> Beginning {
        match self.start {
            Start::TrimHorizon => Beginning::TrimHorizon,
            Start::Latest => Beginning::Latest(epoch_ms(SystemTime::now())),
            Start::At(time) => Beginning::At(epoch_ms(time)),
        }
    }
}

impl KinesisSource {
    /// Receives from the stream that `config` names. No other process, and no later one, may be called `worker`.
    pub fn new(aws: &Aws, config: &StreamConfig, worker: &str, metrics: Arc<Metrics>) -> Self {
        let times = Times { failover: config.failover_time };
        let settings = Settings {
            me: worker.into(),
            source: config.arn.name.as_str().into(),
            start: config.start,
            times,
            calls_per_second: config.calls_per_second,
            consumer_arn: config.consumer_arn.clone(),
            drops_foreign: config.foreign_records == ForeignRecords::Drop,
        };
        let state = State::new(settings.me.clone(), times, settings.consumer_arn.is_some());
        let shared = Shared {
            settings,
            stream: Stream::new(aws, &config.arn),
            table: Arc::new(DynamoDbLeases::new(aws, &config.lease_table)),
            state: Mutex::new(state),
            changed: Notify::new(),
            look_now: Notify::new(),
            writes: Mutex::default(),
            writes_at_once: Arc::new(Semaphore::new(WRITES_MAX)),
            metrics,
        };
        Self { shared: Arc::new(shared) }
    }
}

impl Shared {
    /// The state is never held across a wait.
    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn count_error(&self, call: &'static str, code: &str) {
        self.metrics.process.source_errors.by(&[("call", call), ("code", code)]).increment(1);
    }

    /// What a read brought is ours, unless the lease was lost meanwhile: then whoever has it reads it too.
    fn took(&self, shard: &ShardId, number: u64, batch: Batch) {
        let Batch { records, next, behind, children } = batch;
        let hash_keys = self
            .with(|state| state.of(shard, number).and_then(|held| held.tenancy.lease().hash_keys.clone()));
        let place = Place {
            source: &self.settings.source,
            shard,
            hash_keys: hash_keys.unwrap_or(0..=u128::MAX),
            drops_foreign: self.settings.drops_foreign,
        };
        let mut foreign = 0;
        let parts = records.into_iter().flat_map(|record| place.parts(record, &mut foreign)).collect();
        self.metrics.process.foreign_records.increment(foreign);
        let now = Instant::now();
        self.with(|state| {
            state.took(shard, number, parts, now);
            if let Some(held) = state.of(shard, number) {
                held.was_read(behind.unwrap_or_default(), now);
                if next.is_none() {
                    held.tenancy.drained();
                    held.children = children;
                }
            }
        });
        if next.is_none() {
            self.look_now.notify_one();
        }
        self.changed.notify_waiters();
    }

    fn ended(&self, handle: &Handle, after: Option<Duration>) {
        let now = Instant::now();
        if self.with(|state| state.ended(handle, after, now)) {
            self.changed.notify_waiters();
        }
    }
}

#[async_trait]
impl Source for KinesisSource {
    async fn receive(&self) -> Result<Vec<Message>, CallError> {
        self.shared.poll().await
    }

    /// Nothing is called: the checkpoint is written with the next renewal. Until then a crash reads the record again.
    async fn ack(&self, handles: &[Handle]) -> Vec<Result<(), CallError>> {
        for handle in handles {
            self.shared.ended(handle, None);
        }
        handles.iter().map(|_| Ok(())).collect()
    }

    async fn give_back(&self, handles: &[(Handle, Duration)]) -> Vec<Result<(), CallError>> {
        for (handle, after) in handles {
            self.shared.ended(handle, Some(*after));
        }
        handles.iter().map(|_| Ok(())).collect()
    }

    async fn keep_alive(&self) {
        self.shared.clone().keep().await;
    }

    async fn close(&self) {
        self.shared.leave_all().await;
    }

    fn batch_max(&self) -> usize {
        poll::MESSAGES_MAX
    }

    fn batch_bytes_max(&self) -> usize {
        poll::BYTES_MAX
    }

    fn has_more(&self) -> bool {
        let now = Instant::now();
        self.shared.with(|state| state.has_more(now))
    }
}
