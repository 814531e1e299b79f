//! What is on the shelf, to be read. In: a place. Out: its chains, their segments, their lines, a piece at a time.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
};

use aws_sdk_s3::Client;
use tokio::{
    fs,
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader},
};

use super::{Chain, LINE_BYTES_MAX, folder::file_name, s3::key};
use crate::aws::{Aws, Failure, failure};

/// Read at once from a segment.
const PIECE_BYTES: usize = 256 << 10;

/// The chains at one place.
pub enum Archive {
    /// A folder.
    Folder(PathBuf),
    /// A prefix in a bucket.
    Bucket {
        /// For the bucket's Region.
        client: Client,
        /// Its name.
        bucket: String,
        /// Without a slash at its end.
        prefix: String,
    },
}

/// Why the place cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The system says no.
    #[error("could not read {path}")]
    Io {
        /// A file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// S3 says no.
    #[error("could not read s3://{place} ({code}: {message}); reading needs s3:ListBucket and s3:GetObject")]
    S3 {
        /// Bucket and key.
        place: String,
        /// Its code.
        code: String,
        /// Its sentence.
        message: String,
    },
}

/// A line as far as it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A line without its newline, in the buffer.
    Line,
    /// Bytes after the last newline, in the buffer.
    Torn,
    /// A line that is longer than any of ours; the rest of the segment is not read.
    TooLong,
    /// Nothing more.
    End,
}

/// The lines of one segment.
pub struct Lines {
    reader: Pin<Box<dyn AsyncBufRead + Send>>,
    name: PathBuf,
}

impl Lines {
    /// Of whatever can be read; `name` is for errors.
    pub(super) fn new(reader: impl AsyncRead + Send + 'static, name: PathBuf) -> Self {
        Self { reader: Box::pin(BufReader::with_capacity(PIECE_BYTES, reader)), name }
    }

    /// Reads the next line into `line`, which is emptied first.
    ///
    /// # Errors
    /// The place cannot be read.
    pub async fn next(&mut self, line: &mut Vec<u8>) -> Result<Read, ArchiveError> {
        line.clear();
        let mut limited = (&mut self.reader).take(LINE_BYTES_MAX as u64 + 1);
        let read = limited.read_until(b'\n', line).await;
        read.map_err(|source| ArchiveError::Io { path: self.name.clone(), source })?;
        Ok(match line.pop_if(|last| *last == b'\n') {
            Some(_) => Read::Line,
            None if line.is_empty() => Read::End,
            None if line.len() > LINE_BYTES_MAX => Read::TooLong,
            None => Read::Torn,
        })
    }
}

impl Archive {
    /// Under this prefix, which has no slash at its end.
    pub fn in_bucket(aws: &Aws, bucket: &str, prefix: &str) -> Self {
        Self::Bucket { client: aws.s3(), bucket: bucket.to_owned(), prefix: prefix.to_owned() }
    }

    /// The names of all chains, sorted, which is by the time at which their workers started. Whatever else is there
    /// is left out.
    ///
    /// # Errors
    /// The place cannot be read.
    pub async fn chains(&self) -> Result<Vec<String>, ArchiveError> {
        let mut names = match self {
            Self::Folder(path) => names(path, true).await?,
            Self::Bucket { prefix, .. } => self.listed(&folder_of(prefix), true).await?,
        };
        names.retain(|name| Chain::is_name(name));
        names.sort_unstable();
        Ok(names)
    }

    /// The numbers of a chain's segments, sorted.
    ///
    /// # Errors
    /// The place cannot be read.
    pub async fn segments(&self, chain: &str) -> Result<Vec<u64>, ArchiveError> {
        let names = match self {
            Self::Folder(path) => names(&path.join(chain), false).await?,
            Self::Bucket { prefix, .. } => {
                self.listed(&format!("{}{chain}/", folder_of(prefix)), false).await?
            }
        };
        let number = |name: &String| {
            let number = name.strip_suffix(".jsonl")?.parse().ok()?;
            (number > 0 && *name == file_name(number)).then_some(number)
        };
        let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// The lines of one segment.
    ///
    /// # Errors
    /// The place cannot be read.
    pub async fn lines(&self, chain: &str, segment: u64) -> Result<Lines, ArchiveError> {
        match self {
            Self::Folder(path) => {
                let path = path.join(chain).join(file_name(segment));
                let opened = fs::File::open(&path).await;
                let file = opened.map_err(|source| ArchiveError::Io { path: path.clone(), source })?;
                Ok(Lines::new(file, path))
            }
            Self::Bucket { client, bucket, prefix } => {
                let key = key(prefix, chain, segment);
                let got = client.get_object().bucket(bucket).key(&key).send().await;
                let object = got.map_err(|error| said(format!("{bucket}/{key}"), failure(&error)))?;
                Ok(Lines::new(object.body.into_async_read(), format!("s3://{bucket}/{key}").into()))
            }
        }
    }

    /// The last parts of the names below a prefix: of what looks like folders, or of objects.
    async fn listed(&self, below: &str, folders: bool) -> Result<Vec<String>, ArchiveError> {
        let Self::Bucket { client, bucket, .. } = self else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        let mut pages =
            client.list_objects_v2().bucket(bucket).prefix(below).delimiter("/").into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| said(format!("{bucket}/{below}"), failure(&error)))?;
            let found: Vec<&str> = if folders {
                page.common_prefixes().iter().filter_map(|found| found.prefix()).collect()
            } else {
                page.contents().iter().filter_map(|found| found.key()).collect()
            };
            let last = |name: &str| Some(name.strip_prefix(below)?.trim_end_matches('/').to_owned());
            names.extend(found.into_iter().filter_map(last));
        }
        Ok(names)
    }
}

fn folder_of(prefix: &str) -> String {
    if prefix.is_empty() { String::new() } else { format!("{prefix}/") }
}

fn said(place: String, failed: Failure) -> ArchiveError {
    ArchiveError::S3 { place, code: failed.code, message: failed.message }
}

/// Names in a folder: of folders, or of files.
async fn names(path: &Path, folders: bool) -> Result<Vec<String>, ArchiveError> {
    let found = async {
        let mut names = Vec::new();
        let mut entries = fs::read_dir(path).await?;
        while let Some(entry) = entries.next_entry().await? {
            if entry.file_type().await?.is_dir() == folders {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    };
    found.await.map_err(|source| ArchiveError::Io { path: path.to_owned(), source })
}
