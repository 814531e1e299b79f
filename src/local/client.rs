//! A client for the lake's admin API. In: the lake's base URL. Out: what the lake answers, or an error that says
//! how to start one.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::time;

use super::{
    Faults,
    lake::{EventPage, EventQuery, LakeEvent, LakeStatus},
};

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A page of the largest events, with room to spare.
const ANSWER_BYTES_MAX: usize = 512 << 20;

/// Talks to the admin API of a local lake.
#[derive(Clone)]
pub struct LakeClient {
    base_url: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

/// Why the lake's answer is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum LakeClientError {
    /// Not a URL of the form `http://host:port`.
    #[error("{0} is no lake URL; the form is http://HOST:PORT")]
    Url(String),
    /// Nobody listens there, or it stopped answering.
    #[error("no lake answers at {url}; start one with `tributary local`")]
    Unreachable {
        /// The lake's base URL.
        url: String,
        /// What happened.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The lake said no.
    #[error("the lake at {url} answered {status}: {message}")]
    Refused {
        /// The lake's base URL.
        url: String,
        /// Its HTTP status.
        status: u16,
        /// Its sentence.
        message: String,
    },
    /// Something answers there that is no lake.
    #[error("what answers at {url} is no local lake")]
    Foreign {
        /// The base URL.
        url: String,
        /// What could not be read.
        source: serde_json::Error,
    },
}

impl LakeClient {
    /// For the lake at `base_url`, for example `http://127.0.0.1:9325`. Connects at the first call.
    ///
    /// # Errors
    /// [`LakeClientError::Url`].
    pub fn new(base_url: &str) -> Result<Self, LakeClientError> {
        let base_url = base_url.trim_end_matches('/').to_owned();
        let is_http = base_url.parse::<Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http"));
        if !is_http {
            return Err(LakeClientError::Url(base_url));
        }
        Ok(Self { base_url, http: Client::builder(TokioExecutor::new()).build_http() })
    }

    /// Counts, faults and limits.
    ///
    /// # Errors
    /// [`LakeClientError`], as of all calls here.
    pub async fn status(&self) -> Result<LakeStatus, LakeClientError> {
        self.call(Method::GET, "/lake/status", Bytes::new()).await
    }

    /// One page of stored events.
    pub async fn events(&self, query: &EventQuery) -> Result<EventPage, LakeClientError> {
        self.call(Method::GET, &format!("/lake/events?{}", query_string(query)), Bytes::new()).await
    }

    /// The event with this event id, if it is kept.
    pub async fn event(&self, event_id: &str) -> Result<Option<LakeEvent>, LakeClientError> {
        let path = format!("/lake/events/{}", encode(event_id));
        match self.call(Method::GET, &path, Bytes::new()).await {
            Ok(event) => Ok(Some(event)),
            Err(LakeClientError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes the lake misbehave; [`Faults::default`] ends it.
    pub async fn set_faults(&self, faults: &Faults) -> Result<LakeStatus, LakeClientError> {
        self.call(Method::PUT, "/lake/faults", super::serve::to_json(faults).into()).await
    }

    /// Forgets every event and every count.
    pub async fn clear(&self) -> Result<LakeStatus, LakeClientError> {
        self.call(Method::POST, "/lake/clear", Bytes::new()).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, LakeClientError> {
        let url = self.base_url.clone();
        let unreachable = |source| LakeClientError::Unreachable { url: url.clone(), source };
        let request = Request::builder()
            .method(method)
            .uri(format!("{url}{path}"))
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|_| LakeClientError::Url(url.clone()))?;
        let answer = time::timeout(TIMEOUT, async {
            let response = self.http.request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
            Ok((status, body))
        });
        let (status, body) =
            answer.await.map_err(|error| unreachable(error.into()))?.map_err(&unreachable)?;
        if status != StatusCode::OK {
            let message = serde_json::from_slice::<Problem>(&body).map(|problem| problem.message);
            return Err(LakeClientError::Refused {
                url,
                status: status.as_u16(),
                message: message.unwrap_or_default(),
            });
        }
        serde_json::from_slice(&body).map_err(|source| LakeClientError::Foreign { url, source })
    }
}

#[derive(Deserialize)]
struct Problem {
    message: String,
}

fn query_string(query: &EventQuery) -> String {
    let mut pairs = Vec::new();
    if let Ok(serde_json::Value::Object(members)) = serde_json::to_value(query) {
        for (key, value) in members {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            pairs.push(format!("{key}={}", encode(&value)));
        }
    }
    pairs.join("&")
}

/// Percent-encodes all but the unreserved characters of RFC 3986, section 2.3.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            encoded.extend([
                '%',
                char::from(HEX[usize::from(byte >> 4)]),
                char::from(HEX[usize::from(byte & 15)]),
            ]);
        }
    }
    encoded
}
