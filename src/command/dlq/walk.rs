//! One walk over the dead-letter queue. In: polls. Out: each letter once, hidden from others until the walk gives it back
//! or deletes it.
//!
//! What is held is bounded, and so is what is remembered of what was deleted: a few bytes for each letter. SQS may hand
//! out a message twice, also one that was deleted; neither is seen as a second letter.

use std::{
    collections::{BTreeMap, HashSet},
    time::SystemTime,
};

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{letter::DeadLetterMessage, queue::DeadLetterQueue};
use crate::{command::CommandError, output};

/// Deleted letters that are remembered. A walk that has deleted so many ends.
const DELETED_MAX: usize = 1_000_000;
/// Polls in a row that bring nothing new while the queue says that it has more.
const BARREN_MAX: u32 = 5;

/// A letter that is hidden by us.
struct Held {
    receipt_handle: String,
    hidden_at: Instant,
}

/// One walk.
pub(super) struct Walk {
    pub(super) queue: DeadLetterQueue,
    pub(super) began: SystemTime,
    held: BTreeMap<String, Held>,
    held_max: usize,
    deleted: HashSet<u128>,
    is_warned: bool,
}

/// Letters that a walk has not seen, about.
#[derive(Default)]
pub(super) struct Unseen {
    /// They could have been seen.
    pub(super) left: u64,
    /// Somebody else holds them.
    pub(super) elsewhere: u64,
}

impl Walk {
    pub(super) fn new(queue: DeadLetterQueue, held_max: usize) -> Self {
        let began = SystemTime::now();
        Self { queue, began, held: BTreeMap::new(), held_max, deleted: HashSet::new(), is_warned: false }
    }

    pub(super) fn held_max(&self) -> usize {
        self.held_max
    }

    /// The next letters; `None` when there are no more, or as many are held as may be.
    ///
    /// # Errors
    /// The queue cannot be received from.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<DeadLetterMessage>>, CommandError> {
        self.warn_once().await;
        let mut barren = 0;
        while self.held.len() < self.held_max && self.deleted.len() < DELETED_MAX {
            self.hide_longer().await;
            let asked_at = Instant::now();
            let messages = self.queue.receive().await.map_err(CommandError::failed)?;
            let is_empty = messages.is_empty();
            let letters = self.hold(messages, asked_at).await;
            if !letters.is_empty() {
                return Ok(Some(letters));
            }
            barren += 1;
            let is_more = !is_empty || self.queue.facts().await.visible.is_some_and(|visible| visible > 0);
            if !is_more || barren == BARREN_MAX {
                break;
            }
        }
        Ok(None)
    }

    /// Takes what is new.
    async fn hold(
        &mut self,
        messages: Vec<aws_sdk_sqs::types::Message>,
        asked_at: Instant,
    ) -> Vec<DeadLetterMessage> {
        let (mut letters, mut again) = (Vec::new(), Vec::new());
        for letter in messages.into_iter().filter_map(DeadLetterMessage::read) {
            let (id, receipt_handle) = (letter.message_id.clone(), letter.receipt_handle.clone());
            if self.deleted.contains(&brief(&id)) {
                again.push((id, receipt_handle));
                continue;
            }
            // The latest handle is the one that counts.
            if self.held.insert(id, Held { receipt_handle, hidden_at: asked_at }).is_none() {
                letters.push(letter);
            }
        }
        if !again.is_empty() {
            self.queue.delete(again).await;
        }
        letters
    }

    /// Before it is seen by others: a third of the time is left for calls that are slow.
    pub(super) async fn hide_longer(&mut self) {
        let (now, hide_for) = (Instant::now(), self.queue.hide_for);
        let is_due = |held: &Held| now.duration_since(held.hidden_at) > hide_for / 3;
        let due: Vec<_> = self.held.iter().filter(|(_, held)| is_due(held)).map(handle).collect();
        if due.is_empty() {
            return;
        }
        for (id, _) in &due {
            if let Some(held) = self.held.get_mut(id) {
                held.hidden_at = now;
            }
        }
        // One that fails is seen again, and recognised.
        self.queue.hide(due, hide_for.as_secs()).await;
    }

    /// Deletes letters that are safe elsewhere. The ids of those that are still there.
    pub(super) async fn delete(&mut self, ids: &[String]) -> Vec<String> {
        let handles = ids.iter().filter_map(|id| self.held.get_key_value(id)).map(handle).collect();
        let failed = self.queue.delete(handles).await;
        for id in ids {
            // Those that are still there too: what comes again must not be taken for another letter.
            self.deleted.insert(brief(id));
            if !failed.contains(id) {
                self.held.remove(id);
            }
        }
        failed
    }

    /// Whether the queue has more.
    pub(super) async fn unseen(&self) -> Unseen {
        let facts = self.queue.facts().await;
        let hidden = facts.hidden.unwrap_or_default();
        let held = u64::try_from(self.held.len()).unwrap_or(u64::MAX);
        Unseen { left: facts.visible.unwrap_or_default(), elsewhere: hidden.saturating_sub(held) }
    }

    /// Gives back everything that is held. How many stay hidden for a while.
    pub(super) async fn give_back(self) -> usize {
        let handles = self.held.iter().map(handle).collect();
        self.queue.hide(handles, 0).await.len()
    }

    async fn warn_once(&mut self) {
        if std::mem::replace(&mut self.is_warned, true) {
            return;
        }
        if let Some(receives) = self.queue.facts().await.moves_on_after {
            output::note(format_args!(
                "{} has a redrive policy of its own: what is received more than {receives} times is moved on, and a look \
                 is a receive",
                self.queue.name()
            ));
        }
    }
}

fn handle((id, held): (&String, &Held)) -> (String, String) {
    (id.clone(), held.receipt_handle.clone())
}

/// An id in few bytes.
fn brief(id: &str) -> u128 {
    let digest = Sha256::digest(id.as_bytes());
    digest.iter().take(16).fold(0, |brief, byte| brief << 8 | u128::from(*byte))
}
