//! Where messages come from: queues and streams. What they promise alike is one suite; the rest is each one's own.

mod kinesis;
mod promises;
mod sqs;

pub(super) use sqs::{receive, source_at};
