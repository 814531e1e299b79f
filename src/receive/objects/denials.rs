//! Whose fault is a denial? Ours, if nothing in the bucket can be read; the object's, if others are read meanwhile.
//!
//! One job of each bucket waits until a denial is cured, and so finds it out. All others give their messages back: each
//! that waits holds room, and together they would stop the worker.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{ObjectError, ObjectStore, OpenObject};
use crate::{
    decode::ObjectRef,
    gate::{Cause, Gate},
};

/// Objects of messages whose denials are remembered; with one more, all are forgotten, and count anew.
const REMEMBERED_MAX: usize = 4_096;

/// A store that remembers how often something was opened in each bucket, and so finds out that a denial is cured.
pub(super) struct Watched {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) gate: Arc<Gate>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// How often something was opened in each bucket.
    opened: BTreeMap<String, u64>,
    /// Of objects by the message that names them: it may come back in between.
    denials: BTreeMap<(Arc<str>, String), Denials>,
    /// Buckets of which a job waits for the cure.
    waiting: BTreeSet<String>,
}

/// The denials of one object.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Denials {
    /// What was opened in its bucket before the last one.
    opened: u64,
    /// Denials with others opened in between.
    pub(super) of_itself: u32,
    /// The last one was such.
    pub(super) is_of_itself: bool,
}

/// The right to wait for the cure of a bucket. Only one job has it at a time.
pub(super) struct Waiting {
    watched: Arc<Watched>,
    bucket: String,
}

impl Watched {
    pub(super) fn new(store: Arc<dyn ObjectStore>, gate: Arc<Gate>) -> Self {
        Self { store, gate, known: Mutex::default() }
    }

    /// One more denial of an object that this message names.
    pub(super) fn denied(&self, message_id: &Arc<str>, object: &ObjectRef) -> Denials {
        let mut known = self.lock();
        let opened = known.opened.get(&object.bucket).copied().unwrap_or(0);
        let key = (message_id.clone(), object.to_string());
        if known.denials.len() >= REMEMBERED_MAX && !known.denials.contains_key(&key) {
            known.denials.clear();
        }
        let denials = known.denials.entry(key).or_default();
        denials.is_of_itself = opened > denials.opened;
        denials.opened = opened;
        denials.of_itself += u32::from(denials.is_of_itself);
        *denials
    }

    /// It is settled what becomes of the object.
    pub(super) fn forget(&self, message_id: &Arc<str>, object: &ObjectRef) {
        self.lock().denials.remove(&(message_id.clone(), object.to_string()));
    }

    /// `None`: another job waits already.
    pub(super) fn wait_for(self: &Arc<Self>, bucket: &str) -> Option<Waiting> {
        let is_first = self.lock().waiting.insert(bucket.to_owned());
        is_first.then(|| Waiting { watched: self.clone(), bucket: bucket.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.watched.lock().waiting.remove(&self.bucket);
    }
}

#[async_trait]
impl ObjectStore for Watched {
    async fn open(
        &self,
        object: &ObjectRef,
        from_byte: u64,
        etag: Option<&str>,
    ) -> Result<OpenObject, ObjectError> {
        let opened = self.store.open(object, from_byte, etag).await?;
        *self.lock().opened.entry(object.bucket.clone()).or_default() += 1;
        self.gate.open(&Cause::Objects(object.bucket.clone()));
        Ok(opened)
    }
}
