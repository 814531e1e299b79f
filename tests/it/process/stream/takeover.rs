//! How long the shards of a dead worker wait. In: each kill. Out: the time until others held them, and whether anybody lived
//! long enough to see that it was dead.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tributary::receive::kinesis::lease::{LeaseTable as _, dynamodb::DynamoDbLeases};

use super::streaming::{holds, names};

const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A takeover that takes longer is none.
const PATIENCE: Duration = Duration::from_mins(1);

/// The takeovers of one run.
pub(super) struct Takeovers {
    table: DynamoDbLeases,
    alive: Arc<Mutex<BTreeSet<String>>>,
    under_way: JoinSet<Takeover>,
}

/// One.
#[derive(Debug)]
pub(super) struct Takeover {
    pub(super) dead: String,
    /// Leases that it held.
    pub(super) held: usize,
    /// Until it held none of them.
    pub(super) took: Duration,
    /// Leases that others held, and were about to leave to it.
    pub(super) promised: usize,
    /// Until nothing named it any more. Whoever was asked finishes first, leaves to the dead, and only then does the
    /// failover time begin.
    pub(super) forgotten_after: Duration,
    /// Whether a worker that was there at the kill was there to the end.
    pub(super) was_seen: bool,
}

impl Takeovers {
    pub(super) fn new(table: DynamoDbLeases) -> Self {
        Self { table, alive: Arc::default(), under_way: JoinSet::new() }
    }

    fn alive(&self) -> BTreeSet<String> {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn began(&self, worker: &str) {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).insert(worker.to_owned());
    }

    /// From here on it takes nothing.
    pub(super) fn ends(&self, worker: &str) {
        self.alive.lock().unwrap_or_else(PoisonError::into_inner).remove(worker);
    }

    /// Was killed at this time.
    pub(super) fn killed(&mut self, worker: &str, at: Instant) {
        self.ends(worker);
        let (table, dead) = (self.table.clone(), worker.to_owned());
        let (there, alive) = (self.alive(), self.alive.clone());
        self.under_way.spawn(async move {
            let (mut took, mut first) = (None, None);
            loop {
                let Ok(found) = table.list().await else { continue };
                let (held, named) = (holds(&found, &dead), names(&found, &dead));
                let (had, promised) = first.get_or_insert((held.clone(), named - held.len()));
                let is_left = had.is_disjoint(&held);
                let now = at.elapsed();
                took = took.or(is_left.then_some(now));
                if named == 0 || now > PATIENCE {
                    let alive = alive.lock().unwrap_or_else(PoisonError::into_inner);
                    let was_seen = there.intersection(&alive).next().is_some();
                    let (held, took, promised) = (had.len(), took.unwrap_or(now), *promised);
                    return Takeover { dead, held, took, promised, forgotten_after: now, was_seen };
                }
                sleep(LOOK_EVERY).await;
            }
        });
    }

    /// All of them, but for those of workers that no lease named.
    pub(super) async fn all(self) -> Vec<Takeover> {
        let all = self.under_way.join_all().await;
        all.into_iter().filter(|takeover| takeover.held + takeover.promised > 0).collect()
    }
}
