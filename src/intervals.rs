//! How long to wait before trying again: exponential, capped, jittered.
//!
//! The one module that names the crate `backoff` (unmaintained, RUSTSEC-2025-0012; see `docs/adr/0002`). It supplies
//! the growing intervals; the jitter is ours, because a simulation must be able to seed it.

use std::time::Duration;

use backoff::{ExponentialBackoff, ExponentialBackoffBuilder, backoff::Backoff};

/// Share of an interval that is left to chance: an interval of 1 s becomes 0.5 s to 1.5 s.
const JITTER: f64 = 0.5;

/// The waiting times of one thing that is tried again and again.
#[derive(Debug)]
pub struct Intervals {
    growing: ExponentialBackoff,
}

impl Intervals {
    /// Starts at `first` and doubles up to `longest`, for ever: callers decide when to stop.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let growing = ExponentialBackoffBuilder::new()
            .with_initial_interval(first)
            .with_max_interval(longest)
            .with_multiplier(2.0)
            .with_randomization_factor(0.0)
            .with_max_elapsed_time(None)
            .build();
        Self { growing }
    }

    /// For a remote service that said "slow down" or said nothing: 100 ms to 20 s.
    pub fn for_calls() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(20))
    }

    /// For what only an operator can cure: 5 s to 30 s, which is 45 s at most with jitter.
    pub fn for_operators() -> Self {
        Self::new(Duration::from_secs(5), Duration::from_secs(30))
    }

    /// The next waiting time.
    pub fn next_interval(&mut self) -> Duration {
        let longest = self.growing.max_interval;
        let interval = self.growing.next_backoff().unwrap_or(longest);
        jittered(interval)
    }

    /// It worked: the next failure starts from the shortest interval again.
    pub fn reset(&mut self) {
        self.growing.reset();
    }
}

/// The delay of what comes again by itself and says only how often it came: `first` after the first time, then twice as
/// long each time, up to `longest`.
pub fn of_attempt(attempt: u32, first: Duration, longest: Duration) -> Duration {
    let doubled = first.saturating_mul(1 << attempt.saturating_sub(1).min(16));
    jittered(doubled.min(longest))
}

/// `interval`, up to half shorter or longer, so that many workers do not act in step.
pub fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_double_up_to_the_longest_and_start_again_after_a_reset() {
        fastrand::seed(7);
        let mut intervals = Intervals::new(Duration::from_secs(1), Duration::from_secs(8));
        for expected in [1.0, 2.0, 4.0, 8.0, 8.0] {
            let seconds = intervals.next_interval().as_secs_f64();
            assert!(
                (expected * 0.5..=expected * 1.5).contains(&seconds),
                "{seconds} is not around {expected}"
            );
        }
        intervals.reset();
        assert!(intervals.next_interval() <= Duration::from_millis(1_500));
    }

    #[test]
    fn two_workers_do_not_wait_in_step() {
        fastrand::seed(7);
        let first = Intervals::for_calls().next_interval();
        assert_ne!(first, Intervals::for_calls().next_interval());
    }
}
