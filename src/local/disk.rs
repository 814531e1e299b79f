//! Keeps the local lake and queues in one file, so that a restart, even after `kill -9`, finds all that was answered.
//!
//! In: a folder, and work to be done in one transaction. Out: its result once it is durable, or a [`DiskError`]
//! that names the cure. Without a folder there is no [`Disk`], and everything lives in memory.

use std::{
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use redb::{Database, ReadableDatabase, StorageError, TableDefinition, WriteTransaction};

/// File inside the folder.
const FILE: &str = "tributary-local.redb";
/// Pages that redb keeps in memory, in bytes.
const CACHE_BYTES: usize = 64 << 20;

/// Queue name to its description as JSON.
pub(super) const QUEUES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("queues");
/// (queue, message number) to the message as JSON.
pub(super) const MESSAGES: TableDefinition<'_, (u64, u64), &[u8]> = TableDefinition::new("messages");
/// Event number to event id, ingestion time (Unix milliseconds), channel ARN and event data.
pub(super) const EVENTS: TableDefinition<'_, u64, (u128, i64, &str, &str)> = TableDefinition::new("events");
/// Event id to event number.
pub(super) const EVENT_IDS: TableDefinition<'_, u128, u64> = TableDefinition::new("event_ids");

/// What was asked of the disk could not be done, and nothing is claimed that is not there.
#[derive(Debug)]
pub struct DiskError {
    dir: PathBuf,
    source: redb::Error,
}

impl fmt::Display for DiskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dir = self.dir.display();
        match &self.source {
            redb::Error::DatabaseAlreadyOpen => {
                write!(f, "another process keeps its state in {dir}; stop it, or choose another --dir")
            }
            redb::Error::Corrupted(_) | redb::Error::UpgradeRequired(_) => {
                write!(f, "could not read the state in {dir}; move {FILE} away, or start without --dir")
            }
            redb::Error::Io(error) if !is_full(error.kind()) => {
                write!(f, "could not use {dir}; make it a folder that can be written, or start without --dir")
            }
            _ => write!(f, "could not keep state in {dir}; free space there, or start without --dir"),
        }
    }
}

fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

impl Error for DiskError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// One open file.
pub(super) struct Disk {
    dir: PathBuf,
    /// `None` after an I/O error: redb refuses all further work, so the file is opened anew at the next try.
    database: Mutex<Option<Database>>,
    open: Box<dyn Fn() -> Result<Database, redb::Error> + Send + Sync>,
}

impl Disk {
    /// Opens or makes the file, and makes every table.
    pub(super) fn open(dir: &Path) -> Result<Self, DiskError> {
        let path = dir.join(FILE);
        let folder = dir.to_owned();
        let open = move || {
            fs::create_dir_all(&folder)?;
            Ok(Database::builder().set_cache_size(CACHE_BYTES).create(&path)?)
        };
        Self::with(dir, Box::new(open))
    }

    fn with(
        dir: &Path,
        open: Box<dyn Fn() -> Result<Database, redb::Error> + Send + Sync>,
    ) -> Result<Self, DiskError> {
        let disk = Self { dir: dir.to_owned(), database: Mutex::new(None), open };
        disk.write(|transaction| {
            transaction.open_table(QUEUES)?;
            transaction.open_table(MESSAGES)?;
            transaction.open_table(EVENTS)?;
            transaction.open_table(EVENT_IDS)?;
            Ok(())
        })?;
        Ok(disk)
    }

    /// Does `work` in one transaction, durable when this returns.
    pub(super) fn write(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), DiskError> {
        self.with_database(|database| {
            let transaction = database.begin_write()?;
            work(&transaction)?;
            Ok(transaction.commit()?)
        })
    }

    /// Reads from the last state that is durable.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&redb::ReadTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, DiskError> {
        self.with_database(|database| work(&database.begin_read()?))
    }

    fn with_database<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, DiskError> {
        let mut held = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = match held.take().map_or_else(|| (self.open)(), Ok) {
            Ok(database) => {
                let outcome = work(&database);
                if outcome.is_ok() {
                    *held = Some(database);
                }
                outcome
            }
            Err(error) => Err(error),
        };
        outcome.map_err(|source| DiskError { dir: self.dir.clone(), source })
    }
}

/// For text that is on disk and cannot be read back.
pub(super) fn corrupted(error: impl fmt::Display) -> redb::Error {
    StorageError::Corrupted(error.to_string()).into()
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use redb::{ReadableTable, StorageBackend};

    use super::*;

    /// A file on a disk that can be full.
    #[derive(Clone, Debug, Default)]
    struct Flaky {
        bytes: Arc<Mutex<Vec<u8>>>,
        is_full: Arc<AtomicBool>,
    }

    impl Flaky {
        fn change(&self, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
            if self.is_full.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            change(&mut self.bytes.lock().unwrap());
            Ok(())
        }

        fn disk(&self) -> Disk {
            let file = self.clone();
            let open = move || Ok(Database::builder().create_with_backend(file.clone())?);
            Disk::with(Path::new("FOLDER"), Box::new(open)).unwrap()
        }
    }

    impl StorageBackend for Flaky {
        fn len(&self) -> io::Result<u64> {
            Ok(self.bytes.lock().unwrap().len() as u64)
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            let from = usize::try_from(offset).unwrap();
            out.copy_from_slice(&self.bytes.lock().unwrap()[from..from + out.len()]);
            Ok(())
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.change(|bytes| bytes.resize(usize::try_from(len).unwrap(), 0))
        }

        fn sync_data(&self) -> io::Result<()> {
            self.change(|_| ())
        }

        fn write(&self, offset: u64, part: &[u8]) -> io::Result<()> {
            let from = usize::try_from(offset).unwrap();
            self.change(|bytes| bytes[from..from + part.len()].copy_from_slice(part))
        }
    }

    fn add(disk: &Disk, id: u128, number: u64) -> Result<(), DiskError> {
        disk.write(|transaction| {
            transaction.open_table(EVENT_IDS)?.insert(id, number)?;
            Ok(())
        })
    }

    fn ids(disk: &Disk) -> Vec<u128> {
        let read = disk.read(|transaction| {
            let table = transaction.open_table(EVENT_IDS)?;
            table.iter()?.map(|row| Ok(row?.0.value())).collect::<Result<Vec<_>, redb::Error>>()
        });
        read.unwrap()
    }

    #[test]
    fn a_full_disk_is_said_with_its_cure_and_harms_neither_before_nor_after() {
        let file = Flaky::default();
        let disk = file.disk();
        add(&disk, 1, 1).unwrap();
        file.is_full.store(true, Ordering::Relaxed);
        let error = add(&disk, 2, 2).unwrap_err();
        assert_eq!(
            error.to_string(),
            "could not keep state in FOLDER; free space there, or start without --dir"
        );
        assert!(crate::failure::chain(&error).len() > error.to_string().len());
        add(&disk, 3, 3).unwrap_err();
        file.is_full.store(false, Ordering::Relaxed);
        add(&disk, 4, 4).unwrap();
        assert_eq!(ids(&disk), [1, 4]);
        drop(disk);
        assert_eq!(ids(&file.disk()), [1, 4]);
    }

    #[test]
    fn what_is_not_finished_is_not_there() {
        let file = Flaky::default();
        let disk = file.disk();
        let refused = disk.write(|transaction| {
            transaction.open_table(EVENT_IDS)?.insert(9, 9)?;
            Err(corrupted("on purpose"))
        });
        refused.unwrap_err();
        assert_eq!(ids(&disk), Vec::<u128>::new());
    }
}
