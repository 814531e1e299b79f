//! The real binary, as a process of its own, against local endpoints: what a user gets, with every fault that we
//! could think of.
//!
//! The endpoints live in the test, so that a test can look into them and make them misbehave; the service is a child
//! process that can be killed. Every wait is a bounded wait for a condition.

mod breaker;
mod conflict;
mod cure;
mod demo;
mod endings;
mod endpoints;
mod fleet;
mod full_disk;
mod large_letters;
mod ledger_gone;
mod letters;
mod memory;
mod misbehaving_lake;
mod objects;
mod publish_log;
mod receipts;
mod records;
mod scrape;
mod stream;
mod two_lakes;
mod unknown;
mod whole_way;
mod worker;

pub(crate) use endpoints::{DEAD_LETTERS, Endpoints, QUEUE, send};
pub(crate) use records::{events, messages};
pub(crate) use scrape::Scrape;
pub(crate) use worker::Worker;
