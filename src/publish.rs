//! Stage 9, publish. In: a batch. Out: each of its deliveries on the way to the settler, the dead letters or another
//! try. Next: settle.
//!
//! The seam [`Destination`] and the answer to every answer that it can give.

mod attempts;
pub mod cloudtrail_lake;
mod lane;
mod pace;

pub use lane::{Lane, LaneSettings};

use std::{sync::Arc, time::SystemTime};

use async_trait::async_trait;
use bytestring::ByteString;

use crate::{
    batch::Limits,
    event::{ContentHash, EventId, ReadyEvent},
    failure::CallError,
    json,
    publish_log::Accepted,
};

/// What the destination said about one event of a call that succeeded as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is there, under this name of the destination's own.
    Accepted {
        /// The lake's `eventID`.
        stored_as: String,
    },
    /// Not now.
    TryAgain {
        /// The destination's code.
        code: String,
    },
    /// Never: the event itself is at fault.
    Refused {
        /// The destination's code.
        code: String,
    },
    /// The response does not mention it. It may be there or not.
    Unknown,
}

/// Where events are published.
#[async_trait]
pub trait Destination: Send + Sync + 'static {
    /// What one call may hold.
    fn limits(&self) -> Limits;

    /// One call. One verdict for each event, in the same order.
    ///
    /// # Errors
    /// The call as a whole. After [`CallError::Transient`] with the code `timeout` or `no_reply` the outcome is
    /// unknown: the events may be there or not.
    async fn put(&self, events: &[&ReadyEvent]) -> Result<Vec<Verdict>, CallError>;
}

/// Proof that the destination accepted the event, and what a log of that is made from.
#[derive(Debug)]
pub struct Published {
    stored_as: String,
    at: SystemTime,
    id: EventId,
    event_time: ByteString,
    checksum: String,
}

impl Published {
    /// The destination answered at `at` that it has `event`, as `stored_as`.
    fn new(event: ReadyEvent, stored_as: String, at: SystemTime) -> Self {
        let ReadyEvent { id, event_time, checksum, .. } = event;
        Self { stored_as, at, id, event_time, checksum }
    }

    /// The line of the publish log that says so.
    pub(crate) fn to_accepted(&self, destination: &Arc<str>, content: Option<ContentHash>) -> Accepted {
        Accepted {
            at: self.at,
            destination: destination.clone(),
            id: self.id.wire().into(),
            uid: self.id.uid().into(),
            stored_as: self.stored_as.as_str().into(),
            event_time: json::text(&self.event_time).unwrap_or_default().as_ref().into(),
            content,
            checksum: self.checksum.as_str().into(),
        }
    }

    pub(crate) fn into_stored_as(self) -> String {
        self.stored_as
    }
}
