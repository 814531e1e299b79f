//! Where events are kept that are too large for the dead-letter queue: objects of S3, or files. In: an event's own
//! bytes. Out: the same bytes under a name that is their SHA-256, and the pointer that its letter holds in their place.
//!
//! The name follows from the bytes, so a second try writes the same thing over itself, and nothing is ever written over
//! something else.

mod folder;
mod s3;

use bytes::Bytes;

use self::{folder::Folder, s3::Bucket};
use crate::{
    aws::Aws,
    config::Storage,
    decode::{Sum, pointer_to_stored},
    failure::CallError,
};

/// The key that says where; named in every cure.
const SETTING: &str = "dead_letter.overflow";

/// A place for large events.
pub(super) enum Overflow {
    Bucket(Bucket),
    Folder(Folder),
}

impl Overflow {
    /// The bucket must be there; a folder is made when it is first needed.
    pub(super) fn new(aws: &Aws, storage: &Storage) -> Self {
        match storage {
            Storage::Folder(path) => Self::Folder(Folder::new(path.clone())),
            Storage::S3 { bucket, prefix } => Self::Bucket(Bucket::new(aws, bucket, prefix)),
        }
    }

    /// What stands in the letter in the place of the event.
    pub(super) fn pointer(&self, sum: Sum, bytes: usize) -> String {
        let name = sum.to_string();
        let at = match self {
            Self::Bucket(bucket) => bucket.place(&name),
            Self::Folder(folder) => folder.file(&name).display().to_string(),
        };
        pointer_to_stored(&at, sum, bytes as u64)
    }

    /// Keeps the bytes, whose sum is this, so that they last. May be said again.
    ///
    /// # Errors
    /// Whose fault it is that they are not kept.
    pub(super) async fn keep(&self, sum: Sum, original: Bytes) -> Result<(), CallError> {
        let name = sum.to_string();
        match self {
            Self::Bucket(bucket) => bucket.keep(&name, sum, original).await,
            Self::Folder(folder) => folder.keep(&name, original).await,
        }
    }
}
