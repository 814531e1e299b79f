//! Deterministic simulation: one seed makes one world; the real spine runs in it against doubles that fail, answer
//! late, lose replies, crash and restart. The clock is paused and the randomness is seeded, so a seed is a story that
//! can be told again: `SIMULATION_SEEDS=17..18 cargo test --test simulation`.
//!
//! Checked at every ack: nothing leaves the queue before each of its events is in the lake or in the dead-letter
//! queue. Checked at every step: the conservation law. Checked at every put: the limits of a request. Checked at the
//! end: each event is in exactly one place, once, unless a fault left its outcome unknown.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed, and a seed that is not printed cannot be told again"
)]

mod doubles;
mod story;
mod world;

use std::ops::Range;

use story::{Story, tell};

/// Seeds of one run: few enough for every commit, or those that `SIMULATION_SEEDS=from..to` names.
fn seeds(usual: Range<u64>) -> Range<u64> {
    let Ok(wanted) = std::env::var("SIMULATION_SEEDS") else { return usual };
    let (from, to) = wanted.split_once("..").expect("SIMULATION_SEEDS is written from..to");
    from.parse().expect("a number")..to.parse().expect("a number")
}

fn tell_all(name: &str, usual: Range<u64>, story: impl Fn(u64) -> Story) {
    let seeds = seeds(usual);
    let (mut messages, mut crashes) = (0, 0);
    for seed in seeds.clone() {
        let told = tell(story(seed));
        messages += told.messages;
        crashes += told.crashes;
    }
    println!("{name}: seeds {seeds:?}, {messages} messages, {crashes} crashes");
}

#[test]
fn nothing_is_lost_and_nothing_is_acked_early_under_faults_and_crashes() {
    tell_all("faults and crashes", 0..150, |seed| Story::new(seed).with_faults(0.08).with_crashes());
}

#[test]
fn without_crashes_only_unknown_outcomes_duplicate() {
    tell_all("faults", 1_000..1_100, |seed| Story::new(seed).with_faults(0.15));
}

#[test]
fn groups_keep_their_order_under_faults_and_crashes() {
    tell_all("groups", 2_000..2_060, |seed| Story::new(seed).with_faults(0.08).with_crashes().in_groups());
}

#[test]
fn two_destinations_do_not_wait_for_each_other_and_both_get_everything() {
    tell_all("two destinations", 3_000..3_060, |seed| {
        Story::new(seed).with_faults(0.08).with_two_destinations()
    });
}

#[test]
fn workers_recover_by_themselves_from_an_outage_in_which_they_lose_all_that_they_held() {
    tell_all("outage without heartbeats", 5_000..5_030, |seed| {
        Story::new(seed).with_outage().with_lost_heartbeats()
    });
}

#[test]
fn a_lake_that_is_gone_for_a_while_costs_no_message_a_second_delivery() {
    tell_all("outage", 4_000..4_030, |seed| Story::new(seed).with_outage());
}

#[test]
fn a_ledger_that_is_gone_for_a_while_costs_no_second_row() {
    tell_all("ledger outage", 6_000..6_030, |seed| Story::new(seed).with_ledger_outage());
}
