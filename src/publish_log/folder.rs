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
