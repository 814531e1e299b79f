//! How far a backfill has come, in a file. In: what SQS has confirmed. Out: where the next run goes on.
//!
//! A checkpoint never says more than was confirmed, and the file is replaced as a whole: killed at any moment, the
//! next run sends at most again what was on its way.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::command::CommandError;

/// Of the file's form.
const VERSION: u32 = 1;

/// What is sent where. Another job has another checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Job {
    pub(super) place: String,
    pub(super) queue_url: String,
    pub(super) since: Option<String>,
    pub(super) until: Option<String>,
}

/// How far a job has come, over all its runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkpoint {
    version: u32,
    pub(super) job: Job,
    /// Everything up to this key or path, itself included, was confirmed or passed over.
    pub(super) after: Option<String>,
    /// Nothing was left.
    pub(super) is_finished: bool,
    /// Confirmed so far.
    pub(super) objects: u64,
    /// Their bytes, as stored.
    pub(super) bytes: u64,
}

impl Checkpoint {
    /// At the beginning.
    pub(super) fn new(job: Job) -> Self {
        Self { version: VERSION, job, after: None, is_finished: false, objects: 0, bytes: 0 }
    }
}

/// The file.
#[derive(Clone, Debug)]
pub(super) struct CheckpointFile {
    path: PathBuf,
}

impl CheckpointFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Where this job was left; the beginning if there is no file.
    ///
    /// # Errors
    /// The file cannot be read, is no checkpoint, or is another job's.
    pub(super) fn read(&self, job: &Job) -> Result<Checkpoint, CommandError> {
        let file = self.path.display();
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Checkpoint::new(job.clone())),
            Err(source) => return Err(CommandError::Read { name: file.to_string(), source }),
        };
        let cure = "give another file with --checkpoint, or remove this one to begin anew";
        let found: Checkpoint = serde_json::from_str(&text)
            .map_err(|_| CommandError::Usage(format!("{file} is no checkpoint of a backfill; {cure}")))?;
        if found.version != VERSION {
            let version = found.version;
            let sentence =
                format!("the checkpoint {file} has form {version}, and only {VERSION} is known; {cure}");
            return Err(CommandError::Usage(sentence));
        }
        if found.job != *job && found.after.is_none() && !found.is_finished {
            // Nothing was sent, so nothing can be forgotten.
            return Ok(Checkpoint::new(job.clone()));
        }
        if found.job != *job {
            let differences = differences(&found.job, job);
            let sentence = format!("the checkpoint {file} is of another backfill: {differences}; {cure}");
            return Err(CommandError::Usage(sentence));
        }
        Ok(found)
    }

    /// Puts a checkpoint in the place of the last one.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub(super) fn write(&self, checkpoint: &Checkpoint) -> Result<(), CommandError> {
        self.replace(checkpoint).map_err(|error| {
            let (file, folder) = (self.path.display(), folder(&self.path));
            let folder = folder.display();
            CommandError::Failed(
                format!("could not write the checkpoint {file}: {error}; make {folder} writable, or name another file with --checkpoint")
                    .into(),
            )
        })
    }

    fn replace(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".new");
        let beside = self.path.with_file_name(name);
        let mut file = File::create(&beside)?;
        serde_json::to_writer_pretty(&file, checkpoint)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        File::open(folder(&self.path))?.sync_all()
    }

    /// Whether this path is the checkpoint or what will become it.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let is_named = path.file_name().zip(self.path.file_name()).is_some_and(|(one, other)| {
            one == other || one.to_str().and_then(|one| one.strip_suffix(".new")) == other.to_str()
        });
        let canonical = |path: &Path| fs::canonicalize(folder(path)).ok();
        is_named && canonical(path) == canonical(&self.path)
    }
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => ".".into(),
    }
}

fn differences(found: &Job, asked: &Job) -> String {
    let none = || "none".to_owned();
    let all = |job: &Job| {
        [
            ("place", job.place.clone()),
            ("queue", job.queue_url.clone()),
            ("--since", job.since.clone().unwrap_or_else(none)),
            ("--until", job.until.clone().unwrap_or_else(none)),
        ]
    };
    let pairs = all(found).into_iter().zip(all(asked)).filter(|(found, asked)| found != asked);
    let told: Vec<_> =
        pairs.map(|((name, found), (_, asked))| format!("its {name} is {found}, yours is {asked}")).collect();
    told.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Job {
        Job {
            place: "s3://trail/AWSLogs/".into(),
            queue_url: "http://127.0.0.1:1/0/q".into(),
            since: None,
            until: None,
        }
    }

    #[test]
    fn what_was_written_is_read_again_and_nothing_else_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::new(&folder.path().join("c.json"));
        assert_eq!(file.read(&job()).unwrap(), Checkpoint::new(job()));
        for objects in [1, 2] {
            let checkpoint = Checkpoint { objects, after: Some("k".into()), ..Checkpoint::new(job()) };
            file.write(&checkpoint).unwrap();
            assert_eq!(file.read(&job()).unwrap(), checkpoint);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn another_job_is_refused_with_what_differs_and_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::new(&folder.path().join("c.json"));
        let other = Job { place: "s3://typo/".into(), ..job() };
        file.write(&Checkpoint::new(other)).unwrap();
        assert_eq!(file.read(&job()).unwrap(), Checkpoint::new(job()), "nothing of the other was sent");
        file.write(&Checkpoint { after: Some("k".into()), ..Checkpoint::new(job()) }).unwrap();
        for (other, part) in [
            (
                Job { place: "s3://other/".into(), ..job() },
                "its place is s3://trail/AWSLogs/, yours is s3://other/",
            ),
            (Job { queue_url: "http://127.0.0.1:1/0/r".into(), ..job() }, "its queue is "),
            (Job { since: Some("2026-01-01".into()), ..job() }, "its --since is none, yours is 2026-01-01"),
        ] {
            let said = file.read(&other).unwrap_err().to_string();
            assert!(said.contains(part) && said.contains("remove this one to begin anew"), "{said}");
        }
    }

    #[test]
    fn what_is_no_checkpoint_is_never_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        let file = CheckpointFile::new(&path);
        for text in ["", "{}", "[]", "{\"version\":1}"] {
            fs::write(&path, text).unwrap();
            assert!(file.read(&job()).unwrap_err().to_string().contains("is no checkpoint"), "{text}");
        }
        let newer = serde_json::to_string(&Checkpoint { version: 2, ..Checkpoint::new(job()) }).unwrap();
        fs::write(&path, newer).unwrap();
        assert!(file.read(&job()).unwrap_err().to_string().contains("has form 2"));
    }

    #[test]
    fn a_folder_that_cannot_be_written_to_is_told_with_the_cure() {
        let file = CheckpointFile::new(Path::new("/proc/no/c.json"));
        let said = file.write(&Checkpoint::new(job())).unwrap_err().to_string();
        assert!(said.contains("--checkpoint"), "{said}");
    }

    #[test]
    fn the_file_knows_itself_wherever_it_is_looked_at_from() {
        let folder = tempfile::tempdir().unwrap();
        let file = CheckpointFile::new(&folder.path().join("c.json"));
        let deeper = folder.path().join("deeper");
        fs::create_dir(&deeper).unwrap();
        assert!(file.is_at(&deeper.join("../c.json")) && file.is_at(&folder.path().join("c.json.new")));
        assert!(!file.is_at(&deeper.join("c.json")) && !file.is_at(&folder.path().join("d.json")));
    }
}
