//! How fast one destination is called: a budget of requests per second, and a number of calls in flight that grows
//! by one while all goes well and is halved when the destination says "slow down" (additive increase, multiplicative
//! decrease: Chiu and Jain, 1989).

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

/// A burst of this long may leave at once after a quiet time.
const BURST: Duration = Duration::from_millis(100);
/// The calls of one congested moment halve the number once, not once each.
const HALVE_AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// Shared by the calls of one lane.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    concurrency_max: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    next_call: Instant,
    concurrency: f64,
    halved_at: Option<Instant>,
}

impl Pace {
    pub(super) fn new(requests_per_second: u32, concurrency_max: usize) -> Self {
        let concurrency_max = concurrency_max.max(1) as f64;
        let state =
            State { next_call: Instant::now(), concurrency: concurrency_max.min(2.0), halved_at: None };
        let interval = Duration::from_secs(1) / requests_per_second.max(1);
        Self { interval, concurrency_max, state: Mutex::new(state) }
    }

    /// Waits for this call's turn in the budget.
    pub(super) async fn turn(&self) {
        let at = {
            let mut state = self.lock();
            let earliest = Instant::now().checked_sub(BURST).unwrap_or_else(Instant::now);
            let at = state.next_call.max(earliest);
            state.next_call = at + self.interval;
            at
        };
        if at > Instant::now() {
            sleep_until(at).await;
        }
    }

    /// Calls that may be in flight now.
    pub(super) fn concurrency(&self) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 1 and concurrency_max"
        )]
        let whole = self.lock().concurrency as usize;
        whole
    }

    pub(super) fn went_well(&self) {
        let mut state = self.lock();
        state.concurrency = (state.concurrency + 1.0 / state.concurrency).min(self.concurrency_max);
    }

    pub(super) fn was_throttled(&self) {
        let mut state = self.lock();
        let now = Instant::now();
        if state.halved_at.is_none_or(|at| now.duration_since(at) >= HALVE_AT_MOST_EVERY) {
            state.concurrency = (state.concurrency / 2.0).max(1.0);
            state.halved_at = Some(now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_second_sees_more_calls_than_the_budget_and_one_burst() {
        let pace = Pace::new(100, 8);
        let started = Instant::now();
        for _ in 0..1_000 {
            pace.turn().await;
        }
        let seconds = started.elapsed().as_secs_f64();
        assert!((9.7..=10.1).contains(&seconds), "1,000 calls at 100 a second took {seconds} s");
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_halves_once_for_each_congested_moment_and_success_grows_by_one_a_round() {
        let pace = Pace::new(100, 8);
        (0..200).for_each(|_| pace.went_well());
        assert_eq!(pace.concurrency(), 8);
        (0..8).for_each(|_| pace.was_throttled());
        assert_eq!(pace.concurrency(), 4);
        tokio::time::advance(HALVE_AT_MOST_EVERY).await;
        (0..8).for_each(|_| pace.was_throttled());
        assert_eq!(pace.concurrency(), 2);
        (0..3).for_each(|_| pace.went_well());
        assert_eq!(pace.concurrency(), 3);
    }
}
