//! The demo's producer: a mix such as a real queue brings.
//!
//! Native CloudTrail records, lake events, several events in one message, copies, and events that nobody can
//! publish, each with a reason of its own.

use std::{collections::BTreeMap, error::Error, fmt::Write};

use aws_sdk_sqs::{Client, types::SendMessageBatchRequestEntry};
use fastrand::Rng;
use tokio::task::JoinSet;

use crate::{aws::Aws, failure::Reason, limits, tasks::joined};

/// Batches on their way at once.
const CALLS_MAX: usize = 8;
/// Shares of the mix, in percent.
const DUPLICATES: u64 = 5;
const INVALID: u64 = 2;
const LAKE_EVENTS: u64 = 20;
/// Every so many messages, one holds an array of events.
const ARRAY_EVERY: u64 = 10;
const ARRAY_EVENTS: usize = 20;

/// What was sent, and what must become of it.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) messages: u64,
    pub(super) unique: u64,
    pub(super) duplicates: u64,
    /// By the code of the reason that they must be dead-lettered with.
    pub(super) invalid: BTreeMap<String, u64>,
}

type SendError = Box<dyn Error + Send + Sync>;

/// What a producer that cannot send says.
#[derive(Debug, thiserror::Error)]
#[error("could not send to the local queue")]
pub(super) struct ProducerError(#[source] SendError);

/// Sends `events` events.
pub(super) async fn send(aws: &Aws, queue_url: &str, events: u64, seed: u64) -> Result<Sent, ProducerError> {
    let client = aws.sqs(queue_url);
    let mut mix = Mix { rng: Rng::with_seed(seed), sent: Sent::default(), past: Vec::new() };
    let mut calls = JoinSet::new();
    while mix.sent.deliveries() < events {
        let mut bodies = Vec::with_capacity(limits::SQS_BATCH_MAX);
        while bodies.len() < limits::SQS_BATCH_MAX && mix.sent.deliveries() < events {
            bodies.push(mix.message(events));
        }
        if calls.len() >= CALLS_MAX {
            joined(calls.join_next().await).transpose().map_err(ProducerError)?;
        }
        calls.spawn(send_batch(client.clone(), queue_url.to_owned(), bodies));
    }
    while let Some(ended) = calls.join_next().await {
        joined(Some(ended)).transpose().map_err(ProducerError)?;
    }
    Ok(mix.sent)
}

async fn send_batch(client: Client, queue_url: String, bodies: Vec<String>) -> Result<(), SendError> {
    let entries = bodies.into_iter().enumerate().map(|(at, body)| {
        SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(body).build()
    });
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    let answer = client.send_message_batch().queue_url(queue_url).set_entries(Some(entries)).send().await?;
    match answer.failed().first() {
        None => Ok(()),
        Some(failed) => Err(format!("the queue refused a message: {}", failed.code()).into()),
    }
}

struct Mix {
    rng: Rng,
    sent: Sent,
    /// Some events sent before, to be sent again.
    past: Vec<String>,
}

impl Mix {
    fn message(&mut self, events: u64) -> String {
        self.sent.messages += 1;
        let left = usize::try_from(events - self.sent.deliveries()).unwrap_or(usize::MAX);
        if self.rng.u64(0..ARRAY_EVERY) > 0 || left < ARRAY_EVENTS {
            return self.one();
        }
        let events: Vec<_> = (0..ARRAY_EVENTS).map(|_| self.good()).collect();
        match self.rng.u8(0..3) {
            0 => format!("[{}]", events.join(",")),
            1 => format!("{{\"Records\":[{}]}}", events.join(",")),
            _ => events.join("\n"),
        }
    }

    fn one(&mut self) -> String {
        match self.rng.u64(0..100) {
            share if share < INVALID => self.invalid(),
            share if share < INVALID + DUPLICATES && !self.past.is_empty() => {
                self.sent.duplicates += 1;
                self.past[self.rng.usize(..self.past.len())].clone()
            }
            _ => self.good(),
        }
    }

    fn good(&mut self) -> String {
        self.sent.unique += 1;
        let event = if self.rng.u64(0..100) < LAKE_EVENTS {
            lake_event(&mut self.rng)
        } else {
            record(&mut self.rng)
        };
        if self.past.len() < 1_000 {
            self.past.push(event.clone());
        }
        event
    }

    fn invalid(&mut self) -> String {
        let id = uuid(&mut self.rng);
        let (reason, body) = match self.rng.u8(0..5) {
            0 => (Reason::NotJson, format!("{{\"eventID\":\"{id}\",")),
            1 => (Reason::UnknownFormat, format!("{{\"hello\":\"{id}\"}}")),
            2 => (
                Reason::DuplicateKey,
                record(&mut self.rng).replacen('{', "{\"eventName\":\"PutObject\",", 1),
            ),
            3 => (Reason::BadTime, record(&mut self.rng).replace("\"2026-", "\"the year 2026-")),
            _ => (Reason::NotAnObject, format!("\"{id}\"")),
        };
        *self.sent.invalid.entry(reason.code().to_owned()).or_default() += 1;
        body
    }
}

fn uuid(rng: &mut Rng) -> String {
    uuid::Builder::from_random_bytes(rng.u128(..).to_be_bytes()).into_uuid().to_string()
}

/// A native record, about 1 kB; one in seven breaks the lake's schema as real ones do.
fn record(rng: &mut Rng) -> String {
    let (id, request_id, second) = (uuid(rng), uuid(rng), rng.u32(0..86_400));
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let source = match rng.u8(0..7) {
        0 => "cloudformation.amazonaws.com".to_owned(),
        _ => format!("198.51.100.{}", rng.u8(..)),
    };
    let name = rng
        .choice(["PutObject", "GetObject", "AssumeRole", "CreateUser", "ConsoleLogin"])
        .unwrap_or("PutObject");
    let key: String = (0..8).fold(String::new(), |mut key, _| {
        // Writing to a string cannot fail.
        write!(key, "{:08x}/", rng.u32(..)).unwrap_or_default();
        key
    });
    format!(
        r#"{{"eventVersion":"1.11","userIdentity":{{"type":"AssumedRole","principalId":"AROAEXAMPLE:demo","arn":"arn:aws:sts::111122223333:assumed-role/demo/session","accountId":"111122223333","sessionContext":{{"attributes":{{"creationDate":"2026-01-02T03:04:05Z","mfaAuthenticated":"false"}}}}}},"eventTime":"2026-01-02T{hour:02}:{minute:02}:{second:02}Z","eventSource":"s3.amazonaws.com","eventName":"{name}","awsRegion":"us-east-1","sourceIPAddress":"{source}","userAgent":"aws-cli/2.30 demo","requestParameters":{{"bucketName":"example-bucket","key":"{key}"}},"responseElements":null,"requestID":"{request_id}","eventID":"{id}","readOnly":false,"eventType":"AwsApiCall","managementEvent":false,"recipientAccountId":"111122223333","eventCategory":"Data"}}"#
    )
}

fn lake_event(rng: &mut Rng) -> String {
    let id = uuid(rng);
    format!(
        r#"{{"version":"1.0","userIdentity":{{"type":"User","principalId":"alice","details":{{"team":"payments"}}}},"eventSource":"ledger.example.com","eventName":"ApproveTransfer","eventTime":"2026-01-02T03:04:05Z","UID":"{id}","requestParameters":{{"amount":12345678901234567890,"currency":"EUR"}},"sourceIPAddress":"2001:db8::1"}}"#
    )
}
