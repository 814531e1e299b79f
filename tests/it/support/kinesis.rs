//! The Kinesis servers that streams are read from, neither of them ours.
//!
//! ferrokinesis is quick, forgets shard iterators as soon as it is told to, and throttles writes; at the end of a shard
//! it names no children, and it knows times by whole seconds. kinesis-local names the children, knows how far behind a
//! reader is, and takes records of nearly ten MiB. The first is a library under a launcher of ours, because its own
//! program listens on every interface.

mod stream;

use std::{
    fmt,
    process::Command,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use aws_config::retry::RetryConfig;
use aws_sdk_kinesis::Client;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use tributary::aws::Aws;

use super::{
    child::{self, Server},
    dynamodb, node, tools,
};
pub(crate) use stream::{Put, Stream, is_closed, range};

const KINESIS_LOCAL: &str = "kinesis-local@0.6.2";
/// What the launcher is built from; another text builds it again.
const LAUNCHER: &str = concat!(
    include_str!("../rust/ferrokinesis/Cargo.toml"),
    include_str!("../rust/ferrokinesis/src/main.rs"),
    include_str!("../rust/ferrokinesis/Cargo.lock"),
);

static NEXT_STREAM: AtomicUsize = AtomicUsize::new(0);

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Rust.
    Ferrokinesis,
    /// Scala on Node.
    KinesisLocal,
}

/// What ferrokinesis does otherwise than by default.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    /// How long a shard iterator may be used.
    pub(crate) iterator_seconds: u64,
    /// How long a subscription to a shard lasts.
    pub(crate) subscription_ms: u64,
    /// A shard takes a thousand records or a MiB in a second.
    pub(crate) throttles_writes: bool,
}

impl Default for Options {
    /// As the service, but for throttling.
    fn default() -> Self {
        Self { iterator_seconds: 300, subscription_ms: 300_000, throttles_writes: false }
    }
}

/// A running server; its name is its `Display`.
pub(crate) struct StreamServer {
    pub(crate) kind: Kind,
    child: Arc<Server>,
}

impl fmt::Display for StreamServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {:?}", self.kind)
    }
}

static FERROKINESIS_CHILD: child::Shared = Mutex::new(Weak::new());
static KINESIS_LOCAL_CHILD: child::Shared = Mutex::new(Weak::new());

fn ferrokinesis(options: Options) -> Command {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/rust/ferrokinesis");
    let cure = "these tests need ferrokinesis from crates.io; check the network";
    let program = tools::program("ferrokinesis-on-loopback", LAUNCHER, &["--path", folder], cure);
    let mut command = Command::new(program);
    command.arg(options.iterator_seconds.to_string()).arg(options.subscription_ms.to_string());
    command.arg(options.throttles_writes.to_string());
    command
}

fn kinesis_local() -> Command {
    let modules = node::modules("kinesis-local", &[KINESIS_LOCAL]);
    let mut command = node::command("kinesis_local.mjs");
    command.arg(modules);
    command
}

impl StreamServer {
    /// Starts it, or joins the tests that use it already.
    pub(crate) async fn start(kind: Kind) -> Self {
        let start = move || match kind {
            Kind::Ferrokinesis => {
                child::shared(&FERROKINESIS_CHILD, "ferrokinesis", || ferrokinesis(Options::default()))
            }
            Kind::KinesisLocal => child::shared(&KINESIS_LOCAL_CHILD, KINESIS_LOCAL, kinesis_local),
        };
        let child = tokio::task::spawn_blocking(start).await.expect("the server starts");
        Self { kind, child }
    }

    /// A ferrokinesis of its own, for a test that wants another than the others.
    pub(crate) async fn start_with(options: Options) -> Self {
        let start = move || Arc::new(Server::start(ferrokinesis(options), "ferrokinesis"));
        let child = tokio::task::spawn_blocking(start).await.expect("the server starts");
        Self { kind: Kind::Ferrokinesis, child }
    }

    /// One more owner of it.
    pub(crate) fn share(&self) -> Self {
        Self { kind: self.kind, child: self.child.clone() }
    }

    pub(crate) fn url(&self) -> String {
        self.child.url()
    }

    /// About the largest record that it takes and gives back. kinesis-local takes ten MiB, and never gives them back.
    pub(crate) fn record_max(&self) -> usize {
        match self.kind {
            Kind::Ferrokinesis => 1_048_576,
            Kind::KinesisLocal => 10_485_000,
        }
    }

    /// Another client than the one under test, which tries each call once.
    pub(crate) fn client(&self) -> Client {
        client_at(&self.url())
    }

    /// A new stream of its own for each test, with so many shards.
    pub(crate) async fn stream(&self, shards: i32) -> Stream {
        let number = NEXT_STREAM.fetch_add(1, Ordering::Relaxed);
        let name = format!("seam-{}-{number}", std::process::id());
        Stream::create(self.client(), name, shards, self.to_string()).await
    }
}

/// A client of any endpoint, which tries each call once.
pub(crate) fn client_at(url: &str) -> Client {
    let config = dynamodb::config(RetryConfig::disabled()).endpoint_url(url).build();
    Client::new(&config)
}

/// A stream and its leases, as the program reaches them.
pub(crate) fn aws_at(kinesis: &str, dynamodb: &str) -> Aws {
    let endpoints = Endpoints { kinesis: kinesis.to_owned(), dynamodb: dynamodb.to_owned() };
    dynamodb::config(RetryConfig::standard()).service_config(endpoints).build().into()
}

/// What `AWS_ENDPOINT_URL_KINESIS` and `AWS_ENDPOINT_URL_DYNAMODB` would say.
#[derive(Debug)]
struct Endpoints {
    kinesis: String,
    dynamodb: String,
}

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        match (key.env(), key.service_id()) {
            ("AWS_ENDPOINT_URL", "Kinesis") => Some(self.kinesis.clone()),
            ("AWS_ENDPOINT_URL", "DynamoDB") => Some(self.dynamodb.clone()),
            _ => None,
        }
    }
}

/// Makes one test of each case on each server: `on_streams! { ferrokinesis = Ferrokinesis: case, case }`.
macro_rules! on_streams {
    ($($name:ident = $kind:ident: $($case:ident),+ $(,)?;)+) => {
        $(mod $name {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    use crate::support::kinesis::{Kind, StreamServer};
                    super::$case(&StreamServer::start(Kind::$kind).await).await;
                }
            )+
        })+
    };
}

pub(crate) use on_streams;
