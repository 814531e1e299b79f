//! What is Kinesis' own: order, shards that split and merge, where a stream is begun, leases, what goes wrong with
//! reads.

mod aggregates;
mod leases;
mod reads;
mod resharding;
mod starts;

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_dynamodb::types::AttributeValue;
use tributary::{
    aws::Aws,
    config::{ForeignRecords, Start, StreamArn, StreamConfig},
    metrics::Metrics,
    receive::{Source, kinesis::KinesisSource},
};
use uuid::Uuid;

use super::promises::{Misled, Place, Worker};
use crate::support::{
    dynamodb::{self, DynamoDb},
    kinesis::{Kind, Put, Stream, StreamServer, aws_at},
};

/// Short, so that tests of what follows from it are.
const FAILOVER: Duration = Duration::from_secs(2);

/// A server, and how it is read.
pub(super) struct Ground {
    server: StreamServer,
    way: Way,
}

/// How streams are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Polling,
    FanOut,
}

impl Ground {
    pub(super) async fn on(kind: Kind, way: Way) -> Self {
        Self { server: StreamServer::start(kind).await, way }
    }

    fn share(&self) -> Self {
        Self { server: self.server.share(), way: self.way }
    }

    /// A new stream with so many shards.
    pub(super) async fn place(&self, shards: i32) -> StreamPlace {
        let stream = self.server.stream(shards).await;
        let consumer_arn = match self.way {
            Way::Polling => None,
            Way::FanOut => Some(stream.consumer("tributary").await),
        };
        let leases = dynamodb::shared().await;
        let table = format!("leases-{}", Uuid::new_v4());
        dynamodb::create_lease_table(&leases.client(), &table).await;
        StreamPlace { ground: self.share(), stream, consumer_arn, leases, table }
    }
}

/// A stream of a server, and a table for its leases.
pub(super) struct StreamPlace {
    ground: Ground,
    stream: Stream,
    consumer_arn: Option<String>,
    leases: Arc<DynamoDb>,
    table: String,
}

impl StreamPlace {
    pub(super) async fn on(kind: Kind, way: Way) -> Self {
        Ground::on(kind, way).await.place(1).await
    }

    fn config(&self) -> StreamConfig {
        let (name, arn) = (self.stream.name.clone(), self.stream.arn.clone());
        StreamConfig {
            arn: StreamArn { arn, region: "us-east-1".to_owned(), account: "000000000000".to_owned(), name },
            lease_table: self.table.clone(),
            start: Start::TrimHorizon,
            failover_time: FAILOVER,
            calls_per_second: 20,
            consumer_arn: self.consumer_arn.clone(),
            foreign_records: ForeignRecords::Deliver,
        }
    }

    fn aws(&self) -> Aws {
        aws_at(&self.ground.server.url(), &self.leases.url)
    }

    /// A new worker that starts here.
    fn starting(&self, start: Start) -> Worker {
        let config = StreamConfig { start, ..self.config() };
        Worker::with(Arc::new(source(&self.aws(), &config).0), self)
    }

    /// A new worker whose stream is reached by another URL, and its metrics.
    fn by(&self, url: &str) -> (Worker, Arc<Metrics>) {
        let (source, metrics) = source(&aws_at(url, &self.leases.url), &self.config());
        (Worker::with(Arc::new(source), self), metrics)
    }

    /// The name of the message that a record becomes.
    fn name_of(&self, put: &Put) -> String {
        format!("{}/{}:{}", self.stream.name, put.shard, put.sequence)
    }

    /// An attribute of a shard's lease, read without the code under test.
    async fn lease(&self, shard: &str, attribute: &str) -> Option<String> {
        let call = self.leases.client().get_item().table_name(&self.table).consistent_read(true);
        let call = call.key("leaseKey", AttributeValue::S(shard.to_owned()));
        let item = Box::pin(call.send()).await.expect("the table is there").item?;
        match item.get(attribute)? {
            AttributeValue::S(text) | AttributeValue::N(text) => Some(text.clone()),
            AttributeValue::Ss(texts) => Some(texts.join(" ")),
            _ => None,
        }
    }

    /// Waits until an attribute of a shard's lease is like that.
    async fn until_lease(&self, shard: &str, attribute: &str, is_wanted: impl Fn(Option<&str>) -> bool) {
        for _ in 0..1_500 {
            if is_wanted(self.lease(shard, attribute).await.as_deref()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let last = self.lease(shard, attribute).await;
        panic!("{self}: {attribute} of {shard} stays {last:?}");
    }
}

/// A worker's source, under a name of its own.
fn source(aws: &Aws, config: &StreamConfig) -> (KinesisSource, Arc<Metrics>) {
    let metrics = Metrics::new().expect("metrics");
    let worker = Uuid::new_v4().to_string();
    (KinesisSource::new(aws, config, &worker, metrics.clone()), metrics)
}

/// What a counter says, all labels together, where a label is as named.
fn count(metrics: &Metrics, counter: &str, label: &str) -> u64 {
    let text = metrics.render();
    let lines = text.lines().filter(|line| line.starts_with(counter) && line.contains(label));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

impl fmt::Display for StreamPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {:?}", self.ground.server, self.ground.way)
    }
}

#[async_trait]
impl Place for StreamPlace {
    async fn send(&self, bodies: &[Vec<u8>]) -> Vec<String> {
        let mut names = Vec::new();
        for body in bodies {
            names.push(self.name_of(&self.stream.put("key", body.clone()).await));
        }
        names
    }

    fn source(&self) -> Arc<dyn Source> {
        Arc::new(source(&self.aws(), &self.config()).0)
    }

    fn misled(&self) -> Vec<Misled> {
        let mut stream = self.config();
        (stream.arn.name, stream.arn.arn) =
            (format!("{}-x", stream.arn.name), format!("{}-x", stream.arn.arn));
        let mut table = self.config();
        table.lease_table = format!("{}-x", table.lease_table);
        let misled = |config: StreamConfig, named: String| {
            let (source, metrics) = source(&self.aws(), &config);
            Misled { source: Arc::new(source), metrics, named }
        };
        let (arn, name) = (stream.arn.arn.clone(), table.lease_table.clone());
        vec![misled(stream, arn), misled(table, name)]
    }

    fn stranded(&self, url: &str) -> Arc<dyn Source> {
        Arc::new(source(&aws_at(url, url), &self.config()).0)
    }

    fn limit(&self) -> (Vec<usize>, String) {
        (vec![0, 256_000, 1_048_576], "\"\\é€😀\t\n\0".to_owned())
    }

    async fn left(&self) -> Option<usize> {
        None
    }
}

/// Makes one test of each case on each ground: `on_grounds! { fan_out = Ferrokinesis, FanOut: case, case; }`.
macro_rules! on_grounds {
    ($($name:ident = $kind:ident, $way:ident: $($case:ident),+ $(,)?;)+) => {
        $(mod $name {
            use super::super::{Ground, Way};
            use crate::support::kinesis::Kind;
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    super::$case(&Ground::on(Kind::$kind, Way::$way).await).await;
                }
            )+
        })+
    };
}

use on_grounds;
