//! The loops that take leases, keep them ([`writing`]) and leave them ([`leaving`]). In: the table and the list of
//! shards. Out: shards that this worker may read, for as long as it keeps its promise to move their counters.

mod leaving;
mod writing;

use std::{collections::BTreeSet, sync::Arc};

use tokio::{
    sync::mpsc,
    time::{Duration, Instant, timeout_at},
};
use tracing::{info, warn};

use super::{
    Shared,
    lease::{Change, ChangeError, Lease, Leases, ShardId},
    shards::{Shard, children, forgotten, missing},
    share::{alive, handed_over, wanted},
    watch::Watch,
};
use crate::{failure::CallError, intervals::jittered};

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
        tokio::join!(
            self.clone().writing(),
            self.clone().looking(),
            self.measuring(),
            self.clone().subscribing()
        );
    }

    async fn looking(self: Arc<Self>) {
        let times = self.settings.times;
        let mut looking = Looking { watch: Watch::new(times.failover), synced_at: None, failures: 0 };
        loop {
            match self.look(&mut looking).await {
                Ok(()) => {
                    looking.failures = 0;
                    self.with(|state| state.lease_trouble = None);
                }
                Err(error) => self.troubled(&mut looking, error),
            }
            let now = Instant::now();
            let usual = now + jittered(times.look_every());
            let next = looking.watch.next_free(now).map_or(usual, |free| free.min(usual));
            // Told to look now, or not.
            drop(timeout_at(next, self.look_now.notified()).await);
        }
    }

    fn troubled(&self, looking: &mut Looking, error: CallError) {
        looking.failures += 1;
        warn!(stage = "receive", code = error.code(), %error, "could not see to the leases, will try again");
        self.count_error("look", error.code());
        if !error.is_transient() || looking.failures >= FAILURES_UNTIL_TROUBLE {
            self.with(|state| state.lease_trouble = Some(error));
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
        self.take_all(changes, &leases).await;

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

    /// A list of many pages is no picture of one moment: it may show a child and miss a parent whose lease was made at the
    /// same time. So a parent that is not listed is asked for before its child is taken.
    async fn are_done(&self, parents: Vec<ShardId>) -> bool {
        for parent in parents {
            // If it cannot be asked for now, the next look tries again.
            if !matches!(self.table.find(&parent).await, Ok(lease) if lease.as_ref().is_none_or(Lease::is_ended))
            {
                return false;
            }
        }
        true
    }

    async fn take_all(self: &Arc<Self>, changes: Vec<Change>, leases: &Leases) {
        // Nothing is ever sent: the channel ends when the last write has.
        let (write, mut written) = mpsc::channel::<()>(1);
        for change in changes {
            let (shared, write) = (self.clone(), write.clone());
            let unlisted = unlisted_parents(&change, leases);
            self.begin_write(async move {
                if shared.are_done(unlisted).await {
                    shared.take(change).await;
                }
                drop(write);
            });
        }
        drop(write);
        written.recv().await;
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
                self.with(|state| {
                    state.begin(lease, begun);
                    state.write_trouble = None;
                });
                self.changed.notify_waiters();
            }
            // Somebody else was quicker, or it was only asked for.
            Ok(_) | Err(ChangeError::Conflict(_)) => self.with(|state| state.write_trouble = None),
            Err(ChangeError::Call(error)) => {
                warn!(stage = "receive", shard = %change.shard(), code = error.code(), %error,
                    "could not take a lease");
                self.count_error("UpdateItem", error.code());
                self.with(|state| state.write_trouble = Some(error));
                self.changed.notify_waiters();
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
        if drained.is_empty() {
            return Ok(());
        }
        let said: Vec<Shard> =
            drained.iter().flat_map(|(_, _, said): &(_, _, Vec<Shard>)| said.clone()).collect();
        let shards = self.sync(leases, &said).await?;
        for (shard, number, _) in drained {
            let is_open = shards.iter().any(|listed| listed.id == shard && !listed.is_closed);
            let children = children(&shard, &shards);
            self.with(|state| {
                let Some(held) = state.of(&shard, number) else { return };
                match children {
                    Some(children) => held.tenancy.has_children(children),
                    // An answer without an end, taken for the end: it is read on.
                    None if is_open => held.tenancy.not_drained(),
                    None => {}
                }
            });
        }
        Ok(())
    }

    /// Kinesis knows no such shard: it has expired, which lets its children go on, or our stream is another one.
    pub(super) async fn missing_shard(
        &self,
        shard: &ShardId,
        number: u64,
        error: CallError,
    ) -> Result<(), CallError> {
        let shards = self.stream.shards().await?;
        if shards.iter().any(|listed| listed.id == *shard) {
            return Err(error);
        }
        warn!(stage = "receive", %shard, "the shard has expired: what it held and nobody had read is gone; raise the stream's retention");
        self.with(|state| state.of(shard, number).map(|held| held.tenancy.drained()));
        self.look_now.notify_one();
        Ok(())
    }
}

/// The parents, of a lease that is to be taken, which a list does not show.
fn unlisted_parents(change: &Change, leases: &Leases) -> Vec<ShardId> {
    let Change::Take { shard, .. } = change else { return Vec::new() };
    let parents = leases.get(shard).into_iter().flat_map(|lease| &lease.parents);
    parents.filter(|parent| !leases.contains_key(*parent)).cloned().collect()
}
