//! What is true in the simulated world, and the oracle that watches it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use tokio::time::Instant;
use tributary::{
    dedupe::Token,
    receive::{Deadline, Handle},
};

pub(crate) const VISIBILITY: Duration = Duration::from_mins(1);

/// What an event must come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// In every lake, under this id.
    Lake(String),
    /// In the dead-letter queue.
    Dead,
    /// One of these contents of one id is in the lake, the others are dead letters.
    Conflict(String),
}

pub(crate) struct Queued {
    pub(crate) key: u64,
    pub(crate) body: Bytes,
    /// The original bytes of each event, and what must become of it.
    pub(crate) events: Vec<(Bytes, Fate)>,
    pub(crate) group: Option<String>,
    pub(crate) visible_at: Instant,
    pub(crate) receive_count: u32,
    pub(crate) handle: Option<Handle>,
    /// The worker that holds it, and how it learns of extensions.
    pub(crate) held_by: Option<(u32, Deadline)>,
}

/// A row of a lake: which content came, and how often.
#[derive(Default, Debug)]
pub(crate) struct Row {
    pub(crate) contents: BTreeMap<String, u32>,
}

pub(crate) struct Truth {
    pub(crate) rng: Rng,
    pub(crate) queue: Vec<Queued>,
    /// By destination and id.
    pub(crate) lakes: BTreeMap<(String, String), Row>,
    /// Letters by original bytes and destination.
    pub(crate) dead: BTreeMap<(Bytes, String), u32>,
    /// Ids and originals of which some call's outcome was unknown to the worker.
    pub(crate) unknown: BTreeSet<String>,
    pub(crate) unknown_letters: BTreeSet<Bytes>,
    /// Claims whose commit the ledger has taken down.
    pub(crate) recorded: HashSet<Token>,
    /// Ids in the order in which each group first reached a lake.
    pub(crate) first_seen: BTreeMap<(String, String), Vec<u64>>,
    pub(crate) destinations: Vec<String>,
    pub(crate) faults: f64,
    pub(crate) slow_put: Duration,
    /// The lake is gone until then.
    pub(crate) gone_until: Instant,
    /// The ledger answers nobody meanwhile.
    pub(crate) ledger_gone: Range<Instant>,
    /// Extensions are lost until then.
    pub(crate) deaf_until: Instant,
    /// The last lake says that we are misconfigured until then.
    pub(crate) denied_until: Instant,
    /// What each worker was told: acceptances and stored letters.
    pub(crate) told: BTreeMap<u32, (u64, u64)>,
    pub(crate) receive_count_max: u32,
    pub(crate) next_handle: u64,
}

#[derive(Clone)]
pub(crate) struct World(Arc<Mutex<Truth>>);

impl World {
    pub(crate) fn new(truth: Truth) -> Self {
        Self(Arc::new(Mutex::new(truth)))
    }

    pub(crate) fn look(&self) -> MutexGuard<'_, Truth> {
        self.0.lock().expect("an assertion failed in a double")
    }

    /// Time on the wire.
    pub(crate) async fn network(&self) {
        let millis = self.look().rng.u64(1..300);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}

impl Truth {
    pub(crate) fn fault(&mut self) -> bool {
        self.faults > 0.0 && self.rng.f64() < self.faults
    }

    /// Whether the ledger is not reached now.
    pub(crate) fn ledger_fault(&mut self) -> bool {
        self.fault() || self.ledger_gone.contains(&Instant::now())
    }

    /// The oracle: may this message leave the queue now?
    pub(crate) fn assert_settled(&self, message: &Queued) {
        for (original, fate) in &message.events {
            for destination in &self.destinations {
                let in_lake = |id: &String| self.lakes.contains_key(&(destination.clone(), id.clone()));
                let is_dead = [destination.as_str(), "none"]
                    .iter()
                    .any(|name| self.dead.contains_key(&(original.clone(), (*name).to_owned())));
                let is_settled = match fate {
                    Fate::Lake(id) => in_lake(id),
                    Fate::Dead => is_dead,
                    Fate::Conflict(id) => is_dead || in_lake(id),
                };
                assert!(
                    is_settled,
                    "message {} acked before {fate:?} came true at {destination} for {}",
                    message.key,
                    String::from_utf8_lossy(original)
                );
            }
        }
    }

    /// The oracle at the end: everything is where it belongs, once.
    pub(crate) fn assert_complete(&self, fates: &[(Bytes, Fate)], seed: u64) {
        for (original, fate) in fates {
            let letters =
                |name: &str| self.dead.get(&(original.clone(), name.to_owned())).copied().unwrap_or(0);
            for destination in &self.destinations {
                let row = |id: &String| self.lakes.get(&(destination.clone(), id.clone()));
                let dead = letters(destination) + letters("none");
                let text = String::from_utf8_lossy(original);
                match fate {
                    Fate::Lake(id) => {
                        assert!(row(id).is_some(), "seed {seed}: {id} is not in {destination}");
                        assert_eq!(dead, 0, "seed {seed}: {id} is in the lake and in the dead-letter queue");
                    }
                    Fate::Dead => {
                        assert!(dead > 0, "seed {seed}: no letter for {text}");
                        let may_repeat = self.unknown_letters.contains(original);
                        assert!(dead == 1 || may_repeat, "seed {seed}: {dead} letters for {text}");
                    }
                    Fate::Conflict(id) => {
                        let contents = row(id).map_or(0, |row| row.contents.len());
                        // With an unknown outcome the ledger does not know of the first content.
                        let may_repeat = self.unknown.contains(id);
                        assert!(
                            contents == 1 || may_repeat,
                            "seed {seed}: two contents of {id} are in {destination}"
                        );
                        let in_lake =
                            row(id).is_some_and(|row| row.contents.keys().any(|json| same(json, &text)));
                        assert!(in_lake || dead > 0, "seed {seed}: {text} is lost at {destination}");
                        assert!(!in_lake || dead == 0 || may_repeat, "seed {seed}: {text} is in both places");
                    }
                }
            }
        }
        for ((destination, id), row) in &self.lakes {
            let times: u32 = row.contents.values().sum();
            let is_excused = times == 1 || self.unknown.contains(id);
            assert!(
                is_excused,
                "seed {seed}: {id} is {times} times in {destination} and no outcome was unknown"
            );
        }
        for ((group, destination), order) in &self.first_seen {
            assert!(order.is_sorted(), "seed {seed}: group {group} reached {destination} as {order:?}");
        }
    }
}

/// Whether published data came from this original: both carry the number that makes the content unique.
fn same(published: &str, original: &str) -> bool {
    let unique = original.split("content-").nth(1).and_then(|rest| rest.split('"').next());
    unique.is_some_and(|unique| published.contains(&format!("content-{unique}\"")))
}
