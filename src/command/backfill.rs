//! `tributary backfill`: history to a queue, the way that everything else comes.
//!
//! A reader lists objects ([`bucket`]) or reads files ([`folder`]) and hands over [`Parcel`]s; [`deliver`] sends them,
//! and after each confirmation of SQS the [`checkpoint`] moves on. So the fleet, the ledger and the limits do their
//! work, and a backfill can be stopped or killed at any moment and goes on where it was.

use serde::Serialize;
use time::Date;
use tokio::{sync::mpsc, task::JoinSet};

use super::{
    enqueue::{pack::Batch, queue, target::Target},
    run::Signals,
};
use crate::{
    aws::Aws,
    cli::{BackfillArgs, History},
    command::{CommandError, Exit},
    output,
    tasks::joined,
};

mod bucket;
mod checkpoint;
mod deliver;
mod folder;
mod in_order;
mod summary;
mod walk;
mod wanted;

use bucket::Bucket;
use checkpoint::{Checkpoint, CheckpointFile, Job};
use deliver::{Delivery, Ending};
use folder::Folder;
use summary::Summary;
use wanted::{Days, Skipped};

/// Parcels that wait for a call, at most 1 MiB each.
const WAITING_PARCELS: usize = 8;

/// A batch on its way, and how far the backfill has come once it is confirmed, and everything before it.
#[derive(Debug, Default)]
struct Parcel {
    /// Empty where there is only something to say of the place.
    batch: Batch,
    /// The last key or path that is done then; `None` if the place stays as it was.
    after: Option<String>,
    /// Objects or files that are done then, beyond those of the parcels before.
    objects: u64,
    /// Their bytes, as stored.
    bytes: u64,
}

/// What a reader came across.
#[derive(Debug, Default, Serialize)]
struct Seen {
    /// It came to the end, and everything was taken.
    #[serde(skip)]
    is_all: bool,
    skipped: Skipped,
    /// Objects that have to be restored before a worker can read them. They were sent.
    archived: u64,
    /// Pieces of files that no message can carry.
    unsendable: u64,
}

/// Sends all of it, or what was left by the last run.
///
/// # Errors
/// No queue is named, the checkpoint is another's, the history cannot be read, or SQS refuses every call.
pub async fn backfill(mut args: BackfillArgs) -> Result<Exit, CommandError> {
    if args.since.zip(args.until).is_some_and(|(since, until)| since > until) {
        return Err(CommandError::Usage("--since must not be after --until".to_owned()));
    }
    if let History::Folder(path) = &mut args.history {
        *path = folder::root(path)?;
    }
    if args.dry_run {
        return dry_run(&args).await;
    }
    let queue_url = queue::url(args.queue_url.as_deref(), &args.file)?;
    let text = |day: Option<Date>| day.map(|day| day.to_string());
    let (since, until) = (text(args.since), text(args.until));
    let job = Job { place: args.history.to_string(), queue_url: queue_url.clone(), since, until };
    let file = CheckpointFile::new(&args.checkpoint);
    let checkpoint = file.read(&job)?;
    if checkpoint.is_finished {
        return nothing_left(&args, checkpoint.objects);
    }
    // Before anything is sent it is sure that what is sent can be remembered.
    file.write(&checkpoint)?;
    if let Some(after) = &checkpoint.after {
        let (sent, after) = (checkpoint.objects, output::visible(after));
        output::note(format_args!("{sent} {} were sent before; going on after {after}", noun(&args.history)));
    }
    send(&args, queue_url, file, checkpoint).await
}

/// Reads and sends until all is done or something ends it, and tells what came of it.
async fn send(
    args: &BackfillArgs,
    queue_url: String,
    file: CheckpointFile,
    checkpoint: Checkpoint,
) -> Result<Exit, CommandError> {
    let mut signals = Signals::new().map_err(CommandError::failed)?;
    let (parcels, mut waiting) = mpsc::channel(WAITING_PARCELS);
    let mut reading = read(args, checkpoint.after.clone(), parcels).await;
    let target = Target::Queue(queue::target(queue_url, &args.group).await);
    let mut delivery =
        Delivery::new(target, args.concurrency as usize, file, checkpoint, noun(&args.history));
    let ending = delivery.run(&mut waiting, async || signals.next().await).await;
    // Tells the reader to stop, if sending did. One that waits for S3 need not be waited for.
    drop(waiting);
    if !matches!(ending, Ok(Ending::All)) && matches!(args.history, History::Bucket { .. }) {
        reading.abort_all();
    }
    let read = joined(reading.join_next().await).unwrap_or_else(|| Ok(Seen::default()));
    let (seen, read) = match read {
        Ok(seen) => (seen, Ok(())),
        Err(error) => (Seen::default(), Err(error)),
    };
    let is_found = delivery.checkpoint.objects + seen.skipped.all() + seen.unsendable > 0;
    let is_finished = matches!(ending, Ok(Ending::All)) && seen.is_all && is_found;
    if is_finished {
        delivery.finish().await?;
    }
    let summary = Summary::new(args, &delivery, seen, is_finished);
    summary.print(args.json)?;
    let ending = ending?;
    read.inspect_err(|_| go_on(&delivery))?;
    end(ending, &summary, &delivery, is_found)
}

/// How it came out, after it was told how much.
fn end(ending: Ending, summary: &Summary, delivery: &Delivery, is_found: bool) -> Result<Exit, CommandError> {
    match ending {
        Ending::All if !is_found => {
            output::note(format_args!("there is nothing at {}: check it", summary.place));
            Ok(Exit::Incomplete)
        }
        Ending::All if summary.is_complete() => Ok(Exit::Done),
        Ending::All => Ok(Exit::Incomplete),
        Ending::Interrupted | Ending::GaveUp => {
            go_on(delivery);
            Ok(Exit::Incomplete)
        }
        Ending::Refused(failure) => {
            go_on(delivery);
            let target = &delivery.target;
            let trouble = target.trouble(failure);
            Err(CommandError::Failed(format!("the {target} takes nothing: {trouble}").into()))
        }
    }
}

/// Says how the next run goes on.
fn go_on(delivery: &Delivery) {
    let place = match &delivery.checkpoint.after {
        Some(after) => format!("it goes on after {}", output::visible(after)),
        None => "it begins anew".to_owned(),
    };
    output::note(format_args!("not everything was sent; run the same command again: {place}"));
}

/// Starts the reader.
async fn read(
    args: &BackfillArgs,
    after: Option<String>,
    parcels: mpsc::Sender<Parcel>,
) -> JoinSet<Result<Seen, CommandError>> {
    let days = Days { since: args.since, until: args.until };
    let mut reading = JoinSet::new();
    match &args.history {
        History::Bucket { bucket, prefix } => {
            let bucket = Bucket::new(&Aws::from_environment().await, bucket, prefix);
            reading.spawn(async move { bucket.read(after, days, &parcels).await });
        }
        History::Folder(root) => {
            let checkpoint = CheckpointFile::new(&args.checkpoint);
            let events_per_message = args.events_per_message;
            let folder = Folder { root: root.clone(), days, events_per_message, checkpoint };
            reading.spawn_blocking(move || folder.read(after.as_deref(), &parcels));
        }
    }
    reading
}

/// Counts, and sends nothing. The whole history, whatever was sent before.
async fn dry_run(args: &BackfillArgs) -> Result<Exit, CommandError> {
    let (parcels, mut waiting) = mpsc::channel(WAITING_PARCELS);
    let mut reading = read(args, None, parcels).await;
    let mut summary = Summary { place: args.history.to_string(), is_dry_run: true, ..Summary::default() };
    summary.noun = noun(&args.history);
    while let Some(parcel) = waiting.recv().await {
        summary.objects += parcel.objects;
        summary.bytes += parcel.bytes;
        summary.messages += parcel.batch.len() as u64;
    }
    summary.seen = joined(reading.join_next().await).unwrap_or_else(|| Ok(Seen::default()))?;
    summary.print(args.json)?;
    Ok(if summary.seen.unsendable == 0 { Exit::Done } else { Exit::Incomplete })
}

fn nothing_left(args: &BackfillArgs, objects: u64) -> Result<Exit, CommandError> {
    let (file, noun) = (args.checkpoint.display(), noun(&args.history));
    output::note(format_args!(
        "there is nothing left: all {objects} {noun} were sent before; remove {file} to send them again"
    ));
    let place = args.history.to_string();
    Summary { place, noun, is_finished: true, ..Summary::default() }.print(args.json)?;
    Ok(Exit::Done)
}

/// What the pieces of a history are called.
fn noun(history: &History) -> &'static str {
    match history {
        History::Bucket { .. } => "objects",
        History::Folder(_) => "files",
    }
}
