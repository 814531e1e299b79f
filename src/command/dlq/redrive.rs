//! `tributary dlq redrive`: letters back to the source queue.
//!
//! A letter is sent first. It is deleted once SQS has confirmed this very letter, and not before. Whatever ends the command in
//! between, the letter is on one of the two queues, or on both: then the ledger knows its event.

use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep_until};

use super::{
    letter::DeadLetterMessage,
    progress, queue_url,
    sending::{Sent, SourceQueue},
    stats::{Counts, count},
    tell_unseen,
    walk::Walk,
};
use crate::{
    cli::{DlqArgs, RedriveArgs},
    command::{CommandError, Exit},
    config::{RawConfig, keys, process_environment},
    output::{self, visible},
};

/// Letters between two deletions.
const CHUNK: usize = 10;
/// Refused letters that are named.
const NAMED_MAX: u64 = 20;

/// What came of it.
#[derive(Default, Serialize)]
struct Outcome {
    to: String,
    dry_run: bool,
    /// Confirmed by SQS; of a dry run, those that would be sent.
    redriven: u64,
    by_reason: Counts,
    /// SQS did not take them: they stay.
    refused: u64,
    /// Sent, and still on the dead-letter queue: the ledger will know them.
    not_deleted: u64,
    /// They came after the command began.
    newer: u64,
    /// From another queue than the one that they would be sent to.
    from_elsewhere: u64,
    /// Nothing that was wanted is left, as far as could be seen.
    is_complete: bool,
}

/// One redrive under way.
struct Redrive<'a> {
    args: &'a RedriveArgs,
    source: SourceQueue,
    source_name: String,
    done: Outcome,
    next_at: Instant,
}

pub(super) async fn redrive(
    walk: &mut Walk,
    args: &RedriveArgs,
    all: &DlqArgs,
) -> Result<Exit, CommandError> {
    let url = target(args, all)?;
    if url == walk.queue.url {
        return Err(CommandError::Usage(
            "the letters are on that queue already: give the source queue".to_owned(),
        ));
    }
    let source_name = url.rsplit('/').next().unwrap_or_default().to_owned();
    let done = Outcome { to: url.clone(), dry_run: args.dry_run, ..Outcome::default() };
    let source = SourceQueue::open(url).await;
    let mut redrive = Redrive { args, source, source_name, done, next_at: Instant::now() };
    let ended = redrive.all(walk).await;
    let is_all = redrive.room() == 0 || tell_unseen(walk).await;
    let done = &mut redrive.done;
    done.is_complete = ended.is_ok() && is_all && done.refused + done.not_deleted == 0;
    tell(done, all.json)?;
    ended?;
    Ok(if redrive.done.is_complete { Exit::Done } else { Exit::Incomplete })
}

/// Where letters go. What was read from a stream cannot go back to it: its records carry no attributes, so that nobody could
/// tell a letter from a copy by the producer, which the ledger would call a duplicate of what was dead-lettered.
fn target(args: &RedriveArgs, all: &DlqArgs) -> Result<String, CommandError> {
    let raw = RawConfig::read(all.file.config.as_deref(), process_environment());
    if args.to_queue.is_none()
        && raw.get(&keys::SOURCE_QUEUE_URL).is_none()
        && raw.get(&keys::STREAM_ARN).is_some()
    {
        return Err(CommandError::Usage(
            "the configuration reads a stream, and a record of a stream has no place for what makes a letter one: the \
             ledger would take its event for a copy of what was dead-lettered. Give --to-queue URL with a queue, and let \
             a worker with the same destinations and the same ledger read it (source.queue_url in place of stream.arn)"
                .to_owned(),
        ));
    }
    queue_url(args.to_queue.as_deref(), "--to-queue", &keys::SOURCE_QUEUE_URL, &all.file)
}

impl Redrive<'_> {
    async fn all(&mut self, walk: &mut Walk) -> Result<(), CommandError> {
        let bar = progress();
        while self.room() > 0
            && let Some(letters) = walk.next().await?
        {
            let mut wanted: Vec<_> = letters.into_iter().filter(|letter| self.wants(letter, walk)).collect();
            wanted.truncate(usize::try_from(self.room()).unwrap_or(usize::MAX));
            let chunk = CHUNK.min(self.args.rate as usize);
            while !wanted.is_empty() {
                let rest = wanted.split_off(chunk.min(wanted.len()));
                self.some(walk, &wanted).await?;
                wanted = rest;
            }
            bar.set_message(format!("{} letters redriven", self.done.redriven));
            bar.tick();
        }
        bar.finish_and_clear();
        Ok(())
    }

    fn room(&self) -> u64 {
        let taken = self.done.redriven + self.done.refused;
        self.args.limit.map_or(u64::MAX, |limit| limit.saturating_sub(taken))
    }

    /// Whether it is to be sent. A letter that has come since would be the answer to one that was sent: to send it again
    /// would never end.
    fn wants(&mut self, letter: &DeadLetterMessage, walk: &Walk) -> bool {
        if !self.args.which.wants(letter) {
            return false;
        }
        if letter.sent_at().is_some_and(|at| at > walk.began) {
            self.done.newer += 1;
            return false;
        }
        let is_from_here =
            self.args.to_queue.is_some() || ["", &*self.source_name].contains(&letter.source());
        self.done.from_elsewhere += u64::from(!is_from_here);
        is_from_here
    }

    /// Sends a few and deletes those that were confirmed.
    async fn some(&mut self, walk: &mut Walk, letters: &[DeadLetterMessage]) -> Result<(), CommandError> {
        if self.args.dry_run {
            for letter in letters {
                self.count(letter);
            }
            return Ok(());
        }
        sleep_until(self.next_at).await;
        let took = Duration::from_secs_f64(letters.len() as f64 / f64::from(self.args.rate));
        self.next_at = Instant::now().max(self.next_at) + took;
        walk.hide_longer().await;
        let mut sent = Sent::default();
        let ended = self.source.send(letters, &mut sent).await;
        let not_deleted = walk.delete(&sent.confirmed).await;
        self.done.not_deleted += u64::try_from(not_deleted.len()).unwrap_or(u64::MAX);
        for letter in letters.iter().filter(|letter| sent.confirmed.contains(&letter.message_id)) {
            self.count(letter);
        }
        for (id, code) in sent.refused {
            self.done.refused += 1;
            if self.done.refused <= NAMED_MAX {
                output::note(format_args!("not sent: {}: {}", visible(&id), visible(&code)));
            }
        }
        ended
    }

    fn count(&mut self, letter: &DeadLetterMessage) {
        self.done.redriven += 1;
        count(&mut self.done.by_reason, letter.reason());
    }
}

fn tell(done: &Outcome, json: bool) -> Result<(), CommandError> {
    if json {
        return Ok(output::print_json(done)?);
    }
    let verb = if done.dry_run { "would be redriven" } else { "redriven" };
    output::print(format_args!("{} letters {verb} to {}", done.redriven, done.to))?;
    for (reason, count) in &done.by_reason {
        output::print(format_args!("  {count:>8}  {}", visible(reason)))?;
    }
    for (count, what) in [
        (done.refused, "were not taken: they are still on the dead-letter queue"),
        (
            done.not_deleted,
            "were sent and could not be deleted: if they are sent again, the ledger recognises their events",
        ),
        (done.newer, "have come since this command began, and were left"),
        (
            done.from_elsewhere,
            "came from another queue or stream, and were left: --to-queue sends them wherever they came from",
        ),
    ] {
        if count > 0 {
            output::print(format_args!("{count} {what}"))?;
        }
    }
    Ok(())
}
