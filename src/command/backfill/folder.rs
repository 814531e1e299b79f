//! History in a folder. In: files, compressed or not, of every shape that `enqueue` takes. Out: their events in
//! messages, in [`Parcel`]s, in order, in bounded memory.

use std::{
    collections::VecDeque,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use tokio::sync::mpsc;

use super::{
    Parcel, Seen,
    checkpoint::CheckpointFile,
    walk::{Found, Walk},
    wanted::Days,
};
use crate::{
    command::{
        CommandError,
        enqueue::{
            cut::Cutter,
            pack::{Batch, Limits, Packer},
        },
    },
    decode::GZIP_MAGIC,
    output,
};

/// What a folder is read with.
pub(super) struct Folder {
    pub(super) root: PathBuf,
    pub(super) days: Days,
    pub(super) events_per_message: u32,
    /// Never history itself.
    pub(super) checkpoint: CheckpointFile,
}

impl Folder {
    /// Reads what comes after a path and hands it over. Ends early when nobody takes it any more. Blocks.
    ///
    /// # Errors
    /// A file or folder cannot be read. What is broken inside a file is counted and told, and does not end this.
    pub(super) fn read(
        &self,
        after: Option<&str>,
        parcels: &mpsc::Sender<Parcel>,
    ) -> Result<Seen, CommandError> {
        let mut reading = Reading {
            packer: Packer::new(Limits::of_queue(self.events_per_message)),
            finished: VecDeque::new(),
            last: None,
            parcels,
            seen: Seen::default(),
        };
        for found in Walk::new(&self.root)? {
            let Found { path, name, bytes } = found?;
            if after.is_some_and(|after| Path::new(&name) <= Path::new(after)) || self.checkpoint.is_at(&path)
            {
                continue;
            }
            if let Some(skip) = self.days.skip(&name, bytes) {
                reading.seen.skipped.count(skip);
                continue;
            }
            if !reading.file(&path, &name)? {
                return Ok(reading.seen);
            }
            reading.finished.push_back((name, bytes));
        }
        Ok(reading.finish())
    }
}

/// What was read and is not handed over yet.
struct Reading<'a> {
    packer: Packer,
    /// Files that were read to their ends, with their sizes, oldest first. Events of theirs may still be in the packer.
    finished: VecDeque<(String, u64)>,
    /// The file up to which all was handed over.
    last: Option<String>,
    parcels: &'a mpsc::Sender<Parcel>,
    seen: Seen,
}

impl Reading<'_> {
    /// Reads one file; false if nobody takes its events any more.
    fn file(&mut self, path: &Path, name: &str) -> Result<bool, CommandError> {
        let unreadable = |source| CommandError::Read { name: path.display().to_string(), source };
        self.packer.begin_file(name);
        let mut cutter = Cutter::new(open(path).map_err(unreadable)?, self.packer.piece_bytes_max());
        loop {
            let piece = match cutter.next_piece() {
                Ok(Some(piece)) => piece,
                Ok(None) => return Ok(true),
                Err(error) if is_broken(&error) => {
                    self.not_sent(format_args!("{name}: what follows is no whole gzip: {error}"));
                    return Ok(true);
                }
                Err(error) => return Err(unreadable(error)),
            };
            if let Err(piece) = self.packer.push(piece) {
                self.not_sent(format_args!("{name}:{}: {}", piece.line, piece.reason));
            }
            for batch in self.packer.take_full() {
                if !self.hand_over(batch) {
                    return Ok(false);
                }
            }
        }
    }

    fn not_sent(&mut self, what: std::fmt::Arguments<'_>) {
        self.seen.unsendable += 1;
        output::note(format_args!("not sent: {what}"));
    }

    /// Hands a batch over, with the files that are done when it is confirmed: those before the file of its last
    /// message, whose other events may be in the next batch.
    fn hand_over(&mut self, batch: Batch) -> bool {
        let reaches = batch.last().map(|message| message.file.clone());
        let mut parcel = Parcel { batch, ..Parcel::default() };
        while let Some((name, bytes)) =
            self.finished.pop_front_if(|(name, _)| Some(&**name) != reaches.as_deref())
        {
            parcel.objects += 1;
            parcel.bytes += bytes;
            self.last = Some(name);
        }
        parcel.after.clone_from(&self.last);
        self.parcels.blocking_send(parcel).is_ok()
    }

    fn finish(mut self) -> Seen {
        let batches = std::mem::replace(&mut self.packer, Packer::new(Limits::of_queue(1))).finish();
        let are_taken = batches.into_iter().all(|batch| self.hand_over(batch));
        // Nothing of any file is left: an empty batch says so.
        self.seen.is_all = are_taken && self.hand_over(Batch::new());
        self.seen
    }
}

/// A file's bytes, decompressed if they are compressed. Only what is asked for is in memory.
fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let mut file = BufReader::new(File::open(path)?);
    if file.fill_buf()?.starts_with(&GZIP_MAGIC) {
        return Ok(Box::new(MultiGzDecoder::new(file)));
    }
    Ok(Box::new(file))
}

/// The file is at fault, and would be again.
fn is_broken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
    )
}

/// The folder by its full name, so that a checkpoint knows it from wherever it is named.
///
/// # Errors
/// It is not there.
pub(super) fn root(path: &Path) -> Result<PathBuf, CommandError> {
    fs::canonicalize(path).map_err(|source| CommandError::Read { name: path.display().to_string(), source })
}

#[cfg(test)]
mod tests;
