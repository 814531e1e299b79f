//! What a stream costs in place of a queue: throughput and CPU of both in one run, `… -- streams [EVENTS]`.
//!
//! The stream is ferrokinesis's, its leases are dynoxide's; both share the second core with the lake. How many events
//! that server gives to a reader that does nothing with them stands beside, for where it is less than twice the
//! service's own number, the server is a part of the limit; the CPU time for each event is not concerned.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Stdio},
};

use aws_sdk_kinesis::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region},
    primitives::Blob,
    types::{PutRecordsRequestEntry, ShardIteratorType},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    Row,
    ledgers::{Server, new_table},
    measure, measure_on,
    process::{Process, bodies, pinned, pins},
};

/// Enough for the most that a shard is asked for: 5 reads a second of 1,000 records.
const SHARDS: i32 = 32;
const CALLS_PER_SECOND: &str = "5";
const STREAM: &str = "events";
const LEASES: &str = "leases";
/// Most records of one call, and most of their bytes, with room for keys.
const PUT_MAX: usize = 500;
const PUT_BYTES_MAX: usize = 4_000_000;
/// Arguments of the launcher: as the service is, but for throttling.
const AS_THE_SERVICE: [&str; 3] = ["300", "300000", "false"];

pub(crate) fn compare(events: u64) {
    let Some(leases) = Server::dynamodb() else { return };
    println!(
        "{events} events of about 1 kB; the service on {}\n",
        if pins() { "one core" } else { "any core" }
    );
    println!(
        "| events per record | queue: events/s | CPU µs per event | stream: events/s | of the queue's | CPU µs per event | of the \
         queue's | the stream's server alone: events/s |"
    );
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    for events_per_record in [1, 10, 100] {
        let queue = measure(events, events_per_record, &[]);
        let Some(server) = Kinesis::start() else { return };
        new_table(leases.addr, LEASES, "leaseKey");
        server.fill(events, events_per_record);
        let alone = server.read_all();
        let stream = measure_on(&Process::local(), events, &server.environment(leases.addr));
        print(events, events_per_record, &queue, &stream, alone);
    }
}

fn print(events: u64, events_per_record: u64, queue: &Row, stream: &Row, seconds: f64) {
    let count = events as f64;
    let cpu = |row: &Row| row.cpu_seconds.unwrap_or(f64::NAN) * 1e6 / count;
    println!(
        "| {events_per_record} | {:.0} | {:.1} | {:.0} | {:.0} % | {:.1} | {:.0} % | {:.0} |",
        count / queue.seconds,
        cpu(queue),
        count / stream.seconds,
        100.0 * queue.seconds / stream.seconds,
        cpu(stream),
        100.0 * cpu(stream) / cpu(queue),
        count / seconds,
    );
}

/// A server with one stream, ended with its owner.
struct Kinesis {
    child: Child,
    client: Client,
    url: String,
    arn: String,
    runtime: Runtime,
}

impl Kinesis {
    fn start() -> Option<Self> {
        let program = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let program = program.join("target/test-tools/bin/ferrokinesis-on-loopback");
        if !program.exists() {
            println!(
                "left out: the stream. Cure: cargo test --test it streams:: installs a server below target/"
            );
            return None;
        }
        let mut command = pinned(1, program.to_str().expect("a path of this project"));
        let command = command.args(AS_THE_SERVICE).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the server starts");
        let mut port = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut port).expect("a line");
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port.trim().parse().expect("a port")));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let url = format!("http://{addr}");
        let client = client(&url);
        let arn = runtime.block_on(create(&client));
        Some(Self { child, client, url, arn, runtime })
    }

    fn environment(&self, leases: SocketAddr) -> Vec<(&'static str, String)> {
        vec![
            ("TRIBUTARY_STREAM_ARN", self.arn.clone()),
            ("TRIBUTARY_STREAM_LEASE_TABLE", LEASES.to_owned()),
            ("TRIBUTARY_STREAM_CALLS_PER_SECOND", CALLS_PER_SECOND.to_owned()),
            ("AWS_ENDPOINT_URL_KINESIS", self.url.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{leases}")),
        ]
    }

    fn fill(&self, events: u64, events_per_record: u64) {
        self.runtime.block_on(async {
            let mut batch = Vec::new();
            let mut bytes = 0;
            for (number, body) in bodies(0..events, events_per_record).enumerate() {
                if batch.len() == PUT_MAX || bytes + body.len() > PUT_BYTES_MAX {
                    put(&self.client, std::mem::take(&mut batch)).await;
                    bytes = 0;
                }
                bytes += body.len();
                let record = PutRecordsRequestEntry::builder().partition_key(number.to_string());
                batch.push(record.data(Blob::new(body)).build().expect("whole"));
            }
            put(&self.client, batch).await;
        });
    }

    /// Seconds that it takes to read everything and do nothing with it, all shards at once.
    fn read_all(&self) -> f64 {
        let started = Instant::now();
        self.runtime.block_on(async {
            let listed = self.client.list_shards().stream_name(STREAM).send().await.expect("shards");
            let mut readers = JoinSet::new();
            for shard in listed.shards.unwrap_or_default() {
                readers.spawn(read(self.client.clone(), shard.shard_id));
            }
            readers.join_all().await;
        });
        started.elapsed().as_secs_f64()
    }
}

impl Drop for Kinesis {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn client(url: &str) -> Client {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "bench"))
        .endpoint_url(url)
        .build();
    Client::from_conf(config)
}

/// Makes the stream; its ARN.
async fn create(client: &Client) -> String {
    client.create_stream().stream_name(STREAM).shard_count(SHARDS).send().await.expect("a stream");
    loop {
        let told = client.describe_stream_summary().stream_name(STREAM).send().await.expect("a stream");
        let told = told.stream_description_summary.expect("a stream");
        if told.stream_status.as_str() == "ACTIVE" {
            return told.stream_arn;
        }
        sleep(std::time::Duration::from_millis(20)).await;
    }
}

async fn put(client: &Client, batch: Vec<PutRecordsRequestEntry>) {
    let put = client.put_records().stream_name(STREAM).set_records(Some(batch)).send().await;
    assert_eq!(put.expect("the server answers").failed_record_count, Some(0), "not all were put");
}

async fn read(client: Client, shard: String) {
    let call = client.get_shard_iterator().stream_name(STREAM).shard_id(shard);
    let iterator = call.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
    let mut next = iterator.expect("an iterator").shard_iterator;
    while let Some(iterator) = next {
        let read = client.get_records().shard_iterator(iterator).limit(1_000).send().await.expect("records");
        if read.records.is_empty() {
            return;
        }
        next = read.next_shard_iterator;
    }
}
