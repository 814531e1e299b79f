//! `DeleteMessageBatch` and `ChangeMessageVisibilityBatch`: in tens, several at once, every `Failed` entry read.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use aws_sdk_sqs::{
    Client,
    types::{
        ChangeMessageVisibilityBatchRequestEntry as VisibilityEntry,
        DeleteMessageBatchRequestEntry as DeleteEntry,
    },
};
use tokio::{task::JoinSet, time::sleep};

use crate::{
    aws::{Failure, Reached, failure, sqs::of_entry},
    failure::is_throttling,
    intervals::Intervals,
    limits,
    tasks::joined,
};

/// Tries of one entry. A message that cannot be deleted comes again and is recognised as a duplicate.
const TRIES_MAX: u32 = 3;
/// Calls at once.
const CALLS_MAX: usize = 16;

/// Which call.
#[derive(Clone, Copy)]
pub(crate) enum Call {
    Delete,
    ChangeVisibility,
}

/// One entry of a call.
pub(crate) struct Entry<T> {
    pub(crate) receipt_handle: String,
    /// The new visibility; not used to delete.
    pub(crate) seconds: u64,
    /// What the caller knows it by.
    pub(crate) of: T,
}

/// Calls for all entries. One result for each, in any order.
pub(crate) async fn in_batches<T: Send + Sync + 'static>(
    client: &Client,
    queue_url: &str,
    call: Call,
    entries: Vec<Entry<T>>,
) -> Vec<(Entry<T>, Result<(), Failure>)> {
    let mut results = Vec::with_capacity(entries.len());
    let mut entries = entries.into_iter().peekable();
    if entries.len() <= limits::SQS_BATCH_MAX {
        return batch(client.clone(), queue_url.to_owned(), call, entries.collect()).await;
    }
    let mut calls = JoinSet::new();
    while entries.peek().is_some() {
        let ten = entries.by_ref().take(limits::SQS_BATCH_MAX).collect();
        if calls.len() >= CALLS_MAX {
            results.extend(joined(calls.join_next().await).unwrap_or_default());
        }
        calls.spawn(batch(client.clone(), queue_url.to_owned(), call, ten));
    }
    while let Some(ended) = calls.join_next().await {
        results.extend(joined(Some(ended)).unwrap_or_default());
    }
    results
}

async fn batch<T: Send + Sync>(
    client: Client,
    queue_url: String,
    call: Call,
    mut waiting: Vec<Entry<T>>,
) -> Vec<(Entry<T>, Result<(), Failure>)> {
    let mut intervals = Intervals::new(Duration::from_millis(100), Duration::from_secs(1));
    let mut ended = Vec::with_capacity(waiting.len());
    for tries in 1..=TRIES_MAX {
        if waiting.is_empty() {
            break;
        }
        let answer = call_once(&client, &queue_url, call, &waiting).await;
        let mut again = Vec::new();
        for (at, entry) in waiting.into_iter().enumerate() {
            match outcome(&answer, at) {
                Ok(()) => ended.push((entry, Ok(()))),
                Err(failure) if tries < TRIES_MAX && may_pass(&failure) => again.push(entry),
                Err(failure) => ended.push((entry, Err(failure))),
            }
        }
        waiting = again;
        if !waiting.is_empty() {
            sleep(intervals.next_interval()).await;
        }
    }
    ended
}

/// An answer that blames us stays the same when asked again.
fn may_pass(failure: &Failure) -> bool {
    match failure.reached {
        Reached::NothingByOurFault => false,
        Reached::Nothing | Reached::Unknown => true,
        Reached::Answer(status) => {
            status >= 500 || is_throttling(&failure.code) || failure.code == "InternalError"
        }
    }
}

/// An answer, by the entries' positions.
struct Answer {
    successful: HashSet<String>,
    failed: HashMap<String, Failure>,
}

/// What the answer says about one entry. Silence is no success: the entry is tried again.
fn outcome(answer: &Result<Answer, Failure>, at: usize) -> Result<(), Failure> {
    let Answer { successful, failed } = answer.as_ref().map_err(Clone::clone)?;
    let id = at.to_string();
    match failed.get(&id) {
        Some(failure) => Err(failure.clone()),
        None if successful.contains(&id) => Ok(()),
        None => Err(Failure {
            reached: Reached::Unknown,
            code: "unmentioned".to_owned(),
            message: "the answer omits this entry".to_owned(),
        }),
    }
}

async fn call_once<T>(
    client: &Client,
    queue_url: &str,
    call: Call,
    entries: &[Entry<T>],
) -> Result<Answer, Failure> {
    let (successful, failed) = match call {
        Call::Delete => {
            let entries = entries.iter().enumerate().map(|(at, entry)| {
                DeleteEntry::builder().id(at.to_string()).receipt_handle(&entry.receipt_handle).build()
            });
            let entries = entries.collect::<Result<Vec<_>, _>>().map_err(not_built)?;
            let answer =
                client.delete_message_batch().queue_url(queue_url).set_entries(Some(entries)).send().await;
            let answer = answer.map_err(|error| failure(&error))?;
            (answer.successful.into_iter().map(|entry| entry.id).collect(), answer.failed)
        }
        Call::ChangeVisibility => {
            let entries = entries.iter().enumerate().map(|(at, entry)| {
                let seconds = i32::try_from(entry.seconds).unwrap_or(i32::MAX);
                let built = VisibilityEntry::builder().id(at.to_string()).visibility_timeout(seconds);
                built.receipt_handle(&entry.receipt_handle).build()
            });
            let entries = entries.collect::<Result<Vec<_>, _>>().map_err(not_built)?;
            let call = client.change_message_visibility_batch().queue_url(queue_url);
            let answer = call.set_entries(Some(entries)).send().await;
            let answer = answer.map_err(|error| failure(&error))?;
            (answer.successful.into_iter().map(|entry| entry.id).collect(), answer.failed)
        }
    };
    Ok(Answer { successful, failed: failed.into_iter().map(of_entry).collect() })
}

fn not_built(error: impl std::fmt::Display) -> Failure {
    Failure {
        reached: Reached::NothingByOurFault,
        code: "invalid_request".to_owned(),
        message: error.to_string(),
    }
}
