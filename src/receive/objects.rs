//! A second half of stage 1: a message says that its events are in objects of S3, and they are read from there.
//!
//! In: messages with the objects that they name ([`Job`]). Out: their records, each with its own share of the
//! message's receipt, decoded like messages ([`Part`]). The seam is [`ObjectStore`]. An object of any size is read in
//! bounded memory: bytes are unpacked (`inflate`) and cut into records (`frames`) as they arrive, and each record
//! waits for room.

mod buckets;
mod denials;
#[cfg(test)]
mod doubles;
mod frames;
mod inflate;
mod pointer;
mod reading;
pub mod s3;
mod stage;

pub use self::{
    buckets::{Buckets, Wanted},
    stage::{Job, Objects, Part, Process},
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{decode::ObjectRef, failure::CallError};

/// What reading one object may take in memory: what arrived, what came out of it, and the longest record. A message
/// that waits for its objects weighs as much, so that no worker takes more of them than it can soon read.
pub const OBJECT_BYTES: usize = 1 << 20;

/// Where objects are.
#[async_trait]
pub trait ObjectStore: Send + Sync + 'static {
    /// Opens an object at one of its bytes. With an `etag`, only if it is still the same object.
    ///
    /// # Errors
    /// Whose fault it is that it cannot be read.
    async fn open(
        &self,
        object: &ObjectRef,
        from_byte: u64,
        etag: Option<&str>,
    ) -> Result<OpenObject, ObjectError>;
}

/// An object that is open.
pub struct OpenObject {
    /// Of the whole object, as it is stored.
    pub bytes: u64,
    /// Changes with the object's bytes.
    pub etag: Option<String>,
    /// What follows from the byte that was asked for.
    pub body: Box<dyn ObjectBody>,
}

/// The bytes of an open object.
#[async_trait]
pub trait ObjectBody: Send {
    /// The next few; `None` at the end.
    ///
    /// # Errors
    /// The connection ended. What was read so far stands.
    async fn next(&mut self) -> Option<Result<Bytes, CallError>>;
}

/// Why an object was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// There is no such object, or not any more.
    #[error("there is no such object")]
    Missing,
    /// It is stored where nothing can be read until it is restored.
    #[error("the object is archived, and has to be restored")]
    Archived,
    /// It was written over while it was read.
    #[error("the object was written over while it was read")]
    Changed,
    /// The moment's fault, or ours.
    #[error(transparent)]
    Call(#[from] CallError),
}
