//! Large events as files: `<folder>/<sha256>`. In: bytes. Out: a file that survives a power cut, and that is there whole or
//! not at all.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::SETTING;
use crate::{failure::CallError, tasks::joined};

/// A folder on this machine.
pub(in crate::dead_letter) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) async fn keep(&self, name: &str, original: Bytes) -> Result<(), CallError> {
        let file = self.file(name);
        let written = {
            let (folder, file) = (self.path.clone(), file.clone());
            joined(Some(spawn_blocking(move || write(&folder, &file, &original)).await))
        };
        match written {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(said(&error, &file)),
            None => Err(CallError::transient("aborted", "the process is ending")),
        }
    }
}

/// Under another name first: under its own, the file is whole.
fn write(folder: &Path, file: &Path, original: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let beside = folder.join(format!(".new-{:016x}", fastrand::u64(..)));
    let written = write_beside(&beside, original).and_then(|()| fs::rename(&beside, file));
    if let Err(error) = written {
        // What is left of it would only take up space; the error that is told is the first.
        drop(fs::remove_file(&beside));
        return Err(error);
    }
    // The name of the file in its folder, and that of the folder in its own.
    folder.ancestors().take(2).try_for_each(sync_names)
}

fn write_beside(beside: &Path, original: &[u8]) -> io::Result<()> {
    let mut new = File::create_new(beside)?;
    new.write_all(original)?;
    new.sync_all()
}

fn sync_names(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Only whoever runs this machine can cure it.
fn said(error: &io::Error, file: &Path) -> CallError {
    let message = format!(
        "could not write {} ({error}); free space there, let this user write there, or change {SETTING}",
        file.display()
    );
    CallError::misconfigured("overflow_folder", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_file_is_whole_and_a_second_try_writes_the_same() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::new(place.path().join("a/b"));
        for _ in 0..2 {
            folder.keep("name", Bytes::from_static(b"\0whole")).await.unwrap();
            assert_eq!(fs::read(folder.file("name")).unwrap(), b"\0whole");
            assert_eq!(names(&place.path().join("a/b")), ["name"], "nothing is left beside it");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_our_mistake_and_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("a-file"), "").unwrap();
        let under_a_file = Folder::new(place.path().join("a-file/letters"));
        let error = under_a_file.keep("name", Bytes::new()).await.unwrap_err();
        assert!(!error.is_transient() && error.to_string().contains(SETTING), "{error}");

        let folder = Folder::new(place.path().join("letters"));
        fs::create_dir_all(folder.file("name/in-the-way")).unwrap();
        let error = folder.keep("name", Bytes::new()).await.unwrap_err();
        assert!(!error.is_transient(), "{error}");
        assert_eq!(names(&place.path().join("letters")), ["name"], "nothing is left beside it");
    }
}
