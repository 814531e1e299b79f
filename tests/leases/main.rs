//! An exhaustive search over leases, checkpoints and resharding: two workers, everything that can happen to them in
//! every order, and the very functions that decide in the service (`src/receive/kinesis/{lease,watch,share,shards,
//! progress,tenancy,position}.rs`). Nothing of them is written a second time here.
//!
//! The world (`world.rs`) is a stream of a few shards with a record each, which is split or merged in the middle of the
//! story; the table of leases, changed by [`lease::changed`] alone; and requests on their way. A request arrives at once,
//! or later, or never; its answer comes at once, or later, or never. A worker (`workers.rs`) looks at the table and acts
//! on what it saw, however old that is by then; it reads, settles what it read in any order, renews, leaves and ends its
//! leases, and makes leases for new shards one by one. It may stop in order, or crash between any two steps, and starts
//! anew under another name. Time goes in seconds, two of which are the failover time. A stream may forget a closed shard.
//!
//! Promised after every step:
//!
//! - nothing that a checkpoint, a `SHARD_END` or a deleted lease covers is unsettled: nothing is skipped;
//! - a checkpoint never goes back;
//! - no record of a shard is delivered before every record of the shards from which it came is settled;
//! - no two workers believe that they may read one shard, however late answers are;
//! - a shard is done only once the shards that came from it have leases.
//!
//! And from states all over the story (one of 64, and each in which nothing can happen any more), if nothing goes wrong
//! from there on: everything is settled, every closed shard is done, and every open one is in the hands of a worker that
//! is alive. Nothing is lost, and nobody is stuck.
//!
//! What is left out because it cannot matter: a record that is read, or given back and handed out again, is the same as
//! one that is settled later, so reads are at once; a worker that does not renew in time is a fault like a lost answer.
//!
//! `stories.rs` names the streams and their bounds. `LEASES_BOUNDS=3,1,1,2,0 LEASES_STATES=100000000 cargo test --release
//! --test leases -- --nocapture split` goes further: seconds, crashes, faults, looks of a worker in a second, and shards that expire unread.
//! `planted.rs` plants the faults that we fear; the search must find each, and prints a shortest way to it.
//!
//! [`lease::changed`]: tributary::receive::kinesis::lease::changed
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and how much was explored is half of its result"
)]

mod actions;
mod ending;
mod explore;
mod planted;
mod requests;
mod stories;
mod workers;
mod world;

use tokio::time::Instant;

use explore::Explored;
use stories::{Left, Story};

/// The bounds of a story, or those that `LEASES_BOUNDS=ticks,crashes,faults,looks,losses` names.
fn bounds(usual: Left) -> Left {
    let Ok(wanted) = std::env::var("LEASES_BOUNDS") else { return usual };
    let bounds: Vec<u8> = wanted.split(',').map(|bound| bound.parse().expect("a number")).collect();
    let [ticks, crashes, faults, looks, losses] = bounds.try_into().expect("five numbers");
    Left { ticks, crashes, faults, looks, losses }
}

fn holds(story: Story) {
    let story = Story { left: bounds(story.left), ..story };
    let begun = Instant::now();
    let explored = explore::explore(&story);
    let Explored { states, steps, completed, is_cut, .. } = explored;
    println!(
        "{}: {states} states, {steps} steps, {completed} brought to their end, {:?}",
        story.name,
        begun.elapsed()
    );
    assert!(!is_cut, "{}: there is more to explore than anybody waits for", story.name);
    let told = explored.broken.map(|(path, broken)| {
        format!(
            "{}
  => {broken}",
            path.join(
                "
  "
            )
        )
    });
    assert!(
        told.is_none(),
        "{}:
  {}",
        story.name,
        told.unwrap_or_default()
    );
}

#[test]
fn nobody_writes_over_the_work_of_its_successor() {
    holds(stories::one_shard());
}

#[test]
fn a_worker_that_crashes_or_stops_is_taken_over() {
    holds(stories::taken_over());
}

#[test]
fn a_lease_is_handed_over_to_whoever_asks() {
    holds(stories::handed_off());
}

#[test]
fn the_first_leases_are_made_while_the_stream_is_split() {
    holds(stories::begun());
}

#[test]
fn a_shard_becomes_two() {
    holds(stories::split());
}

#[test]
fn a_child_waits_for_its_parent() {
    holds(stories::child());
}

#[test]
fn two_shards_become_one() {
    holds(stories::merged());
}

#[test]
fn whatever_comes_after_the_first_lease_is_read() {
    holds(stories::begun_at_latest());
}

#[test]
fn a_stream_forgets_its_shards() {
    holds(stories::forgotten());
}
