//! Stages 2 to 7: what becomes of a message, and of what was claimed. In: messages with the right to divide them. Out:
//! candidates for a claim, events for the lanes, rejections for the dead letters.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::routed::Shares;
use crate::{
    checksum::checksum,
    config::Oversize,
    decode::{Decoded, Found, ObjectRef, Unpacked, unpack},
    dedupe::{Candidate, Dedupe, Sorted, waiting},
    event::{IdentifiedEvent, RawEvent, ReadyEvent},
    failure::{Reason, Rejection},
    flow::Flow,
    formats::{Format, Formats},
    identify::{format_named, identify},
    map::map,
    metrics::Metrics,
    publish::Entrance,
    receive::{
        About, Delivery, Message, Origin,
        intake::{Process, Received},
        objects::{self, Buckets, Job, OBJECT_BYTES, Part, Wanted},
    },
    redact::Redaction,
    route::{Filtered, Route, Unmatched},
    settle::MessageReceipt,
    validate::validate,
};

/// What an event costs beyond its share of the body, about: its own structures, and its mapped form.
const EVENT_OVERHEAD_BYTES: usize = 1_024;

/// The way to the claims.
pub(super) type ToClaims = mpsc::UnboundedSender<Delivery<Candidate>>;

/// The way to one lane.
pub(super) struct ToLane {
    pub(super) flow: Arc<Flow>,
    pub(super) sender: mpsc::UnboundedSender<Delivery<ReadyEvent>>,
    pub(super) entrance: Arc<Entrance>,
    pub(super) account: String,
    pub(super) oversize: Oversize,
    pub(super) route: Route,
    pub(super) redaction: Redaction,
}

/// Stages 2 to 7.
pub(super) struct Stages {
    pub(super) dedupe: Arc<Dedupe>,
    pub(super) lanes: Vec<ToLane>,
    /// Counts what is rejected before a destination is known.
    pub(super) rejected_early: Arc<Flow>,
    pub(super) to_dead_letters: mpsc::UnboundedSender<Delivery<Rejection>>,
    pub(super) formats: Arc<Formats>,
    pub(super) format: Option<Format>,
    pub(super) format_attribute: Option<String>,
    pub(super) unmatched: Unmatched,
    /// Whose objects are read.
    pub(super) buckets: Buckets,
    pub(super) metrics: Arc<Metrics>,
}

impl Stages {
    /// Takes messages apart and puts their events in line for a claim, and their objects in line to be read.
    pub(super) fn take_apart(
        self: Arc<Self>,
        to_claims: ToClaims,
        to_objects: mpsc::UnboundedSender<Job>,
    ) -> Process {
        Arc::new(move |received: Received| {
            for (message, mut receipt) in received {
                let (candidates, objects) = self.candidates(&message, &mut receipt);
                // The claims outlive intake; after giving up, dropping returns the delivery.
                for delivery in candidates {
                    drop(to_claims.send(delivery));
                }
                if !objects.is_empty() {
                    receipt.weigh(OBJECT_BYTES);
                    receipt.keep_open();
                    drop(to_objects.send(Job { message, receipt, objects }));
                }
            }
        })
    }

    /// Puts what was read from objects in line for a claim.
    pub(super) fn take_parts(self: Arc<Self>, to_claims: ToClaims) -> objects::Process {
        Arc::new(move |part: Part, receipt: &mut MessageReceipt| {
            let mut candidates = Vec::with_capacity(self.lanes.len());
            let is_event = self.part(part, receipt, &mut candidates);
            for delivery in candidates {
                drop(to_claims.send(delivery));
            }
            is_event
        })
    }

    /// Claims a round and sends each event on its way; those in other hands wait.
    pub(super) async fn claim(
        self: Arc<Self>,
        to_waiting: mpsc::UnboundedSender<Delivery<Candidate>>,
        round: Vec<Delivery<Candidate>>,
    ) {
        for delivery in self.proceed(self.dedupe.claim(round).await) {
            // The waiting room outlives the claims; after giving up, dropping returns the delivery.
            drop(to_waiting.send(delivery));
        }
    }

    /// Stages 2 and 3: one candidate for each event and destination, and the objects where more of them are.
    fn candidates(
        &self,
        message: &Message,
        receipt: &mut MessageReceipt,
    ) -> (Vec<Delivery<Candidate>>, Vec<ObjectRef>) {
        let Unpacked { parts, added_bytes } = match plain_body(message) {
            Ok(body) => unpack(body),
            Err(rejection) => Unpacked::rejected(message.body.clone(), rejection),
        };
        receipt.weigh(added_bytes + parts.len().saturating_sub(1) * EVENT_OVERHEAD_BYTES);
        let mut candidates = Vec::with_capacity(parts.len() * self.lanes.len());
        let mut objects = Vec::new();
        for (position, Decoded { original, found }) in parts.into_iter().enumerate() {
            let origin = Origin::of(message, position, original);
            let found = match found {
                Found::Object(object) => match self.buckets.wanted(&object) {
                    Wanted::Read => {
                        objects.push(object);
                        continue;
                    }
                    Wanted::Notice(notice) => Found::Notice(notice),
                    Wanted::Refused(rejection) => Found::Rejected(rejection),
                },
                found => found,
            };
            self.part(Part { origin, found, room: None }, receipt, &mut candidates);
        }
        (candidates, objects)
    }

    /// Stage 3 for one part of a message, or of an object. Says whether it is an event, or at least no mistake.
    fn part(
        &self,
        Part { origin, found, room }: Part,
        receipt: &mut MessageReceipt,
        candidates: &mut Vec<Delivery<Candidate>>,
    ) -> bool {
        let mut shares = Shares { receipt, origin: &origin, room, candidates };
        if let Found::Notice(notice) = found {
            self.metrics.process.notice(notice);
            shares.filter(&self.rejected_early, Filtered::notice());
            return true;
        }
        let identified = found.into_event().and_then(|raw| self.identify(raw, &origin.about));
        let is_event = identified.is_ok();
        match identified {
            Ok(event) => {
                shares.weigh(event.added_bytes());
                self.route(event, &mut shares);
            }
            Err(rejection) => shares.candidate(Err(rejection), &self.rejected_early),
        }
        is_event
    }

    fn identify(&self, raw: RawEvent, about: &About) -> Result<IdentifiedEvent, Rejection> {
        let named = format_named(&self.formats, self.format_attribute.as_deref(), about)?;
        identify(raw, about, &self.formats, named.as_ref().or(self.format.as_ref()))
    }

    /// Stages 5 to 7 for what was claimed. Returns what is in other hands.
    fn proceed(&self, sorted: Sorted) -> Vec<Delivery<Candidate>> {
        for delivery in sorted.events {
            let Some(lane) =
                self.lanes.iter().find(|lane| &*lane.flow.destination == delivery.receipt.destination())
            else {
                continue;
            };
            match ready(&delivery.event, &delivery.origin.about, lane) {
                // A lane outlives the stages before it; if it does not, dropping returns the delivery.
                Ok(event) => {
                    if let Some(delivery) = lane.entrance.admit(delivery.map(|_| event)) {
                        drop(lane.sender.send(delivery));
                    }
                }
                Err(rejection) => self.reject(delivery.map(|_| rejection)),
            }
        }
        sorted.rejected.into_iter().for_each(|delivery| self.reject(delivery));
        sorted.held
    }

    fn reject(&self, delivery: Delivery<Rejection>) {
        drop(self.to_dead_letters.send(delivery));
    }

    pub(super) async fn wait(
        self: Arc<Self>,
        held: mpsc::UnboundedReceiver<Delivery<Candidate>>,
        give_up: CancellationToken,
    ) {
        let waiting = waiting::wait(&self.dedupe, held, |sorted| self.proceed(sorted));
        give_up.run_until_cancelled(waiting).await;
    }
}

/// Stages 5 to 7 for one event.
fn ready(event: &IdentifiedEvent, about: &About, lane: &ToLane) -> Result<ReadyEvent, Rejection> {
    let redacted = lane.redaction.apply(event, about).map_err(|error| error.rejection)?;
    let event = redacted.as_ref().map_or(event, |(redacted, _)| redacted);
    map(event, about, &lane.account).and_then(|event| validate(event, lane.oversize)).map(checksum)
}

/// The bytes that the producer sent.
fn plain_body(message: &Message) -> Result<Bytes, Rejection> {
    if !message.is_base64 {
        return Ok(message.body.clone());
    }
    let decoded = STANDARD.decode(&message.body);
    decoded
        .map(Bytes::from)
        .map_err(|_| Rejection::new(Reason::NotBase64, "the message claims base64 and is not"))
}
