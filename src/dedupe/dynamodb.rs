//! A ledger in one table of DynamoDB: shared by all workers, survives all of them.
//!
//! In: wishes, commits, releases. Out: one answer for each. A new event costs two writes: an insert that fails if the
//! key is there, and an update that fails if the claim is not ours. What a present item means is judged here, in
//! [`item`], by our clock; the table only says whether the item is still as it was seen. Why so: `docs/adr/0011`.
//!
//! Keys are hashed: no partition runs hot, whatever ids look like, and the table tells no ids.

mod calls;
mod facts;
mod item;
mod statements;

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use tokio::time::Instant;

use self::{
    calls::{Calls, Said},
    item::{Attributes, Half, Item, Outcome},
    statements::Statement,
};
use super::{
    Claim, Claimed, Claiming, Commit, Committed, Entry, Fact, Key, Ledger, Token, connect::SharedLedger,
};
use crate::{aws::Aws, clock::millis, event::ContentHash, failure::CallError};

/// How often a wish is tried that somebody else was faster about. Each time one of them wins and holds the claim, so
/// two are enough; the rest is for claims that are given up at once.
const TRIES_MAX: usize = 8;

/// Part of a lease that claiming may take: three quarters are left to whoever won.
const LATE: u32 = 4;

/// One table.
#[derive(Debug)]
pub struct DynamoDbLedger {
    calls: Calls,
    client: aws_sdk_dynamodb::Client,
    table: Arc<str>,
    shared: SharedLedger,
}

/// What came of a wish, and what the item says now. `None`: somebody else was faster just now.
type Answered = Option<Result<(Claim, Item), CallError>>;

/// For how long to claim, and until when an answer is waited for.
#[derive(Clone, Copy)]
struct Lasts {
    lease: Duration,
    until: Instant,
}

impl DynamoDbLedger {
    /// The table of this name in the account and Region of the credentials. Nothing is asked yet.
    pub fn new(aws: &Aws, table: &str, shared: SharedLedger) -> Self {
        let (client, table) = (aws.dynamodb(), Arc::<str>::from(table));
        Self { calls: Calls::new(client.clone(), table.clone()), client, table, shared }
    }

    fn key(&self, key: &Key) -> String {
        format!("{}#{}", self.shared.namespace, URL_SAFE_NO_PAD.encode(key.digest()))
    }

    fn now_ms(&self) -> u64 {
        self.shared.clock.now_ms()
    }

    /// What is written down for so long from now on.
    fn half(&self, token: Token, content_hash: ContentHash, lasts: Duration) -> Half {
        let until_ms = self.now_ms().saturating_add(millis(lasts));
        Half { token, until_ms, content_hash, worker: self.shared.worker.clone() }
    }

    /// Claims of different keys.
    async fn claim_each(&self, wishes: &[(&str, &Claiming)], lasts: Lasts) -> Vec<Answered> {
        let mut answered = vec![None; wishes.len()];
        let mut present = Vec::new();
        let claims = wishes.iter().map(|(_, wish)| self.half(wish.token, wish.content_hash, lasts.lease));
        let claims: Vec<_> = claims.map(|claim| Item { claim: Some(claim), settled: None }).collect();
        let inserts = wishes.iter().zip(&claims).filter_map(|((key, _), item)| {
            let expires = item.expires(self.shared.window);
            Some(Statement::insert(&self.table, key, item.claim.as_ref()?, expires))
        });
        let said = self.calls.run_until(lasts.until, &inserts.collect::<Vec<_>>()).await;
        for ((at, said), item) in said.into_iter().enumerate().zip(claims) {
            match said {
                Ok(Said::Done(_)) => answered[at] = Some(Ok((Claim::Won, item))),
                Ok(Said::Exists | Said::Refused) => present.push(at),
                Err(error) => answered[at] = Some(Err(error)),
            }
        }
        let asked: Vec<_> = present.iter().map(|at| wishes[*at]).collect();
        for (at, answer) in present.into_iter().zip(self.claim_present(&asked, lasts).await) {
            answered[at] = answer;
        }
        answered
    }

    /// Claims of keys that are in the table already: looks, judges, and takes what may be taken.
    async fn claim_present(&self, wishes: &[(&str, &Claiming)], lasts: Lasts) -> Vec<Answered> {
        let mut answered = vec![None; wishes.len()];
        let (mut free, mut takes) = (Vec::new(), Vec::new());
        let looks: Vec<_> = wishes.iter().map(|(key, _)| Statement::look(&self.table, key)).collect();
        for (at, said) in self.calls.run_until(lasts.until, &looks).await.into_iter().enumerate() {
            let (key, wish) = wishes[at];
            let seen = match said.and_then(|said| self.item(said)) {
                Ok(Some(seen)) => seen,
                Ok(None) => continue,
                Err(error) => {
                    answered[at] = Some(Err(error));
                    continue;
                }
            };
            if let Some(refusal) = seen.refusal(wish, self.now_ms()) {
                answered[at] = Some(Ok((refusal, seen)));
                continue;
            }
            let claim = self.half(wish.token, wish.content_hash, lasts.lease);
            takes.push(Statement::take(&self.table, key, &seen, &claim, self.shared.window));
            free.push((at, Item { claim: Some(claim), ..seen }));
        }
        for ((at, item), said) in free.into_iter().zip(self.calls.run_until(lasts.until, &takes).await) {
            answered[at] = match said {
                Ok(Said::Done(_)) => Some(Ok((Claim::Won, item))),
                Ok(Said::Exists | Said::Refused) => None,
                Err(error) => Some(Err(error)),
            };
        }
        answered
    }

    fn item(&self, said: Said) -> Result<Option<Item>, CallError> {
        let Said::Done(Some(attributes)) = said else { return Ok(None) };
        self.read(&attributes).map(Some)
    }

    fn read(&self, attributes: &Attributes) -> Result<Item, CallError> {
        let foreign = || {
            let table = &self.table;
            let message =
                format!("the table {table} holds an item that no ledger wrote: give it one of its own");
            CallError::misconfigured("foreign_item", message)
        };
        Item::read(attributes).ok_or_else(foreign)
    }

    /// Why a commit was refused: said before by us, or not ours any more.
    async fn refused(&self, committed: &[&Committed]) -> Vec<Result<Commit, CallError>> {
        let looks = committed.iter().map(|it| Statement::look(&self.table, &self.key(&it.claim.key)));
        let said = self.calls.run(&looks.collect::<Vec<_>>()).await;
        let known = said.into_iter().map(|said| said.and_then(|said| self.item(said)));
        let ours = |item: Option<Item>, token| {
            item.and_then(|item| item.settled).is_some_and(|(settled, _)| settled.token == token)
        };
        known
            .zip(committed)
            .map(|(item, it)| Ok(if ours(item?, it.claim.token) { Commit::Recorded } else { Commit::Lost }))
            .collect()
    }
}

#[async_trait]
impl Ledger for DynamoDbLedger {
    /// In the order of the wishes, as far as it shows: those of one key are one after the other.
    async fn claim(&self, wishes: &[Claiming], lease: Duration) -> Vec<Result<Claim, CallError>> {
        // A lease runs from when its statement was made, the caller counts from the question: never longer. What is
        // answered late has little of it left, so nothing is waited for beyond a part of it.
        let lasts = Lasts { lease, until: Instant::now() + lease / LATE };
        let keys: Vec<_> = wishes.iter().map(|wish| self.key(&wish.key)).collect();
        let mut answers = vec![None; wishes.len()];
        for _ in 0..TRIES_MAX {
            let groups = by_key(&keys, &answers);
            if groups.is_empty() {
                break;
            }
            let first = groups.iter().map(|group| (keys[group[0]].as_str(), &wishes[group[0]]));
            let answered = self.claim_each(&first.collect::<Vec<_>>(), lasts).await;
            for (group, answered) in groups.iter().zip(answered) {
                match answered {
                    Some(Ok((answer, item))) => {
                        answers[group[0]] = Some(Ok(answer));
                        // What the others of the same key meet is known; the next that may claim has to ask again.
                        for at in &group[1..] {
                            let Some(refusal) = item.refusal(&wishes[*at], self.now_ms()) else { break };
                            answers[*at] = Some(Ok(refusal));
                        }
                    }
                    // The others would not fare better.
                    Some(Err(error)) => group.iter().for_each(|at| answers[*at] = Some(Err(error.clone()))),
                    None => {}
                }
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or_else(contended)).collect()
    }

    async fn commit(&self, settled: &[Committed]) -> Vec<Result<Commit, CallError>> {
        let updates = settled.iter().map(|Committed { claim, state }| {
            let half = self.half(claim.token, claim.content_hash, self.shared.window);
            let outcome = Outcome { at_ms: self.now_ms(), ended: state.into() };
            Statement::settle(&self.table, &self.key(&claim.key), (half, outcome))
        });
        let said = self.calls.run(&updates.collect::<Vec<_>>()).await;
        let is_refused = |said: &Result<Said, CallError>| matches!(said, Ok(Said::Refused));
        let refused = settled.iter().zip(&said).filter(|(_, said)| is_refused(said)).map(|(it, _)| it);
        let mut reasons = self.refused(&refused.collect::<Vec<_>>()).await.into_iter();
        said.into_iter()
            .map(|said| match said {
                Ok(Said::Refused) => reasons.next().unwrap_or(Ok(Commit::Lost)),
                said => said.map(|_| Commit::Recorded),
            })
            .collect()
    }

    async fn release(&self, claims: &[Claimed]) -> Vec<Result<(), CallError>> {
        let keys: Vec<_> = claims.iter().map(|claim| self.key(&claim.key)).collect();
        let deletes = keys.iter().zip(claims);
        let deletes = deletes.map(|(key, claim)| Statement::delete_claimed(&self.table, key, claim.token));
        let mut said = self.calls.run(&deletes.collect::<Vec<_>>()).await;
        // Not ours any more, or there is more to know of the key than the claim.
        let refused = |said: &Result<Said, CallError>| matches!(said, Ok(Said::Refused));
        let left: Vec<_> = (0..claims.len()).filter(|at| refused(&said[*at])).collect();
        let removes =
            left.iter().map(|at| Statement::remove_claim(&self.table, &keys[*at], claims[*at].token));
        let given_up = self.calls.run(&removes.collect::<Vec<_>>()).await;
        for (at, answer) in left.into_iter().zip(given_up) {
            said[at] = answer;
        }
        said.into_iter().map(|said| said.map(|_| ())).collect()
    }

    async fn find(&self, key: &Key) -> Result<Option<Entry>, CallError> {
        let said = self.calls.run_one(Statement::look(&self.table, &self.key(key))).await?;
        Ok(self.item(said)?.and_then(|item| item.entry(self.now_ms())))
    }

    async fn forget(&self, key: &Key) -> Result<bool, CallError> {
        let said = self.calls.run_one(Statement::forget(&self.table, &self.key(key))).await?;
        let Said::Done(Some(attributes)) = said else { return Ok(false) };
        // What no ledger wrote is gone as well; there was something.
        Ok(Item::read(&attributes).is_none_or(|item| item.entry(self.now_ms()).is_some()))
    }

    async fn describe(&self) -> Result<Vec<Fact>, CallError> {
        facts::facts(&self.client, &self.table).await
    }
}

fn contended() -> Result<Claim, CallError> {
    Err(CallError::transient("contended", "a claim changed hands each time it was asked for"))
}

/// The wishes without an answer, those of one key together, in their order.
fn by_key(keys: &[String], answers: &[Option<Result<Claim, CallError>>]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (at, key) in keys.iter().enumerate().filter(|(at, _)| answers[*at].is_none()) {
        let place = *places.entry(key).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups
}
