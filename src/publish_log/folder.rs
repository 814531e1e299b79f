//! Segments as files: `<folder>/<chain>/<00000001>.jsonl`. In: parts of segments. Out: files that survive a power cut,
//! and that are read-only once they are whole.

use std::{
    io::{self, SeekFrom},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use tokio::{
    fs::{self, File, OpenOptions},
    io::{AsyncSeekExt as _, AsyncWriteExt as _},
    task::spawn_blocking,
};
use tracing::warn;

use super::{Part, Shelf};
use crate::failure::CallError;

/// A folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    open: Option<Open>,
    /// Makes the names in a folder last.
    sync_names: OnPath,
    /// Makes a file read-only.
    seal: OnPath,
    is_warned: bool,
}

/// A call of the system that blocks; tests let it fail.
type OnPath = fn(&Path) -> io::Result<()>;

/// The file that is written now.
#[derive(Debug)]
struct Open {
    file: File,
    /// Whether its name survives a power cut.
    is_named: bool,
}

impl Folder {
    /// Made when it is first needed.
    pub fn new(path: PathBuf) -> Self {
        Self { path, open: None, sync_names, seal, is_warned: false }
    }

    async fn write(&mut self, part: Part<'_>, file: &Path) -> io::Result<()> {
        let open = match self.open.take() {
            Some(open) => open,
            None => Open { file: create(file).await?, is_named: false },
        };
        // Whatever fails from here on, the next try goes on with this file, and does not find it in its way.
        let open = self.open.insert(open);
        if !open.is_named {
            // The name of the file in its folder, and that of the folder in its own.
            for folder in folder_of(file).ancestors().take(2) {
                on(self.sync_names, folder).await?;
            }
            open.is_named = true;
        }
        let file_open = &mut open.file;
        // Where it belongs and not at the end: a part that failed half-way is written over.
        file_open.seek(SeekFrom::Start(part.offset)).await?;
        file_open.write_all(part.bytes).await?;
        file_open.flush().await?;
        file_open.sync_data().await?;
        if part.is_last {
            self.open = None;
            self.seal(file).await;
        }
        Ok(())
    }

    /// Some file systems know no permissions. Everything is written all the same.
    async fn seal(&mut self, file: &Path) {
        if let Err(error) = on(self.seal, file).await
            && !self.is_warned
        {
            self.is_warned = true;
            warn!(file = %file.display(), %error, "could not make a whole segment read-only; said once");
        }
    }
}

/// A new file; one that is there already was written by somebody else, and stays as it is.
async fn create(file: &Path) -> io::Result<File> {
    fs::create_dir_all(folder_of(file)).await?;
    OpenOptions::new().write(true).create_new(true).open(file).await
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("."))
}

fn sync_names(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    std::fs::File::open(folder)?.sync_all()
}

fn seal(file: &Path) -> io::Result<()> {
    let mut permissions = std::fs::metadata(file)?.permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(file, permissions)
}

/// Where blocking does no harm.
async fn on(call: OnPath, path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    spawn_blocking(move || call(&path)).await?
}

/// The name of a segment's file, or the last part of its key.
pub(super) fn file_name(segment: u64) -> String {
    format!("{segment:08}.jsonl")
}

#[async_trait]
impl Shelf for Folder {
    async fn prepare(&mut self) -> Result<(), CallError> {
        let probe = self.path.join(format!(".probe-{:08x}", fastrand::u32(..)));
        let tried = async {
            fs::create_dir_all(&self.path).await?;
            fs::write(&probe, b"").await?;
            fs::remove_file(&probe).await
        };
        tried.await.map_err(|error| said(&error, &self.path))
    }

    fn place(&self) -> String {
        self.path.display().to_string()
    }

    fn takes_parts(&self) -> bool {
        true
    }

    async fn keep(&mut self, part: Part<'_>) -> Result<(), CallError> {
        let file = self.path.join(part.chain).join(file_name(part.segment));
        self.write(part, &file).await.map_err(|error| said(&error, &file))
    }
}

fn said(error: &io::Error, path: &Path) -> CallError {
    let message = format!(
        "could not write {} ({error}); free space there, let this user write there, or change publish_log.to",
        path.display()
    );
    CallError::misconfigured("publish_log_folder", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: Part<'_> = Part { chain: "c", segment: 1, offset: 0, bytes: b"one\n", is_last: false };

    #[tokio::test]
    async fn parts_stand_where_they_belong_and_a_whole_segment_is_read_only() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = Folder::new(place.path().join("a/b"));
        folder.prepare().await.unwrap();
        let file = place.path().join("a/b/c/00000001.jsonl");
        folder.keep(PART).await.unwrap();
        // As after a failure: the same place again.
        folder.keep(Part { offset: 4, bytes: b"tw", ..PART }).await.unwrap();
        folder.keep(Part { offset: 4, bytes: b"two\n", is_last: true, ..PART }).await.unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"one\ntwo\n");
        assert!(std::fs::metadata(&file).unwrap().permissions().readonly());
        folder.keep(Part { segment: 2, ..PART }).await.unwrap();
        assert_eq!(std::fs::read(place.path().join("a/b/c/00000002.jsonl")).unwrap(), b"one\n");
        assert_eq!(std::fs::read_dir(place.path().join("a/b")).unwrap().count(), 1, "the probe is gone");
    }

    #[tokio::test]
    async fn a_segment_whose_name_could_not_be_made_to_last_is_written_by_the_next_try() {
        let place = tempfile::tempdir().unwrap();
        let no = |_: &Path| Err(io::Error::from_raw_os_error(5));
        let mut folder = Folder { sync_names: no, ..Folder::new(place.path().to_owned()) };
        assert!(folder.keep(PART).await.is_err());
        folder.sync_names = sync_names;
        folder.keep(PART).await.unwrap();
        assert_eq!(std::fs::read(place.path().join("c/00000001.jsonl")).unwrap(), b"one\n");
    }

    #[tokio::test]
    async fn a_folder_without_permissions_takes_segments_all_the_same() {
        let place = tempfile::tempdir().unwrap();
        let no = |_: &Path| Err(io::ErrorKind::Unsupported.into());
        let mut folder = Folder { seal: no, ..Folder::new(place.path().to_owned()) };
        folder.keep(Part { is_last: true, ..PART }).await.unwrap();
        folder.keep(Part { segment: 2, is_last: true, ..PART }).await.unwrap();
        assert!(folder.is_warned);
        assert_eq!(std::fs::read(place.path().join("c/00000002.jsonl")).unwrap(), b"one\n");
    }

    #[tokio::test]
    async fn a_file_that_is_there_already_stays_as_it_is_and_is_said() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("c/00000001.jsonl");
        std::fs::create_dir(place.path().join("c")).unwrap();
        std::fs::write(&file, "somebody else's").unwrap();
        let error = Folder::new(place.path().to_owned()).keep(PART).await.unwrap_err();
        assert!(error.to_string().contains("00000001.jsonl") && !error.is_transient(), "{error}");
        assert_eq!(std::fs::read(&file).unwrap(), b"somebody else's");
    }
}
