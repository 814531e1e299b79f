//! The right to settle: one [`MessageReceipt`] for a message, divided into one [`Receipt`] for each delivery.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::sync::oneshot;

use super::{Ended, Outcome, Proof, Settlement, ToSettler};
use crate::{
    dedupe::{Claimed, OpenClaim},
    flow::Flow,
    publish::Stay,
    receive::{Handle, Message},
    room::Permit,
};

/// `delay` of a message of which nothing was returned.
const NOTHING_RETURNED: u64 = u64::MAX;

/// What all deliveries of one message share. It owns the message's room until the source knows the end.
pub(super) struct Ticket {
    pub(super) handle: Handle,
    pub(super) sent_at: Option<SystemTime>,
    /// Deliveries not yet settled, and one for the receipt that divides the message.
    open: AtomicUsize,
    /// The longest delay in milliseconds among the returned deliveries.
    delay: AtomicU64,
    ended: Mutex<Option<oneshot::Sender<MessageEnd>>>,
    room: Permit,
}

/// How a message ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageEnd {
    /// Every delivery was acked.
    Acked,
    /// At least one delivery was returned; the message comes again after this long.
    Returned(Duration),
}

impl Ticket {
    /// Ends one share. The last one says how the message ended.
    pub(super) fn finish_share(&self, returned: Option<Duration>) -> Option<MessageEnd> {
        if let Some(after) = returned {
            self.returned_after(after);
        }
        (self.open.fetch_sub(1, Ordering::AcqRel) == 1).then(|| self.end())
    }

    fn returned_after(&self, after: Duration) {
        let millis = u64::try_from(after.as_millis()).unwrap_or(NOTHING_RETURNED - 1);
        // `NOTHING_RETURNED` is the largest number, so it must not win against a real delay.
        let _previous = self.delay.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            Some(if now == NOTHING_RETURNED { millis } else { now.max(millis) })
        });
    }

    fn end(&self) -> MessageEnd {
        let end = match self.delay.load(Ordering::Acquire) {
            NOTHING_RETURNED => MessageEnd::Acked,
            millis => MessageEnd::Returned(Duration::from_millis(millis)),
        };
        let waiting = self.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(waiting) = waiting {
            // Nobody listens any more when the process stops.
            waiting.send(end).ok();
        }
        end
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("handle", &self.handle)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// The right to divide one received message into deliveries. Dropping it seals the division; a message that was
/// never divided, or not to its end, is given back.
#[derive(Debug)]
#[must_use = "a message must be divided into deliveries"]
pub struct MessageReceipt {
    message: Arc<Ticket>,
    shares: usize,
    /// Of the message more is to come than was divided so far.
    is_unfinished: bool,
    to_settler: ToSettler,
}

impl MessageReceipt {
    /// For a message that owns `room`.
    pub fn new(message: &Message, room: Permit, to_settler: ToSettler) -> Self {
        let ticket = Ticket {
            handle: message.handle.clone(),
            sent_at: message.sent_at,
            open: AtomicUsize::new(1),
            delay: AtomicU64::new(NOTHING_RETURNED),
            ended: Mutex::new(None),
            room,
        };
        Self { message: Arc::new(ticket), shares: 0, is_unfinished: false, to_settler }
    }

    /// One delivery of the message.
    pub fn share(&mut self, flow: &Arc<Flow>) -> Receipt {
        self.share_with_room(flow, None)
    }

    /// One delivery of a message that is too large to be here as a whole: it has room of its own, which is given
    /// back as soon as this delivery, and whatever else shares the permit, is settled.
    pub fn share_with_room(&mut self, flow: &Arc<Flow>, room: Option<Arc<Permit>>) -> Receipt {
        self.shares += 1;
        self.message.open.fetch_add(1, Ordering::AcqRel);
        flow.begin();
        Receipt {
            open: Some(Share {
                message: self.message.clone(),
                flow: flow.clone(),
                claim: None,
                room,
                stay: None,
            }),
            to_settler: self.to_settler.clone(),
        }
    }

    /// From here on more is to come of the message: dropped before [`MessageReceipt::seal`], the receipt gives the
    /// message back, whatever becomes of the deliveries so far.
    pub fn keep_open(&mut self) {
        self.is_unfinished = true;
    }

    /// All deliveries of the message have been made.
    pub fn seal(mut self) {
        self.is_unfinished = false;
    }

    /// The message is to come again, no sooner than `after`, and once all its deliveries so far have ended.
    pub fn return_after(self, after: Duration) {
        self.message.returned_after(after);
    }

    /// Takes more room for the message: it turned out to weigh more than its bytes.
    pub fn weigh(&self, more_bytes: usize) {
        self.message.room.grow(more_bytes);
    }

    /// Tells when the message has ended and its claims with it.
    pub fn ended(&self) -> oneshot::Receiver<MessageEnd> {
        let (tell, ended) = oneshot::channel();
        *self.message.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(tell);
        ended
    }
}

impl Drop for MessageReceipt {
    fn drop(&mut self) {
        if self.shares == 0 || self.is_unfinished {
            self.message.returned_after(Duration::ZERO);
        }
        drop(self.to_settler.send(Settlement { message: self.message.clone(), delivery: None }));
    }
}

/// The right to settle one delivery. Not `Clone`; both ways to use it consume it; dropping it returns the message.
///
/// ```compile_fail
/// fn twice(receipt: tributary::settle::Receipt) {
///     receipt.return_after(std::time::Duration::ZERO);
///     receipt.return_after(std::time::Duration::ZERO);
/// }
/// ```
/// ```compile_fail
/// fn copy(receipt: tributary::settle::Receipt) -> (tributary::settle::Receipt, tributary::settle::Receipt) {
///     (receipt.clone(), receipt)
/// }
/// ```
#[derive(Debug)]
#[must_use = "dropping a receipt makes the source deliver the message again"]
pub struct Receipt {
    open: Option<Share>,
    to_settler: ToSettler,
}

#[derive(Debug)]
struct Share {
    message: Arc<Ticket>,
    flow: Arc<Flow>,
    claim: Option<OpenClaim>,
    room: Option<Arc<Permit>>,
    /// Ends with the delivery's way through its lane, before the ledger is told.
    stay: Option<Stay>,
}

impl Receipt {
    /// The delivery is done with, and this is the proof.
    pub fn ack(mut self, proof: Proof) {
        self.settle(Outcome::Ack(proof));
    }

    /// The delivery is to come again, no sooner than `after`.
    pub fn return_after(mut self, after: Duration) {
        self.settle(Outcome::Return(after));
    }

    /// From here on, settling this delivery also ends the claim.
    pub(crate) fn holds(&mut self, claim: OpenClaim) {
        if let Some(share) = &mut self.open {
            share.claim = Some(claim);
        }
    }

    /// The claim that this delivery holds.
    pub(crate) fn claim(&self) -> Option<&Claimed> {
        self.open.as_ref().and_then(|share| share.claim.as_ref()).map(OpenClaim::claimed)
    }

    /// Names the place in the room that the delivery keeps taken, and says how many bytes it has.
    pub(crate) fn place(&self) -> (usize, usize) {
        let Some(share) = &self.open else { return (0, 0) };
        match &share.room {
            Some(own) => (Arc::as_ptr(own).addr(), own.bytes()),
            None => (Arc::as_ptr(&share.message).addr(), share.message.room.bytes()),
        }
    }

    /// Whether the delivery has room of its own, and its message is not here as a whole.
    pub(crate) fn has_own_room(&self) -> bool {
        self.open.as_ref().is_some_and(|share| share.room.is_some())
    }

    /// The delivery is in its lane from here on.
    pub(crate) fn stays(&mut self, stay: Stay) {
        if let Some(share) = &mut self.open {
            share.stay = Some(stay);
        }
    }

    /// The destination's name.
    pub fn destination(&self) -> &str {
        self.open.as_ref().map_or("", |share| &share.flow.destination)
    }

    fn settle(&mut self, outcome: Outcome) {
        if let Some(Share { message, flow, claim, room, stay }) = self.open.take() {
            drop(stay);
            let delivery = Some(Ended { flow, claim, outcome, room });
            // The settler outlives every receipt; without it the source delivers the message again by itself.
            drop(self.to_settler.send(Settlement { message, delivery }));
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.settle(Outcome::Drop);
    }
}
