//! Four workers, one queue, one ledger, and a script that kills and restarts them at random under continuous load.
//!
//! Nothing may be lost. An event may be in the lake twice only if its outcome was unknown: its worker was killed after
//! the lake had stored it and before the ledger knew. Which those are is found out at each kill, from the ledger
//! itself. `FLEET_SECONDS=300 cargo test --test it fleet -- --nocapture` runs it for five minutes; `FLEET_SEED` repeats one.

use std::{
    collections::BTreeSet,
    env,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use tokio::time::{Instant, sleep};
use tributary::{
    config::ValkeyConfig,
    dedupe::{Ledger, dynamodb::DynamoDbLedger, valkey::ValkeyLedger},
    local::{Faults, LocalOptions},
};

use super::{
    endpoints::{Depth, Endpoints, QUEUE},
    records::{Event, events, messages},
    unknown::{Ending, Unknown, as_an_auditor},
    worker::Worker,
};
use crate::support::{dynamodb::DynamoDb, local::options, valkey::Valkey};

const WORKERS: usize = 4;
/// Without `FLEET_SECONDS`.
const USUAL_SECONDS: u64 = 12;
/// Events of one step of the producer, and how many of them were sent before.
const NEW_EVENTS: usize = 40;
const COPIES: usize = 10;
/// Between two steps.
const PACE: Duration = Duration::from_millis(100);
/// The producer waits while so many messages are on the queue or under way.
const BACKLOG_MAX: u64 = 400;
/// Of ten restarts, so many are `kill -9`; the others are SIGTERM.
const KILLS_OF_TEN: u8 = 7;

fn seed() -> u64 {
    let given = env::var("FLEET_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| fastrand::u64(..1_000_000))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_on_dynamodb_loses_nothing_and_doubles_only_what_is_unknown() {
    let server = DynamoDb::start_in_memory().await;
    server.create_table("fleet").await;
    let environment = [
        ("TRIBUTARY_LEDGER_KIND", "dynamodb".to_owned()),
        ("TRIBUTARY_LEDGER_TABLE", "fleet".to_owned()),
        ("AWS_ENDPOINT_URL_DYNAMODB", server.url.clone()),
    ];
    let ledger = DynamoDbLedger::new(&server.aws(), "fleet", as_an_auditor());
    run(Shared { name: "DynamoDB", environment: environment.into(), ledger: Arc::new(ledger) }, seed()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_on_valkey_loses_nothing_and_doubles_only_what_is_unknown() {
    let server = Valkey::start().await;
    let environment =
        [("TRIBUTARY_LEDGER_KIND", "valkey".to_owned()), ("TRIBUTARY_LEDGER_URL", server.url())];
    let config = ValkeyConfig { urls: vec![server.url()], is_cluster: false, password: None, ca_file: None };
    let ledger = ValkeyLedger::new(&config, as_an_auditor()).expect("a server without TLS");
    run(Shared { name: "Valkey", environment: environment.into(), ledger: Arc::new(ledger) }, seed()).await;
}

/// The ledger that the fleet shares.
struct Shared {
    name: &'static str,
    /// What points a worker at it.
    environment: Vec<(&'static str, String)>,
    /// A look into it from outside.
    ledger: Arc<dyn Ledger>,
}

struct Fleet {
    endpoints: Endpoints,
    shared: Shared,
    rng: Mutex<Rng>,
    is_over: AtomicBool,
}

/// What was done to the workers, and what that excuses.
struct Watch {
    unknown: Unknown,
    kills: u64,
    stops: u64,
}

/// How a run went, for the reader of the test's output.
struct Story {
    events: Vec<Event>,
    copies: usize,
}

async fn run(shared: Shared, seed: u64) {
    let seconds = env::var("FLEET_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(USUAL_SECONDS);
    say(&format!("{}: FLEET_SEED={seed}", shared.name));
    // The answer is late, so that kills meet puts that are stored and not answered.
    let slow = Faults { delay_ms: 100, seed: Some(seed), ..Faults::default() };
    let roomy = LocalOptions { faults: slow, retain_rows: 1_000_000, ..options() };
    let fleet = Fleet {
        endpoints: Endpoints::with(roomy).await,
        shared,
        rng: Mutex::new(Rng::with_seed(seed)),
        is_over: AtomicBool::new(false),
    };
    let (story, (watch, workers)) =
        tokio::join!(fleet.produce(seed), fleet.disturb(Duration::from_secs(seconds)));

    fleet.endpoints.until_drained(&workers[0]).await;
    for worker in &workers {
        fleet.endpoints.until_drained(worker).await;
        worker.scrape().await.assert_at_rest();
    }
    let rows = fleet.endpoints.rows().await;
    let doubled: BTreeSet<_> =
        rows.iter().filter(|(_, rows)| rows.len() > 1).map(|(uid, _)| uid.clone()).collect();
    if let Some(event) = story.events.iter().find(|event| !rows.contains_key(&event.uid)) {
        panic!("{} is lost; the ledger says {:?}", event.uid, watch.unknown.find(&event.uid).await);
    }
    fleet.endpoints.assert_no_dead_letters().await;
    let twice = fleet.endpoints.assert_all_stored(&story.events).await;
    let (name, unknown, twice_there) = (fleet.shared.name, watch.unknown.ids.len(), doubled.len());
    let (events, copies) = (story.events.len(), story.copies);
    say(&format!(
        "{name}: {seconds} s: {events} events and {copies} copies, {} kills, {} stops; lost: 0; outcome unknown: {unknown}; \
         doubled UIDs: {twice_there} ({twice} rows too many)",
        watch.kills, watch.stops,
    ));
    let inexcusable: Vec<_> = doubled.difference(&watch.unknown.ids).collect();
    assert!(inexcusable.is_empty(), "doubled, and no outcome was unknown: {inexcusable:?}");
    assert!(watch.kills > 0 && story.copies * 5 >= story.events.len(), "this was no test");
}

#[expect(clippy::print_stdout, reason = "a run that cannot be repeated proves little")]
fn say(text: &str) {
    println!("{text}");
}

impl Fleet {
    /// New events and copies of old ones, until it is over.
    async fn produce(&self, seed: u64) -> Story {
        let mut rng = Rng::with_seed(seed + 1);
        let mut story = Story { events: Vec::new(), copies: 0 };
        while !self.is_over.load(Ordering::Relaxed) {
            let new = events(rng.u64(..), NEW_EVENTS);
            let mut step = new.clone();
            story.events.extend(new);
            // Half of the copies come at once, half may come much later.
            for at in 0..COPIES {
                let from = if at % 2 == 0 { story.events.len() - NEW_EVENTS } else { 0 };
                step.push(story.events[rng.usize(from..story.events.len())].clone());
            }
            story.copies += COPIES;
            rng.shuffle(&mut step);
            self.endpoints.send(&messages(&step, 1..=4, rng.u64(..))).await;
            sleep(PACE).await;
            while self.backlog().await > BACKLOG_MAX && !self.is_over.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(20)).await;
            }
        }
        story
    }

    async fn backlog(&self) -> u64 {
        let Depth { visible, hidden } = self.endpoints.depth(QUEUE).await;
        visible + hidden
    }

    /// Kills and restarts, until it is over; then every worker is there.
    async fn disturb(&self, time: Duration) -> (Watch, Vec<Worker>) {
        let mut workers = Vec::new();
        for slot in 0..WORKERS {
            workers.push(self.start(&format!("slot-{slot}-first")).await);
        }
        let mut watch = Watch { unknown: Unknown::new(self.shared.ledger.clone()), kills: 0, stops: 0 };
        let mut names: Vec<_> = (0..WORKERS).map(|slot| format!("slot-{slot}-first")).collect();
        let started = Instant::now();
        while started.elapsed() < time {
            let (pause, slot, is_kill) = self.draw();
            sleep(pause).await;
            let worker = workers.swap_remove(slot);
            let name = names.swap_remove(slot);
            // The first is a kill, whatever the dice say: without one it would be no test.
            if is_kill || watch.kills == 0 {
                watch.kills += 1;
                drop(worker);
                watch.unknown.look(&self.endpoints, &name, Ending::Killed).await;
            } else {
                watch.stops += 1;
                let ended = worker.stop().await;
                assert_eq!(ended.code, Some(0), "{}", ended.log);
                let gave_up = ended.log.contains("given back");
                let ending = if gave_up { Ending::GaveUp } else { Ending::Orderly };
                watch.unknown.look(&self.endpoints, &name, ending).await;
            }
            let name = format!("restart-{}", watch.kills + watch.stops);
            workers.push(self.start(&name).await);
            names.push(name);
        }
        self.is_over.store(true, Ordering::Relaxed);
        (watch, workers)
    }

    fn draw(&self) -> (Duration, usize, bool) {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        (Duration::from_millis(rng.u64(200..1_500)), rng.usize(..WORKERS), rng.u8(..10) < KILLS_OF_TEN)
    }

    async fn start(&self, name: &str) -> Worker {
        let mut more: Vec<(&str, &str)> =
            self.shared.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        more.push(("TRIBUTARY_SERVICE_WORKER", name));
        more.push(("TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND", "25"));
        self.endpoints.worker(&more).await
    }
}
