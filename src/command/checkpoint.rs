//! `tributary checkpoint`: how far the shards are done, and where to go on.

use std::{fmt, time::SystemTime};

use serde_json::json;
use tracing::warn;

use super::{
    CommandError, Exit,
    operator::{is_confirmed, operator},
    stream::{Asked, in_words, name_of, set},
};
use crate::{
    cli::{ALL, CheckpointArgs, CheckpointQuestion, Point, SetArgs},
    clock::{epoch_ms, rfc3339},
    output::{self, visible},
    receive::kinesis::{lease::Lease, position::Checkpoint},
};

/// Shards that are shown before a question; the others are counted.
const SHOWN_MAX: usize = 20;

/// What becomes of the records between two checkpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    None,
    Again,
    Skipped,
    /// From a sequence number to a time: only the stream knows which is earlier.
    Either,
}

impl Effect {
    fn of(from: &Checkpoint, to: &Checkpoint) -> Self {
        use Checkpoint::{At, AtTimestamp, ShardEnd, TrimHorizon};
        let ordered = |is_later: bool| if is_later { Self::Skipped } else { Self::Again };
        match (from, to) {
            _ if from == to => Self::None,
            (ShardEnd, _) | (_, TrimHorizon) => Self::Again,
            (TrimHorizon, _) => Self::Skipped,
            (At(from), At(to)) => ordered(to > from),
            (AtTimestamp(Some(from)), AtTimestamp(Some(to))) => ordered(to > from),
            _ => Self::Either,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "nothing changes",
            Self::Again => "what lies between is read AGAIN",
            Self::Skipped => "what lies between is SKIPPED",
            Self::Either => "what lies between is SKIPPED, or read AGAIN",
        })
    }
}

/// Shows checkpoints, or sets them.
///
/// # Errors
/// The table or the stream cannot be asked, or there is no such shard or place.
pub async fn checkpoint(args: CheckpointArgs) -> Result<Exit, CommandError> {
    let asked = Asked::open(args.file.config.as_deref()).await?;
    match args.question {
        CheckpointQuestion::Show { shard } => show(&asked, shard.as_deref(), args.json).await,
        CheckpointQuestion::Set(setting) => set_all(&asked, setting, args.json).await,
    }
}

async fn chosen(asked: &Asked, shard: Option<&str>) -> Result<Vec<Lease>, CommandError> {
    match shard {
        Some(shard) => Ok(vec![asked.find(shard).await?]),
        None => Ok(asked.leases().await?.into_values().collect()),
    }
}

async fn show(asked: &Asked, shard: Option<&str>, json: bool) -> Result<Exit, CommandError> {
    let leases = chosen(asked, shard).await?;
    if json {
        let told = leases.iter().map(|lease| {
            json!({
                "shard": &*lease.shard, "checkpoint": in_words(&lease.checkpoint),
                "holder": lease.holder().map(|it| &**it),
                "counter": lease.counter,
            })
        });
        output::print_json(&told.collect::<Vec<_>>())?;
    } else {
        for lease in &leases {
            output::print(format_args!("{}  {}", lease.shard, in_words(&lease.checkpoint)))?;
        }
    }
    Ok(if leases.is_empty() { Exit::Incomplete } else { Exit::Done })
}

async fn set_all(asked: &Asked, args: SetArgs, json: bool) -> Result<Exit, CommandError> {
    let is_all = args.shard == ALL;
    let to = wanted(&args.to, is_all)?;
    let found = chosen(asked, (!is_all).then_some(args.shard.as_str())).await?;
    let mut leases = Vec::new();
    for lease in found {
        match asked.operator.find_place(&lease.shard, &to).await {
            Ok(()) => leases.push(lease),
            // Of a shard that has expired there is nothing to be read again.
            Err(error) if is_all && error.code() == "ResourceNotFoundException" && lease.is_ended() => {}
            Err(error) => return Err(CommandError::failed(error)),
        }
    }
    if leases.is_empty() {
        output::note("the table has no leases: nothing to set");
        return Ok(Exit::Incomplete);
    }
    output::note(plan(&leases, &to));
    if !args.yes && !is_confirmed("Set the checkpoints? Whoever reads these shards loses them.")? {
        output::note("nothing was set");
        return Ok(Exit::Incomplete);
    }
    // Parents come first, as their names do: a child is not begun anew before them.
    let (mut told, mut exit) = (Vec::new(), Exit::Done);
    for shown in &leases {
        let from = match set_one(asked, shown, &to, &args.reason).await {
            Ok(from) => from,
            Err(error) if told.is_empty() => return Err(error),
            // What has been set is told, whatever becomes of the rest.
            Err(error) => {
                output::note(format_args!(
                    "{}: {error}; this shard and those after it were not set",
                    shown.shard
                ));
                exit = Exit::Incomplete;
                break;
            }
        };
        let (shard, to) = (&shown.shard, in_words(&to));
        if !json {
            output::print(format_args!("{shard}: set from {from} to {to}"))?;
        }
        told.push(json!({"shard": &**shard, "from": from, "to": to}));
    }
    if json {
        output::print_json(&told)?;
    }
    Ok(exit)
}

/// The checkpoint that is to be written.
fn wanted(to: &Point, is_all: bool) -> Result<Checkpoint, CommandError> {
    let now = SystemTime::now();
    match to {
        Point::TrimHorizon => Ok(Checkpoint::TrimHorizon),
        // What comes between this and the next worker's first read is not to be skipped.
        Point::Latest => Ok(Checkpoint::AtTimestamp(Some(epoch_ms(now)))),
        Point::Since(time) if *time > now => {
            Err(CommandError::Usage(format!("{} has not come yet", rfc3339(*time))))
        }
        Point::Since(time) => Ok(Checkpoint::AtTimestamp(Some(epoch_ms(*time)))),
        Point::After(_) if is_all => Err(CommandError::Usage(
            "a sequence number is a place in one shard: name the shard, or give a time for all".to_owned(),
        )),
        Point::After(position) => Ok(Checkpoint::At(position.clone())),
    }
}

fn plan(leases: &[Lease], to: &Checkpoint) -> String {
    let line = |lease: &Lease| {
        format!(
            "{}, held by {}\n  from  {}\n  to    {}\n  {}",
            lease.shard,
            visible(name_of(lease.holder().map(|it| &**it))),
            in_words(&lease.checkpoint),
            in_words(to),
            Effect::of(&lease.checkpoint, to)
        )
    };
    let mut lines: Vec<_> = leases.iter().take(SHOWN_MAX).map(line).collect();
    let more = leases.len().saturating_sub(SHOWN_MAX);
    if more > 0 {
        lines.push(format!("and {more} more shards"));
    }
    let known = "What is read again is recognised by the ledger within dedupe.window, if workers share one, and otherwise \
                 published again under the same UID. What is skipped is never published.";
    lines.push(known.to_owned());
    lines.join("\n")
}

/// The holder goes on while somebody thinks, so the checkpoint may have moved; what becomes of the records may not.
async fn set_one(asked: &Asked, shown: &Lease, to: &Checkpoint, why: &str) -> Result<String, CommandError> {
    let agreed = Effect::of(&shown.checkpoint, to);
    let before = asked.find(&shown.shard).await?;
    let wish = |lease: &Lease| {
        if Effect::of(&lease.checkpoint, to) == agreed {
            return Ok(set(lease, to.clone()));
        }
        Err(CommandError::Usage(format!(
            "{} has come to {} meanwhile, and {}: look again",
            lease.shard,
            in_words(&lease.checkpoint),
            Effect::of(&lease.checkpoint, to)
        )))
    };
    asked.change(&shown.shard, wish).await?;
    let (who, from, to) = (operator(), in_words(&before.checkpoint), in_words(to));
    warn!(who, why, shard = %shown.shard, from, to, "set a checkpoint");
    Ok(from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::kinesis::position::{Position, SequenceNumber};

    #[test]
    fn what_becomes_of_the_records_between_two_checkpoints_is_told() {
        let at = |sequence: &str, sub| {
            Checkpoint::At(Position { sequence: SequenceNumber::parse(sequence).unwrap(), sub })
        };
        let time = |ms| Checkpoint::AtTimestamp(Some(ms));
        for (from, to, effect) in [
            (at("9", 0), at("10", 0), Effect::Skipped),
            (at("10", 0), at("9", 0), Effect::Again),
            (at("10", 2), at("10", 1), Effect::Again),
            (at("10", 2), at("10", 2), Effect::None),
            (at("10", 0), Checkpoint::TrimHorizon, Effect::Again),
            (Checkpoint::TrimHorizon, at("1", 0), Effect::Skipped),
            (Checkpoint::TrimHorizon, time(5), Effect::Skipped),
            (Checkpoint::TrimHorizon, Checkpoint::TrimHorizon, Effect::None),
            (Checkpoint::ShardEnd, time(5), Effect::Again),
            (time(4), time(5), Effect::Skipped),
            (time(6), time(5), Effect::Again),
            (Checkpoint::AtTimestamp(None), time(5), Effect::Either),
            (Checkpoint::Latest, time(5), Effect::Either),
            (at("10", 0), time(5), Effect::Either),
            (time(5), at("10", 0), Effect::Either),
        ] {
            assert_eq!(Effect::of(&from, &to), effect, "{from} to {to}");
        }
    }

    #[test]
    fn latest_is_the_time_at_which_it_was_said() {
        let Ok(Checkpoint::AtTimestamp(Some(ms))) = wanted(&Point::Latest, true) else { panic!("a time") };
        assert!(epoch_ms(SystemTime::now()).abs_diff(ms) < 60_000);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let tomorrow = SystemTime::now() + std::time::Duration::from_hours(24);
        assert!(wanted(&Point::Since(tomorrow), false).is_err());
        let position = Position { sequence: SequenceNumber::parse("1").unwrap(), sub: 0 };
        assert!(wanted(&Point::After(position.clone()), true).is_err());
        assert!(wanted(&Point::After(position), false).is_ok());
    }
}
