//! `tributary enqueue`: events from files or stdin to a queue or a stream.
//!
//! One thread reads, cuts and packs; up to `--concurrency` calls send. Between them waits a bounded number of
//! batches, so memory does not grow with the files. Every piece is sent, or named on stderr by file and line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::{sync::mpsc, task::JoinSet};

use crate::{
    aws::Failure,
    cli::EnqueueArgs,
    command::{CommandError, Exit},
    decode::GZIP_MAGIC,
    output,
    tasks::joined,
};

pub(super) mod cut;
pub(super) mod pack;
pub(super) mod queue;
pub(super) mod send;
pub(super) mod stream;
pub(super) mod target;

use cut::Cutter;
use pack::{Batch, Limits, Packer};
use send::{NotSent, Sent};
use target::Target;

/// Batches that wait for a call: at most 1 MiB each for a queue, and 10 MiB for a stream.
const WAITING_BATCHES: usize = 8;

/// What became of all files.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Events that were confirmed.
    events: u64,
    /// Messages that were confirmed, or records.
    messages: u64,
    /// Messages that were refused or never confirmed, or records.
    failed_messages: u64,
    /// Pieces of files that no message can carry.
    unsendable: u64,
}

/// Sends all files.
///
/// # Errors
/// Neither a queue nor a stream is named, a file cannot be read, or every call is refused.
pub async fn enqueue(args: EnqueueArgs) -> Result<Exit, CommandError> {
    let target = Target::of(&args).await?;
    let limits = target.limits(args.events_per_message);
    let concurrency = if target.keeps_order() { 1 } else { args.concurrency as usize };
    let progress = progress(&args.files);
    let (batches, mut waiting) = mpsc::channel(WAITING_BATCHES);
    let mut reading = JoinSet::new();
    let (files, bar) = (args.files, progress.clone());
    reading.spawn_blocking(move || read(&files, limits, &batches, &bar));
    let mut summary = Summary::default();
    let sending = send_all(&target, &mut waiting, concurrency, &mut summary, &progress).await;
    // Tells the reader to stop, if sending did.
    drop(waiting);
    let (unsendable, read) = joined(reading.join_next().await).unwrap_or((0, Ok(())));
    summary.unsendable = unsendable;
    progress.finish_and_clear();
    tell(&summary, limits.noun, args.json)?;
    sending.map_err(|failure| CommandError::Failed(refused(&target, failure).into()))?;
    read?;
    Ok(if summary.failed_messages + summary.unsendable == 0 { Exit::Done } else { Exit::Incomplete })
}

/// Reads, cuts and packs every file; counts the pieces that no message can carry. What was read before a file fails
/// is still sent.
fn read(
    files: &[PathBuf],
    limits: Limits,
    batches: &mpsc::Sender<Batch>,
    progress: &ProgressBar,
) -> (u64, Result<(), CommandError>) {
    let (mut packer, mut unsendable) = (Packer::new(limits), 0);
    let mut read = Ok(());
    for file in files {
        read = read_file(file, &mut packer, &mut unsendable, batches, progress);
        if read.is_err() {
            break;
        }
    }
    // When sending has ended early nobody takes them; then that is told.
    packer.finish().into_iter().try_for_each(|batch| batches.blocking_send(batch)).unwrap_or_default();
    (unsendable, read)
}

fn read_file(
    file: &Path,
    packer: &mut Packer,
    unsendable: &mut u64,
    batches: &mpsc::Sender<Batch>,
    progress: &ProgressBar,
) -> Result<(), CommandError> {
    let name = if is_stdin(file) { "stdin".to_owned() } else { file.display().to_string() };
    let input = progress.wrap_read(open(file, &name)?);
    let mut cutter = Cutter::new(input, packer.piece_bytes_max());
    packer.begin_file(&name);
    while let Some(piece) =
        cutter.next_piece().map_err(|source| CommandError::Read { name: name.clone(), source })?
    {
        if let Err(piece) = packer.push(piece) {
            *unsendable += 1;
            let note = format!("not sent: {name}:{}: {}", piece.line, piece.reason);
            progress.suspend(|| output::note(note));
        }
        for batch in packer.take_full() {
            if batches.blocking_send(batch).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn open(path: &Path, name: &str) -> Result<Box<dyn BufRead>, CommandError> {
    let unreadable = |source| CommandError::Read { name: name.to_owned(), source };
    let mut input: Box<dyn BufRead> = if is_stdin(path) {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(path).map_err(unreadable)?))
    };
    if input.fill_buf().map_err(unreadable)?.starts_with(&GZIP_MAGIC) {
        let cure = format!("{name} is compressed; run: gunzip -c {name} | tributary enqueue -");
        return Err(CommandError::Usage(cure));
    }
    Ok(input)
}

/// Sends until there is no more, or until it is clear that no call will succeed.
async fn send_all(
    target: &Target,
    waiting: &mut mpsc::Receiver<Batch>,
    concurrency: usize,
    summary: &mut Summary,
    progress: &ProgressBar,
) -> Result<(), Failure> {
    let mut calls: JoinSet<Sent> = JoinSet::new();
    let mut refused = None;
    while let Some(batch) = waiting.recv().await {
        let target = target.clone();
        calls.spawn(async move { send::send(&target, batch, send::intervals()).await });
        if calls.len() >= concurrency
            && let Some(sent) = joined(calls.join_next().await)
        {
            refused = count(sent, summary, progress);
        }
        if refused.is_some() {
            break;
        }
    }
    while let Some(sent) = joined(calls.join_next().await) {
        refused = count(sent, summary, progress).or(refused);
    }
    refused.map_or(Ok(()), Err)
}

fn count(sent: Sent, summary: &mut Summary, progress: &ProgressBar) -> Option<Failure> {
    summary.events += sent.events;
    summary.messages += sent.messages;
    summary.failed_messages += sent.failed.len() as u64;
    for NotSent { message, code, .. } in sent.failed {
        let note = format!("not sent: {}:{}: {code}", message.file, message.line);
        progress.suspend(|| output::note(note));
    }
    progress.set_message(format!("{} events sent", summary.events));
    sent.refused
}

/// By bytes where all sizes are known. Nothing is drawn unless stderr is a terminal.
fn progress(files: &[PathBuf]) -> ProgressBar {
    let size = |file: &PathBuf| {
        std::fs::metadata(file).ok().filter(std::fs::Metadata::is_file).map(|file| file.len())
    };
    let (bar, template) = match files.iter().map(size).sum::<Option<u64>>() {
        Some(bytes) => (ProgressBar::new(bytes), "{wide_bar} {bytes}/{total_bytes}  {msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} read  {msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn tell(summary: &Summary, noun: &str, json: bool) -> Result<(), CommandError> {
    if json {
        return Ok(output::print_json(summary)?);
    }
    let Summary { events, messages, failed_messages, unsendable } = summary;
    output::print(format_args!("sent {events} events in {messages} {noun}s"))?;
    if failed_messages + unsendable > 0 {
        output::print(format_args!(
            "not sent: {failed_messages} {noun}s that were not taken, {unsendable} pieces that no {noun} can carry"
        ))?;
    }
    Ok(())
}

fn refused(target: &Target, failure: Failure) -> String {
    let trouble = target.trouble(failure);
    format!(
        "the {target} takes nothing: {trouble}; when that is cured send the files again: what was sent before comes out \
         as duplicates"
    )
}
