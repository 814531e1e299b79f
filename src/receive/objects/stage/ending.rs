//! How it ended with one object, whole or not. In: how far it was read, and what stopped it. Out: a letter that leads to
//! it, or the delay after which its message comes again.

use std::time::Duration;

use bytes::Bytes;
use tracing::{debug, warn};

use super::{super::ObjectError, DENIALS_MAX, Ended, Part, Shared, Standing};
use crate::{
    decode::{Found, Notice},
    failure::{Reason, Rejection},
    intervals::of_attempt,
    receive::Origin,
    settle::MessageReceipt,
};

/// An object that is missing or archived at this delivery of its message will be so at the next, too.
const OF_ITSELF_DELIVERIES: u32 = 5;
/// The delay after the first delivery that could not be read; it doubles with each.
const AGAIN_FIRST: Duration = Duration::from_secs(10);
const AGAIN_LONGEST: Duration = Duration::from_mins(15);

impl Shared {
    pub(super) fn whole(&self, standing: &Standing<'_>, receipt: &mut MessageReceipt) -> Ended {
        debug!(stage = "receive", object = %standing.object, records = standing.position, "read an object");
        self.count("read");
        self.store.forget(&standing.message.handle.message_id, standing.object);
        if standing.position == 0 {
            let found = Found::Notice(Notice::EmptyObject);
            let origin = standing.origin(Bytes::new());
            (self.objects.process)(Part { origin, found, room: None }, receipt);
        }
        Ended::Done
    }

    pub(super) fn broken(
        &self,
        standing: &Standing<'_>,
        passed: u64,
        damage: &str,
        receipt: &mut MessageReceipt,
    ) -> Ended {
        let detail = match standing.object.whole {
            Some(_) => format!("could not be read: {damage}"),
            None => format!(
                "could not be read from record {} on (byte {passed} of its text): {damage}",
                standing.position
            ),
        };
        self.reject(standing.whole_object(), Reason::BrokenObject, detail, receipt);
        self.count("broken");
        Ended::Done
    }

    pub(super) fn denied(&self, standing: &Standing<'_>, code: &str, receipt: &mut MessageReceipt) -> Ended {
        let detail = format!(
            "could not be read in {DENIALS_MAX} tries, while others of its bucket could ({code}); it may be missing, \
             or encrypted with another key"
        );
        self.reject(standing.whole_object(), Reason::ObjectDenied, detail, receipt);
        self.count("denied");
        self.store.forget(&standing.message.handle.message_id, standing.object);
        Ended::Done
    }

    /// What is missing may have been announced too early, and what is archived be on its way; after so many deliveries
    /// a person has to see to it.
    pub(super) fn not_now(
        &self,
        standing: &Standing<'_>,
        error: &ObjectError,
        receipt: &mut MessageReceipt,
    ) -> Ended {
        let (object, attempt) = (standing.object, standing.message.attempt);
        let of_itself = match error {
            ObjectError::Missing => Some((Reason::ObjectMissing, "missing")),
            ObjectError::Archived => Some((Reason::ObjectDenied, "denied")),
            ObjectError::Changed | ObjectError::Call(_) => None,
        };
        if let Some((reason, result)) = of_itself.filter(|_| attempt >= OF_ITSELF_DELIVERIES) {
            let detail = format!("{error}: still so at delivery {attempt} of the message that names it");
            self.reject(standing.whole_object(), reason, detail, receipt);
            self.count(result);
            return Ended::Done;
        }
        let after = of_attempt(attempt, AGAIN_FIRST, AGAIN_LONGEST);
        warn!(stage = "receive", %object, attempt, %error, after_s = after.as_secs(),
            "could not read an object, its message will come again");
        self.count("returned");
        Ended::Again(after)
    }

    /// A dead letter in place of what could not be read, which leads to it again.
    pub(super) fn reject(
        &self,
        origin: Origin,
        reason: Reason,
        detail: String,
        receipt: &mut MessageReceipt,
    ) {
        let found = Found::Rejected(Rejection::new(reason, detail));
        (self.objects.process)(Part { origin, found, room: None }, receipt);
    }

    pub(super) fn count(&self, result: &str) {
        self.objects.metrics.process.objects.by(&[("result", result)]).increment(1);
    }
}
