//! The arguments of each command. Their comments are the help texts.
#![expect(clippy::doc_markdown, reason = "these comments are printed as help, where backticks would show")]

mod audit;
mod backfill;
mod dlq;
mod enqueue;
mod formats;
mod stream;

pub use audit::{ForgetArgs, LedgerArgs, LedgerQuestion, ReconcileArgs, TraceArgs, VerifyArgs};
pub use backfill::{BackfillArgs, History};
pub use dlq::{DlqArgs, DlqQuestion, ExportArgs, ListArgs, PurgeArgs, RedriveArgs, ShowArgs, WhichArgs};
pub use enqueue::EnqueueArgs;
pub use formats::{FormatsArgs, FormatsFolder, FormatsQuestion};
pub use stream::{ALL, CheckpointArgs, CheckpointQuestion, LeasesArgs, LeasesQuestion, Point, SetArgs};

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use crate::config::Oversize;

/// The configuration file; everything can be given by environment alone.
#[derive(Clone, Debug, Default, Args)]
pub struct ConfigFile {
    /// TOML file with the configuration; TRIBUTARY_… variables win over it
    #[arg(long, short, value_name = "PATH", env = "TRIBUTARY_CONFIG", global = true)]
    pub config: Option<PathBuf>,
}

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "flattened")]
pub struct RunArgs {
    #[command(flatten)]
    pub file: ConfigFile,
}

/// Arguments of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// How many events to send
    #[arg(long, value_name = "N", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub events: u64,
    /// How many workers share the queue and the ledger
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: u32,
    /// Keep the local queue and lake running afterwards, until Ctrl-C, to look into them
    #[arg(long)]
    pub keep: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// Start of the random numbers, to repeat a run
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
}

/// Arguments of `local`.
#[derive(Clone, Debug, Args)]
pub struct LocalArgs {
    /// Where the queue listens; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9324")]
    pub sqs_listen: SocketAddr,
    /// Where the lake listens; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9325")]
    pub lake_listen: SocketAddr,
    /// Region in the ARNs of queues, and in the variables that are printed
    #[arg(long, value_name = "REGION", default_value = "us-east-1")]
    pub region: String,
    /// Keep queue and lake in this folder across restarts; otherwise they live in memory
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
    /// A channel that exists; repeat for several. Without any, every well-formed channel ARN is taken
    #[arg(long, value_name = "ARN")]
    pub channel_arn: Vec<String>,
    /// The external id that those channels ask for
    #[arg(
        long,
        value_name = "ID",
        requires = "channel_arn",
        env = "TRIBUTARY_LOCAL_EXTERNAL_ID",
        hide_env_values = true
    )]
    pub external_id: Option<String>,
    /// Print the addresses as one line of JSON
    #[arg(long)]
    pub json: bool,
    /// How the lake misbehaves.
    #[command(flatten)]
    pub faults: FaultArgs,
}

/// How the local lake misbehaves. Shares are from 0 (never) to 1 (always).
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Faults of the lake")]
pub struct FaultArgs {
    /// Answer ThrottlingException beyond this many puts a second
    #[arg(long, value_name = "TPS")]
    pub throttle: Option<u32>,
    /// Share of entries reported as failed with --fail-code, and not stored
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub fail_share: f64,
    /// The code of those entries, such as Throttling, InvalidData or AccountNotSubscribed
    #[arg(long, value_name = "CODE", default_value = "InternalFailure")]
    pub fail_code: String,
    /// Answer every put this many milliseconds late
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 0)]
    pub late_ms: u64,
    /// Share of puts that are stored and never answered: the connection is closed
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub drop_reply_share: f64,
    /// Share of puts answered with --error-status, and not stored
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub error_share: f64,
    /// The HTTP status of those puts, 500 to 599
    #[arg(long, value_name = "STATUS", default_value_t = 500)]
    pub error_status: u16,
    /// Share of entries that are stored and not mentioned in the answer
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    pub forget_share: f64,
    /// Refuse every put with this code, such as AccessDeniedException
    #[arg(long, value_name = "CODE")]
    pub refuse: Option<String>,
    /// Close the connection of every put
    #[arg(long)]
    pub down: bool,
    /// Start of the random numbers, to repeat a run
    #[arg(long, value_name = "NUMBER")]
    pub seed: Option<u64>,
}

/// Arguments of `check`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "flattened")]
pub struct CheckArgs {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Print the configuration as it takes effect, with the origin of each value, without secrets
    #[arg(long)]
    pub show: bool,
    /// Print the reference of all keys, and check nothing
    #[arg(long, conflicts_with_all = ["show", "json"])]
    pub print_reference: bool,
    /// Print the findings as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// File with the body of one message, or - for stdin
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Account of the channel: the recipientAccountId of every event [default: that of the destination, or 111122223333]
    #[arg(long, value_name = "ACCOUNT", value_parser = account)]
    pub account: Option<String>,
    /// The format to assume, as `tributary formats` lists it; otherwise it is told as the configuration says, or by
    /// content
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened")]
    pub formats: FormatsFolder,
    /// A message attribute that came with it; repeat for several
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    pub attributes: Vec<(String, String)>,
    /// The message group that it came in
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// What becomes of optional fields that break the schema [default: as at the destination, or move]
    #[arg(long, value_name = "POLICY")]
    pub oversize: Option<OversizeName>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "flattened")]
    pub configuration: ConfigFile,
    /// The destination of the configuration whose route and redaction hold; needed where there are several
    #[arg(long, value_name = "NAME")]
    pub destination: Option<String>,
    /// Print a JSON array with one object for each event
    #[arg(long)]
    pub json: bool,
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn account(text: &str) -> Result<String, String> {
    let is_account = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    if is_account { Ok(text.to_owned()) } else { Err("an AWS account is twelve digits".into()) }
}

/// A policy by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OversizeName {
    /// Keep the original under additionalEventData.tributary.moved
    Move,
    /// Dead-letter the event
    Reject,
}

impl From<OversizeName> for Oversize {
    fn from(name: OversizeName) -> Self {
        match name {
            OversizeName::Move => Self::Move,
            OversizeName::Reject => Self::Reject,
        }
    }
}

/// Arguments of `lake`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "a subcommand")]
pub struct LakeArgs {
    /// Where the lake is
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:9325",
        env = "TRIBUTARY_LAKE_URL",
        global = true
    )]
    pub url: String,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub question: LakeQuestion,
}

/// What to ask the lake.
#[derive(Clone, Debug, Subcommand)]
pub enum LakeQuestion {
    /// List stored events, newest first
    ///
    /// Example: tributary lake list --limit 5 --json
    List {
        /// At most this many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
        limit: u64,
        /// Oldest first
        #[arg(long)]
        oldest: bool,
        /// Only this UID
        #[arg(long, value_name = "UID")]
        uid: Option<String>,
        /// Only this eventSource
        #[arg(long, value_name = "SOURCE")]
        source: Option<String>,
        /// Only this eventName
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Count stored events, and calls by outcome
    ///
    /// Example: tributary lake count --json
    Count,
    /// Print one stored event as JSON
    ///
    /// Example: tributary lake get 1a2b3c4d-0000-0000-0000-000000000000
    Get {
        /// The eventID that the lake gave it
        #[arg(value_name = "EVENT_ID")]
        event_id: uuid::Uuid,
    },
}
