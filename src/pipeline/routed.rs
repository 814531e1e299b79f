//! From one identified event to its deliveries: one for each destination that wants it. In: the event, and the right to
//! divide its message. Out: candidates for a claim; what a rule dropped is settled here.

use std::{sync::Arc, time::Duration};

use super::stages::{Stages, ToLane};
use crate::{
    dedupe::Candidate,
    event::IdentifiedEvent,
    failure::Rejection,
    flow::Flow,
    receive::{Delivery, Origin},
    room::Permit,
    route::{Asked, Filtered, Unmatched, Way, no_route},
    settle::{MessageReceipt, Proof, Receipt},
};

/// Where the deliveries of one event go.
pub(super) struct Shares<'a> {
    pub(super) receipt: &'a mut MessageReceipt,
    pub(super) origin: &'a Origin,
    /// Of their own, where the message is too large to be here as a whole.
    pub(super) room: Option<Arc<Permit>>,
    pub(super) candidates: &'a mut Vec<Delivery<Candidate>>,
}

impl Shares<'_> {
    pub(super) fn candidate(&mut self, event: Result<IdentifiedEvent, Rejection>, flow: &Arc<Flow>) {
        let event = Candidate::new(event, self.origin);
        let (origin, receipt) = (self.origin.clone(), self.share(flow));
        self.candidates.push(Delivery { event, origin, receipt });
    }

    pub(super) fn filter(&mut self, flow: &Arc<Flow>, filtered: Filtered) {
        self.share(flow).ack(Proof::Filtered(filtered));
    }

    /// Takes more room for the event: it turned out to weigh more than its bytes.
    pub(super) fn weigh(&self, more_bytes: usize) {
        match &self.room {
            Some(room) => room.grow(more_bytes),
            None => self.receipt.weigh(more_bytes),
        }
    }

    fn share(&mut self, flow: &Arc<Flow>) -> Receipt {
        self.receipt.share_with_room(flow, self.room.clone())
    }

    fn return_after(&mut self, flow: &Arc<Flow>, after: Duration) {
        self.share(flow).return_after(after);
    }
}

impl Stages {
    /// A share for each destination that wants the event.
    pub(super) fn route(&self, event: IdentifiedEvent, shares: &mut Shares<'_>) {
        let wanting = self.wanting(&event, shares);
        if let Some((last, others)) = wanting.split_last() {
            for lane in others {
                deliver(event.clone(), lane, shares);
            }
            deliver(event, last, shares);
        }
    }

    /// The lanes that want the event. What else becomes of it is settled here, or is a rejection.
    fn wanting<'a>(&'a self, event: &IdentifiedEvent, shares: &mut Shares<'_>) -> Vec<&'a ToLane> {
        let origin = shares.origin;
        let asked = Asked::new(event, &origin.about);
        let mut wanting = Vec::with_capacity(self.lanes.len());
        // A letter goes where it was on its way to; if it is not wanted there any more, it is routed as a new event.
        let again = origin.about.redriven_to.as_deref();
        let (own, others): (Vec<_>, Vec<_>) =
            self.lanes.iter().partition(|lane| again == Some(&*lane.flow.destination));
        let is_matched =
            ask(&own, &asked, &mut wanting, shares) || ask(&others, &asked, &mut wanting, shares);
        if !is_matched {
            match self.unmatched {
                Unmatched::DeadLetter => shares.candidate(Err(no_route()), &self.rejected_early),
                Unmatched::Filter => shares.filter(&self.rejected_early, Filtered::unmatched()),
            }
        }
        wanting
    }
}

/// Asks each route. Says whether any had to do with the event.
fn ask<'a>(
    lanes: &[&'a ToLane],
    asked: &Asked<'_>,
    wanting: &mut Vec<&'a ToLane>,
    shares: &mut Shares<'_>,
) -> bool {
    let mut is_matched = false;
    for lane in lanes {
        let way = lane.route.way(asked);
        is_matched |= !matches!(way, Way::Elsewhere);
        match way {
            Way::Elsewhere => {}
            Way::Here => wanting.push(lane),
            Way::Dropped(filtered) => shares.filter(&lane.flow, filtered),
            Way::Unknown(error) => shares.candidate(Err(error.rejection), &lane.flow),
        }
    }
    is_matched
}

/// What has no place in its lane is given back before it is claimed: that costs the ledger nothing.
fn deliver(event: IdentifiedEvent, lane: &ToLane, shares: &mut Shares<'_>) {
    match lane.entrance.turns_away(shares.origin.attempt, shares.room.is_some()) {
        Some(after) => shares.return_after(&lane.flow, after),
        None => shares.candidate(Ok(event), &lane.flow),
    }
}
