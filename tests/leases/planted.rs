//! Faults that are planted around the functions that decide, and the promises that they break. A search that finds
//! none of these would find nothing.

use std::time::Duration;

use tokio::time::Instant;
use tributary::receive::kinesis::{
    lease::{Change, Lease, Leases},
    position::{Checkpoint, Position},
    shards::Shard,
};

use super::{
    explore::explore,
    stories::{Story, begun, begun_at_latest, merged, one_shard, split, taken_over},
    world::TIMES,
};

/// What somebody might get wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A holder writes its checkpoint whoever holds the lease by now.
    WritesUnconditionally,
    /// A child is taken before its parents are done.
    ChildEarly,
    /// Shards that are closed get no lease.
    ClosedIgnored,
    /// A shard that is closed counts as read to its end.
    ClosedIsDone,
    /// A shard that is found later begins at what comes next.
    LaterAtLatest,
    /// Leases of children are made before those of their parents.
    ChildrenFirst,
    /// The checkpoint is the highest record that is settled.
    HighestSettled,
    /// A lease is taken before its holder has given it up.
    ExpiresEarly,
    /// A worker that is dead keeps its leases.
    NeverExpires,
    /// A lease counts as ours from the answer on, not from the question.
    CountsFromAnswer,
    /// A shard is done before its children have leases.
    EndsBeforeChildren,
    /// Whoever saw an empty table makes the first leases, whatever has happened since.
    BeginsUnseen,
}

impl Fault {
    /// What a change makes of the lease although it does not apply.
    pub(crate) fn forced(self, found: Option<&Lease>, change: &Change) -> Option<Lease> {
        let (Change::Keep { checkpoint: Some(checkpoint), .. }
        | Change::Leave { checkpoint: Some(checkpoint), .. }) = change
        else {
            return None;
        };
        let is_planted = self == Self::WritesUnconditionally;
        let lease = found.filter(|_| is_planted)?.clone();
        Some(Lease { checkpoint: checkpoint.clone(), ..lease })
    }
}

fn has(story: &Story, fault: Fault) -> bool {
    story.fault == Some(fault)
}

/// How long a worker waits until it takes another one for dead.
pub(crate) fn failover(story: &Story) -> Duration {
    match story.fault {
        Some(Fault::ExpiresEarly) => TIMES.failover / 2,
        Some(Fault::NeverExpires) => Duration::MAX,
        _ => TIMES.failover,
    }
}

/// From when on a lease is ours, of a request that was begun and answered at these times.
pub(crate) fn counted_from(story: &Story, begun: Instant, answered: Instant) -> Instant {
    if has(story, Fault::CountsFromAnswer) { answered } else { begun }
}

/// The leases as the worker reads them that decides which to take.
pub(crate) fn seen(story: &Story, leases: &Leases) -> Leases {
    let mut leases = leases.clone();
    if has(story, Fault::ChildEarly) {
        for lease in leases.values_mut() {
            lease.parents.clear();
        }
    }
    leases
}

/// The shards for which leases are made.
pub(crate) fn shown(story: &Story, shards: &[Shard]) -> Vec<Shard> {
    let is_shown = |shard: &&Shard| !(shard.is_closed && has(story, Fault::ClosedIgnored));
    shards.iter().filter(is_shown).cloned().collect()
}

/// The leases that are made, in order.
pub(crate) fn made(story: &Story, mut leases: Vec<Lease>, view: &Leases) -> Vec<Lease> {
    if has(story, Fault::ChildrenFirst) {
        leases.reverse();
    }
    if has(story, Fault::LaterAtLatest) && !view.is_empty() {
        for lease in &mut leases {
            lease.checkpoint = Checkpoint::Latest;
        }
    }
    leases
}

/// What is written for a tenancy.
pub(crate) fn written(story: &Story, mut change: Change, highest: Option<&Position>) -> Change {
    if let Change::Keep { checkpoint, .. } | Change::Leave { checkpoint, .. } = &mut change
        && let Some(highest) = highest.filter(|_| has(story, Fault::HighestSettled))
    {
        *checkpoint = Some(Checkpoint::At(highest.clone()));
    }
    change
}

const STUCK: &str = "stuck";

/// The search finds the fault, and what it finds is this.
fn is_found(fault: Fault, story: Story, promise: &str) {
    let name = format!("{fault:?} in {} is found", story.name);
    // Shortest ways lead to steps that break a promise, unless the promise is that everything comes to its end.
    let sample = if promise == STUCK { 1 } else { usize::MAX };
    let explored = explore(&Story { fault: Some(fault), sample, ..story });
    let (path, broken) = explored.broken.expect(&name);
    println!("{name} after {} states\n  {}\n  => {broken}", explored.states, path.join("\n  "));
    assert!(broken.contains(promise), "{name}: {broken}");
}

#[test]
fn a_checkpoint_that_is_written_unconditionally_is_found() {
    is_found(Fault::WritesUnconditionally, one_shard(), "went back");
}

#[test]
fn a_child_that_is_read_before_its_parents_are_done_is_found() {
    is_found(Fault::ChildEarly, split(), "is read");
    is_found(Fault::ChildEarly, merged(), "is read");
}

#[test]
fn closed_shards_that_are_left_out_are_found() {
    is_found(Fault::ClosedIgnored, begun(), "is read");
}

#[test]
fn closed_shards_that_count_as_read_are_found() {
    is_found(Fault::ClosedIsDone, split(), "skipped");
}

#[test]
fn new_shards_that_begin_at_what_comes_next_are_found() {
    is_found(Fault::LaterAtLatest, split(), "skipped");
}

#[test]
fn leases_that_are_made_children_first_are_found() {
    is_found(Fault::ChildrenFirst, begun(), "is read");
}

#[test]
fn a_checkpoint_at_the_highest_settled_record_is_found() {
    is_found(Fault::HighestSettled, one_shard(), "skipped");
}

#[test]
fn a_lease_that_is_taken_too_early_is_found() {
    is_found(Fault::ExpiresEarly, one_shard(), "both");
}

#[test]
fn leases_of_the_dead_that_nobody_takes_are_found() {
    is_found(Fault::NeverExpires, taken_over(), STUCK);
}

#[test]
fn a_lease_that_counts_from_the_answer_on_is_found() {
    is_found(Fault::CountsFromAnswer, Story { before: Vec::new(), ..one_shard() }, "both");
}

#[test]
fn a_shard_that_is_done_before_its_children_have_leases_is_found() {
    is_found(Fault::EndsBeforeChildren, split(), "has no lease");
}

#[test]
fn first_leases_that_are_made_by_an_old_look_are_found() {
    is_found(Fault::BeginsUnseen, begun_at_latest(), "skipped");
}
