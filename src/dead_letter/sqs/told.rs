//! A letter's words as an operator's commands read them. In: what stands in the attribute `tributary.letter`, of this version
//! or another. Out: [`Told`], in which whatever is not said is empty. Nothing in it can be trusted: who may send to the
//! queue may write such an attribute.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a letter says.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Told {
    pub(crate) reason: String,
    pub(crate) detail: String,
    pub(crate) stage: String,
    pub(crate) event_id: String,
    pub(crate) message_id: String,
    pub(crate) position: usize,
    pub(crate) attempts: u32,
    pub(crate) first_seen: Option<String>,
    pub(crate) dead_lettered_at: Option<String>,
    pub(crate) content_sha256: Option<String>,
    pub(crate) destination: String,
    pub(crate) about: Value,
    pub(crate) program: String,
}

impl Told {
    /// `None` where these are no words of a letter.
    pub(crate) fn read(words: &str) -> Option<Self> {
        serde_json::from_str(words).ok()
    }

    /// The queue or stream that the event came from.
    pub(crate) fn source(&self) -> &str {
        self.about["source"].as_str().unwrap_or_default()
    }
}
