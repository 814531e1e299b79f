//! Claims in rounds: everything that waits goes to the ledger in one call, and several calls are under way at once.
//!
//! In: candidates, as they are decoded. Out: rounds, given to `claim`. A ledger that is far away costs latency, not
//! throughput: while calls are under way more candidates gather, so the next call is fuller.

use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

use super::Candidate;
use crate::{receive::Delivery, tasks::joined};

/// Candidates of one round: enough for full calls to any ledger, few enough that one call cannot delay many.
pub(super) const ROUND_MAX: usize = 1_000;
/// Rounds under way at once.
const ROUNDS_MAX: usize = 16;

/// Runs until `candidates` is closed and every round has ended, or until `give_up`, when what is under way is returned.
pub async fn in_rounds<F: Future<Output = ()> + Send + 'static>(
    candidates: mpsc::UnboundedReceiver<Delivery<Candidate>>,
    give_up: CancellationToken,
    claim: impl Fn(Vec<Delivery<Candidate>>) -> F,
) {
    // Dropping the rounds drops their receipts, which returns them.
    give_up.run_until_cancelled(run(candidates, claim)).await;
}

async fn run<F: Future<Output = ()> + Send + 'static>(
    mut candidates: mpsc::UnboundedReceiver<Delivery<Candidate>>,
    claim: impl Fn(Vec<Delivery<Candidate>>) -> F,
) {
    let mut rounds = JoinSet::new();
    loop {
        let mut round = Vec::new();
        if candidates.recv_many(&mut round, ROUND_MAX).await == 0 {
            break;
        }
        while rounds.len() >= ROUNDS_MAX {
            joined(rounds.join_next().await);
        }
        rounds.spawn(claim(round));
        while let Some(ended) = rounds.try_join_next() {
            joined(Some(ended));
        }
    }
    while let Some(ended) = rounds.join_next().await {
        joined(Some(ended));
    }
}
