//! A lake that is down, while the stream flows on: nothing that was read may be forgotten, nothing unread may fill the
//! memory, and whoever waits for the lake is no reason for others to take its shards.
//!
//! `STREAM_OUTAGE_SECONDS=120 cargo test --test it stream::outage -- --nocapture` lets it last for two minutes.

use std::{
    collections::BTreeMap,
    env,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use fastrand::Rng;
use serde_json::json;
use tokio::time::{Instant, sleep};
use tributary::{
    local::Faults,
    receive::kinesis::lease::{ShardId, WorkerId},
};

use super::{
    super::{
        memory::rss_kib,
        records::{Event, events},
        worker::Worker,
    },
    streaming::{Setting, Streaming},
};

/// Without `STREAM_OUTAGE_SECONDS`.
const USUAL_SECONDS: u64 = 20;
const SAMPLE_EVERY: Duration = Duration::from_millis(200);
/// What fills all buffers at once: more than two workers may hold.
const LARGE: usize = 1_500;
const LARGE_BYTES: usize = 16_000;
/// In one call, which may have 5 MiB.
const LARGE_AT_ONCE: usize = 250;
/// Events of one step of the producer, and between two steps.
const NEW_EVENTS: usize = 40;
const PACE: Duration = Duration::from_millis(100);
const RSS_MIB_MAX: u64 = 120;
const GROWTH_MIB_MAX: u64 = 8;

/// What was seen while the lake was down.
#[derive(Default)]
struct Seen {
    samples: usize,
    most_in_first_half: u64,
    most: u64,
}

type Holders = BTreeMap<ShardId, Option<WorkerId>>;

async fn holders(streaming: &Streaming) -> Holders {
    let leases = streaming.leases().await;
    leases.into_iter().map(|(shard, lease)| (shard, lease.holder().cloned())).collect()
}

fn large(rng: &mut Rng) -> Vec<Event> {
    let mut events = events(rng.u64(..), LARGE);
    for event in &mut events {
        event.value["requestParameters"] = json!({ "filler": "x".repeat(LARGE_BYTES) });
    }
    events
}

async fn put(streaming: &Streaming, events: &[Event], rng: &mut Rng) {
    let bodies: Vec<_> = events.iter().map(|event| event.value.to_string()).collect();
    streaming.put(&bodies, rng).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_that_is_down_costs_no_lease_no_memory_and_no_record() {
    let seconds = env::var("STREAM_OUTAGE_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(USUAL_SECONDS));
    let streaming = Streaming::start(Setting::with_shards(8).await).await;
    let names = ["one".to_owned(), "other".to_owned()];
    let more = [("TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND", "1000")];
    let workers = [streaming.worker(&names[0], &more).await, streaming.worker(&names[1], &more).await];
    streaming.until_balanced(&workers[0], &names).await;

    let mut rng = Rng::with_seed(33);
    streaming.endpoints.misbehave(Faults { error_share: 1.0, error_status: 503, ..Faults::default() });
    let mut all = large(&mut rng);
    for some in all.chunks(LARGE_AT_ONCE) {
        put(&streaming, some, &mut rng).await;
    }
    let is_over = AtomicBool::new(false);
    let produce = async {
        while !is_over.load(Ordering::Relaxed) {
            let new = events(rng.u64(..), NEW_EVENTS);
            put(&streaming, &new, &mut rng).await;
            all.extend(new);
            sleep(PACE).await;
        }
    };
    let watch = async {
        let seen = watch(&streaming, &workers, time).await;
        is_over.store(true, Ordering::Relaxed);
        seen
    };
    let ((), seen) = tokio::join!(produce, watch);
    assert_eq!(streaming.endpoints.stored(), 0, "the lake was down");

    streaming.endpoints.misbehave(Faults::default());
    for worker in &workers {
        worker.until_ready().await;
        streaming.until_settled(worker).await;
        let scrape = worker.scrape().await;
        scrape.assert_at_rest();
        assert_eq!(scrape.sum("tributary_leases_lost_total"), 0);
        assert_eq!(scrape.term("duplicate"), 0, "nothing is read twice");
    }
    assert_eq!(streaming.endpoints.assert_all_stored(&all).await, 0, "events that are in the lake twice");
    streaming.endpoints.assert_no_dead_letters().await;
    let (half, most) = (seen.most_in_first_half / 1024, seen.most / 1024);
    println!(
        "down for {} s, {} events: {} samples, at most {half} MiB in the first half, {most} MiB in all",
        time.as_secs(),
        all.len(),
        seen.samples
    );
    assert!(
        most < RSS_MIB_MAX && most <= half + GROWTH_MIB_MAX,
        "{half} MiB in the first half, {most} MiB in all"
    );
}

/// For so long, with the lake's excuse changed half way: each lease is held by the one who held it, and nobody grows.
async fn watch(streaming: &Streaming, workers: &[Worker], time: Duration) -> Seen {
    let held = holders(streaming).await;
    let started = Instant::now();
    let mut seen = Seen::default();
    let mut is_first_half = true;
    while started.elapsed() < time {
        if is_first_half && started.elapsed() > time / 2 {
            is_first_half = false;
            let refuse = Some("AccessDeniedException".to_owned());
            streaming.endpoints.misbehave(Faults { refuse, ..Faults::default() });
        }
        assert_eq!(holders(streaming).await, held, "after {:?}", started.elapsed());
        for worker in workers {
            let now = rss_kib(worker.id());
            seen.most = seen.most.max(now);
            if is_first_half {
                seen.most_in_first_half = seen.most;
            }
            // One that is lost and that nobody else wants is still in its name.
            let lost = worker.scrape().await.sum("tributary_leases_lost_total");
            assert_eq!(lost, 0, "after {:?}", started.elapsed());
        }
        seen.samples += 1;
        sleep(SAMPLE_EVERY).await;
    }
    seen
}
