//! Whose fault is a denial? Ours, if nothing in the bucket can be read; the object's, if others are read meanwhile.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::{ObjectError, ObjectStore, OpenObject};
use crate::{
    decode::ObjectRef,
    gate::{Cause, Gate},
};

/// A store that remembers how often something was opened in each bucket, and so finds out that a denial is cured.
pub(super) struct Watched {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) gate: Arc<Gate>,
    opened: Mutex<BTreeMap<String, u64>>,
}

/// The denials of one object.
#[derive(Debug, Default)]
pub(super) struct Denials {
    /// What was opened in its bucket before the last one.
    opened: u64,
    /// Denials with others opened in between.
    pub(super) of_itself: u32,
}

impl Watched {
    pub(super) fn new(store: Arc<dyn ObjectStore>, gate: Arc<Gate>) -> Self {
        Self { store, gate, opened: Mutex::default() }
    }

    /// One more denial of an object of this bucket. Whether it says something of the object alone.
    pub(super) fn denied(&self, bucket: &str, denials: &mut Denials) -> bool {
        let opened = self.lock().get(bucket).copied().unwrap_or(0);
        let is_of_itself = opened > denials.opened;
        denials.opened = opened;
        denials.of_itself += u32::from(is_of_itself);
        is_of_itself
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
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
        *self.lock().entry(object.bucket.clone()).or_default() += 1;
        self.gate.open(&Cause::Objects(object.bucket.clone()));
        Ok(opened)
    }
}
