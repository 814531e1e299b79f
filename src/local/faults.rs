//! How the local lake misbehaves when told to.
//!
//! In: [`Faults`], from flags or `PUT /lake/faults`. Out: for each request and entry, what goes wrong this time,
//! drawn from a seeded generator so that a failing run can be repeated.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// What the lake does wrong. The default is nothing.
///
/// Every share is between 0 (never) and 1 (always). Faults combine; per request they are drawn in the order of
/// the fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Start of the random numbers; drawn and reported when absent.
    pub seed: Option<u64>,
    /// Only puts to this channel, by its whole ARN; absent, all of them.
    pub channel: Option<String>,
    /// Close the connection of every put at once.
    pub down: bool,
    /// Refuse every put with this error code, for example `AccessDeniedException`.
    pub refuse: Option<String>,
    /// Answer `ThrottlingException` (HTTP 400) beyond this many puts a second.
    pub throttle_per_second: Option<u32>,
    /// Share of puts answered with HTTP `error_status`; nothing is stored.
    pub error_share: f64,
    /// 500 to 599.
    pub error_status: u16,
    /// Share of entries reported as failed with `fail_code`; they are not stored.
    pub fail_share: f64,
    /// The per-entry code, for example `Throttling` or `InternalFailure`.
    pub fail_code: String,
    /// Share of entries that are stored and then not mentioned in the answer.
    pub forget_share: f64,
    /// Share of puts that are stored and then never answered: the connection is closed.
    pub drop_reply_share: f64,
    /// Answer every put this late, in milliseconds, after storing it.
    pub delay_ms: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            seed: None,
            channel: None,
            down: false,
            refuse: None,
            throttle_per_second: None,
            error_share: 0.0,
            error_status: 500,
            fail_share: 0.0,
            fail_code: "InternalFailure".to_owned(),
            forget_share: 0.0,
            drop_reply_share: 0.0,
            delay_ms: 0,
        }
    }
}

/// A fault that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultsError {
    /// Not a share.
    #[error("{0} must be between 0 and 1")]
    Share(&'static str),
    /// Not an error of the server.
    #[error("error_status must be between 500 and 599")]
    Status,
    /// No code that an answer could carry.
    #[error("{0} must be 1 to 128 letters or digits")]
    Code(&'static str),
    /// `down` says the same, honestly.
    #[error("throttle_per_second must be at least 1")]
    Throttle,
}

impl Faults {
    /// Longest delay that is accepted, in milliseconds.
    const DELAY_MS_MAX: u64 = 600_000;

    /// Whether every number makes sense.
    ///
    /// # Errors
    /// The first one that does not.
    pub fn check(&self) -> Result<(), FaultsError> {
        let shares = [
            ("error_share", self.error_share),
            ("fail_share", self.fail_share),
            ("forget_share", self.forget_share),
            ("drop_reply_share", self.drop_reply_share),
        ];
        if let Some((name, _)) = shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share)) {
            return Err(FaultsError::Share(name));
        }
        if !(500..=599).contains(&self.error_status) {
            return Err(FaultsError::Status);
        }
        if !is_code(&self.fail_code) {
            return Err(FaultsError::Code("fail_code"));
        }
        if self.refuse.as_deref().is_some_and(|code| !is_code(code)) {
            return Err(FaultsError::Code("refuse"));
        }
        if self.throttle_per_second == Some(0) {
            return Err(FaultsError::Throttle);
        }
        Ok(())
    }

    /// How late an answer is.
    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.min(Self::DELAY_MS_MAX))
    }
}

fn is_code(code: &str) -> bool {
    (1..=128).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The fault of one whole put, if it has one.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PutFault {
    /// Hang up.
    Down,
    /// Refuse with this code.
    Refuse(String),
    /// One too many in this second.
    Throttle,
    /// This HTTP status.
    Error(u16),
}

/// The faults in force, with their random numbers and their bucket.
#[derive(Debug)]
pub(super) struct Mischief {
    faults: Faults,
    seed: u64,
    random: fastrand::Rng,
    /// Puts that may still pass, refilled with time; holds at most one second's worth.
    tokens: f64,
    filled: Instant,
}

impl Mischief {
    /// Starts over with other faults. They have been checked.
    pub(super) fn new(faults: Faults) -> Self {
        let seed = faults.seed.unwrap_or_else(|| fastrand::u64(..));
        let tokens = faults.throttle_per_second.map_or(0.0, f64::from);
        Self { faults, seed, random: fastrand::Rng::with_seed(seed), tokens, filled: Instant::now() }
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What the random numbers started from, given or drawn.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Whether puts to this channel are concerned at all.
    pub(super) fn concerns(&self, channel: Option<&str>) -> bool {
        self.faults.channel.is_none() || self.faults.channel.as_deref() == channel
    }

    /// What happens to the next put as a whole, which goes to this channel.
    pub(super) fn next_put(&mut self, channel: Option<&str>) -> Option<PutFault> {
        if !self.concerns(channel) {
            return None;
        }
        if self.faults.down {
            return Some(PutFault::Down);
        }
        if let Some(code) = &self.faults.refuse {
            return Some(PutFault::Refuse(code.clone()));
        }
        if self.is_throttled() {
            return Some(PutFault::Throttle);
        }
        self.draw(self.faults.error_share).then_some(PutFault::Error(self.faults.error_status))
    }

    /// Whether the next entry is reported as failed.
    pub(super) fn fails_entry(&mut self) -> bool {
        self.draw(self.faults.fail_share)
    }

    /// Whether the next entry is left out of the answer.
    pub(super) fn forgets_entry(&mut self) -> bool {
        self.draw(self.faults.forget_share)
    }

    /// Whether the next answer is never sent.
    pub(super) fn drops_reply(&mut self) -> bool {
        self.draw(self.faults.drop_reply_share)
    }

    fn draw(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.f64() < share
    }

    fn is_throttled(&mut self) -> bool {
        let Some(rate) = self.faults.throttle_per_second.map(f64::from) else { return false };
        let now = Instant::now();
        self.tokens = rate.min(self.tokens + rate * now.duration_since(self.filled).as_secs_f64());
        self.filled = now;
        if self.tokens < 1.0 {
            return true;
        }
        self.tokens -= 1.0;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn puts_beyond_the_rate_are_throttled_and_the_next_second_passes_again() {
        let mut mischief = Mischief::new(Faults { throttle_per_second: Some(10), ..Faults::default() });
        let mut passed = 0;
        for _ in 0..50 {
            passed += usize::from(mischief.next_put(None).is_none());
        }
        assert_eq!(passed, 10);
        tokio::time::advance(Duration::from_millis(500)).await;
        let passed = (0..50).filter(|_| mischief.next_put(None).is_none()).count();
        assert_eq!(passed, 5);
    }

    #[tokio::test]
    async fn one_channel_alone_can_misbehave() {
        let faults = Faults { channel: Some("one".to_owned()), down: true, ..Faults::default() };
        let mut mischief = Mischief::new(faults);
        assert_eq!(mischief.next_put(Some("one")), Some(PutFault::Down));
        assert_eq!(mischief.next_put(Some("two")), None);
        assert_eq!(mischief.next_put(None), None);
    }

    #[tokio::test]
    async fn the_same_seed_draws_the_same_faults() {
        let faults = Faults { seed: Some(7), fail_share: 0.3, ..Faults::default() };
        let draw = |mut mischief: Mischief| (0..64).map(|_| mischief.fails_entry()).collect::<Vec<_>>();
        let first = draw(Mischief::new(faults.clone()));
        assert_eq!(first, draw(Mischief::new(faults.clone())));
        assert_ne!(first, draw(Mischief::new(Faults { seed: Some(8), ..faults })));
        assert!((8..32).contains(&first.iter().filter(|fails| **fails).count()));
    }

    #[test]
    fn numbers_that_make_no_sense_are_refused_by_name() {
        let cases = [
            (Faults { fail_share: 1.5, ..Faults::default() }, FaultsError::Share("fail_share")),
            (Faults { error_share: f64::NAN, ..Faults::default() }, FaultsError::Share("error_share")),
            (Faults { error_status: 404, ..Faults::default() }, FaultsError::Status),
            (Faults { fail_code: String::new(), ..Faults::default() }, FaultsError::Code("fail_code")),
            (Faults { refuse: Some("a b".into()), ..Faults::default() }, FaultsError::Code("refuse")),
            (Faults { throttle_per_second: Some(0), ..Faults::default() }, FaultsError::Throttle),
        ];
        for (faults, expected) in cases {
            assert_eq!(faults.check(), Err(expected));
        }
        assert_eq!(Faults::default().check(), Ok(()));
    }
}
