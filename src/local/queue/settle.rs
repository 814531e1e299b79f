//! Deleting and hiding what was received, alone or in batches. In: receipt handles. Out: what became of each.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Queues,
    fault::{Code, Fault},
    operations::{Outcome, name_in},
    send::check_ids,
    store::Store,
    wire::{self, BatchOutcome, Done, FailedEntry, read},
};
use crate::{limits, local::serve::to_json};

/// `DeleteMessage`.
pub(super) fn delete(queues: &Queues, body: &[u8]) -> Outcome {
    let queue: wire::OfQueue<'_> = read(body)?;
    let handle: wire::Handle<'_> = read(body)?;
    let name = name_in(&queue.queue_url)?;
    let mut store = queues.store();
    let number = deletable(&mut store, name, &handle.receipt_handle)?;
    store.remove(name, number.as_slice())?;
    Ok(b"{}".to_vec())
}

/// `DeleteMessageBatch`.
pub(super) fn delete_batch(queues: &Queues, body: &[u8]) -> Outcome {
    let batch: wire::Batch<'_, wire::HandleEntry<'_>> = read(body)?;
    check_ids(batch.entries.iter().map(|entry| &*entry.id))?;
    let name = name_in(&batch.queue_url)?;
    let mut outcome =
        BatchOutcome { successful: Vec::with_capacity(batch.entries.len()), failed: Vec::new() };
    let mut numbers = Vec::with_capacity(batch.entries.len());
    let mut store = queues.store();
    store.queue(name)?;
    for entry in &batch.entries {
        match deletable(&mut store, name, &entry.receipt_handle) {
            Ok(number) => {
                numbers.extend(number);
                outcome.successful.push(Done { id: entry.id.to_string() });
            }
            Err(fault) => outcome.failed.push(FailedEntry::new(&entry.id, fault)),
        }
    }
    store.remove(name, &numbers)?;
    drop(store);
    Ok(to_json(&outcome))
}

/// The message that a handle may delete. One that is gone, or was received again since, is none: SQS answers with
/// success then, and deletes nothing.
fn deletable(store: &mut Store, name: &str, handle: &str) -> Result<Option<u64>, Fault> {
    let messages = &store.queue(name)?.messages;
    let handle = messages.handle(handle)?;
    Ok(messages.is_latest(handle).then_some(handle.number))
}

/// `ChangeMessageVisibility`.
pub(super) fn change_visibility(queues: &Queues, body: &[u8]) -> Outcome {
    let queue: wire::OfQueue<'_> = read(body)?;
    let handle: wire::Handle<'_> = read(body)?;
    let name = name_in(&queue.queue_url)?;
    change(&mut queues.store(), name, &handle.receipt_handle, handle.visibility_timeout)?;
    Ok(b"{}".to_vec())
}

/// `ChangeMessageVisibilityBatch`.
pub(super) fn change_visibility_batch(queues: &Queues, body: &[u8]) -> Outcome {
    let batch: wire::Batch<'_, wire::HandleEntry<'_>> = read(body)?;
    check_ids(batch.entries.iter().map(|entry| &*entry.id))?;
    let name = name_in(&batch.queue_url)?;
    let mut outcome =
        BatchOutcome { successful: Vec::with_capacity(batch.entries.len()), failed: Vec::new() };
    let mut store = queues.store();
    store.queue(name)?;
    for entry in &batch.entries {
        match change(&mut store, name, &entry.receipt_handle, entry.visibility_timeout) {
            Ok(()) => outcome.successful.push(Done { id: entry.id.to_string() }),
            Err(fault) => outcome.failed.push(FailedEntry::new(&entry.id, fault)),
        }
    }
    drop(store);
    Ok(to_json(&outcome))
}

fn change(store: &mut Store, name: &str, handle: &str, seconds: Option<i64>) -> Result<(), Fault> {
    let seconds =
        seconds.ok_or_else(|| Fault::new(Code::MissingParameter, "VisibilityTimeout is required"))?;
    let visibility = visibility(seconds)?;
    let queue = store.queue(name)?;
    let now = Instant::now();
    queue.messages.release(now);
    let handle = queue.messages.handle(handle)?;
    queue.messages.change_visibility(handle, visibility, now)?;
    // Shorter or gone: a long poll has to look again.
    queue.arrived.notify_one();
    Ok(())
}

/// A visibility timeout within its bounds.
pub(super) fn visibility(seconds: i64) -> Result<Duration, Fault> {
    let max = limits::SQS_VISIBILITY_SECONDS_MAX;
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds <= max);
    seconds.map(Duration::from_secs).ok_or_else(|| {
        Fault::new(Code::InvalidParameterValue, format!("VisibilityTimeout must be a number from 0 to {max}"))
    })
}
