//! Stage 10, settle. In: settlements. Out: claims ended, messages acked or given back. Next: nothing; the end.
//!
//! Each delivery is settled once, by consuming its [`Receipt`]: acked with a [`Proof`], or returned. This is the only
//! place that ends a claim and the only place that tells the source anything. A message that holds several
//! deliveries is acked when the last of them was acked, and given back if any of them was returned.

mod receipt;
mod round;
mod settler;

pub use receipt::{MessageEnd, MessageReceipt, Receipt};
pub use settler::Settler;

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use crate::{
    dead_letter::DeadLettered,
    dedupe::{Duplicate, Final, OpenClaim},
    flow::Flow,
    publish::Published,
    room::Permit,
    route::Filtered,
};

/// Why a delivery may be acked. Each variant can be made by one module only.
///
/// ```compile_fail
/// let proof = tributary::publish::Published::new;
/// ```
/// ```compile_fail
/// let proof = tributary::dead_letter::DeadLettered(tributary::failure::Reason::NoId);
/// ```
/// ```compile_fail
/// let proof = tributary::dedupe::Duplicate(());
/// ```
/// ```compile_fail
/// let proof = tributary::route::Filtered(());
/// ```
#[derive(Debug)]
pub enum Proof {
    /// The destination confirmed the event.
    Published(Published),
    /// The ledger says that it was settled before.
    Duplicate(Duplicate),
    /// The dead-letter queue confirmed the letter.
    DeadLettered(DeadLettered),
    /// A rule dropped it, or it was no event to begin with.
    Filtered(Filtered),
}

/// How a delivery ended, as counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the terms of the conservation law")]
pub enum Ending {
    Published,
    Duplicate,
    DeadLettered,
    Filtered,
    Returned,
}

#[derive(Debug)]
enum Outcome {
    Ack(Proof),
    Return(Duration),
    /// The receipt was dropped: returned, at once.
    Drop,
}

impl Outcome {
    fn ending(&self) -> Ending {
        match self {
            Self::Ack(Proof::Published(_)) => Ending::Published,
            Self::Ack(Proof::Duplicate(_)) => Ending::Duplicate,
            Self::Ack(Proof::DeadLettered(_)) => Ending::DeadLettered,
            Self::Ack(Proof::Filtered(_)) => Ending::Filtered,
            Self::Return(_) | Self::Drop => Ending::Returned,
        }
    }

    /// After how long the message is to come again, if it is.
    fn returned_after(&self) -> Option<Duration> {
        match self {
            Self::Ack(_) => None,
            Self::Return(after) => Some(*after),
            Self::Drop => Some(Duration::ZERO),
        }
    }

    /// What the ledger is to remember; `None` gives the claim up.
    fn into_final(self) -> Option<Final> {
        match self {
            Self::Ack(Proof::Published(published)) => {
                Some(Final::Published { stored_as: published.into_stored_as() })
            }
            Self::Ack(Proof::DeadLettered(letter)) => Some(Final::DeadLettered { reason: letter.reason() }),
            Self::Ack(Proof::Duplicate(_) | Proof::Filtered(_)) | Self::Return(_) | Self::Drop => None,
        }
    }
}

/// One delivery that ended, or the seal on a message that was divided.
#[derive(Debug)]
pub struct Settlement {
    message: Arc<receipt::Ticket>,
    delivery: Option<Ended>,
}

#[derive(Debug)]
struct Ended {
    flow: Arc<Flow>,
    claim: Option<OpenClaim>,
    outcome: Outcome,
    /// Given back when this is settled.
    room: Option<Arc<Permit>>,
}

/// The way to the settler. Unbounded, yet it never holds more than the room allows: each entry owns a part of it.
pub type ToSettler = mpsc::UnboundedSender<Settlement>;
