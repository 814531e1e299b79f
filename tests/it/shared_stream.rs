//! Three workers share one stream while its shards are split and merged, and workers are killed, stopped and replaced at
//! random: what the source promises, without the pipeline around it.
//!
//! Each record says its key and its place among the records of that key. A consumer acks most messages, gives some back
//! and is slow with others. At the end every record was acked by somebody, and of each key the first deliveries came in
//! order, whichever workers and shards they came through. A dead worker's leases are taken over in time.
//! `SHARED_STREAM_SECONDS=300 cargo test --test it shared_stream -- --nocapture` runs it for five minutes;
//! `SHARED_STREAM_SEED` repeats one.

mod consumer;
mod log;

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fastrand::Rng;
use tokio::time::{Instant, sleep, timeout};
use tributary::{
    aws::Aws,
    config::{ForeignRecords, Start, StreamArn, StreamConfig},
    receive::kinesis::lease::{LeaseTable, dynamodb::DynamoDbLeases},
};

use crate::support::{
    dynamodb::{self, DynamoDb},
    kinesis::{Kind, Stream, StreamServer, aws_at},
};
use consumer::Consumer;
use log::Log;

const WORKERS: usize = 3;
const SHARDS: i32 = 8;
const OPEN_SHARDS_MAX: usize = 12;
const KEYS: usize = 60;
/// Without `SHARED_STREAM_SECONDS`.
const USUAL_SECONDS: u64 = 15;
/// A short run looks at many takeovers, a long one at those of the usual configuration.
const USUAL_FAILOVER: Duration = Duration::from_secs(2);
const LONG_FAILOVER: Duration = Duration::from_secs(10);
/// Between two steps of the producer.
const PACE: Duration = Duration::from_millis(25);
/// What it may take to see that a worker is dead, beyond the failover time.
const LOOKS_MAX: Duration = Duration::from_secs(5);
/// Longest wait for the rest, once nothing disturbs any more.
const PATIENCE: Duration = Duration::from_mins(2);

struct Scene {
    stream: Stream,
    leases: DynamoDbLeases,
    aws: Aws,
    config: StreamConfig,
    log: Arc<Log>,
    is_over: AtomicBool,
}

/// What was done to the workers and the shards.
#[derive(Default)]
struct Story {
    kills: usize,
    stops: usize,
    splits: usize,
    merges: usize,
    longest_takeover: Duration,
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_skipped_and_each_key_keeps_its_order_on_ferrokinesis() {
    run(Kind::Ferrokinesis, number("SHARED_STREAM_SECONDS").unwrap_or(USUAL_SECONDS)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_skipped_and_each_key_keeps_its_order_on_kinesis_local() {
    run(Kind::KinesisLocal, number("SHARED_STREAM_SECONDS").unwrap_or(USUAL_SECONDS)).await;
}

#[expect(clippy::print_stdout, reason = "a run that cannot be repeated proves little")]
async fn run(kind: Kind, seconds: u64) {
    let seed = number("SHARED_STREAM_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("{kind:?}: SHARED_STREAM_SEED={seed}");
    let server = StreamServer::start(kind).await;
    let table = DynamoDb::start_in_memory().await;
    let failover = if seconds > USUAL_SECONDS { LONG_FAILOVER } else { USUAL_FAILOVER };
    let scene = scene(&server, &table, failover).await;
    let time = Duration::from_secs(seconds);
    let (put, (story, workers)) = tokio::join!(scene.produce(seed), scene.disturb(seed + 1, time));

    let settled = timeout(PATIENCE, scene.log.until_all_acked(&put)).await;
    let leases = scene.leases.list().await.expect("listed");
    assert!(settled.is_ok(), "skipped: {:?}\n{leases:#?}", scene.log.missing(&put));
    scene.log.assert_in_order();
    let Story { kills, stops, splits, merges, longest_takeover } = story;
    let (deliveries, records) = (scene.log.deliveries(), put.iter().sum::<u64>());
    println!(
        "{kind:?}: {seconds} s, {records} records, {deliveries} deliveries, {kills} kills, {stops} stops, {splits} splits, \
         {merges} merges; skipped: 0; longest takeover {longest_takeover:.1?} of {failover:?}"
    );
    assert!(kills > 0 && splits > 0 && records > 100, "this was no test");
    for worker in workers {
        worker.stop().await;
    }
    let leases = scene.leases.list().await.expect("listed");
    let held: Vec<_> = leases.values().filter(|lease| lease.holder().is_some()).collect();
    assert!(held.is_empty(), "whoever stops leaves its leases: {held:#?}");
}

async fn scene(server: &StreamServer, table: &DynamoDb, failover_time: Duration) -> Scene {
    let stream = server.stream(SHARDS).await;
    let name = stream.name.clone();
    dynamodb::create_lease_table(&table.client(), &name).await;
    let aws = aws_at(&server.url(), &table.url);
    let arn = StreamArn {
        arn: stream.arn.clone(),
        region: "us-east-1".to_owned(),
        account: "000000000000".to_owned(),
        name: name.clone(),
    };
    let config = StreamConfig {
        arn,
        lease_table: name.clone(),
        start: Start::TrimHorizon,
        failover_time,
        calls_per_second: 5,
        consumer_arn: None,
        foreign_records: ForeignRecords::Deliver,
    };
    let leases = DynamoDbLeases::new(&aws, &name);
    Scene { stream, leases, aws, config, log: Arc::new(Log::default()), is_over: AtomicBool::new(false) }
}

impl Scene {
    /// Records for some keys at a time, each key at most once in a call; how many there are of each key.
    async fn produce(&self, seed: u64) -> Vec<u64> {
        let mut rng = Rng::with_seed(seed);
        let mut put = vec![0; KEYS];
        while !self.is_over.load(Ordering::Relaxed) {
            let records: Vec<_> = rng
                .choose_multiple(0..KEYS, 20)
                .into_iter()
                .map(|key| {
                    put[key] += 1;
                    (format!("key-{key}"), format!("{key} {}", put[key]).into_bytes())
                })
                .collect();
            self.stream.put_many(&records).await;
            sleep(PACE).await;
        }
        put
    }

    /// Kills, stops, splits and merges, until it is over; then every worker is there.
    async fn disturb(&self, seed: u64, time: Duration) -> (Story, Vec<Consumer>) {
        let mut rng = Rng::with_seed(seed);
        let (mut story, mut names) = (Story::default(), 0_u64..);
        let mut start = || self.start(names.next().unwrap_or_default(), seed);
        let mut workers: Vec<_> = (0..WORKERS).map(|_| start()).collect();
        let started = Instant::now();
        while started.elapsed() < time {
            sleep(Duration::from_millis(rng.u64(200..1_200))).await;
            // The first two are a kill and a split, whatever the dice say: without them it would be no test.
            let dice = match (story.kills, story.splits) {
                (0, _) => 0,
                (_, 0) => 5,
                _ => rng.u8(..10),
            };
            match dice {
                0..3 => {
                    let dead = workers.swap_remove(rng.usize(..workers.len())).kill();
                    story.kills += 1;
                    workers.push(start());
                    let took = self.until_taken_over(&dead).await;
                    story.longest_takeover = story.longest_takeover.max(took);
                }
                3..5 => {
                    workers.swap_remove(rng.usize(..workers.len())).stop().await;
                    story.stops += 1;
                    workers.push(start());
                }
                5..8 => story.splits += self.split(&mut rng).await,
                _ => story.merges += self.merge(&mut rng).await,
            }
        }
        self.is_over.store(true, Ordering::Relaxed);
        (story, workers)
    }

    fn start(&self, number: u64, seed: u64) -> Consumer {
        let rng = Rng::with_seed(seed ^ (number << 32));
        Consumer::start(&self.aws, &self.config, &format!("worker-{number}"), self.log.clone(), rng)
    }

    /// Until no lease names the dead worker; it must not take much longer than the failover time: 15 s of usually 10.
    async fn until_taken_over(&self, dead: &str) -> Duration {
        let killed_at = Instant::now();
        let longest = self.config.failover_time + LOOKS_MAX;
        loop {
            let leases = self.leases.list().await.expect("listed");
            if !leases.values().any(|lease| lease.holder().is_some_and(|holder| **holder == *dead)) {
                return killed_at.elapsed();
            }
            assert!(killed_at.elapsed() < longest, "{dead} is dead and still holds: {leases:#?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn split(&self, rng: &mut Rng) -> usize {
        let open = self.stream.open_shards().await;
        if open.len() >= OPEN_SHARDS_MAX {
            return 0;
        }
        self.stream.split(&open[rng.usize(..open.len())]).await;
        1
    }

    /// Merges two shards whose hash keys meet.
    async fn merge(&self, rng: &mut Rng) -> usize {
        let open = self.stream.in_order().await;
        if open.len() <= WORKERS {
            return 0;
        }
        let at = rng.usize(1..open.len());
        self.stream.merge(&open[at - 1], &open[at]).await;
        1
    }
}
