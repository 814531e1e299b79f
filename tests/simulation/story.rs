//! One story: what is on the queue, who works, what happens to them.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use fastrand::Rng;
use tokio::{
    runtime::Builder,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tributary::{
    config::{BreakerConfig, Oversize},
    dedupe::{Key, Ledger, OnConflict, State, memory::MemoryLedger},
    gate::Gate,
    metrics::Metrics,
    pipeline::{LaneParts, Pipeline, Shutdown},
    publish::LaneSettings,
    redact::Redaction,
    route::{Route, Unmatched},
};

use super::{
    doubles::{Hands, Lake},
    world::{Fate, Queued, Truth, VISIBILITY, World},
};

/// Longer than any put of the world takes.
const PUT_TIMEOUT: Duration = Duration::from_secs(15);
/// After this long the faults end, and everything must come to its end.
const FAULTS_END: Duration = Duration::from_mins(15);

/// What may happen.
#[expect(clippy::struct_excessive_bools, reason = "a list of what may happen")]
#[derive(Clone)]
pub(crate) struct Story {
    seed: u64,
    faults: f64,
    crashes: bool,
    groups: bool,
    outage: bool,
    ledger_outage: bool,
    deaf: bool,
    destinations: usize,
}

/// What did happen.
pub(crate) struct Told {
    pub(crate) messages: usize,
    pub(crate) crashes: u32,
}

impl Story {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            faults: 0.0,
            crashes: false,
            groups: false,
            outage: false,
            ledger_outage: false,
            deaf: false,
            destinations: 1,
        }
    }

    pub(crate) fn with_faults(self, faults: f64) -> Self {
        Self { faults, ..self }
    }

    pub(crate) fn with_crashes(self) -> Self {
        Self { crashes: true, ..self }
    }

    pub(crate) fn in_groups(self) -> Self {
        Self { groups: true, ..self }
    }

    pub(crate) fn with_two_destinations(self) -> Self {
        Self { destinations: 2, ..self }
    }

    /// Whether the last destination says for a while that we are misconfigured.
    fn denies(&self) -> bool {
        (self.outage || self.destinations > 1) && self.seed.is_multiple_of(2)
    }

    /// Heartbeats are lost while the lake is gone: everything in hand becomes somebody else's.
    pub(crate) fn with_lost_heartbeats(self) -> Self {
        Self { deaf: true, ..self }
    }

    /// The ledger is gone for a while, with claims open.
    pub(crate) fn with_ledger_outage(self) -> Self {
        Self { ledger_outage: true, ..self }
    }

    /// Nobody stops the workers: they have to recover by themselves.
    fn has_one_shift(&self) -> bool {
        self.outage || self.ledger_outage
    }

    pub(crate) fn with_outage(self) -> Self {
        Self { outage: true, ..self }
    }
}

pub(crate) fn tell(story: Story) -> Told {
    fastrand::seed(story.seed);
    println!("seed {}", story.seed);
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(run(story))
}

async fn run(story: Story) -> Told {
    let seed = story.seed;
    let mut rng = Rng::with_seed(seed);
    let queue = queue(&story, &mut rng);
    let messages = queue.len();
    let fates: Vec<_> = queue.iter().flat_map(|queued| queued.events.clone()).collect();
    let started = Instant::now();
    let world = World::new(beginning(&story, queue, rng));
    let ledger = Arc::new(MemoryLedger::new(Duration::from_hours(24), 1_000_000));
    let (mut worker, mut crashes) = (0, 0);
    loop {
        crashes += shift(&story, &world, &ledger, &mut worker).await;
        let mut truth = world.look();
        if truth.queue.is_empty() {
            break;
        }
        if started.elapsed() > FAULTS_END {
            truth.faults = 0.0;
        }
        let left = truth.queue.len();
        assert!(
            started.elapsed() < Duration::from_hours(6),
            "seed {seed}: no progress, {left} messages are left"
        );
    }
    let truth = world.look();
    truth.assert_complete(&fates, seed);
    if story.has_one_shift() {
        assert_eq!(worker, 2, "seed {seed}: the workers did not recover by themselves");
    }
    if story.has_one_shift() && !story.deaf {
        // What was claimed and not yet sent when the ledger went away has lost its lease, and is returned once.
        let most = if story.ledger_outage { 2 } else { 1 };
        let deliveries = truth.receive_count_max;
        assert!(deliveries <= most, "seed {seed}: an outage cost {deliveries} deliveries of one message");
    }
    assert!(
        !story.ledger_outage || truth.unknown.is_empty(),
        "seed {seed}: nothing was unknown in this world"
    );
    Told { messages, crashes }
}

/// The world before its first minute: what is on the queue, and what will go wrong until when.
fn beginning(story: &Story, queue: Vec<Queued>, rng: Rng) -> Truth {
    let (seed, now) = (story.seed, Instant::now());
    let until = |is_so: bool, seconds| now + Duration::from_secs(if is_so { seconds } else { 0 });
    Truth {
        rng,
        queue,
        lakes: BTreeMap::new(),
        dead: BTreeMap::new(),
        unknown: BTreeSet::new(),
        unknown_letters: BTreeSet::new(),
        recorded: HashSet::new(),
        first_seen: BTreeMap::new(),
        destinations: ["lake", "other"][..story.destinations].iter().map(|&name| name.to_owned()).collect(),
        faults: story.faults,
        slow_put: Duration::from_millis([0, 50, 9_000][variant_of(seed) % 3]),
        gone_until: until(story.outage, 60 + seed % 200),
        ledger_gone: ledger_gone(story, now),
        deaf_until: until(story.deaf, 600),
        denied_until: until(story.denies(), 400),
        told: BTreeMap::new(),
        receive_count_max: 0,
        next_handle: 0,
    }
}

fn ledger_gone(story: &Story, started: Instant) -> Range<Instant> {
    let from = started + Duration::from_millis(20 + story.seed % 7 * 300);
    let lasts = if story.ledger_outage { 60 + story.seed % 200 } else { 0 };
    from..from + Duration::from_secs(lasts)
}

/// Two workers for a while; then each is stopped, or crashes.
async fn shift(story: &Story, world: &World, ledger: &Arc<MemoryLedger>, worker: &mut u32) -> u32 {
    let mut running = Vec::new();
    for _ in 0..2 {
        *worker += 1;
        let metrics = Metrics::new().expect("buckets");
        let hands =
            Hands { world: world.clone(), worker: *worker, metrics: metrics.clone(), ledger: ledger.clone() };
        let ending = Shutdown::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(pipeline(story.seed, &hands).run(ending.clone()));
        running.push((tasks, ending, hands));
    }
    let shift = if story.has_one_shift() { 2_000_000 } else { world.look().rng.u64(500..90_000) };
    let until = Instant::now() + Duration::from_millis(shift);
    while Instant::now() < until && !world.look().queue.is_empty() {
        sleep(Duration::from_millis(250)).await;
    }
    let mut crashes = 0;
    for (mut tasks, ending, hands) in running {
        let crashes_now = story.crashes && world.look().rng.bool();
        if crashes_now {
            tasks.abort_all();
            while tasks.join_next().await.is_some() {}
            crashes += 1;
            forget(world, ledger).await;
            continue;
        }
        ending.stop.cancel();
        let is_patient = world.look().rng.u8(0..4) > 0;
        if !is_patient {
            sleep(Duration::from_secs(3)).await;
            ending.give_up.cancel();
            // A put that is given up has an unknown outcome.
            forget(world, ledger).await;
        }
        let drained = timeout(Duration::from_hours(1), tasks.join_next()).await;
        drained.expect("the drain hangs").expect("one task").expect("no panic");
        check_books(&hands);
    }
    crashes
}

/// The law at rest, and our books against what the world told this worker.
fn check_books(hands: &Hands) {
    let counts = hands.metrics.counts();
    assert_eq!((counts.imbalance(), counts.in_flight), (0, 0), "not settled: {counts:?}");
    let (accepted, stored) = hands.world.look().told.get(&hands.worker).copied().unwrap_or_default();
    assert!(counts.published <= accepted, "published {} and was told of {accepted}", counts.published);
    assert!(
        counts.dead_lettered <= stored,
        "dead-lettered {} and was told of {stored}",
        counts.dead_lettered
    );
}

/// Whoever crashed had published some events that the ledger does not know as published, and may have stored letters
/// without acking.
async fn forget(world: &World, ledger: &MemoryLedger) {
    let stored: Vec<_> = world.look().lakes.keys().cloned().collect();
    for (destination, id) in stored {
        let key = Key { destination: destination.into(), id: id.clone().into(), conflict: None };
        let known = ledger.find(&key).await.expect("in memory").map(|entry| entry.state);
        if !matches!(known, Some(State::Published { .. })) {
            world.look().unknown.insert(id);
        }
    }
    let mut truth = world.look();
    let letters: Vec<_> = truth.dead.keys().map(|(original, _)| original.clone()).collect();
    truth.unknown_letters.extend(letters);
}

fn pipeline(seed: u64, hands: &Hands) -> Pipeline {
    let variant = variant_of(seed);
    let lane = |name: &String| LaneParts {
        settings: LaneSettings {
            name: name.clone(),
            linger: Duration::from_millis([10, 500, 12_000][variant % 3]),
            requests_per_second: 100,
            concurrency_max: [1, 4][variant / 3 % 2],
            request_timeout: PUT_TIMEOUT,
        },
        destination: Arc::new(Lake { hands: hands.clone(), name: name.clone() }),
        account: "111122223333".to_owned(),
        oversize: Oversize::Move,
        route: Route::default(),
        redaction: Redaction::default(),
    };
    let lanes = hands.world.look().destinations.iter().map(lane).collect::<Vec<_>>();
    Pipeline {
        source: Arc::new(hands.clone()),
        ledger: Arc::new(hands.clone()),
        letters: Arc::new(hands.clone()),
        gate: Arc::new(Gate::new(lanes.len())),
        lanes,
        formats: tributary::formats::Formats::built_in(),
        format: None,
        format_attribute: None,
        unmatched: Unmatched::DeadLetter,
        on_conflict: OnConflict::DeadLetter,
        lease: [VISIBILITY, VISIBILITY * 5][variant / 6 % 2],
        max_in_flight_bytes: [1, 60_000, 1_000_000][variant / 12 % 3],
        receivers_max: [1, 4][variant / 36 % 2],
        breaker: BreakerConfig {
            dead_letter_share: 0.9,
            deliveries: 200,
            cool_down: Duration::from_secs(30),
        },
        objects: None,
        publish_log: None,
        metrics: hands.metrics.clone(),
    }
}

/// Chooses among settings.
fn variant_of(seed: u64) -> usize {
    usize::try_from(seed).expect("a small seed")
}

fn queue(story: &Story, rng: &mut Rng) -> Vec<Queued> {
    let mut queue: Vec<Queued> = Vec::new();
    let messages = rng.u64(1..120);
    for key in 0..messages {
        let group = story.groups.then(|| format!("group{}", key % 5));
        let events: Vec<_> = (0..rng.u64(1..6)).map(|n| event(rng, key, n, group.as_deref())).collect();
        let body = body(&events);
        let copies = if rng.u8(0..5) == 0 && !story.groups { 2 } else { 1 };
        for copy in 0..copies {
            queue.push(Queued {
                key: key * 10 + copy,
                body: body.clone(),
                events: events.clone(),
                group: group.clone(),
                visible_at: Instant::now(),
                receive_count: 0,
                handle: None,
                held_by: None,
            });
        }
    }
    // A letter is keyed by the place of an event that has no id, so a copied message makes its own letters.
    for queued in &mut queue {
        if queued.key % 10 == 1 {
            queued.events.retain(|(_, fate)| *fate != Fate::Dead);
            queued.body = body(&queued.events);
        }
    }
    queue.retain(|queued| !queued.events.is_empty());
    queue
}

/// One event to a line: bad lines do not spoil their neighbours.
fn body(events: &[(Bytes, Fate)]) -> Bytes {
    events.iter().flat_map(|(line, _)| [line.as_ref(), b"\n"]).collect::<Vec<_>>().concat().into()
}

fn event(rng: &mut Rng, key: u64, n: u64, group: Option<&str>) -> (Bytes, Fate) {
    let unique = format!("{key}-{n}");
    let id = match group {
        Some(group) => format!("{group}.{key}.{n}"),
        None => format!("event-{unique}"),
    };
    let native = |id: &str, name: &str| {
        Bytes::from(format!(
            r#"{{"eventVersion":"1.08","userIdentity":{{"type":"IAMUser","principalId":"AIDA"}},"eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.example.com","eventName":"{name}","awsRegion":"eu-west-1","eventID":"{id}","requestParameters":{{"unique":"content-{unique}"}}}}"#
        ))
    };
    match rng.u8(0..20) {
        0 => (Bytes::from(format!(r#"{{"twice":"{unique}","twice":"{unique}"}}"#)), Fate::Dead),
        1 => (Bytes::from(format!(r#"{{"eventName":"no format","unique":"{unique}"}}"#)), Fate::Dead),
        2 => (native(&id, "refuse-me"), Fate::Dead),
        3 => (native(&id, "poison"), Fate::Dead),
        4 if group.is_none() => {
            let shared = format!("shared-{}", rng.u8(0..4));
            (native(&shared, "PutObject"), Fate::Conflict(shared))
        }
        _ => (native(&id, "PutObject"), Fate::Lake(id.clone())),
    }
}
