//! Which action a request asks for, and those that concern a queue as a whole. In: an action's name and its JSON.
//! Out: the JSON of the answer, or a [`Fault`].

use std::collections::BTreeMap;

use serde::Serialize;
use tokio::time::Instant;

use super::{
    Queues,
    attributes::QueueAttributes,
    fault::{Code, Fault},
    send, settle,
    store::Store,
    wire::{self, read},
};
use crate::local::{ACCOUNT, QueueSpec, serve::to_json};

pub(super) const NO_FIFO: &str = "this local endpoint offers standard queues only";
/// How long after a purge another is refused, in seconds.
const PURGE_SECONDS: u64 = 60;

/// What an action answers with.
pub(super) type Outcome = Result<Vec<u8>, Fault>;

/// Answers any action but `ReceiveMessage`, which may wait.
pub(super) fn answer(queues: &Queues, operation: &str, body: &[u8]) -> Outcome {
    match operation {
        "SendMessage" => send::one(queues, body),
        "SendMessageBatch" => send::batch(queues, body),
        "DeleteMessage" => settle::delete(queues, body),
        "DeleteMessageBatch" => settle::delete_batch(queues, body),
        "ChangeMessageVisibility" => settle::change_visibility(queues, body),
        "ChangeMessageVisibilityBatch" => settle::change_visibility_batch(queues, body),
        "CreateQueue" => create(queues, &read(body)?),
        "DeleteQueue" => delete(queues, &read(body)?),
        "GetQueueAttributes" => get_attributes(queues, &read(body)?),
        "GetQueueUrl" => get_url(queues, &read(body)?),
        "ListQueues" => Ok(list(queues, &read(body)?)),
        "PurgeQueue" => purge(queues, &read(body)?),
        "SetQueueAttributes" => set_attributes(queues, &read(body)?),
        "" => Err(Fault::new(
            Code::UnsupportedOperation,
            "this is a small SQS for first tries and tests; it speaks the JSON protocol (X-Amz-Target: AmazonSQS.…)",
        )),
        _ => Err(Fault::new(
            Code::UnsupportedOperation,
            "this is a small SQS for first tries and tests; it does not offer this action",
        )),
    }
}

/// The name at the end of a queue's URL, whatever host it names.
pub(super) fn name_in(url: &str) -> Result<&str, Fault> {
    let mut parts = url.trim_end_matches('/').rsplit('/');
    let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    if account != ACCOUNT || name.is_empty() {
        let message = format!("a queue's URL here ends in /{ACCOUNT}/NAME");
        return Err(Fault::new(Code::QueueDoesNotExist, message));
    }
    Ok(name)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Url {
    queue_url: String,
}

impl Queues {
    fn url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.base_url)
    }
}

/// Makes a queue that the options name, unless it is on disk already.
pub(super) fn create_spec(store: &mut Store, spec: &QueueSpec) -> Result<(), Fault> {
    let mut attributes = BTreeMap::new();
    if let Some((target, receives_max)) = &spec.dead_letter {
        let policy = serde_json::json!({
            "deadLetterTargetArn": store.arn(target), "maxReceiveCount": receives_max
        });
        attributes.insert("RedrivePolicy".to_owned(), policy.to_string());
    }
    if store.find(&spec.name).is_some() { Ok(()) } else { create_in(store, &spec.name, &attributes) }
}

fn create_in(store: &mut Store, name: &str, named: &BTreeMap<String, String>) -> Result<(), Fault> {
    if name.to_ascii_lowercase().ends_with(".fifo") {
        return Err(Fault::new(Code::InvalidParameterValue, NO_FIFO));
    }
    let is_name = (1..=80).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !is_name {
        let message = "a queue's name has 1 to 80 letters, digits, hyphens and underscores";
        return Err(Fault::new(Code::InvalidParameterValue, message));
    }
    let mut attributes = store.find(name).map(|queue| queue.kept.attributes.clone()).unwrap_or_default();
    let before = attributes.clone();
    attributes.set(named)?;
    if store.find(name).is_none() {
        check_redrive(store, &attributes)?;
        return store.put_queue(name, attributes);
    }
    if attributes != before {
        let message = "a queue of this name exists with other attributes";
        return Err(Fault::new(Code::QueueNameExists, message));
    }
    Ok(())
}

fn check_redrive(store: &Store, attributes: &QueueAttributes) -> Result<(), Fault> {
    let Some(redrive) = &attributes.redrive else { return Ok(()) };
    let exists = store.name_of(&redrive.target).is_some_and(|name| store.find(name).is_some());
    if exists {
        return Ok(());
    }
    let message = "RedrivePolicy names a dead-letter queue that does not exist; make it first";
    Err(Fault::new(Code::InvalidParameterValue, message))
}

fn create(queues: &Queues, request: &wire::Named) -> Outcome {
    create_in(&mut queues.store(), &request.queue_name, &request.attributes)?;
    Ok(to_json(&Url { queue_url: queues.url(&request.queue_name) }))
}

fn delete(queues: &Queues, request: &wire::OfQueue<'_>) -> Outcome {
    queues.store().delete_queue(name_in(&request.queue_url)?)?;
    Ok(b"{}".to_vec())
}

fn get_url(queues: &Queues, request: &wire::Named) -> Outcome {
    queues.store().queue(&request.queue_name)?;
    Ok(to_json(&Url { queue_url: queues.url(&request.queue_name) }))
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Urls {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    queue_urls: Vec<String>,
}

fn list(queues: &Queues, request: &wire::ListQueues) -> Vec<u8> {
    let store = queues.store();
    let named = store.names().filter(|name| name.starts_with(&request.queue_name_prefix));
    to_json(&Urls { queue_urls: named.map(|name| queues.url(name)).collect() })
}

fn purge(queues: &Queues, request: &wire::OfQueue<'_>) -> Outcome {
    let name = name_in(&request.queue_url)?;
    let mut store = queues.store();
    let queue = store.queue(name)?;
    if queue.purged.is_some_and(|purged| purged.elapsed().as_secs() < PURGE_SECONDS) {
        let message = format!("the queue was purged less than {PURGE_SECONDS} seconds ago");
        return Err(Fault::new(Code::PurgeQueueInProgress, message));
    }
    queue.purged = Some(Instant::now());
    store.purge(name)?;
    Ok(b"{}".to_vec())
}

fn set_attributes(queues: &Queues, request: &wire::SetAttributes) -> Outcome {
    let name = name_in(&request.queue_url)?;
    let mut store = queues.store();
    let mut attributes = store.queue(name)?.kept.attributes.clone();
    attributes.set(&request.attributes)?;
    check_redrive(&store, &attributes)?;
    store.put_queue(name, attributes)?;
    Ok(b"{}".to_vec())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, String>,
}

fn get_attributes(queues: &Queues, request: &wire::GetAttributes) -> Outcome {
    let name = name_in(&request.queue_url)?;
    let mut store = queues.store();
    let arn = store.arn(name);
    let queue = store.queue(name)?;
    queue.messages.release(Instant::now());
    let counts = queue.messages.counts();
    let mut all = queue.kept.attributes.show();
    all.extend([
        ("QueueArn", arn),
        ("CreatedTimestamp", queue.kept.created_s.to_string()),
        ("LastModifiedTimestamp", queue.kept.modified_s.to_string()),
        ("ApproximateNumberOfMessages", counts.visible.to_string()),
        ("ApproximateNumberOfMessagesNotVisible", counts.in_flight.to_string()),
        ("ApproximateNumberOfMessagesDelayed", counts.delayed.to_string()),
    ]);
    let wanted = &request.attribute_names;
    let is_wanted = |name: &str| wanted.iter().any(|wanted| wanted == "All" || wanted == name);
    if let Some(unknown) = wanted.iter().find(|wanted| !KNOWN.contains(&wanted.as_str())) {
        let message = format!("there is no attribute {}", unknown.chars().take(64).collect::<String>());
        return Err(Fault::new(Code::InvalidAttributeName, message));
    }
    Ok(to_json(&Shown { attributes: all.into_iter().filter(|(name, _)| is_wanted(name)).collect() }))
}

/// What may be asked for; what a queue here does not have is left out of the answer, as SQS does.
const KNOWN: [&str; 22] = [
    "All",
    "Policy",
    "VisibilityTimeout",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
    "ApproximateNumberOfMessagesDelayed",
    "DelaySeconds",
    "ReceiveMessageWaitTimeSeconds",
    "RedrivePolicy",
    "FifoQueue",
    "ContentBasedDeduplication",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "DeduplicationScope",
    "FifoThroughputLimit",
    "RedriveAllowPolicy",
    "SqsManagedSseEnabled",
];
