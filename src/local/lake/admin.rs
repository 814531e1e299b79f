//! The lake's admin API under `/lake/`: counts, listings, faults. In: plain HTTP. Out: JSON.

use std::sync::Arc;

use axum::extract::Query;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Incoming};
use serde::Serialize;
use uuid::Uuid;

use super::{Lake, report::EventQuery};
use crate::{
    failure::chain,
    local::{
        DiskError, Faults,
        serve::{self, Answer, Hangup, Read},
    },
};

/// A request body here is a small object.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Answers one admin request.
pub(super) async fn answer(lake: &Arc<Lake>, request: Request<Incoming>) -> Answer {
    let (head, body) = request.into_parts();
    let body = serve::read_body(body, BODY_BYTES_MAX).await?;
    let path = head.uri.path();
    if let Some(id) = path.strip_prefix("/lake/events/") {
        return match Uuid::try_parse(id) {
            Ok(id) if head.method == Method::GET => event(lake, id).await,
            Ok(_) => Ok(problem(StatusCode::METHOD_NOT_ALLOWED, "an event can only be read")),
            Err(_) => Ok(problem(StatusCode::BAD_REQUEST, "an event id is a UUID")),
        };
    }
    match (&head.method, path) {
        (&Method::GET, "/lake/status") => Ok(found(&lake.status())),
        (&Method::GET, "/lake/events") => match Query::<EventQuery>::try_from_uri(&head.uri) {
            Ok(Query(query)) => events(lake, query).await,
            Err(error) => Ok(problem(StatusCode::BAD_REQUEST, &error.body_text())),
        },
        (&Method::PUT, "/lake/faults") => Ok(set_faults(lake, &body)),
        (&Method::DELETE, "/lake/faults") => {
            lake.set_faults(Faults::default());
            Ok(found(&lake.status()))
        }
        (&Method::POST, "/lake/clear") => clear(lake).await,
        _ => Ok(problem(
            StatusCode::NOT_FOUND,
            "offered are GET /lake/status, GET /lake/events, GET /lake/events/{eventID}, PUT and DELETE /lake/faults, POST /lake/clear",
        )),
    }
}

async fn events(lake: &Arc<Lake>, query: EventQuery) -> Answer {
    read(lake.run(move |lake| lake.state().store.page(&query)).await)
}

async fn event(lake: &Arc<Lake>, id: Uuid) -> Answer {
    let found = lake.run(move |lake| lake.state().store.find(id)).await;
    if matches!(found, Ok(Ok(None))) {
        return Ok(problem(StatusCode::NOT_FOUND, "no event with this id is kept"));
    }
    read(found)
}

async fn clear(lake: &Arc<Lake>) -> Answer {
    read(lake.run(|lake| lake.clear().map(|()| lake.status())).await)
}

fn read<T: Serialize>(outcome: Result<Result<T, DiskError>, Hangup>) -> Answer {
    Ok(match outcome? {
        Ok(value) => found(&value),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, &chain(&error)),
    })
}

fn set_faults(lake: &Lake, body: &Read) -> Response<Full<Bytes>> {
    let Read::Whole(body) = body else {
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large");
    };
    let faults = match serde_json::from_slice::<Faults>(body) {
        Ok(faults) => faults,
        Err(error) => return problem(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    if let Err(error) = faults.check() {
        return problem(StatusCode::BAD_REQUEST, &error.to_string());
    }
    lake.set_faults(faults);
    found(&lake.status())
}

fn found<T: Serialize>(value: &T) -> Response<Full<Bytes>> {
    let mut body = serve::to_json(value);
    body.push(b'\n');
    serve::json(StatusCode::OK, "application/json", body)
}

fn problem(status: StatusCode, message: &str) -> Response<Full<Bytes>> {
    let mut body = serve::to_json(&serde_json::json!({ "message": message }));
    body.push(b'\n');
    serve::json(status, "application/json", body)
}
