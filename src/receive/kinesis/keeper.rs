//! The loops that take leases, keep them and leave them. In: the table and the list of shards. Out: shards that this
//! worker may read, for as long as it keeps its promise to move their counters.
//!
//! Renewing waits for nothing but the table: neither for records that are not settled nor for a look that takes long.

use std::{collections::BTreeSet, sync::Arc};

use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Duration, Instant, sleep, timeout},
};
use tracing::{info, warn};

use super::{
    Shared,
    lease::{Change, ChangeError, Lease, Leases, ShardId},
    shards::{Shard, children, forgotten, missing},
    share::{alive, handed_over, wanted},
    state::{State, Turn},
    watch::Watch,
};
use crate::{failure::CallError, intervals::jittered, tasks::joined};

/// Writes under way at once.
const WRITES_MAX: usize = 32;
/// How often the list of shards is compared with the leases, by one worker of all.
const SYNC_EVERY: Duration = Duration::from_secs(30);
/// Looks that fail in a row until polls say so.
const FAILURES_UNTIL_TROUBLE: u32 = 3;

/// What one loop of looks remembers.
struct Looking {
    watch: Watch,
    synced_at: Option<Instant>,
    failures: u32,
}

impl Shared {
    /// Runs until it is dropped.
    pub(super) async fn keep(self: Arc<Self>) {
        tokio::join!(self.clone().writing(), self.looking());
    }

    async fn writing(self: Arc<Self>) {
        let tick = self.settings.times.failover / 40;
        let at_once = Arc::new(Semaphore::new(WRITES_MAX));
        let mut writes = JoinSet::new();
        loop {
            let now = Instant::now();
            self.lose_late(now);
            for (number, change) in self.with(|state| state.changes(now)) {
                let (shared, at_once) = (self.clone(), at_once.clone());
                writes.spawn(async move {
                    let _permit = at_once.acquire().await;
                    shared.write(number, change).await;
                });
            }
            while let Some(ended) = writes.try_join_next() {
                joined(Some(ended));
            }
            self.measure(now);
            sleep(tick).await;
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
            Err(ChangeError::Conflict(_)) => self.conflict(number, shard).await,
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
                self.with(|state| {
                    if let Some(held) = state.of(&shard, number) {
                        held.tenancy.changed(lease, begun, now);
                    }
                });
                self.changed.notify_waiters();
            }
        }
    }

    /// The lease is not as it was left: it is lost, or an answer was, or somebody asks for it.
    async fn conflict(&self, number: u64, shard: &ShardId) {
        let found = self.table.find(shard).await;
        let now = Instant::now();
        match found {
            Ok(lease) => {
                let is_ours = self
                    .with(|state| state.of(shard, number).is_some_and(|held| held.tenancy.found(lease, now)));
                if !is_ours {
                    self.lost(shard, number, "another worker has it, or an operator moved it");
                }
            }
            Err(error) => {
                self.count_error("GetItem", error.code());
                self.with(|state| state.of(shard, number).map(|held| held.tenancy.not_changed(now)));
            }
        }
    }

    async fn looking(self: Arc<Self>) {
        let times = self.settings.times;
        let mut looking = Looking { watch: Watch::new(times.failover), synced_at: None, failures: 0 };
        loop {
            match self.look(&mut looking).await {
                Ok(()) => {
                    looking.failures = 0;
                    self.with(|state| state.trouble = None);
                }
                Err(error) => self.troubled(&mut looking, error),
            }
            // Told to look now, or not.
            drop(timeout(jittered(times.look_every()), self.look_now.notified()).await);
        }
    }

    fn troubled(&self, looking: &mut Looking, error: CallError) {
        looking.failures += 1;
        warn!(stage = "receive", code = error.code(), %error, "could not see to the leases, will try again");
        self.count_error("look", error.code());
        if !error.is_transient() || looking.failures >= FAILURES_UNTIL_TROUBLE {
            self.with(|state| state.trouble = Some(error));
            self.changed.notify_waiters();
        }
    }

    async fn look(self: &Arc<Self>, looking: &mut Looking) -> Result<(), CallError> {
        let begun = Instant::now();
        let leases = self.table.list().await?;
        let now = Instant::now();
        looking.watch.look(&leases, begun, now);
        let me = &self.settings.me;
        let mut changes = self.with(|state| handed_over(me, &leases, |shard| state.held.contains_key(shard)));
        if self.with(|state| state.is_polled(now)) {
            changes.extend(wanted(me, &leases, &looking.watch));
        }
        self.take_all(changes).await;

        let is_first = alive(&leases, &looking.watch).first().is_none_or(|first| *first == me);
        let is_due = looking.synced_at.is_none_or(|at| now >= at + SYNC_EVERY);
        if is_first && is_due || leases.is_empty() {
            let known = leases.len();
            self.sync(&leases, &[]).await?;
            looking.synced_at = Some(now);
            if known == 0 {
                self.look_now.notify_one();
            }
        }
        self.see_to_children(&leases).await
    }

    async fn take_all(self: &Arc<Self>, changes: Vec<Change>) {
        let at_once = Arc::new(Semaphore::new(WRITES_MAX));
        let mut writes = JoinSet::new();
        for change in changes {
            let (shared, at_once) = (self.clone(), at_once.clone());
            writes.spawn(async move {
                let _permit = at_once.acquire().await;
                shared.take(change).await;
            });
        }
        while let Some(ended) = writes.join_next().await {
            joined(Some(ended));
        }
    }

    async fn take(&self, change: Change) {
        let begun = Instant::now();
        let how = match &change {
            Change::Take { seen: None, .. } => "free",
            Change::Take { seen: Some(_), .. } => "expired",
            Change::Keep { .. } => "handed_over",
            _ => "",
        };
        match self.table.change(&change).await {
            Ok(Some(lease)) if !how.is_empty() => {
                info!(stage = "receive", shard = %lease.shard, how, checkpoint = %lease.checkpoint, "took a lease");
                self.metrics.process.leases_taken.by(&[("how", how)]).increment(1);
                if how == "handed_over" {
                    self.metrics.process.handoffs.by(&[("direction", "in")]).increment(1);
                }
                self.with(|state| state.begin(lease, begun));
                self.changed.notify_waiters();
            }
            // Somebody else was quicker, or it was only asked for.
            Ok(_) | Err(ChangeError::Conflict(_)) => {}
            Err(ChangeError::Call(error)) => {
                warn!(stage = "receive", shard = %change.shard(), code = error.code(), %error,
                    "could not take a lease");
                self.count_error("UpdateItem", error.code());
            }
        }
    }

    /// Makes the leases that are missing and removes those that nobody needs. `more` are shards that the list may not
    /// show yet. Out: all shards.
    async fn sync(&self, leases: &Leases, more: &[Shard]) -> Result<Vec<Shard>, CallError> {
        let mut shards = self.stream.shards().await?;
        let listed: BTreeSet<ShardId> = shards.iter().map(|shard| shard.id.clone()).collect();
        shards.extend(more.iter().filter(|shard| !listed.contains(&shard.id)).cloned());
        // The time of "latest" is taken after the list: what was closed before it has nothing that came later.
        let beginning = self.settings.beginning();
        // If others have begun since the look, their time counts: at ours, what came meanwhile to new shards would be
        // skipped.
        if leases.is_empty() && !self.table.list().await?.is_empty() {
            return Ok(shards);
        }
        let created = missing(leases, &shards, beginning).into_iter().map(Change::Create);
        let deleted = forgotten(leases, &shards).into_iter().map(|shard| Change::Delete { shard });
        for change in created.chain(deleted) {
            match self.table.change(&change).await {
                Ok(_) | Err(ChangeError::Conflict(_)) => {}
                Err(ChangeError::Call(error)) => return Err(error),
            }
        }
        Ok(shards)
    }

    /// A shard that was read to its end may be done only once the shards that came from it have leases.
    async fn see_to_children(&self, leases: &Leases) -> Result<(), CallError> {
        let drained: Vec<_> = self.with(|state| {
            let drained = state.held.iter().filter(|(_, held)| held.tenancy.wants_children());
            drained.map(|(shard, held)| (shard.clone(), held.number, held.children.clone())).collect()
        });
        for (shard, number, said) in drained {
            let shards = self.sync(leases, &said).await?;
            if let Some(children) = children(&shard, &shards) {
                self.with(|state| state.of(&shard, number).map(|held| held.tenancy.has_children(children)));
            }
        }
        Ok(())
    }

    /// Kinesis knows no such shard: it has expired, which lets its children go on, or our stream is another one.
    pub(super) async fn missing_shard(&self, turn: &Turn, error: CallError) -> Result<(), CallError> {
        let shards = self.stream.shards().await?;
        if shards.iter().any(|shard| shard.id == turn.shard) {
            return Err(error);
        }
        warn!(stage = "receive", shard = %turn.shard,
            "the shard has expired: what it held and nobody had read is gone; raise the stream's retention");
        self.with(|state| state.of(&turn.shard, turn.number).map(|held| held.tenancy.drained()));
        self.look_now.notify_one();
        Ok(())
    }

    /// The end: everything that was handed out has ended. Checkpoints are written, and the leases are free at once.
    pub(super) async fn leave_all(self: &Arc<Self>) {
        let mut writes = JoinSet::new();
        for (shard, number, change) in self.with(State::last_changes) {
            let shared = self.clone();
            writes.spawn(async move {
                let first = shared.table.change(&change).await;
                // A write whose answer was lost, or somebody who asked meanwhile: as it is now, once more.
                if first.is_err() {
                    shared.conflict(number, &shard).await;
                    if let Some(change) = shared.with(|state| state.last_change(&shard, number)) {
                        let second = shared.table.change(&change).await;
                        if let Err(error) = second {
                            warn!(stage = "receive", %shard, %error, "could not leave a lease: it will expire");
                        }
                    }
                }
                shared.metrics.shard_left(&shard);
            });
        }
        while let Some(ended) = writes.join_next().await {
            joined(Some(ended));
        }
        let left = self.with(|state| state.held.len());
        info!(stage = "receive", leases = left, "left the stream");
    }

    fn measure(&self, now: Instant) {
        let process = &self.metrics.process;
        let shards = self.with(|state| {
            let shard = |(shard, held): (&ShardId, &super::state::Held)| {
                let age = now.saturating_duration_since(held.fresh_at);
                (shard.clone(), held.behind, held.tenancy.open(), age)
            };
            state.held.iter().map(shard).collect::<Vec<_>>()
        });
        process.leases_held.set(shards.len() as f64);
        for (shard, behind, open, age) in shards {
            self.metrics.shard(&shard, behind, open, age);
        }
    }
}
