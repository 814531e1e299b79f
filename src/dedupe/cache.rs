//! In front of a ledger that is far away: what this worker knows to be published costs no request.
//!
//! Only what the ledger has confirmed is known, and only for a while: an operator may make the ledger forget an id, and
//! workers have to notice. A miss costs one look into a map; a dead letter is never known here, because a redriven or
//! corrected event may pass it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;

use super::{
    Claim, Claimed, Claiming, Commit, Committed, Entry, Fact, Final, Key, Ledger, LedgerSize,
    recent::{Half, Recent, half_of_key},
};
use crate::{event::ContentHash, failure::CallError};

/// A ledger and what it said lately.
pub struct CachedLedger {
    ledger: Arc<dyn Ledger>,
    published: Mutex<Recent<ContentHash>>,
}

impl CachedLedger {
    /// Remembers at most `entries_max` published ids, each for `remembered_for` after the ledger confirmed it.
    pub fn new(ledger: Arc<dyn Ledger>, remembered_for: Duration, entries_max: usize) -> Self {
        Self { ledger, published: Mutex::new(Recent::new(remembered_for, entries_max)) }
    }

    fn lock(&self) -> MutexGuard<'_, Recent<ContentHash>> {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.forget_old();
        published
    }

    fn known(&self, wishes: &[Claiming]) -> Vec<Option<Claim>> {
        let keys: Vec<_> = wishes.iter().map(|wish| half_of_key(&wish.key)).collect();
        let published = self.lock();
        let known = |key: &Half| published.get(key).map(|(content_hash, _)| content_hash);
        keys.iter()
            .map(|key| known(key).map(|content_hash| Claim::AlreadyPublished { content_hash }))
            .collect()
    }

    fn remember<'a>(&self, published: impl Iterator<Item = (&'a Key, ContentHash)>) {
        let published: Vec<_> = published.map(|(key, content)| (half_of_key(key), content)).collect();
        let mut known = self.lock();
        for (key, content) in published {
            known.insert(key, content);
        }
        known.forget_beyond();
    }
}

#[async_trait]
impl Ledger for CachedLedger {
    async fn claim(&self, wishes: &[Claiming], lease: Duration) -> Vec<Result<Claim, CallError>> {
        let known = self.known(wishes);
        let asked: Vec<_> = wishes
            .iter()
            .zip(&known)
            .filter(|(_, known)| known.is_none())
            .map(|(wish, _)| wish.clone())
            .collect();
        let answers = if asked.is_empty() { Vec::new() } else { self.ledger.claim(&asked, lease).await };
        assert_eq!(answers.len(), asked.len(), "a ledger answers for each claim");
        self.remember(asked.iter().zip(&answers).filter_map(|(wish, answer)| match answer {
            Ok(Claim::AlreadyPublished { content_hash }) => Some((&wish.key, *content_hash)),
            _ => None,
        }));
        let mut answers = answers.into_iter();
        known.into_iter().filter_map(|known| known.map(Ok).or_else(|| answers.next())).collect()
    }

    async fn commit(&self, settled: &[Committed]) -> Vec<Result<Commit, CallError>> {
        let results = self.ledger.commit(settled).await;
        self.remember(settled.iter().zip(&results).filter_map(|(committed, result)| {
            let is_published = matches!(committed.state, Final::Published { .. });
            let claim = &committed.claim;
            (is_published && *result == Ok(Commit::Recorded)).then_some((&claim.key, claim.content_hash))
        }));
        results
    }

    async fn release(&self, claims: &[Claimed]) -> Vec<Result<(), CallError>> {
        self.ledger.release(claims).await
    }

    async fn find(&self, key: &Key) -> Result<Option<Entry>, CallError> {
        self.ledger.find(key).await
    }

    async fn forget(&self, key: &Key) -> Result<bool, CallError> {
        self.lock().remove(&half_of_key(key));
        self.ledger.forget(key).await
    }

    async fn describe(&self) -> Result<Vec<Fact>, CallError> {
        self.ledger.describe().await
    }

    /// What is remembered here: how much the ledger itself holds is not cheap to know.
    fn size(&self) -> LedgerSize {
        LedgerSize { entries: self.lock().len() as u64, evicted: 0 }
    }
}
