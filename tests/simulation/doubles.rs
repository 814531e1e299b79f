//! The four seams in the simulated world. Each call may fail, half-fail or lose its answer.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tributary::{
    batch::Limits,
    dead_letter::{DeadLetter, Letter, StoreError},
    dedupe::{
        Claim, Claimed, Claiming, Commit, Committed, Entry, Fact, Final, Key, Ledger, memory::MemoryLedger,
    },
    event::ReadyEvent,
    failure::CallError,
    metrics::Metrics,
    publish::{Destination, Verdict},
    receive::{Deadline, Handle, Message, Source},
};

use super::world::{VISIBILITY, World};

/// A worker's hands in the world.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) world: World,
    pub(crate) worker: u32,
    pub(crate) metrics: Arc<Metrics>,
    /// The real ledger, shared by all workers, behind calls that may fail.
    pub(crate) ledger: Arc<MemoryLedger>,
}

impl Hands {
    /// The conservation law holds at every step.
    fn check_law(&self) {
        let counts = self.metrics.counts();
        assert_eq!(counts.imbalance(), 0, "the law is broken: {counts:?}");
    }
}

fn flaky(what: &str) -> CallError {
    CallError::transient("flaky", what)
}

#[async_trait]
impl Source for Hands {
    async fn receive(&self) -> Result<Vec<Message>, CallError> {
        self.check_law();
        sleep(Duration::from_millis(20)).await;
        let is_idle = self.world.look().queue.iter().all(|queued| queued.visible_at > Instant::now());
        if is_idle {
            sleep(Duration::from_secs(1)).await;
        }
        let mut world = self.world.look();
        if world.fault() {
            return Err(flaky("receive"));
        }
        let now = Instant::now();
        let mut busy: BTreeSet<_> =
            world.queue.iter().filter(|m| m.visible_at > now).filter_map(|m| m.group.clone()).collect();
        let (mut received, mut next, mut most) = (Vec::new(), world.next_handle, world.receive_count_max);
        for queued in &mut world.queue {
            let is_blocked = queued.group.as_ref().is_some_and(|group| busy.contains(group));
            if received.len() == 10 || queued.visible_at > now || is_blocked {
                // Nothing overtakes a message of its own group.
                busy.extend(queued.group.clone().filter(|_| received.len() == 10));
                continue;
            }
            next += 1;
            queued.receive_count += 1;
            most = most.max(queued.receive_count);
            queued.visible_at = now + VISIBILITY;
            let deadline = Deadline::new(now + VISIBILITY);
            let handle = Handle { message_id: queued.key.to_string().into(), delivery: next };
            queued.handle = Some(handle.clone());
            queued.held_by = Some((self.worker, deadline.clone()));
            received.push(Message {
                handle,
                body: queued.body.clone(),
                is_base64: false,
                attempt: queued.receive_count,
                sent_at: None,
                deadline,
                group: queued.group.as_deref().map(Into::into),
                is_redriven: false,
                about: Arc::default(),
            });
        }
        (world.next_handle, world.receive_count_max) = (next, most);
        Ok(received)
    }

    async fn ack(&self, handles: &[Handle]) -> Vec<Result<(), CallError>> {
        self.check_law();
        self.world.network().await;
        let mut world = self.world.look();
        let mut ack = |handle: &Handle| {
            if world.fault() {
                return Err(flaky("ack"));
            }
            if let Some(at) = world.queue.iter().position(|queued| queued.handle.as_ref() == Some(handle)) {
                world.assert_settled(&world.queue[at]);
                world.queue.remove(at);
            }
            Ok(())
        };
        handles.iter().map(&mut ack).collect()
    }

    async fn give_back(&self, handles: &[(Handle, Duration)]) -> Vec<Result<(), CallError>> {
        self.world.network().await;
        let mut world = self.world.look();
        let mut give_back = |(handle, after): &(Handle, Duration)| {
            if world.fault() {
                return Err(flaky("give back"));
            }
            if let Some(queued) = world.queue.iter_mut().find(|queued| queued.handle.as_ref() == Some(handle))
            {
                queued.visible_at = Instant::now() + *after;
                queued.held_by = None;
            }
            Ok(())
        };
        handles.iter().map(&mut give_back).collect()
    }

    async fn keep_alive(&self) {
        loop {
            sleep(VISIBILITY / 4).await;
            self.check_law();
            let mut guard = self.world.look();
            let world = &mut *guard;
            if Instant::now() < world.deaf_until {
                continue;
            }
            for queued in &mut world.queue {
                let fails = world.faults > 0.0 && world.rng.f64() < world.faults;
                if let Some((worker, deadline)) = &queued.held_by
                    && *worker == self.worker
                    && queued.visible_at > Instant::now()
                    && !fails
                {
                    queued.visible_at = Instant::now() + VISIBILITY;
                    deadline.move_to(queued.visible_at);
                }
            }
        }
    }

    fn batch_max(&self) -> usize {
        10
    }
}

#[async_trait]
impl Ledger for Hands {
    async fn claim(&self, wishes: &[Claiming], lease: Duration) -> Vec<Result<Claim, CallError>> {
        self.world.network().await;
        if self.world.look().ledger_fault() {
            return wishes.iter().map(|_| Err(flaky("claim"))).collect();
        }
        let is_unanswered = self.world.look().fault();
        let mut answers = Vec::new();
        for wish in wishes {
            if self.world.look().fault() {
                answers.push(Err(flaky("claim")));
                continue;
            }
            let answer = self.ledger.claim(std::slice::from_ref(wish), lease).await.remove(0);
            // The claim is made, and the worker is not told: it asks again.
            let is_lost = is_unanswered || self.world.look().fault();
            answers.push(if is_lost { Err(flaky("claim")) } else { answer });
        }
        answers
    }

    async fn commit(&self, settled: &[Committed]) -> Vec<Result<Commit, CallError>> {
        self.world.network().await;
        let mut results = Vec::new();
        for committed in settled {
            let key = &committed.claim.key;
            let (is_unheard, is_unanswered) = {
                let mut world = self.world.look();
                let is_there = world.lakes.contains_key(&(key.destination.to_string(), key.id.to_string()));
                let is_published = matches!(committed.state, Final::Published { .. });
                assert!(is_there || !is_published, "committed {key:?}, which the lake does not have");
                (world.ledger_fault(), world.fault())
            };
            if is_unheard {
                results.push(Err(flaky("commit")));
                continue;
            }
            let result = self.ledger.commit(std::slice::from_ref(committed)).await.remove(0);
            let token = committed.claim.token;
            match result {
                Ok(Commit::Recorded) => drop(self.world.look().recorded.insert(token)),
                // Said again after an answer that was lost: nothing is.
                Ok(Commit::Lost) if self.world.look().recorded.contains(&token) => {}
                _ => drop(self.world.look().unknown.insert(key.id.to_string())),
            }
            // The commit is made, and the worker is not told: it says it again.
            results.push(if is_unanswered { Err(flaky("commit")) } else { result });
        }
        results
    }

    async fn release(&self, claims: &[Claimed]) -> Vec<Result<(), CallError>> {
        self.world.network().await;
        if self.world.look().ledger_fault() {
            return claims.iter().map(|_| Err(flaky("release"))).collect();
        }
        self.ledger.release(claims).await
    }

    async fn find(&self, key: &Key) -> Result<Option<Entry>, CallError> {
        self.world.network().await;
        if self.world.look().ledger_fault() {
            return Err(flaky("find"));
        }
        self.ledger.find(key).await
    }

    async fn forget(&self, key: &Key) -> Result<bool, CallError> {
        self.ledger.forget(key).await
    }

    async fn describe(&self) -> Result<Vec<Fact>, CallError> {
        self.ledger.describe().await
    }
}

/// One lake of the world.
pub(crate) struct Lake {
    pub(crate) hands: Hands,
    pub(crate) name: String,
}

#[async_trait]
impl Destination for Lake {
    fn limits(&self) -> Limits {
        Limits { events_max: 100, bytes_max: 20_000 }
    }

    async fn put(&self, events: &[&ReadyEvent]) -> Result<Vec<Verdict>, CallError> {
        self.hands.check_law();
        let ids: BTreeSet<_> = events.iter().map(|event| event.id().wire()).collect();
        assert_eq!(ids.len(), events.len(), "two entries of one request share an id");
        assert!(events.len() <= 100, "too many entries");
        let bytes: usize = events.iter().map(|event| event.wire_bytes()).sum();
        assert!(events.len() == 1 || bytes <= 20_000, "{bytes} bytes in one request");
        let slow = self.hands.world.look().slow_put;
        sleep(slow).await;
        let mut world = self.hands.world.look();
        let now = Instant::now();
        if now < world.gone_until || world.fault() {
            return Err(flaky("gone"));
        }
        if now < world.denied_until && world.destinations.last() == Some(&self.name) {
            return Err(CallError::misconfigured("AccessDeniedException", "denied"));
        }
        if events.iter().any(|event| event.json().contains("poison")) {
            return Err(CallError::BadRequest {
                code: "ValidationError".into(),
                message: "HTTP status 400".into(),
            });
        }
        let reply_is_lost = world.fault();
        let mut verdicts = Vec::new();
        for event in events {
            let id = event.id().declared().to_owned();
            if event.json().contains("refuse-me") {
                verdicts.push(Verdict::Refused { code: "InvalidData".into() });
                continue;
            }
            if world.fault() {
                let code = if world.rng.bool() { "Throttling" } else { "InternalFailure" };
                verdicts.push(Verdict::TryAgain { code: code.into() });
                continue;
            }
            let is_mentioned = !world.fault();
            let key = (self.name.clone(), id.clone());
            if let Some((group, number)) = group_of(&id)
                && !world.lakes.contains_key(&key)
            {
                world.first_seen.entry((group, self.name.clone())).or_default().push(number);
            }
            *world.lakes.entry(key).or_default().contents.entry(event.json().to_owned()).or_default() += 1;
            if reply_is_lost || !is_mentioned {
                world.unknown.insert(id);
            } else {
                world.told.entry(self.hands.worker).or_default().0 += 1;
            }
            let stored_as = String::from("row");
            verdicts.push(if is_mentioned { Verdict::Accepted { stored_as } } else { Verdict::Unknown });
        }
        if reply_is_lost { Err(CallError::transient("timeout", "no reply")) } else { Ok(verdicts) }
    }
}

/// Ids of grouped events are written `<group>.<number>.<copy>`.
fn group_of(id: &str) -> Option<(String, u64)> {
    let mut parts = id.split('.');
    let group = parts.next().filter(|group| group.starts_with("group"))?;
    Some((group.to_owned(), parts.next()?.parse().ok()?))
}

#[async_trait]
impl DeadLetter for Hands {
    async fn store(&self, letters: &[Letter]) -> Vec<Result<(), StoreError>> {
        self.check_law();
        self.world.network().await;
        let mut world = self.world.look();
        let mut store = |letter: &Letter| {
            if world.fault() {
                return Err(StoreError::Call(flaky("letter")));
            }
            let original = Bytes::copy_from_slice(letter.original.trim_ascii());
            *world.dead.entry((original.clone(), letter.destination.clone())).or_default() += 1;
            if world.fault() {
                world.unknown_letters.insert(original);
                return Err(StoreError::Call(flaky("letter, stored, and the answer is lost")));
            }
            world.told.entry(self.worker).or_default().1 += 1;
            Ok(())
        };
        letters.iter().map(&mut store).collect()
    }
}
