//! Sends parcels, a bounded number at a time, and remembers what was confirmed. In: [`Parcel`]s. Out: an [`Ending`],
//! and a checkpoint that says no more than SQS did.

use tokio::{sync::mpsc, task::JoinSet};

use super::{
    Parcel,
    checkpoint::{Checkpoint, CheckpointFile},
    in_order::InOrder,
    summary::Progress,
};
use crate::{
    aws::Failure,
    command::{
        CommandError,
        enqueue::{
            send::{self, NotSent, Sent},
            target::Target,
        },
    },
    intervals::Intervals,
    output,
    tasks::joined,
};

/// How sending ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// There were no more parcels.
    All,
    /// Ctrl-C or SIGTERM. What was on its way has ended.
    Interrupted,
    /// A message was not confirmed after many tries: what comes after it must not be forgotten.
    GaveUp,
    /// No call will succeed.
    Refused(Failure),
}

/// Sends the parcels of one run.
pub(super) struct Delivery {
    pub(super) target: Target,
    concurrency: usize,
    file: CheckpointFile,
    pub(super) checkpoint: Checkpoint,
    progress: Progress,
    /// How long to wait before a batch is tried again.
    intervals: fn() -> Intervals,
    /// Messages that SQS has confirmed in this run.
    pub(super) messages: u64,
    /// Messages that SQS will never take.
    pub(super) refused_messages: u64,
    /// Objects and bytes before this run.
    pub(super) before: (u64, u64),
}

/// What ended: the number of a parcel, the parcel without its messages, and what became of those.
type Ended = (u64, Parcel, Sent);

impl Delivery {
    pub(super) fn new(
        target: Target,
        concurrency: usize,
        file: CheckpointFile,
        checkpoint: Checkpoint,
        noun: &'static str,
    ) -> Self {
        let concurrency = if target.keeps_order() { 1 } else { concurrency };
        let before = (checkpoint.objects, checkpoint.bytes);
        let progress = Progress::new(noun, before);
        Self {
            target,
            concurrency,
            file,
            checkpoint,
            progress,
            intervals: send::intervals,
            messages: 0,
            refused_messages: 0,
            before,
        }
    }

    /// Sends until there is no more, or until told to stop; then waits for the calls that are in flight. A second
    /// signal does not wait. `signal` waits for one.
    ///
    /// # Errors
    /// The checkpoint cannot be written.
    pub(super) async fn run(
        &mut self,
        parcels: &mut mpsc::Receiver<Parcel>,
        mut signal: impl AsyncFnMut(),
    ) -> Result<Ending, CommandError> {
        let mut calls: JoinSet<Ended> = JoinSet::new();
        let mut in_order = InOrder::new();
        let mut ending = None;
        let mut number = 0;
        while ending.is_none() || !calls.is_empty() {
            let may_start = ending.is_none() && calls.len() < self.concurrency;
            tokio::select! {
                () = signal() => match ending {
                    // Also after the last parcel: what is not confirmed is not all.
                    None | Some(Ending::All) => ending = Some(Ending::Interrupted),
                    Some(_) => break,
                },
                parcel = parcels.recv(), if may_start => match parcel {
                    Some(parcel) => {
                        self.start(&mut calls, number, parcel);
                        number += 1;
                    }
                    None => ending = Some(Ending::All),
                },
                ended = calls.join_next(), if !calls.is_empty() => {
                    if let Some(ended) = joined(ended) {
                        ending = self.ended(&mut in_order, ended).await?.or(ending);
                    }
                }
            }
        }
        self.progress.clear();
        Ok(ending.unwrap_or(Ending::All))
    }

    fn start(&self, calls: &mut JoinSet<Ended>, number: u64, mut parcel: Parcel) {
        let (target, intervals) = (self.target.clone(), (self.intervals)());
        calls.spawn(async move {
            let batch = std::mem::take(&mut parcel.batch);
            if batch.is_empty() {
                return (number, parcel, Sent::default());
            }
            let sent = send::send(&target, batch, intervals).await;
            (number, parcel, sent)
        });
    }

    /// Counts what became of a parcel. Only one that needs no second try lets the checkpoint move on.
    async fn ended(
        &mut self,
        in_order: &mut InOrder<Parcel>,
        (number, parcel, sent): Ended,
    ) -> Result<Option<Ending>, CommandError> {
        self.messages += sent.messages;
        let mut gave_up = false;
        for NotSent { message, code, is_final } in sent.failed {
            self.refused_messages += u64::from(is_final);
            gave_up |= !is_final;
            let place = output::visible(&message.file);
            let line = if message.line > 0 { format!(":{}", message.line) } else { String::new() };
            self.progress.note(format_args!("not sent: {place}{line}: {code}"));
        }
        if let Some(failure) = sent.refused {
            return Ok(Some(Ending::Refused(failure)));
        }
        if gave_up {
            return Ok(Some(Ending::GaveUp));
        }
        let done = in_order.ended(number, parcel);
        let moves = done.iter().any(|parcel| parcel.after.is_some());
        for Parcel { after, objects, bytes, .. } in done {
            self.checkpoint.objects += objects;
            self.checkpoint.bytes += bytes;
            self.checkpoint.after = after.or(self.checkpoint.after.take());
        }
        if moves {
            self.save().await?;
        }
        self.progress.tell(&self.checkpoint, self.messages);
        Ok(None)
    }

    /// Nothing is left.
    pub(super) async fn finish(&mut self) -> Result<(), CommandError> {
        self.checkpoint.is_finished = true;
        self.save().await
    }

    /// On a thread where it may wait for the disk.
    async fn save(&self) -> Result<(), CommandError> {
        let (file, checkpoint) = (self.file.clone(), self.checkpoint.clone());
        let mut saving = JoinSet::new();
        saving.spawn_blocking(move || file.write(&checkpoint));
        joined(saving.join_next().await).unwrap_or(Ok(()))
    }
}

#[cfg(test)]
mod tests;
