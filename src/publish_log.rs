//! Beside the stages: proof of what was published. In: what the settler knows to be accepted. Out: lines that are
//! chained by their hashes, in a folder or in S3.
//!
//! Nothing of the way of an event waits for it: [`ToLog`] takes a copy and returns, and a task of its own writes. If
//! it cannot write, it closes the gate, so that soon nothing more is published than is written down. The form is
//! described in `docs/publish-log.md`; [`verify`] checks it.

mod archive;
mod chain;
mod folder;
mod line;
mod s3;
pub mod verify;
mod writer;

pub use archive::{Archive, ArchiveError};
pub use chain::Chain;
pub use folder::Folder;
pub use line::{Footer, Header, LINE_BYTES_MAX, Line, LineHash, Record};
pub use s3::Bucket;
pub use writer::LogWriter;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use tokio::sync::{Notify, mpsc};
use tracing::error;

use crate::{
    aws::Aws,
    clock::Clock,
    config::{PublishLogConfig, Storage},
    event::ContentHash,
    failure::CallError,
    gate::{Cause, Gate},
    metrics::Metrics,
};

/// What is held unwritten at most, in bytes, beside two segments: some 54,000 events with ids of 36 characters. The
/// gate closes at half of it; the rest is for what is on its way to the lake by then.
const HELD_BYTES_MAX: usize = 32 << 20;

/// What the lake accepted: one event, one destination.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// When the answer came.
    pub at: SystemTime,
    /// The destination's name.
    pub destination: Arc<str>,
    /// The id of the entry as sent.
    pub id: Box<str>,
    /// `UID` in the lake.
    pub uid: Box<str>,
    /// The lake's own name for it.
    pub stored_as: Box<str>,
    /// The event's own time in seconds UTC, by which lakes are partitioned.
    pub event_time: Box<str>,
    /// Of the event as it came; `None` if it was published without a claim, which nothing does.
    pub content: Option<ContentHash>,
    /// Standard base64 of the SHA-256 of the event data as sent.
    pub checksum: Box<str>,
}

impl Accepted {
    /// What it takes in memory, about, as it is or as a line.
    fn bytes(&self) -> usize {
        512 + self.id.len() + self.uid.len() + self.stored_as.len()
    }
}

/// Bytes of a segment from an offset on.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The chain's name.
    pub chain: &'a str,
    /// Of the segment, from 1.
    pub segment: u64,
    /// Where in the segment the bytes belong. 0 begins a segment.
    pub offset: u64,
    /// Whole lines.
    pub bytes: &'a [u8],
    /// Whether the segment ends with these.
    pub is_last: bool,
}

/// Where segments are kept.
#[async_trait]
pub trait Shelf: Send + 'static {
    /// Finds out early whether anything can be kept here.
    ///
    /// # Errors
    /// As [`Self::keep`].
    async fn prepare(&mut self) -> Result<(), CallError>;

    /// Where that is, for people.
    fn place(&self) -> String;

    /// Whether it takes a segment in parts. Otherwise it gets each as a whole, when it ends.
    fn takes_parts(&self) -> bool;

    /// Keeps a part, durably. After an error the same part is offered again.
    ///
    /// # Errors
    /// Says what is wrong and, where it is ours to cure, how.
    async fn keep(&mut self, part: Part<'_>) -> Result<(), CallError>;
}

/// The log of one worker that has not begun yet.
pub struct PublishLog {
    /// Where segments are kept.
    pub shelf: Box<dyn Shelf>,
    /// The chain, without a line yet.
    pub chain: Chain,
    /// A segment ends at the latest after this long.
    pub segment_time: Duration,
    /// A segment ends when it has this many bytes.
    pub segment_bytes: usize,
    /// Tells when segments begin and end.
    pub clock: Clock,
}

impl PublishLog {
    /// As configured, for this worker.
    pub fn new(config: &PublishLogConfig, aws: &Aws, worker: &str) -> Self {
        let shelf: Box<dyn Shelf> = match &config.to {
            Storage::Folder(path) => Box::new(Folder::new(path.clone())),
            Storage::S3 { bucket, prefix } => Box::new(Bucket::new(aws, bucket, prefix)),
        };
        let clock = Clock::system();
        Self {
            shelf,
            chain: Chain::new(worker, clock.now()),
            segment_time: config.segment_time,
            segment_bytes: config.segment_bytes,
            clock,
        }
    }

    /// The way to the writer, and the writer, which ends when the last way to it is gone. The gate stays closed until
    /// the writer runs and has found out that it can write.
    pub fn open(self, gate: Arc<Gate>, metrics: Arc<Metrics>) -> (ToLog, LogWriter) {
        let (sender, accepted) = mpsc::unbounded_channel();
        let held = Arc::new(Held {
            bytes: AtomicUsize::new(0),
            records: AtomicUsize::new(0),
            bytes_max: HELD_BYTES_MAX + 2 * self.segment_bytes,
            overflowed: AtomicU64::new(0),
            became_crowded: Notify::new(),
        });
        gate.hold(Cause::PublishLog, "waits for the first answer of the place in publish_log.to");
        let to_log = ToLog { sender, held: held.clone(), metrics: metrics.clone() };
        (to_log, LogWriter::new(self, accepted, held, gate, metrics))
    }
}

/// What is told and not yet written.
#[derive(Debug)]
struct Held {
    bytes: AtomicUsize,
    records: AtomicUsize,
    bytes_max: usize,
    /// What did not fit.
    overflowed: AtomicU64,
    became_crowded: Notify,
}

impl Held {
    /// Whether more than half of what may be held is.
    fn is_crowded(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) > self.bytes_max / 2
    }

    /// Waits until it is.
    async fn crowded(&self) {
        while !self.is_crowded() {
            self.became_crowded.notified().await;
        }
    }

    fn forget(&self, records: usize, bytes: usize, metrics: &Metrics) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        let before = self.records.fetch_sub(records, Ordering::Relaxed);
        metrics.process.publish_log_unwritten.set(before.saturating_sub(records) as f64);
    }
}

/// The way to the log. Never waits.
#[derive(Clone)]
pub struct ToLog {
    sender: mpsc::UnboundedSender<Accepted>,
    held: Arc<Held>,
    metrics: Arc<Metrics>,
}

impl ToLog {
    /// Tells the log what was accepted. What no longer fits in memory, after a long failure, is counted as lost.
    pub fn tell(&self, accepted: Accepted) {
        let bytes = accepted.bytes();
        let held_before = self.held.bytes.fetch_add(bytes, Ordering::Relaxed);
        let crowd = self.held.bytes_max / 2;
        if held_before <= crowd && held_before + bytes > crowd {
            self.held.became_crowded.notify_one();
        }
        let records_before = self.held.records.fetch_add(1, Ordering::Relaxed);
        self.metrics.process.publish_log_unwritten.set(records_before as f64 + 1.0);
        if held_before + bytes <= self.held.bytes_max && self.sender.send(accepted).is_ok() {
            return;
        }
        self.held.forget(1, bytes, &self.metrics);
        self.metrics.process.publish_log_lost.increment(1);
        if self.held.overflowed.fetch_add(1, Ordering::Relaxed) == 0 {
            error!(
                "the publish log could not be written to for too long: from here on published events are missing \
                in it, counted by tributary_publish_log_lost_total"
            );
        }
    }
}
