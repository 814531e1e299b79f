//! A queue with visibility, and lakes that can be gone or slow, in memory, for a pipeline on a paused clock.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tributary::{
    batch::Limits,
    config::{BreakerConfig, Oversize},
    dead_letter::{DeadLetter, Letter, StoreError},
    dedupe::{OnConflict, memory::MemoryLedger},
    event::ReadyEvent,
    failure::CallError,
    formats::Formats,
    gate::Gate,
    metrics::Metrics,
    pipeline::{LaneParts, Pipeline, Shutdown},
    publish::{Destination, LaneSettings, Verdict},
    receive::{Deadline, Handle, Message, Source},
    redact::Redaction,
    route::{Route, Unmatched},
};

const VISIBILITY: Duration = Duration::from_mins(2);
const ROUND_TRIP: Duration = Duration::from_millis(20);

/// How a lake behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    Well,
    /// Every call takes this long.
    Slow(Duration),
    /// Every call takes this long, and throttles every second of its events.
    Throttles(Duration),
    /// Every call is denied.
    Denies,
}

#[derive(Clone)]
pub(crate) struct Yard(Arc<Mutex<Inside>>);

struct Inside {
    queue: BTreeMap<u64, Queued>,
    lakes: BTreeMap<String, BTreeMap<String, u32>>,
    moods: BTreeMap<String, Mood>,
    most_deliveries: u32,
}

struct Queued {
    body: String,
    visible_at: Instant,
    deliveries: u32,
    held: Option<Deadline>,
}

/// A pipeline at work.
pub(crate) struct Working {
    shutdown: Shutdown,
    pipeline: JoinSet<()>,
    metrics: Arc<Metrics>,
}

impl Working {
    /// Lets everything that was taken in be settled.
    pub(crate) async fn stop(mut self) {
        self.shutdown.stop.cancel();
        self.pipeline.join_next().await.expect("one pipeline").expect("it ends by itself");
        let counts = self.metrics.counts();
        assert_eq!((counts.imbalance(), counts.in_flight), (0, 0), "{counts:?}");
    }

    /// Bytes of the room, as of the last second.
    pub(crate) fn held_bytes(&self) -> usize {
        let text = self.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix("tributary_in_flight_bytes "));
        line.and_then(|number| number.parse().ok()).expect("a number of bytes")
    }
}

impl Yard {
    pub(crate) fn new() -> Self {
        fastrand::seed(7);
        let inside = Inside {
            queue: BTreeMap::new(),
            lakes: BTreeMap::new(),
            moods: BTreeMap::new(),
            most_deliveries: 0,
        };
        Self(Arc::new(Mutex::new(inside)))
    }

    fn look(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().expect("no panic")
    }

    /// Puts an event of this name on the queue.
    pub(crate) fn send(&self, name: &str, number: u64) {
        let body = format!(
            r#"{{"version":"1.0","userIdentity":{{"type":"User","principalId":"p"}},"eventSource":"a.example.com",
            "eventName":"{name}","eventTime":"2026-01-02T03:04:05Z","UID":"{name}-{number}"}}"#
        );
        let mut inside = self.look();
        let key = inside.queue.last_key_value().map_or(0, |(key, _)| key + 1);
        let queued = Queued { body, visible_at: Instant::now(), deliveries: 0, held: None };
        inside.queue.insert(key, queued);
    }

    pub(crate) fn is(&self, lakes: &[&str], mood: Mood) {
        self.look().moods.extend(lakes.iter().map(|lake| ((*lake).to_owned(), mood)));
    }

    /// How many different events a lake holds.
    pub(crate) fn stored(&self, lake: &str) -> u64 {
        self.look().lakes.get(lake).map_or(0, |rows| rows.len() as u64)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.look().queue.is_empty()
    }

    pub(crate) fn most_deliveries(&self) -> u32 {
        self.look().most_deliveries
    }

    pub(crate) fn assert_each_once(&self, lakes: &[(&str, u64)]) {
        for (lake, count) in lakes {
            assert_eq!(self.stored(lake), *count, "{lake}");
            let inside = self.look();
            let twice = inside.lakes[*lake].iter().find(|(_, times)| **times != 1);
            assert_eq!(twice, None, "{lake}");
        }
    }

    /// Waits until `is_so`, and says how long that took.
    pub(crate) async fn until(&self, at_most: Duration, is_so: impl Fn() -> bool) -> Duration {
        let started = Instant::now();
        while !is_so() {
            let lakes: Vec<_> = ["a", "b"].iter().map(|lake| self.stored(lake)).collect();
            assert!(started.elapsed() < at_most, "not within {at_most:?}; the lakes hold {lakes:?}");
            sleep(Duration::from_millis(250)).await;
        }
        started.elapsed()
    }

    /// Until what is paused has found out and given back what it can.
    pub(crate) async fn settle_down(&self) {
        sleep(Duration::from_mins(1)).await;
    }

    pub(crate) fn work(&self, room: usize, lanes: Vec<(&str, Route)>) -> Working {
        let metrics = Metrics::new().expect("metrics");
        let lane = |(name, route): (&str, Route)| LaneParts {
            settings: LaneSettings {
                name: name.to_owned(),
                linger: Duration::from_millis(250),
                requests_per_second: 100,
                concurrency_max: 8,
                request_timeout: Duration::from_secs(30),
            },
            destination: Arc::new(Lake { yard: self.clone(), name: name.to_owned() }),
            account: "111122223333".to_owned(),
            oversize: Oversize::Move,
            route,
            redaction: Redaction::default(),
        };
        let lanes: Vec<_> = lanes.into_iter().map(lane).collect();
        let pipeline = Pipeline {
            source: Arc::new(self.clone()),
            ledger: Arc::new(MemoryLedger::new(Duration::from_hours(24), 100_000)),
            letters: Arc::new(self.clone()),
            gate: Arc::new(Gate::new(lanes.len())),
            lanes,
            formats: Formats::built_in(),
            format: None,
            format_attribute: None,
            unmatched: Unmatched::DeadLetter,
            lease: VISIBILITY,
            on_conflict: OnConflict::DeadLetter,
            max_in_flight_bytes: room,
            receivers_max: 4,
            breaker: BreakerConfig { dead_letter_share: 1.0, deliveries: 200, cool_down: VISIBILITY },
            publish_log: None,
            objects: None,
            metrics: metrics.clone(),
        };
        let (shutdown, mut worker) = (Shutdown::default(), JoinSet::new());
        worker.spawn(pipeline.run(shutdown.clone()));
        Working { shutdown, pipeline: worker, metrics }
    }
}

#[async_trait]
impl Source for Yard {
    async fn receive(&self) -> Result<Vec<Message>, CallError> {
        let now = Instant::now();
        let messages: Vec<_> = {
            let mut inside = self.look();
            let visible = inside.queue.iter_mut().filter(|(_, queued)| queued.visible_at <= now).take(10);
            let messages: Vec<_> = visible.map(|(key, queued)| queued.delivered(*key, now)).collect();
            let most = messages.iter().map(|message| message.attempt).max().unwrap_or(0);
            inside.most_deliveries = inside.most_deliveries.max(most);
            messages
        };
        // A queue that has something answers at once, an empty one waits.
        sleep(if messages.is_empty() { Duration::from_secs(1) } else { ROUND_TRIP }).await;
        Ok(messages)
    }

    async fn ack(&self, handles: &[Handle]) -> Vec<Result<(), CallError>> {
        let mut inside = self.look();
        let ack = |handle: &Handle| drop(inside.queue.remove(&key_of(handle)));
        handles.iter().map(ack).map(Ok).collect()
    }

    async fn give_back(&self, handles: &[(Handle, Duration)]) -> Vec<Result<(), CallError>> {
        let mut inside = self.look();
        for (handle, after) in handles {
            if let Some(queued) = inside.queue.get_mut(&key_of(handle)) {
                queued.visible_at = Instant::now() + *after;
                queued.held = None;
            }
        }
        handles.iter().map(|_| Ok(())).collect()
    }

    async fn keep_alive(&self) {
        loop {
            sleep(VISIBILITY / 4).await;
            let until = Instant::now() + VISIBILITY;
            for queued in self.look().queue.values_mut() {
                if let Some(deadline) = &queued.held {
                    deadline.move_to(until);
                    queued.visible_at = until;
                }
            }
        }
    }

    fn batch_max(&self) -> usize {
        10
    }
}

impl Queued {
    fn delivered(&mut self, key: u64, now: Instant) -> Message {
        let deadline = Deadline::new(now + VISIBILITY);
        self.visible_at = now + VISIBILITY;
        self.deliveries += 1;
        self.held = Some(deadline.clone());
        Message {
            handle: Handle { message_id: key.to_string().into(), delivery: self.deliveries.into() },
            body: self.body.clone().into(),
            is_base64: false,
            attempt: self.deliveries,
            sent_at: None,
            deadline,
            group: None,
            is_redriven: false,
            about: Arc::default(),
        }
    }
}

fn key_of(handle: &Handle) -> u64 {
    handle.message_id.parse().expect("a number of ours")
}

#[async_trait]
impl DeadLetter for Yard {
    async fn store(&self, letters: &[Letter]) -> Vec<Result<(), StoreError>> {
        letters.iter().map(|letter| panic!("dead-lettered: {}", letter.detail)).collect()
    }
}

struct Lake {
    yard: Yard,
    name: String,
}

#[async_trait]
impl Destination for Lake {
    fn limits(&self) -> Limits {
        Limits { events_max: 10, bytes_max: 999_999 }
    }

    async fn put(&self, events: &[&ReadyEvent]) -> Result<Vec<Verdict>, CallError> {
        let mood = self.yard.look().moods.get(&self.name).copied().unwrap_or(Mood::Well);
        match mood {
            Mood::Well => sleep(ROUND_TRIP).await,
            Mood::Slow(time) | Mood::Throttles(time) => sleep(time).await,
            Mood::Denies => {
                sleep(ROUND_TRIP).await;
                return Err(CallError::misconfigured("AccessDeniedException", "no"));
            }
        }
        let mut inside = self.yard.look();
        let rows = inside.lakes.entry(self.name.clone()).or_default();
        let mut store = |(at, event): (usize, &&ReadyEvent)| {
            if at % 2 == 1 && matches!(mood, Mood::Throttles(_)) {
                return Verdict::TryAgain { code: "ThrottlingException".to_owned() };
            }
            *rows.entry(event.id().declared().to_owned()).or_default() += 1;
            Verdict::Accepted { stored_as: "row".to_owned() }
        };
        Ok(events.iter().enumerate().map(&mut store).collect())
    }
}
