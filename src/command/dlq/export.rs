//! `tributary dlq export` and `purge`: letters to a file, one line of JSON each; and those that are safely there, deleted.

use std::{
    fs::{File, OpenOptions},
    io::{BufWriter, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::Serialize;

use super::{letter::DeadLetterMessage, progress, tell_unseen, walk::Walk};
use crate::{
    cli::{ExportArgs, PurgeArgs, WhichArgs},
    clock::rfc3339,
    command::{CommandError, Exit, operator::is_confirmed},
    output,
};

/// What came of it.
#[derive(Default, Serialize)]
struct Done {
    to: Option<PathBuf>,
    exported: u64,
    deleted: u64,
    /// To be deleted, and still on the queue.
    not_deleted: u64,
}

/// A file of letters.
struct Lines {
    path: PathBuf,
    file: BufWriter<File>,
}

pub(super) async fn export(walk: &mut Walk, args: &ExportArgs, json: bool) -> Result<Exit, CommandError> {
    let mut lines = Lines::create(&args.to)?;
    let mut done = Done { to: Some(args.to.clone()), ..Done::default() };
    let bar = progress();
    while let Some(letters) = next(walk, &args.which, args.limit, done.exported).await? {
        lines.write(&letters)?;
        done.exported += count(letters.len());
        bar.set_message(format!("{} letters exported", done.exported));
        bar.tick();
    }
    lines.sync()?;
    bar.finish_and_clear();
    tell(walk, &done, args.limit == Some(done.exported), json).await
}

/// Whether the operator means it.
pub(super) async fn may_purge(walk: &Walk, args: &PurgeArgs) -> Result<bool, CommandError> {
    Ok(args.yes || is_confirmed(question(walk, args).await)?)
}

pub(super) async fn purge(walk: &mut Walk, args: &PurgeArgs, json: bool) -> Result<Exit, CommandError> {
    let path = (!args.no_export).then(|| args.to.clone().unwrap_or_else(default_path));
    let mut lines = path.as_deref().map(Lines::create).transpose()?;
    let mut done = Done { to: path, ..Done::default() };
    let bar = progress();
    while let Some(letters) = next(walk, &args.which, args.limit, done.deleted + done.not_deleted).await? {
        if let Some(lines) = &mut lines {
            lines.write(&letters)?;
            lines.sync()?;
            done.exported += count(letters.len());
        }
        let ids: Vec<_> = letters.into_iter().map(|letter| letter.message_id).collect();
        let not_deleted = walk.delete(&ids).await.len();
        done.not_deleted += count(not_deleted);
        done.deleted += count(ids.len() - not_deleted);
        bar.set_message(format!("{} letters deleted", done.deleted));
        bar.tick();
    }
    bar.finish_and_clear();
    tell(walk, &done, args.limit == Some(done.deleted), json).await
}

/// The next letters that are wanted, perhaps none of some that were looked at; `None` at the end.
async fn next(
    walk: &mut Walk,
    which: &WhichArgs,
    limit: Option<u64>,
    so_far: u64,
) -> Result<Option<Vec<DeadLetterMessage>>, CommandError> {
    let room = limit.map_or(u64::MAX, |limit| limit.saturating_sub(so_far));
    if room == 0 {
        return Ok(None);
    }
    let Some(mut letters) = walk.next().await? else { return Ok(None) };
    letters.retain(|letter| which.wants(letter));
    letters.truncate(usize::try_from(room).unwrap_or(usize::MAX));
    Ok(Some(letters))
}

async fn question(walk: &Walk, args: &PurgeArgs) -> String {
    let name = walk.queue.name();
    let about = walk.queue.facts().await.visible.map(|count| format!(", which has about {count}"));
    let which = match args.which.in_words() {
        all if all.is_empty() => "every letter".to_owned(),
        which => format!("the letters with {}", output::visible(&which)),
    };
    let kept = if args.no_export { "Nothing is kept of them" } else { "They are exported first" };
    format!("Delete {which} from {name}{}? {kept}.", about.unwrap_or_default())
}

fn default_path() -> PathBuf {
    format!("dead-letters-{}.ndjson", rfc3339(SystemTime::now()).replace(':', "-")).into()
}

fn count(letters: usize) -> u64 {
    u64::try_from(letters).unwrap_or(u64::MAX)
}

impl Lines {
    /// A file that was not there: an older export is never written over.
    fn create(path: &Path) -> Result<Self, CommandError> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(|error| {
            CommandError::Usage(format!(
                "could not make the file {}: {error}; name one with --to",
                path.display()
            ))
        })?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    fn write(&mut self, letters: &[DeadLetterMessage]) -> Result<(), CommandError> {
        let mut write = |letter: &DeadLetterMessage| writeln!(self.file, "{}", letter.whole());
        letters.iter().try_for_each(&mut write).map_err(|error| unwritten(&self.path, &error))
    }

    /// What was written survives a power cut.
    fn sync(&mut self) -> Result<(), CommandError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|error| unwritten(&self.path, &error))
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> CommandError {
    CommandError::Failed(format!("could not write to {}: {error}", path.display()).into())
}

async fn tell(walk: &Walk, done: &Done, is_cut: bool, json: bool) -> Result<Exit, CommandError> {
    if json {
        output::print_json(done)?;
    } else {
        if let Some(path) = &done.to {
            output::print(format_args!("{} letters exported to {}", done.exported, path.display()))?;
        }
        if done.deleted > 0 || done.to.is_none() {
            output::print(format_args!("{} letters deleted", done.deleted))?;
        }
        if done.not_deleted > 0 {
            output::print(format_args!("{} could not be deleted", done.not_deleted))?;
        }
    }
    let is_all = is_cut || tell_unseen(walk).await;
    Ok(if is_all && done.not_deleted == 0 { Exit::Done } else { Exit::Incomplete })
}
