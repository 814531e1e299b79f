//! The stage: claims what came in and sorts it by the ledger's answers.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytestring::ByteString;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{Claim, Claimed, Claiming, Duplicate, Key, Ledger, OpenClaims, Token};
use crate::{
    event::{ContentHash, IdentifiedEvent},
    failure::{CallError, Reason, Rejection},
    gate::{Cause, Gate},
    metrics::Metrics,
    receive::{Deadline, Delivery, Origin},
    settle::Proof,
};

/// Failed calls in a row after which nothing more is taken in.
const FAILURES_UNTIL_CLOSED: u32 = 3;
/// Codes that say that something stands under the key that no ledger wrote. It is ours to cure, and concerns one key:
/// the ledger does answer.
const OF_ONE_KEY: [&str; 2] = ["foreign_item", "WRONGTYPE"];

/// When the ledger is back after so long that leases have ended meanwhile, nobody claims for this long: workers that
/// have published something in the meantime take that down first, or a copy would be published again.
pub const COMMITS_FIRST: Duration = Duration::from_secs(8);

/// What is to be claimed: an event, or the reason why it is none.
pub struct Candidate {
    /// The event's declared id, or its place: `<message id>#<position>`.
    pub id: ByteString,
    /// Of the event, or of the bytes that are none.
    pub content_hash: ContentHash,
    /// What becomes of it once it is claimed.
    pub event: Result<IdentifiedEvent, Rejection>,
    /// Set once the ledger has said that the id was published with other content.
    pub conflict: Option<ContentHash>,
    /// How often the ledger said that it is in other hands.
    pub asked: u32,
    /// Under which it is claimed. Kept from one try to the next: a claim whose answer was lost is ours already.
    pub token: Option<Token>,
}

impl Candidate {
    /// An event is known by its id; what has none is known by its place and its bytes.
    pub fn new(event: Result<IdentifiedEvent, Rejection>, origin: &Origin) -> Self {
        let (id, content_hash) = match &event {
            Ok(event) => (event.id.declared.clone(), event.content_hash),
            Err(_) => (origin.place().into(), ContentHash(Sha256::digest(&origin.original).into())),
        };
        Self { id, content_hash, event, conflict: None, asked: 0, token: None }
    }
}

/// Deliveries by the ledger's answer.
#[derive(Default)]
pub struct Sorted {
    /// Claimed events. Next: map.
    pub events: Vec<Delivery<IdentifiedEvent>>,
    /// Claimed rejections. Next: dead letter.
    pub rejected: Vec<Delivery<Rejection>>,
    /// In other hands.
    pub held: Vec<Delivery<Candidate>>,
}

/// What becomes of an event whose id was published before with other content.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// It is possibly tampered with: a person has to look.
    #[default]
    DeadLetter,
    /// The first one stays, the second is a duplicate.
    Duplicate,
    /// Both are published: this producer uses ids again.
    Publish,
}

/// Claims in one ledger.
pub struct Dedupe {
    ledger: Arc<dyn Ledger>,
    lease: Duration,
    on_conflict: OnConflict,
    gate: Arc<Gate>,
    metrics: Arc<Metrics>,
    /// Calls without any answer since the last that had one.
    failures: AtomicU32,
    /// `None` until the ledger has answered for the first time.
    answered_at: Mutex<Option<Instant>>,
    open: Arc<OpenClaims>,
    next_token: Box<dyn Fn() -> Token + Send + Sync>,
}

impl Dedupe {
    /// Claims for `lease` in `ledger`; closes `gate` while the ledger does not answer.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        lease: Duration,
        on_conflict: OnConflict,
        gate: Arc<Gate>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let next_token = Box::new(Token::source());
        Self {
            ledger,
            lease,
            on_conflict,
            gate,
            metrics,
            failures: AtomicU32::new(0),
            answered_at: Mutex::default(),
            open: Arc::default(),
            next_token,
        }
    }

    /// Claims each candidate. What the ledger knows as settled is acked here; what it does not answer for counts as
    /// held: nothing is dropped, nothing is published unclaimed.
    pub async fn claim(&self, candidates: Vec<Delivery<Candidate>>) -> Sorted {
        let mut sorted = Sorted::default();
        let mut conflicts = Vec::new();
        for (delivery, answer) in self.ask(candidates, &mut sorted).await {
            if let Some(conflict) = self.sort(delivery, answer, &mut sorted) {
                conflicts.push(conflict);
            }
        }
        if !conflicts.is_empty() {
            warn!(stage = "dedupe", conflicts = conflicts.len(), "ids came again with other content");
            self.metrics.process.id_conflicts.increment(conflicts.len() as u64);
        }
        if self.on_conflict == OnConflict::Duplicate {
            for delivery in conflicts {
                delivery.receipt.ack(Proof::Duplicate(Duplicate(())));
            }
            return sorted;
        }
        // A conflict is claimed under a key of its own: the id itself belongs to the published event.
        for (delivery, answer) in self.ask(conflicts, &mut sorted).await {
            // The key holds the content, so there is no conflict about a conflict.
            drop(self.sort(delivery, answer, &mut sorted));
        }
        sorted
    }

    /// Renews the claims of deliveries that are not settled yet. Runs until it is dropped.
    pub async fn keep_alive(&self) {
        self.open.keep_alive(&self.ledger, self.lease).await;
    }

    async fn ask(
        &self,
        mut candidates: Vec<Delivery<Candidate>>,
        sorted: &mut Sorted,
    ) -> Vec<(Delivery<Candidate>, (Claimed, Claim))> {
        if candidates.is_empty() {
            return Vec::new();
        }
        let wishes: Vec<_> = candidates.iter_mut().map(|delivery| self.wish(delivery)).collect();
        let (asked_at, answers) = self.claim_when_back(&wishes).await;
        assert_eq!(answers.len(), wishes.len(), "a ledger answers for each claim");
        self.judge(&answers);
        let mut answered = Vec::with_capacity(candidates.len());
        for ((delivery, wish), answer) in candidates.into_iter().zip(wishes).zip(answers) {
            match answer {
                Ok(claim) => answered.push((delivery, (self.claimed(wish, asked_at), claim))),
                Err(_) => sorted.held.push(delivery),
            }
        }
        answered
    }

    /// Whether the ledger is there. One key that cannot be claimed must not stop all others, neither beside neighbours
    /// that were answered nor when it is asked for alone.
    fn judge(&self, answers: &[Result<Claim, CallError>]) {
        let errors = || answers.iter().filter_map(|answer| answer.as_ref().err());
        let worst = errors().find(|error| !error.is_transient()).or_else(|| errors().next());
        let is_of_one_key = |error: &CallError| OF_ONE_KEY.contains(&error.code());
        if let Some(error) = worst {
            let events = errors().count();
            warn!(stage = "dedupe", events, code = error.code(), %error, "could not claim, will ask again");
        }
        if answers.iter().any(|answer| answer.as_ref().err().is_none_or(is_of_one_key)) {
            self.failures.store(0, Ordering::Relaxed);
            *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            self.gate.open(&Cause::Ledger);
        } else if let Some(error) = worst {
            let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
            if failures >= FAILURES_UNTIL_CLOSED || !error.is_transient() {
                self.gate.close(Cause::Ledger, format!("the ledger does not answer: {error}"));
            }
        }
    }

    /// Claims; but if the ledger has been gone for so long that leases may have ended, looks first whether it is back,
    /// and leaves the first seconds to the commits. For a worker that has never had an answer, that may be any time.
    async fn claim_when_back(&self, wishes: &[Claiming]) -> (Instant, Vec<Result<Claim, CallError>>) {
        let answered_at = *self.answered_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_silent = answered_at.is_none_or(|at| at.elapsed() > self.lease / 2);
        let may_have_ended = self.failures.load(Ordering::Relaxed) > 0 && is_silent;
        if let Some(wish) = wishes.first().filter(|_| may_have_ended) {
            // Any other error may be about this key alone; the claim itself tells more.
            if let Err(error @ CallError::Transient { .. }) = self.ledger.find(&wish.key).await {
                return (Instant::now(), wishes.iter().map(|_| Err(error.clone())).collect());
            }
            sleep(COMMITS_FIRST).await;
        }
        let asked_at = Instant::now();
        (asked_at, self.ledger.claim(wishes, self.lease).await)
    }

    fn wish(&self, delivery: &mut Delivery<Candidate>) -> Claiming {
        let token = *delivery.event.token.get_or_insert_with(&self.next_token);
        Claiming {
            key: Key {
                destination: delivery.receipt.destination().into(),
                id: delivery.event.id.clone(),
                conflict: delivery.event.conflict,
            },
            token,
            content_hash: delivery.event.content_hash,
            is_redriven: delivery.origin.is_redriven,
        }
    }

    /// The lease began at the latest when the ledger answered; we count from the question.
    fn claimed(&self, wish: Claiming, asked_at: Instant) -> Claimed {
        let Claiming { key, token, content_hash, is_redriven } = wish;
        Claimed { key, token, content_hash, is_redriven, lease: Deadline::new(asked_at + self.lease) }
    }

    /// Gives a conflict back to the caller; everything else finds its place.
    fn sort(
        &self,
        mut delivery: Delivery<Candidate>,
        (claimed, answer): (Claimed, Claim),
        sorted: &mut Sorted,
    ) -> Option<Delivery<Candidate>> {
        match answer {
            Claim::Won => {
                delivery.receipt.holds(self.open.add(claimed));
                let (candidate, rest) = delivery.take();
                match candidate.event {
                    Ok(event) => sorted.events.push(rest.with(event)),
                    Err(rejection) => sorted.rejected.push(rest.with(rejection)),
                }
            }
            Claim::AlreadyPublished { content_hash } if content_hash != delivery.event.content_hash => {
                return Some(delivery.map(|candidate| self.conflict(candidate, content_hash)));
            }
            Claim::AlreadyPublished { .. } | Claim::AlreadyDeadLettered => {
                delivery.receipt.ack(Proof::Duplicate(Duplicate(())));
            }
            Claim::HeldElsewhere { .. } => sorted.held.push(delivery),
        }
        None
    }

    /// The same id with other content: possibly tampering, so by default it is neither dropped nor published.
    fn conflict(&self, candidate: Candidate, published: ContentHash) -> Candidate {
        let came = candidate.content_hash;
        let event = if self.on_conflict == OnConflict::DeadLetter {
            let detail = format!(
                "this id was published before with other content: SHA-256 {}… then, {}… now",
                published.half(),
                came.half()
            );
            Err(Rejection::new(Reason::IdConflict, detail))
        } else {
            candidate.event
        };
        Candidate { event, conflict: Some(came), ..candidate }
    }
}

#[cfg(test)]
mod tests;
