//! The arguments of `backfill`.

use std::{fmt, path::PathBuf};

use clap::Args;
use time::{Date, macros::format_description};

use super::ConfigFile;
use crate::config::{
    Storage,
    kinds::{Kind as _, Place},
};

/// Arguments of `backfill`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "flattened")]
pub struct BackfillArgs {
    /// Where the history is: s3://bucket/prefix, a folder, or a file
    #[arg(value_name = "PLACE", value_parser = history)]
    pub history: History,
    /// The queue; otherwise source.queue_url of the configuration
    #[arg(long, value_name = "URL")]
    pub queue_url: Option<String>,
    #[command(flatten)]
    pub file: ConfigFile,
    /// The first day, in UTC, as the /YYYY/MM/DD/ of a path has it; paths without a day are always sent
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub since: Option<Date>,
    /// The last day
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub until: Option<Date>,
    /// Count what would be sent, and send nothing
    #[arg(long)]
    pub dry_run: bool,
    /// File that remembers how far this backfill has come
    #[arg(long, value_name = "FILE", default_value = "tributary-backfill.checkpoint.json")]
    pub checkpoint: PathBuf,
    /// How many events of a file go into one message, as lines; objects in S3 are named, one to a message
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub events_per_message: u32,
    /// How many SendMessageBatch calls may be in flight
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub concurrency: u32,
    /// Message group for a FIFO queue; messages of one group keep their order
    #[arg(long, value_name = "ID", default_value = "tributary-backfill")]
    pub group: String,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
}

/// Where history is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum History {
    /// Objects in S3.
    Bucket {
        /// The bucket.
        bucket: String,
        /// How their keys begin; may be empty.
        prefix: String,
    },
    /// A folder, or a single file.
    Folder(PathBuf),
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bucket { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Folder(path) => write!(f, "{}", path.display()),
        }
    }
}

fn history(text: &str) -> Result<History, String> {
    match Place.parse(text).map_err(|wrong| format!("{}; {}", wrong.what, wrong.cure))? {
        Storage::Folder(path) => Ok(History::Folder(path)),
        Storage::S3 { bucket, .. } => {
            // As it was written: a slash at its end keeps out AWSLogs-old where AWSLogs is meant.
            let prefix = text.splitn(4, '/').nth(3).unwrap_or_default().to_owned();
            Ok(History::Bucket { bucket, prefix })
        }
    }
}

fn date(text: &str) -> Result<Date, String> {
    Date::parse(text, format_description!("[year]-[month]-[day]"))
        .map_err(|_| "is no date, such as 2026-01-31".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_kept_to_the_letter() {
        let bucket = |prefix: &str| History::Bucket { bucket: "trail".into(), prefix: prefix.into() };
        for (text, expected) in [
            ("s3://trail", bucket("")),
            ("s3://trail/", bucket("")),
            ("s3://trail/AWSLogs/", bucket("AWSLogs/")),
            ("s3://trail/a/b//c", bucket("a/b//c")),
            ("logs/2026", History::Folder("logs/2026".into())),
        ] {
            assert_eq!(history(text), Ok(expected), "{text}");
        }
        for wrong in ["s3://", "s3://UPPER/x", "https://trail/x", ""] {
            assert!(history(wrong).is_err(), "{wrong}");
        }
    }
}
