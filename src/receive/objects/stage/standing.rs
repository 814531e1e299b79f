//! How far an object was read, and where its next part stands.

use std::sync::Arc;

use bytes::Bytes;

use super::super::pointer::pointer;
use crate::{
    decode::{EVENT_BYTES_MIN, ObjectRef},
    receive::{About, Message, Origin},
};

/// An object with more records than this must be long enough to hold real ones, as a message must, and some of them
/// must be events: letters for each of very many would keep the breaker closed, and all else waiting, for days.
const DOUBTFUL_RECORDS_MAX: usize = 100;
/// Of a hundred records.
const REJECTED_MAX: usize = 90;
/// As for the events of a message.
const RECORD_BYTES_MIN: u64 = EVENT_BYTES_MIN as u64;

/// How far an object was read.
pub(super) struct Standing<'a> {
    pub(super) message: &'a Message,
    pub(super) object: &'a ObjectRef,
    about: Arc<About>,
    /// Of the next part.
    pub(super) position: usize,
    /// Parts before it that are no events.
    pub(super) rejected: usize,
}

impl<'a> Standing<'a> {
    pub(super) fn new(message: &'a Message, object: &'a ObjectRef) -> Self {
        let about = match object.whole {
            // What was known of the event when its letter was written is known of it again.
            Some(_) => message.about.clone(),
            None => Arc::new(About { object: Some(object.to_string().into()), ..(*message.about).clone() }),
        };
        Self { message, object, about, position: 0, rejected: 0 }
    }

    /// Of the next part. A letter that is sent again leads to all of its object, and was written for one place in it, if
    /// not for all of it.
    pub(super) fn origin(&self, original: Bytes) -> Origin {
        let is_meant = self.object.whole.is_some() || self.about.redriven_at == Some(self.position);
        Origin {
            about: self.about.clone(),
            is_redriven: self.message.is_redriven && is_meant,
            ..Origin::of(self.message, self.position, original)
        }
    }

    /// Why what follows is not worth reading, if so little of it can be events.
    pub(super) fn doubt(&self, passed: u64) -> Result<(), String> {
        if self.position <= DOUBTFUL_RECORDS_MAX {
            return Ok(());
        }
        let may_be = usize::try_from(passed / RECORD_BYTES_MIN).unwrap_or(usize::MAX);
        let may_be = may_be.max(DOUBTFUL_RECORDS_MAX);
        if self.position > may_be {
            return Err(format!("it has more than {may_be} records there, too many to be events"));
        }
        if self.rejected * 100 > self.position * REJECTED_MAX {
            return Err(format!("{} of the records before are no events", self.rejected));
        }
        Ok(())
    }

    /// Of the letter for the object, or for the rest of it.
    pub(super) fn whole_object(&self) -> Origin {
        Origin { is_whole_object: true, ..self.origin(pointer(self.object)) }
    }
}
