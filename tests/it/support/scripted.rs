//! A tiny HTTP server that answers as a test tells it: for answers that no honest server gives.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Request, StatusCode, header},
    response::{IntoResponse, Response},
};
use http_body_util::Full;
use hyper_util::{client::legacy, rt::TokioExecutor};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tributary::aws::Aws;

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The action, for example `DeleteMessageBatch`; empty where the protocol names none.
    pub(crate) action: String,
    /// The request's JSON.
    pub(crate) body: Value,
    /// How many calls of this action came before.
    pub(crate) nth: usize,
}

impl Call {
    /// The entries of a batch call of SQS.
    pub(crate) fn entries(&self) -> &[Value] {
        self.body["Entries"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The answer that all entries but some were dealt with. `failing` says with which code an entry fails and
    /// whether that is the sender's fault.
    pub(crate) fn outcome(&self, failing: impl Fn(&Value) -> Option<(&'static str, bool)>) -> Answer {
        let (mut successful, mut failed) = (Vec::new(), Vec::new());
        for entry in self.entries() {
            let id = &entry["Id"];
            match failing(entry) {
                None => successful.push(json!({"Id": id, "MessageId": "m", "MD5OfMessageBody": "x"})),
                Some((code, is_senders)) => {
                    failed.push(
                        json!({"Id": id, "Code": code, "SenderFault": is_senders, "Message": "scripted"}),
                    );
                }
            }
        }
        (200, json!({"Successful": successful, "Failed": failed}))
    }
}

/// An HTTP status and JSON.
pub(crate) type Answer = (u16, Value);

type Script = Arc<dyn Fn(&Call) -> Option<Answer> + Send + Sync>;

/// What a request meets.
#[derive(Clone)]
struct Behind {
    script: Script,
    calls: Arc<Mutex<Vec<Call>>>,
    /// Who answers where the script does not.
    server: Option<String>,
    client: legacy::Client<legacy::connect::HttpConnector, Full<Bytes>>,
}

/// The running server; ends when dropped.
pub(crate) struct Scripted {
    url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    _task: JoinSet<()>,
}

impl Scripted {
    /// Answers each call as `script` says.
    pub(crate) async fn start(script: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        Self::serve(Arc::new(move |call| Some(script(call))), None).await
    }

    /// Answers as `script` says, and lets a real server answer where it says nothing.
    pub(crate) async fn before(
        server: &str,
        script: impl Fn(&Call) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Arc::new(script), Some(server.to_owned())).await
    }

    async fn serve(script: Script, server: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let client = legacy::Client::builder(TokioExecutor::new()).build_http();
        let state = Behind { script, calls: calls.clone(), server, client };
        let router = Router::new().fallback(answer).with_state(state);
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { url, calls, _task: task }
    }

    /// As the program reaches it.
    pub(crate) fn aws(&self) -> Aws {
        Aws::local(&self.url, &self.url)
    }

    /// `http://127.0.0.1:<port>`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The URL of a queue here.
    pub(crate) fn queue_url(&self) -> String {
        format!("{}/000000000000/scripted", self.url)
    }

    /// The calls of one action, in order.
    pub(crate) fn calls(&self, action: &str) -> Vec<Call> {
        let calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.iter().filter(|call| call.action == action).cloned().collect()
    }
}

async fn answer(State(behind): State<Behind>, headers: HeaderMap, bytes: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let action = target.rsplit('.').next().unwrap_or_default().to_owned();
    let body = serde_json::from_slice(&bytes).unwrap_or_default();
    let call = {
        let mut calls = behind.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = calls.iter().filter(|call| call.action == action).count();
        let call = Call { action, body, nth };
        calls.push(call.clone());
        call
    };
    let Some((status, json)) = (behind.script)(&call) else {
        return pass(&behind, &headers, bytes).await.unwrap_or(StatusCode::BAD_GATEWAY.into_response());
    };
    let status = StatusCode::from_u16(status).expect("a status");
    let code = json["__type"].as_str().unwrap_or_default().to_owned();
    let content_type = if target.is_empty() { "application/json" } else { "application/x-amz-json-1.0" };
    let head = [(header::CONTENT_TYPE.as_str(), content_type), ("x-amzn-errortype", &code)];
    (status, head, json.to_string()).into_response()
}

/// The real server's answer.
async fn pass(behind: &Behind, headers: &HeaderMap, bytes: Bytes) -> Option<Response> {
    let mut request = Request::post(behind.server.as_ref()?);
    request.headers_mut()?.clone_from(headers);
    let answer = behind.client.request(request.body(Full::from(bytes)).ok()?).await.ok()?;
    Some(answer.map(Body::new))
}
