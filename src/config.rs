//! What the operator wrote, turned once into what the program needs.
//!
//! In: one TOML file and `TRIBUTARY_…` environment variables. Out: a [`Config`] in which every bound holds, or
//! every problem at once.

use std::{fmt, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use crate::{
    dedupe::OnConflict,
    formats::Formats,
    receive::objects::Buckets,
    redact::Redaction,
    route::{Route, Unmatched},
};

mod arn;
mod bounds;
mod convert;
mod environment;
mod finding;
pub mod keys;
pub mod kinds;
mod nearest;
mod queue_url;
mod raw;
mod reference;
mod show;
mod source;
#[cfg(test)]
mod tests;

pub use arn::ArnError;
pub use environment::of_process as process_environment;
pub use finding::{ConfigError, Finding, Origin};
pub(crate) use kinds::is_label;
pub(crate) use queue_url::is_fifo;
pub use raw::RawConfig;
pub use reference::reference;
pub use show::{Setting, settings, settings_toml};
pub use source::{ForeignRecords, QueueConfig, SourceConfig, SourceKind, Start, StreamArn, StreamConfig};

/// All that `run` needs to know. Every bound has been checked, alone and together.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each field is one table of the configuration reference")]
pub struct Config {
    pub source: SourceConfig,
    pub formats: Arc<Formats>,
    /// `None`: no objects are read.
    pub objects: Option<ObjectsConfig>,
    pub dead_letter: DeadLetterConfig,
    /// At least one; names are distinct.
    pub destinations: Vec<DestinationConfig>,
    /// What becomes of events that none of them wants.
    pub unmatched: Unmatched,
    pub dedupe: DedupeConfig,
    pub ledger: LedgerConfig,
    pub publish_log: Option<PublishLogConfig>,
    pub batch: BatchConfig,
    pub flow: FlowConfig,
    pub breaker: BreakerConfig,
    pub service: ServiceConfig,
    pub log: LogConfig,
}

impl Config {
    /// Reads the file, if there is one, and the environment over it, and checks everything. The second value are
    /// warnings: what works, and probably is not what was meant.
    ///
    /// # Errors
    /// Every problem at once, each with its key, the place where it was written, and the cure.
    pub fn load(
        path: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<Finding>), ConfigError> {
        Self::from_raw(&RawConfig::read(path, environment))
    }
}

/// The objects that messages lead to.
#[derive(Clone, Debug)]
pub struct ObjectsConfig {
    /// The buckets that may be read.
    pub buckets: Buckets,
    /// Most objects read at once.
    pub concurrency_max: usize,
}

/// The queue for what can never be published.
#[derive(Clone, Debug)]
pub struct DeadLetterConfig {
    /// As for the source.
    pub queue_url: String,
    /// Where events are kept that are too large for it.
    pub overflow: Option<Storage>,
}

/// One channel of CloudTrail Lake.
#[derive(Clone)]
pub struct DestinationConfig {
    /// Low-cardinality; a metric label and part of the ledger's key.
    pub name: String,
    /// Where to publish.
    pub channel_arn: ChannelArn,
    /// Needed where the channel's policy asks for one. Treated as a secret in logs.
    pub external_id: Option<String>,
    /// This worker's share of the account's 100 calls a second.
    pub requests_per_second: u32,
    /// Most calls in flight at once; the number adapts between one and this.
    pub concurrency_max: usize,
    /// How long one call may take before its outcome is unknown.
    pub request_timeout: Duration,
    /// What becomes of optional fields that break the schema.
    pub oversize: Oversize,
    /// Which events go there.
    pub route: Route,
    /// What of them must not.
    pub redaction: Redaction,
}

/// All but the external id, of which only the presence is told.
impl fmt::Debug for DestinationConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DestinationConfig")
            .field("name", &self.name)
            .field("channel_arn", &self.channel_arn)
            .field("external_id", &self.external_id.as_ref().map(|_| "(hidden)"))
            .field("requests_per_second", &self.requests_per_second)
            .field("concurrency_max", &self.concurrency_max)
            .field("request_timeout", &self.request_timeout)
            .field("oversize", &self.oversize)
            .field("route", &self.route)
            .field("redaction", &self.redaction)
            .finish()
    }
}

/// A checked channel ARN: `arn:aws:cloudtrail:<region>:<account>:channel/<id>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelArn {
    /// The whole ARN.
    pub arn: String,
    /// Its Region: where the call goes.
    pub region: String,
    /// Its account: every event's `recipientAccountId`.
    pub account: String,
}

/// What becomes of an optional field that the schema would refuse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Oversize {
    /// Take it out or cut it, and keep the original under `additionalEventData.tributary.moved`.
    #[default]
    Move,
    /// Dead-letter the event.
    Reject,
}

/// How long and how many published ids are remembered.
#[derive(Clone, Debug)]
pub struct DedupeConfig {
    /// An id is a duplicate for this long after it was settled.
    pub window: Duration,
    /// A ledger in memory forgets the oldest ids beyond this many (about 80 bytes each).
    pub entries_max: usize,
    /// How long a claim holds before another may take it over.
    pub lease: Duration,
    /// What becomes of an event whose id was published with other content.
    pub on_conflict: OnConflict,
}

/// Where it is remembered which events are under way and which are settled.
#[derive(Clone, Debug)]
pub struct LedgerConfig {
    /// Which ledger.
    pub kind: LedgerKind,
    /// Keeps deployments apart that share one table or server.
    pub namespace: String,
    /// This worker remembers at most so many published ids by itself.
    pub cache_entries_max: usize,
    /// For so long after the ledger confirmed them.
    pub cache_time: Duration,
}

/// The ledgers that there are.
#[derive(Clone, Debug)]
pub enum LedgerKind {
    /// In this worker's memory: for one worker, forgotten when it stops.
    Memory,
    /// A table of `DynamoDB`.
    DynamoDb {
        /// Its name.
        table: String,
    },
    /// A Valkey or Redis server, or a cluster of them.
    Valkey(ValkeyConfig),
}

/// A Valkey or Redis server, or a cluster of them.
#[derive(Clone)]
pub struct ValkeyConfig {
    /// `redis://` or `rediss://` (TLS), host and port; of a cluster one or several of its nodes.
    pub urls: Vec<String>,
    /// Whether it is a cluster.
    pub is_cluster: bool,
    /// For servers that ask for one.
    pub password: Option<String>,
    /// A PEM file with the authorities that are trusted instead of the system's.
    pub ca_file: Option<std::path::PathBuf>,
}

/// All but the password, of which only the presence is told.
impl fmt::Debug for ValkeyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ValkeyConfig")
            .field("urls", &self.urls)
            .field("is_cluster", &self.is_cluster)
            .field("password", &self.password.as_ref().map(|_| "(hidden)"))
            .field("ca_file", &self.ca_file)
            .finish()
    }
}

/// Where the proof of what was published goes.
#[derive(Clone, Debug)]
pub struct PublishLogConfig {
    /// A folder or a bucket.
    pub to: Storage,
    /// A segment is closed at the latest after this long.
    pub segment_time: Duration,
    /// A segment is closed when it has this many bytes.
    pub segment_bytes: usize,
}

/// A folder, or a prefix in a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// On this machine.
    Folder(std::path::PathBuf),
    /// In S3.
    S3 {
        /// The bucket's name.
        bucket: String,
        /// Without a slash at its end; may be empty.
        prefix: String,
    },
}

/// When a batch is full.
#[derive(Clone, Debug)]
pub struct BatchConfig {
    /// Longest wait for a batch to fill.
    pub linger: Duration,
    /// At most 100.
    pub events_max: usize,
    /// Request body bytes, at most 999,999.
    pub bytes_max: usize,
}

/// How much may be under way at once.
#[derive(Clone, Debug)]
pub struct FlowConfig {
    /// Received, not yet settled, in bytes of message body.
    pub max_in_flight_bytes: usize,
}

/// When so many dead letters in a row look like our own mistake.
#[derive(Clone, Debug)]
pub struct BreakerConfig {
    /// Open when more than this share (0 to 1) of the last `deliveries` were dead-lettered.
    pub dead_letter_share: f64,
    /// How many of the last deliveries are looked at.
    pub deliveries: usize,
    /// How long intake stays stopped before it is tried again.
    pub cool_down: Duration,
}

/// The process among other processes.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub listen: SocketAddr,
    /// Longest time between SIGTERM and exit.
    pub drain_timeout: Duration,
    /// How this worker is called in the ledger and the publish log; the host's name if it is not given.
    pub worker: Option<String>,
}

/// What is logged, and how.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// A `tracing` filter such as `info` or `tributary=debug,warn`.
    pub filter: String,
    /// JSON lines, or text for people.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl LogFormat {
    /// Whether to write JSON, given where the lines go.
    pub fn is_json(self, to_terminal: bool) -> bool {
        match self {
            Self::Auto => !to_terminal,
            Self::Json => true,
            Self::Text => false,
        }
    }
}
