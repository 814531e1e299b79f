//! Serves HTTP/1 on one listener until told to stop, and owns every connection while it does.
//!
//! In: a bound listener and an [`Endpoint`]. Out: nothing; a panic in a connection is raised again here.
//! Built on hyper itself, because an endpoint must be able to hang up without any answer at all ([`Hangup`]).

use std::{future::Future, pin::pin, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{self, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::tasks::joined;

/// Connections served at once; more wait in the listener's own queue.
const CONNECTIONS_MAX: usize = 1024;
/// How long requests under way may take to end once the endpoint stops.
const DRAIN: Duration = Duration::from_secs(5);
/// A body too large is read this far and thrown away, so that the client can finish sending and read its answer.
const DISCARD_BYTES_MAX: usize = 64 << 20;

/// The connection is closed without an answer: on purpose, or because the peer went away.
#[derive(Debug, thiserror::Error)]
#[error("connection closed without an answer")]
pub(super) struct Hangup;

/// What an endpoint says, if it says anything.
pub(super) type Answer = Result<Response<Full<Bytes>>, Hangup>;

/// Answers requests, each on its connection's task.
pub(super) trait Endpoint: Send + Sync + 'static {
    /// Answers one request. A wait inside ends early when `stop` does.
    fn answer(
        &self,
        request: Request<Incoming>,
        stop: &CancellationToken,
    ) -> impl Future<Output = Answer> + Send;
}

/// Accepts until `stop`, then lets requests under way finish within [`DRAIN`].
pub(super) async fn serve<E: Endpoint>(listener: TcpListener, endpoint: Arc<E>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(ended) = connections.join_next() => { joined(Some(ended)); }
            Some((stream, place)) = accept(&listener, &places) => {
                let connection = connection(stream, Arc::clone(&endpoint), stop.clone());
                connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
        }
    }
    drop(listener);
    let drained = time::timeout(DRAIN, async {
        while let Some(ended) = connections.join_next().await {
            joined(Some(ended));
        }
    });
    if drained.await.is_err() {
        connections.shutdown().await;
    }
}

/// A place first, a connection second: what is accepted is served.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            warn!(%error, "could not accept a connection");
            // Out of file descriptors, most likely: a pause keeps this from being a hot loop.
            time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn connection<E: Endpoint>(stream: TcpStream, endpoint: Arc<E>, stop: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "could not turn off delayed sending");
    }
    let service = service_fn(|request| endpoint.answer(request, &stop));
    let mut served = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        debug!(%error, "connection ended early");
    }
}

/// A request body, or that it was larger than allowed.
pub(super) enum Read {
    /// All of it.
    Whole(Bytes),
    /// It was read to its end and dropped.
    TooLarge,
}

/// Reads a body of at most `bytes_max` bytes.
///
/// # Errors
/// [`Hangup`] when the peer goes away or sends beyond all reason.
pub(super) async fn read_body(mut body: Incoming, bytes_max: usize) -> Result<Read, Hangup> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut whole = Bytes::new();
    let mut parts = BytesMut::new();
    let mut total = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame.map_err(|_| Hangup)?.into_data() else { continue };
        total = total.saturating_add(part.len());
        if total > DISCARD_BYTES_MAX {
            return Err(Hangup);
        }
        if total > bytes_max {
            (whole, parts) = (Bytes::new(), BytesMut::new());
        } else if total == part.len() {
            whole = part;
        } else {
            if parts.is_empty() {
                parts.reserve(announced.clamp(total, bytes_max));
                parts.extend_from_slice(&whole);
            }
            parts.extend_from_slice(&part);
        }
    }
    if total > bytes_max {
        return Ok(Read::TooLarge);
    }
    Ok(Read::Whole(if parts.is_empty() { whole } else { parts.freeze() }))
}

/// An answer with a JSON body.
pub(super) fn json(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Whether a request is of this method and path.
pub(super) fn is<B>(request: &Request<B>, method: &Method, path: &str) -> bool {
    request.method() == method && request.uri().path() == path
}

/// Serialises what cannot fail to serialise: our own types, with string keys only.
pub(super) fn to_json<T: serde::Serialize>(value: &T) -> Vec<u8> {
    let mut body = Vec::with_capacity(256);
    match serde_json::to_writer(&mut body, value) {
        Ok(()) => body,
        Err(_) => b"{}".to_vec(),
    }
}

/// Runs work that blocks, to its end even if nobody waits any more. Its panic is raised here.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Hangup> {
    joined(Some(tokio::task::spawn_blocking(work).await)).ok_or(Hangup)
}
