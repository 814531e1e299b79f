//! Stops intake when so many deliveries end as dead letters that our own mistake is the likelier reason.
//!
//! In: how deliveries end. Out: the gate, closed for a while and then opened for a try.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::time::sleep;

use crate::{
    config::BreakerConfig,
    gate::{Cause, Gate},
};

/// After a pause a tenth of the usual number of deliveries decides, so that a bad queue trickles and does not pour.
const TRY_SHARE: usize = 10;

/// Looks at the last deliveries.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerConfig,
    gate: Arc<Gate>,
    last: Mutex<Window>,
}

#[derive(Debug)]
struct Window {
    is_bad: VecDeque<bool>,
    bad: usize,
    length: usize,
}

impl Breaker {
    /// Closes `gate` by these settings.
    pub fn new(settings: BreakerConfig, gate: Arc<Gate>) -> Arc<Self> {
        let window = Window { is_bad: VecDeque::new(), bad: 0, length: settings.deliveries.max(1) };
        Arc::new(Self { settings, gate, last: Mutex::new(window) })
    }

    /// A delivery was published, or had been before.
    pub fn saw_good(&self) {
        self.saw(false);
    }

    /// A delivery is to be dead-lettered.
    pub fn saw_bad(&self) {
        self.saw(true);
    }

    /// Opens the gate again after each cool-down. Runs until it is dropped.
    pub async fn run(&self) {
        loop {
            self.gate.caused(&Cause::Breaker).await;
            sleep(self.settings.cool_down).await;
            self.lock().start_again((self.settings.deliveries / TRY_SHARE).max(1));
            self.gate.open(&Cause::Breaker);
        }
    }

    fn saw(&self, is_bad: bool) {
        let mut window = self.lock();
        window.push(is_bad);
        if window.is_full() && window.share() > self.settings.dead_letter_share {
            let (bad, all) = (window.bad, window.length);
            drop(window);
            self.gate.close(Cause::Breaker, format!(
                "{bad} of the last {all} deliveries were dead-lettered; look at their reasons, cure the producer or \
                 the mapping, or raise breaker.dead_letter_share; intake is tried again every {} s",
                self.settings.cool_down.as_secs()
            ));
        } else if !is_bad && window.is_full() && window.length < self.settings.deliveries {
            window.length = self.settings.deliveries;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Window> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Window {
    fn push(&mut self, is_bad: bool) {
        while self.is_full() {
            self.bad -= usize::from(self.is_bad.pop_front() == Some(true));
        }
        self.is_bad.push_back(is_bad);
        self.bad += usize::from(is_bad);
    }

    fn is_full(&self) -> bool {
        self.is_bad.len() >= self.length
    }

    fn share(&self) -> f64 {
        self.bad as f64 / self.length as f64
    }

    fn start_again(&mut self, length: usize) {
        *self = Self { is_bad: VecDeque::new(), bad: 0, length };
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn breaker(gate: &Arc<Gate>) -> Arc<Breaker> {
        let settings =
            BreakerConfig { dead_letter_share: 0.5, deliveries: 20, cool_down: Duration::from_mins(1) };
        Breaker::new(settings, gate.clone())
    }

    #[test]
    fn half_of_the_last_deliveries_is_not_yet_too_much_and_one_more_is() {
        let gate = Arc::new(Gate::new(1));
        let breaker = breaker(&gate);
        (0..10).for_each(|_| breaker.saw_good());
        (0..10).for_each(|_| breaker.saw_bad());
        assert!(!gate.is_closed_by(&Cause::Breaker));
        breaker.saw_bad();
        assert!(gate.is_closed_by(&Cause::Breaker));
    }

    #[test]
    fn a_few_bad_events_at_the_start_decide_nothing() {
        let gate = Arc::new(Gate::new(1));
        let breaker = breaker(&gate);
        (0..19).for_each(|_| breaker.saw_bad());
        assert!(!gate.is_closed_by(&Cause::Breaker));
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_cool_down_a_few_deliveries_decide_whether_it_closes_again() {
        let gate = Arc::new(Gate::new(1));
        let breaker = breaker(&gate);
        (0..20).for_each(|_| breaker.saw_bad());
        let waited = tokio::time::Instant::now();
        tokio::select! {
            () = breaker.run() => {}
            () = gate.cured(&Cause::Breaker) => {}
        }
        assert!(waited.elapsed() >= Duration::from_mins(1));
        breaker.saw_bad();
        assert!(!gate.is_closed_by(&Cause::Breaker));
        breaker.saw_bad();
        assert!(gate.is_closed_by(&Cause::Breaker));
    }
}
