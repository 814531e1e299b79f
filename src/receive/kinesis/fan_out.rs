//! Enhanced fan-out: Kinesis sends records as they come, to a consumer that has a budget of its own. In: the shards that
//! are held. Out: the same batches that polls would read.
//!
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_SubscribeToShard.html>. A subscription ends after five
//! minutes at the latest; a new one is made before that. What is not taken from it waits with Kinesis.

use std::{sync::Arc, time::Duration};

use aws_sdk_kinesis::types::SubscribeToShardEventStream as Event;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout, timeout_at},
};
use tracing::{debug, warn};

use super::{
    Shared,
    api::{ReadError, Stream, pushed},
    lease::ShardId,
    position::SequenceNumber,
    tenancy::ReadFrom,
};
use crate::{aws::broken_off, failure::CallError, intervals::Intervals, tasks::joined};

/// How long one subscription is used, of the five minutes.
const SUBSCRIPTION_MAX: Duration = Duration::from_secs(285);
/// A second subscription to the same shard is refused for so long after the first.
const SUBSCRIBE_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Kinesis sends an event every few seconds, with records or without. A connection that is silent for so long is dead.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often it is looked for shards that are held and not subscribed to, if nothing tells.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Why a subscription is over.
enum Over {
    /// Its time was up, or Kinesis closed it: the next one goes on after this record, if any came.
    Time,
    /// The shard is not ours any more, or is at its end.
    Ended,
}

impl Shared {
    /// Runs until it is dropped; without a consumer it does nothing.
    pub(super) async fn subscribing(self: Arc<Self>) {
        let Some(consumer) = self.settings.consumer_arn.clone() else { return };
        let mut subscriptions = JoinSet::new();
        loop {
            let changed = self.changed.notified();
            let now = Instant::now();
            for (shard, number) in self.with(|state| state.unread(now)) {
                let following = Following { shared: self.clone(), shard, number };
                subscriptions.spawn(following.follow(consumer.clone()));
            }
            while let Some(ended) = subscriptions.try_join_next() {
                joined(Some(ended));
            }
            drop(timeout(LOOK_EVERY, changed).await);
        }
    }
}

/// A shard that is followed. However that ends, the shard can be followed again, if it is still held then.
struct Following {
    shared: Arc<Shared>,
    shard: ShardId,
    number: u64,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.shared.with(|state| state.not_followed(&self.shard, self.number));
    }
}

impl Following {
    /// One shard, one subscription after the other, for as long as it is held.
    async fn follow(self, consumer: String) {
        let Self { shared, shard, number } = &self;
        let mut intervals = Intervals::new(SUBSCRIBE_AGAIN_AFTER, SUBSCRIBE_AGAIN_AFTER * 4);
        let mut go_on = None;
        loop {
            let now = Instant::now();
            let from = shared.with(|state| {
                let held = state.of(shard, *number)?;
                held.tenancy.may_follow(now).then(|| held.tenancy.reads_from())
            });
            let Some(from) = from else { return };
            let from = go_on.clone().map_or(from, ReadFrom::After);
            match shared.subscription(&consumer, shard, *number, &from, &mut go_on).await {
                Ok(Over::Ended) => return,
                Ok(Over::Time) => {
                    intervals.reset();
                    // Usually long past. One that Kinesis closed early would be followed by many a second.
                    sleep_until(now + SUBSCRIBE_AGAIN_AFTER).await;
                }
                Err(error) => {
                    if shared.push_failed(shard, *number, error).await {
                        return;
                    }
                    // One that had lasted is not one failure after the other.
                    if now.elapsed() > SILENCE_MAX {
                        intervals.reset();
                    }
                    sleep(intervals.next_interval()).await;
                }
            }
        }
    }
}

impl Shared {
    /// One subscription, to its end.
    async fn subscription(
        &self,
        consumer: &str,
        shard: &ShardId,
        number: u64,
        from: &ReadFrom,
        go_on: &mut Option<SequenceNumber>,
    ) -> Result<Over, ReadError> {
        let until = Instant::now() + SUBSCRIPTION_MAX;
        let mut events =
            self.stream.subscribe(consumer, shard, from, self.settings.start.named_ms()).await?.event_stream;
        debug!(stage = "receive", %shard, "subscribed");
        self.with(|state| state.push_trouble = None);
        loop {
            if !self.room_for(shard, number).await {
                return Ok(Over::Ended);
            }
            let silent = Instant::now() + SILENCE_MAX;
            let event = match timeout_at(until.min(silent), events.recv()).await {
                Err(_) | Ok(Ok(None)) => return Ok(Over::Time),
                Ok(Err(error)) => return Err(Stream::push_error(broken_off(&error), consumer)),
                Ok(Ok(Some(event))) => event,
            };
            if let Event::SubscribeToShardEvent(event) = event {
                let (batch, next) = pushed(event)?;
                let is_end = batch.next.is_none();
                self.took(shard, number, batch);
                if is_end {
                    return Ok(Over::Ended);
                }
                *go_on = next;
            }
        }
    }

    /// Waits until more may be taken; whether the shard is still ours to follow.
    async fn room_for(&self, shard: &ShardId, number: u64) -> bool {
        loop {
            let changed = self.changed.notified();
            let now = Instant::now();
            let (is_ours, is_full) = self.with(|state| {
                let full = state.is_full();
                let held = state.of(shard, number);
                let may_follow = held.as_ref().is_some_and(|held| held.tenancy.may_follow(now));
                (may_follow, full || held.is_some_and(|held| !held.tenancy.may_read(now)))
            });
            if !is_ours || !is_full {
                return is_ours;
            }
            drop(timeout(LOOK_EVERY, changed).await);
        }
    }

    /// Whether the shard is no longer to be followed.
    async fn push_failed(&self, shard: &ShardId, number: u64, error: ReadError) -> bool {
        let error = match error {
            ReadError::Expired => return false,
            ReadError::NotFound(error) => match self.missing_shard(shard, number, error).await {
                Ok(()) => return true,
                Err(error) => error,
            },
            ReadError::Throttled(error) | ReadError::Call(error) => error,
        };
        warn!(stage = "receive", %shard, code = error.code(), %error, "could not subscribe, will try again");
        self.count_error("SubscribeToShard", error.code());
        if matches!(error, CallError::Misconfigured { .. }) {
            self.with(|state| state.push_trouble = Some(error));
            self.changed.notify_waiters();
        }
        false
    }
}
