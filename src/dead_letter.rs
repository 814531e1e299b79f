//! The side exit, dead letter. In: deliveries that can never be published. Next: settle.
//!
//! A message is acked only once the dead-letter queue has confirmed the letter. While letters cannot be stored, the
//! deliveries wait here, kept alive by the source, and intake stops.

mod letter;
mod overflow;
pub mod sqs;

pub use letter::Letter;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::{
    breaker::Breaker,
    failure::{CallError, Reason, Rejection},
    gate::{Cause, Gate},
    intervals::Intervals,
    metrics::Metrics,
    pipeline::Shutdown,
    receive::Delivery,
    settle::Proof,
};

/// Letters of one call to the adapter, which splits them as its service demands.
const LETTERS_MAX: usize = 100;
/// Tries to store a letter before its message is given back.
const TRIES_MAX: u32 = 8;
/// A letter that does not fit its queue comes again until an operator sees to it, or a queue's own redrive policy moves
/// its message: no sooner than this, so that an operator can still read the log first.
const TOO_LARGE_AGAIN_AFTER: Duration = Duration::from_mins(5);
/// For a letter that could not be stored in several tries.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Why a letter was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Even packed, and with the fewest words, the letter is larger than the queue takes.
    #[error("the letter has {bytes} bytes and the queue takes {bytes_max}")]
    TooLarge {
        /// Of the smallest letter that holds the whole payload.
        bytes: usize,
        /// What the queue takes.
        bytes_max: usize,
    },
    /// The call failed, or the answer to this letter was an error.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Where letters are kept.
#[async_trait]
pub trait DeadLetter: Send + Sync + 'static {
    /// `Ok` only once the letter is durable. One result for each, in the same order.
    async fn store(&self, letters: &[Letter]) -> Vec<Result<(), StoreError>>;
}

/// Proof that the dead-letter queue holds the event.
#[derive(Debug)]
pub struct DeadLettered(Reason);

impl DeadLettered {
    pub(crate) fn reason(&self) -> Reason {
        self.0
    }
}

/// The stage.
pub struct DeadLetters {
    /// Where letters are kept.
    pub letters: Arc<dyn DeadLetter>,
    /// Closed while letters cannot be stored; held by the breaker.
    pub gate: Arc<Gate>,
    /// Learns how many there are.
    pub breaker: Arc<Breaker>,
    /// Counts letters by reason.
    pub metrics: Arc<Metrics>,
}

/// A delivery with its letter.
struct Posting {
    delivery: Delivery<Rejection>,
    letter: Letter,
    tries: u32,
}

impl DeadLetters {
    /// Runs until `rejected` is closed and empty. What waits for a cure is returned when the process is told to stop,
    /// the rest after it has given up.
    pub async fn run(self, mut rejected: mpsc::UnboundedReceiver<Delivery<Rejection>>, shutdown: Shutdown) {
        loop {
            let mut arrived = Vec::new();
            if rejected.recv_many(&mut arrived, LETTERS_MAX).await == 0 {
                return;
            }
            for _ in &arrived {
                self.breaker.saw_bad();
            }
            let postings = arrived.into_iter().map(Posting::new).collect();
            // Dropping the unfinished work returns it.
            shutdown.give_up.run_until_cancelled(self.store_all(postings, &shutdown.stop)).await;
        }
    }

    async fn store_all(&self, mut waiting: Vec<Posting>, stop: &CancellationToken) {
        let mut calls = Intervals::for_calls();
        let mut operators = Intervals::for_operators();
        loop {
            let is_held = self.gate.is_closed_by(&Cause::Breaker);
            if is_held && stop.run_until_cancelled(self.gate.cured(&Cause::Breaker)).await.is_none() {
                return;
            }
            waiting.retain(|posting| posting.delivery.origin.deadline.at() > Instant::now());
            if waiting.is_empty() {
                return;
            }
            let letters: Vec<_> = waiting.iter().map(|posting| posting.letter.clone()).collect();
            let results = self.letters.store(&letters).await;
            assert_eq!(results.len(), letters.len(), "a dead-letter queue answers for each letter");
            let misconfigured = results.iter().find_map(|result| match result {
                Err(StoreError::Call(error @ CallError::Misconfigured { .. })) => Some(error.to_string()),
                _ => None,
            });
            waiting = waiting
                .into_iter()
                .zip(results)
                .filter_map(|(posting, result)| self.end(posting, result))
                .collect();
            if let Some(why) = misconfigured {
                self.gate.close(Cause::DeadLetters, why);
                if stop.run_until_cancelled(sleep(operators.next_interval())).await.is_none() {
                    return;
                }
            } else {
                self.gate.open(&Cause::DeadLetters);
                if !waiting.is_empty() {
                    sleep(calls.next_interval()).await;
                }
            }
        }
    }

    /// Settles the delivery, or gives it back to the caller for another try.
    fn end(&self, mut posting: Posting, result: Result<(), StoreError>) -> Option<Posting> {
        let Letter { event_id, message_id, position, reason, .. } = &posting.letter;
        let reason = *reason;
        match result {
            Ok(()) => {
                let stage = reason.stage().name();
                warn!(stage, reason = reason.code(), event_id, message_id, position, "dead-lettered");
                self.metrics.process.dead_letter(reason);
                posting.delivery.receipt.ack(Proof::DeadLettered(DeadLettered(reason)));
                None
            }
            Err(StoreError::Call(CallError::Misconfigured { .. })) => Some(posting),
            Err(StoreError::TooLarge { bytes, bytes_max }) => {
                error!(
                    reason = reason.code(),
                    event_id,
                    message_id,
                    position,
                    bytes,
                    bytes_max,
                    "a dead letter does not fit its queue, not even packed: set dead_letter.overflow, or raise the \
                     queue's MaximumMessageSize; until then its message comes again, and a queue's redrive policy may \
                     move it"
                );
                self.metrics.process.letters_too_large.increment(1);
                posting.delivery.receipt.return_after(TOO_LARGE_AGAIN_AFTER);
                None
            }
            Err(StoreError::Call(error)) => {
                posting.tries += 1;
                let (tries, code) = (posting.tries, error.code());
                warn!(reason = reason.code(), event_id, message_id, position, tries, code, %error,
                    "could not store a dead letter");
                if posting.tries < TRIES_MAX {
                    return Some(posting);
                }
                posting.delivery.receipt.return_after(AGAIN_AFTER);
                None
            }
        }
    }
}

impl Posting {
    fn new(delivery: Delivery<Rejection>) -> Self {
        Self { letter: Letter::new(&delivery), delivery, tries: 0 }
    }
}
