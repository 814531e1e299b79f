//! Every number that is exported, as fields of one struct.
//!
//! In: what the stages count. Out: the Prometheus text of `/metrics`. The doc comment of a field is the help text of
//! its metric. Labels come from closed lists, or from lists that the configuration closes.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Label, Level, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::{
    batch::Batch,
    decode::Notice,
    failure::{CallError, Reason, is_throttling},
    flow::{Counts, Flow},
    publish::Verdict,
};

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// Seconds: from one fast call to a day of waiting in a queue.
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0,
    3_600.0, 14_400.0, 86_400.0,
];
/// Fullness of a batch.
const EVENTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 99.0, 100.0];
const BYTES: &[f64] = &[1e3, 1e4, 5e4, 1e5, 2.5e5, 5e5, 7.5e5, 9e5, 1e6];

/// Lake codes that are a label of their own; any other counts as `other`, so that a strange answer cannot add series.
const CODES: &[&str] = &[
    "accepted",
    "unmentioned",
    "FieldTooLong",
    "FieldNotFound",
    "InvalidChecksum",
    "InvalidData",
    "InvalidRecipient",
    "InvalidEventSource",
    "AccountNotSubscribed",
    "Throttling",
    "InternalFailure",
];

/// Outcomes of a call as a whole.
const OUTCOMES: &[&str] = &["ok", "partial", "throttled", "transient", "misconfigured", "bad_request"];

/// What becomes of an object.
const OBJECT_RESULTS: &[&str] = &["read", "skipped", "missing", "denied", "broken", "returned"];

macro_rules! registry {
    ($(#[$doc:meta])* $name:ident by ($($label:ident),*) {
        $(#[doc = $help:literal] $field:ident: $kind:ident = $metric:literal),+ $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name { $(#[doc = $help] pub $field: $kind),+ }

        impl $name {
            /// The names of these metrics.
            pub const NAMES: &'static [&'static str] = &[$($metric),+];

            fn register(recorder: &Arc<PrometheusRecorder>, $($label: &str),*) -> Self {
                let labels = vec![$(Label::new(stringify!($label), $label.to_owned())),*];
                Self { $($field: $kind::register(recorder, $metric, $help.trim(), &labels)),+ }
            }
        }
    };
}

trait Registered {
    fn register(
        recorder: &Arc<PrometheusRecorder>,
        name: &'static str,
        help: &'static str,
        labels: &[Label],
    ) -> Self;
}

macro_rules! registered {
    ($kind:ident, $describe:ident, $register:ident) => {
        impl Registered for $kind {
            fn register(
                recorder: &Arc<PrometheusRecorder>,
                name: &'static str,
                help: &'static str,
                labels: &[Label],
            ) -> Self {
                recorder.$describe(KeyName::from_const_str(name), None::<Unit>, help.into());
                recorder.$register(&Key::from_parts(name, labels.to_vec()), &METADATA)
            }
        }
    };
}

registered!(Counter, describe_counter, register_counter);
registered!(Gauge, describe_gauge, register_gauge);
registered!(Histogram, describe_histogram, register_histogram);

/// A counter with one or two labels more, whose values are known when it counts.
#[derive(Clone)]
pub struct CounterBy {
    recorder: Arc<PrometheusRecorder>,
    name: &'static str,
    labels: Vec<Label>,
}

impl CounterBy {
    /// The counter under these labels.
    pub fn by(&self, more: &[(&'static str, &str)]) -> Counter {
        let more = more.iter().map(|(key, value)| Label::new(*key, (*value).to_owned()));
        let labels: Vec<_> = self.labels.iter().cloned().chain(more).collect();
        self.recorder.register_counter(&Key::from_parts(self.name, labels), &METADATA)
    }
}

/// A gauge with one label more, whose values are known when it is set.
#[derive(Clone)]
pub struct GaugeBy {
    recorder: Arc<PrometheusRecorder>,
    name: &'static str,
}

impl GaugeBy {
    /// The gauge under this label.
    pub fn by(&self, key: &'static str, value: &str) -> Gauge {
        let labels = vec![Label::new(key, value.to_owned())];
        self.recorder.register_gauge(&Key::from_parts(self.name, labels), &METADATA)
    }
}

impl Registered for GaugeBy {
    fn register(
        recorder: &Arc<PrometheusRecorder>,
        name: &'static str,
        help: &'static str,
        _labels: &[Label],
    ) -> Self {
        recorder.describe_gauge(KeyName::from_const_str(name), None, help.into());
        Self { recorder: recorder.clone(), name }
    }
}

impl Registered for CounterBy {
    fn register(
        recorder: &Arc<PrometheusRecorder>,
        name: &'static str,
        help: &'static str,
        labels: &[Label],
    ) -> Self {
        recorder.describe_counter(KeyName::from_const_str(name), None, help.into());
        Self { recorder: recorder.clone(), name, labels: labels.to_vec() }
    }
}

registry! {
    /// The process as a whole.
    Process by () {
        /// Messages received from the source.
        messages_received: Counter = "tributary_messages_received_total",
        /// Messages deleted from the source, each with a proof for every event in it.
        messages_acked: Counter = "tributary_messages_acked_total",
        /// Messages given back to the source, to be delivered again.
        messages_returned: Counter = "tributary_messages_returned_total",
        /// Bytes of messages received and not yet settled.
        in_flight_bytes: Gauge = "tributary_in_flight_bytes",
        /// The most that is taken in flight at once, in bytes, by configuration.
        in_flight_bytes_max: Gauge = "tributary_in_flight_bytes_max",
        /// Polls in flight that the source is worth now.
        receivers: Gauge = "tributary_receivers",
        /// Seconds between the sending and the receiving of the message received last.
        queue_lag_seconds: Gauge = "tributary_queue_lag_seconds",
        /// Dead letters that do not fit their queue, not even packed, and have no other place to go.
        letters_too_large: Counter = "tributary_letters_too_large_total",
        /// Ids that the ledger remembers.
        ledger_entries: Gauge = "tributary_ledger_entries",
        /// Settled ids that were forgotten before dedupe.window ended, because there were too many.
        ledger_evicted: Counter = "tributary_ledger_evicted_total",
        /// Events whose id was published before with other content, whatever becomes of them.
        id_conflicts: Counter = "tributary_id_conflicts_total",
        /// Deliveries that were returned unfinished: late, given up, or lost by a bug.
        receipts_dropped: Counter = "tributary_receipts_dropped_total",
        /// Published events whose claim could not be committed: a later copy would be published again.
        commits_lost: Counter = "tributary_commits_lost_total",
        /// Events that were published and written to the publish log.
        publish_log_records: Counter = "tributary_publish_log_records_total",
        /// Segments of the publish log that were closed: nothing more is written to them.
        publish_log_segments: Counter = "tributary_publish_log_segments_total",
        /// Events that were published and are not yet in the publish log: what a crash now would leave out of it.
        publish_log_unwritten: Gauge = "tributary_publish_log_unwritten",
        /// Events that were published and will never be in the publish log: it could not be written to for too long.
        publish_log_lost: Counter = "tributary_publish_log_lost_total",
        /// S3 objects that messages named, by what became of them: read, skipped, missing, denied, broken or returned.
        objects: CounterBy = "tributary_objects_total",
        /// Records found in S3 objects.
        object_records: Counter = "tributary_object_records_total",
        /// What services send besides events, by kind; acked, and nothing more.
        notices: CounterBy = "tributary_notices_total",
        /// Dead letters by reason.
        dead_letters: CounterBy = "tributary_dead_letters_total",
        /// Polls by result: full, partial, empty or error.
        polls: CounterBy = "tributary_polls_total",
        /// Errors that the source answered with, by call and code.
        source_errors: CounterBy = "tributary_source_errors_total",
        /// Extensions of messages under way, by result: ok or failed.
        heartbeats: CounterBy = "tributary_heartbeats_total",
        /// Shards of the stream that this worker holds.
        leases_held: Gauge = "tributary_leases_held",
        /// Leases taken, by how: free, expired (their holder was dead) or handed over.
        leases_taken: CounterBy = "tributary_leases_taken_total",
        /// Leases that another worker took, or that could not be renewed in time.
        leases_lost: Counter = "tributary_leases_lost_total",
        /// Leases handed over in good order, by direction: in or out.
        handoffs: CounterBy = "tributary_handoffs_total",
        /// User records of aggregates whose hash keys belong to another shard, delivered or dropped with their neighbours.
        foreign_records: Counter = "tributary_foreign_records_total",
        /// Seconds that the oldest record not yet read of a shard has waited in it, at most: as Kinesis said, and the time since.
        shard_lag_seconds: GaugeBy = "tributary_shard_lag_seconds",
        /// Records read of a shard that are not behind its checkpoint: a takeover now would read them again.
        shard_open_records: GaugeBy = "tributary_shard_open_records",
        /// Seconds since the checkpoint of a shard last moved, or all that was read of it was behind it.
        shard_checkpoint_age_seconds: GaugeBy = "tributary_shard_checkpoint_age_seconds",
        /// 1 while intake is stopped because too many deliveries were dead-lettered.
        breaker_open: Gauge = "tributary_breaker_open",
        /// 1 while nothing keeps this worker from doing its work, as /readyz says.
        ready: Gauge = "tributary_ready",
    }
}

registry! {
    /// One destination.
    LaneMetrics by (destination) {
        /// Calls by outcome.
        put_requests: CounterBy = "tributary_put_requests_total",
        /// Events by the destination's answer: accepted, unmentioned or its code.
        put_entries: CounterBy = "tributary_put_entries_total",
        /// Seconds that one call took.
        put_seconds: Histogram = "tributary_put_seconds",
        /// Events in a batch.
        batch_events: Histogram = "tributary_batch_events",
        /// Bytes of a batch as sent.
        batch_bytes: Histogram = "tributary_batch_bytes",
        /// Calls in flight.
        concurrency: Gauge = "tributary_put_concurrency",
        /// 1 while the destination is paused: it says that we are misconfigured, or cannot be reached.
        paused: Gauge = "tributary_lane_paused",
        /// Events sent in a call whose outcome is unknown: each may be in the lake twice, under one UID.
        unknown_outcome: Counter = "tributary_unknown_outcome_total",
        /// Seconds from the producer's send to the destination's confirmation.
        end_to_end_seconds: Histogram = "tributary_end_to_end_seconds",
    }
}

registry! {
    /// The terms of the conservation law for one destination.
    Law by (destination) {
        /// Deliveries that began: one event to one destination.
        received: Counter = "tributary_received_total",
        /// Deliveries that the destination confirmed.
        published: Counter = "tributary_published_total",
        /// Deliveries that the ledger knew as settled before.
        duplicate: Counter = "tributary_duplicate_total",
        /// Deliveries that a rule of the operator dropped.
        filtered: Counter = "tributary_filtered_total",
        /// Deliveries that the dead-letter queue confirmed.
        dead_lettered: Counter = "tributary_dead_lettered_total",
        /// Deliveries given back to the source.
        returned: Counter = "tributary_returned_total",
        /// Deliveries received and not yet settled.
        in_flight: Gauge = "tributary_in_flight",
    }
}

/// The registry, and the way to its text.
pub struct Metrics {
    /// The process as a whole.
    pub process: Process,
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    laws: Mutex<Vec<(Arc<Flow>, Law)>>,
}

impl Metrics {
    /// A registry of its own: nothing is global, so tests and several pipelines in one process do not meet.
    ///
    /// # Errors
    /// A list of buckets is empty, which none is.
    pub fn new() -> Result<Arc<Self>, BuildError> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
            .set_buckets_for_metric(Matcher::Full("tributary_batch_events".to_owned()), EVENTS)?
            .set_buckets_for_metric(Matcher::Full("tributary_batch_bytes".to_owned()), BYTES)?
            .build_recorder();
        let handle = recorder.handle();
        let recorder = Arc::new(recorder);
        let process = Process::register(&recorder);
        for reason in Reason::ALL {
            process.dead_letters.by(&[("reason", reason.code())]).absolute(0);
        }
        for result in OBJECT_RESULTS {
            process.objects.by(&[("result", result)]).absolute(0);
        }
        let build = [Label::new("version", env!("CARGO_PKG_VERSION"))];
        Gauge::register(&recorder, "tributary_build_info", "The version that runs.", &build).set(1.0);
        Ok(Arc::new(Self { process, recorder, handle, laws: Mutex::default() }))
    }

    /// One shard that this worker holds.
    pub fn shard(&self, shard: &str, behind: Duration, open: usize, checkpoint_age: Duration) {
        self.process.shard_lag_seconds.by("shard", shard).set(behind.as_secs_f64());
        self.process.shard_open_records.by("shard", shard).set(open as f64);
        self.process.shard_checkpoint_age_seconds.by("shard", shard).set(checkpoint_age.as_secs_f64());
    }

    /// A shard that this worker does not hold any more: others tell of it.
    pub fn shard_left(&self, shard: &str) {
        self.shard(shard, Duration::ZERO, 0, Duration::ZERO);
    }

    /// The metrics of one destination.
    pub fn lane(&self, destination: &str) -> LaneMetrics {
        let lane = LaneMetrics::register(&self.recorder, destination);
        for outcome in OUTCOMES {
            lane.put_requests.by(&[("outcome", outcome)]).absolute(0);
        }
        lane
    }

    /// Counts deliveries to one destination, exported as the terms of the law.
    pub fn flow(&self, destination: &str, end_to_end_seconds: Histogram) -> Arc<Flow> {
        let flow = Flow::new(destination, end_to_end_seconds);
        let law = Law::register(&self.recorder, destination);
        self.laws.lock().unwrap_or_else(PoisonError::into_inner).push((flow.clone(), law));
        flow
    }

    /// All destinations together.
    pub fn counts(&self) -> Counts {
        let mut all = Counts::default();
        self.laws
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .for_each(|(flow, _)| all += flow.counts());
        all
    }

    /// The text of `/metrics`. The terms of the law are one consistent look, taken for this text.
    pub fn render(&self) -> String {
        // Held until the text is made: a second scrape would otherwise mix its look into this one.
        let laws = self.laws.lock().unwrap_or_else(PoisonError::into_inner);
        laws.iter().for_each(|(flow, law)| law.set(flow.counts()));
        self.handle.render()
    }

    /// Moves observed values into their buckets; to be called every few seconds, or memory grows between scrapes.
    pub fn run_upkeep(&self) {
        self.handle.run_upkeep();
    }
}

impl Law {
    fn set(&self, counts: Counts) {
        self.received.absolute(counts.received);
        self.published.absolute(counts.published);
        self.duplicate.absolute(counts.duplicate);
        self.filtered.absolute(counts.filtered);
        self.dead_lettered.absolute(counts.dead_lettered);
        self.returned.absolute(counts.returned);
        self.in_flight.set(counts.in_flight as f64);
    }
}

impl Process {
    /// One dead letter more.
    pub fn dead_letter(&self, reason: Reason) {
        self.dead_letters.by(&[("reason", reason.code())]).increment(1);
    }

    /// One notice more.
    pub fn notice(&self, notice: Notice) {
        self.notices.by(&[("kind", notice.name())]).increment(1);
        if matches!(notice, Notice::Digest | Notice::Insight) {
            self.objects.by(&[("result", "skipped")]).increment(1);
        }
    }
}

impl LaneMetrics {
    /// A batch is about to leave.
    pub fn batch(&self, batch: &Batch) {
        self.batch_events.record(batch.len() as f64);
        self.batch_bytes.record(batch.iter().map(|event| event.event.wire_bytes()).sum::<usize>() as f64);
    }

    /// A call ended.
    pub fn put(&self, answer: &Result<Vec<Verdict>, CallError>, took: Duration) {
        self.put_seconds.record(took.as_secs_f64());
        self.put_requests.by(&[("outcome", outcome(answer))]).increment(1);
        if let Ok(verdicts) = answer {
            self.verdicts(verdicts);
        }
    }

    fn verdicts(&self, verdicts: &[Verdict]) {
        let mut by_code = [0; CODES.len() + 1];
        for verdict in verdicts {
            let code = match verdict {
                Verdict::Accepted { .. } => "accepted",
                Verdict::Unknown => "unmentioned",
                Verdict::TryAgain { code } | Verdict::Refused { code } => code,
            };
            by_code[CODES.iter().position(|known| *known == code).unwrap_or(CODES.len())] += 1;
        }
        for (code, count) in CODES.iter().chain(&["other"]).zip(by_code).filter(|(_, count)| *count > 0) {
            self.put_entries.by(&[("code", code)]).increment(count);
        }
    }
}

fn outcome(answer: &Result<Vec<Verdict>, CallError>) -> &'static str {
    match answer {
        Ok(verdicts) if verdicts.iter().all(|verdict| matches!(verdict, Verdict::Accepted { .. })) => "ok",
        Ok(_) => "partial",
        Err(CallError::Transient { code, .. }) if is_throttling(code) => "throttled",
        Err(CallError::Transient { .. }) => "transient",
        Err(CallError::Misconfigured { .. }) => "misconfigured",
        Err(CallError::BadRequest { .. }) => "bad_request",
    }
}
