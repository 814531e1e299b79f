//! The files of a folder, deepest included, in the order of their paths. In: a folder or a file. Out: [`Found`] files,
//! one at a time: what waits in memory are the names of the folders above.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::command::CommandError;

/// A file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Its path below the root, by which a checkpoint knows it.
    pub(super) name: String,
    pub(super) bytes: u64,
}

/// An iterator over files. Names that begin with a dot, and links to folders, are passed over.
pub(super) struct Walk {
    root: PathBuf,
    /// The next one last.
    waiting: Vec<PathBuf>,
}

impl Walk {
    /// # Errors
    /// The root is not there.
    pub(super) fn new(root: &Path) -> Result<Self, CommandError> {
        let is_file = fs::metadata(root).map_err(|error| unreadable(root, error))?.is_file();
        // The name of a single file is below the folder that it is in.
        let base = if is_file { root.parent().unwrap_or(root) } else { root };
        Ok(Self { root: base.to_owned(), waiting: vec![root.to_owned()] })
    }

    fn step(&mut self, path: PathBuf) -> Result<Option<Found>, CommandError> {
        let kind = fs::symlink_metadata(&path).map_err(|error| unreadable(&path, error))?;
        if kind.is_dir() {
            self.enter(&path).map_err(|error| unreadable(&path, error))?;
            return Ok(None);
        }
        let file = fs::metadata(&path).map_err(|error| unreadable(&path, error))?;
        if !file.is_file() {
            return Ok(None);
        }
        let name = path.strip_prefix(&self.root).unwrap_or(&path).to_str();
        let Some(name) = name.map(str::to_owned) else {
            let sentence = format!(
                "{} has a name that is not UTF-8, which no checkpoint can hold; rename it",
                path.display()
            );
            return Err(CommandError::Failed(sentence.into()));
        };
        Ok(Some(Found { path, name, bytes: file.len() }))
    }

    fn enter(&mut self, folder: &Path) -> io::Result<()> {
        let entries: io::Result<Vec<_>> = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect();
        let mut names = entries?;
        names.retain(|name| !name.as_encoded_bytes().starts_with(b"."));
        names.sort_unstable_by(|one, other| other.cmp(one));
        self.waiting.extend(names.into_iter().map(|name| folder.join(name)));
        Ok(())
    }
}

impl Iterator for Walk {
    type Item = Result<Found, CommandError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(path) = self.waiting.pop() {
            if let Some(found) = self.step(path).transpose() {
                return Some(found);
            }
        }
        None
    }
}

fn unreadable(path: &Path, source: io::Error) -> CommandError {
    CommandError::Read { name: path.display().to_string(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        folder
    }

    fn names(root: &Path) -> Vec<String> {
        Walk::new(root).unwrap().map(|found| found.unwrap().name).collect()
    }

    #[test]
    fn files_come_in_the_order_in_which_their_paths_compare() {
        let folder = tree(&["a.gz", "a/z", "a/b/c", "a-b", "b", "B", ".hidden/x", "a/.x", "2026/01/05/x"]);
        let found = names(folder.path());
        assert_eq!(found, ["2026/01/05/x", "B", "a/b/c", "a/z", "a-b", "a.gz", "b"]);
        assert!(found.is_sorted_by(|one, other| Path::new(one) < Path::new(other)));
    }

    #[test]
    fn a_single_file_is_named_by_its_own_name_and_a_missing_folder_is_an_error() {
        let folder = tree(&["deep/one.json"]);
        assert_eq!(names(&folder.path().join("deep/one.json")), ["one.json"]);
        let error = Walk::new(&folder.path().join("none")).err().unwrap();
        assert!(error.to_string().contains("none"), "{error}");
    }

    #[test]
    fn a_link_in_a_circle_does_not_lead_round() {
        let folder = tree(&["a/one"]);
        std::os::unix::fs::symlink(folder.path(), folder.path().join("a/round")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("a/one"), folder.path().join("b")).unwrap();
        assert_eq!(names(folder.path()), ["a/one", "b"]);
    }
}
