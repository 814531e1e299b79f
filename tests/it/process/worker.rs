//! The service as a child process.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::scrape::Scrape;

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The longest wait for anything: long enough for a busy machine, short enough to be noticed.
const PATIENCE: Duration = Duration::from_mins(1);
/// Parts of the events that tests send.
const PAYLOAD: &[&str] = &[
    "nus/",
    "a-bucket",
    "xxxxxxxx",
    "yyyyyyyy",
    "alice",
    "AROA",
    "because because",
    "no JSON, number",
    "hello",
];
const LAST_LINES: usize = 15;

/// Settings that let tests be short: as quick as the bounds of the configuration allow.
const QUICK: &[(&str, &str)] = &[
    ("TRIBUTARY_DEDUPE_LEASE", "10s"),
    ("TRIBUTARY_BATCH_LINGER", "50ms"),
    ("TRIBUTARY_DESTINATIONS_LAKE_REQUEST_TIMEOUT", "4s"),
    ("TRIBUTARY_SERVICE_DRAIN_TIMEOUT", "9s"),
    ("TRIBUTARY_SERVICE_LISTEN", "127.0.0.1:0"),
    ("TRIBUTARY_LOG_FORMAT", "json"),
    // More lines, in none of which a payload may be.
    ("TRIBUTARY_LOG_FILTER", "info,tributary=debug"),
];

/// The same, of a queue alone.
const QUICK_QUEUE: &[(&str, &str)] =
    &[("TRIBUTARY_SOURCE_VISIBILITY", "10s"), ("TRIBUTARY_SOURCE_WAIT", "1s")];
/// What names a stream in place of a queue.
pub(super) const STREAM_ARN: &str = "TRIBUTARY_STREAM_ARN";

/// A running `tributary run`. Dropped, it is killed.
pub(crate) struct Worker {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
    http: Client<hyper_util::client::legacy::connect::HttpConnector, Empty<Bytes>>,
    listen: SocketAddr,
}

/// How a process ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) took: Duration,
    pub(crate) log: String,
}

impl Worker {
    /// Starts the service and waits until it says where it listens.
    pub(crate) async fn start(environment: &[(String, String)]) -> Self {
        Self::spawn(environment).started().await
    }

    async fn started(mut self) -> Self {
        let started = self.until("the service says that it has started", async |worker: &Self| {
            let lines = worker.lines();
            let line = lines.iter().find(|line| line["message"] == "started")?;
            line["listen"].as_str()?.parse().ok()
        });
        self.listen = started.await;
        self
    }

    /// Starts the service, no file of which may grow beyond so many blocks of 512 bytes. The signal that would end a
    /// process at its limit is ignored, so that it sees an error, as on a full disk. [`Self::lift_limit`] ends that.
    pub(crate) async fn start_limited(environment: &[(String, String)], blocks: u32) -> Self {
        let script = format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_tributary"), "run"]);
        Self::spawn_as(command, environment).started().await
    }

    /// The disk has room again.
    pub(crate) fn lift_limit(&self) {
        let id = self.id().to_string();
        let done = Command::new("prlimit").args(["--pid", &id, "--fsize=unlimited"]).status();
        assert!(done.expect("prlimit runs (Debian: apt-get install util-linux)").success());
    }

    /// Starts the service, which may end at once.
    pub(crate) fn spawn(environment: &[(String, String)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command.arg("run");
        Self::spawn_as(command, environment)
    }

    fn spawn_as(mut command: Command, environment: &[(String, String)]) -> Self {
        let is_stream = environment.iter().any(|(name, _)| name == STREAM_ARN);
        let of_queue = QUICK_QUEUE.iter().filter(|_| !is_stream);
        let mut child = command
            .env_clear()
            .envs(QUICK.iter().chain(of_queue).copied())
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let stderr = child.stderr.take().expect("a pipe");
        let lines = Arc::new(Mutex::new(Vec::new()));
        let reader = std::thread::spawn({
            let lines = lines.clone();
            move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
                }
            }
        });
        let http = Client::builder(TokioExecutor::new()).build_http();
        Self { child, lines, reader: Some(reader), http, listen: SocketAddr::from(([127, 0, 0, 1], 0)) }
    }

    /// Its log lines so far.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| line.clone().into())).collect()
    }

    fn assert_no_payload_in_log(&self) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines.iter() {
            let found = PAYLOAD.iter().find(|part| line.contains(**part));
            assert!(found.is_none(), "payload in a log line: {line}");
        }
    }

    fn last_lines(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The answer of a health endpoint; `None` while there is none.
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        let request = Request::get(format!("http://{}{path}", self.listen)).body(Empty::new()).ok()?;
        let answer = timeout(Duration::from_secs(5), async {
            let response = self.http.request(request).await.ok()?;
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.ok()?.to_bytes();
            Some((status, String::from_utf8_lossy(&body).into_owned()))
        });
        answer.await.ok().flatten()
    }

    /// One look at all numbers, in which the law must hold.
    pub(crate) async fn scrape(&self) -> Scrape {
        // The endpoint answers a moment before the pipeline has told of its destinations.
        let text = self
            .until("/metrics tells of the pipeline", async |worker: &Self| {
                let (_, text) = worker.get("/metrics").await?;
                text.contains("tributary_received_total{destination=\"none\"}").then_some(text)
            })
            .await;
        let scrape = Scrape::new(&text);
        scrape.assert_balanced();
        scrape
    }

    /// Waits until `look` finds something; fails with `what` and the last log lines.
    pub(crate) async fn until<T>(&self, what: &str, look: impl AsyncFnMut(&Self) -> Option<T>) -> T {
        self.until_within(PATIENCE, what, look).await
    }

    /// As [`Worker::until`], for what takes longer by design.
    pub(crate) async fn until_within<T>(
        &self,
        patience: Duration,
        what: &str,
        mut look: impl AsyncFnMut(&Self) -> Option<T>,
    ) -> T {
        let started = Instant::now();
        while started.elapsed() < patience {
            if let Some(found) = look(self).await {
                return found;
            }
            sleep(LOOK_EVERY).await;
        }
        let ready = self.get("/readyz").await;
        panic!(
            "not within {} s: {what}\n/readyz: {ready:?}\nlast log lines:\n{}",
            patience.as_secs(),
            self.last_lines()
        );
    }

    /// Waits until `/readyz` says yes.
    pub(crate) async fn until_ready(&self) {
        self.until("/readyz is 200", async |worker: &Self| {
            worker.get("/readyz").await.filter(|(status, _)| *status == 200)
        })
        .await;
    }

    /// Waits until `/readyz` says no and names `cause`. Returns its words.
    pub(crate) async fn until_not_ready(&self, cause: &str) -> String {
        self.until(&format!("/readyz is 503 and names {cause}"), async |worker: &Self| {
            let (status, text) = worker.get("/readyz").await?;
            (status == 503 && text.contains(cause)).then_some(text)
        })
        .await
    }

    /// `kill -9`, and gone when this returns.
    pub(crate) async fn kill(mut self) -> Ended {
        self.child.kill().expect("a child can be killed");
        self.ended().await
    }

    /// SIGTERM.
    pub(crate) fn tell_to_stop(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill runs").success());
    }

    /// SIGTERM, and the way it ended.
    pub(crate) async fn stop(self) -> Ended {
        self.tell_to_stop();
        self.ended().await
    }

    /// Waits until the process has ended.
    pub(crate) async fn ended(mut self) -> Ended {
        let started = Instant::now();
        let status: ExitStatus = loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                break status;
            }
            assert!(
                started.elapsed() < PATIENCE,
                "the process does not end; last log lines:\n{}",
                self.last_lines()
            );
            sleep(LOOK_EVERY).await;
        };
        let took = started.elapsed();
        if let Some(reader) = self.reader.take() {
            reader.join().expect("stderr was read");
        }
        self.assert_no_payload_in_log();
        Ended { code: status.code(), took, log: self.last_lines() }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Already ended in the good case.
        let _ended = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            #[expect(
                clippy::print_stderr,
                reason = "what the service said belongs to the failed test's output"
            )]
            {
                eprintln!("last log lines of the service:\n{}", self.last_lines());
            }
        }
    }
}
