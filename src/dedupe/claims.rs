//! The claims that are open now, kept alive until their deliveries are settled.
//!
//! Like the heartbeat of the source's messages: an event may wait for an hour because its lake is gone, and nobody
//! else may take it up meanwhile.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hashbrown::HashMap;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::{Claim, Claimed, Claiming, Ledger, Token};

/// Renewals of one call to the ledger.
const RENEWALS_MAX: usize = 1_000;

/// All open claims of one worker.
#[derive(Debug, Default)]
pub struct OpenClaims {
    open: Mutex<HashMap<Token, Claimed>>,
}

/// One open claim. Dropping it ends its renewal, not the claim: that is the settler's business.
pub struct OpenClaim {
    claimed: Claimed,
    of: Arc<OpenClaims>,
}

impl OpenClaims {
    /// From here on the claim is renewed.
    pub(super) fn add(self: &Arc<Self>, claimed: Claimed) -> OpenClaim {
        self.lock().insert(claimed.token, claimed.clone());
        OpenClaim { claimed, of: self.clone() }
    }

    /// Renews claims after a quarter of their lease: however late the look, more than half is always left. The
    /// configuration lets a put take that long, and an event whose claim would end meanwhile is not sent. Runs until
    /// it is dropped.
    pub(super) async fn keep_alive(&self, ledger: &dyn Ledger, lease: Duration) {
        loop {
            sleep(lease / 8).await;
            let due: Vec<_> = {
                let soon = Instant::now() + lease * 3 / 4;
                self.lock().values().filter(|claimed| claimed.lease.at() < soon).cloned().collect()
            };
            for claims in due.chunks(RENEWALS_MAX) {
                renew(claims, ledger, lease).await;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Token, Claimed>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn renew(claims: &[Claimed], ledger: &dyn Ledger, lease: Duration) {
    let wishes: Vec<_> = claims.iter().map(Claiming::again).collect();
    let asked_at = Instant::now();
    match ledger.claim(&wishes, lease).await {
        Ok(answers) => {
            assert_eq!(answers.len(), wishes.len(), "a ledger answers for each claim");
            for (claimed, answer) in claims.iter().zip(answers) {
                // A lost claim is somebody else's event now: with no lease left it is given back, not published.
                claimed.lease.move_to(if answer == Claim::Won { asked_at + lease } else { asked_at });
            }
        }
        Err(error) => {
            warn!(stage = "dedupe", claims = claims.len(), code = error.code(), %error, "could not renew claims");
        }
    }
}

impl OpenClaim {
    /// The claim itself.
    pub fn claimed(&self) -> &Claimed {
        &self.claimed
    }
}

impl Drop for OpenClaim {
    fn drop(&mut self) {
        self.of.lock().remove(&self.claimed.token);
    }
}

impl fmt::Debug for OpenClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.claimed, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dedupe::Key, dedupe::memory::MemoryLedger, event::ContentHash, receive::Deadline};

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_is_kept_alive_has_always_half_its_lease_left() {
        let lease = Duration::from_secs(10);
        let ledger = MemoryLedger::new(Duration::from_hours(1), 10);
        let wish = Claiming {
            key: Key { destination: "lake".into(), id: "a".into(), conflict: None },
            token: Token::source()(),
            content_hash: ContentHash([0; 32]),
            is_redriven: false,
        };
        assert_eq!(ledger.claim(std::slice::from_ref(&wish), lease).await, Ok(vec![Claim::Won]));
        let claimed = Claimed {
            key: wish.key,
            token: wish.token,
            content_hash: wish.content_hash,
            is_redriven: false,
            lease: Deadline::new(Instant::now() + lease),
        };
        let open = Arc::new(OpenClaims::default());
        let claim = open.add(claimed);
        let watch = async {
            for _ in 0..600 {
                sleep(Duration::from_millis(100)).await;
                let left = claim.claimed().lease.at() - Instant::now();
                assert!(left >= lease / 2, "{left:?}");
            }
        };
        tokio::select! {
            () = open.keep_alive(&ledger, lease) => {}
            () = watch => {}
        }
    }
}
