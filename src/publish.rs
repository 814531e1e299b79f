//! Stage 9, publish. In: a batch. Out: each of its deliveries on the way to the settler, the dead letters or another
//! try. Next: settle.
//!
//! The seam [`Destination`] and the answer to every answer that it can give.

mod attempts;
mod calls;
pub mod cloudtrail_lake;
mod entrance;
mod lane;
mod pace;
mod trouble;
mod waiting;

pub use entrance::Entrance;
pub(crate) use entrance::Stay;
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
    uid: ByteString,
    checksum: String,
}

impl Published {
    /// The destination answered at `at` that it has `event`, as `stored_as`.
    fn new(event: ReadyEvent, stored_as: String, at: SystemTime) -> Self {
        let ReadyEvent { id, event_time, uid, checksum, .. } = event;
        Self { stored_as, at, id, event_time, uid, checksum }
    }

    /// The line of the publish log that says so.
    pub(crate) fn to_accepted(&self, destination: &Arc<str>, content: Option<ContentHash>) -> Accepted {
        let text = |json: &str| json::text(json).unwrap_or_default().as_ref().into();
        Accepted {
            at: self.at,
            destination: destination.clone(),
            id: self.id.wire().into(),
            uid: text(&self.uid),
            stored_as: self.stored_as.as_str().into(),
            event_time: text(&self.event_time),
            content,
            checksum: self.checksum.as_str().into(),
        }
    }

    pub(crate) fn into_stored_as(self) -> String {
        self.stored_as
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::{
        checksum::checksum, config::Oversize, decode::decode, formats::Formats, identify::identify, map::map,
        receive::About, validate::validate,
    };

    #[test]
    fn what_is_logged_of_an_event_is_what_was_sent() {
        let longest = "ü".repeat(1_024);
        for (uid, time) in [
            ("u-1".to_owned(), "2026-01-02T03:04:05Z"),
            ("arn:aws:iam::1:role/a \\\"b\\\"".to_owned(), "2026-01-02T03:04:05.999+01:00"),
            (longest.clone(), "2026-01-02T03:04:05\\u005a"),
            (format!("{longest}x"), "2026-01-02T03:04:05Z"),
        ] {
            let json = format!(
                r#"{{"version":"1.0","userIdentity":{{"type":"User","principalId":"p"}},"eventSource":"a.example.com",
                "eventName":"Login","eventTime":"{time}","UID":"{uid}"}}"#
            );
            let raw = decode(json.into()).remove(0).found.into_event().unwrap();
            let about = About::default();
            let event = identify(raw, &about, &Formats::built_in(), None).unwrap();
            let event = map(&event, &about, "111122223333").unwrap();
            let event = checksum(validate(event, Oversize::Move).unwrap());
            let sent: serde_json::Value = serde_json::from_str(event.json()).unwrap();
            let (wire, hash) = (event.id().wire().to_owned(), STANDARD.encode(Sha256::digest(event.json())));
            let published = Published::new(event, "stored".to_owned(), SystemTime::UNIX_EPOCH);
            let accepted = published.to_accepted(&"lake".into(), Some(ContentHash([7; 32])));
            assert_eq!(
                (&*accepted.uid, &*accepted.event_time),
                (sent["UID"].as_str().unwrap(), sent["eventTime"].as_str().unwrap())
            );
            assert_eq!(
                (&*accepted.id, &*accepted.checksum, &*accepted.stored_as),
                (&*wire, &*hash, "stored")
            );
        }
    }
}
