//! A tiny HTTP server that answers as a test tells it: for answers that no honest server gives.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
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

type Script = Arc<dyn Fn(&Call) -> Answer + Send + Sync>;

/// The running server; ends when dropped.
pub(crate) struct Scripted {
    url: String,
    calls: Arc<Mutex<Vec<Call>>>,
    _task: JoinSet<()>,
}

impl Scripted {
    /// Answers each call as `script` says.
    pub(crate) async fn start(script: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let calls = Arc::<Mutex<Vec<Call>>>::default();
        let state: (Script, _) = (Arc::new(script), calls.clone());
        let router = Router::new().fallback(answer).with_state(state);
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, router).await.expect("served") });
        Self { url, calls, _task: task }
    }

    /// As the program reaches it.
    pub(crate) fn aws(&self) -> Aws {
        Aws::local(&self.url, &self.url)
    }

    /// Where it listens.
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

async fn answer(
    State((script, calls)): State<(Script, Arc<Mutex<Vec<Call>>>)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let target = headers.get("x-amz-target").and_then(|target| target.to_str().ok()).unwrap_or_default();
    let action = target.rsplit('.').next().unwrap_or_default().to_owned();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let call = {
        let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        let nth = calls.iter().filter(|call| call.action == action).count();
        let call = Call { action, body, nth };
        calls.push(call.clone());
        call
    };
    let (status, json) = script(&call);
    let status = StatusCode::from_u16(status).expect("a status");
    let code = json["__type"].as_str().unwrap_or_default().to_owned();
    let content_type = if target.is_empty() { "application/json" } else { "application/x-amz-json-1.0" };
    let head = [(header::CONTENT_TYPE.as_str(), content_type), ("x-amzn-errortype", &code)];
    (status, head, json.to_string()).into_response()
}
