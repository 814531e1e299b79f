//! Endings, orderly and not: SIGTERM under load, and `kill -9` at any moment.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::json;
use tributary::local::Faults;

use super::{
    endpoints::{Depth, Endpoints, QUEUE},
    records::{Event, events, messages},
    worker::Worker,
};

/// Events of one message: fixed, so that events can be counted by counting messages.
const EVENTS_EACH: usize = 4;
const KILLS: u64 = 14;

/// A slow lake and little room: events are under way at every moment, and never many.
const SLOW: &[(&str, &str)] = &[
    ("TRIBUTARY_FLOW_MAX_IN_FLIGHT_BYTES", "1MiB"),
    ("TRIBUTARY_BATCH_EVENTS_MAX", "25"),
    ("TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND", "25"),
];

/// Large enough that little room holds only a few.
fn large_events(seed: u64, count: usize) -> Vec<Event> {
    let mut events = events(seed, count);
    for event in &mut events {
        event.value["requestParameters"] = json!({ "filler": "y".repeat(4_000), "of": event.uid });
    }
    events
}

fn slow_lake() -> Faults {
    Faults { delay_ms: 60, seed: Some(2), ..Faults::default() }
}

/// What became of the events so far.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    /// Rows in the lake.
    stored: u64,
    /// Events whose messages are off the queue.
    acked: u64,
}

impl Tally {
    /// With no worker alive.
    async fn take(endpoints: &Endpoints, messages: usize) -> Self {
        // What had reached the lake when its sender died is still being stored.
        let mut stored = endpoints.stored();
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if endpoints.stored() == stored {
                break;
            }
            stored = endpoints.stored();
        }
        let Depth { visible, hidden } = endpoints.depth(QUEUE).await;
        Self { stored, acked: (messages as u64 - visible - hidden) * EVENTS_EACH as u64 }
    }

    /// Rows that were stored since `before` by a worker that did not live to ack them. It can have acked none that
    /// it had not stored: its ledger began empty.
    fn orphans_since(self, before: Self) -> u64 {
        let (stored, acked) = (self.stored - before.stored, self.acked - before.acked);
        assert!(acked <= stored, "{acked} events were acked and {stored} rows were stored");
        stored - acked
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_at_any_moment_loses_nothing() {
    let seed = 2;
    let mut rng = fastrand::Rng::with_seed(seed);
    let endpoints = Endpoints::misbehaving(slow_lake()).await;
    let events = large_events(seed, 4_000);
    let bodies = messages(&events, EVENTS_EACH..=EVENTS_EACH, seed);
    endpoints.send(&bodies).await;

    let shortest = bodies.iter().map(String::len).min().expect("messages");
    let room_for = ((1 << 20) / shortest * EVENTS_EACH) as u64;

    let (mut tally, mut orphans, mut kills_under_way) = (Tally::default(), Vec::new(), 0);
    for kill in 0..KILLS {
        let worker = if kill % 4 == 3 {
            // In the first moments of its life, which need not be past its start.
            let worker = Worker::spawn(&endpoints.environment(SLOW));
            tokio::time::sleep(Duration::from_millis(rng.u64(0..400))).await;
            worker
        } else {
            let worker = endpoints.worker(SLOW).await;
            endpoints.until_stored(&worker, tally.stored + rng.u64(1..120)).await;
            tokio::time::sleep(Duration::from_millis(rng.u64(0..80))).await;
            worker
        };
        worker.kill().await;
        kills_under_way += u64::from(endpoints.depth(QUEUE).await.hidden > 0);
        let before = std::mem::replace(&mut tally, Tally::take(&endpoints, bodies.len()).await);
        orphans.push(tally.orphans_since(before));
    }
    let left = endpoints.depth(QUEUE).await;
    assert_ne!(left, Depth::EMPTY, "the last kills came after the last event");

    let worker = endpoints.worker(SLOW).await;
    endpoints.until_drained(&worker).await;
    let twice = endpoints.assert_all_stored(&events).await;
    println!(
        "{KILLS} kills, {kills_under_way} with messages under way, {left:?} after the last; room for {room_for} \
         events; stored and not acked at each kill: {orphans:?}; rows twice: {twice}"
    );
    assert!(kills_under_way >= KILLS / 2, "only {kills_under_way} kills had something to lose");
    assert!(orphans.iter().all(|orphans| *orphans <= room_for), "more than can be under way: {orphans:?}");
    assert_eq!(twice, orphans.iter().sum::<u64>(), "only what was under way at a kill is there twice");
    endpoints.assert_no_dead_letters().await;
    worker.scrape().await.assert_at_rest();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_gives_everything_back_at_once() {
    let endpoints = Endpoints::misbehaving(slow_lake()).await;
    let events = large_events(3, 2_000);
    let bodies = messages(&events, EVENTS_EACH..=EVENTS_EACH, 3);
    let worker = endpoints.worker(SLOW).await;
    let ended_early = AtomicBool::new(false);
    let producing = async {
        let mut sent = 0;
        for ten in bodies.chunks(10) {
            if ended_early.load(Ordering::Relaxed) {
                break;
            }
            endpoints.send(ten).await;
            sent += ten.len();
        }
        sent
    };
    let stopping = async {
        endpoints.until_stored(&worker, 200).await;
        let ended = worker.stop().await;
        // The moment after the exit, while the producer still sends.
        let depth = endpoints.depth(QUEUE).await;
        ended_early.store(true, Ordering::Relaxed);
        (ended, depth)
    };
    let (sent, (ended, depth)) = tokio::join!(producing, stopping);
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("everything taken in was settled"), "{}", ended.log);
    assert!(ended.took < Duration::from_secs(9), "{:?}", ended.took);
    assert_eq!(depth.hidden, 0, "messages that nobody can receive yet");
    assert!(depth.visible > 0, "nothing was left: this was no load");
    let tally = Tally::take(&endpoints, sent).await;
    assert_eq!(tally.stored, tally.acked, "what was stored was acked");
    println!("drained in {:?}, {} of {sent} messages left", ended.took, depth.visible);

    endpoints.send(&bodies[sent..]).await;
    let worker = endpoints.worker(SLOW).await;
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.assert_all_stored(&events).await, 0);
    endpoints.assert_no_dead_letters().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_while_the_lake_is_gone_gives_everything_back_in_time() {
    let endpoints = Endpoints::misbehaving(Faults { down: true, ..Faults::default() }).await;
    let events = events(4, 200);
    let bodies = messages(&events, EVENTS_EACH..=EVENTS_EACH, 4);
    endpoints.send(&bodies).await;
    let worker = endpoints.worker(&[("TRIBUTARY_SERVICE_DRAIN_TIMEOUT", "3s")]).await;
    worker
        .until("messages are under way and calls fail", async |worker: &Worker| {
            let scrape = worker.scrape().await;
            (scrape.in_flight() == 200 && scrape.sum("tributary_unknown_outcome_total") > 0).then_some(())
        })
        .await;
    let ended = worker.stop().await;
    let depth = endpoints.depth(QUEUE).await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("given back to the source"), "{}", ended.log);
    assert!(ended.took < Duration::from_millis(3_500), "{:?}", ended.took);
    assert_eq!(depth, Depth { visible: bodies.len() as u64, hidden: 0 });

    endpoints.misbehave(Faults::default());
    let worker = endpoints.worker(&[]).await;
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.assert_all_stored(&events).await, 0);
    endpoints.assert_no_dead_letters().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_sigterm_gives_everything_back_at_once() {
    let endpoints = Endpoints::misbehaving(Faults { down: true, ..Faults::default() }).await;
    let bodies = messages(&events(5, 200), EVENTS_EACH..=EVENTS_EACH, 5);
    endpoints.send(&bodies).await;
    let worker = endpoints.worker(&[("TRIBUTARY_SERVICE_DRAIN_TIMEOUT", "1m")]).await;
    worker
        .until("messages are under way", async |worker: &Worker| {
            (worker.scrape().await.in_flight() == 200).then_some(())
        })
        .await;
    worker.tell_to_stop();
    worker.until_not_ready("stopping").await;
    let ended = worker.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.took < Duration::from_secs(6), "{:?}", ended.took);
    assert_eq!(endpoints.depth(QUEUE).await, Depth { visible: bodies.len() as u64, hidden: 0 });
}
