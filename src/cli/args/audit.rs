//! The arguments of the commands that answer an auditor: receipts, and the publish log.

use clap::{Args, Subcommand};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::ConfigFile;
use crate::{
    config::{
        ChannelArn, Storage,
        kinds::{Kind as _, Place},
    },
    publish_log::LineHash,
    reconcile::cloudtrail::EventDataStore,
};

/// Arguments of `trace`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "flattened")]
pub struct TraceArgs {
    /// The event's id as its producer wrote it (eventID or UID); for what has none, its message id, # and its place
    #[arg(value_name = "ID")]
    pub id: String,
    #[command(flatten)]
    pub file: ConfigFile,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ledger`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "flattened, and a subcommand")]
pub struct LedgerArgs {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub question: LedgerQuestion,
}

/// What to ask the ledger, or to do to it.
#[derive(Clone, Debug, Subcommand)]
pub enum LedgerQuestion {
    /// Print what is known of one id
    ///
    /// Example: tributary ledger get d44c481f-edb8-4aa6-91a3-5679baa2871f
    Get {
        /// The event's id
        #[arg(value_name = "ID")]
        id: String,
        /// Of which destination; needed where there are several
        #[arg(long, value_name = "NAME")]
        destination: Option<String>,
    },
    /// Forget one id, so that it is published again when it comes again
    ///
    /// Asks before it does so, and logs who did it and why.
    ///
    /// Example: tributary ledger forget d44c481f-edb8-4aa6-91a3-5679baa2871f --reason 'CHG-1234'
    Forget(ForgetArgs),
    /// Print what the ledger says of itself, and what is wrong with that
    ///
    /// Example: tributary ledger stats
    Stats,
}

/// Arguments of `ledger forget`.
#[derive(Clone, Debug, Args)]
pub struct ForgetArgs {
    /// The event's id
    #[arg(value_name = "ID")]
    pub id: String,
    /// Of which destination; needed where there are several
    #[arg(long, value_name = "NAME")]
    pub destination: Option<String>,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Even while a worker is at work on it
    #[arg(long)]
    pub in_progress: bool,
}

/// Arguments of `verify`.
#[derive(Clone, Debug, Args)]
pub struct VerifyArgs {
    /// Where the log is: the folder or s3://bucket/prefix of publish_log.to
    #[arg(value_name = "PLACE", value_parser = place)]
    pub place: Storage,
    /// Only this chain: the name of one of the folders there
    #[arg(long, value_name = "NAME", value_parser = chain_name)]
    pub chain: Option<String>,
    /// A hash that must be the head of a segment: what a worker logged, or what was noted down. Repeat for several
    #[arg(long, value_name = "HASH")]
    pub head: Vec<LineHash>,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `reconcile`.
#[derive(Clone, Debug, Args)]
pub struct ReconcileArgs {
    /// Where the log is: the folder or s3://bucket/prefix of publish_log.to
    #[arg(long, value_name = "PLACE", value_parser = place)]
    pub log: Storage,
    /// Compare what was accepted at this time or later
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: OffsetDateTime,
    /// Compare what was accepted before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub to: OffsetDateTime,
    /// The local lake to compare with
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9325", env = "TRIBUTARY_LAKE_URL")]
    pub lake: String,
    /// The event data store of CloudTrail Lake to compare with, in place of a local lake
    #[arg(long, value_name = "ARN", value_parser = event_data_store)]
    pub event_data_store: Option<EventDataStore>,
    /// Only records of this destination, by its name in the configuration
    #[arg(long, value_name = "NAME")]
    pub destination: Option<String>,
    /// Only rows that came through this channel
    #[arg(long, value_name = "ARN", value_parser = channel_arn)]
    pub channel_arn: Option<ChannelArn>,
    /// Name at most this many UIDs of each kind; all are counted
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(..=1_000_000))]
    pub limit: u32,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

fn place(text: &str) -> Result<Storage, String> {
    Place.parse(text).map_err(|wrong| format!("{}; {}", wrong.what, wrong.cure))
}

fn chain_name(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let is_name = !text.is_empty() && text.chars().all(is_plain);
    if is_name { Ok(text.to_owned()) } else { Err("a chain's name is letters, digits, - and _".into()) }
}

pub(super) fn time(text: &str) -> Result<OffsetDateTime, String> {
    let wrong = "is no RFC 3339 time with a zone, such as 2026-01-31T23:59:59Z";
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong.to_owned())
}

fn event_data_store(text: &str) -> Result<EventDataStore, String> {
    EventDataStore::parse(text)
}

fn channel_arn(text: &str) -> Result<ChannelArn, String> {
    ChannelArn::parse(text).map_err(|wrong| wrong.to_string())
}
