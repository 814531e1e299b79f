//! All queues with their messages, in memory and, with a folder, on disk first. Every change that is answered was
//! durable before.
//!
//! In: changes. Out: their results. How often a message was received is kept in memory alone: it is approximate by
//! name, and a restart makes every message visible again anyway.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use redb::{ReadableTable, WriteTransaction};
use serde::{Deserialize, Serialize};
use tokio::{sync::Notify, time::Instant};

use super::{
    attributes::{QueueAttributes, Redrive},
    fault::{Code, Fault},
    messages::{Delivery, Message, Messages},
    now_ms,
};
use crate::local::{
    ACCOUNT,
    disk::{self, Disk, DiskError, MESSAGES, QUEUES},
};

/// Most queues at once; the disk and the listing stay small.
const QUEUES_MAX: usize = 1000;
/// How often messages past their retention are looked for.
const SWEEP: Duration = Duration::from_mins(1);

/// One queue.
pub(super) struct Queue {
    pub(super) kept: Kept,
    pub(super) messages: Messages,
    /// Wakes one long poll.
    pub(super) arrived: Arc<Notify>,
    pub(super) purged: Option<Instant>,
    swept: Instant,
}

/// What of a queue outlives a restart, beside its messages.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) number: u64,
    tag: u64,
    pub(super) created_s: u64,
    pub(super) modified_s: u64,
    pub(super) attributes: QueueAttributes,
}

/// A message as it is on disk.
#[derive(Serialize, Deserialize)]
struct OnDisk {
    message: Message,
    /// Unix milliseconds before which it is delayed.
    delayed_until_ms: u64,
}

/// All queues by name.
pub(super) struct Store {
    region: String,
    bytes_max: usize,
    run: u64,
    next_queue: u64,
    queues: BTreeMap<String, Queue>,
    disk: Option<Arc<Disk>>,
}

impl Store {
    /// With the queues that are on disk.
    pub(super) fn open(region: String, bytes_max: usize, disk: Option<Arc<Disk>>) -> Result<Self, DiskError> {
        let run = fastrand::u64(1..);
        let mut store =
            Self { region, bytes_max, run, next_queue: 0, queues: BTreeMap::new(), disk: disk.clone() };
        let Some(disk) = disk else { return Ok(store) };
        disk.read(|transaction| {
            for row in transaction.open_table(QUEUES)?.iter()? {
                let (name, kept) = row?;
                let kept: Kept = serde_json::from_slice(kept.value()).map_err(disk::corrupted)?;
                store.next_queue = store.next_queue.max(kept.number + 1);
                store.queues.insert(name.value().to_owned(), Queue::new(kept, run));
            }
            let messages = transaction.open_table(MESSAGES)?;
            for queue in store.queues.values_mut() {
                let number = queue.kept.number;
                for row in messages.range((number, 0)..=(number, u64::MAX))? {
                    let (key, message) = row?;
                    let OnDisk { message, delayed_until_ms } =
                        serde_json::from_slice(message.value()).map_err(disk::corrupted)?;
                    let delay = Duration::from_millis(delayed_until_ms.saturating_sub(now_ms()));
                    let until = (!delay.is_zero()).then(|| Instant::now() + delay);
                    queue.messages.insert(key.value().1, message, until);
                }
            }
            Ok(())
        })?;
        Ok(store)
    }

    fn write(&self, work: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>) -> Result<(), Fault> {
        self.disk.as_ref().map_or(Ok(()), |disk| disk.write(work)).map_err(Fault::from)
    }

    /// `arn:aws:sqs:<region>:<account>:<name>`
    pub(super) fn arn(&self, name: &str) -> String {
        format!("arn:aws:sqs:{}:{ACCOUNT}:{name}", self.region)
    }

    /// The name in an ARN of a queue here.
    pub(super) fn name_of<'a>(&self, arn: &'a str) -> Option<&'a str> {
        let (prefix, name) = arn.rsplit_once(':')?;
        (self.arn("").strip_suffix(':') == Some(prefix)).then_some(name)
    }

    /// Names in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.queues.keys()
    }

    /// A queue by its name.
    pub(super) fn queue(&mut self, name: &str) -> Result<&mut Queue, Fault> {
        self.queues.get_mut(name).ok_or_else(|| no_queue(name))
    }

    /// A queue by its name, if it exists.
    pub(super) fn find(&self, name: &str) -> Option<&Queue> {
        self.queues.get(name)
    }

    /// Makes a queue, or changes its attributes.
    pub(super) fn put_queue(&mut self, name: &str, attributes: QueueAttributes) -> Result<(), Fault> {
        let now_s = now_ms() / 1000;
        let kept = match self.queues.get(name) {
            Some(queue) => Kept { attributes, modified_s: now_s, ..queue.kept.clone() },
            None if self.queues.len() >= QUEUES_MAX => {
                return Err(Fault::new(Code::OverLimit, format!("there are {QUEUES_MAX} queues already")));
            }
            None => {
                let (number, tag) = (self.next_queue, fastrand::u64(..));
                Kept { number, tag, created_s: now_s, modified_s: now_s, attributes }
            }
        };
        self.write(|transaction| {
            let json = serde_json::to_vec(&kept).map_err(disk::corrupted)?;
            transaction.open_table(QUEUES)?.insert(name, json.as_slice())?;
            Ok(())
        })?;
        self.next_queue = self.next_queue.max(kept.number + 1);
        match self.queues.get_mut(name) {
            Some(queue) => queue.kept = kept,
            None => {
                self.queues.insert(name.to_owned(), Queue::new(kept, self.run));
            }
        }
        Ok(())
    }

    /// Removes a queue with its messages.
    pub(super) fn delete_queue(&mut self, name: &str) -> Result<(), Fault> {
        let number = self.queue(name)?.kept.number;
        self.write(|transaction| {
            transaction.open_table(QUEUES)?.remove(name)?;
            remove_all(transaction, number)
        })?;
        if let Some(queue) = self.queues.remove(name) {
            queue.arrived.notify_waiters();
        }
        Ok(())
    }

    /// Removes all messages of a queue.
    pub(super) fn purge(&mut self, name: &str) -> Result<(), Fault> {
        let number = self.queue(name)?.kept.number;
        self.write(|transaction| remove_all(transaction, number))?;
        self.queue(name)?.messages.clear();
        Ok(())
    }

    /// Adds messages, all or none, each visible after its delay.
    pub(super) fn send(&mut self, name: &str, messages: Vec<(Message, Duration)>) -> Result<(), Fault> {
        let held: usize = self.queues.values().map(|queue| queue.messages.bytes()).sum();
        let more: usize = messages.iter().map(|(message, _)| message.payload.bytes()).sum();
        if held + more > self.bytes_max {
            let message = format!(
                "the local queues hold {held} bytes and at most {}; receive some first",
                self.bytes_max
            );
            return Err(Fault::new(Code::OverLimit, message));
        }
        let queue = self.queue(name)?;
        let (number, first) = (queue.kept.number, queue.messages.next_number());
        self.write(|transaction| {
            let mut table = transaction.open_table(MESSAGES)?;
            for (at, (message, delay)) in (first..).zip(&messages) {
                table.insert((number, at), on_disk(message, *delay)?.as_slice())?;
            }
            Ok(())
        })?;
        let queue = self.queue(name)?;
        let now = Instant::now();
        for (at, (message, delay)) in (first..).zip(messages) {
            queue.messages.insert(at, message, (!delay.is_zero()).then(|| now + delay));
        }
        // Also for a delayed one: a long poll has to learn when to look again.
        queue.arrived.notify_one();
        Ok(())
    }

    /// Receives up to `max` messages; those received too often go to the dead-letter queue instead.
    pub(super) fn receive(
        &mut self,
        name: &str,
        max: usize,
        visibility: Duration,
    ) -> Result<Vec<Delivery>, Fault> {
        let now = Instant::now();
        self.sweep(name, now)?;
        self.queue(name)?.messages.release(now);
        let policy = self.redrive_of(name)?;
        let mut deliveries = Vec::with_capacity(max);
        let now_ms = now_ms();
        while deliveries.len() < max {
            let moved = policy.as_ref().map_or(Ok(()), |policy| self.redrive(name, policy));
            let received = match moved {
                Ok(()) => self.queue(name)?.messages.receive(now, now_ms, visibility),
                Err(fault) => Err(fault),
            };
            match received {
                Ok(Some(delivery)) => deliveries.push(delivery),
                Ok(None) => break,
                // What was received already is delivered.
                Err(_) if !deliveries.is_empty() => break,
                Err(fault) => return Err(fault),
            }
        }
        let queue = self.queue(name)?;
        if queue.messages.has_visible() {
            queue.arrived.notify_one();
        }
        Ok(deliveries)
    }

    /// Where messages go that were received too often. A dead-letter queue that is gone leaves its source as if there
    /// were no policy.
    fn redrive_of(&mut self, name: &str) -> Result<Option<Redrive>, Fault> {
        let policy = self.queue(name)?.kept.attributes.redrive.clone();
        Ok(policy.and_then(|policy| {
            let target = self.name_of(&policy.target).filter(|target| *target != name)?;
            self.queues.contains_key(target).then(|| Redrive { target: target.to_owned(), ..policy })
        }))
    }

    /// Moves the messages at the head that were received as often as the policy allows; its target is a name here.
    fn redrive(&mut self, name: &str, policy: &Redrive) -> Result<(), Fault> {
        let from = self.queue(name)?.kept.number;
        let is_used_up = |message: &Message| message.receives >= policy.receives_max;
        let taken = self.queue(name)?.messages.take_visible(usize::MAX, is_used_up);
        if taken.is_empty() {
            return Ok(());
        }
        let target = self.queue(&policy.target)?;
        let (to, first) = (target.kept.number, target.messages.next_number());
        let source = self.arn(name);
        let moved: Vec<_> = taken
            .iter()
            .map(|(_, message)| Message { dead_letter_source: Some(source.clone()), ..message.clone() })
            .collect();
        let written = self.write(|transaction| {
            let mut table = transaction.open_table(MESSAGES)?;
            for (at, ((number, _), message)) in (first..).zip(taken.iter().zip(&moved)) {
                table.remove((from, *number))?;
                table.insert((to, at), on_disk(message, Duration::ZERO)?.as_slice())?;
            }
            Ok(())
        });
        if let Err(fault) = written {
            let queue = self.queue(name)?;
            for (number, message) in taken {
                queue.messages.insert(number, message, None);
            }
            return Err(fault);
        }
        let queue = self.queue(&policy.target)?;
        for (at, message) in (first..).zip(moved) {
            queue.messages.insert(at, message, None);
        }
        queue.arrived.notify_one();
        Ok(())
    }

    /// Removes messages for good.
    pub(super) fn remove(&mut self, name: &str, numbers: &[u64]) -> Result<(), Fault> {
        if numbers.is_empty() {
            return Ok(());
        }
        let queue_number = self.queue(name)?.kept.number;
        self.write(|transaction| {
            let mut table = transaction.open_table(MESSAGES)?;
            for number in numbers {
                table.remove((queue_number, *number))?;
            }
            Ok(())
        })?;
        let queue = self.queue(name)?;
        for number in numbers {
            queue.messages.remove(*number);
        }
        Ok(())
    }

    /// Removes messages past their retention, now and then.
    fn sweep(&mut self, name: &str, now: Instant) -> Result<(), Fault> {
        let queue = self.queue(name)?;
        if now.duration_since(queue.swept) < SWEEP {
            return Ok(());
        }
        queue.swept = now;
        let kept_ms = queue.kept.attributes.retention_seconds * 1000;
        let expired = queue.messages.sent_before(now_ms().saturating_sub(kept_ms));
        self.remove(name, &expired)
    }
}

impl Queue {
    fn new(kept: Kept, run: u64) -> Self {
        let messages = Messages::new(kept.tag, run);
        Self { kept, messages, arrived: Arc::new(Notify::new()), purged: None, swept: Instant::now() }
    }
}

pub(super) fn no_queue(name: &str) -> Fault {
    Fault::new(Code::QueueDoesNotExist, format!("there is no queue {name} here"))
}

fn on_disk(message: &Message, delay: Duration) -> Result<Vec<u8>, redb::Error> {
    let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let delayed_until_ms = if delay_ms == 0 { 0 } else { now_ms().saturating_add(delay_ms) };
    serde_json::to_vec(&OnDisk { message: message.clone(), delayed_until_ms }).map_err(disk::corrupted)
}

fn remove_all(transaction: &WriteTransaction, queue: u64) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(MESSAGES)?;
    table.retain_in((queue, 0)..=(queue, u64::MAX), |_, _| false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::queue::{messages::Payload, wire::Attributes};

    fn message(id: &str, sent_ms: u64) -> Message {
        let payload = Payload {
            id: id.to_owned(),
            body: "body".to_owned(),
            md5: String::new(),
            sent_ms,
            attributes: Attributes::new(),
            trace_header: None,
            group_id: None,
        };
        Message { payload: Arc::new(payload), receives: 0, first_received_ms: 0, dead_letter_source: None }
    }

    fn store(bytes_max: usize) -> Store {
        let mut store = Store::open("us-east-1".to_owned(), bytes_max, None).unwrap();
        store.put_queue("q", QueueAttributes::default()).unwrap();
        store
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_past_its_retention_is_gone_with_the_next_sweep() {
        let mut store = store(1000);
        let four_days_ms = 345_600_000;
        let old = message("old", now_ms() - four_days_ms - 60_000);
        let young = message("young", now_ms() - four_days_ms + 60_000);
        store.send("q", vec![(old, Duration::ZERO), (young, Duration::ZERO)]).unwrap();
        tokio::time::advance(SWEEP).await;
        let received = store.receive("q", 10, SWEEP).unwrap();
        let ids: Vec<_> = received.iter().map(|delivery| delivery.message.payload.id.as_str()).collect();
        assert_eq!(ids, ["young"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_send_beyond_the_memory_set_aside_is_refused_and_leaves_nothing() {
        let mut store = store(9);
        let send = |store: &mut Store, count| {
            let messages = (0..count).map(|_| (message("a", now_ms()), Duration::ZERO)).collect();
            store.send("q", messages).map_err(|fault| fault.code)
        };
        assert_eq!(send(&mut store, 3), Err(Code::OverLimit));
        assert_eq!(send(&mut store, 2), Ok(()));
        assert_eq!(send(&mut store, 1), Err(Code::OverLimit));
        let received = store.receive("q", 10, SWEEP).unwrap();
        assert_eq!(received.len(), 2);
        store.remove("q", &[0]).unwrap();
        assert_eq!(send(&mut store, 1), Ok(()));
    }
}
