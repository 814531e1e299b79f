//! A queue as a target. In: its URL, from arguments, configuration or environment, and messages. Out: what SQS says of
//! each of them.
//!
//! A call succeeds as a whole while single entries fail: each entry of the answer is read.
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>

use std::collections::HashMap;

use aws_sdk_sqs::types::SendMessageBatchRequestEntry;

use super::target::{Entry, NotTaken};
use crate::{
    aws::{self, Aws, Failure, Reached, sqs::class_of},
    cli::ConfigFile,
    command::CommandError,
    config::{RawConfig, is_fifo, keys, kinds::Kind as _, process_environment},
    failure::CallError,
};

/// A queue, and a client for it.
#[derive(Clone)]
pub(crate) struct Queue {
    pub(crate) client: aws_sdk_sqs::Client,
    pub(crate) url: String,
    /// For a FIFO queue.
    pub(crate) group: Option<String>,
}

/// The queue of `--queue-url`, or else of the configuration.
///
/// # Errors
/// Neither names a valid one.
pub(in crate::command) fn url(given: Option<&str>, file: &ConfigFile) -> Result<String, CommandError> {
    let key = &keys::SOURCE_QUEUE_URL;
    if let Some(url) = given {
        let parsed = key.kind.parse(url);
        return parsed
            .map_err(|wrong| CommandError::Usage(format!("--queue-url {}; {}", wrong.what, wrong.cure)));
    }
    let raw = RawConfig::read(file.config.as_deref(), process_environment());
    raw.get(key).ok_or_else(|| {
        let text = if raw.get(&keys::STREAM_ARN).is_some() {
            "the configuration names a stream, and a backfill goes to a queue; give --queue-url URL"
        } else {
            "no valid queue is named; give --queue-url URL, --config FILE, or TRIBUTARY_SOURCE_QUEUE_URL"
        };
        CommandError::Usage(text.into())
    })
}

/// The queue with a client for it; `group` is for a FIFO queue.
pub(in crate::command) async fn target(queue_url: String, group: &str) -> Queue {
    let client = match local_endpoint(&queue_url) {
        Some(endpoint) => Aws::local(endpoint, endpoint).sqs(&queue_url),
        None => Aws::from_environment().await.sqs(&queue_url),
    };
    let group = is_fifo(&queue_url).then(|| group.to_owned());
    Queue { client, url: queue_url, group }
}

/// A queue on this machine is spoken to directly, unless the environment names an endpoint: the SDK would take the
/// URL to AWS.
fn local_endpoint(queue_url: &str) -> Option<&str> {
    let is_named = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let host_at = queue_url.find("://")? + 3;
    let end = host_at + queue_url[host_at..].find('/')?;
    let host = &queue_url[host_at..end];
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_local = ["127.0.0.1", "localhost", "[::1]"].contains(&name);
    (is_local && !is_named("AWS_ENDPOINT_URL_SQS") && !is_named("AWS_ENDPOINT_URL"))
        .then(|| &queue_url[..end])
}

pub(super) fn is_of_the_message(code: &str) -> bool {
    OF_THE_MESSAGE.contains(&code)
}

/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>, and what the
/// service says of a message that is too long.
const OF_THE_MESSAGE: [&str; 5] = [
    "InvalidMessageContents",
    "InvalidParameterValue",
    "MessageTooLong",
    "BatchRequestTooLong",
    "AWS.SimpleQueueService.BatchRequestTooLong",
];

impl Queue {
    pub(super) fn trouble(&self, failure: Failure) -> CallError {
        class_of(failure, &self.url, "sqs:SendMessage")
    }

    pub(super) async fn call(&self, entries: &[Entry]) -> Result<Vec<Result<(), NotTaken>>, Failure> {
        let invalid = |message: String| Failure {
            reached: Reached::NothingByOurFault,
            code: "invalid_request".into(),
            message,
        };
        let entry = |(position, entry): (usize, &Entry)| {
            let body =
                std::str::from_utf8(&entry.message.body).map_err(|error| invalid(error.to_string()))?;
            let mut request =
                SendMessageBatchRequestEntry::builder().id(position.to_string()).message_body(body);
            if let Some(group) = &self.group {
                request = request.message_group_id(group).message_deduplication_id(entry.id.to_string());
            }
            request.build().map_err(|error| invalid(error.to_string()))
        };
        let requests = entries.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
        let request = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(requests));
        let output = request.send().await.map_err(|error| aws::failure(&error))?;
        let taken = output.successful.into_iter().map(|entry| (entry.id, Ok(())));
        let failed = output.failed.into_iter().map(|entry| {
            let is_final = entry.sender_fault && is_of_the_message(&entry.code);
            (entry.id, Err(NotTaken { code: entry.code, is_final }))
        });
        let mut answers: HashMap<_, _> = failed.chain(taken).collect();
        let mut answer = |position: usize| answers.remove(&position.to_string());
        let unmentioned = || Err(NotTaken::unmentioned());
        Ok((0..entries.len()).map(|position| answer(position).unwrap_or_else(unmentioned)).collect())
    }
}
