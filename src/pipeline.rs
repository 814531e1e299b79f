//! The spine: read this file from top to bottom to see one event's whole life.
//!
//! In: the adapters and the numbers of one worker. Out: every message that the source gave, settled.

mod routed;
mod stages;

use std::{sync::Arc, time::Duration};

use metrics::Histogram;
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    breaker::Breaker,
    config::{BreakerConfig, Oversize},
    dead_letter::{DeadLetter, DeadLetters},
    dedupe::{Dedupe, Ledger, LedgerSize, OnConflict, in_rounds},
    failure::Rejection,
    formats::{Format, Formats},
    gate::{Cause, Gate},
    metrics::Metrics,
    publish::{Destination, Entrance, Lane, LaneSettings},
    publish_log::{PublishLog, ToLog},
    receive::{
        Delivery, Source,
        intake::{Intake, Process},
        objects::{self, Buckets, ObjectStore, Objects},
    },
    redact::Redaction,
    room::Room,
    route::{Route, Unmatched},
    settle::{Settler, ToSettler},
    tasks::joined,
};

use stages::{Stages, ToLane};

/// Stands for the destination where an event was rejected before one was known.
pub const NO_DESTINATION: &str = "none";

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
        self.source.close().await;
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
