//! The arguments of the commands that look into a stream's leases. Their comments are the help texts.

use std::time::SystemTime;

use clap::{Args, Subcommand};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::ConfigFile;
use crate::receive::kinesis::position::{Position, SequenceNumber};

/// How the names of all shards begin.
const SHARD_START: &str = "shardId-";

/// Arguments of `leases`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "flattened, and a subcommand")]
pub struct LeasesArgs {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Look twice, stream.failover_time apart, and tell which holders are dead
    #[arg(long)]
    pub alive: bool,
    /// Tell how far each shard is behind. Takes one of the five reads a second that all readers of a shard share
    #[arg(long)]
    pub lag: bool,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub question: Option<LeasesQuestion>,
}

/// What to do with leases; without any, they are listed.
#[derive(Clone, Debug, Subcommand)]
pub enum LeasesQuestion {
    /// Ask the holder of a shard to leave, and wait until it has
    ///
    /// The holder finishes what it has begun, writes its checkpoint and leaves. Any worker may take the shard then, also
    /// the same one.
    ///
    /// Example: tributary leases release shardId-000000000003
    Release {
        /// The shard
        #[arg(value_name = "SHARD", value_parser = shard)]
        shard: String,
        /// Take it away at once, for a holder that does not react: what it has begun is read again
        #[arg(long)]
        force: bool,
    },
    /// Ask the holder of a shard to leave it to another worker, and wait until it has
    ///
    /// Workers go on to share the shards out evenly: one that has more than its share is asked for one again.
    ///
    /// Example: tributary leases move shardId-000000000003 --to worker-2/1a2b3c4d
    Move {
        /// The shard
        #[arg(value_name = "SHARD", value_parser = shard)]
        shard: String,
        /// The worker, as the list names it
        #[arg(long, value_name = "WORKER")]
        to: String,
    },
}

/// Arguments of `checkpoint`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "flattened, and a subcommand")]
pub struct CheckpointArgs {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub question: CheckpointQuestion,
}

/// What to do with checkpoints.
#[derive(Clone, Debug, Subcommand)]
pub enum CheckpointQuestion {
    /// Print how far each shard is done, or one of them
    ///
    /// Example: tributary checkpoint show shardId-000000000003
    Show {
        /// The shard; otherwise all
        #[arg(value_name = "SHARD", value_parser = shard)]
        shard: Option<String>,
    },
    /// Say where to go on in a shard, or in all of them
    ///
    /// Whoever reads the shard loses it, and the next one goes on from there. What lies between the old checkpoint and the
    /// new one is skipped, or read again. Shows which, and asks before it does so; logs who did it and why.
    ///
    /// Example: tributary checkpoint set shardId-000000000003 2026-01-02T03:04:05Z --reason 'CHG-1234'
    /// Example: tributary checkpoint set all TRIM_HORIZON --reason 'CHG-1235: the lake was emptied'
    Set(SetArgs),
}

/// Arguments of `checkpoint set`.
#[derive(Clone, Debug, Args)]
pub struct SetArgs {
    /// The shard, or "all"
    #[arg(value_name = "SHARD", value_parser = shard_or_all)]
    pub shard: String,
    /// TRIM_HORIZON for the oldest record there is, LATEST for what comes from now on, an RFC 3339 time for what came since,
    /// or a sequence number after which to go on
    #[arg(value_name = "TRIM_HORIZON|LATEST|TIME|SEQUENCE[.SUB]", value_parser = point)]
    pub to: Point,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
}

/// All shards, in place of one.
pub const ALL: &str = "all";

/// Where to go on in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Point {
    /// With the oldest record.
    TrimHorizon,
    /// With what comes from now on.
    Latest,
    /// With what came at this time or later.
    Since(SystemTime),
    /// After this record, or user record of an aggregate.
    After(Position),
}

fn shard(text: &str) -> Result<String, String> {
    if text.starts_with(SHARD_START) {
        Ok(text.to_owned())
    } else {
        Err(format!("is no shard: their names begin with {SHARD_START}"))
    }
}

fn shard_or_all(text: &str) -> Result<String, String> {
    if text == ALL { Ok(text.to_owned()) } else { shard(text) }
}

fn point(text: &str) -> Result<Point, String> {
    match text.to_ascii_uppercase().as_str() {
        "TRIM_HORIZON" => return Ok(Point::TrimHorizon),
        "LATEST" => return Ok(Point::Latest),
        _ => {}
    }
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        let is_known = time >= OffsetDateTime::UNIX_EPOCH;
        return is_known.then(|| Point::Since(time.into())).ok_or_else(|| "is before 1970".to_owned());
    }
    let (sequence, sub) = text.split_once('.').unwrap_or((text, "0"));
    let position = SequenceNumber::parse(sequence).zip(sub.parse().ok());
    position.map(|(sequence, sub)| Point::After(Position { sequence, sub })).ok_or_else(|| {
        "write TRIM_HORIZON, LATEST, a time with a zone such as 2026-01-31T23:59:59Z, or a sequence number".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_point_is_read_in_each_of_its_forms() {
        let after = |sequence: &str, sub| {
            Point::After(Position { sequence: SequenceNumber::parse(sequence).unwrap(), sub })
        };
        for (text, expected) in [
            ("TRIM_HORIZON", Point::TrimHorizon),
            ("latest", Point::Latest),
            ("1970-01-01T00:01:00Z", Point::Since(SystemTime::UNIX_EPOCH + Duration::from_mins(1))),
            ("1970-01-01T01:01:00+01:00", Point::Since(SystemTime::UNIX_EPOCH + Duration::from_mins(1))),
            ("4711", after("4711", 0)),
            ("4711.12", after("4711", 12)),
        ] {
            assert_eq!(point(text), Ok(expected), "{text}");
        }
        for wrong in
            ["", "SHARD_END", "AT_TIMESTAMP", "2026-01-02", "1969-12-31T23:59:59Z", "007", "1.x", "-1"]
        {
            assert!(point(wrong).is_err(), "{wrong}");
        }
    }
}
