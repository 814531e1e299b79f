//! What an orchestrator asks: `/livez`, `/readyz`, `/metrics`.
//!
//! In: the gate and the metrics. Out: plain HTTP. Alive means that the process answers; ready means that nothing
//! keeps it from its work, and if something does, the answer names it and its cure.

use std::{collections::BTreeMap, io, net::SocketAddr, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use crate::{gate::Gate, metrics::Metrics};

/// What the answers are made from.
#[derive(Clone)]
pub struct Health {
    /// Why the worker is not ready.
    pub gate: Arc<Gate>,
    /// Every number.
    pub metrics: Arc<Metrics>,
}

/// Binds the address.
///
/// # Errors
/// The address is taken, or not ours.
pub async fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(addr).await
}

/// Answers until it is dropped.
///
/// # Errors
/// The listener failed.
pub async fn serve(listener: TcpListener, health: Health) -> io::Result<()> {
    let router = Router::new()
        .route("/livez", get(async || "alive\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health);
    axum::serve(listener, router).await
}

async fn ready(State(health): State<Health>) -> impl IntoResponse {
    let causes: BTreeMap<_, _> =
        health.gate.causes().into_iter().map(|(cause, why)| (cause.to_string(), why)).collect();
    if causes.is_empty() {
        return (StatusCode::OK, "ready\n".to_owned());
    }
    let lines = causes.iter().map(|(cause, why)| format!("{cause}: {why}\n"));
    (StatusCode::SERVICE_UNAVAILABLE, format!("not ready\n{}", lines.collect::<String>()))
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], health.metrics.render())
}
