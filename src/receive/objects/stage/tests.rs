//! What becomes of a message that leads to objects, whatever the store does.

mod stored;

use std::{collections::BTreeSet, sync::Mutex};

use async_trait::async_trait;
use tokio::time::{advance, timeout};

use super::{
    super::{
        OBJECT_BYTES,
        doubles::{Act, Scripted, denied, object},
    },
    *,
};
use crate::{
    breaker::Breaker,
    config::BreakerConfig,
    decode::Notice,
    dedupe::memory::MemoryLedger,
    failure::Rejection,
    flow::Flow,
    receive::{About, Deadline, Handle, Source},
    route::Filtered,
    settle::{Proof, Receipt, Settler, ToSettler},
};

/// Remembers how messages ended: `None` is acked.
#[derive(Default)]
struct Queue(Mutex<Vec<(Arc<str>, Option<Duration>)>>);

#[async_trait]
impl Source for Queue {
    async fn receive(&self) -> Result<Vec<Message>, CallError> {
        std::future::pending().await
    }

    async fn ack(&self, handles: &[Handle]) -> Vec<Result<(), CallError>> {
        let mut ended = self.0.lock().unwrap();
        handles
            .iter()
            .map(|handle| {
                ended.push((handle.message_id.clone(), None));
                Ok(())
            })
            .collect()
    }

    async fn give_back(&self, handles: &[(Handle, Duration)]) -> Vec<Result<(), CallError>> {
        let mut ended = self.0.lock().unwrap();
        handles
            .iter()
            .map(|(handle, after)| {
                ended.push((handle.message_id.clone(), Some(*after)));
                Ok(())
            })
            .collect()
    }

    async fn keep_alive(&self) {}

    fn batch_max(&self) -> usize {
        10
    }
}

/// What was read, and the receipts of it while a test holds them.
#[derive(Default)]
struct Seen {
    places: Vec<String>,
    letters: Vec<(Reason, String, Bytes)>,
    letter_places: Vec<String>,
    redriven: Vec<String>,
    notices: Vec<Notice>,
    held: Option<Vec<Receipt>>,
}

/// The stage with all that it needs around it.
struct Stage {
    queue: Arc<Queue>,
    seen: Arc<Mutex<Seen>>,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    room: Arc<Room>,
    to_settler: ToSettler,
    jobs: mpsc::UnboundedSender<Job>,
    shutdown: Shutdown,
    tasks: JoinSet<()>,
}

impl Stage {
    fn start(store: Arc<Scripted>) -> Self {
        Self::with_room(store, 1 << 20)
    }

    fn with_room(store: Arc<Scripted>, bytes: usize) -> Self {
        let (metrics, gate) = (Metrics::new().unwrap(), Arc::new(Gate::new(1)));
        let (queue, seen) = (Arc::<Queue>::default(), Arc::<Mutex<Seen>>::default());
        let (to_settler, settlements) = mpsc::unbounded_channel();
        let (jobs, received) = mpsc::unbounded_channel();
        let (shutdown, room) = (Shutdown::default(), Room::new(bytes));
        let objects = Objects {
            store,
            concurrency_max: 2,
            room: room.clone(),
            gate: gate.clone(),
            metrics: metrics.clone(),
            process: process(metrics.flow("lake", metrics::Histogram::noop()), seen.clone()),
        };
        let breaker =
            BreakerConfig { dead_letter_share: 1.0, deliveries: 10, cool_down: Duration::from_secs(1) };
        let settler = Settler {
            source: queue.clone(),
            ledger: Arc::new(MemoryLedger::new(Duration::from_hours(1), 10)),
            gate: gate.clone(),
            breaker: Breaker::new(breaker, gate.clone()),
            metrics: metrics.clone(),
            log: None,
            give_up: CancellationToken::new(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(objects.run(received, shutdown.clone()));
        tasks.spawn(settler.run(settlements));
        Self { queue, seen, gate, metrics, room, to_settler, jobs, shutdown, tasks }
    }

    /// A message, at one of its deliveries, that leads to these objects.
    async fn send(&self, name: &str, attempt: u32, keys: &[&str]) {
        let deadline = Deadline::new(Instant::now() + Duration::from_hours(10));
        let handle = Handle { message_id: name.into(), delivery: 1 };
        self.send_message(Message { handle, attempt, ..Message::empty(deadline) }, keys).await;
    }

    async fn send_message(&self, message: Message, keys: &[&str]) {
        self.send_objects(message, keys.iter().map(|key| object(key)).collect()).await;
    }

    async fn send_objects(&self, message: Message, objects: Vec<ObjectRef>) {
        let room = Room::new(OBJECT_BYTES).take(1).await;
        let mut receipt = MessageReceipt::new(&message, room, self.to_settler.clone());
        receipt.keep_open();
        assert!(self.jobs.send(Job { message, receipt, objects }).is_ok());
    }

    /// Lets so much time pass in small steps.
    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds * 4 {
            advance(Duration::from_millis(250)).await;
            tokio::task::yield_now().await;
        }
    }

    fn ended(&self) -> Vec<(Arc<str>, Option<Duration>)> {
        self.queue.0.lock().unwrap().clone()
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    fn counted(&self, series: &str) -> bool {
        self.metrics.render().contains(series)
    }

    fn is_not_ready(&self) -> bool {
        self.gate.causes().contains_key(&Cause::Objects("logs".to_owned()))
    }
}

fn process(flow: Arc<Flow>, seen: Arc<Mutex<Seen>>) -> Process {
    Arc::new(move |part: Part, receipt: &mut MessageReceipt| {
        let share = receipt.share_with_room(&flow, part.room);
        let mut seen = seen.lock().unwrap();
        if part.origin.is_redriven {
            seen.redriven.push(part.origin.place());
        }
        let is_event = !matches!(part.found, Found::Rejected(_));
        match part.found {
            Found::Event(_) => seen.places.push(part.origin.place()),
            Found::Rejected(Rejection { reason, detail }) => {
                seen.letter_places.push(part.origin.place());
                seen.letters.push((reason, detail.into_owned(), part.origin.original));
            }
            Found::Notice(notice) => seen.notices.push(notice),
            Found::Object(_) => {}
        }
        match &mut seen.held {
            Some(held) => held.push(share),
            None => share.ack(Proof::Filtered(Filtered::notice())),
        }
        is_event
    })
}

fn lines(count: usize) -> Vec<u8> {
    (0..count)
        .flat_map(|at| {
            format!("{{\"eventName\":\"Get\",\"at\":{at},\"filler\":\"{}\"}}\n", "x".repeat(100)).into_bytes()
        })
        .collect()
}

fn settle(held: Vec<Receipt>) {
    for share in held {
        share.ack(Proof::Filtered(Filtered::notice()));
    }
}

fn acked(name: &str) -> (Arc<str>, Option<Duration>) {
    (name.into(), None)
}

#[tokio::test(start_paused = true)]
async fn each_record_has_its_place_in_the_object_and_the_message_is_acked_once_all_are() {
    let stage = Stage::start(Scripted::new([("a", lines(3)), ("b", lines(2))], |_, _| Act::Send));
    stage.send("one", 1, &["a", "b"]).await;
    stage.pass(1).await;
    let expected = ["s3://logs/a#0", "s3://logs/a#1", "s3://logs/a#2", "s3://logs/b#0", "s3://logs/b#1"];
    assert_eq!(stage.seen().places, expected);
    assert_eq!(stage.ended(), [acked("one")]);
    assert!(stage.counted("tributary_objects_total{result=\"read\"} 2"));
    assert!(stage.counted("tributary_object_records_total 5"));
}

#[tokio::test(start_paused = true)]
async fn an_object_without_records_is_a_notice() {
    let stage =
        Stage::start(Scripted::new([("folder/", vec![]), ("log", b"{\"Records\":[]}".to_vec())], |_, _| {
            Act::Send
        }));
    stage.send("one", 1, &["folder/"]).await;
    stage.send("two", 1, &["log"]).await;
    stage.pass(1).await;
    assert_eq!(stage.ended(), [acked("one"), acked("two")]);
    assert_eq!(stage.seen().notices, [Notice::EmptyObject, Notice::EmptyObject]);
}

#[tokio::test(start_paused = true)]
async fn records_wait_for_room_and_the_message_for_the_last_of_them() {
    let stage = Stage::with_room(Scripted::new([("a", lines(100))], |_, _| Act::Send), 10_000);
    stage.seen().held = Some(Vec::new());
    stage.send("one", 1, &["a"]).await;
    stage.pass(5).await;
    let mut settled = 0;
    while settled < 100 {
        let held = std::mem::take(stage.seen().held.as_mut().unwrap());
        assert!((1..10).contains(&held.len()), "{} records of more than a kilobyte in ten", held.len());
        assert!(stage.room.taken() <= 10_000);
        assert_eq!(stage.ended(), []);
        settled += held.len();
        settle(held);
        stage.pass(1).await;
    }
    assert_eq!(stage.ended(), [acked("one")]);
    assert_eq!(stage.room.taken(), 0);
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_the_rest_is_returned_at_once() {
    let stage = Stage::with_room(Scripted::new([("a", lines(100))], |_, _| Act::Send), 10_000);
    stage.seen().held = Some(Vec::new());
    stage.send("one", 1, &["a"]).await;
    stage.send("behind", 1, &["a"]).await;
    stage.pass(1).await;
    stage.shutdown.stop.cancel();
    stage.send("late", 1, &["a"]).await;
    stage.pass(1).await;
    // What was read is settled first: it is published already, or will be.
    let held = stage.seen().held.take().unwrap();
    settle(held);
    stage.pass(1).await;
    let mut ended = stage.ended();
    ended.sort();
    assert_eq!(ended, ["behind", "late", "one"].map(|name| (name.into(), Some(Duration::ZERO))));
}

#[tokio::test(start_paused = true)]
async fn after_giving_up_nothing_is_acked_that_was_not_read_to_its_end() {
    let mut stage = Stage::start(Scripted::new([("a", lines(9))], |_, _| Act::Hang(500)));
    stage.send("one", 1, &["a"]).await;
    stage.pass(1).await;
    assert!(!stage.seen().places.is_empty());
    stage.shutdown.give_up.cancel();
    stage.pass(1).await;
    assert_eq!(stage.ended(), [("one".into(), Some(Duration::ZERO))]);
    drop((stage.jobs, stage.to_settler));
    let all = async { while stage.tasks.join_next().await.is_some() {} };
    assert!(timeout(Duration::from_secs(9), all).await.is_ok(), "nothing goes on");
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_comes_again_later_each_time_and_is_given_up_at_the_fifth_delivery() {
    let stage = Stage::start(Scripted::new([("there", lines(1))], |_, _| Act::Send));
    for attempt in 1..=5 {
        stage.send(&attempt.to_string(), attempt, &["missing", "there"]).await;
        stage.pass(1).await;
    }
    let ended = stage.ended();
    for (at, seconds) in [10.0, 20.0, 40.0, 80.0].into_iter().enumerate() {
        let after = ended[at].1.expect("returned").as_secs_f64();
        assert!((seconds * 0.5..=seconds * 1.5).contains(&after), "{after} after delivery {at}");
    }
    assert_eq!(ended[4], acked("5"));
    let seen = stage.seen();
    assert_eq!(seen.places.len(), 5, "the other object is read each time");
    let [(reason, _, original)] = &*seen.letters else { panic!("one letter") };
    assert_eq!(*reason, Reason::ObjectMissing);
    assert!(String::from_utf8_lossy(original).contains("\"key\":\"missing\""));
}

#[tokio::test(start_paused = true)]
async fn what_is_archived_comes_again_and_is_its_own_problem_at_the_fifth_delivery() {
    let store = Scripted::new([("cold", lines(1)), ("good", lines(1))], |_, key| {
        if key == "cold" { Act::Fail(ObjectError::Archived) } else { Act::Send }
    });
    let stage = Stage::start(store);
    for attempt in 1..=5 {
        stage.send(&attempt.to_string(), attempt, &["cold"]).await;
        stage.pass(1).await;
        assert!(!stage.is_not_ready(), "others may be readable");
    }
    let ended = stage.ended();
    assert!(ended[..4].iter().all(|(_, after)| after.is_some_and(|after| after >= Duration::from_secs(5))));
    assert_eq!(ended[4..], [acked("5")]);
    let seen = stage.seen();
    let [(reason, detail, _)] = &*seen.letters else { panic!("one letter") };
    assert_eq!(*reason, Reason::ObjectDenied);
    assert!(detail.contains("archived") && detail.contains("delivery 5"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn of_what_is_denied_one_message_is_held_until_it_is_cured_and_the_worker_is_not_ready() {
    let is_cured = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let cure = is_cured.clone();
    let store = Scripted::new([("a", lines(1)), ("b", lines(1))], move |_, _| {
        if is_cured.load(std::sync::atomic::Ordering::Relaxed) { Act::Send } else { denied() }
    });
    let stage = Stage::start(store);
    for delivery in 1..=3 {
        for message in ["one", "two", "three"].into_iter().skip(usize::from(delivery > 1)) {
            stage.send(message, delivery, &["a", "b"]).await;
        }
        stage.pass(1_200).await;
        assert!(stage.is_not_ready());
        let returned = std::mem::take(&mut *stage.queue.0.lock().unwrap());
        let names: Vec<_> = returned.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["two", "three"], "they would fill the room");
        let least = Duration::from_secs(5 << (delivery - 1));
        assert!(returned.iter().all(|(_, after)| after.is_some_and(|after| after >= least)), "{returned:?}");
    }
    assert!(stage.gate.is_passable(), "other objects may be readable");
    cure.store(true, std::sync::atomic::Ordering::Relaxed);
    stage.pass(60).await;
    assert!(!stage.is_not_ready());
    assert_eq!(stage.ended(), [acked("one")]);
    stage.send("two", 4, &["a", "b"]).await;
    stage.pass(1).await;
    assert_eq!(stage.ended()[1..], [acked("two")]);
    let seen = stage.seen();
    assert_eq!((seen.places.len(), seen.letters.len()), (4, 0));
}

#[tokio::test(start_paused = true)]
async fn one_object_that_is_denied_while_others_are_read_is_its_own_problem_and_stops_nobody() {
    let store = Scripted::new([("good", lines(1)), ("strange", lines(1))], |_, key| {
        if key == "strange" { denied() } else { Act::Send }
    });
    let stage = Stage::start(store);
    stage.send("good", 1, &["good"]).await;
    stage.pass(1).await;
    stage.send("held", 1, &["strange"]).await;
    for second in 0..300 {
        if second % 10 == 0 && second < 50 {
            stage.send("returned", second / 10 + 1, &["strange"]).await;
        }
        stage.send("good", 1, &["good"]).await;
        stage.pass(1).await;
        assert!(!stage.is_not_ready());
    }
    assert_eq!(stage.seen().places.len(), 301, "two at once, and one is denied all the time");
    let seen = stage.seen();
    // Which comes first, chance decides: the intervals between the tries are jittered.
    let places: BTreeSet<_> = seen.letter_places.iter().map(|place| &**place).collect();
    assert_eq!(places, BTreeSet::from(["returned s3://logs/strange#0", "held s3://logs/strange#0"]));
    assert_eq!(seen.letters.len(), 2);
    assert!(seen.letters.iter().all(|(reason, ..)| *reason == Reason::ObjectDenied));
    assert_eq!(stage.ended().len(), 301 + 5 + 1);
    drop(seen);
    assert!(stage.counted("tributary_objects_total{result=\"denied\"} 2"));
    assert!(stage.counted("tributary_objects_total{result=\"returned\"} 4"));
}

#[tokio::test(start_paused = true)]
async fn a_denial_without_others_in_between_says_nothing_of_the_object() {
    let store =
        Scripted::new(
            [("good", lines(1)), ("a", lines(1))],
            |_, key| {
                if key == "a" { denied() } else { Act::Send }
            },
        );
    let stage = Stage::start(store);
    stage.send("good", 1, &["good"]).await;
    stage.pass(1).await;
    stage.send("one", 1, &["a"]).await;
    stage.pass(600).await;
    assert!(stage.is_not_ready());
    assert_eq!(stage.seen().letters.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_came_before_the_damage_is_delivered_and_the_rest_is_one_letter_that_leads_to_it() {
    let cut = |bytes: Vec<u8>, end: usize| bytes[..bytes.len() - end].to_vec();
    let stage = Stage::start(Scripted::new(
        [("a b", cut(lines(3), 5)), ("text", b"no JSON\nat all".to_vec())],
        |_, _| Act::Send,
    ));
    stage.send("one", 1, &["a b"]).await;
    stage.send("two", 1, &["text"]).await;
    stage.pass(1).await;
    let seen = stage.seen();
    assert_eq!(seen.places, ["s3://logs/a b#0", "s3://logs/a b#1"]);
    let [(reason, detail, original), (other, ..)] = &*seen.letters else { panic!("two letters") };
    assert_eq!((*reason, *other), (Reason::BrokenObject, Reason::BrokenObject));
    assert!(detail.contains("from record 2 on"), "{detail}");
    assert!(String::from_utf8_lossy(original).contains("\"key\":\"a%20b\""));
    assert_eq!(stage.ended(), [acked("one"), acked("two")]);
}

#[tokio::test(start_paused = true)]
async fn a_letter_about_the_whole_object_is_told_from_that_of_another_message_and_a_record_is_not() {
    let long = format!("{{\"eventName\":\"{}\"}}\n", "x".repeat(RECORD_BYTES_MAX)).into_bytes();
    let stage =
        Stage::start(Scripted::new([("a", [lines(1), long, b"{\"cut".to_vec()].concat())], |_, _| Act::Send));
    for message in ["one", "two"] {
        stage.send(message, 5, &["a", "gone"]).await;
        stage.pass(9).await;
    }
    let expected = [
        "s3://logs/a#1",
        "one s3://logs/a#2",
        "one s3://logs/gone#0",
        "s3://logs/a#1",
        "two s3://logs/a#2",
        "two s3://logs/gone#0",
    ];
    assert_eq!(stage.seen().letter_places, expected);
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_sent_again_says_nothing_of_the_other_records_of_its_object() {
    for (redriven_at, expected) in [(Some(2), vec!["s3://logs/a#2"]), (None, vec![])] {
        let stage = Stage::start(Scripted::new([("a", lines(5))], |_, _| Act::Send));
        let about = Arc::new(About { redriven_at, ..About::default() });
        let deadline = Deadline::new(Instant::now() + Duration::from_hours(10));
        stage.send_message(Message { is_redriven: true, about, ..Message::empty(deadline) }, &["a"]).await;
        stage.pass(1).await;
        let seen = stage.seen();
        assert_eq!(seen.places.len(), 5);
        assert_eq!(seen.redriven, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn many_tiny_records_are_refused_together() {
    let stage = Stage::start(Scripted::new([("tiny", b"{}\n".repeat(100_000))], |_, _| Act::Send));
    stage.send("one", 1, &["tiny"]).await;
    stage.pass(9).await;
    let seen = stage.seen();
    assert!(seen.places.len() + seen.letters.len() < 110);
    assert_eq!(seen.letters.last().unwrap().0, Reason::BrokenObject);
    assert_eq!(stage.ended(), [acked("one")]);
}

#[tokio::test(start_paused = true)]
async fn many_records_as_short_as_those_of_a_mapped_format_may_be_are_read() {
    let short = b"{\"id\":\"0001\",\"t\":17,\"do\":\"get\"}\n".repeat(1_000);
    let stage = Stage::start(Scripted::new([("short", short)], |_, _| Act::Send));
    stage.send("one", 1, &["short"]).await;
    stage.pass(60).await;
    let seen = stage.seen();
    assert_eq!((seen.places.len(), seen.letters.len()), (1_000, 0));
}

/// So many records of which the first of each ten is an event, or none is.
fn mostly_no_events(count: usize, is_one_of_ten: bool) -> Vec<u8> {
    let no_event = format!("\"{}\"", "x".repeat(40));
    let record = |at| if is_one_of_ten && at % 10 == 0 { "{\"eventName\":\"Get\"}" } else { &*no_event };
    format!("[{}]", (0..count).map(record).collect::<Vec<_>>().join(",")).into_bytes()
}

#[tokio::test(start_paused = true)]
async fn very_many_records_that_are_no_events_are_one_letter_from_the_hundredth_on() {
    let objects = [
        ("none", mostly_no_events(5_000, false)),
        ("some", mostly_no_events(1_000, true)),
        ("few", mostly_no_events(100, false)),
    ];
    let stage = Stage::start(Scripted::new(objects, |_, _| Act::Send));
    for (key, letters, last) in [
        ("none", 101 + 1, Reason::BrokenObject),
        ("some", 900, Reason::NotAnObject),
        ("few", 100, Reason::NotAnObject),
    ] {
        stage.send(key, 1, &[key]).await;
        stage.pass(60).await;
        let found = std::mem::take(&mut stage.seen().letters);
        assert_eq!((found.len(), found.last().map(|(reason, ..)| *reason)), (letters, Some(last)), "{key}");
        assert_eq!(stage.ended().last(), Some(&acked(key)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_too_long_is_one_letter_and_its_neighbours_are_delivered() {
    let long = format!("{{\"eventName\":\"{}\"}}\n", "x".repeat(RECORD_BYTES_MAX)).into_bytes();
    let stage = Stage::start(Scripted::new([("a", [lines(1), long, lines(1)].concat())], |_, _| Act::Send));
    stage.send("one", 1, &["a"]).await;
    stage.pass(9).await;
    let seen = stage.seen();
    assert_eq!(seen.places, ["s3://logs/a#0", "s3://logs/a#2"]);
    assert_eq!(seen.letters.iter().map(|(reason, ..)| *reason).collect::<Vec<_>>(), [Reason::EventTooLarge]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_ours_any_more_is_not_read_on() {
    let store = Scripted::new([("a", lines(5))], |_, _| Act::Hang(200));
    let stage = Stage::start(store.clone());
    stage.send("one", 1, &["a"]).await;
    stage.pass(1).await;
    advance(Duration::from_hours(10)).await;
    stage.pass(1).await;
    assert_eq!(stage.ended(), [("one".into(), Some(Duration::ZERO))]);
}
