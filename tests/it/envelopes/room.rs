//! What was unpacked takes room until it is settled: a pipeline whose lake does not answer yet.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};
use tributary::{
    batch::Limits,
    config::{BreakerConfig, Oversize},
    dedupe::{OnConflict, memory::MemoryLedger},
    event::ReadyEvent,
    failure::CallError,
    gate::Gate,
    metrics::Metrics,
    pipeline::{LaneParts, Pipeline, Shutdown},
    publish::{Destination, LaneSettings, Verdict},
    redact::Redaction,
    route::{Route, Unmatched},
};

use super::wrapping::gzip;
use crate::{
    process::events,
    support::one_message::{NoLetters, OneMessage},
};

const EVENTS: usize = 50;

/// A queue with one message, and a lake that answers when it is told to.
#[derive(Clone)]
struct World {
    queue: OneMessage,
    answers: Arc<Semaphore>,
}

#[async_trait]
impl Destination for World {
    fn limits(&self) -> Limits {
        Limits { events_max: 100, bytes_max: 999_999 }
    }

    async fn put(&self, events: &[&ReadyEvent]) -> Result<Vec<Verdict>, CallError> {
        self.answers.acquire().await.expect("never closed").forget();
        Ok(events.iter().map(|event| Verdict::Accepted { stored_as: event.id().to_string() }).collect())
    }
}

fn pipeline(world: &World, metrics: &Arc<Metrics>) -> Pipeline {
    let settings = LaneSettings {
        name: "lake".to_owned(),
        linger: Duration::from_millis(10),
        requests_per_second: 100,
        concurrency_max: 4,
        request_timeout: Duration::from_secs(30),
    };
    let lane = LaneParts {
        settings,
        destination: Arc::new(world.clone()),
        account: "111122223333".to_owned(),
        oversize: Oversize::Move,
        route: Route::default(),
        redaction: Redaction::default(),
    };
    Pipeline {
        source: Arc::new(world.queue.clone()),
        ledger: Arc::new(MemoryLedger::new(Duration::from_hours(1), 1_000)),
        letters: Arc::new(NoLetters),
        lanes: vec![lane],
        formats: tributary::formats::Formats::built_in(),
        objects: None,
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
        publish_log: None,
        metrics: metrics.clone(),
        gate: Arc::new(Gate::new(1)),
    }
}

/// As the dashboard sees it.
fn taken(metrics: &Metrics) -> usize {
    let text = metrics.render();
    let line = text.lines().find_map(|line| line.strip_prefix("tributary_in_flight_bytes "));
    line.and_then(|number| number.parse().ok()).expect("a number of bytes")
}

#[tokio::test(start_paused = true)]
async fn what_was_unpacked_takes_room_until_it_is_settled() {
    let plain = events(47, EVENTS).iter().map(|event| event.value.to_string()).collect::<Vec<_>>().join("\n");
    let body = gzip(&plain);
    let packed_bytes = body.len();
    let world = World { queue: OneMessage::new(body), answers: Arc::new(Semaphore::new(0)) };
    let (metrics, shutdown, mut worker) =
        (Metrics::new().expect("metrics"), Shutdown::default(), JoinSet::new());
    worker.spawn(pipeline(&world, &metrics).run(shutdown.clone()));

    sleep(Duration::from_secs(5)).await;
    // Stopped, so that no poll has room of its own.
    shutdown.stop.cancel();
    sleep(Duration::from_secs(5)).await;
    let structures = EVENTS * 1_024;
    assert_eq!(taken(&metrics), packed_bytes + plain.len() + structures);
    world.answers.add_permits(100);
    worker.join_next().await.expect("one worker").expect("it ends by itself");
    assert_eq!(metrics.counts().published, EVENTS as u64);
}
