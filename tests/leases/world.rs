//! What is around the workers: a stream that is told by a story, the table of leases, requests on their way, and what
//! really happened to each record. In: a change of a lease. Out: the lease after it, or the promise that is broken.

use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    ops::Deref,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::Instant;
use tributary::receive::kinesis::{
    lease::{Change, Conflict, Lease, Leases, ShardId, WorkerId, changed},
    position::{Checkpoint, Position},
    shards::{Beginning, Shard, missing},
    tenancy::{ReadFrom, Times},
};

use super::{
    stories::{Left, Mask, Record, Scripted, Story, arrival_ms},
    workers::Worker,
};

/// Time goes in steps of one second, of which two are the failover time.
pub(crate) const TIMES: Times = Times { failover: Duration::from_secs(2) };

/// A value with its hash, which is made once for each change and not once for each state.
#[derive(Clone)]
pub(crate) struct Kept<T> {
    hash: u64,
    value: Arc<T>,
}

impl<T: Hash + Clone> Kept<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { hash: hash_of(&value), value: Arc::new(value) }
    }

    pub(crate) fn edit<R>(&mut self, edit: impl FnOnce(&mut T) -> R) -> R {
        let value = Arc::make_mut(&mut self.value);
        let answer = edit(value);
        self.hash = hash_of(value);
        answer
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Hash for Kept<T> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.hash.hash(hasher);
    }
}

pub(crate) fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Who waits for the answer to a request.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Waits {
    Nobody,
    Taking,
    Tenancy(u64),
}

/// A request that has not been answered.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    pub(crate) worker: usize,
    pub(crate) name: WorkerId,
    pub(crate) change: Change,
    pub(crate) begun: Instant,
    pub(crate) waits: Waits,
    /// It has reached the table, and only its answer is late.
    pub(crate) answer: Option<Result<Option<Lease>, Conflict>>,
}

/// One state of everything.
#[derive(Clone, Hash)]
pub(crate) struct World {
    pub(crate) now: Instant,
    pub(crate) chapter: u8,
    pub(crate) expired: BTreeSet<ShardId>,
    pub(crate) table: Kept<Leases>,
    /// Shards that have or had a lease.
    pub(crate) leased: BTreeSet<ShardId>,
    /// The chapter in which the first lease was made.
    pub(crate) begun: Option<u8>,
    pub(crate) workers: [Kept<Worker>; 2],
    pub(crate) requests: Vec<Request>,
    pub(crate) settled: Mask,
    /// What expired before it was settled.
    pub(crate) gone: Mask,
    pub(crate) left: Left,
    /// The promise that was broken on the way here.
    pub(crate) broken: Option<String>,
}

fn start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

impl World {
    pub(crate) fn new(story: &Story) -> Self {
        let mut world = Self {
            now: start(),
            chapter: 0,
            expired: BTreeSet::new(),
            table: Kept::new(Leases::new()),
            leased: BTreeSet::new(),
            begun: None,
            workers: ["a", "b"].map(|name| Kept::new(Worker::new(name, 0, story))),
            requests: Vec::new(),
            settled: 0,
            gone: 0,
            left: story.left,
            broken: None,
        };
        let made = missing(&world.table, &world.listed(story), world.beginning(story)).into_iter();
        for lease in made.filter(|_| story.is_begun) {
            world.change(story, &Change::Create(lease)).expect("there is none");
        }
        world
    }

    /// The wall clock: a chapter is a second long, and things happen in its first half.
    pub(crate) fn now_ms(&self) -> u64 {
        u64::from(self.chapter) * 1_000 + 500
    }

    pub(crate) fn beginning(&self, story: &Story) -> Beginning {
        if story.is_latest { Beginning::Latest(self.now_ms()) } else { Beginning::TrimHorizon }
    }

    /// The shards as the stream lists them.
    pub(crate) fn listed(&self, story: &Story) -> Vec<Shard> {
        let listed = story.shards.iter();
        let listed = listed.filter(|shard| shard.opens <= self.chapter && !self.expired.contains(&shard.id));
        let shard = |shard: &Scripted| Shard {
            id: shard.id.clone(),
            parents: shard.parents.clone(),
            hash_keys: None,
            is_closed: self.is_closed(shard),
        };
        listed.map(shard).collect()
    }

    pub(crate) fn is_closed(&self, shard: &Scripted) -> bool {
        shard.closes.is_some_and(|closes| closes <= self.chapter)
    }

    /// What a read of the shard would bring, in its order.
    pub(crate) fn records_from<'a>(
        &'a self,
        shard: &'a Scripted,
        from: &'a ReadFrom,
    ) -> impl Iterator<Item = &'a Record> {
        let is_asked = move |record: &Record| match from {
            ReadFrom::After(last) => record.sequence > *last,
            // At, not after: of a record there may be more than the checkpoint says.
            ReadFrom::Checkpoint(Checkpoint::At(position)) => record.sequence >= position.sequence,
            ReadFrom::Checkpoint(Checkpoint::AtTimestamp(ms)) => ms.is_none_or(|ms| arrival_ms(record) >= ms),
            ReadFrom::Checkpoint(_) => true,
        };
        let is_there = !self.expired.contains(&shard.id);
        shard
            .records
            .iter()
            .filter(move |record| is_there && record.arrives <= self.chapter && is_asked(record))
    }

    pub(crate) fn breaks(&mut self, promise: impl Into<String>) {
        self.broken.get_or_insert(promise.into());
    }

    /// A request has reached the table.
    pub(crate) fn change(&mut self, story: &Story, change: &Change) -> Result<Option<Lease>, Conflict> {
        let shard = change.shard().clone();
        let found = self.table.get(&shard).cloned();
        let after = match changed(found.as_ref(), change) {
            Err(Conflict) => {
                story.fault.and_then(|fault| fault.forced(found.as_ref(), change)).map(Some).ok_or(Conflict)
            }
            answer => answer,
        }?;
        self.table.edit(|table| match &after {
            Some(lease) => table.insert(shard.clone(), lease.clone()),
            None => table.remove(&shard),
        });
        self.leased.insert(shard.clone());
        self.begun.get_or_insert(self.chapter);
        self.check_lease(story, found.as_ref(), after.as_ref(), &shard);
        let table = self.table.clone();
        // What can never become true again is not remembered.
        self.requests.retain(|request| {
            let is_dead = |lease: &Lease| {
                !matches!(request.change, Change::Ask { .. })
                    && changed(Some(lease), &request.change).is_err()
            };
            request.waits != Waits::Nobody || !table.get(request.change.shard()).is_some_and(is_dead)
        });
        Ok(after)
    }

    /// What a lease says must have happened.
    fn check_lease(&mut self, story: &Story, before: Option<&Lease>, after: Option<&Lease>, shard: &ShardId) {
        let end = Checkpoint::ShardEnd;
        let checkpoint = after.map_or(&end, |lease| &lease.checkpoint);
        let covered = story.covered(shard, checkpoint) & story.promised(self.begun);
        if covered & !(self.settled | self.gone) != 0 {
            self.breaks(format!(
                "skipped: {shard} is at {checkpoint}, and a record before that is not settled"
            ));
        }
        if let (Some(before), Some(after)) = (before, after)
            && place(&after.checkpoint) < place(&before.checkpoint)
        {
            self.breaks(format!("{shard} went back from {} to {}", before.checkpoint, after.checkpoint));
        }
        if checkpoint == &end {
            let born = story.shards.iter().filter(|child| child.parents.contains(shard));
            let mut born = born.filter(|child| child.opens <= self.chapter);
            if let Some(child) = born.find(|child| !self.leased.contains(&child.id)) {
                self.breaks(format!("{shard} is done, and {}, which came from it, has no lease", child.id));
            }
        }
    }
}

fn place(checkpoint: &Checkpoint) -> (u8, Option<&Position>) {
    match checkpoint {
        Checkpoint::TrimHorizon | Checkpoint::Latest | Checkpoint::AtTimestamp(_) => (0, None),
        Checkpoint::At(position) => (1, Some(position)),
        Checkpoint::ShardEnd => (2, None),
    }
}
