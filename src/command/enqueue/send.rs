//! Sends one batch, reads what became of every entry, and tries again what may work next time.

use std::time::Duration;

use uuid::Uuid;

use super::{
    pack::{Batch, Message},
    target::{Entry, NotTaken, Target},
};
use crate::{
    aws::{Failure, Reached},
    failure::is_throttling,
    intervals::Intervals,
};

/// Attempts at one message, those of the SDK inside each not counted.
const ATTEMPTS_MAX: u32 = 8;
/// Attempts that were answered with "slow down": a full shard takes more in the next second.
const THROTTLED_MAX: u32 = 30;

/// Shortest and longest wait before a batch is tried again.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What became of a batch.
#[derive(Default)]
pub(crate) struct Sent {
    pub(crate) messages: u64,
    pub(crate) events: u64,
    /// Not sent.
    pub(crate) failed: Vec<NotSent>,
    /// The target takes nothing: what is in none of the numbers above was not sent, as far as we know.
    pub(crate) refused: Option<Failure>,
}

/// A message that was not sent.
pub(crate) struct NotSent {
    pub(crate) message: Message,
    /// What the target said.
    pub(crate) code: String,
    /// It would say so again: the message is at fault.
    pub(crate) is_final: bool,
}

/// How long to wait before a batch is tried again.
pub(crate) fn intervals() -> Intervals {
    Intervals::new(FIRST_WAIT, LONGEST_WAIT)
}

/// Sends until every message is sent or has failed for good, or until it is clear that no call will succeed.
pub(crate) async fn send(target: &Target, batch: Batch, mut intervals: Intervals) -> Sent {
    let mut sent = Sent::default();
    let entry = |message| Entry { message, id: Uuid::new_v4() };
    let mut waiting = vec![batch.into_iter().map(entry).collect::<Vec<_>>()];
    let mut patience = Patience::default();
    while let Some(mut entries) = waiting.pop() {
        let again = match target.call(&entries).await {
            Ok(answers) => settle(&mut sent, entries, answers, &mut patience),
            // One message may be at fault: halves, and halves of those, tell which.
            Err(failure) if is_refusal(target, &failure) && entries.len() > 1 => {
                let second = entries.split_off(entries.len() / 2);
                waiting.extend([second, entries]);
                patience = Patience::default();
                continue;
            }
            Err(failure) if is_refusal(target, &failure) => {
                let (code, is_final) = (&failure.code, target.is_of_the_message(&failure.code));
                let not_sent =
                    |entry: Entry| NotSent { message: entry.message, code: code.clone(), is_final };
                sent.failed.extend(entries.into_iter().map(not_sent));
                Vec::new()
            }
            Err(failure) if is_fatal(target, &failure) || !patience.lasts(is_throttling(&failure.code)) => {
                sent.refused = Some(failure);
                return sent;
            }
            Err(_) => entries,
        };
        if again.is_empty() {
            patience = Patience::default();
        } else {
            waiting.push(again);
            tokio::time::sleep(intervals.next_interval()).await;
        }
    }
    sent
}

/// How often the same messages were tried and none was taken.
#[derive(Default)]
struct Patience {
    attempts: u32,
    throttled: u32,
}

impl Patience {
    /// Counts one more try, and says whether there may be another.
    fn lasts(&mut self, was_throttled: bool) -> bool {
        if was_throttled {
            self.throttled += 1;
        } else {
            self.attempts += 1;
        }
        self.attempts < ATTEMPTS_MAX && self.throttled < THROTTLED_MAX
    }
}

/// Counts what was sent, keeps what was refused, and gives back what may work next time.
fn settle(
    sent: &mut Sent,
    entries: Vec<Entry>,
    answers: Vec<Result<(), NotTaken>>,
    patience: &mut Patience,
) -> Vec<Entry> {
    if answers.iter().any(Result::is_ok) {
        *patience = Patience::default();
    }
    let was_throttled =
        answers.iter().all(|answer| answer.as_ref().map_or_else(|not| is_throttling(&not.code), |()| true));
    let may_try_again = patience.lasts(was_throttled);
    let mut again = Vec::new();
    for (entry, answer) in entries.into_iter().zip(answers) {
        match answer {
            Ok(()) => {
                sent.messages += 1;
                sent.events += u64::from(entry.message.events);
            }
            Err(NotTaken { is_final, .. }) if may_try_again && !is_final => again.push(entry),
            Err(NotTaken { code, is_final }) => {
                sent.failed.push(NotSent { message: entry.message, code, is_final });
            }
        }
    }
    again
}

fn is_fatal(target: &Target, failure: &Failure) -> bool {
    failure.reached == Reached::NothingByOurFault || target.is_ours(&failure.code)
}

/// An answer that says no to this request, and would again.
fn is_refusal(target: &Target, failure: &Failure) -> bool {
    let is_throttle = is_throttling(&failure.code);
    matches!(failure.reached, Reached::Answer(400..=499)) && !is_throttle && !is_fatal(target, failure)
}

#[cfg(test)]
pub(in crate::command) mod tests;
