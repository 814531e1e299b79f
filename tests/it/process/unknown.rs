//! Which events may be in the lake twice: those whose outcome nobody knew when their worker ended. In: each end of a
//! worker. Out: the ids, from what the ledger still has as that worker's work.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{
    task::{JoinError, JoinSet},
    time::sleep,
};
use tributary::{
    clock::Clock,
    dedupe::{Entry, Key, Ledger, State, connect::SharedLedger},
};

use super::endpoints::Endpoints;

/// Entries of the ledger that are looked up at once.
const LOOKS_MAX: usize = 64;

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Killed,
    /// It drained, and settled everything.
    Orderly,
    /// Its drain time was too short.
    GaveUp,
}

/// How a look into a shared ledger from outside is made.
pub(super) fn as_an_auditor() -> SharedLedger {
    SharedLedger {
        namespace: "tributary".to_owned(),
        worker: "auditor".to_owned(),
        window: Duration::from_hours(1),
        clock: Clock::system(),
    }
}

/// What is known about rows of the lake whose commit the ledger had not seen at the last look.
pub(super) struct Unknown {
    ledger: Arc<dyn Ledger>,
    rows_seen: u64,
    uncommitted: Vec<String>,
    /// Ids whose worker was killed between the put and the commit.
    pub(super) ids: BTreeSet<String>,
}

impl Unknown {
    pub(super) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, rows_seen: 0, uncommitted: Vec::new(), ids: BTreeSet::new() }
    }

    /// With `dead` just gone: which of the stored rows does the ledger still have as its work?
    pub(super) async fn look(&mut self, endpoints: &Endpoints, dead: &str, ending: Ending) {
        // What had reached the lake when its sender died is still being stored.
        sleep(Duration::from_millis(150)).await;
        let (rows_seen, new) = endpoints.uids_after(self.rows_seen).await;
        self.rows_seen = rows_seen;
        let mut candidates = std::mem::take(&mut self.uncommitted);
        candidates.extend(new);
        // The newest first, and many at once: before their leases end.
        let mut looks = JoinSet::new();
        for uid in candidates.into_iter().rev() {
            if looks.len() >= LOOKS_MAX {
                self.judge(looks.join_next().await, dead, ending);
            }
            let ledger = self.ledger.clone();
            looks.spawn(async move { (find(&*ledger, &uid).await, uid) });
        }
        while let Some(looked) = looks.join_next().await {
            self.judge(Some(looked), dead, ending);
        }
    }

    fn judge(&mut self, looked: Option<Looked>, dead: &str, ending: Ending) {
        let Some((entry, uid)) = looked.map(|looked| looked.expect("no panic")) else { return };
        let is_of_dead = |worker: &str| worker.starts_with(&format!("{dead}/"));
        match entry {
            // A put that was cut off, whose claim was given up.
            None if ending == Ending::GaveUp => drop(self.ids.insert(uid)),
            None => panic!("{uid} is in the lake, and the ledger has never heard of it"),
            Some(Entry { state: State::Published { .. }, .. }) => {}
            Some(Entry { worker: Some(worker), .. }) if is_of_dead(&worker) => {
                assert_ne!(ending, Ending::Orderly, "{uid} was left uncommitted by a worker that drained");
                self.ids.insert(uid);
            }
            Some(_) => self.uncommitted.push(uid),
        }
    }

    /// What the ledger says of an event.
    pub(super) async fn find(&self, uid: &str) -> Option<Entry> {
        find(&*self.ledger, uid).await
    }
}

type Looked = Result<(Option<Entry>, String), JoinError>;

async fn find(ledger: &dyn Ledger, uid: &str) -> Option<Entry> {
    let key = Key { destination: "lake".into(), id: uid.to_owned().into(), conflict: None };
    loop {
        match ledger.find(&key).await {
            Ok(entry) => return entry,
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
}
