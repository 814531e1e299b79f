//! Where events come from: a queue or a stream.

use std::time::{Duration, SystemTime};

use crate::{clock::epoch_ms, formats::Format};

/// Where events come from, and how they are read.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// A queue or a stream.
    pub kind: SourceKind,
    /// Most polls in flight at once; the number adapts between one and this.
    pub receivers_max: usize,
    /// `None`: told by content.
    pub format: Option<Format>,
    /// The message attribute that names the format, if there is one.
    pub format_attribute: Option<String>,
}

/// What events come from.
#[derive(Clone, Debug)]
pub enum SourceKind {
    /// SQS.
    Queue(QueueConfig),
    /// Kinesis.
    Stream(StreamConfig),
}

/// A queue of SQS.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// `https://sqs.<region>.amazonaws.com/<account>/<name>`; a name that ends in `.fifo` is a FIFO queue.
    pub queue_url: String,
    /// How long one poll waits for a message.
    pub wait: Duration,
    /// How long a received message stays hidden before it is extended or comes again.
    pub visibility: Duration,
}

/// A stream of Kinesis, and the table in which its readers share it out.
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// Which stream.
    pub arn: StreamArn,
    /// The table of leases and checkpoints.
    pub lease_table: String,
    /// Where to begin in a stream that nobody has read.
    pub start: Start,
    /// A lease whose counter has not moved for so long may be taken over.
    pub failover_time: Duration,
    /// Most `GetRecords` calls a second for one shard.
    pub calls_per_second: u32,
    /// The registered consumer for enhanced fan-out; `None`: records are polled for.
    pub consumer_arn: Option<String>,
    /// What becomes of aggregates that hold user records of another shard.
    pub foreign_records: ForeignRecords,
}

/// What becomes of aggregates that hold user records whose hash keys belong to another shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignRecords {
    /// All of them are events.
    Deliver,
    /// None of them is, as with the Kinesis Client Library.
    Drop,
}

/// Where to begin in a stream that nobody has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest record that the stream still has.
    TrimHorizon,
    /// With what comes from now on.
    Latest,
    /// With what came at this time or after it.
    At(SystemTime),
}

/// A checked stream ARN: `arn:aws:kinesis:<region>:<account>:stream/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamArn {
    /// The whole ARN.
    pub arn: String,
    /// Its Region: where the calls go.
    pub region: String,
    /// Its account.
    pub account: String,
    /// The stream's name.
    pub name: String,
}

impl Start {
    /// The time that was named, if one was, in milliseconds since 1970.
    pub fn named_ms(self) -> Option<u64> {
        match self {
            Self::At(time) => Some(epoch_ms(time)),
            Self::TrimHorizon | Self::Latest => None,
        }
    }
}

impl SourceConfig {
    /// The name of the queue or the stream.
    pub fn name(&self) -> &str {
        match &self.kind {
            SourceKind::Queue(queue) => queue.name(),
            SourceKind::Stream(stream) => &stream.arn.name,
        }
    }

    /// As it was written: the queue's URL or the stream's ARN.
    pub fn address(&self) -> &str {
        match &self.kind {
            SourceKind::Queue(queue) => &queue.queue_url,
            SourceKind::Stream(stream) => &stream.arn.arn,
        }
    }
}

impl QueueConfig {
    /// The last part of the URL.
    pub fn name(&self) -> &str {
        self.queue_url.rsplit('/').next().unwrap_or_default()
    }
}
