//! The streams that are explored, each small enough that all that can happen is looked at.

use std::collections::BTreeSet;

use tributary::receive::kinesis::{
    lease::ShardId,
    position::{Checkpoint, Position, SequenceNumber},
};

use super::{actions::Action, planted::Fault, requests::How};

/// One bit for each user record of the stream.
pub(crate) type Mask = u32;

/// A stream and what happens to it, and how far it is followed.
#[derive(Clone)]
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) shards: Vec<Scripted>,
    pub(crate) is_latest: bool,
    /// The first leases are there from the start.
    pub(crate) is_begun: bool,
    /// What has happened before the search begins.
    pub(crate) before: Vec<Action>,
    /// Chapters of the stream, the first of which is number 0.
    pub(crate) chapters: u8,
    pub(crate) left: Left,
    /// Closed shards are forgotten by the stream.
    pub(crate) expires: bool,
    /// A fault that is planted around the functions that are explored.
    pub(crate) fault: Option<Fault>,
    /// From one of so many states it is tried whether everything can still come to its end.
    pub(crate) sample: usize,
}

/// One shard of the story.
#[derive(Clone)]
pub(crate) struct Scripted {
    pub(crate) id: ShardId,
    pub(crate) parents: BTreeSet<ShardId>,
    pub(crate) opens: u8,
    pub(crate) closes: Option<u8>,
    pub(crate) records: Vec<Record>,
}

/// A record with as many user records as its mask has bits, and the chapter in which it arrives.
#[derive(Clone)]
pub(crate) struct Record {
    pub(crate) sequence: SequenceNumber,
    pub(crate) users: Vec<Mask>,
    pub(crate) arrives: u8,
}

/// What may still go wrong, and how much time is left.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Left {
    pub(crate) ticks: u8,
    pub(crate) crashes: u8,
    /// Requests that are slow, or that are given up and arrive later or never.
    pub(crate) faults: u8,
    /// Looks of a worker in one second.
    pub(crate) looks: u8,
    /// Shards that expire before they are read.
    pub(crate) losses: u8,
}

impl Story {
    pub(crate) fn shard(&self, id: &ShardId) -> &Scripted {
        self.shards.iter().find(|shard| shard.id == *id).expect("nobody speaks of other shards")
    }

    /// The records that a checkpoint says are done.
    pub(crate) fn covered(&self, shard: &ShardId, checkpoint: &Checkpoint) -> Mask {
        let is_covered = |record: &Record, sub: u64| match checkpoint {
            Checkpoint::TrimHorizon | Checkpoint::Latest => false,
            Checkpoint::AtTimestamp(ms) => ms.is_some_and(|ms| arrival_ms(record) < ms),
            Checkpoint::At(position) => Position { sequence: record.sequence.clone(), sub } <= *position,
            Checkpoint::ShardEnd => true,
        };
        let records = self.shard(shard).records.iter();
        let users = records
            .flat_map(|record| record.users.iter().zip(0..).map(move |(user, sub)| (record, user, sub)));
        users.filter(|(record, _, sub)| is_covered(record, *sub)).fold(0, |mask, (_, user, _)| mask | user)
    }

    /// The records that must be settled one day: all, or those that came once the first lease was made.
    pub(crate) fn promised(&self, begun: Option<u8>) -> Mask {
        let records = self.shards.iter().flat_map(|shard| &shard.records);
        let is_promised =
            |record: &&Record| !self.is_latest || begun.is_some_and(|begun| record.arrives > begun);
        records.filter(is_promised).flat_map(|record| &record.users).fold(0, |mask, user| mask | user)
    }

    /// All records of a shard.
    pub(crate) fn held_in(&self, shard: &ShardId) -> Mask {
        self.shard(shard).records.iter().flat_map(|record| &record.users).fold(0, |mask, user| mask | user)
    }

    /// All records of all shards from which this one came.
    pub(crate) fn held_before(&self, shard: &ShardId) -> Mask {
        let parents = self.shard(shard).parents.iter();
        parents.fold(0, |mask, parent| mask | self.held_in(parent) | self.held_before(parent))
    }

    pub(crate) fn bit(&self, shard: &ShardId, position: &Position) -> Mask {
        let record = self.shard(shard).records.iter().find(|record| record.sequence == position.sequence);
        let sub = usize::try_from(position.sub).expect("small");
        record.expect("nothing else is read").users[sub]
    }
}

/// When a record arrives, by the wall clock.
pub(crate) fn arrival_ms(record: &Record) -> u64 {
    u64::from(record.arrives) * 1_000
}

/// Nothing goes wrong any more.
pub(crate) fn nothing_left(ticks: u8) -> Left {
    Left { ticks, crashes: 0, faults: 0, losses: 0, looks: 2 }
}

/// A shard that is there from chapter `opens` on until chapter `closes`.
fn shard(id: &str, parents: &[&str], opens: u8, closes: Option<u8>) -> Scripted {
    let parents = parents.iter().map(|parent| (*parent).into()).collect();
    Scripted { id: id.into(), parents, opens, closes, records: Vec::new() }
}

fn story(name: &'static str, mut shards: Vec<Scripted>, records: &[(&str, u8, usize)], left: Left) -> Story {
    let mut bits = (0..).map(|bit| 1 << bit);
    for (at, (id, arrives, users)) in records.iter().enumerate() {
        let sequence = SequenceNumber::parse(&(at + 1).to_string()).expect("a number");
        let record = Record { sequence, users: bits.by_ref().take(*users).collect(), arrives: *arrives };
        let shard = shards.iter_mut().find(|shard| *shard.id == **id).expect("one of them");
        shard.records.push(record);
    }
    let chapters = shards.iter().filter_map(|shard| shard.closes).max().unwrap_or(0) + 1;
    Story {
        name,
        shards,
        is_latest: false,
        is_begun: true,
        before: Vec::new(),
        chapters,
        left,
        expires: false,
        fault: None,
        sample: 64,
    }
}

/// The first worker has taken so many leases.
fn a_takes(leases: usize) -> Vec<Action> {
    let steps = std::iter::repeat_n(Action::Step(0, How::AtOnce), leases);
    std::iter::once(Action::Look(0)).chain(steps).collect()
}

/// Workers that take over from each other, and records that are settled in any order.
pub(crate) fn one_shard() -> Story {
    let left = Left { faults: 1, looks: 2, ..nothing_left(3) };
    Story { before: a_takes(1), ..story("one shard", vec![shard("s", &[], 0, None)], &[("s", 0, 2)], left) }
}

/// A worker that crashes or stops, and one that takes over.
pub(crate) fn taken_over() -> Story {
    let left = Left { crashes: 1, looks: 2, ..nothing_left(3) };
    Story { name: "a crash", left, ..one_shard() }
}

/// A worker that comes asks for a lease.
pub(crate) fn handed_off() -> Story {
    let left = Left { crashes: 1, looks: 2, ..nothing_left(1) };
    let shards = vec![shard("s", &[], 0, None), shard("t", &[], 0, None)];
    Story { before: a_takes(2), ..story("a hand-off", shards, &[("s", 0, 1)], left) }
}

/// The first leases are made while the stream is split.
pub(crate) fn begun() -> Story {
    let shards =
        vec![shard("s", &[], 0, Some(1)), shard("left", &["s"], 1, None), shard("right", &["s"], 1, None)];
    let left = Left { crashes: 1, looks: 2, ..nothing_left(0) };
    let story = story("a beginning", shards, &[("s", 0, 1), ("left", 1, 1)], left);
    Story { is_begun: false, ..story }
}

/// A shard becomes two.
pub(crate) fn split() -> Story {
    let shards =
        vec![shard("s", &[], 0, Some(1)), shard("left", &["s"], 1, None), shard("right", &["s"], 1, None)];
    let left = Left { crashes: 1, looks: 1, ..nothing_left(1) };
    Story { before: a_takes(1), ..story("a split", shards, &[("s", 0, 1), ("left", 1, 1)], left) }
}

/// A shard becomes another one, and nothing else happens at the time.
pub(crate) fn child() -> Story {
    let shards = vec![shard("s", &[], 0, Some(1)), shard("left", &["s"], 1, None)];
    let left = Left { crashes: 1, looks: 1, ..nothing_left(2) };
    Story { before: a_takes(1), ..story("a child", shards, &[("s", 0, 1), ("left", 1, 1)], left) }
}

/// Two shards become one.
pub(crate) fn merged() -> Story {
    let shards = vec![
        shard("one", &[], 0, Some(1)),
        shard("two", &[], 0, Some(1)),
        shard("both", &["one", "two"], 1, None),
    ];
    let left = Left { crashes: 1, looks: 2, ..nothing_left(0) };
    let before =
        vec![Action::Look(0), Action::Step(0, How::AtOnce), Action::Look(1), Action::Step(1, How::AtOnce)];
    Story { before, ..story("a merge", shards, &[("one", 0, 1), ("two", 0, 1), ("both", 1, 1)], left) }
}

/// A stream that is begun with what comes next, while it is split.
pub(crate) fn begun_at_latest() -> Story {
    let shards = vec![shard("s", &[], 0, Some(2)), shard("left", &["s"], 2, None)];
    let records = [("s", 0, 1), ("s", 1, 1), ("left", 2, 1)];
    let left = Left { crashes: 1, looks: 2, ..nothing_left(0) };
    Story { is_latest: true, is_begun: false, ..story("begun at latest", shards, &records, left) }
}

/// A stream that forgets its shards.
pub(crate) fn forgotten() -> Story {
    let shards = vec![shard("s", &[], 0, Some(1)), shard("left", &["s"], 1, None)];
    let left = Left { losses: 1, looks: 1, ..nothing_left(1) };
    Story { expires: true, ..story("forgotten shards", shards, &[("s", 0, 1), ("left", 1, 1)], left) }
}
