use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::Lane;
use crate::{
    batch::Limits,
    checksum::checksum,
    config::Oversize,
    decode::decode,
    event::ReadyEvent,
    failure::CallError,
    flow::Flow,
    formats::Formats,
    gate::{Cause, Gate},
    identify::identify,
    map::map,
    metrics::Metrics,
    publish::{Destination, Entrance, LaneSettings, Verdict, attempts, waiting::Waiting},
    receive::{About, Deadline, Delivery, Message, Origin},
    room::{Permit, Room},
    settle::MessageReceipt,
    validate::validate,
};

/// Room of one message.
const PLACE: usize = 4_000;
const ROOM: usize = 1 << 20;
const LIMITS: Limits = Limits { events_max: 10, bytes_max: 999_999 };

/// Accepts every second event of a call and puts off the others.
struct Halving;

/// Denies every call.
struct Denying;

/// Accepts everything, a while later, and counts the calls.
#[derive(Clone, Default)]
struct Slow {
    events_max: usize,
    under_way: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

#[async_trait]
impl Destination for Halving {
    fn limits(&self) -> Limits {
        LIMITS
    }

    async fn put(&self, events: &[&ReadyEvent]) -> Result<Vec<Verdict>, CallError> {
        let verdict = |at| match at % 2 {
            0 => accepted(),
            _ => Verdict::TryAgain { code: "Throttling".into() },
        };
        Ok((0..events.len()).map(verdict).collect())
    }
}

#[async_trait]
impl Destination for Denying {
    fn limits(&self) -> Limits {
        LIMITS
    }

    async fn put(&self, _events: &[&ReadyEvent]) -> Result<Vec<Verdict>, CallError> {
        Err(CallError::misconfigured("AccessDeniedException", "no"))
    }
}

#[async_trait]
impl Destination for Slow {
    fn limits(&self) -> Limits {
        Limits { events_max: self.events_max, ..LIMITS }
    }

    async fn put(&self, events: &[&ReadyEvent]) -> Result<Vec<Verdict>, CallError> {
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(under_way, Ordering::SeqCst);
        sleep(Duration::from_secs(1)).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        Ok(events.iter().map(|_| accepted()).collect())
    }
}

fn accepted() -> Verdict {
    Verdict::Accepted { stored_as: String::new() }
}

/// A lane and what it needs.
struct Bench {
    lane: Arc<Lane>,
    gate: Arc<Gate>,
    room: Arc<Room>,
    flow: Arc<Flow>,
}

impl Bench {
    fn new(destination: impl Destination, names: &[&str], room_bytes: usize, concurrency_max: usize) -> Self {
        let metrics = Metrics::new().unwrap();
        let numbers = metrics.lane("lake");
        let flow = metrics.flow("lake", numbers.end_to_end_seconds.clone());
        let settings = LaneSettings {
            name: "lake".to_owned(),
            linger: Duration::from_millis(10),
            requests_per_second: 1_000,
            concurrency_max,
            request_timeout: Duration::from_secs(30),
        };
        let gate = Arc::new(Gate::new(names.len()));
        let entrance = Entrance::for_lanes(names.iter().copied(), &gate, room_bytes).remove(0);
        let (rejected, _) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let lane = Arc::new(Lane::new(settings, Arc::new(destination), entrance, rejected, stop, numbers));
        Self { lane, gate, room: Room::new(ROOM), flow }
    }

    /// The deliveries of a message of `events`, let in.
    async fn message(&self, name: &str, events: usize) -> Vec<Delivery<ReadyEvent>> {
        self.delivered(name, events, 1, None).await
    }

    async fn delivered(
        &self,
        name: &str,
        events: usize,
        attempt: u32,
        own_room: Option<Arc<Permit>>,
    ) -> Vec<Delivery<ReadyEvent>> {
        // Without a settler the room is free as soon as the last delivery has left.
        let (to_settler, _) = mpsc::unbounded_channel();
        let deadline = Deadline::new(Instant::now() + Duration::from_hours(10));
        let message = Message { attempt, ..Message::empty(deadline) };
        let mut receipt = MessageReceipt::new(&message, self.room.take(PLACE).await, to_settler);
        let deliveries = (0..events).map(|position| {
            let (event, origin) = (ready(name, position), Origin::of(&message, position, "".into()));
            Delivery { event, origin, receipt: receipt.share_with_room(&self.flow, own_room.clone()) }
        });
        let deliveries: Vec<_> = deliveries.collect();
        receipt.seal();
        deliveries.into_iter().map(|delivery| self.lane.entrance.admit(delivery).unwrap()).collect()
    }

    async fn messages(&self, count: usize) -> Vec<Delivery<ReadyEvent>> {
        let mut all = Vec::new();
        for number in 0..count {
            all.extend(self.message(&number.to_string(), 1).await);
        }
        all
    }

    /// Sets the lane to work on these.
    fn run(&self, deliveries: Vec<Delivery<ReadyEvent>>) -> JoinSet<()> {
        let (sender, receiver) = mpsc::unbounded_channel();
        for delivery in deliveries {
            sender.send(delivery).unwrap();
        }
        let mut running = JoinSet::new();
        running.spawn(self.lane.clone().run(receiver, CancellationToken::new()));
        running
    }
}

fn ready(name: &str, number: usize) -> ReadyEvent {
    let json = format!(
        r#"{{"version":"1.0","userIdentity":{{"type":"User","principalId":"p"}},"eventSource":"a.example.com",
        "eventName":"Login","eventTime":"2026-01-02T03:04:05Z","UID":"{name}-{number}"}}"#
    );
    let raw = decode(json.into()).remove(0).found.into_event().unwrap();
    let about = About::default();
    let event = identify(raw, &about, &Formats::built_in(), None).unwrap();
    let event = map(&event, &about, "111122223333").unwrap();
    checksum(validate(event, Oversize::Move).unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_which_each_call_takes_a_part_waits_no_longer_and_longer() {
    let bench = Bench::new(Halving, &["lake"], ROOM, 1);
    let batch = bench.message("m", 64).await;
    let started = Instant::now();
    attempts::publish(&bench.lane, batch).await;
    // Seven calls. Without a fresh start after each the six waits between them would be 3.15 s at least.
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn of_a_lane_that_is_paused_alone_one_delivery_stays_to_find_out() {
    let bench = Bench::new(Denying, &["lake", "other"], ROOM, 1);
    let mut batch = bench.message("large", 5).await;
    batch.extend(bench.messages(5).await);
    let mut publish = std::pin::pin!(attempts::publish(&bench.lane, batch));
    tokio::select! {
        () = &mut publish => panic!("nobody is left to find out"),
        () = sleep(Duration::from_secs(1)) => {}
    }
    assert_eq!(bench.room.taken(), PLACE);
}

#[tokio::test(start_paused = true)]
async fn a_batch_does_not_wait_for_the_slot_of_the_call_that_finds_out() {
    let bench = Bench::new(Denying, &["lake", "other"], ROOM, 1);
    let deliveries = bench.messages(35).await;
    let mut running = bench.run(deliveries);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bench.room.taken(), PLACE, "one delivery finds out, all others are on the queue");
    running.abort_all();
}

/// The most calls at once, of a lane whose share is `share_bytes`, for two batches of two events.
async fn most_calls(share_bytes: usize, events_per_message: usize) -> usize {
    let slow = Slow { events_max: 2, ..Slow::default() };
    let bench = Bench::new(slow.clone(), &["lake", "other"], 2 * share_bytes, 2);
    let mut deliveries = Vec::new();
    for number in 0..4 / events_per_message {
        deliveries.extend(bench.message(&number.to_string(), events_per_message).await);
    }
    let mut running = bench.run(deliveries);
    running.join_next().await.unwrap().unwrap();
    assert_eq!(bench.room.taken(), 0);
    slow.most.load(Ordering::SeqCst)
}

#[tokio::test(start_paused = true)]
async fn calls_hold_no_more_than_the_lanes_share_of_the_room_whatever_is_sent_of_it() {
    assert_eq!(most_calls(2 * PLACE, 1).await, 1, "four places for four events");
    assert_eq!(most_calls(4 * PLACE, 1).await, 2);
    assert_eq!(
        most_calls(2 * PLACE, 2).await,
        2,
        "two places: a message has one, however many of its events"
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_lane_gives_back_what_waits_but_not_for_the_third_time_and_not_what_has_room_of_its_own() {
    let bench = Bench::new(Denying, &["lake", "other"], 2 * PLACE, 1);
    let (sender, receiver) = mpsc::unbounded_channel();
    let mut waiting = Waiting::new(receiver);
    let own = Some(Arc::new(bench.room.take(PLACE).await));
    for (name, attempt, own) in
        [("a", 1, None), ("b", 3, None), ("c", 1, own), ("d", 2, None), ("e", 9, None)]
    {
        let delivery = bench.delivered(name, 1, attempt, own).await.remove(0);
        sender.send(delivery).unwrap();
    }
    let entrance = &bench.lane.entrance;
    sleep(Duration::from_secs(10)).await;
    waiting.make_room(entrance);
    assert_eq!(bench.room.taken(), 6 * PLACE, "it is only busy");
    entrance.trouble().begins();
    waiting.make_room(entrance);
    assert_eq!(bench.room.taken(), 4 * PLACE);
    let first = waiting.next().await.unwrap();
    assert_eq!(first.event.id().declared(), "b-0", "they stay in their order");
    bench.gate.close(Cause::Destination("lake".to_owned()), "channel not found");
    waiting.make_room(entrance);
    drop(sender);
    assert!(waiting.next().await.is_none(), "a paused lane keeps nothing");
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_throttled_or_fail_are_trouble_and_refused_events_are_none() {
    let put_off = |code: &str| Verdict::TryAgain { code: code.to_owned() };
    let refused = || Verdict::Refused { code: "InvalidEvent".to_owned() };
    for (answer, is_trouble) in [
        (Ok(vec![accepted(), accepted()]), false),
        (Ok(vec![refused(), refused()]), false),
        (Ok(vec![accepted(), put_off("InternalError")]), false),
        (Ok(vec![accepted(), put_off("Throttling")]), true),
        (Ok(vec![put_off("InternalError"), Verdict::Unknown]), true),
        (Err(CallError::transient("timeout", "no answer")), true),
        (Err(CallError::misconfigured("AccessDeniedException", "no")), true),
    ] {
        let bench = Bench::new(Denying, &["lake", "other"], ROOM, 1);
        bench.lane.learn_from(&answer);
        assert_eq!(bench.lane.entrance.trouble().is_now(), is_trouble, "{answer:?}");
    }
}
