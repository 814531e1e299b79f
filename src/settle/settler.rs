//! Carries out settlements until every receipt is gone.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{Ended, Ending, Outcome, Proof, Settlement, receipt::MessageEnd};
use crate::{
    breaker::Breaker,
    dedupe::{COMMITS_FIRST, Claimed, Commit, Committed, Ledger},
    failure::CallError,
    gate::{Cause, Gate},
    intervals::Intervals,
    metrics::Metrics,
    publish_log::ToLog,
    receive::{Handle, Source},
    tasks::joined,
};

/// Settlements of one round: enough for full API calls, few enough that a round does not grow stale.
const ROUND_MAX: usize = 2_000;
/// Rounds under way at once. Each settlement is whole within its round, so rounds may overtake each other.
const ROUNDS_MAX: usize = 8;
/// Failed commits in a row after which nothing more is taken in.
const FAILURES_UNTIL_CLOSED: u32 = 3;

/// The longest wait before a commit is tried again; with jitter, half as long again. Short, because when the ledger
/// is back, commits must come before claims: see [`dedupe::COMMITS_FIRST`](crate::dedupe::COMMITS_FIRST).
const COMMIT_AGAIN_WITHIN: Duration = Duration::from_secs(1);
const _: () = assert!(COMMIT_AGAIN_WITHIN.as_millis() * 2 < COMMITS_FIRST.as_millis());

/// For releases after giving up: what they save is a wait, and messages have to be given back in time.
const LAST_RELEASES: Duration = Duration::from_secs(1);

/// Ends claims, then acks or gives back messages.
#[derive(Clone)]
pub struct Settler {
    /// Is told how messages ended.
    pub source: Arc<dyn Source>,
    /// Is told how claims ended.
    pub ledger: Arc<dyn Ledger>,
    /// Is closed while commits fail.
    pub gate: Arc<Gate>,
    /// Learns from good endings.
    pub breaker: Arc<Breaker>,
    /// Counts the endings of messages.
    pub metrics: Arc<Metrics>,
    /// Is told what was published, if there is one.
    pub log: Option<ToLog>,
    /// Commits nothing more.
    pub give_up: CancellationToken,
}

impl Settler {
    /// Runs until every receipt is gone and settled.
    pub async fn run(self, mut settlements: mpsc::UnboundedReceiver<Settlement>) {
        let mut rounds = JoinSet::new();
        loop {
            let mut round = Vec::new();
            if settlements.recv_many(&mut round, ROUND_MAX).await == 0 {
                break;
            }
            while rounds.len() >= ROUNDS_MAX {
                joined(rounds.join_next().await);
            }
            rounds.spawn(self.clone().settle_all(round));
            while let Some(ended) = rounds.try_join_next() {
                joined(Some(ended));
            }
        }
        while let Some(ended) = rounds.join_next().await {
            joined(Some(ended));
        }
    }

    /// Claims first, messages second. A crash in between costs one more delivery, which dedupe catches; in the other
    /// order a second copy of the event could be published.
    async fn settle_all(self, mut round: Vec<Settlement>) {
        let (mut committed, mut released) = (Vec::new(), Vec::new());
        // Kept until the ledger has been told, so that they are renewed until then.
        let (mut open_claims, mut ended) = (Vec::new(), Vec::with_capacity(round.len()));
        for settlement in &mut round {
            let Some(Ended { flow, claim, outcome }) = settlement.delivery.take() else {
                ended.push(None);
                continue;
            };
            if matches!(outcome, Outcome::Drop) {
                self.metrics.process.receipts_dropped.increment(1);
            }
            if let (Some(log), Outcome::Ack(Proof::Published(published))) = (&self.log, &outcome) {
                let content = claim.as_ref().map(|open| open.claimed().content_hash);
                log.tell(published.to_accepted(&flow.destination, content));
            }
            let returned = outcome.returned_after();
            ended.push(Some((flow, outcome.ending(), returned)));
            if let Some(open) = claim {
                let claim = open.claimed().clone();
                match outcome.into_final() {
                    Some(state) => committed.push(Committed { claim, state }),
                    None => released.push(claim),
                }
                open_claims.push(open);
            }
        }
        self.commit(committed).await;
        self.release(&released).await;
        drop(open_claims);
        let (mut acks, mut returns) = (Vec::new(), Vec::new());
        for (settlement, ended) in round.iter().zip(ended) {
            let mut returned_after = None;
            if let Some((flow, ending, returned)) = ended {
                flow.end(ending);
                if ending == Ending::Published {
                    flow.observe_age(settlement.message.sent_at);
                }
                if matches!(ending, Ending::Published | Ending::Duplicate) {
                    self.breaker.saw_good();
                }
                returned_after = returned;
            }
            match settlement.message.finish_share(returned_after) {
                Some(MessageEnd::Acked) => acks.push(settlement.message.handle.clone()),
                Some(MessageEnd::Returned(after)) => returns.push((settlement.message.handle.clone(), after)),
                None => {}
            }
        }
        self.end_messages(&acks, &returns).await;
    }

    /// Tries until the ledger has taken everything down: an event that is in the lake and not in the ledger is
    /// published again when a copy comes. After giving up the message is acked all the same: what was published is
    /// published, and giving the message back could only publish it once more.
    async fn commit(&self, mut waiting: Vec<Committed>) {
        let mut intervals = Intervals::new(Duration::from_millis(100), COMMIT_AGAIN_WITHIN);
        let mut failures = 0;
        while !waiting.is_empty() {
            let Some(results) = self.give_up.run_until_cancelled(self.ledger.commit(&waiting)).await else {
                self.metrics.process.commits_lost.increment(waiting.len() as u64);
                return;
            };
            assert_eq!(results.len(), waiting.len(), "a ledger answers for each commit");
            let lost = results.iter().filter(|result| **result == Ok(Commit::Lost)).count();
            if lost > 0 {
                warn!(stage = "settle", lost, "claims were taken over before they could be committed");
                self.metrics.process.commits_lost.increment(lost as u64);
            }
            let failed = results.iter().find_map(|result| result.as_ref().err().cloned());
            let mut results = results.into_iter();
            waiting.retain(|_| results.next().is_some_and(|result| result.is_err()));
            let Some(error) = failed else {
                self.gate.open(&Cause::Commits);
                return;
            };
            failures += 1;
            warn!(stage = "settle", left = waiting.len(), code = error.code(), %error, "could not commit claims, will try again");
            if failures >= FAILURES_UNTIL_CLOSED || !error.is_transient() {
                self.gate.close(Cause::Commits, format!("the ledger takes no commits: {error}"));
            }
            self.give_up.run_until_cancelled(sleep(intervals.next_interval())).await;
        }
    }

    /// A release that fails costs a wait: the claim ends with its lease.
    async fn release(&self, claims: &[Claimed]) {
        if claims.is_empty() {
            return;
        }
        let too_late = async {
            self.give_up.cancelled().await;
            sleep(LAST_RELEASES).await;
        };
        let results = tokio::select! {
            results = self.ledger.release(claims) => results,
            () = too_late => {
                warn!(stage = "settle", claims = claims.len(), "no time to release claims, their leases will end");
                return;
            }
        };
        assert_eq!(results.len(), claims.len(), "a ledger answers for each release");
        if let Some(error) = results.iter().find_map(|result| result.as_ref().err()) {
            warn!(stage = "settle", code = error.code(), %error, "could not release claims, their leases will end");
        }
    }

    /// The adapter has tried again where that helps; what still failed is delivered again by the source and
    /// recognised by the ledger.
    async fn end_messages(&self, acks: &[Handle], returns: &[(Handle, Duration)]) {
        let (acked, returned) = tokio::join!(self.ack(acks), self.give_back(returns));
        self.metrics.process.messages_acked.increment(acked);
        self.metrics.process.messages_returned.increment(returned);
    }

    async fn ack(&self, handles: &[Handle]) -> u64 {
        if handles.is_empty() {
            return 0;
        }
        let results = self.source.ack(handles).await;
        assert_eq!(results.len(), handles.len(), "a source answers for each ack");
        succeeded(&results, "ack")
    }

    async fn give_back(&self, handles: &[(Handle, Duration)]) -> u64 {
        if handles.is_empty() {
            return 0;
        }
        let results = self.source.give_back(handles).await;
        assert_eq!(results.len(), handles.len(), "a source answers for each message given back");
        succeeded(&results, "give back")
    }
}

fn succeeded(results: &[Result<(), CallError>], verb: &str) -> u64 {
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        warn!(stage = "settle", code = error.code(), %error, "could not {verb} a message, it will come again");
    }
    results.iter().filter(|result| result.is_ok()).count() as u64
}
