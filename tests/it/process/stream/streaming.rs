//! A stream in place of the queue, its leases and its ledger: put to, and watched through the lease table.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use fastrand::Rng;
use tributary::{
    local::{Faults, LocalOptions},
    receive::kinesis::{
        lease::{Lease, LeaseTable as _, Leases, ShardId, dynamodb::DynamoDbLeases},
        position::SequenceNumber,
    },
};

use super::super::{
    endpoints::{DEAD_LETTERS, Depth, Endpoints},
    worker::{STREAM_ARN, Worker},
};
use crate::support::{
    dynamodb::{self, DynamoDb},
    kinesis::{Kind, Stream, StreamServer},
    local::options,
};

const LEASES: &str = "leases";
pub(super) const LEDGER: &str = "ledger";
/// What the tests wait for when a worker dies, unless they say otherwise.
pub(super) const FAILOVER_SECONDS: u64 = 3;

/// What a test is about.
pub(super) struct Setting {
    pub(super) shards: i32,
    pub(super) faults: Faults,
    /// Where the leases are, and the ledger unless `ledger` says otherwise.
    pub(super) tables: DynamoDb,
    /// What points a worker at another ledger.
    pub(super) ledger: Option<Vec<(&'static str, String)>>,
}

impl Setting {
    /// With a lake that does what it should.
    pub(super) async fn with_shards(shards: i32) -> Self {
        Self { shards, faults: Faults::default(), tables: DynamoDb::start_in_memory().await, ledger: None }
    }
}

/// All that workers need.
pub(super) struct Streaming {
    pub(super) endpoints: Endpoints,
    pub(super) stream: Stream,
    pub(super) tables: DynamoDb,
    table: DynamoDbLeases,
    server: StreamServer,
    ledger: Vec<(&'static str, String)>,
    /// The last record of each shard.
    last: Mutex<BTreeMap<ShardId, SequenceNumber>>,
}

impl Streaming {
    pub(super) async fn start(setting: Setting) -> Self {
        let Setting { shards, faults, tables, ledger } = setting;
        dynamodb::create_lease_table(&tables.client(), LEASES).await;
        let on_tables = || {
            vec![("TRIBUTARY_LEDGER_KIND", "dynamodb".to_owned()), ("TRIBUTARY_LEDGER_TABLE", LEDGER.into())]
        };
        let ledger = ledger.unwrap_or_else(on_tables);
        tables.create_table(LEDGER).await;
        let server = StreamServer::start(Kind::Ferrokinesis).await;
        Self {
            endpoints: Endpoints::with(LocalOptions { faults, retain_rows: 1_000_000, ..options() }).await,
            stream: server.stream(shards).await,
            table: DynamoDbLeases::new(&tables.aws(), LEASES),
            tables,
            server,
            ledger,
            last: Mutex::default(),
        }
    }

    /// A worker of this name, with `more` on top.
    pub(super) async fn worker(&self, name: &str, more: &[(&str, &str)]) -> Worker {
        let failover = format!("{FAILOVER_SECONDS}s");
        let url = self.server.url();
        let mut ours = vec![
            (STREAM_ARN, self.stream.arn.as_str()),
            ("TRIBUTARY_STREAM_LEASE_TABLE", LEASES),
            ("TRIBUTARY_STREAM_FAILOVER_TIME", &failover),
            ("TRIBUTARY_SERVICE_WORKER", name),
            ("AWS_ENDPOINT_URL_KINESIS", &url),
            ("AWS_ENDPOINT_URL_DYNAMODB", &self.tables.url),
        ];
        ours.extend(self.ledger.iter().map(|(name, value)| (*name, value.as_str())));
        ours.extend(more);
        let mut environment = self.endpoints.environment(&ours);
        environment.retain(|(name, _)| name != "TRIBUTARY_SOURCE_QUEUE_URL");
        Worker::start(&environment).await
    }

    /// Puts each body as one record, to any shard.
    pub(super) async fn put(&self, bodies: &[String], rng: &mut Rng) {
        let records: Vec<_> =
            bodies.iter().map(|body| (format!("{:x}", rng.u64(..)), body.clone().into_bytes())).collect();
        let places = self.stream.put_many(&records).await;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        for place in places {
            let sequence = SequenceNumber::parse(&place.sequence).expect("a sequence number");
            let known = last.entry(place.shard.into()).or_insert_with(|| sequence.clone());
            *known = sequence.max(known.clone());
        }
    }

    pub(super) async fn leases(&self) -> Leases {
        loop {
            match self.table.list().await {
                Ok(leases) => return leases,
                Err(error) => assert!(error.is_transient(), "{error}"),
            }
        }
    }

    /// Another reader of the table than the workers.
    pub(super) fn lease_table(&self) -> DynamoDbLeases {
        self.table.clone()
    }

    /// The shards that hold a record which is not behind a checkpoint.
    async fn unsettled(&self) -> Vec<ShardId> {
        let leases = self.leases().await;
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let open = last.iter().filter(|(shard, last)| {
            let lease = leases.get(*shard);
            let is_behind = lease.and_then(|lease| lease.position()).is_some_and(|at| at.sequence >= **last);
            !is_behind && !lease.is_some_and(Lease::is_ended)
        });
        open.map(|(shard, _)| shard.clone()).collect()
    }

    /// Waits until every record is behind a checkpoint and the worker is done with it.
    pub(super) async fn until_settled(&self, worker: &Worker) {
        worker
            .until("every record is behind a checkpoint", async |_: &Worker| {
                self.unsettled().await.is_empty().then_some(())
            })
            .await;
        worker
            .until("nothing is in flight", async |worker: &Worker| {
                (worker.scrape().await.in_flight() == 0).then_some(())
            })
            .await;
    }

    /// Waits until these workers hold all shards, none of them more than one more than another.
    pub(super) async fn until_balanced(&self, worker: &Worker, names: &[String]) {
        worker
            .until("the shards are shared out evenly", async |_: &Worker| {
                is_balanced(&self.leases().await, names).then_some(())
            })
            .await;
    }

    /// Takes every dead letter off its queue; their bodies.
    pub(super) async fn dead_letters(&self) -> Vec<String> {
        let (sqs, url) = (&self.endpoints.sqs, self.endpoints.local.queue_url(DEAD_LETTERS));
        let mut bodies = Vec::new();
        while self.endpoints.depth(DEAD_LETTERS).await != Depth::EMPTY {
            let answer = sqs.receive_message().queue_url(&url).max_number_of_messages(10).send().await;
            for letter in answer.expect("the queue answers").messages.unwrap_or_default() {
                bodies.extend(letter.body);
                let delete = sqs.delete_message().queue_url(&url).set_receipt_handle(letter.receipt_handle);
                delete.send().await.expect("the queue answers");
            }
        }
        bodies
    }
}

fn is_of(id: &str, worker: &str) -> bool {
    id.strip_prefix(worker).is_some_and(|rest| rest.starts_with('/'))
}

/// How many leases name the worker, as who holds it or as who is going to.
pub(super) fn names(leases: &Leases, worker: &str) -> usize {
    let named = leases.values().filter(|lease| {
        [&lease.owner, &lease.checkpoint_owner].into_iter().flatten().any(|named| is_of(named, worker))
    });
    named.count()
}

/// The leases that the worker holds.
pub(super) fn holds(leases: &Leases, worker: &str) -> BTreeSet<ShardId> {
    let held = leases.values().filter(|lease| lease.holder().is_some_and(|holder| is_of(holder, worker)));
    held.map(|lease| lease.shard.clone()).collect()
}

fn is_balanced(leases: &Leases, workers: &[String]) -> bool {
    let open = leases.values().filter(|lease| !lease.is_ended()).count();
    let is_moving = leases.values().any(Lease::is_asked_for);
    let counts = workers.iter().map(|worker| names(leases, worker));
    let (least, most) = (open / workers.len(), open.div_ceil(workers.len()));
    !is_moving
        && counts.clone().sum::<usize>() == open
        && counts.into_iter().all(|it| (least..=most).contains(&it))
}

/// Bodies that are no events.
pub(super) fn bad(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("no JSON, number {number}")).collect()
}
