//! One worker, wired: a configuration in, a running pipeline out, and an orderly end.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::timeout};
use tracing::{info, warn};

use crate::{
    aws::Aws,
    config::{Config, DestinationConfig, ObjectsConfig, SourceConfig, SourceKind},
    dead_letter::sqs::SqsDeadLetters,
    dedupe::Ledger,
    gate::{Cause, Gate},
    health::Health,
    metrics::Metrics,
    pipeline::{LaneParts, ObjectsParts, Pipeline, Shutdown},
    publish::{LaneSettings, cloudtrail_lake::CloudTrailLake},
    publish_log::PublishLog,
    receive::{Source, kinesis::KinesisSource, objects::s3::S3Objects, sqs::SqsSource},
    tasks::joined,
};

/// The last part of the drain time is for giving messages back. At most this long, at most a third of it.
const GIVE_BACK_TIME: Duration = Duration::from_secs(5);

/// A worker that has not started yet.
pub struct Service {
    pipeline: Pipeline,
    drain_timeout: Duration,
    /// What can stop intake.
    pub gate: Arc<Gate>,
    /// Every number.
    pub metrics: Arc<Metrics>,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything that was taken in is settled.
    Everything,
    /// What was left after most of the drain time was given back.
    TheRestGivenBack,
    /// Even giving back took too long: the source delivers the rest again when its visibility ends.
    NotInTime,
}

impl fmt::Display for Drained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Everything => "everything taken in was settled",
            Self::TheRestGivenBack => "what could not be settled in time was given back to the source",
            Self::NotInTime => {
                "the drain time ended first; what is left comes again once this worker's hold on it has ended"
            }
        })
    }
}

impl Service {
    /// Wires a worker. No other process, and no later one, may be called `worker`.
    ///
    /// # Errors
    /// The metrics cannot be set up.
    pub fn new(
        config: &Config,
        aws: &Aws,
        ledger: Arc<dyn Ledger>,
        worker: &str,
    ) -> Result<Self, metrics_exporter_prometheus::BuildError> {
        let metrics = Metrics::new()?;
        let gate = Arc::new(Gate::new(config.destinations.len()));
        let pipeline = Pipeline {
            source: source(&config.source, aws, worker, metrics.clone()),
            ledger,
            letters: Arc::new(SqsDeadLetters::new(aws, &config.dead_letter)),
            lanes: config.destinations.iter().map(|destination| lane(config, destination, aws)).collect(),
            formats: config.formats.clone(),
            format: config.source.format.clone(),
            format_attribute: config.source.format_attribute.clone(),
            unmatched: config.unmatched,
            lease: config.dedupe.lease,
            on_conflict: config.dedupe.on_conflict,
            max_in_flight_bytes: config.flow.max_in_flight_bytes,
            receivers_max: config.source.receivers_max,
            breaker: config.breaker.clone(),
            objects: config.objects.as_ref().map(|objects| objects_parts(objects, aws)),
            publish_log: None,
            metrics: metrics.clone(),
            gate: gate.clone(),
        };
        Ok(Self { pipeline, drain_timeout: config.service.drain_timeout, gate, metrics })
    }

    /// The same worker, which writes down what it publishes, if the configuration says where.
    #[must_use]
    pub fn with_publish_log(mut self, config: &Config, aws: &Aws, worker: &str) -> Self {
        self.pipeline.publish_log = config.publish_log.as_ref().map(|log| PublishLog::new(log, aws, worker));
        self
    }

    /// What the health endpoints answer from.
    pub fn health(&self) -> Health {
        Health { gate: self.gate.clone(), metrics: self.metrics.clone() }
    }

    /// Runs until `stop` resolves, then drains. If `hurry` resolves meanwhile, what is left is given back at once.
    pub async fn run(self, stop: impl Future<Output = ()>, hurry: impl Future<Output = ()>) -> Drained {
        let shutdown = Shutdown::default();
        let mut worker = JoinSet::new();
        worker.spawn(self.pipeline.run(shutdown.clone()));
        tokio::select! {
            // Only a panic ends the pipeline by itself, and it is raised here.
            ended = worker.join_next() => { joined(ended); }
            () = stop => {}
        }
        info!(drain_timeout_s = self.drain_timeout.as_secs(), "stopping: taking nothing more in");
        self.gate.close(Cause::Stopping, "the process was told to stop");
        shutdown.stop.cancel();
        let give_back_time = GIVE_BACK_TIME.min(self.drain_timeout / 3);
        tokio::select! {
            ended = timeout(self.drain_timeout.saturating_sub(give_back_time), worker.join_next()) => {
                if let Ok(ended) = ended {
                    joined(ended);
                    return Drained::Everything;
                }
            }
            () = hurry => {}
        }
        warn!(in_flight = self.metrics.counts().in_flight, "giving back what is not settled");
        shutdown.give_up.cancel();
        match timeout(give_back_time, worker.join_next()).await {
            Ok(ended) => {
                joined(ended);
                Drained::TheRestGivenBack
            }
            Err(_) => Drained::NotInTime,
        }
    }
}

fn source(config: &SourceConfig, aws: &Aws, worker: &str, metrics: Arc<Metrics>) -> Arc<dyn Source> {
    match &config.kind {
        SourceKind::Queue(queue) => Arc::new(SqsSource::new(aws, queue, metrics)),
        SourceKind::Stream(stream) => Arc::new(KinesisSource::new(aws, stream, worker, metrics)),
    }
}

fn objects_parts(config: &ObjectsConfig, aws: &Aws) -> ObjectsParts {
    ObjectsParts {
        store: Arc::new(S3Objects::new(aws)),
        buckets: config.buckets.clone(),
        concurrency_max: config.concurrency_max,
    }
}

fn lane(config: &Config, destination: &DestinationConfig, aws: &Aws) -> LaneParts {
    LaneParts {
        settings: LaneSettings {
            name: destination.name.clone(),
            linger: config.batch.linger,
            requests_per_second: destination.requests_per_second,
            concurrency_max: destination.concurrency_max,
            request_timeout: destination.request_timeout,
        },
        destination: Arc::new(CloudTrailLake::new(aws, destination, &config.batch)),
        account: destination.channel_arn.account.clone(),
        oversize: destination.oversize,
        route: destination.route.clone(),
        redaction: destination.redaction.clone(),
    }
}
