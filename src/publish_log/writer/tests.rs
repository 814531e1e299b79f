use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize},
    },
    time::UNIX_EPOCH,
};

use async_trait::async_trait;
use tokio::{sync::watch, task::JoinSet};

use super::*;
use crate::publish_log::{
    ToLog,
    verify::{Checker, Report},
};

/// What the shelf holds, and how it behaves.
#[derive(Default)]
struct Wood {
    segments: Mutex<BTreeMap<u64, Vec<u8>>>,
    is_broken: AtomicBool,
    /// It answers nothing until this changes.
    hangs: watch::Sender<bool>,
    /// Every so many parts are written by half, and then fail.
    half_every: AtomicUsize,
    calls: AtomicUsize,
    parts: AtomicUsize,
    takes_parts: bool,
}

struct Double(Arc<Wood>);

#[async_trait]
impl Shelf for Double {
    async fn prepare(&mut self) -> Result<(), CallError> {
        self.0.hangs.subscribe().wait_for(|hangs| !hangs).await.unwrap();
        self.answer()
    }

    fn place(&self) -> String {
        "the wood".to_owned()
    }

    fn takes_parts(&self) -> bool {
        self.0.takes_parts
    }

    async fn keep(&mut self, part: Part<'_>) -> Result<(), CallError> {
        self.0.calls.fetch_add(1, Ordering::Relaxed);
        self.0.hangs.subscribe().wait_for(|hangs| !hangs).await.unwrap();
        self.answer()?;
        let nth = self.0.parts.fetch_add(1, Ordering::Relaxed) + 1;
        let every = self.0.half_every.load(Ordering::Relaxed);
        let fails = every > 0 && nth.is_multiple_of(every);
        let bytes = if fails { &part.bytes[..part.bytes.len() / 2] } else { part.bytes };
        let mut segments = self.0.segments.lock().unwrap();
        let segment = segments.entry(part.segment).or_default();
        let offset = usize::try_from(part.offset).unwrap();
        assert!(offset <= segment.len(), "a part leaves a hole");
        segment.truncate(offset);
        segment.extend_from_slice(bytes);
        if fails { Err(CallError::misconfigured("disk", "the disk is full")) } else { Ok(()) }
    }
}

impl Double {
    fn answer(&self) -> Result<(), CallError> {
        if self.0.is_broken.load(Ordering::Relaxed) {
            return Err(CallError::misconfigured("disk", "the disk is full"));
        }
        Ok(())
    }
}

struct Bench {
    wood: Arc<Wood>,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    give_up: CancellationToken,
    tasks: JoinSet<()>,
}

const SEGMENT_BYTES: usize = 1 << 16;

impl Bench {
    fn start(wood: Wood) -> (ToLog, Self) {
        let (wood, gate, metrics) = (Arc::new(wood), Arc::new(Gate::new(1)), Metrics::new().unwrap());
        let log = PublishLog {
            shelf: Box::new(Double(wood.clone())),
            chain: Chain::new("w", UNIX_EPOCH),
            segment_time: Duration::from_mins(1),
            segment_bytes: SEGMENT_BYTES,
            clock: Clock::new(|| UNIX_EPOCH),
        };
        let (to_log, writer) = log.open(gate.clone(), metrics.clone());
        let (give_up, mut tasks) = (CancellationToken::new(), JoinSet::new());
        tasks.spawn(writer.run(give_up.clone()));
        (to_log, Self { wood, gate, metrics, give_up, tasks })
    }

    fn number(&self, name: &str) -> u64 {
        let text = self.metrics.render();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("tributary_publish_log_{name} ")));
        line.map_or(0, |number| number.parse().unwrap())
    }

    fn is_closed(&self) -> bool {
        self.gate.is_closed_by(&Cause::PublishLog)
    }

    /// What an auditor finds.
    fn verified(&self) -> Report {
        let mut checker = Checker::new("19700101T000000000Z-w");
        for (number, bytes) in &*self.wood.segments.lock().unwrap() {
            checker.segment(*number);
            let (lines, torn) =
                bytes.split_at(bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1));
            lines
                .split_inclusive(|byte| *byte == b'\n')
                .for_each(|line| drop(checker.line(&line[..line.len() - 1])));
            if !torn.is_empty() {
                checker.torn(torn.len());
            }
        }
        let report = checker.finish().0;
        assert_eq!(report.flaw, None);
        report
    }

    async fn ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

fn tell(to_log: &ToLog, count: usize) {
    for number in 0..count {
        to_log.tell(Accepted {
            at: UNIX_EPOCH,
            destination: "lake".into(),
            id: format!("id-{number}").into(),
            uid: format!("uid-{number}").into(),
            stored_as: "s".into(),
            event_time: "2026-01-02T03:04:05Z".into(),
            content: None,
            checksum: "".into(),
        });
    }
}

fn wood(takes_parts: bool) -> Wood {
    Wood { takes_parts, ..Wood::default() }
}

#[tokio::test(start_paused = true)]
async fn everything_told_is_written_in_segments_that_end_when_the_last_teller_goes() {
    for takes_parts in [true, false] {
        let (to_log, mut bench) = Bench::start(wood(takes_parts));
        tell(&to_log, 1_000);
        drop(to_log);
        bench.ended().await;
        let report = bench.verified();
        assert_eq!((report.records, report.is_open), (1_000, false));
        assert!(report.segments > 3, "{} segments", report.segments);
        let largest = bench.wood.segments.lock().unwrap().values().map(Vec::len).max().unwrap();
        assert!(largest < SEGMENT_BYTES + 1_000, "{largest} bytes");
        assert_eq!((bench.number("records_total"), bench.number("segments_total")), (1_000, report.segments));
        assert_eq!((bench.number("unwritten"), bench.number("lost_total")), (0, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_folder_has_each_line_within_a_second_and_the_segment_ends_in_time() {
    let (to_log, bench) = Bench::start(wood(true));
    tell(&to_log, 1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((bench.verified().records, bench.verified().is_open, bench.number("unwritten")), (1, true, 0));
    tell(&to_log, 1);
    sleep(Duration::from_mins(1)).await;
    assert_eq!((bench.verified().records, bench.verified().is_open), (2, false));
    tell(&to_log, 1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((bench.verified().segments, bench.verified().records, bench.verified().is_open), (2, 3, true));
}

#[tokio::test(start_paused = true)]
async fn a_shelf_for_whole_segments_gets_each_once_and_whole() {
    let (to_log, bench) = Bench::start(wood(false));
    tell(&to_log, 1);
    // The first one soon, because nothing else tells whether the place can be written to.
    sleep(Duration::from_millis(1_100)).await;
    assert_eq!((bench.wood.parts.load(Ordering::Relaxed), bench.number("unwritten")), (1, 0));
    tell(&to_log, 2);
    sleep(Duration::from_secs(59)).await;
    assert_eq!((bench.wood.parts.load(Ordering::Relaxed), bench.number("unwritten")), (1, 2));
    sleep(Duration::from_secs(2)).await;
    assert_eq!((bench.wood.parts.load(Ordering::Relaxed), bench.number("unwritten")), (2, 0));
    assert_eq!((bench.verified().records, bench.verified().is_open), (3, false));
}

#[tokio::test(start_paused = true)]
async fn a_shelf_that_does_not_answer_closes_the_gate_after_five_seconds_and_its_answer_opens_it() {
    for takes_parts in [true, false] {
        let (to_log, mut bench) = Bench::start(wood(takes_parts));
        sleep(Duration::from_secs(1)).await;
        assert!(!bench.is_closed());
        bench.wood.hangs.send_replace(true);
        tell(&to_log, 10);
        sleep(Duration::from_secs(4)).await;
        assert!(!bench.is_closed(), "a slow answer is no failure");
        sleep(Duration::from_millis(2_500)).await;
        assert_eq!(bench.gate.causes()[&Cause::PublishLog], "no answer for 5 s from the wood");
        sleep(Duration::from_mins(3)).await;
        assert!(bench.is_closed());
        bench.wood.hangs.send_replace(false);
        sleep(Duration::from_millis(1)).await;
        assert!(!bench.is_closed());
        // The footer was overdue by then and went after it.
        let calls = if takes_parts { 2 } else { 1 };
        assert_eq!(bench.wood.calls.load(Ordering::Relaxed), calls, "the same call was waited for");
        drop(to_log);
        bench.ended().await;
        assert_eq!((bench.verified().records, bench.number("lost_total")), (10, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_in_before_the_place_has_answered() {
    let silent = wood(true);
    silent.hangs.send_replace(true);
    let (to_log, bench) = Bench::start(silent);
    assert!(bench.is_closed(), "before the writer runs at all");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(bench.gate.causes()[&Cause::PublishLog], "no answer for 5 s from the wood");
    bench.wood.hangs.send_replace(false);
    sleep(Duration::from_millis(1)).await;
    assert!(!bench.is_closed());
    drop(to_log);
}

/// Records that fit in memory, about.
const FITTING: usize = (super::super::HELD_BYTES_MAX + 2 * SEGMENT_BYTES) / 530;

#[tokio::test(start_paused = true)]
async fn the_gate_closes_when_half_of_what_may_be_held_is_and_opens_when_it_is_written() {
    let (to_log, mut bench) = Bench::start(wood(true));
    sleep(Duration::from_secs(1)).await;
    bench.wood.hangs.send_replace(true);
    tell(&to_log, FITTING * 2 / 5);
    sleep(Duration::from_secs(1)).await;
    assert!(!bench.is_closed());
    tell(&to_log, FITTING / 5);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(
        bench.gate.causes()[&Cause::PublishLog],
        "half of the records that fit in memory wait for the wood"
    );
    bench.wood.hangs.send_replace(false);
    sleep(Duration::from_secs(10)).await;
    assert!(!bench.is_closed());
    drop(to_log);
    bench.ended().await;
    assert_eq!(bench.number("lost_total"), 0);
}

#[tokio::test(start_paused = true)]
async fn what_did_not_fit_is_said_by_the_next_footer_and_by_no_other() {
    let (to_log, mut bench) = Bench::start(wood(true));
    bench.wood.hangs.send_replace(true);
    tell(&to_log, FITTING * 2);
    let lost = bench.number("lost_total");
    assert!(lost > 0);
    bench.wood.hangs.send_replace(false);
    sleep(Duration::from_mins(2)).await;
    tell(&to_log, 1);
    drop(to_log);
    bench.ended().await;
    let report = bench.verified();
    assert_eq!((report.records + report.lost, report.lost), (FITTING as u64 * 2 + 1, lost));
}

#[tokio::test(start_paused = true)]
async fn nobody_who_publishes_nothing_writes_anything() {
    let (to_log, mut bench) = Bench::start(wood(true));
    sleep(Duration::from_mins(10)).await;
    drop(to_log);
    bench.ended().await;
    assert!(bench.wood.segments.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_failure_closes_the_gate_and_the_first_success_opens_it_with_nothing_lost() {
    let (to_log, mut bench) = Bench::start(wood(true));
    tell(&to_log, 10);
    sleep(Duration::from_secs(1)).await;
    assert!(!bench.is_closed());
    bench.wood.is_broken.store(true, Ordering::Relaxed);
    tell(&to_log, 10);
    // Much longer than other causes stay closed that nobody says again.
    sleep(Duration::from_mins(30)).await;
    assert!(bench.is_closed());
    assert_eq!(bench.gate.causes()[&Cause::PublishLog], "the disk is full");
    assert_eq!((bench.verified().records, bench.number("unwritten")), (10, 10));
    bench.wood.is_broken.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(10)).await;
    assert!(!bench.is_closed());
    drop(to_log);
    bench.ended().await;
    assert_eq!((bench.verified().records, bench.number("lost_total")), (20, 0));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_cannot_be_written_to_is_found_out_before_anything_is_published() {
    let broken = Wood { is_broken: true.into(), ..wood(true) };
    let (to_log, bench) = Bench::start(broken);
    sleep(Duration::from_millis(1)).await;
    assert!(bench.is_closed());
    bench.wood.is_broken.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(10)).await;
    assert!(!bench.is_closed());
    drop(to_log);
}

/// With the real clock: timers are late by up to a millisecond, in which much can come.
#[tokio::test]
async fn a_segment_ends_at_its_size_also_when_everything_comes_at_once() {
    let (to_log, mut bench) = Bench::start(wood(true));
    tell(&to_log, 2_000);
    drop(to_log);
    bench.ended().await;
    assert_eq!(bench.verified().records, 2_000);
    let segments = bench.wood.segments.lock().unwrap();
    let longest = segments.values().map(Vec::len).max().unwrap();
    assert!(longest < SEGMENT_BYTES + 1_024, "{longest} bytes in one of {} segments", segments.len());
}

#[tokio::test(start_paused = true)]
async fn parts_that_fail_half_way_are_written_over() {
    let halving = Wood { half_every: 2.into(), ..wood(true) };
    let (to_log, mut bench) = Bench::start(halving);
    for _ in 0..50 {
        tell(&to_log, 20);
        sleep(Duration::from_secs(20)).await;
    }
    drop(to_log);
    bench.ended().await;
    let report = bench.verified();
    assert_eq!((report.records, report.torn_bytes, report.is_open), (1_000, 0, false));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_written_before_the_end_is_counted_exactly() {
    let (to_log, mut bench) = Bench::start(wood(true));
    tell(&to_log, 7);
    sleep(Duration::from_secs(1)).await;
    bench.wood.is_broken.store(true, Ordering::Relaxed);
    tell(&to_log, 11);
    sleep(Duration::from_secs(5)).await;
    bench.give_up.cancel();
    sleep(Duration::from_secs(1)).await;
    // What the settler still has to say after that.
    tell(&to_log, 13);
    drop(to_log);
    bench.ended().await;
    assert_eq!((bench.number("records_total"), bench.number("lost_total")), (7, 24));
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_is_dropped_counts_what_it_held() {
    let (to_log, mut bench) = Bench::start(Wood { is_broken: true.into(), ..wood(true) });
    tell(&to_log, 5);
    sleep(Duration::from_secs(1)).await;
    bench.tasks.shutdown().await;
    tell(&to_log, 3);
    assert_eq!(bench.number("lost_total"), 8);
}

#[tokio::test(start_paused = true)]
async fn memory_is_bounded_while_nothing_can_be_written() {
    let (to_log, mut bench) = Bench::start(Wood { is_broken: true.into(), ..wood(true) });
    tell(&to_log, FITTING * 2);
    let (unwritten, lost) = (bench.number("unwritten"), bench.number("lost_total"));
    assert_eq!(unwritten + lost, FITTING as u64 * 2);
    assert!(unwritten.abs_diff(FITTING as u64) < FITTING as u64 / 10, "{unwritten} of {FITTING}");
    bench.wood.is_broken.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(10)).await;
    drop(to_log);
    bench.ended().await;
    assert_eq!((bench.verified().records, bench.number("records_total")), (unwritten, unwritten));
}
