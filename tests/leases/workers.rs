//! A worker, made of the functions that decide in the service. What the service does around them (calls, waiting,
//! locks) is here a step each, so that anything may come in between.

use std::collections::{BTreeMap, BTreeSet};

use tokio::time::Instant;
use tributary::receive::kinesis::{
    lease::{Change, Lease, Leases, ShardId, WorkerId},
    position::Position,
    shards::{children, forgotten, missing},
    share::{alive, handed_over, wanted},
    tenancy::Tenancy,
    watch::Watch,
};

use super::{
    planted::{self, Fault},
    stories::{Scripted, Story},
    world::{TIMES, Waits, World, hash_of},
};

/// One process.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Worker {
    pub(crate) name: WorkerId,
    pub(crate) life: u8,
    watch: Watch,
    view: View,
    /// When it looked, and whose the leases were then.
    looked: Option<(Instant, u64)>,
    /// How often it may look again before the second is over.
    looks: u8,
    pub(crate) todo: Vec<Todo>,
    pub(crate) held: BTreeMap<ShardId, Held>,
    numbers: u64,
}

/// The table as it was last looked at, as long as something may follow from it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum View {
    Used,
    /// There was a lease for every shard that there will ever be.
    Whole,
    /// And whether it is up to this worker to compare the shards with the leases.
    Of(Leases, bool),
}

/// What follows from a look, one after the other.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Todo {
    Take(Change),
    /// Nobody has made a lease meanwhile.
    StillEmpty,
    Make(Change),
    HasChildren(ShardId, u64, BTreeSet<ShardId>),
}

/// A shard whose lease this worker holds.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Held {
    pub(crate) number: u64,
    pub(crate) tenancy: Tenancy,
    /// What was handed out, by its number.
    pub(crate) in_flight: BTreeMap<u64, Position>,
    /// The highest that was settled.
    pub(crate) highest: Option<Position>,
    /// The chapter of which everything was read.
    read_in: Option<u8>,
}

/// Whose the leases are, and which are done.
fn owners(leases: &Leases) -> u64 {
    let owned =
        leases.values().map(|lease| (&lease.shard, &lease.owner, lease.is_asked_for(), lease.is_ended()));
    hash_of(&owned.collect::<Vec<_>>())
}

impl Worker {
    pub(crate) fn new(name: &str, life: u8, story: &Story) -> Self {
        Self {
            name: format!("{name}{life}").into(),
            life,
            watch: Watch::new(planted::failover(story)),
            view: View::Used,
            looked: None,
            looks: 0,
            todo: Vec::new(),
            held: BTreeMap::new(),
            numbers: 0,
        }
    }

    pub(crate) fn begin(&mut self, lease: Lease, begun: Instant) {
        self.numbers += 1;
        let shard = lease.shard.clone();
        let tenancy = Tenancy::new(lease, self.name.clone(), TIMES, begun);
        let (number, in_flight) = (self.numbers, BTreeMap::new());
        self.held.insert(shard, Held { number, tenancy, in_flight, highest: None, read_in: None });
    }

    pub(crate) fn of(&mut self, shard: &ShardId, number: u64) -> Option<&mut Held> {
        self.held.get_mut(shard).filter(|held| held.number == number)
    }
}

impl World {
    /// Worker `at` looks at the table.
    pub(crate) fn look(&mut self, story: &Story, at: usize) {
        let (leases, now) = (self.table.clone(), self.now);
        self.workers[at].edit(|worker| {
            worker.watch.look(&leases, now, now);
            let mut todo = handed_over(&worker.name, &leases, |shard| worker.held.contains_key(shard));
            todo.extend(wanted(&worker.name, &planted::seen(story, &leases), &worker.watch));
            worker.todo = todo.into_iter().map(Todo::Take).collect();
            let is_whole = story.shards.iter().all(|shard| leases.contains_key(&shard.id));
            let alive = alive(&leases, &worker.watch);
            let is_first = leases.is_empty() || alive.first().is_none_or(|first| **first == worker.name);
            worker.view = match Leases::clone(&leases) {
                _ if is_whole && !story.expires => View::Whole,
                leases => View::Of(leases, is_first),
            };
            let is_again = worker.looked.is_some_and(|(when, _)| when == now);
            worker.looks = if is_again { worker.looks - 1 } else { story.left.looks - 1 };
            worker.looked = Some((now, owners(&leases)));
        });
    }

    /// Whether worker `at` would find something new that matters: time has passed, or a lease is in other hands. A
    /// counter that has moved within the second is the same as one that is seen a second later.
    pub(crate) fn is_worth_a_look(&self, at: usize) -> bool {
        let worker = &self.workers[at];
        let looked = worker.looked.as_ref();
        let is_other = |owned: &u64| worker.looks > 0 && *owned != owners(&self.table);
        looked.is_none_or(|(when, owned)| *when < self.now || is_other(owned))
    }

    /// Whether there is something for worker `at` to be read of the shard. Everything is read at once: a record that is
    /// read later is the same as one that is settled later.
    pub(crate) fn is_to_be_read(&self, held: &Held) -> bool {
        held.read_in != Some(self.chapter) && held.tenancy.may_read(self.now)
    }

    /// Whether worker `at` waits for the answer to a request that holds up everything that follows from its look.
    pub(crate) fn is_busy(&self, at: usize) -> bool {
        let name = &self.workers[at].name;
        self.requests.iter().any(|request| request.name == *name && request.waits == Waits::Taking)
    }

    /// What worker `at` would do to the leases after its last look, as the stream is now; `of` is a shard that it has
    /// read to its end.
    pub(crate) fn plan(&self, story: &Story, at: usize, of: Option<&ShardId>) -> Option<Vec<Todo>> {
        let (worker, shards) = (&self.workers[at], self.listed(story));
        let mut plan = Vec::new();
        let is_blind = of.is_some() && story.fault == Some(Fault::EndsBeforeChildren);
        if let View::Of(view, is_first) = &worker.view
            && (*is_first || of.is_some())
            && !is_blind
        {
            if view.is_empty() && story.fault != Some(Fault::BeginsUnseen) {
                plan.push(Todo::StillEmpty);
            }
            let made = missing(view, &planted::shown(story, &shards), self.beginning(story));
            let made = planted::made(story, made, view);
            plan.extend(made.into_iter().map(|lease| Todo::Make(Change::Create(lease))));
            let gone = forgotten(view, &shards).into_iter();
            plan.extend(gone.map(|shard| Todo::Make(Change::Delete { shard })));
        }
        let Some(shard) = of else {
            return plan.iter().any(|todo| matches!(todo, Todo::Make(_))).then_some(plan);
        };
        let held = worker.held.get(shard).filter(|_| worker.view != View::Used);
        let held = held.filter(|held| held.tenancy.wants_children())?;
        plan.push(Todo::HasChildren(shard.clone(), held.number, children(shard, &shards)?));
        Some(plan)
    }

    pub(crate) fn sync(&mut self, story: &Story, at: usize, of: Option<&ShardId>) {
        let plan = self.plan(story, at, of).unwrap_or_default();
        self.workers[at].edit(|worker| (worker.view, worker.todo) = (View::Used, plan));
    }

    /// What the next read of a shard would bring: the records, and whether its end comes with them.
    pub(crate) fn read(&mut self, story: &Story, at: usize, shard: &ShardId) {
        let scripted: &Scripted = story.shard(shard);
        let Some(held) = self.workers[at].held.get(shard) else { return };
        let from = held.tenancy.reads_from();
        let records: Vec<_> = self.records_from(scripted, &from).cloned().collect();
        let is_closed = self.is_closed(scripted);
        let is_short = story.fault == Some(Fault::ClosedIsDone) && is_closed;
        let (mut first_read, chapter) = (0, self.chapter);
        self.workers[at].edit(|worker| {
            let Some(held) = worker.held.get_mut(shard) else { return };
            let mut records = records.into_iter().filter(|_| !is_short).peekable();
            while let Some(record) = records.next_if(|_| first_read == 0) {
                for (user, sub) in record.users.iter().zip(0..) {
                    let position = Position { sequence: record.sequence.clone(), sub };
                    if let Some(number) = held.tenancy.read(position.clone()) {
                        held.in_flight.insert(number, position);
                        held.tenancy.handed_out();
                        first_read |= user;
                    }
                }
            }
            if records.peek().is_none() {
                held.read_in = Some(chapter);
                if is_closed {
                    held.tenancy.drained();
                }
            }
        });
        let before = story.held_before(shard) & story.promised(self.begun);
        if first_read != 0 && before & !(self.settled | self.gone) != 0 {
            self.breaks(format!(
                "{shard} is read, and a record of a shard from which it came is not settled"
            ));
        }
    }

    /// A delivery ends: its record is done with, or is given back while the worker is about to leave. At any other time
    /// that is the same as a record that is settled later.
    pub(crate) fn end(&mut self, story: &Story, at: usize, shard: &ShardId, number: u64, is_settled: bool) {
        let position = self.workers[at].edit(|worker| {
            let held = worker.held.get_mut(shard)?;
            let position = held.in_flight.remove(&number)?;
            held.tenancy.ended(is_settled.then_some(number));
            if is_settled {
                held.highest = held.highest.take().max(Some(position.clone()));
            }
            Some(position)
        });
        if let Some(position) = position.filter(|_| is_settled) {
            self.settled |= story.bit(shard, &position);
        }
    }

    /// A second passes. What could not be renewed in time is lost.
    pub(crate) fn tick(&mut self) {
        self.now += std::time::Duration::from_secs(1);
        let now = self.now;
        for worker in &mut self.workers {
            if worker.held.values().any(|held| !held.tenancy.is_ours(now)) {
                worker.edit(|worker| worker.held.retain(|_, held| held.tenancy.is_ours(now)));
            }
        }
    }
}
