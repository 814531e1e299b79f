//! The arguments of `enqueue`.

use std::path::PathBuf;

use clap::Args;

use super::ConfigFile;
use crate::limits;

/// Arguments of `enqueue`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "flattened")]
pub struct EnqueueArgs {
    /// Files to send, - for stdin
    #[arg(value_name = "FILE", default_value = "-")]
    pub files: Vec<PathBuf>,
    /// The queue; otherwise source.queue_url of the configuration
    #[arg(long, value_name = "URL")]
    pub queue_url: Option<String>,
    /// A Kinesis stream instead, by name or ARN; otherwise stream.arn of the configuration, if that is what it names
    #[arg(long, value_name = "NAME", conflicts_with = "queue_url")]
    pub stream: Option<String>,
    #[command(flatten)]
    pub file: ConfigFile,
    /// How many events go into one message, as lines. More is cheaper; one lets each event succeed, fail and be
    /// retried by itself, and is all that a record of a stream carries
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub events_per_message: u32,
    /// How many SendMessageBatch or PutRecords calls may be in flight
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub concurrency: u32,
    /// Message group for a FIFO queue; messages of one group keep their order
    #[arg(long, value_name = "ID", default_value = "tributary-enqueue")]
    pub group: String,
    /// Partition key of every record, which leads all of them to one shard; otherwise each has a random one
    #[arg(long, value_name = "TEXT", value_parser = partition_key)]
    pub partition_key: Option<String>,
    /// Print the summary as JSON
    #[arg(long)]
    pub json: bool,
}

fn partition_key(text: &str) -> Result<String, String> {
    let most = limits::PARTITION_KEY_CHARS_MAX;
    if (1..=most).contains(&text.chars().count()) {
        Ok(text.to_owned())
    } else {
        Err(format!("a partition key has 1 to {most} characters"))
    }
}
