//! Whether a destination is in trouble. In: how its calls went. Out: whether it throttles or fails, and not only has
//! much to do.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// A call that passes among others that are throttled does not end the trouble before this.
const LASTS: Duration = Duration::from_secs(30);

/// Shared by the calls of one lane.
#[derive(Debug, Default)]
pub(super) struct Trouble(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    last: Option<Instant>,
    /// A call went well since.
    is_over: bool,
}

impl Trouble {
    /// A call was throttled or failed.
    pub(super) fn begins(&self) {
        *self.lock() = Seen { last: Some(Instant::now()), is_over: false };
    }

    /// A call went well.
    pub(super) fn ends(&self) {
        self.lock().is_over = true;
    }

    pub(super) fn is_now(&self) -> bool {
        let seen = self.lock();
        seen.last.is_some_and(|last| !seen.is_over || last.elapsed() < LASTS)
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn trouble_lasts_until_a_call_goes_well_and_a_while_longer() {
        let trouble = Trouble::default();
        trouble.ends();
        assert!(!trouble.is_now(), "nothing failed so far");
        trouble.begins();
        advance(LASTS * 10).await;
        assert!(trouble.is_now(), "nothing went well since");
        trouble.ends();
        assert!(!trouble.is_now());
        trouble.begins();
        trouble.ends();
        assert!(trouble.is_now(), "the next one may be throttled again");
        advance(LASTS).await;
        assert!(!trouble.is_now());
    }
}
