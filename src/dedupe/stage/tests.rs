//! What one worker does with a ledger that answers for some, for one, for none.

use std::sync::atomic::AtomicBool;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::*;
use crate::{
    dedupe::{Commit, Committed, Entry, Fact, rounds::ROUND_MAX, waiting::wait},
    receive::Message,
    room::Room,
    settle::{MessageReceipt, Settlement},
};

const LEASE: Duration = Duration::from_mins(1);

/// To the wish at this place.
type Answer = fn(usize) -> Result<Claim, CallError>;

/// Answers as it is told to.
#[derive(Default)]
struct Told {
    answer: Mutex<Option<Answer>>,
    is_gone: AtomicBool,
    looks: AtomicU32,
    largest: AtomicU32,
}

#[async_trait]
impl Ledger for Told {
    async fn claim(&self, wishes: &[Claiming], _lease: Duration) -> Vec<Result<Claim, CallError>> {
        self.largest.fetch_max(u32::try_from(wishes.len()).unwrap(), Ordering::Relaxed);
        let answer = self.answer.lock().unwrap().expect("told what to answer");
        (0..wishes.len()).map(answer).collect()
    }

    async fn commit(&self, _settled: &[Committed]) -> Vec<Result<Commit, CallError>> {
        panic!("nothing is committed")
    }

    async fn release(&self, _claims: &[Claimed]) -> Vec<Result<(), CallError>> {
        panic!("nothing is released")
    }

    async fn find(&self, _key: &Key) -> Result<Option<Entry>, CallError> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        if self.is_gone.load(Ordering::Relaxed) { Err(gone()) } else { Ok(None) }
    }

    async fn forget(&self, _key: &Key) -> Result<bool, CallError> {
        panic!("nothing is forgotten")
    }

    async fn describe(&self) -> Result<Vec<Fact>, CallError> {
        panic!("nothing is described")
    }
}

fn gone() -> CallError {
    CallError::transient("unreachable", "scripted")
}

fn denied() -> CallError {
    CallError::misconfigured("AccessDeniedException", "scripted")
}

fn foreign() -> CallError {
    CallError::misconfigured("foreign_item", "scripted")
}

struct Bench {
    ledger: Arc<Told>,
    gate: Arc<Gate>,
    dedupe: Dedupe,
    metrics: Arc<Metrics>,
    to_settler: mpsc::UnboundedSender<Settlement>,
    settled: mpsc::UnboundedReceiver<Settlement>,
}

impl Bench {
    fn new(on_conflict: OnConflict) -> Self {
        let (ledger, gate, metrics) =
            (Arc::new(Told::default()), Arc::new(Gate::new(1)), Metrics::new().unwrap());
        let dedupe = Dedupe::new(ledger.clone(), LEASE, on_conflict, gate.clone(), metrics.clone());
        let (to_settler, settled) = mpsc::unbounded_channel();
        Self { ledger, gate, dedupe, metrics, to_settler, settled }
    }

    /// Claims so many; says how many were won and how many are held.
    async fn claim(&self, count: usize, answer: Answer) -> (usize, usize) {
        *self.ledger.answer.lock().unwrap() = Some(answer);
        let sorted = self.dedupe.claim(self.candidates(count).await).await;
        (sorted.rejected.len(), sorted.held.len())
    }

    async fn candidates(&self, count: usize) -> Vec<Delivery<Candidate>> {
        let message = Message::empty(Deadline::new(Instant::now() + Duration::from_mins(10)));
        let flow = self.metrics.flow("lake", self.metrics.lane("lake").end_to_end_seconds);
        let room = Room::new(1 << 20).take(1).await;
        let mut receipt = MessageReceipt::new(&message, room, self.to_settler.clone());
        let mut candidate = |position| {
            let origin = Origin::of(&message, position, "".into());
            let event = Candidate::new(Err(Rejection::new(Reason::NoId, "scripted")), &origin);
            Delivery { event, origin, receipt: receipt.share(&flow) }
        };
        (0..count).map(&mut candidate).collect()
    }

    fn is_closed(&self) -> bool {
        self.gate.is_closed_by(&Cause::Ledger)
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_holds_one_delivery_and_a_call_with_any_answer_is_no_failure() {
    let bench = Bench::new(OnConflict::DeadLetter);
    for error in [
        |at| if at == 1 { Err(gone()) } else { Ok(Claim::Won) },
        |at| {
            if at == 1 { Err(denied()) } else { Ok(Claim::Won) }
        },
    ] {
        for _ in 0..=FAILURES_UNTIL_CLOSED {
            assert_eq!(bench.claim(3, error).await, (2, 1));
            assert!(!bench.is_closed());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn calls_without_any_answer_close_the_gate_and_one_answer_opens_it() {
    let bench = Bench::new(OnConflict::DeadLetter);
    for nth in 1..=FAILURES_UNTIL_CLOSED {
        assert_eq!(bench.claim(2, |_| Err(gone())).await, (0, 2));
        assert_eq!(bench.is_closed(), nth == FAILURES_UNTIL_CLOSED, "{nth}");
    }
    assert_eq!(bench.claim(2, |at| if at == 0 { Err(gone()) } else { Ok(Claim::Won) }).await, (1, 1));
    assert!(!bench.is_closed());
    assert_eq!(bench.claim(2, |at| Err(if at == 0 { gone() } else { denied() })).await, (0, 2));
    assert!(bench.is_closed(), "ours to cure: at once");
}

/// It comes again and again from the waiting room, often without neighbours.
#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_claimed_closes_no_gate() {
    let bench = Bench::new(OnConflict::DeadLetter);
    for _ in 0..=FAILURES_UNTIL_CLOSED {
        assert_eq!(bench.claim(1, |_| Err(foreign())).await, (0, 1));
        assert!(!bench.is_closed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_started_during_an_outage_leaves_the_first_seconds_to_the_commits() {
    let bench = Bench::new(OnConflict::DeadLetter);
    bench.claim(1, |_| Err(gone())).await;
    let started = Instant::now();
    bench.ledger.is_gone.store(true, Ordering::Relaxed);
    assert_eq!(bench.claim(1, |_| panic!("the ledger is not back")).await, (0, 1));
    assert_eq!(started.elapsed(), Duration::ZERO, "nothing to wait for yet");
    bench.ledger.is_gone.store(false, Ordering::Relaxed);
    assert_eq!(bench.claim(1, |_| Ok(Claim::Won)).await, (1, 0));
    assert!(started.elapsed() >= COMMITS_FIRST, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_short_failure_makes_nobody_wait() {
    let bench = Bench::new(OnConflict::DeadLetter);
    assert_eq!(bench.claim(1, |_| Ok(Claim::Won)).await, (1, 0));
    bench.claim(1, |_| Err(gone())).await;
    assert_eq!(bench.claim(1, |_| Ok(Claim::Won)).await, (1, 0));
    assert_eq!(bench.ledger.looks.load(Ordering::Relaxed), 0);
    bench.claim(1, |_| Err(gone())).await;
    tokio::time::advance(LEASE / 2 + Duration::from_secs(1)).await;
    let asked = Instant::now();
    assert_eq!(bench.claim(1, |_| Ok(Claim::Won)).await, (1, 0));
    assert!(asked.elapsed() >= COMMITS_FIRST, "leases may have ended");
}

#[tokio::test(start_paused = true)]
async fn a_conflict_that_counts_as_a_duplicate_is_acked_and_not_claimed() {
    let mut bench = Bench::new(OnConflict::Duplicate);
    let other = |_| Ok(Claim::AlreadyPublished { content_hash: ContentHash([7; 32]) });
    assert_eq!(bench.claim(2, other).await, (0, 0));
    let mut ended = 0;
    while let Ok(settlement) = bench.settled.try_recv() {
        ended += usize::from(format!("{settlement:?}").contains("Ack"));
    }
    assert_eq!(ended, 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_waiting_room_asks_for_a_round_at_a_time() {
    let bench = Bench::new(OnConflict::DeadLetter);
    *bench.ledger.answer.lock().unwrap() = Some(|_| Ok(Claim::Won));
    let (to_waiting, held) = mpsc::unbounded_channel();
    for delivery in bench.candidates(ROUND_MAX * 5 / 2).await {
        to_waiting.send(delivery).ok().unwrap();
    }
    drop(to_waiting);
    let won = AtomicU32::new(0);
    let proceed = |sorted: Sorted| {
        won.fetch_add(u32::try_from(sorted.rejected.len()).unwrap(), Ordering::Relaxed);
        sorted.held
    };
    wait(&bench.dedupe, held, proceed).await;
    assert_eq!(won.into_inner() as usize, ROUND_MAX * 5 / 2, "all of them");
    assert_eq!(bench.ledger.largest.load(Ordering::Relaxed) as usize, ROUND_MAX);
}
