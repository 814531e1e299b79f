//! Between a ledger and its table: counts what passes and what it costs, makes it slow, loses answers, and says of
//! single statements that they were throttled.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy, rt::TokioExecutor};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{Duration, sleep},
};
use tributary::aws::Aws;

use super::dynamodb;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It passes.
    Pass,
    /// It is carried out, and the answer is a failure of the server.
    LoseAnswer,
    /// One of so many statements is not carried out and said to have failed with this code.
    FailEvery(usize, &'static str),
    /// No statement is carried out, and all are said to have failed with this code.
    FailAll(&'static str),
}

/// What passed so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Passed {
    pub(crate) requests: u64,
    pub(crate) statements: u64,
    /// As the server bills them.
    pub(crate) read_units: f64,
    /// As the server bills them.
    pub(crate) write_units: f64,
    /// Requests that were under way at the same time, at most.
    pub(crate) at_once_max: u64,
    at_once: u64,
}

type Fates = Arc<dyn Fn(u64) -> Fate + Send + Sync>;

#[derive(Clone)]
struct Wire {
    client: legacy::Client<legacy::connect::HttpConnector, Full<Bytes>>,
    upstream: String,
    latency: Duration,
    fates: Fates,
    passed: Arc<Mutex<Passed>>,
}

impl Wire {
    fn passing<T>(&self, change: impl FnOnce(&mut Passed) -> T) -> T {
        change(&mut self.passed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A running proxy; ends when dropped.
pub(crate) struct Proxy {
    url: String,
    passed: Arc<Mutex<Passed>>,
    _task: JoinSet<()>,
}

impl Proxy {
    /// In front of the server at `upstream`, so far away; `fates` says what happens to the n-th request.
    pub(crate) async fn start(
        upstream: &str,
        latency: Duration,
        fates: impl Fn(u64) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let passed = Arc::<Mutex<Passed>>::default();
        let client = legacy::Client::builder(TokioExecutor::new()).build_http();
        let wire = Wire {
            client,
            upstream: upstream.to_owned(),
            latency,
            fates: Arc::new(fates),
            passed: passed.clone(),
        };
        let router = Router::new().fallback(pass).with_state(wire);
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { url, passed, _task: task }
    }

    /// As the program reaches it.
    pub(crate) fn aws(&self) -> Aws {
        dynamodb::aws_at(&self.url)
    }

    /// What passed since the last look.
    pub(crate) fn take(&self) -> Passed {
        std::mem::take(&mut *self.passed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn pass(State(wire): State<Wire>, request: Request<Body>) -> Response {
    wire.passing(|passed| {
        passed.at_once += 1;
        passed.at_once_max = passed.at_once_max.max(passed.at_once);
    });
    // Also when the client hangs up and this is dropped.
    let _under_way = UnderWay(wire.clone());
    sleep(wire.latency).await;
    forward(&wire, request).await
}

struct UnderWay(Wire);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.passing(|passed| passed.at_once = passed.at_once.saturating_sub(1));
    }
}

async fn forward(wire: &Wire, request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a whole request").to_bytes();
    let mut body: Value = serde_json::from_slice(&body).expect("JSON");
    body["ReturnConsumedCapacity"] = json!("TOTAL");
    let nth = wire.passing(|passed| {
        passed.requests += 1;
        passed.requests - 1
    });
    let fate = (wire.fates)(nth);
    let failed = match fate {
        Fate::FailEvery(every, _) => take_every(&mut body, every),
        Fate::FailAll(code) => {
            let statements = body["Statements"].as_array().map_or(0, Vec::len);
            return json!({"Responses": vec![failure(code); statements]}).to_string().into_response();
        }
        Fate::Pass | Fate::LoseAnswer => Vec::new(),
    };
    let mut forwarded = Request::post(&wire.upstream);
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH) {
        forwarded = forwarded.header(name, value);
    }
    let forwarded = forwarded.body(Full::from(body.to_string())).expect("a request");
    let Ok(answer) = wire.client.request(forwarded).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let (mut head, answer) = answer.into_parts();
    let Ok(answer) = answer.collect().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let mut answer: Value = serde_json::from_slice(&answer.to_bytes()).expect("JSON");
    count(wire, &body, &answer);
    match fate {
        Fate::LoseAnswer => {
            let said = json!({"__type": "InternalServerError", "message": "scripted"}).to_string();
            return (StatusCode::INTERNAL_SERVER_ERROR, said).into_response();
        }
        Fate::FailEvery(_, code) => {
            for at in failed {
                let responses = answer["Responses"].as_array_mut().expect("responses");
                responses.insert(at, failure(code));
            }
        }
        Fate::Pass | Fate::FailAll(_) => {}
    }
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.remove("x-amz-crc32");
    Response::from_parts(head, Body::from(answer.to_string()))
}

fn failure(code: &str) -> Value {
    json!({"Error": {"Code": code, "Message": "scripted"}})
}

/// Takes statements out of a request, but never all of them; their places, in rising order.
fn take_every(body: &mut Value, every: usize) -> Vec<usize> {
    let Some(statements) = body["Statements"].as_array_mut() else { return Vec::new() };
    let taken: Vec<_> = (1..statements.len()).filter(|at| at % every == 0).collect();
    for at in taken.iter().rev() {
        statements.remove(*at);
    }
    taken
}

fn count(wire: &Wire, asked: &Value, answer: &Value) {
    let statements = asked["Statements"].as_array().map_or(&[][..], Vec::as_slice);
    let reads =
        statements.iter().any(|it| it["Statement"].as_str().is_some_and(|it| it.starts_with("SELECT")));
    let capacity = &answer["ConsumedCapacity"];
    let capacity = capacity.as_array().map_or(std::slice::from_ref(capacity), Vec::as_slice);
    let units: f64 = capacity.iter().filter_map(|it| it["CapacityUnits"].as_f64()).sum();
    wire.passing(|passed| {
        passed.statements += statements.len() as u64;
        *if reads { &mut passed.read_units } else { &mut passed.write_units } += units;
    });
}
