//! The processes of the benchmark: the local endpoints, the service, the producer.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    ops::Range,
    process::{Child, Command, Stdio},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_tributary");
const CHANNEL_ARN: &str =
    "arn:aws:cloudtrail:us-east-1:111122223333:channel/01234567-89ab-cdef-0123-456789abcdef";
/// Clock ticks of `/proc/PID/stat` in a second, on every Linux that there is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Sends the events with the program's own producer.
pub(crate) fn fill(local: &Process, events: Range<u64>, events_per_message: u64) {
    let mut producer = Command::new(PROGRAM)
        .args(["enqueue", "-", "--events-per-message", &events_per_message.to_string()])
        .args(["--queue-url", &local.queue_url("events")])
        .envs(local.environment.clone())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the producer starts");
    let mut lines = producer.stdin.take().expect("a pipe");
    for body in bodies(events, 1) {
        writeln!(lines, "{body}").expect("the producer reads");
    }
    drop(lines);
    assert!(producer.wait().expect("the producer ends").success(), "the producer could not send");
}

/// The events, so many to a body, one to a line.
pub(crate) fn bodies(events: Range<u64>, events_per_body: u64) -> impl Iterator<Item = String> {
    let end = events.end;
    let event = |number: u64| RECORD.replace("NUMBER", &format!("{number:012}"));
    let step = usize::try_from(events_per_body).expect("a small number");
    events.step_by(step).map(move |first| {
        let these = first..end.min(first + events_per_body);
        these.map(event).collect::<Vec<_>>().join("\n")
    })
}

/// A child that ends with the benchmark.
pub(crate) struct Process {
    child: Child,
    environment: Vec<(String, String)>,
    port: u16,
}

impl Process {
    pub(crate) fn local() -> Self {
        let mut child = pinned(1, PROGRAM)
            .args(["local", "--json", "--sqs-listen", "127.0.0.1:0", "--lake-listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the local endpoints start");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut line).expect("a line");
        let said: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let environment = said["environment"].as_object().expect("variables");
        let environment =
            environment.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or("").to_owned()));
        Self { child, environment: environment.collect(), port: 0 }
    }

    pub(crate) fn service(local: &Self, more: &[(&str, String)]) -> Self {
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let mut command = pinned(0, PROGRAM);
        command
            .arg("run")
            .envs(local.environment.clone())
            .env("TRIBUTARY_SOURCE_QUEUE_URL", local.queue_url("events"))
            .env("TRIBUTARY_DEAD_LETTER_QUEUE_URL", local.queue_url("events-dlq"))
            .env("TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN", CHANNEL_ARN)
            // The quota of 100 is AWS's; the local lake has none.
            .env("TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND", "10000")
            .env("TRIBUTARY_SERVICE_LISTEN", format!("127.0.0.1:{port}"))
            .envs(more.iter().map(|(name, value)| (*name, value.as_str())));
        if more.iter().any(|(name, _)| *name == "TRIBUTARY_STREAM_ARN") {
            command.env_remove("TRIBUTARY_SOURCE_QUEUE_URL");
        }
        let child = command.stderr(Stdio::null()).spawn().expect("the service starts");
        Self { child, environment: Vec::new(), port }
    }

    fn queue_url(&self, name: &str) -> String {
        let endpoint = self.environment.iter().find(|(variable, _)| variable == "AWS_ENDPOINT_URL_SQS");
        format!("{}/000000000000/{name}", endpoint.expect("an endpoint").1)
    }

    /// 0 until the service answers.
    pub(crate) fn published(&self) -> u64 {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return 0 };
        let mut text = String::new();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        if stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut text)).is_err() {
            return 0;
        }
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("tributary_published_total{destination=\"lake\"} "));
        line.and_then(|count| count.parse().ok()).unwrap_or(0)
    }

    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // The name before it may hold spaces.
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
        Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
    }

    /// A line of `/proc/PID/status`.
    pub(crate) fn megabytes(&self, name: &str) -> Option<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok()? / 1_000.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A program, on one core where that can be asked for.
pub(crate) fn pinned(core: usize, program: &str) -> Command {
    if pins() {
        let mut command = Command::new("taskset");
        command.args(["-c", &core.to_string(), program]);
        return command;
    }
    Command::new(program)
}

pub(crate) fn pins() -> bool {
    let tried = Command::new("taskset").args(["-c", "1", "true"]).stderr(Stdio::null()).status();
    tried.is_ok_and(|status| status.success())
}

const RECORD: &str = r#"{"eventVersion":"1.11","userIdentity":{"type":"AssumedRole","principalId":"AROAEXAMPLE:session","arn":"arn:aws:sts::111122223333:assumed-role/example/session","accountId":"111122223333","accessKeyId":"ASIAEXAMPLE","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAEXAMPLE","arn":"arn:aws:iam::111122223333:role/example","accountId":"111122223333","userName":"example"},"attributes":{"creationDate":"2026-01-02T03:00:00Z","mfaAuthenticated":"false"}}},"eventTime":"2026-01-02T03:04:05Z","eventSource":"s3.amazonaws.com","eventName":"PutObject","awsRegion":"us-east-1","sourceIPAddress":"198.51.100.7","userAgent":"aws-cli/2.30","requestParameters":{"bucketName":"example-bucket","key":"folder/NUMBER.json"},"responseElements":null,"requestID":"NUMBER-request","eventID":"01234567-89ab-cdef-0123-NUMBER","readOnly":false,"eventType":"AwsApiCall","managementEvent":false,"recipientAccountId":"111122223333","eventCategory":"Data"}"#;
