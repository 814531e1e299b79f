//! Integration tests: one binary, one module for each property that spans several parts, against real clients and
//! servers where there are any.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod aggregates;
mod backfill;
mod bad_inputs;
mod checks;
mod cli;
mod deployed;
mod enqueue;
mod envelopes;
mod formats;
mod lanes;
mod limits_hold;
mod local_lake;
mod local_queue;
mod losses;
mod mapping;
mod objects;
mod process;
mod publish_log;
mod real_records;
mod reconcile;
mod routes;
mod samples;
mod seams;
mod shared_stream;
mod streams;
mod support;
mod wire_form;
