//! Stage 9, publish. In: a batch. Out: each of its deliveries on the way to the settler, the dead letters or another
//! try. Next: settle.
//!
//! The seam [`Destination`] and the answer to every answer that it can give.

mod attempts;
pub mod cloudtrail_lake;
mod lane;
mod pace;

pub use lane::{Lane, LaneSettings};

use async_trait::async_trait;

use crate::{batch::Limits, event::ReadyEvent, failure::CallError};

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

/// Proof that the destination accepted the event.
#[derive(Debug)]
pub struct Published {
    stored_as: String,
}

impl Published {
    pub(crate) fn into_stored_as(self) -> String {
        self.stored_as
    }
}
