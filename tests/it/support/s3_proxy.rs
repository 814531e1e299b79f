//! Between a worker and its bucket: breaks connections and denies, as S3 does.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderName, Method, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::{BodyExt, Full};
use hyper::body::Frame;
use hyper_util::{client::legacy, rt::TokioExecutor};
use tokio::{net::TcpListener, task::JoinSet};

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The connection breaks after so many bytes of the answer's body.
    BreakAfter(usize),
    /// It is refused with this code.
    Refuse(u16, &'static str),
    /// It is carried out, and answered with an error as if nobody knew.
    Lose,
    /// It passes.
    Pass,
}

/// A request as a script sees it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// The how-manieth, from 0.
    pub(crate) nth: usize,
    /// Whether an object is to be written.
    pub(crate) is_put: bool,
    /// The `Range` header.
    pub(crate) range: Option<String>,
}

type Script = Arc<dyn Fn(&Asked) -> Fate + Send + Sync>;

#[derive(Clone)]
struct Wire {
    client: legacy::Client<legacy::connect::HttpConnector, Full<Bytes>>,
    upstream: String,
    script: Script,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Wire {
    fn remember(&self, request: &Request<Body>) -> Asked {
        let mut all = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let range = text(request, &header::RANGE);
        let is_put = request.method() == Method::PUT;
        let asked = Asked { nth: all.len(), is_put, range };
        all.push(asked.clone());
        asked
    }
}

fn text(request: &Request<Body>, name: &HeaderName) -> Option<String> {
    request.headers().get(name)?.to_str().ok().map(str::to_owned)
}

/// A running proxy; ends when dropped.
pub(crate) struct Proxy {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    _task: JoinSet<()>,
}

impl Proxy {
    /// In front of the server at `upstream`.
    pub(crate) async fn start(
        upstream: &str,
        script: impl Fn(&Asked) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let client = legacy::Client::builder(TokioExecutor::new()).build_http();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let wire =
            Wire { client, upstream: upstream.to_owned(), script: Arc::new(script), asked: asked.clone() };
        let router = Router::new().fallback(pass).with_state(wire);
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { url, asked, _task: task }
    }

    /// All requests so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn pass(State(wire): State<Wire>, request: Request<Body>) -> Response {
    let asked = wire.remember(&request);
    match (wire.script)(&asked) {
        Fate::Refuse(status, code) => refusal(status, code),
        Fate::BreakAfter(bytes) => forward(&wire, request, Some(bytes)).await,
        Fate::Lose => {
            forward(&wire, request, None).await;
            refusal(500, "InternalError")
        }
        Fate::Pass => forward(&wire, request, None).await,
    }
}

fn refusal(status: u16, code: &str) -> Response {
    let said =
        format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>scripted</Message></Error>");
    let status = StatusCode::from_u16(status).expect("a status");
    (status, said).into_response()
}

async fn forward(wire: &Wire, request: Request<Body>, break_after: Option<usize>) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a whole request").to_bytes();
    let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
    let mut forwarded = Request::builder().method(head.method).uri(format!("{}{path}", wire.upstream));
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != header::CONTENT_LENGTH) {
        forwarded = forwarded.header(name, value);
    }
    let forwarded = forwarded.body(Full::from(body)).expect("a request");
    let Ok(answer) = wire.client.request(forwarded).await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let (head, answer) = answer.into_parts();
    let Ok(answer) = answer.collect().await else { return StatusCode::BAD_GATEWAY.into_response() };
    let answer = answer.to_bytes();
    match break_after.filter(|bytes| *bytes < answer.len()) {
        None => Response::from_parts(head, Body::from(answer)),
        Some(bytes) => {
            Response::from_parts(head, Body::new(Cut(vec![None, None, Some(answer.slice(..bytes))])))
        }
    }
}

/// A body that ends in a broken connection. From the last to the first: what is sent, and pauses in which it leaves.
struct Cut(Vec<Option<Bytes>>);

impl hyper::body::Body for Cut {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.0.pop() {
            Some(Some(bytes)) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(None) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(Some(Err(Broken))),
        }
    }
}

#[derive(Debug)]
struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("scripted")
    }
}

impl std::error::Error for Broken {}
