//! The streams that are explored, each small enough that all that can happen is looked at.

use tributary::receive::kinesis::position::SequenceNumber;

use super::{
    explore::Action,
    workers::How,
    world::{Left, Record, Scripted, Story},
};

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
    let left = Left { crashes: 1, looks: 1, ..nothing_left(0) };
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
