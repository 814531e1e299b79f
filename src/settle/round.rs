//! One round of settlements, sorted by what the ledger has to hear of each. In: settlements. Out: commits, releases,
//! and those of which the ledger needs to know nothing.

use std::{sync::Arc, time::Duration};

use super::{Ended, Ending, Outcome, Settlement, receipt::Ticket};
use crate::{
    dedupe::{Claimed, Committed, OpenClaim},
    flow::Flow,
    room::Permit,
};

/// How one delivery ended; its message does not know yet.
pub(super) struct Share {
    pub(super) message: Arc<Ticket>,
    /// `None`: the seal on a message that was divided.
    pub(super) delivery: Option<Delivered>,
    /// Kept until the ledger has been told, so that the claim is renewed until then.
    claim: Option<OpenClaim>,
}

/// How one delivery ended.
pub(super) struct Delivered {
    pub(super) flow: Arc<Flow>,
    pub(super) ending: Ending,
    /// After how long the message is to come again, if it is.
    pub(super) returned_after: Option<Duration>,
    pub(super) was_dropped: bool,
    /// Given back when this is settled.
    _room: Option<Arc<Permit>>,
}

/// A delivery that the ledger has to remember as settled.
pub(super) struct ToCommit {
    pub(super) committed: Committed,
    pub(super) share: Share,
}

/// A round.
#[derive(Default)]
pub(super) struct Round {
    pub(super) commits: Vec<ToCommit>,
    /// Claims to give up, in the order of their shares.
    pub(super) releases: Vec<Claimed>,
    pub(super) released: Vec<Share>,
    pub(super) free: Vec<Share>,
}

impl Round {
    pub(super) fn sort(settlements: Vec<Settlement>) -> Self {
        let mut round = Self::default();
        for Settlement { message, delivery } in settlements {
            match delivery {
                None => round.free.push(Share { message, delivery: None, claim: None }),
                Some(ended) => round.add(message, ended),
            }
        }
        round
    }

    fn add(&mut self, message: Arc<Ticket>, Ended { flow, claim, outcome, room }: Ended) {
        let was_dropped = matches!(outcome, Outcome::Drop);
        let (ending, returned_after) = (outcome.ending(), outcome.returned_after());
        let delivery = Some(Delivered { flow, ending, returned_after, was_dropped, _room: room });
        let claimed = claim.as_ref().map(|open| open.claimed().clone());
        let share = Share { message, delivery, claim };
        match (claimed, outcome.into_final()) {
            (Some(claim), Some(state)) => {
                self.commits.push(ToCommit { committed: Committed { claim, state }, share });
            }
            (Some(claim), None) => {
                self.releases.push(claim);
                self.released.push(share);
            }
            (None, _) => self.free.push(share),
        }
    }
}

impl Share {
    /// The ledger has been told: the claim need not be renewed any more.
    pub(super) fn end_claim(&mut self) {
        self.claim = None;
    }
}
