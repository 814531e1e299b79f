//! A part of stage 5: takes out of an event what must not reach the lake, where nothing can be deleted.
//!
//! In: a claimed event, its id and content hash made of it as it was received. Out: the same event without those
//! values. Programs find the places; [`rewrite`] changes these and leaves every other byte as it was. What cannot be
//! done is a rejection: rather a dead letter than a secret in the lake.

mod rewrite;

use std::fmt;

use crate::{
    event::{IdentifiedEvent, Note},
    failure::Reason,
    formats::Format,
    jq::{Input, RunError, Written},
    receive::About,
};
use rewrite::{Act, Edits, rewrite};

/// What one destination must not get.
#[derive(Clone)]
pub struct Redaction {
    /// Paths of what is taken out.
    pub drop: Option<Written>,
    /// Paths of what is replaced by words that say so.
    pub mask: Option<Written>,
    /// Paths of what is replaced by its keyed hash.
    pub hash: Option<Written>,
    /// The key of those hashes.
    pub key: Option<String>,
    /// Whether what the event's format calls secret is masked.
    pub masks_known: bool,
}

impl Default for Redaction {
    fn default() -> Self {
        Self { drop: None, mask: None, hash: None, key: None, masks_known: true }
    }
}

/// All but the key, of which only the presence is told.
impl fmt::Debug for Redaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redaction")
            .field("drop", &self.drop)
            .field("mask", &self.mask)
            .field("hash", &self.hash)
            .field("key", &self.key.as_ref().map(|_| "(hidden)"))
            .field("masks_known", &self.masks_known)
            .finish()
    }
}

impl Redaction {
    /// The event without what must not reach the lake, and a note for each change; `None` where nothing of it is to be
    /// changed.
    ///
    /// # Errors
    /// [`Reason::RedactFailed`]: nobody can say what would have to be changed, or nothing would be left.
    pub fn apply<'a>(
        &'a self,
        event: &'a IdentifiedEvent,
        about: &About,
    ) -> Result<Option<(IdentifiedEvent, Vec<Note>)>, RunError> {
        let known = match &event.format {
            Format::Mapped(mapping) => Some(&mapping.secrets),
            Format::Lake | Format::CloudTrail => None,
        };
        let own = |written: &'a Option<Written>| written.as_ref().map(|written| &*written.program);
        let asked = [
            ("redact_drop", Act::Drop, own(&self.drop)),
            ("redact_hash", Act::Hash, own(&self.hash)),
            ("redact_mask", Act::Mask, own(&self.mask)),
            ("the format's `secrets`", Act::Mask, known.filter(|_| self.masks_known)),
        ];
        if asked.iter().all(|(_, _, program)| program.is_none()) {
            return Ok(None);
        }
        let input = Input::of(event, about);
        let mut edits = Edits::default();
        for (key, act, program) in asked {
            let Some(program) = program else { continue };
            for path in program.paths(&input).map_err(|error| failed(key, error))? {
                edits.add(path, act);
            }
        }
        if edits.is_of_the_whole() {
            return Err(failed(
                "a path",
                RunError::saying("it is that of the whole event, of which nothing would be left"),
            ));
        }
        let (json, notes) =
            rewrite(&event.raw.json, &edits, self.key.as_deref().unwrap_or_default().as_bytes());
        if notes.is_empty() {
            return Ok(None);
        }
        Ok(Some((event.with_text(json), notes)))
    }
}

fn failed(key: &str, error: RunError) -> RunError {
    error.of(Reason::RedactFailed, &format!("{key} of this destination"))
}

#[cfg(test)]
mod tests;
