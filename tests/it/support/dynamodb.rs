//! The DynamoDB servers that ledgers are tested against, neither of them ours.
//!
//! dynoxide is held against the real service by its authors and refuses what that refuses (a batch that names an item
//! twice, for one); it keeps its tables in a file, so it can be killed and started again. ministack is the second
//! judge.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_dynamodb::{
    Client,
    error::ProvideErrorMetadata,
    operation::create_table::builders::CreateTableFluentBuilder,
    types::{
        AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
        ProjectionType, ScalarAttributeType, TimeToLiveSpecification,
    },
};
use tempfile::TempDir;
use tributary::aws::Aws;

use super::tools;

const DYNOXIDE: &str = "3.2.0";
/// Looks whether the port answers: this often, this far apart. Half a minute in all, for a busy machine.
const LOOKS_MAX: u32 = 600;
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Ports that somebody else may take between choosing and using.
const PORTS_MAX: u32 = 5;
/// Runs its arguments, and kills them when its own input ends: nothing outlives the test, however that ends.
const UNTIL_INPUT_ENDS: &str = r#""$@" </dev/null & cat >/dev/null; kill -9 $!; wait"#;

/// A running dynoxide; ends when dropped.
pub(crate) struct DynamoDb {
    /// `http://127.0.0.1:<port>`, the same after a restart.
    pub(crate) url: String,
    port: u16,
    /// Where the tables are kept, if anywhere: a file costs a wait for the disk at each write.
    folder: Option<TempDir>,
    process: Mutex<Option<Process>>,
}

struct Process(Child);

impl Drop for Process {
    /// As `kill -9`, and waits for the end.
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}

impl DynamoDb {
    /// Starts it on a free port of 127.0.0.1, without tables. What it says is done survives [`DynamoDb::kill`].
    pub(crate) async fn start() -> Self {
        let start = || Self::start_blocking(|| Some(tempfile::tempdir().expect("a folder")));
        tokio::task::spawn_blocking(start).await.expect("dynoxide starts")
    }

    /// As [`DynamoDb::start`], but quicker and forgetful: nothing survives [`DynamoDb::kill`].
    pub(crate) async fn start_in_memory() -> Self {
        tokio::task::spawn_blocking(|| Self::start_blocking(|| None)).await.expect("dynoxide starts")
    }

    fn start_blocking(folder: impl Fn() -> Option<TempDir>) -> Self {
        for _ in 0..PORTS_MAX {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            let port = free.local_addr().expect("bound").port();
            drop(free);
            let url = format!("http://127.0.0.1:{port}");
            let server = Self { url, port, folder: folder(), process: Mutex::new(None) };
            if server.run() {
                return server;
            }
        }
        panic!("dynoxide found no free port");
    }

    /// Whether it runs.
    fn run(&self) -> bool {
        let mut command = Command::new("sh");
        command.args(["-c", UNTIL_INPUT_ENDS, "sh"]).arg(dynoxide());
        command.args(["serve", "--log", "quiet", "--port", &self.port.to_string()]);
        if let Some(folder) = &self.folder {
            command.arg("--db-path").arg(folder.path().join("tables.db"));
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("sh runs");
        for _ in 0..LOOKS_MAX {
            if child.try_wait().expect("a child can be asked").is_some() {
                return false;
            }
            if TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok() {
                *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(Process(child));
                return true;
            }
            thread::sleep(LOOK_EVERY);
        }
        drop(Process(child));
        panic!("dynoxide does not answer on port {}", self.port);
    }

    /// `kill -9`: what it has not written down is gone.
    pub(crate) fn kill(&self) {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Kills it if need be, and starts it again where it was. Blocks.
    pub(crate) fn restart(&self) {
        self.kill();
        assert!(self.run(), "dynoxide starts again on port {}", self.port);
    }

    /// As the program reaches it.
    pub(crate) fn aws(&self) -> Aws {
        aws_at(&self.url)
    }

    /// Another client than the one under test.
    pub(crate) fn client(&self) -> Client {
        client_at(&self.url)
    }

    /// A table as the ledger wants it, unless there is one.
    pub(crate) async fn create_table(&self, name: &str) {
        create_table(&self.client(), name).await;
    }
}

static SHARED: Mutex<Weak<DynamoDb>> = Mutex::new(Weak::new());

/// One for all tests that run at the same time, in memory; for those that do not kill it.
pub(crate) async fn shared() -> Arc<DynamoDb> {
    let start = || {
        let mut slot = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        slot.upgrade().unwrap_or_else(|| {
            let started = Arc::new(DynamoDb::start_blocking(|| None));
            *slot = Arc::downgrade(&started);
            started
        })
    };
    tokio::task::spawn_blocking(start).await.expect("dynoxide starts")
}

/// What every client of a local server is told, but for its endpoint.
pub(super) fn config(retries: RetryConfig) -> aws_types::sdk_config::Builder {
    let credentials = Credentials::new("test", "test", None, None, "tests");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(retries)
}

/// Any endpoint, as the program reaches it.
pub(crate) fn aws_at(url: &str) -> Aws {
    config(RetryConfig::standard()).endpoint_url(url).build().into()
}

/// A client of any endpoint, which tries each call once.
pub(crate) fn client_at(url: &str) -> Client {
    Client::new(&config(RetryConfig::disabled()).endpoint_url(url).build())
}

/// A table as the ledger wants it, unless there is one.
pub(crate) async fn create_table(client: &Client, name: &str) {
    if !made(client.create_table().table_name(name), &["key"]).await {
        return;
    }
    let expires = TimeToLiveSpecification::builder().attribute_name("expires").enabled(true);
    let expires = expires.build().expect("whole");
    let set = client.update_time_to_live().table_name(name).time_to_live_specification(expires).send().await;
    set.unwrap_or_else(|error| panic!("no time to live: {error:?}"));
}

/// A table of leases as version 3 of the Kinesis Client Library makes it, unless there is one. Its index by owner
/// refuses an owner that is an empty text.
pub(crate) async fn create_lease_table(client: &Client, name: &str) {
    let by_owner = GlobalSecondaryIndex::builder().index_name("LeaseOwnerToLeaseKeyIndex");
    let by_owner = by_owner.key_schema(key("leaseOwner", KeyType::Hash));
    let by_owner = by_owner.key_schema(key("leaseKey", KeyType::Range));
    let keys_only = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
    let by_owner = by_owner.projection(keys_only).build().expect("whole");
    let call = client.create_table().table_name(name).global_secondary_indexes(by_owner);
    made(call, &["leaseKey", "leaseOwner"]).await;
}

fn key(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("whole")
}

/// Makes a table whose key is the first of these texts; whether there was none.
async fn made(call: CreateTableFluentBuilder, texts: &[&str]) -> bool {
    let texts = texts.iter().map(|name| {
        let text = AttributeDefinition::builder().attribute_name(*name);
        text.attribute_type(ScalarAttributeType::S).build().expect("whole")
    });
    let texts: Vec<_> = texts.collect();
    let call = call.key_schema(key(&texts[0].attribute_name, KeyType::Hash));
    let call = call.set_attribute_definitions(Some(texts)).billing_mode(BillingMode::PayPerRequest);
    match call.send().await {
        Ok(_) => true,
        Err(error) if error.code() == Some("ResourceInUseException") => false,
        Err(error) => panic!("no table: {error:?}"),
    }
}

/// The program, built if need be. Blocks.
fn dynoxide() -> PathBuf {
    let from = ["dynoxide-rs", "--version", DYNOXIDE, "--no-default-features"];
    let features = ["--features", "native-sqlite,http-server,cli"];
    let cure = "these tests need dynoxide-rs from crates.io and a C compiler; check the network";
    tools::program("dynoxide", DYNOXIDE, &[&from[..], &features].concat(), cure)
}
