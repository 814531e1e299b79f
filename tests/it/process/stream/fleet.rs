//! Three workers, one stream whose shards split and merge, and a script that kills and restarts the workers at random
//! under continuous load.
//!
//! Nothing may be lost; an event may be in the lake twice only if its outcome was unknown; and the shards of a dead
//! worker may wait for half as long again as the failover time. `STREAM_FLEET_SECONDS=300 cargo test --test it
//! stream::fleet -- --nocapture` runs it for five minutes, with a failover time of 10 s; `STREAM_FLEET_SEED` repeats one.

use std::{
    collections::BTreeSet,
    env,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use fastrand::Rng;
use tokio::time::{Instant, sleep};
use tributary::{dedupe::dynamodb::DynamoDbLedger, local::Faults};

use super::{
    super::{
        records::{Event, events, messages},
        unknown::{Ending, Unknown, as_an_auditor},
        worker::Worker,
    },
    streaming::{FAILOVER_SECONDS, LEDGER, Setting, Streaming, bad},
    takeover::{Takeover, Takeovers},
};

const WORKERS: usize = 3;
const SHARDS: i32 = 8;
/// Between these, by splitting and merging.
const OPEN_SHARDS: std::ops::RangeInclusive<usize> = 6..=10;
/// Without `STREAM_FLEET_SECONDS`; with it the failover time is the default.
const USUAL_SECONDS: u64 = 25;
const LONG_FAILOVER_SECONDS: u64 = 10;
/// Events of one step of the producer, how many of them were sent before, and what is no event.
const NEW_EVENTS: usize = 40;
const COPIES: usize = 10;
const BAD: usize = 1;
/// Between two steps.
const PACE: Duration = Duration::from_millis(100);
/// The producer waits while so many events are not in the lake.
const BACKLOG_MAX: usize = 2_000;
/// Of ten restarts, so many are `kill -9`; the others are SIGTERM.
const KILLS_OF_TEN: u8 = 7;

#[expect(clippy::print_stdout, reason = "a run that cannot be repeated proves little")]
fn say(text: &str) {
    println!("{text}");
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().and_then(|text| text.parse().ok())
}

struct Fleet {
    streaming: Streaming,
    failover: Duration,
    is_over: AtomicBool,
}

/// What was sent.
#[derive(Default)]
struct Story {
    events: Vec<Event>,
    copies: usize,
    bad: Vec<String>,
}

/// What was done, and what that excuses.
struct Watch {
    unknown: Unknown,
    takeovers: Takeovers,
    kills: u64,
    stops: u64,
    splits: u64,
    merges: u64,
}

/// A worker and its name.
type Member = (String, Worker);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_on_a_stream_loses_nothing_and_doubles_only_what_is_unknown() {
    let seed = number("STREAM_FLEET_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    let long = number("STREAM_FLEET_SECONDS");
    let seconds = long.unwrap_or(USUAL_SECONDS);
    let failover = Duration::from_secs(long.map_or(FAILOVER_SECONDS, |_| LONG_FAILOVER_SECONDS));
    say(&format!("STREAM_FLEET_SEED={seed}"));
    // The answer is late, so that kills meet puts that are stored and not answered.
    let faults = Faults { delay_ms: 100, seed: Some(seed), ..Faults::default() };
    let setting = Setting::with_shards(SHARDS).await;
    let streaming = Streaming::start(Setting { faults, ..setting }).await;
    let fleet = Fleet { streaming, failover, is_over: AtomicBool::new(false) };
    let (story, (watch, members)) =
        tokio::join!(fleet.produce(seed), fleet.disturb(Rng::with_seed(seed), Duration::from_secs(seconds)));
    fleet.judge(story, watch, members).await;
}

impl Fleet {
    /// New events, copies of old ones and a few that are none, until it is over.
    async fn produce(&self, seed: u64) -> Story {
        let mut rng = Rng::with_seed(seed + 1);
        let mut story = Story::default();
        while !self.is_over.load(Ordering::Relaxed) {
            let new = events(rng.u64(..), NEW_EVENTS);
            let mut step = new.clone();
            story.events.extend(new);
            for _ in 0..COPIES {
                step.push(story.events[rng.usize(..story.events.len())].clone());
            }
            story.copies += COPIES;
            rng.shuffle(&mut step);
            let bad = bad(story.bad.len()..story.bad.len() + BAD);
            let mut bodies = [messages(&step, 1..=4, rng.u64(..)), bad.clone()].concat();
            story.bad.extend(bad);
            rng.shuffle(&mut bodies);
            self.streaming.put(&bodies, &mut rng).await;
            sleep(PACE).await;
            let stored = || usize::try_from(self.streaming.endpoints.stored()).expect("a number");
            while story.events.len() > stored() + BACKLOG_MAX && !self.is_over.load(Ordering::Relaxed) {
                sleep(Duration::from_millis(20)).await;
            }
        }
        story
    }

    /// Kills, restarts, splits and merges, until it is over; then every worker is there.
    async fn disturb(&self, mut rng: Rng, time: Duration) -> (Watch, Vec<Member>) {
        let ledger = DynamoDbLedger::new(&self.streaming.tables.aws(), LEDGER, as_an_auditor());
        let mut watch = Watch {
            unknown: Unknown::new(std::sync::Arc::new(ledger)),
            takeovers: Takeovers::new(self.streaming.lease_table()),
            kills: 0,
            stops: 0,
            splits: 0,
            merges: 0,
        };
        let mut members = Vec::new();
        for slot in 0..WORKERS {
            members.push(self.member(format!("slot-{slot}-first"), &watch).await);
        }
        let names: Vec<_> = members.iter().map(|(name, _)| name.clone()).collect();
        self.streaming.until_balanced(&members[0].1, &names).await;
        let started = Instant::now();
        while started.elapsed() < time {
            sleep(self.failover.mul_f64(0.1 + 0.5 * rng.f64())).await;
            self.reshard(&mut rng, &mut watch).await;
            let member = members.swap_remove(rng.usize(..WORKERS));
            // The first is a kill, whatever the dice say: without one it would be no test.
            let is_kill = rng.u8(..10) < KILLS_OF_TEN || watch.kills == 0;
            self.end(member, is_kill, &mut watch).await;
            members.push(self.member(format!("restart-{}", watch.kills + watch.stops), &watch).await);
        }
        self.is_over.store(true, Ordering::Relaxed);
        (watch, members)
    }

    async fn member(&self, name: String, watch: &Watch) -> Member {
        let failover = format!("{}s", self.failover.as_secs());
        let more = [
            ("TRIBUTARY_STREAM_FAILOVER_TIME", failover.as_str()),
            ("TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND", "33"),
        ];
        let worker = self.streaming.worker(&name, &more).await;
        watch.takeovers.began(&name);
        (name, worker)
    }

    async fn end(&self, (name, worker): Member, is_kill: bool, watch: &mut Watch) {
        let ending = if is_kill {
            watch.kills += 1;
            let at = Instant::now();
            drop(worker);
            watch.takeovers.killed(&name, at);
            Ending::Killed
        } else {
            watch.stops += 1;
            watch.takeovers.ends(&name);
            let ended = worker.stop().await;
            assert_eq!(ended.code, Some(0), "{}", ended.log);
            if ended.log.contains("given back") { Ending::GaveUp } else { Ending::Orderly }
        };
        watch.unknown.look(&self.streaming.endpoints, &name, ending).await;
    }

    /// One shard is split, or two are merged, or nothing happens.
    async fn reshard(&self, rng: &mut Rng, watch: &mut Watch) {
        let stream = &self.streaming.stream;
        let open = stream.in_order().await;
        // The first time a split, whatever the dice say.
        let dice = if watch.splits + watch.merges == 0 { 0 } else { rng.u8(..3) };
        match dice {
            0 if open.len() < *OPEN_SHARDS.end() => {
                watch.splits += 1;
                stream.split(&open[rng.usize(..open.len())]).await;
            }
            1 if open.len() > *OPEN_SHARDS.start() => {
                watch.merges += 1;
                let at = rng.usize(1..open.len());
                stream.merge(&open[at - 1], &open[at]).await;
            }
            _ => {}
        }
    }

    async fn judge(&self, story: Story, watch: Watch, members: Vec<Member>) {
        let Streaming { endpoints, .. } = &self.streaming;
        for (_, worker) in &members {
            self.streaming.until_settled(worker).await;
            worker.scrape().await.assert_at_rest();
        }
        let names: Vec<_> = members.iter().map(|(name, _)| name.clone()).collect();
        self.streaming.until_balanced(&members[0].1, &names).await;
        let rows = endpoints.rows().await;
        if let Some(event) = story.events.iter().find(|event| !rows.contains_key(&event.uid)) {
            panic!("{} is lost; the ledger says {:?}", event.uid, watch.unknown.find(&event.uid).await);
        }
        let doubled: BTreeSet<_> =
            rows.into_iter().filter(|(_, rows)| rows.len() > 1).map(|(uid, _)| uid).collect();
        let twice = endpoints.assert_all_stored(&story.events).await;
        let letters = self.streaming.dead_letters().await;
        let Watch { unknown, takeovers, kills, stops, splits, merges } = watch;
        say(&format!(
            "{} events, {} copies and {} that are none; {kills} kills, {stops} stops, {splits} splits, {merges} merges; \
             lost: 0; outcome unknown: {}; doubled UIDs: {} ({twice} rows too many); letters twice: {}",
            story.events.len(),
            story.copies,
            story.bad.len(),
            unknown.ids.len(),
            doubled.len(),
            letters.len() - story.bad.len(),
        ));
        self.assert_taken_over(&takeovers.all().await);
        assert_eq!(BTreeSet::from_iter(letters), BTreeSet::from_iter(story.bad), "dead letters");
        let inexcusable: Vec<_> = doubled.difference(&unknown.ids).collect();
        assert!(inexcusable.is_empty(), "doubled, and no outcome was unknown: {inexcusable:?}");
        assert!(kills > 0 && splits + merges > 0, "this was no test");
    }

    /// A killed worker's shards wait no longer than half as long again as the failover time, if anybody who saw it live
    /// lived to see it dead.
    fn assert_taken_over(&self, takeovers: &[Takeover]) {
        for takeover in takeovers {
            let Takeover { dead, held, took, promised, forgotten_after, was_seen } = takeover;
            let (took, forgotten) = (took.as_secs_f64(), forgotten_after.as_secs_f64());
            let whose = if *was_seen { "" } else { " (all others were restarted meanwhile)" };
            say(&format!(
                "{dead}: {held} leases taken over within {took:.1} s; {promised} promised, forgotten after {forgotten:.1} s{whose}"
            ));
        }
        let seen = takeovers.iter().filter(|takeover| takeover.was_seen);
        let late: Vec<_> = seen.filter(|takeover| takeover.took >= self.failover.mul_f64(1.5)).collect();
        assert!(late.is_empty(), "too late for a failover time of {:?}: {late:?}", self.failover);
    }
}
