//! How ledgers and logs are named and reached: names, servers, passwords, files, folders and buckets.

use std::path::PathBuf;

use super::{Kind, Wrong};
use crate::{config::Storage, receive::objects::Buckets};

/// A name: ASCII letters, digits and a few others.
pub struct Name {
    /// Fewest characters.
    pub chars_min: usize,
    /// Most characters.
    pub chars_max: usize,
    /// What may stand in it beside letters and digits.
    pub others: &'static str,
}

impl Kind for Name {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, Wrong> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || self.others.contains(c);
        if (self.chars_min..=self.chars_max).contains(&text.len()) && text.chars().all(is_allowed) {
            return Ok(text.to_owned());
        }
        Err(Wrong::new(
            format!("{text:?} is no name that can stand here"),
            format!("write {}", self.bounds()),
        ))
    }

    fn bounds(&self) -> String {
        format!("{} to {} letters, digits or {}", self.chars_min, self.chars_max, self.others)
    }
}

/// A password. Secret.
pub struct Password;

impl Kind for Password {
    type Value = String;
    const SECRET: bool = true;

    fn parse(&self, text: &str) -> Result<String, Wrong> {
        if text.is_empty() || text.len() > PASSWORD_BYTES_MAX {
            return Err(Wrong::new("the password is empty or too long", format!("write {}", self.bounds())));
        }
        Ok(text.to_owned())
    }

    fn bounds(&self) -> String {
        format!("1 to {PASSWORD_BYTES_MAX} bytes")
    }
}

/// Longer than any token that a server takes for a password.
const PASSWORD_BYTES_MAX: usize = 4_096;

/// URLs of Valkey or Redis servers, with commas between them.
pub struct ValkeyUrls;

impl Kind for ValkeyUrls {
    type Value = Vec<String>;

    fn parse(&self, text: &str) -> Result<Vec<String>, Wrong> {
        text.split(',').map(|url| valkey_url(url.trim())).collect()
    }

    fn bounds(&self) -> String {
        "redis:// or rediss://, a host and a port".into()
    }
}

fn valkey_url(url: &str) -> Result<String, Wrong> {
    let rest = url.strip_prefix("rediss://").or_else(|| url.strip_prefix("redis://"));
    let Some(rest) = rest.map(|rest| rest.trim_end_matches('/')) else {
        return Err(Wrong::new("is no URL of a server", "write redis:// or rediss://, a host and a port"));
    };
    let (user, host) = rest.rsplit_once('@').unwrap_or(("", rest));
    if user.contains(':') {
        return Err(Wrong::new("holds a password, which would be shown", "write it as ledger.password"));
    }
    let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if host.is_empty() || !host.chars().all(is_host) {
        return Err(Wrong::new("names no host", "write redis:// or rediss://, a host and a port"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// A path on this machine.
pub struct LocalPath {
    /// What is there, such as `a PEM file`.
    pub to: &'static str,
}

impl Kind for LocalPath {
    type Value = PathBuf;

    fn parse(&self, text: &str) -> Result<PathBuf, Wrong> {
        if text.is_empty() {
            return Err(Wrong::new("is empty", format!("write the path of {}", self.to)));
        }
        Ok(text.into())
    }

    fn bounds(&self) -> String {
        format!("the path of {}", self.to)
    }
}

/// Names of buckets, with commas between them.
pub struct BucketNames;

impl Kind for BucketNames {
    type Value = Buckets;

    fn parse(&self, text: &str) -> Result<Buckets, Wrong> {
        Buckets::parse(text).ok_or_else(|| {
            Wrong::new(format!("{text:?} are no names of buckets"), format!("write {}", self.bounds()))
        })
    }

    fn bounds(&self) -> String {
        "names of buckets with commas between them; a * at the end of one stands for anything".into()
    }
}

/// A folder, or `s3://bucket/prefix`.
pub struct Place;

impl Kind for Place {
    type Value = Storage;

    fn parse(&self, text: &str) -> Result<Storage, Wrong> {
        let cure = "write a folder such as /var/lib/tributary/log, or s3://bucket/prefix";
        let Some(rest) = text.strip_prefix("s3://") else {
            if text.is_empty() || text.contains("://") {
                return Err(Wrong::new(format!("{text:?} is neither a folder nor a place in S3"), cure));
            }
            return Ok(Storage::Folder(text.into()));
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        // https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
        let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(is_allowed) {
            return Err(Wrong::new(format!("{bucket:?} is no name of a bucket"), cure));
        }
        Ok(Storage::S3 { bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }

    fn bounds(&self) -> String {
        "a folder, or s3://bucket/prefix".into()
    }
}
