//! What was published is logged, whatever becomes of its claim.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use tokio::{task::JoinSet, time::sleep};
use tributary::{
    batch::Limits,
    clock::Clock,
    config::{BreakerConfig, Oversize},
    dedupe::{Claim, Claimed, Claiming, Commit, Committed, Entry, Fact, Key, Ledger, OnConflict},
    event::ReadyEvent,
    failure::CallError,
    gate::Gate,
    metrics::Metrics,
    pipeline::{LaneParts, Pipeline, Shutdown},
    publish::{Destination, LaneSettings, Verdict},
    publish_log::{Chain, Line, Part, PublishLog, Shelf},
    redact::Redaction,
    route::{Route, Unmatched},
};

use crate::{
    process::events,
    support::one_message::{NoLetters, OneMessage},
};

const EVENTS: usize = 40;

/// Everything that a worker needs: a queue with one message, a lake that accepts all, and a ledger whose claims are
/// always lost when they are to be committed.
#[derive(Clone, Default)]
struct World {
    queue: OneMessage,
    shelf: Arc<Mutex<Vec<u8>>>,
}

#[async_trait]
impl Ledger for World {
    async fn claim(&self, wishes: &[Claiming], _lease: Duration) -> Vec<Result<Claim, CallError>> {
        wishes.iter().map(|_| Ok(Claim::Won)).collect()
    }

    async fn commit(&self, settled: &[Committed]) -> Vec<Result<Commit, CallError>> {
        settled.iter().map(|_| Ok(Commit::Lost)).collect()
    }

    async fn release(&self, claims: &[Claimed]) -> Vec<Result<(), CallError>> {
        claims.iter().map(|_| Ok(())).collect()
    }

    async fn find(&self, _key: &Key) -> Result<Option<Entry>, CallError> {
        Ok(None)
    }

    async fn forget(&self, _key: &Key) -> Result<bool, CallError> {
        Ok(false)
    }

    async fn describe(&self) -> Result<Vec<Fact>, CallError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Destination for World {
    fn limits(&self) -> Limits {
        Limits { events_max: 7, bytes_max: 999_999 }
    }

    async fn put(&self, events: &[&ReadyEvent]) -> Result<Vec<Verdict>, CallError> {
        let stored_as = |event: &&ReadyEvent| format!("stored-{}", event.id());
        Ok(events.iter().map(|event| Verdict::Accepted { stored_as: stored_as(event) }).collect())
    }
}

#[async_trait]
impl Shelf for World {
    async fn prepare(&mut self) -> Result<(), CallError> {
        Ok(())
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn takes_parts(&self) -> bool {
        false
    }

    async fn keep(&mut self, part: Part<'_>) -> Result<(), CallError> {
        self.shelf.lock().expect("no panic").extend_from_slice(part.bytes);
        Ok(())
    }
}

fn pipeline(world: &World, metrics: &Arc<Metrics>) -> Pipeline {
    let settings = LaneSettings {
        name: "lake".to_owned(),
        linger: Duration::from_millis(10),
        requests_per_second: 100,
        concurrency_max: 4,
        request_timeout: Duration::from_secs(10),
    };
    let lane = LaneParts {
        settings,
        destination: Arc::new(world.clone()),
        account: "111122223333".to_owned(),
        oversize: Oversize::Move,
        route: Route::default(),
        redaction: Redaction::default(),
    };
    let log = PublishLog {
        shelf: Box::new(world.clone()),
        chain: Chain::new("w", SystemTime::UNIX_EPOCH),
        segment_time: Duration::from_mins(1),
        segment_bytes: 1 << 20,
        clock: Clock::system(),
    };
    Pipeline {
        source: Arc::new(world.queue.clone()),
        ledger: Arc::new(world.clone()),
        letters: Arc::new(NoLetters),
        lanes: vec![lane],
        formats: tributary::formats::Formats::built_in(),
        format: None,
        format_attribute: None,
        unmatched: Unmatched::DeadLetter,
        lease: Duration::from_mins(1),
        on_conflict: OnConflict::DeadLetter,
        max_in_flight_bytes: 1 << 20,
        receivers_max: 1,
        breaker: BreakerConfig {
            dead_letter_share: 0.9,
            deliveries: 200,
            cool_down: Duration::from_secs(30),
        },
        objects: None,
        publish_log: Some(log),
        metrics: metrics.clone(),
        gate: Arc::new(Gate::new(1)),
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_is_logged_also_when_its_claim_was_lost_before_it_could_be_committed() {
    let (metrics, events) = (Metrics::new().expect("metrics"), events(31, EVENTS));
    let body = events.iter().map(|event| event.value.to_string()).collect::<Vec<_>>().join("\n");
    let world = World { queue: OneMessage::new(body), ..World::default() };
    let (shutdown, mut worker) = (Shutdown::default(), JoinSet::new());
    worker.spawn(pipeline(&world, &metrics).run(shutdown.clone()));
    sleep(Duration::from_secs(5)).await;
    shutdown.stop.cancel();
    worker.join_next().await.expect("one worker").expect("it ends by itself");

    assert_eq!(metrics.counts().published, EVENTS as u64);
    assert!(metrics.render().contains(&format!("tributary_commits_lost_total {EVENTS}")));
    let bytes = world.shelf.lock().expect("no panic").clone();
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').map(|line| &line[..line.len() - 1]);
    let logged: BTreeSet<_> = lines.filter_map(uid_of).collect();
    assert_eq!(logged, events.into_iter().map(|event| event.uid).collect());
}

/// Of a record, which names what the lake said.
fn uid_of(line: &[u8]) -> Option<String> {
    let Some(Line::Record(record)) = Line::read(line) else { return None };
    assert_eq!(record.stored_as, format!("stored-{}", record.id));
    Some(record.uid)
}
