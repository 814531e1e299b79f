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
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tracing::warn;

use super::{Claim, Claimed, Claiming, Ledger, Token, rounds::ROUND_MAX};
use crate::tasks::joined;

/// Renewing calls to the ledger under way at once.
const CALLS_MAX: usize = 16;

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

    /// Looks every eighth of a lease for claims with less than three quarters of it left. So more than half is left
    /// while the ledger answers promptly, and the configuration lets a put take that long. While it is slow or fails
    /// less is left, down to nothing: an event whose claim would end during its put is not sent. Runs until it is
    /// dropped.
    pub(super) async fn keep_alive(self: &Arc<Self>, ledger: &Arc<dyn Ledger>, lease: Duration) {
        loop {
            sleep(lease / 8).await;
            let due: Vec<_> = {
                let soon = Instant::now() + lease * 3 / 4;
                self.lock().values().filter(|claimed| claimed.lease.at() < soon).cloned().collect()
            };
            let mut calls = JoinSet::new();
            for claims in due.chunks(ROUND_MAX) {
                if calls.len() >= CALLS_MAX {
                    joined(calls.join_next().await);
                }
                let (open, ledger, claims) = (self.clone(), ledger.clone(), claims.to_vec());
                calls.spawn(async move { open.renew(claims, &*ledger, lease).await });
            }
            while !calls.is_empty() {
                joined(calls.join_next().await);
            }
        }
    }

    /// What has ended since it was found due is left alone: won back, it would be held for a lease by nobody. What
    /// ends while the ledger is asked is given up again.
    async fn renew(&self, claims: Vec<Claimed>, ledger: &dyn Ledger, lease: Duration) {
        let (claims, _) = self.split(claims);
        let wishes: Vec<_> = claims.iter().map(Claiming::again).collect();
        let asked_at = Instant::now();
        let answers = ledger.claim(&wishes, lease).await;
        assert_eq!(answers.len(), wishes.len(), "a ledger answers for each claim");
        let failed = answers.iter().filter(|answer| answer.is_err()).count();
        if let Some(error) = answers.iter().find_map(|answer| answer.as_ref().err()) {
            warn!(stage = "dedupe", claims = failed, code = error.code(), %error, "could not renew claims");
        }
        for (claimed, answer) in claims.iter().zip(answers) {
            match answer {
                Ok(Claim::Won) => claimed.lease.move_to(asked_at + lease),
                // A lost claim is somebody else's event now: with no lease left it is given back, not published.
                Ok(_) => claimed.lease.move_to(asked_at),
                // Whether it was renewed is not known; the old lease holds in any case.
                Err(_) => {}
            }
        }
        let (_, ended) = self.split(claims);
        if !ended.is_empty() {
            // A release that fails costs a wait: the claim ends with its lease.
            drop(ledger.release(&ended).await);
        }
    }

    /// The claims that are open now, and the others.
    fn split(&self, claims: Vec<Claimed>) -> (Vec<Claimed>, Vec<Claimed>) {
        let open = self.lock();
        claims.into_iter().partition(|claimed| open.contains_key(&claimed.token))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Token, Claimed>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
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
mod tests;
