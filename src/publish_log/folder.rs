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
};

use super::{Part, Shelf};
use crate::failure::CallError;

/// A folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    open: Option<File>,
}

impl Folder {
    /// Made when it is first needed.
    pub fn new(path: PathBuf) -> Self {
        Self { path, open: None }
    }

    async fn write(&mut self, part: Part<'_>, file: &Path) -> io::Result<()> {
        let open = match self.open.take() {
            Some(open) => open,
            None => begin(file).await?,
        };
        let open = self.open.insert(open);
        // Where it belongs and not at the end: a part that failed half-way is written over.
        open.seek(SeekFrom::Start(part.offset)).await?;
        open.write_all(part.bytes).await?;
        open.flush().await?;
        open.sync_data().await?;
        if part.is_last {
            let mut permissions = open.metadata().await?.permissions();
            permissions.set_readonly(true);
            open.set_permissions(permissions).await?;
            self.open = None;
        }
        Ok(())
    }
}

/// A new file; one that is there already was written by somebody else, and stays as it is.
async fn begin(file: &Path) -> io::Result<File> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).await?;
    let open = OpenOptions::new().write(true).create_new(true).open(file).await?;
    // The names as well: of the file in its folder, and of the folder in its own.
    for folder in folder.ancestors().take(2) {
        let name = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(name).await?.sync_all().await?;
    }
    Ok(open)
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
