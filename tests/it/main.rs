//! Everything that is tested over the wire, in one binary: the program's parts against real clients and servers.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod local_lake;
mod local_queue;
mod support;
