//! The end of a worker. In: leases. Out: leases that nobody holds, with checkpoints as they are.

use std::sync::Arc;

use tracing::{info, warn};

use crate::receive::kinesis::{
    Shared,
    lease::{Change, ShardId},
    state::State,
};

impl Shared {
    /// The end: everything that was handed out has ended. Checkpoints are written, and the leases are free at once.
    pub(in crate::receive::kinesis) async fn leave_all(self: &Arc<Self>) {
        self.end_writes().await;
        for (shard, number, change) in self.with(State::last_changes) {
            let shared = self.clone();
            self.begin_write(async move { shared.leave(&shard, number, &change).await });
        }
        self.end_writes().await;
        self.let_go_of_the_rest().await;
        let left = self.with(|state| state.held.len());
        info!(stage = "receive", leases = left, "left the stream");
    }

    /// What this worker has asked for would be left to it, or has been just now, and nobody would read it before it
    /// expires. Looked at twice, because a holder may leave between the look and the change.
    async fn let_go_of_the_rest(&self) {
        let me = &self.settings.me;
        for _ in 0..2 {
            let Ok(leases) = self.table.list().await else { return };
            for lease in leases.into_values().filter(|lease| lease.owner.as_ref() == Some(me)) {
                let (shard, counter) = (lease.shard.clone(), lease.counter);
                let change = if lease.is_asked_for() {
                    Change::Withdraw { shard, by: me.clone() }
                } else {
                    Change::Leave {
                        shard,
                        holder: me.clone(),
                        counter,
                        is_asked_for: false,
                        checkpoint: None,
                    }
                };
                // If that fails, the lease expires.
                drop(self.table.change(&change).await);
            }
        }
    }

    async fn leave(&self, shard: &ShardId, number: u64, change: &Change) {
        let mut result = self.table.change(change).await;
        if result.is_err() {
            // An answer was lost, or somebody asked meanwhile: once more, as it is now.
            self.conflict(number, change).await;
            let again = self.with(|state| state.last_change(shard, number));
            result = match again {
                Some(change) => self.table.change(&change).await,
                None => Ok(None),
            };
        }
        if let Err(error) = result {
            warn!(stage = "receive", %shard, %error, "could not leave a lease: it will expire");
        }
        self.with(|state| state.lose(shard, number));
        self.metrics.shard_left(shard);
    }
}
