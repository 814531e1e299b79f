//! Carries one batch through as many calls as it takes until each of its deliveries has left for the settler or the
//! dead letters.

use std::{
    cmp::Reverse,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::SemaphorePermit,
    time::{Instant, sleep},
};
use tracing::{debug, error, warn};

use super::{Lane, Published, Verdict};
use crate::{
    batch::Batch,
    event::ReadyEvent,
    failure::{CallError, Reason, Rejection, is_throttling},
    intervals::Intervals,
    receive::Delivery,
    settle::Proof,
};

/// Tries of one event that the destination fails for reasons of its own or does not mention. Then the message is given
/// back, and the queue's own redrive policy has the last word.
const TRIES_MAX: u32 = 10;
/// How long such a message stays away: long, because each time counts towards the queue's `maxReceiveCount`.
const PUT_OFF_FOR: Duration = Duration::from_mins(15);

/// An event of the batch and how often the destination has put it off.
struct Trying {
    delivery: Delivery<ReadyEvent>,
    tries: u32,
}

/// What is left of a batch, as the requests that it will be tried in next. More than one after a request had to be
/// cut in two to find the guilty event.
struct Attempts<'a> {
    lane: &'a Lane,
    requests: Vec<Vec<Trying>>,
    calls: Intervals,
    operators: Intervals,
    /// Held by whoever finds out whether a paused lane is cured.
    finding_out: Option<SemaphorePermit<'a>>,
}

/// Runs until nothing of `batch` is left. Dropped before that, it returns what is left.
pub(super) async fn publish(lane: &Lane, batch: Batch) {
    let request = batch.into_iter().map(|delivery| Trying { delivery, tries: 0 }).collect();
    let mut attempts = Attempts {
        lane,
        requests: vec![request],
        calls: Intervals::for_calls(),
        operators: Intervals::for_operators(),
        finding_out: None,
    };
    loop {
        attempts.make_room();
        let Some(request) = attempts.requests.pop() else { return };
        let sendable = attempts.still_ours(request);
        if !sendable.is_empty() {
            attempts.call(sendable).await;
        }
    }
}

impl Attempts<'_> {
    /// While the lane is paused and others are not, what it holds takes room from the others: all but one delivery,
    /// which finds out whether the lane is cured, leaves.
    fn make_room(&mut self) {
        if !self.lane.entrance.is_paused_alone() {
            return;
        }
        if self.finding_out.is_none() {
            self.finding_out = self.lane.finding_out.try_acquire().ok();
        }
        let mut leaving: Vec<_> = std::mem::take(&mut self.requests).into_iter().flatten().collect();
        if self.finding_out.is_some() {
            // The last stays: it takes the least room.
            leaving.sort_by_key(|trying| Reverse(trying.delivery.receipt.place().1));
            self.requests.extend(leaving.pop().map(|trying| vec![trying]));
        }
        for Trying { delivery, .. } in leaving {
            self.lane.entrance.give_back(delivery);
        }
    }

    /// Returns what would not be ours any more when the call ends.
    fn still_ours(&self, request: Vec<Trying>) -> Vec<Trying> {
        let call_ends = Instant::now() + self.lane.settings.request_timeout;
        let (ours, late): (Vec<_>, Vec<_>) =
            request.into_iter().partition(|trying| trying.ours_until() > call_ends);
        if !late.is_empty() {
            debug!(
                stage = "publish",
                events = late.len(),
                "returned, their messages are about to be delivered again"
            );
        }
        ours
    }

    async fn call(&mut self, request: Vec<Trying>) {
        self.lane.pace.turn().await;
        let answer =
            self.lane.put(&request.iter().map(|trying| &trying.delivery.event).collect::<Vec<_>>()).await;
        match answer {
            Ok(verdicts) => self.sort(request, verdicts).await,
            Err(CallError::Transient { code, message }) => {
                warn!(stage = "publish", destination = self.lane.name(), %code, message, events = request.len(),
                    "could not publish, will try again");
                self.lane.count_failure(&code);
                self.requests.push(request);
                self.make_room();
                if !self.requests.is_empty() {
                    sleep(self.calls.next_interval()).await;
                }
            }
            Err(CallError::Misconfigured { message, .. }) => {
                self.requests.push(request);
                self.lane.pause(&message);
                self.make_room();
                if !self.requests.is_empty()
                    && self.lane.wait_for_cure(self.operators.next_interval()).await.is_break()
                {
                    self.requests.clear();
                }
            }
            Err(CallError::BadRequest { code, message }) => self.bisect(request, &code, &message),
        }
    }

    /// The whole request was refused and the answer does not say for which event: two smaller requests will.
    fn bisect(&mut self, mut request: Vec<Trying>, code: &str, message: &str) {
        warn!(
            stage = "publish",
            destination = self.lane.name(),
            code,
            message,
            events = request.len(),
            "request refused as a whole"
        );
        if request.len() > 1 {
            let second_half = request.split_off(request.len() / 2);
            self.requests.extend([second_half, request]);
        } else if let Some(guilty) = request.pop() {
            self.refuse(guilty, code);
        }
    }

    async fn sort(&mut self, request: Vec<Trying>, verdicts: Vec<Verdict>) {
        assert_eq!(request.len(), verdicts.len(), "a destination gives a verdict for each event");
        self.lane.resume();
        self.operators.reset();
        let (asked, now) = (request.len(), SystemTime::now());
        let mut again = Vec::new();
        for (mut trying, verdict) in request.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Accepted { stored_as } => {
                    let (event, Delivery { receipt, .. }) = trying.delivery.take();
                    receipt.ack(Proof::Published(Published::new(event, stored_as, now)));
                    continue;
                }
                Verdict::Refused { code } => {
                    self.refuse(trying, &code);
                    continue;
                }
                // Says nothing about the event, however often.
                Verdict::TryAgain { code } if is_throttling(&code) => {}
                Verdict::TryAgain { .. } | Verdict::Unknown => trying.tries += 1,
            }
            if trying.tries < TRIES_MAX {
                again.push(trying);
            } else {
                trying.delivery.receipt.return_after(PUT_OFF_FOR);
            }
        }
        if again.len() < asked {
            // Some passed, so the rest need not wait longer and longer: it keeps the batches behind it waiting too.
            self.calls.reset();
        }
        if !again.is_empty() {
            self.requests.push(again);
            sleep(self.calls.next_interval()).await;
        }
    }

    fn refuse(&self, trying: Trying, code: &str) {
        let rejection = Rejection::new(Reason::Refused, format!("the lake refused the event: {code}"));
        if self.lane.rejected.send(trying.delivery.map(|_| rejection)).is_err() {
            error!(stage = "publish", "the dead-letter stage ended before its lanes; the event was returned");
        }
    }
}

impl Trying {
    /// The end of the message's visibility or of the claim's lease, whichever comes first.
    fn ours_until(&self) -> Instant {
        let message = self.delivery.origin.deadline.at();
        self.delivery.receipt.claim().map_or(message, |claim| claim.lease.at().min(message))
    }
}
