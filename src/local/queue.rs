//! A small SQS: standard queues, for a first try, the demo and the tests. In: SQS's AWS JSON 1.0 protocol. Out: the same.
//!
//! Source: <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/>. What is not offered answers
//! `UnsupportedOperation` and says so.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hyper::{Request, StatusCode, body::Incoming, header::HeaderValue};
use tokio_util::sync::CancellationToken;

use super::{
    LocalError, LocalOptions,
    disk::Disk,
    serve::{self, Answer, Endpoint, Hangup, Read},
};

mod attributes;
mod fault;
mod messages;
mod operations;
mod receive;
mod send;
mod settle;
mod store;
mod wire;

use fault::{Code, Fault};
use store::Store;

/// A batch of 1 MiB, with every character escaped as JSON's `\uXXXX` where UTF-8 needs two bytes, and more.
const BODY_BYTES_MAX: usize = 8 << 20;
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// All queues.
pub(super) struct Queues {
    /// `http://127.0.0.1:<port>`, for the URLs of queues.
    base_url: String,
    on_disk: bool,
    store: Mutex<Store>,
}

impl Queues {
    /// The queues on disk, if there is a disk, and those that the options name.
    pub(super) fn open(
        options: &LocalOptions,
        base_url: String,
        disk: Option<Arc<Disk>>,
    ) -> Result<Self, LocalError> {
        let on_disk = disk.is_some();
        let mut store = Store::open(options.region.clone(), options.queue_bytes_max, disk)?;
        for spec in &options.queues {
            let made = operations::create_spec(&mut store, spec);
            made.map_err(|fault| LocalError::Queue { name: spec.name.clone(), problem: fault.message })?;
        }
        Ok(Self { base_url, on_disk, store: Mutex::new(store) })
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs what may wait for the disk where waiting harms nobody, and to its end even if the client goes away.
    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, Hangup> {
        if !self.on_disk {
            return Ok(work(self));
        }
        let queues = Arc::clone(self);
        serve::blocking(move || work(&queues)).await
    }
}

/// The queues as they are reached from outside.
pub(super) struct QueueEndpoint(pub(super) Arc<Queues>);

impl Endpoint for QueueEndpoint {
    async fn answer(&self, request: Request<Incoming>, stop: &CancellationToken) -> Answer {
        let (head, body) = request.into_parts();
        let body = serve::read_body(body, BODY_BYTES_MAX).await?;
        let operation = head.headers.get("x-amz-target").and_then(|target| target.to_str().ok());
        let operation = operation.and_then(|target| target.strip_prefix("AmazonSQS.")).unwrap_or_default();
        let outcome = match body {
            Read::TooLarge => Err(Fault::new(Code::BatchRequestTooLong, "the request is too large")),
            Read::Whole(body) if operation == "ReceiveMessage" => {
                receive::receive(&self.0, &body, stop).await?
            }
            Read::Whole(body) => {
                let operation = operation.to_owned();
                self.0.run(move |queues| operations::answer(queues, &operation, &body)).await?
            }
        };
        Ok(outcome.map_or_else(
            |fault| {
                let mut response = serve::json(fault.status(), CONTENT_TYPE, fault.body());
                if let Ok(code) = HeaderValue::from_str(&fault.query_code()) {
                    response.headers_mut().insert("x-amzn-query-error", code);
                }
                response
            },
            |body| serve::json(StatusCode::OK, CONTENT_TYPE, body),
        ))
    }
}

/// Milliseconds of Unix time.
fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
