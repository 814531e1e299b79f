//! `tributary dlq`: what is on the dead-letter queue, what would cure it, and the way back.
//!
//! SQS shows messages only by handing them out. So every question is a [`Walk`]: it receives letter after letter, keeps what
//! it has seen hidden so that it sees each once, and gives everything back at its end, which is also how it ends when it is
//! interrupted. Letters may have been written by anybody who may send to the queue: their texts are shown without
//! control characters.

mod export;
mod letter;
mod list;
mod opened;
mod queue;
mod redrive;
mod sending;
mod show;
mod stats;
mod walk;
mod which;

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use self::{queue::DeadLetterQueue, walk::Walk};
use super::{CommandError, Exit, run::Signals};
use crate::{
    cli::{ConfigFile, DlqArgs, DlqQuestion},
    config::{
        RawConfig,
        keys::{self, Key},
        kinds::{Kind as _, QueueUrl},
        process_environment,
    },
    output,
};

/// Stands for a reason where the source queue's own redrive policy moved a message.
pub const MOVED: &str = "moved_by_queue";

/// Runs one question.
///
/// # Errors
/// No queue is named, or it cannot be received from.
pub async fn dlq(args: DlqArgs) -> Result<Exit, CommandError> {
    let url = queue_url(args.queue_url.as_deref(), "--queue-url", &keys::DEAD_LETTER_QUEUE_URL, &args.file)?;
    let queue = DeadLetterQueue::open(url, Duration::from_secs(args.hide_for)).await;
    let mut walk = Walk::new(queue, args.look_at as usize);
    if let DlqQuestion::Purge(purge) = &args.question
        && !export::may_purge(&walk, purge).await?
    {
        output::note("nothing was deleted");
        return Ok(Exit::Incomplete);
    }
    let mut signals = Signals::new().map_err(CommandError::failed)?;
    // Dropped at a signal; whatever it held is in the walk, which gives it back.
    let ended = tokio::select! {
        ended = answer(&args, &mut walk) => Some(ended),
        () = signals.next() => None,
    };
    let hidden = walk.give_back().await;
    if hidden > 0 {
        output::note(format_args!(
            "{hidden} letters could not be given back: they are seen again {} s from now",
            args.hide_for
        ));
    }
    ended.unwrap_or_else(|| {
        output::note("interrupted: what was sent was sent, and what was left is still on the queue");
        Ok(Exit::Incomplete)
    })
}

async fn answer(args: &DlqArgs, walk: &mut Walk) -> Result<Exit, CommandError> {
    match &args.question {
        DlqQuestion::Ls(list) => list::list(walk, list, args.json).await,
        DlqQuestion::Show(show) => show::show(walk, show, args.json).await,
        DlqQuestion::Stats(which) => stats::stats(walk, which, args.json).await,
        DlqQuestion::Redrive(redrive) => redrive::redrive(walk, redrive, args).await,
        DlqQuestion::Export(export) => export::export(walk, export, args.json).await,
        DlqQuestion::Purge(purge) => export::purge(walk, purge, args.json).await,
    }
}

/// The queue that an argument names, or else the configuration.
fn queue_url(
    given: Option<&str>,
    argument: &str,
    key: &Key<QueueUrl>,
    file: &ConfigFile,
) -> Result<String, CommandError> {
    if let Some(url) = given {
        let parsed = key.kind.parse(url);
        return parsed
            .map_err(|wrong| CommandError::Usage(format!("{argument} {}; {}", wrong.what, wrong.cure)));
    }
    let raw = RawConfig::read(file.config.as_deref(), process_environment());
    raw.get(key).ok_or_else(|| {
        CommandError::Usage(format!(
            "no valid queue is named; give {argument} URL, or --config FILE with {}",
            key.path
        ))
    })
}

/// Says how far a long command has come; draws nothing unless stderr is a terminal.
fn progress() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    match ProgressStyle::with_template("{spinner} {wide_msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Adds what a walk has not seen. Returns whether it has seen all.
async fn tell_unseen(walk: &Walk) -> bool {
    let unseen = walk.unseen().await;
    if unseen.left > 0 {
        let (left, most) = (unseen.left, walk.held_max());
        output::note(format_args!(
            "about {left} letters were not looked at: this looks at {most} at a time (--look-at)"
        ));
    }
    if unseen.elsewhere > 0 {
        let elsewhere = unseen.elsewhere;
        output::note(format_args!(
            "about {elsewhere} letters are hidden: somebody else has received them, or an earlier look was killed. They \
             are seen again by themselves"
        ));
    }
    unseen.left == 0
}
