//! The spine: read this file from top to bottom to see one event's whole life.
//!
//! In: the adapters and the numbers of one worker. Out: every message that the source gave, settled.

mod routed;

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use metrics::Histogram;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    breaker::Breaker,
    checksum::checksum,
    config::{BreakerConfig, Oversize},
    dead_letter::{DeadLetter, DeadLetters},
    decode::{Decoded, Found, ObjectRef, Unpacked, unpack},
    dedupe::{Candidate, Dedupe, Ledger, LedgerSize, OnConflict, Sorted, in_rounds, waiting},
    event::{IdentifiedEvent, RawEvent, ReadyEvent},
    failure::{Reason, Rejection},
    flow::Flow,
    formats::{Format, Formats},
    gate::{Cause, Gate},
    identify::{format_named, identify},
    map::map,
    metrics::Metrics,
    publish::{Destination, Entrance, Lane, LaneSettings},
    publish_log::{PublishLog, ToLog},
    receive::{
        About, Delivery, Message, Origin, Source,
        intake::{Intake, Process, Received},
        objects::{self, Buckets, Job, OBJECT_BYTES, ObjectStore, Objects, Part, Wanted},
    },
    redact::Redaction,
    room::Room,
    route::{Filtered, Route, Unmatched},
    settle::{MessageReceipt, Settler, ToSettler},
    tasks::joined,
    validate::validate,
};

use routed::Shares;

/// Stands for the destination where an event was rejected before one was known.
pub const NO_DESTINATION: &str = "none";

/// What an event costs beyond its share of the body, about: its own structures, and its mapped form.
const EVENT_OVERHEAD_BYTES: usize = 1_024;

/// One destination and the numbers of its lane.
pub struct LaneParts {
    /// The numbers.
    pub settings: LaneSettings,
    /// The adapter.
    pub destination: Arc<dyn Destination>,
    /// Every event's `recipientAccountId`.
    pub account: String,
    /// What becomes of optional fields that break the schema.
    pub oversize: Oversize,
    /// Which events go there.
    pub route: Route,
    /// What of them must not.
    pub redaction: Redaction,
}

/// Where the objects are that messages name, and which of them are read.
pub struct ObjectsParts {
    /// The adapter.
    pub store: Arc<dyn ObjectStore>,
    /// The buckets that may be read.
    pub buckets: Buckets,
    /// Most objects read at once.
    pub concurrency_max: usize,
}

/// What one worker is made of.
pub struct Pipeline {
    /// Where messages come from.
    pub source: Arc<dyn Source>,
    /// Who knows what was settled.
    pub ledger: Arc<dyn Ledger>,
    /// Where rejected events go.
    pub letters: Arc<dyn DeadLetter>,
    /// Where events go.
    pub lanes: Vec<LaneParts>,
    /// The formats that are known.
    pub formats: Arc<Formats>,
    /// The format of all events, or told by content.
    pub format: Option<Format>,
    /// The message attribute that names the format, if there is one. It overrules `format`.
    pub format_attribute: Option<String>,
    /// What becomes of events that no destination wants.
    pub unmatched: Unmatched,
    /// How long a claim holds.
    pub lease: Duration,
    /// What becomes of an event whose id was published with other content.
    pub on_conflict: OnConflict,
    /// Most bytes under way.
    pub max_in_flight_bytes: usize,
    /// Most polls in flight.
    pub receivers_max: usize,
    /// When so many dead letters look like our own mistake.
    pub breaker: BreakerConfig,
    /// The objects that messages lead to, if any are read.
    pub objects: Option<ObjectsParts>,
    /// Where it is written down what was published, if anywhere.
    pub publish_log: Option<PublishLog>,
    /// Where everything is counted.
    pub metrics: Arc<Metrics>,
    /// What can stop intake; shared with readiness.
    pub gate: Arc<Gate>,
}

/// How a worker is told to end.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    /// Take nothing more in; finish what is here.
    pub stop: CancellationToken,
    /// Finish nothing more: give back what is left.
    pub give_up: CancellationToken,
}

impl Pipeline {
    /// Runs until `stop` and everything taken in is settled. Each loop ends when the one before it has ended.
    pub async fn run(mut self, shutdown: Shutdown) {
        let (to_settler, settlements) = mpsc::unbounded_channel();
        let (to_dead_letters, rejected) = mpsc::unbounded_channel();
        let (to_claims, candidates) = mpsc::unbounded_channel();
        let (to_waiting, held) = mpsc::unbounded_channel();
        let (to_objects, jobs) = mpsc::unbounded_channel();
        let room = Room::new(self.max_in_flight_bytes);
        let object_room = Room::new(self.objects.as_ref().map_or(0, |_| self.max_in_flight_bytes));
        let breaker = Breaker::new(self.breaker.clone(), self.gate.clone());
        let dedupe = Arc::new(self.dedupe());

        let mut loops = JoinSet::new();
        let stages = Arc::new(Stages {
            dedupe: dedupe.clone(),
            lanes: self.start_lanes(&mut loops, &to_dead_letters, &shutdown),
            rejected_early: self.metrics.flow(NO_DESTINATION, Histogram::noop()),
            to_dead_letters,
            formats: self.formats.clone(),
            format: self.format.clone(),
            format_attribute: self.format_attribute.take(),
            unmatched: self.unmatched,
            buckets: self.objects.as_ref().map(|objects| objects.buckets.clone()).unwrap_or_default(),
            metrics: self.metrics.clone(),
        });
        if let Some(parts) = self.objects.take() {
            let process = stages.clone().take_parts(to_claims.clone());
            let objects = self.objects(parts, object_room.clone(), process);
            loops.spawn(objects.run(jobs, shutdown.clone()));
        }
        let intake = self.intake(room.clone(), to_settler, stages.clone().take_apart(to_claims, to_objects));
        loops.spawn(intake.run(shutdown.stop.clone()));
        let claiming = stages.clone();
        let claim = move |round| claiming.clone().claim(to_waiting.clone(), round);
        loops.spawn(in_rounds(candidates, shutdown.give_up.clone(), claim));
        loops.spawn(stages.wait(held, shutdown.give_up.clone()));
        let log = self.start_log(&mut loops, &shutdown.give_up);
        loops.spawn(self.settler(&breaker, log, shutdown.give_up.clone()).run(settlements));
        loops.spawn(self.dead_letters(&breaker).run(rejected, shutdown));

        let all_ended = async {
            while let Some(ended) = loops.join_next().await {
                joined(Some(ended));
            }
        };
        tokio::select! {
            () = all_ended => {}
            () = self.source.keep_alive() => {}
            () = dedupe.keep_alive() => {}
            () = breaker.run() => {}
            () = self.gate.run() => {}
            () = observe(&self.metrics, [&room, &object_room], &self.gate, &*self.ledger) => {}
        }
    }

    /// Stages 8 and 9, once for each destination.
    fn start_lanes(
        &mut self,
        loops: &mut JoinSet<()>,
        to_dead_letters: &mpsc::UnboundedSender<Delivery<Rejection>>,
        shutdown: &Shutdown,
    ) -> Vec<ToLane> {
        let parts = std::mem::take(&mut self.lanes);
        let names = parts.iter().map(|lane| &*lane.settings.name);
        let entrances = Entrance::for_lanes(names, &self.gate, self.max_in_flight_bytes);
        let mut to_lanes = Vec::new();
        for (parts, entrance) in parts.into_iter().zip(entrances) {
            let LaneParts { settings, destination, account, oversize, route, redaction } = parts;
            let (sender, ready) = mpsc::unbounded_channel();
            let metrics = self.metrics.lane(&settings.name);
            let flow = self.metrics.flow(&settings.name, metrics.end_to_end_seconds.clone());
            let to_lane =
                ToLane { flow, sender, entrance: entrance.clone(), account, oversize, route, redaction };
            to_lanes.push(to_lane);
            let (rejected, stop) = (to_dead_letters.clone(), shutdown.stop.clone());
            let lane = Lane::new(settings, destination, entrance, rejected, stop, metrics);
            loops.spawn(Arc::new(lane).run(ready, shutdown.give_up.clone()));
        }
        to_lanes
    }

    /// Beside the stages: the settler tells, and waits for nothing.
    fn start_log(&mut self, loops: &mut JoinSet<()>, give_up: &CancellationToken) -> Option<ToLog> {
        let (to_log, writer) = self.publish_log.take()?.open(self.gate.clone(), self.metrics.clone());
        loops.spawn(writer.run(give_up.clone()));
        Some(to_log)
    }

    fn intake(&self, room: Arc<Room>, to_settler: ToSettler, process: Process) -> Intake {
        Intake {
            source: self.source.clone(),
            room,
            gate: self.gate.clone(),
            to_settler,
            process,
            receivers_max: self.receivers_max,
            metrics: self.metrics.clone(),
        }
    }

    fn objects(&self, parts: ObjectsParts, room: Arc<Room>, process: objects::Process) -> Objects {
        let ObjectsParts { store, concurrency_max, .. } = parts;
        let (gate, metrics) = (self.gate.clone(), self.metrics.clone());
        Objects { store, concurrency_max, room, gate, metrics, process }
    }

    fn dead_letters(&self, breaker: &Arc<Breaker>) -> DeadLetters {
        DeadLetters {
            letters: self.letters.clone(),
            gate: self.gate.clone(),
            breaker: breaker.clone(),
            metrics: self.metrics.clone(),
        }
    }

    fn settler(&self, breaker: &Arc<Breaker>, log: Option<ToLog>, give_up: CancellationToken) -> Settler {
        Settler {
            source: self.source.clone(),
            ledger: self.ledger.clone(),
            gate: self.gate.clone(),
            breaker: breaker.clone(),
            metrics: self.metrics.clone(),
            log,
            give_up,
        }
    }

    fn dedupe(&self) -> Dedupe {
        let metrics = self.metrics.clone();
        Dedupe::new(self.ledger.clone(), self.lease, self.on_conflict, self.gate.clone(), metrics)
    }
}

/// The way to the claims.
type ToClaims = mpsc::UnboundedSender<Delivery<Candidate>>;

/// The way to one lane.
struct ToLane {
    flow: Arc<Flow>,
    sender: mpsc::UnboundedSender<Delivery<ReadyEvent>>,
    entrance: Arc<Entrance>,
    account: String,
    oversize: Oversize,
    route: Route,
    redaction: Redaction,
}

/// Stages 2 to 7.
struct Stages {
    dedupe: Arc<Dedupe>,
    lanes: Vec<ToLane>,
    /// Counts what is rejected before a destination is known.
    rejected_early: Arc<Flow>,
    to_dead_letters: mpsc::UnboundedSender<Delivery<Rejection>>,
    formats: Arc<Formats>,
    format: Option<Format>,
    format_attribute: Option<String>,
    unmatched: Unmatched,
    /// Whose objects are read.
    buckets: Buckets,
    metrics: Arc<Metrics>,
}

impl Stages {
    /// Takes messages apart and puts their events in line for a claim, and their objects in line to be read.
    fn take_apart(self: Arc<Self>, to_claims: ToClaims, to_objects: mpsc::UnboundedSender<Job>) -> Process {
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
    fn take_parts(self: Arc<Self>, to_claims: ToClaims) -> objects::Process {
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
    async fn claim(
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

    async fn wait(
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

/// Numbers that nobody's action sets: looked at every second.
async fn observe(metrics: &Metrics, rooms: [&Room; 2], gate: &Gate, ledger: &dyn Ledger) {
    metrics.process.in_flight_bytes_max.set(rooms.map(Room::bytes_max).iter().sum::<usize>() as f64);
    loop {
        metrics.process.in_flight_bytes.set(rooms.map(Room::taken).iter().sum::<usize>() as f64);
        let LedgerSize { entries, evicted } = ledger.size();
        metrics.process.ledger_entries.set(entries as f64);
        metrics.process.ledger_evicted.absolute(evicted);
        metrics.process.breaker_open.set(f64::from(u8::from(gate.is_closed_by(&Cause::Breaker))));
        metrics.process.ready.set(f64::from(u8::from(gate.causes().is_empty())));
        tokio::time::sleep(Duration::from_secs(1)).await;
        metrics.run_upkeep();
    }
}
