//! The arguments of the commands that look into the dead-letter queue. Their comments are the help texts.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use time::OffsetDateTime;

use super::{ConfigFile, audit::time};
use crate::{command::dlq::MOVED, failure::Reason};

/// Arguments of `dlq`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "flattened, and a subcommand")]
pub struct DlqArgs {
    #[command(flatten)]
    pub file: ConfigFile,
    /// The dead-letter queue [default: dead_letter.queue_url]
    #[arg(long, value_name = "URL", global = true)]
    pub queue_url: Option<String>,
    /// Letters that were looked at are hidden for so long, and again while the command runs: others see them no later than
    /// this after its end, however it ends
    #[arg(long, value_name = "SECONDS", default_value_t = 120, global = true, value_parser = clap::value_parser!(u64).range(5..=43_200))]
    pub hide_for: u64,
    /// Hold so many letters at a time at most; SQS shows no more than 120,000 before some are given back
    #[arg(long, value_name = "N", default_value_t = 10_000, global = true, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub look_at: u32,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub question: DlqQuestion,
}

/// What to do with letters.
#[derive(Clone, Debug, Subcommand)]
pub enum DlqQuestion {
    /// List letters, one line each
    ///
    /// Example: tributary dlq ls --reason no_route --limit 20
    Ls(ListArgs),
    /// Print one letter: its event, what is wrong with it, and what would cure it
    ///
    /// An event that is packed or kept elsewhere is opened.
    ///
    /// Example: tributary dlq show d44c481f-edb8-4aa6-91a3-5679baa2871f
    ///
    /// Example: tributary dlq show d44c481f-edb8-4aa6-91a3-5679baa2871f --original > event.json
    Show(ShowArgs),
    /// Count letters by reason, destination, source, age and receive count
    ///
    /// Example: tributary dlq stats --since 2026-01-31T00:00:00Z
    Stats(WhichArgs),
    /// Send letters back to the source queue, once their cause is cured
    ///
    /// Each is sent as it is, is deleted once SQS has confirmed it, and goes the way of every message; the ledger lets it
    /// pass and recognises it if it is sent twice. Letters that came after the command began are left. Stopped or killed, the
    /// same command goes on where it was.
    ///
    /// Example: tributary dlq redrive --reason no_route --dry-run
    ///
    /// Example: tributary dlq redrive --reason no_route --rate 20
    Redrive(RedriveArgs),
    /// Write letters to a file as NDJSON, and delete nothing
    ///
    /// Example: tributary dlq export --to letters.ndjson
    Export(ExportArgs),
    /// Export letters, and delete those that are safely in the file
    ///
    /// Asks before it does so.
    ///
    /// Example: tributary dlq purge --reason no_events --to no-events.ndjson
    Purge(PurgeArgs),
}

/// Which letters. Several options of one kind mean any of them; options of several kinds mean all.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which letters")]
pub struct WhichArgs {
    /// Only with this reason; "moved_by_queue" is what the source queue's own redrive policy moved. Repeat for several
    #[arg(long, value_name = "CODE", value_parser = reason)]
    pub reason: Vec<String>,
    /// Only those on their way to this destination; "none" is those that never got that far. Repeat for several
    #[arg(long, value_name = "NAME")]
    pub destination: Vec<String>,
    /// Only from the queue or stream of this name. Repeat for several
    #[arg(long, value_name = "NAME")]
    pub source: Vec<String>,
    /// Only those that were written at this time or later
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<OffsetDateTime>,
    /// Only those that were written before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<OffsetDateTime>,
    /// Only this event, or the letter with this message id. Repeat for several
    #[arg(long, value_name = "ID")]
    pub event_id: Vec<String>,
}

/// Arguments of `dlq ls`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "flattened")]
pub struct ListArgs {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub limit: u64,
    #[command(flatten)]
    pub which: WhichArgs,
}

/// Arguments of `dlq show`.
#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// The event's id, or the message id of the letter
    #[arg(value_name = "ID")]
    pub id: String,
    /// Print the event's own bytes and nothing else
    #[arg(long, conflicts_with = "json")]
    pub original: bool,
}

/// Arguments of `dlq redrive`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "flattened")]
pub struct RedriveArgs {
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// At most so many letters a second
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub rate: u32,
    /// Send them to this queue, wherever they came from [default: those from source.queue_url, back to it]
    #[arg(long, value_name = "URL")]
    pub to_queue: Option<String>,
    /// Tell what would be sent, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub which: WhichArgs,
}

/// Arguments of `dlq export`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "flattened")]
pub struct ExportArgs {
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// A file that is not there yet. It holds what producers sent, and only you may read it
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    #[command(flatten)]
    pub which: WhichArgs,
}

/// Arguments of `dlq purge`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "flattened")]
pub struct PurgeArgs {
    /// At most so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// The file to export to, which is not there yet [default: dead-letters-<time>.ndjson]
    #[arg(long, value_name = "FILE", conflicts_with = "no_export")]
    pub to: Option<PathBuf>,
    /// Keep nothing of what is deleted
    #[arg(long)]
    pub no_export: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    pub which: WhichArgs,
}

fn reason(text: &str) -> Result<String, String> {
    if text == MOVED || Reason::of_code(text).is_some() {
        return Ok(text.to_owned());
    }
    Err(format!("is no reason; docs/dead-letters.md lists them, and there is {MOVED:?}"))
}
