//! `tributary reconcile`: a publish log against a lake.

use hashbrown::HashSet;
use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::{run::Signals, verify::archive};
use crate::{
    aws::Aws,
    cli::ReconcileArgs,
    command::{CommandError, Exit},
    local::LakeClient,
    output,
    publish_log::{Archive, Record, verify::verify},
    reconcile::{Comparison, Listed, Outcome, Rows, TooMany, Window, cloudtrail::LakeRows, local::LocalRows},
};

/// CloudTrail Lake shows events "within an average of about 5 minutes", which is not guaranteed.
const SHOWN_AFTER: Duration = Duration::minutes(15);

/// Compares and prints what came out. [`Exit::Incomplete`] when something is missing or doubled, when the log is not
/// intact, or when it has nothing to compare.
///
/// # Errors
/// The log or the lake cannot be read, or the window makes no sense.
pub async fn reconcile(args: ReconcileArgs) -> Result<Exit, CommandError> {
    if args.from >= args.to {
        return Err(CommandError::Usage("--from must be before --to".to_owned()));
    }
    if args.event_data_store.is_some() && args.to + SHOWN_AFTER > OffsetDateTime::now_utc() {
        output::note(
            "the window ends less than 15 minutes ago: CloudTrail Lake may not show its last events yet",
        );
    }
    let mut signals = Signals::new().map_err(CommandError::failed)?;
    let mut asked = None;
    let compared = tokio::select! {
        compared = compare(&args, &mut asked) => compared,
        () = signals.next() => Err(CommandError::Failed("interrupted before everything was compared".into())),
    };
    let (outcome, log) = match compared {
        Ok(compared) => compared,
        Err(error) => {
            // A query costs by what it reads, whether or not anybody waits for it.
            if let Some(rows) = &mut asked {
                rows.cancel().await;
            }
            return Err(error);
        }
    };
    print(&outcome, &log, args.json)?;
    let is_good = outcome.missing.count == 0 && outcome.doubled.count == 0 && log.flaws.is_empty();
    Ok(if is_good && outcome.records > 0 { Exit::Done } else { Exit::Incomplete })
}

/// All three passes. The lake that is asked is left in `asked`, so that it can be told to stop.
async fn compare(
    args: &ReconcileArgs,
    asked: &mut Option<Box<dyn Rows>>,
) -> Result<(Outcome, Log), CommandError> {
    let archive = archive(&args.log).await;
    let window = Window { from: args.from, to: args.to, destination: args.destination.clone() };
    let mut comparison = Comparison::new(window, usize::try_from(args.limit).unwrap_or(usize::MAX));

    let mut went_well = Ok(());
    let log = each_record(&archive, |record| {
        if went_well.is_ok() {
            went_well = comparison.record(record);
        }
    })
    .await?;
    went_well?;
    let rows = asked.insert(rows(args, &comparison).await?);
    while let Some(page) = rows.next().await.map_err(CommandError::failed)? {
        page.iter().try_for_each(|row| comparison.row(row))?;
    }
    each_record(&archive, |record| comparison.look_for(record)).await?;
    Ok((comparison.finish(), log))
}

/// What was found out about the log while it was read.
#[derive(Default)]
struct Log {
    chains: u64,
    flaws: Vec<String>,
}

/// Reads the whole log, checking it; what follows a flaw is not handed over.
async fn each_record(archive: &Archive, mut on_record: impl FnMut(&Record)) -> Result<Log, CommandError> {
    let mut log = Log::default();
    for chain in archive.chains().await? {
        let report = verify(archive, &chain, &mut HashSet::new(), &mut on_record).await?;
        log.chains += 1;
        log.flaws.extend(report.flaw.map(|flaw| format!("{chain}, {flaw}")));
    }
    Ok(log)
}

async fn rows(args: &ReconcileArgs, comparison: &Comparison) -> Result<Box<dyn Rows>, CommandError> {
    let channel = args.channel_arn.as_ref();
    let Some(store) = &args.event_data_store else {
        let lake = LakeClient::new(&args.lake)?;
        return Ok(Box::new(LocalRows::new(lake, channel.map(|channel| channel.arn.clone()))));
    };
    let aws = Aws::from_environment().await;
    Ok(Box::new(LakeRows::new(&aws, store, comparison.event_times(), channel)))
}

fn print(outcome: &Outcome, log: &Log, as_json: bool) -> Result<(), CommandError> {
    let Log { chains, flaws } = log;
    if *chains == 0 {
        output::note(
            "there is no publish log here: nothing was compared; each chain is a folder of segments",
        );
    } else if outcome.records == 0 {
        output::note(
            "no record of the log is in the window: nothing was compared; check --from, --to and --destination",
        );
    }
    if as_json {
        let mut answer = json!(outcome);
        answer["chains"] = (*chains).into();
        answer["log_intact"] = flaws.is_empty().into();
        answer["log_flaws"] = flaws.as_slice().into();
        return Ok(output::print_json(&answer)?);
    }
    for flaw in flaws {
        output::note(format_args!("the log is not intact, what follows was not compared: {flaw}"));
    }
    let Outcome { records, uids, rows, missing, doubled, unlogged } = outcome;
    let mut lines = vec![
        format!("{records:>12} records in the window"),
        format!("{uids:>12} different UIDs in them"),
        format!("{rows:>12} rows looked at in the lake"),
    ];
    let kinds = [
        (missing, "missing", "logged, and not in the lake"),
        (doubled, "doubled", "in the lake more than once"),
        (unlogged, "unlogged", "in the lake, and not in the log"),
    ];
    lines.extend(kinds.iter().map(|(listed, kind, what)| format!("{:>12} {kind}: {what}", listed.count)));
    lines.extend(kinds.iter().flat_map(|(listed, kind, _)| named(listed, kind)));
    Ok(output::print(lines.join("\n"))?)
}

/// One UID a line; without control characters, by which stored text could steer the terminal.
fn named(listed: &Listed, kind: &str) -> Vec<String> {
    let uids = listed.uids.iter().map(|uid| output::visible(uid));
    let mut lines: Vec<_> = uids.map(|uid| format!("{kind} {uid}")).collect();
    let more = listed.count - listed.uids.len() as u64;
    if more > 0 {
        lines.push(format!("{kind} and {more} more; raise --limit to see them"));
    }
    lines
}

impl From<TooMany> for CommandError {
    fn from(error: TooMany) -> Self {
        Self::Usage(error.to_string())
    }
}
