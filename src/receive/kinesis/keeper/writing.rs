//! Renewals, checkpoints and departures. In: the changes that tenancies need. Out: leases that stay ours, or are lost.
//!
//! Renewing waits for nothing but the table: neither for records that are not settled nor for a look that takes long.

use std::{
    mem,
    sync::{Arc, PoisonError},
};

use tokio::time::{Duration, Instant, sleep};
use tracing::{info, warn};

use crate::{
    receive::kinesis::{
        Shared,
        lease::{Change, ChangeError, Lease, ShardId},
    },
    tasks::joined,
};

const MEASURE_EVERY: Duration = Duration::from_secs(1);

impl Shared {
    pub(super) async fn writing(self: Arc<Self>) {
        let tick = self.settings.times.failover / 40;
        loop {
            let now = Instant::now();
            self.lose_late(now);
            for (number, change) in self.with(|state| state.changes(now)) {
                let shared = self.clone();
                self.begin_write(async move { shared.write(number, change).await });
            }
            sleep(tick).await;
        }
    }

    /// Begins a write, and raises what ended badly of those before it.
    pub(super) fn begin_write(&self, write: impl Future<Output = ()> + Send + 'static) {
        let at_once = self.writes_at_once.clone();
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        writes.spawn(async move {
            let _permit = at_once.acquire().await;
            write.await;
        });
        while let Some(ended) = writes.try_join_next() {
            joined(Some(ended));
        }
    }

    /// Waits for the writes that are under way.
    pub(super) async fn end_writes(&self) {
        let mut writes = mem::take(&mut *self.writes.lock().unwrap_or_else(PoisonError::into_inner));
        while let Some(ended) = writes.join_next().await {
            joined(Some(ended));
        }
    }

    fn lose_late(&self, now: Instant) {
        for (shard, number) in self.with(|state| state.late(now)) {
            self.lost(&shard, number, "it could not be renewed in time");
        }
    }

    fn lost(&self, shard: &ShardId, number: u64, why: &'static str) {
        if self.with(|state| state.lose(shard, number)) {
            warn!(stage = "receive", %shard, why, "a lease was lost");
            self.metrics.process.leases_lost.increment(1);
            self.metrics.shard_left(shard);
        }
    }

    async fn write(&self, number: u64, change: Change) {
        let begun = Instant::now();
        let result = self.table.change(&change).await;
        let (shard, now) = (change.shard(), Instant::now());
        match result {
            Ok(Some(lease)) => self.written(number, &change, lease, begun),
            Ok(None) => {}
            Err(ChangeError::Conflict(_)) => self.conflict(number, &change).await,
            Err(ChangeError::Call(error)) => {
                warn!(stage = "receive", %shard, code = error.code(), %error, "could not write a lease");
                self.count_error("UpdateItem", error.code());
                self.with(|state| state.of(shard, number).map(|held| held.tenancy.not_changed(now)));
            }
        }
    }

    fn written(&self, number: u64, change: &Change, lease: Lease, begun: Instant) {
        let shard = lease.shard.clone();
        match change {
            Change::Leave { is_asked_for, .. } => {
                self.with(|state| state.lose(&shard, number));
                self.metrics.shard_left(&shard);
                if *is_asked_for {
                    self.metrics.process.handoffs.by(&[("direction", "out")]).increment(1);
                }
                let to = lease.owner.as_deref().unwrap_or("nobody");
                info!(stage = "receive", %shard, to, checkpoint = %lease.checkpoint, "left a lease");
            }
            Change::End { .. } => {
                self.with(|state| state.lose(&shard, number));
                self.metrics.shard_left(&shard);
                info!(stage = "receive", %shard, "a shard is done");
                self.look_now.notify_one();
            }
            _ => {
                let now = Instant::now();
                let has_moved = matches!(change, Change::Keep { checkpoint: Some(_), .. });
                self.with(|state| {
                    if let Some(held) = state.of(&shard, number) {
                        held.tenancy.changed(lease, begun, now);
                        held.fresh_at = if has_moved { now } else { held.fresh_at };
                    }
                });
                self.changed.notify_waiters();
            }
        }
    }

    /// The lease is not as it was left: it is lost, or an answer was, or somebody asks for it.
    pub(super) async fn conflict(&self, number: u64, change: &Change) {
        let shard = change.shard();
        let found = self.table.find(shard).await;
        let now = Instant::now();
        match found {
            Ok(lease) => {
                let is_ours = self
                    .with(|state| state.of(shard, number).is_some_and(|held| held.tenancy.found(lease, now)));
                if !is_ours && matches!(change, Change::Leave { .. } | Change::End { .. }) {
                    // The answer to this very change was lost, or the lease was: it is left in either case.
                    self.with(|state| state.lose(shard, number));
                    self.metrics.shard_left(shard);
                    self.look_now.notify_one();
                } else if !is_ours {
                    self.lost(shard, number, "another worker has it, or an operator moved it");
                }
            }
            Err(error) => {
                self.count_error("GetItem", error.code());
                self.with(|state| state.of(shard, number).map(|held| held.tenancy.not_changed(now)));
            }
        }
    }

    /// Says once a second how the shards are.
    pub(super) async fn measuring(&self) {
        loop {
            self.measure(Instant::now());
            sleep(MEASURE_EVERY).await;
        }
    }

    fn measure(&self, now: Instant) {
        let process = &self.metrics.process;
        // Under the lock: a shard that is left meanwhile must not be told of afterwards.
        self.with(|state| {
            process.leases_held.set(state.held.len() as f64);
            for (shard, held) in &state.held {
                let checkpoint_age = now.saturating_duration_since(held.fresh_at);
                self.metrics.shard(shard, held.behind(now), held.tenancy.open(), checkpoint_age);
            }
        });
    }
}
