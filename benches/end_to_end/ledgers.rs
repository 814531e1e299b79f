//! What a shared ledger costs: throughput and CPU beside the ledger in memory, in one run, near and 30 ms away.
//!
//! Three times: with half of the lake's quota of 100 calls a second, with all of it, which is the most that anybody can
//! publish in one account and Region, and without it, where the service's core is the limit. The ledger's server shares the machine with
//! everything else, so without the quota a part of what is lost is the server's own work. There is room for what is
//! under way during a round trip (`ROOM`), for every ledger alike.

use std::{
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TimeToLiveSpecification,
};

use crate::{Row, far::Far, measure, process::pins};

const FAR: Duration = Duration::from_millis(30);
const EVENTS_PER_MESSAGE: u64 = 10;
const TABLE: &str = "ledger";
/// `flow.max_in_flight_bytes`: at 30 ms each for a claim and a commit more is under way than the default holds.
const ROOM: &str = "32MiB";
/// Calls a second: a fleet's worker with half of the quota, the whole quota, and none to speak of.
const RATES: [(&str, u32); 3] = [
    ("50 calls a second, half of the lake's quota", 50),
    ("100 calls a second, the lake's quota", 100),
    ("no quota", 10_000),
];

pub(crate) fn compare(events: u64) {
    let servers: Vec<_> = [Server::valkey(), Server::dynamodb()].into_iter().flatten().collect();
    for (what, rate) in RATES {
        println!(
            "\n{events} events of about 1 kB, {EVENTS_PER_MESSAGE} in a message; {what}; the service on {}\n",
            if pins() { "one core" } else { "any core" }
        );
        println!("| ledger | events/s | of memory's | CPU µs per event | ledger requests per 1,000 events |");
        println!("| --- | ---: | ---: | ---: | ---: |");
        let common = [
            ("TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND", rate.to_string()),
            ("TRIBUTARY_FLOW_MAX_IN_FLIGHT_BYTES", ROOM.to_owned()),
        ];
        let in_memory = measure(events, EVENTS_PER_MESSAGE, &common);
        print(events, "memory", &in_memory, &in_memory, None);
        for server in &servers {
            for (place, round_trip) in [("near", Duration::ZERO), ("30 ms away", FAR)] {
                server.forget();
                let far = Far::new(server.addr, round_trip, server.request_starts);
                let mut more = server.environment(far.addr);
                more.extend(common.clone());
                let row = measure(events, EVENTS_PER_MESSAGE, &more);
                print(events, &format!("{}, {place}", server.name), &row, &in_memory, Some(far.requests()));
            }
        }
    }
}

fn print(events: u64, name: &str, row: &Row, in_memory: &Row, requests: Option<u64>) {
    let count = events as f64;
    println!(
        "| {name} | {:.0} | {:.0} % | {} | {} |",
        count / row.seconds,
        100.0 * in_memory.seconds / row.seconds,
        row.cpu_seconds.map_or_else(|| "-".to_owned(), |cpu| format!("{:.1}", cpu * 1e6 / count)),
        requests.map_or_else(|| "-".to_owned(), |sent| format!("{:.1}", sent as f64 * 1_000.0 / count)),
    );
}

/// A ledger's server, ended with the benchmark.
pub(crate) struct Server {
    name: &'static str,
    pub(crate) addr: SocketAddr,
    request_starts: &'static str,
    child: Child,
}

impl Server {
    fn valkey() -> Option<Self> {
        let addr = free_port();
        let start = |program: &&str| {
            let args = ["--port", &addr.port().to_string(), "--bind", "127.0.0.1", "--save", ""];
            Command::new(program).args(args).stdout(Stdio::null()).spawn().ok()
        };
        let Some(child) = ["valkey-server", "redis-server"].iter().find_map(start) else {
            println!("left out: Valkey. Cure: apt-get install valkey-server, or redis-server");
            return None;
        };
        Some(Self { name: "Valkey", addr, request_starts: "\r\nEVALSHA\r\n", child }.up())
    }

    pub(crate) fn dynamodb() -> Option<Self> {
        let addr = free_port();
        let installed = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/bin/dynoxide");
        let program = if installed.exists() { installed } else { PathBuf::from("dynoxide") };
        let child = Command::new(program)
            .args(["serve", "-p", &addr.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let Ok(child) = child else {
            println!("left out: DynamoDB. Cure: cargo test installs dynoxide below target/");
            return None;
        };
        Some(Self { name: "DynamoDB", addr, request_starts: "POST / HTTP/1.1\r\n", child }.up())
    }

    fn up(self) -> Self {
        while TcpStream::connect(self.addr).is_err() {
            thread::sleep(Duration::from_millis(20));
        }
        self
    }

    fn environment(&self, addr: SocketAddr) -> Vec<(&'static str, String)> {
        match self.name {
            "Valkey" => vec![
                ("TRIBUTARY_LEDGER_KIND", "valkey".to_owned()),
                ("TRIBUTARY_LEDGER_URL", format!("redis://{addr}")),
            ],
            _ => vec![
                ("TRIBUTARY_LEDGER_KIND", "dynamodb".to_owned()),
                ("TRIBUTARY_LEDGER_TABLE", TABLE.to_owned()),
                ("AWS_ENDPOINT_URL_DYNAMODB", format!("http://{addr}")),
            ],
        }
    }

    /// Empties the ledger.
    fn forget(&self) {
        match self.name {
            "Valkey" => {
                let mut stream = TcpStream::connect(self.addr).expect("the server is there");
                std::io::Write::write_all(&mut stream, b"FLUSHALL\r\n").expect("the server is there");
                std::io::Read::read(&mut stream, &mut [0; 16]).expect("the server answers");
            }
            _ => new_table(self.addr, TABLE, "key"),
        }
    }
}

/// An empty table of this name and partition key.
pub(crate) fn new_table(addr: SocketAddr, table: &str, key_name: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(aws_sdk_dynamodb::config::BehaviorVersion::latest())
            .region(aws_sdk_dynamodb::config::Region::new("us-east-1"))
            .credentials_provider(aws_sdk_dynamodb::config::Credentials::new(
                "test", "test", None, None, "bench",
            ))
            .endpoint_url(format!("http://{addr}"))
            .build();
        let client = aws_sdk_dynamodb::Client::from_conf(config);
        // There is none before the first run.
        client.delete_table().table_name(table).send().await.ok();
        let key = AttributeDefinition::builder()
            .attribute_name(key_name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .expect("whole");
        let schema = KeySchemaElement::builder()
            .attribute_name(key_name)
            .key_type(KeyType::Hash)
            .build()
            .expect("whole");
        client
            .create_table()
            .table_name(table)
            .attribute_definitions(key)
            .key_schema(schema)
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await
            .expect("a table");
        let ttl = TimeToLiveSpecification::builder().attribute_name("expires").enabled(true).build();
        client
            .update_time_to_live()
            .table_name(table)
            .time_to_live_specification(ttl.expect("whole"))
            .send()
            .await
            .expect("time to live");
    });
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
