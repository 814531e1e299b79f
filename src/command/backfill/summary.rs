//! What a backfill says of itself: on stderr while it runs, on stdout when it ends.

use std::{
    fmt,
    io::{self, IsTerminal as _},
    time::Duration,
};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::time::Instant;

use super::{Seen, checkpoint::Checkpoint, deliver::Delivery, wanted::Skipped};
use crate::{cli::BackfillArgs, command::CommandError, output};

/// How often a line is written where there is no terminal to draw on.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How far it has come, now and then.
pub(super) struct Progress {
    noun: &'static str,
    /// Objects and bytes before this run.
    before: (u64, u64),
    started: Instant,
    told: Instant,
    /// Draws nothing unless stderr is a terminal.
    bar: ProgressBar,
}

impl Progress {
    pub(super) fn new(noun: &'static str, before: (u64, u64)) -> Self {
        let bar = ProgressBar::new_spinner();
        let bar = match ProgressStyle::with_template("{spinner} {wide_msg}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        let now = Instant::now();
        Self { noun, before, started: now, told: now, bar }
    }

    pub(super) fn tell(&mut self, checkpoint: &Checkpoint, messages: u64) {
        let line = self.line(checkpoint, messages);
        if !io::stderr().is_terminal() && self.told.elapsed() >= LINE_EVERY {
            self.told = Instant::now();
            output::note(&line);
        }
        self.bar.set_message(line);
        self.bar.tick();
    }

    fn line(&self, checkpoint: &Checkpoint, messages: u64) -> String {
        let (objects, bytes) = (checkpoint.objects - self.before.0, checkpoint.bytes - self.before.1);
        let rate = messages as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let after = output::visible(checkpoint.after.as_deref().unwrap_or("none"));
        let (noun, size) = (self.noun, HumanBytes(bytes));
        format!("{objects} {noun} ({size}), {messages} messages, {rate:.0} a second, last {after}")
    }

    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        self.bar.suspend(|| output::note(what));
    }

    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

/// What came of one run.
#[derive(Debug, Default, Serialize)]
pub(super) struct Summary {
    pub(super) place: String,
    #[serde(rename = "dry_run")]
    pub(super) is_dry_run: bool,
    /// Nothing is left for another run.
    #[serde(rename = "finished")]
    pub(super) is_finished: bool,
    /// Of this run.
    pub(super) objects: u64,
    pub(super) bytes: u64,
    /// Confirmed by SQS; of a dry run, those that would be sent.
    pub(super) messages: u64,
    /// Messages that SQS will never take.
    pub(super) refused_messages: u64,
    #[serde(flatten)]
    pub(super) seen: Seen,
    /// Where the next run goes on.
    pub(super) after: Option<String>,
    #[serde(skip)]
    pub(super) noun: &'static str,
}

impl Summary {
    pub(super) fn new(args: &BackfillArgs, delivery: &Delivery, seen: Seen, is_finished: bool) -> Self {
        Self {
            place: args.history.to_string(),
            is_dry_run: false,
            is_finished,
            objects: delivery.checkpoint.objects - delivery.before.0,
            bytes: delivery.checkpoint.bytes - delivery.before.1,
            messages: delivery.messages,
            refused_messages: delivery.refused_messages,
            seen,
            after: delivery.checkpoint.after.clone(),
            noun: super::noun(&args.history),
        }
    }

    /// Whether every event of what was read is on the queue.
    pub(super) fn is_complete(&self) -> bool {
        self.is_finished && self.refused_messages + self.seen.unsendable == 0
    }

    pub(super) fn print(&self, as_json: bool) -> Result<(), CommandError> {
        if as_json {
            return Ok(output::print_json(self)?);
        }
        Ok(output::print(self)?)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, objects, noun, place, refused_messages, .. } = self;
        let verb = if self.is_dry_run { "would send" } else { "sent" };
        write!(f, "{verb} {messages} messages for {objects} {noun} ({}) of {place}", HumanBytes(self.bytes))?;
        if self.seen.skipped.all() > 0 {
            let Skipped { digests, insights, empty, other_days } = self.seen.skipped;
            write!(
                f,
                "\npassed over: {digests} digests, {insights} insights, {empty} empty {noun}, {other_days} of other days"
            )?;
        }
        if self.seen.archived > 0 {
            write!(
                f,
                "\nto be restored before a worker can read them: {} archived {noun}",
                self.seen.archived
            )?;
        }
        let unsendable = self.seen.unsendable;
        if refused_messages + unsendable > 0 {
            write!(
                f,
                "\nnot sent: {refused_messages} messages that the queue did not take, {unsendable} pieces that no message can carry"
            )?;
        }
        Ok(())
    }
}
