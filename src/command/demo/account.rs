//! The end of the demo: what went in, what came out, and whether the two agree.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use aws_sdk_sqs::types::QueueAttributeName as Attribute;
use serde::Serialize;

use super::{Sent, scrape::Scrape};
use crate::{aws::Aws, config::Config, flow::Counts, local::Local, metrics::Metrics};

/// Everything that the demo has to say.
#[derive(Debug, Serialize)]
pub(super) struct Account {
    seed: u64,
    sent: SentEvents,
    /// By each worker.
    published_by: Vec<u64>,
    deliveries: Counts,
    imbalance: i128,
    in_lake: u64,
    in_lake_twice: u64,
    in_dead_letter_queue: u64,
    dead_letters: BTreeMap<String, u64>,
    seconds: f64,
    events_per_second: f64,
    latency_ms: BTreeMap<&'static str, Option<f64>>,
    disagreements: Vec<String>,
}

#[derive(Debug, Serialize)]
struct SentEvents {
    messages: u64,
    unique: u64,
    duplicates: u64,
    invalid: u64,
}

impl Account {
    pub(super) async fn new(
        workers: &[Arc<Metrics>],
        local: &Local,
        aws: &Aws,
        config: &Config,
        (sent, took, seed): (Sent, Duration, u64),
    ) -> Self {
        let deliveries = together(workers);
        let lake = local.lake().status();
        let texts: String = workers.iter().map(|metrics| metrics.render()).collect();
        let scrape = Scrape::new(&texts);
        let mut account = Self {
            seed,
            published_by: workers.iter().map(|metrics| metrics.counts().published).collect(),
            imbalance: deliveries.imbalance(),
            deliveries,
            in_lake: lake.stored,
            in_lake_twice: lake.repeated_uids.unwrap_or(0),
            in_dead_letter_queue: letters_in(aws, &config.dead_letter.queue_url).await,
            seconds: took.as_secs_f64(),
            events_per_second: sent.deliveries() as f64 / took.as_secs_f64(),
            latency_ms: [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)]
                .map(|(name, share)| {
                    (
                        name,
                        scrape
                            .quantile("tributary_end_to_end_seconds", share)
                            .map(|seconds| seconds * 1_000.0),
                    )
                })
                .into(),
            sent: SentEvents {
                messages: sent.messages,
                unique: sent.unique,
                duplicates: sent.duplicates,
                invalid: sent.invalid.values().sum(),
            },
            dead_letters: scrape.by_label("tributary_dead_letters_total", "reason"),
            disagreements: Vec::new(),
        };
        account.disagreements = account.compare(&sent);
        account
    }

    /// Every event is where it must be.
    pub(super) fn is_balanced(&self) -> bool {
        self.disagreements.is_empty()
    }

    fn compare(&self, sent: &Sent) -> Vec<String> {
        let Counts { published, duplicate, dead_lettered, returned, in_flight, .. } = self.deliveries;
        let sum = published + duplicate + dead_lettered + returned + in_flight;
        let pairs = [
            ("received and the sum of its endings", self.deliveries.received, sum),
            ("unique events sent and published", sent.unique, published),
            ("unique events sent and events in the lake", sent.unique, self.in_lake),
            ("events twice in the lake and none", self.in_lake_twice, 0),
            ("copies sent and recognised", sent.duplicates, duplicate),
            ("invalid events sent and dead-lettered", self.sent.invalid, dead_lettered),
            ("dead letters counted and on the queue", dead_lettered, self.in_dead_letter_queue),
            ("deliveries left under way and none", in_flight, 0),
        ];
        let mut disagreements: Vec<_> = pairs
            .iter()
            .filter(|(_, left, right)| left != right)
            .map(|(what, left, right)| format!("{what}: {left} and {right}"))
            .collect();
        if self.dead_letters != sent.invalid {
            disagreements
                .push(format!("reasons expected {:?} and given {:?}", sent.invalid, self.dead_letters));
        }
        disagreements
    }
}

/// The counts of all workers as one.
pub(super) fn together(workers: &[Arc<Metrics>]) -> Counts {
    workers.iter().fold(Counts::default(), |mut all, metrics| {
        all += metrics.counts();
        all
    })
}

/// What the dead-letter queue itself says that it holds.
async fn letters_in(aws: &Aws, queue_url: &str) -> u64 {
    let name = Attribute::ApproximateNumberOfMessages;
    let call = aws.sqs(queue_url).get_queue_attributes().queue_url(queue_url).attribute_names(name.clone());
    let attributes = call.send().await.ok().and_then(|answer| answer.attributes).unwrap_or_default();
    attributes.get(&name).and_then(|count| count.parse().ok()).unwrap_or(0)
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SentEvents { messages, unique, duplicates, invalid } = &self.sent;
        let sent = unique + duplicates + invalid;
        writeln!(
            f,
            "Sent       {sent} events in {messages} messages: {unique} unique, {duplicates} copies, {invalid} invalid (seed {})\n",
            self.seed
        )?;
        self.write_law(f)?;
        writeln!(f, "Dead letters by reason")?;
        for (reason, count) in &self.dead_letters {
            writeln!(f, "  {reason:<16} {count:>8}")?;
        }
        let events_per_second = self.events_per_second;
        writeln!(
            f,
            "\nThroughput {events_per_second:.0} events/s, producer, service, queue and lake in one process, {:.1} s",
            self.seconds
        )?;
        let latency = self.latency_ms.iter().map(|(name, ms)| match ms {
            Some(ms) => format!("{name} {ms:.0} ms"),
            None => format!("{name} unknown"),
        });
        writeln!(
            f,
            "Latency    {} from send to lake, read off a histogram\n",
            latency.collect::<Vec<_>>().join(", ")
        )?;
        if self.is_balanced() {
            writeln!(f, "Balanced: every event is accounted for, once.\n")?;
        } else {
            writeln!(f, "NOT balanced:\n  {}\n", self.disagreements.join("\n  "))?;
        }
        // As it was called, so that the lines can be pasted where the program is on no path.
        let program = std::env::args().next().unwrap_or_else(|| "tributary".to_owned());
        write!(
            f,
            "Next\n  {program} demo --keep      then, in another terminal:  {program} lake list\n  \
             {program} explain FILE     what would become of an event of your own\n  \
             {program} local            a queue and a lake on this machine, for `{program} run`"
        )
    }
}

impl Account {
    /// What was received, and the sum of what became of it.
    fn write_law(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { received, published, duplicate, filtered, dead_lettered, returned, in_flight } =
            self.deliveries;
        writeln!(f, "  received       {received:>10}")?;
        writeln!(
            f,
            "= published      {published:>10}   in the lake: {}, none of them twice: {}",
            self.in_lake,
            self.in_lake_twice == 0
        )?;
        if self.published_by.len() > 1 {
            let shares: Vec<_> = self.published_by.iter().map(u64::to_string).collect();
            writeln!(f, "{:>30}by {} workers: {}", "", shares.len(), shares.join(", "))?;
        }
        writeln!(f, "+ duplicate      {duplicate:>10}   recognised and not published again")?;
        writeln!(f, "+ filtered       {filtered:>10}")?;
        writeln!(
            f,
            "+ dead-lettered  {dead_lettered:>10}   on the dead-letter queue: {}",
            self.in_dead_letter_queue
        )?;
        writeln!(f, "+ returned       {returned:>10}")?;
        writeln!(f, "+ in flight      {in_flight:>10}")?;
        writeln!(f, "imbalance        {:>10}\n", self.imbalance)
    }
}
