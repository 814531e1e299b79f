//! Carries out settlements until every receipt is gone.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    Ending, Outcome, Proof, Settlement,
    receipt::MessageEnd,
    round::{Delivered, Round, Share, ToCommit},
};
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

/// A commit that is not answered by then is said again.
const COMMIT_ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// The longest wait before a commit is said again; with jitter, half as long again.
const COMMIT_AGAIN_WITHIN: Duration = Duration::from_secs(1);
// When the ledger is back, commits must come before claims.
const _: () = assert!(
    COMMIT_ANSWER_WITHIN.as_millis() + COMMIT_AGAIN_WITHIN.as_millis() * 3 / 2 < COMMITS_FIRST.as_millis()
);

/// What the ledger is told after giving up has this long: messages have to be given back in time.
const LAST_CALLS: Duration = Duration::from_secs(1);

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
    /// Says everything once more at most.
    pub give_up: CancellationToken,
}

impl Settler {
    /// Runs until every receipt is gone and settled. Commits that fail go on by themselves, so that they hold up nobody.
    pub async fn run(self, mut settlements: mpsc::UnboundedReceiver<Settlement>) {
        let (mut rounds, mut again) = (JoinSet::new(), JoinSet::new());
        let (mut is_open, mut round) = (true, Vec::new());
        loop {
            tokio::select! {
                count = settlements.recv_many(&mut round, ROUND_MAX), if is_open && rounds.len() < ROUNDS_MAX => {
                    is_open = count > 0;
                    self.tell_log(&round);
                    rounds.spawn(self.clone().settle(std::mem::take(&mut round)));
                }
                ended = rounds.join_next(), if !rounds.is_empty() => {
                    let failed = joined(ended).unwrap_or_default();
                    if !failed.is_empty() {
                        again.spawn(self.clone().commit_again(failed));
                    }
                }
                ended = again.join_next(), if !again.is_empty() => {
                    joined(ended);
                    if again.is_empty() {
                        self.gate.open(&Cause::Commits);
                    }
                }
                else => break,
            }
        }
    }

    fn tell_log(&self, round: &[Settlement]) {
        let Some(log) = &self.log else { return };
        for ended in round.iter().filter_map(|settlement| settlement.delivery.as_ref()) {
            if let Outcome::Ack(Proof::Published(published)) = &ended.outcome {
                let content = ended.claim.as_ref().map(|open| open.claimed().content_hash);
                log.tell(published.to_accepted(&ended.flow.destination, content));
            }
        }
    }

    /// Claims first, messages second. A crash in between costs one more delivery, which dedupe catches; in the other
    /// order a second copy of the event could be published. Gives back what could not be committed.
    async fn settle(self, settlements: Vec<Settlement>) -> Vec<ToCommit> {
        let Round { commits, releases, released, free } = Round::sort(settlements);
        let ((mut done, failed), ()) = tokio::join!(self.commit(commits, 1), self.release(&releases));
        done.extend(released);
        done.extend(free);
        self.finish(done).await;
        failed
    }

    /// Until the ledger has taken everything down: an event that is in the lake and not in the ledger is published
    /// again when a copy comes.
    async fn commit_again(self, mut failed: Vec<ToCommit>) {
        let mut intervals = Intervals::new(Duration::from_millis(100), COMMIT_AGAIN_WITHIN);
        let mut tries = 1;
        while !failed.is_empty() {
            self.give_up.run_until_cancelled(sleep(intervals.next_interval())).await;
            tries += 1;
            let (done, still_failed) = self.commit(failed, tries).await;
            self.finish(done).await;
            failed = still_failed;
        }
    }

    /// Says each commit once. What failed is to be said again; after giving up it counts as done all the same: what was
    /// published is published, and giving the message back could only publish it once more.
    async fn commit(&self, commits: Vec<ToCommit>, tries: u32) -> (Vec<Share>, Vec<ToCommit>) {
        if commits.is_empty() {
            return (Vec::new(), Vec::new());
        }
        let (committed, shares): (Vec<_>, Vec<_>) =
            commits.into_iter().map(|ToCommit { committed, share }| (committed, share)).unzip();
        let results = self.answers(&committed).await;
        assert_eq!(results.len(), committed.len(), "a ledger answers for each commit");
        let is_last = self.give_up.is_cancelled();
        self.complain(&results, tries, is_last);
        let (mut done, mut failed) = (Vec::new(), Vec::new());
        for ((result, committed), share) in results.into_iter().zip(committed).zip(shares) {
            if result.is_ok() || is_last {
                done.push(share);
            } else {
                failed.push(ToCommit { committed, share });
            }
        }
        (done, failed)
    }

    async fn answers(&self, committed: &[Committed]) -> Vec<Result<Commit, CallError>> {
        let in_time = async { timeout(COMMIT_ANSWER_WITHIN, self.ledger.commit(committed)).await.ok() };
        let results = tokio::select! {
            results = in_time => results,
            () = self.too_late() => None,
        };
        let unanswered = || Err(CallError::transient("timeout", "the ledger did not answer in time"));
        results.unwrap_or_else(|| committed.iter().map(|_| unanswered()).collect())
    }

    fn complain(&self, results: &[Result<Commit, CallError>], tries: u32, is_last: bool) {
        let taken_over = results.iter().filter(|result| **result == Ok(Commit::Lost)).count();
        let failed = results.iter().filter(|result| result.is_err()).count();
        let lost = taken_over + if is_last { failed } else { 0 };
        self.metrics.process.commits_lost.increment(lost as u64);
        if taken_over > 0 {
            warn!(stage = "settle", taken_over, "claims were taken over before they could be committed");
        }
        let Some(error) = results.iter().find_map(|result| result.as_ref().err()) else { return };
        warn!(stage = "settle", failed, tries, is_last, code = error.code(), %error, "could not commit claims");
        if tries >= FAILURES_UNTIL_CLOSED || !error.is_transient() {
            self.gate.close(Cause::Commits, format!("the ledger takes no commits: {error}"));
        }
    }

    /// A release that fails costs a wait: the claim ends with its lease.
    async fn release(&self, claims: &[Claimed]) {
        if claims.is_empty() {
            return;
        }
        let results = tokio::select! {
            results = self.ledger.release(claims) => results,
            () = self.too_late() => {
                warn!(stage = "settle", claims = claims.len(), "no time to release claims, their leases will end");
                return;
            }
        };
        assert_eq!(results.len(), claims.len(), "a ledger answers for each release");
        if let Some(error) = results.iter().find_map(|result| result.as_ref().err()) {
            warn!(stage = "settle", code = error.code(), %error, "could not release claims, their leases will end");
        }
    }

    async fn too_late(&self) {
        self.give_up.cancelled().await;
        sleep(LAST_CALLS).await;
    }

    /// The ledger has been told: the deliveries are counted, and whole messages acked or given back.
    async fn finish(&self, shares: Vec<Share>) {
        let (mut acks, mut returns) = (Vec::new(), Vec::new());
        for mut share in shares {
            share.end_claim();
            let returned_after = share.delivery.as_ref().and_then(|delivered| delivered.returned_after);
            if let Some(delivered) = &share.delivery {
                self.count(delivered, &share);
            }
            match share.message.finish_share(returned_after) {
                Some(MessageEnd::Acked) => acks.push(share.message.handle.clone()),
                Some(MessageEnd::Returned(after)) => returns.push((share.message.handle.clone(), after)),
                None => {}
            }
        }
        self.end_messages(&acks, &returns).await;
    }

    fn count(&self, delivered: &Delivered, share: &Share) {
        let Delivered { flow, ending, was_dropped, .. } = delivered;
        flow.end(*ending);
        if *ending == Ending::Published {
            flow.observe_age(share.message.sent_at);
        }
        if matches!(ending, Ending::Published | Ending::Duplicate) {
            self.breaker.saw_good();
        }
        if *was_dropped {
            self.metrics.process.receipts_dropped.increment(1);
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
