//! What this worker holds: the shards, and the records that were read from them. In: what the keeper writes, what polls
//! read, what the settler says. Out: the next thing to do. Pure, behind one lock that is never held across a wait.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

use super::{
    lease::{Change, Lease, ShardId, WorkerId},
    messages::Part,
    poll::BYTES_MAX,
    records::{Records, Unsettled},
    tenancy::{ReadFrom, Tenancy, Times},
};
use crate::{
    clock::epoch_ms,
    failure::CallError,
    receive::{Deadline, Handle, Message},
};

/// While more than this waits in memory to be handed out, nothing more is read.
const WAITING_BYTES_MAX: usize = 8 * 1_048_576;
/// An iterator lasts for five minutes; one that is nearly as old is not tried.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html>
const ITERATOR_MAX: Duration = Duration::from_secs(280);
/// A shard that is due and not read for so long is worth another receiver.
const LATE: Duration = Duration::from_millis(100);
/// While the lease is held there is no end to it that anybody could name; when it is lost, the deadline is now.
const WHILE_HELD: Duration = Duration::from_hours(24);

/// One shard of which this worker holds the lease.
pub(super) struct Held {
    /// Tells it from an earlier tenancy of the same shard.
    pub(super) number: u64,
    pub(super) tenancy: Tenancy,
    /// Of all messages from it.
    deadline: Deadline,
    iterator: Option<(String, Instant)>,
    /// When it is to be read next.
    due: Instant,
    is_being_read: bool,
    /// Reads in a row that failed.
    pub(super) failures: u32,
    /// How far it was behind at the last read.
    behind: Duration,
    /// When that was.
    read_at: Instant,
    /// When the checkpoint last moved, or everything was behind it.
    pub(super) fresh_at: Instant,
    /// What the stream said of the shards that came from it.
    pub(super) children: Vec<super::shards::Shard>,
}

/// Everything.
pub(super) struct State {
    me: WorkerId,
    times: Times,
    pub(super) held: BTreeMap<ShardId, Held>,
    records: Records,
    numbers: u64,
    /// Records come by themselves: no shard has turns.
    is_pushed: bool,
    /// Why no lease can be had now, or none kept.
    pub(super) lease_trouble: Option<CallError>,
    /// Why the last lease that was wanted could not be taken, unless somebody else was quicker.
    pub(super) write_trouble: Option<CallError>,
    /// Why records do not come by themselves.
    pub(super) push_trouble: Option<CallError>,
    /// Polls under way.
    polls: usize,
    /// When the last of them ended.
    polled_at: Instant,
}

/// One read of one shard that is about to be made.
pub(super) struct Turn {
    pub(super) shard: ShardId,
    pub(super) number: u64,
    pub(super) from: ReadFrom,
    pub(super) iterator: Option<(String, Instant)>,
}

impl State {
    pub(super) fn new(me: WorkerId, times: Times, is_pushed: bool) -> Self {
        Self {
            me,
            times,
            held: BTreeMap::new(),
            records: Records::default(),
            numbers: 0,
            is_pushed,
            lease_trouble: None,
            write_trouble: None,
            push_trouble: None,
            polls: 0,
            polled_at: Instant::now(),
        }
    }

    /// A poll begins.
    pub(super) fn poll_began(&mut self) {
        self.polls += 1;
    }

    /// A poll has ended.
    pub(super) fn poll_ended(&mut self, now: Instant) {
        self.polls -= 1;
        self.polled_at = now;
    }

    /// Whether somebody wants messages. A worker that is paused or stopping keeps what it holds and takes nothing more.
    pub(super) fn is_polled(&self, now: Instant) -> bool {
        self.polls > 0 || now < self.polled_at + self.times.look_every()
    }

    /// What is written when the process ends.
    pub(super) fn last_changes(&mut self) -> Vec<(ShardId, u64, Change)> {
        let change =
            |(shard, held): (&ShardId, &Held)| (shard.clone(), held.number, held.tenancy.last_change());
        self.held.iter().map(change).collect()
    }

    /// The same for one shard, if it is still held.
    pub(super) fn last_change(&mut self, shard: &ShardId, number: u64) -> Option<Change> {
        self.of(shard, number).map(|held| held.tenancy.last_change())
    }

    /// The lease is ours since a write that was begun at `begun`.
    pub(super) fn begin(&mut self, lease: Lease, begun: Instant) {
        self.numbers += 1;
        let held = Held {
            number: self.numbers,
            tenancy: Tenancy::new(lease.clone(), self.me.clone(), self.times, begun),
            deadline: Deadline::new(begun + WHILE_HELD),
            iterator: None,
            due: begun,
            is_being_read: false,
            failures: 0,
            behind: Duration::ZERO,
            read_at: begun,
            fresh_at: begun,
            children: Vec::new(),
        };
        // One that is replaced was lost without our noticing.
        if let Some(before) = self.held.insert(lease.shard, held) {
            self.end(&before);
        }
    }

    /// The lease is not ours any more. What is in flight is another worker's as well from now on.
    pub(super) fn lose(&mut self, shard: &ShardId, number: u64) -> bool {
        if self.of(shard, number).is_none() {
            return false;
        }
        if let Some(held) = self.held.remove(shard) {
            self.end(&held);
        }
        true
    }

    fn end(&mut self, held: &Held) {
        held.deadline.move_to(Instant::now());
        self.records.forget(held.number);
    }

    /// The shard, if it is still held in that tenancy.
    pub(super) fn of(&mut self, shard: &ShardId, number: u64) -> Option<&mut Held> {
        self.held.get_mut(shard).filter(|held| held.number == number)
    }

    /// The leases whose time has run out before anything could be written to them.
    pub(super) fn late(&self, now: Instant) -> Vec<(ShardId, u64)> {
        let late = self.held.iter().filter(|(_, held)| !held.tenancy.is_ours(now));
        late.map(|(shard, held)| (shard.clone(), held.number)).collect()
    }

    /// The writes that leases need now.
    pub(super) fn changes(&mut self, now: Instant) -> Vec<(u64, Change)> {
        let now_ms = epoch_ms(SystemTime::now());
        let mut changes = Vec::new();
        for held in self.held.values_mut() {
            held.deadline.move_to(now + WHILE_HELD);
            if held.tenancy.is_leaving() {
                self.records.forget(held.number);
            }
            if held.tenancy.is_all_written() {
                held.fresh_at = now;
            }
            changes.extend(held.tenancy.next_change(now, now_ms).map(|change| (held.number, change)));
        }
        changes
    }

    /// Messages whose time has come, at most `max`, and no more once their bodies are as large as a poll may bring.
    pub(super) fn hand_out(&mut self, now: Instant, max: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut bytes = 0;
        while messages.len() < max
            && bytes < BYTES_MAX
            && let Some(record) = self.records.hand_out(now)
        {
            bytes += record.message.bytes();
            messages.push(record.message.clone());
            let (shard, number) = (record.shard.clone(), record.tenancy);
            if let Some(held) = self.of(&shard, number) {
                held.tenancy.handed_out();
            }
        }
        messages
    }

    /// The read that has waited longest for its turn.
    pub(super) fn turn(&mut self, now: Instant) -> Option<Turn> {
        if self.is_pushed || self.is_full() {
            return None;
        }
        let ready = self.held.iter_mut().filter(|(_, held)| held.is_ready(now));
        let (shard, held) = ready.min_by_key(|(_, held)| held.due)?;
        held.is_being_read = true;
        let iterator = held.iterator.take().filter(|(_, made_at)| now < *made_at + ITERATOR_MAX);
        Some(Turn { shard: shard.clone(), number: held.number, from: held.tenancy.reads_from(), iterator })
    }

    /// A turn has ended: when the next one is, and with which iterator.
    pub(super) fn turn_ended(&mut self, turn: &mut Turn, due: Instant) {
        let iterator = turn.iterator.take();
        if let Some(held) = self.of(&turn.shard, turn.number) {
            held.is_being_read = false;
            held.iterator = iterator;
            held.due = due;
        }
    }

    /// What was read, in the order of the shard.
    pub(super) fn took(&mut self, shard: &ShardId, number: u64, parts: Vec<Part>, now: Instant) {
        let Some(held) = self.held.get_mut(shard).filter(|held| held.number == number) else { return };
        for Part { position, mut message } in parts {
            let Some(at) = held.tenancy.read(position) else { continue };
            message.deadline = held.deadline.clone();
            let (shard, tenancy) = (shard.clone(), number);
            self.records.wait(Unsettled { shard, tenancy, number: at, message }, now);
        }
    }

    /// A delivery ended. `after`: its message is to come again. Whether there may be something to do earlier than before.
    pub(super) fn ended(&mut self, handle: &Handle, after: Option<Duration>, now: Instant) -> bool {
        let Some(record) = self.records.ended(handle) else { return false };
        let Some(held) = self.held.get_mut(&record.shard).filter(|held| held.number == record.tenancy) else {
            return false;
        };
        let could_read = held.tenancy.may_read(now);
        held.tenancy.ended(after.is_none().then_some(record.number));
        if let Some(after) = after.filter(|_| !held.tenancy.is_leaving()) {
            self.records.wait(record, now + after);
            return true;
        }
        held.tenancy.may_read(now) != could_read
    }

    /// When there will be something to do, if nothing happens until then.
    pub(super) fn next_due(&self, now: Instant) -> Option<Instant> {
        let rests = self.is_pushed || self.is_full();
        let readable = self.held.values().filter(|held| !rests && held.may_be_read(now));
        readable.map(|held| held.due).chain(self.records.next_due()).min()
    }

    /// So much waits to be handed out that nothing more is read.
    pub(super) fn is_full(&self) -> bool {
        self.records.waiting_bytes() >= WAITING_BYTES_MAX
    }

    /// Why there is nothing, if something is wrong.
    pub(super) fn trouble(&self) -> Option<CallError> {
        if self.held.is_empty() {
            self.lease_trouble.as_ref().or(self.write_trouble.as_ref()).cloned()
        } else {
            self.push_trouble.clone()
        }
    }

    /// The shards that may be read and are not, from here on being read.
    pub(super) fn unread(&mut self, now: Instant) -> Vec<(ShardId, u64)> {
        let unread = self.held.iter_mut().filter(|(_, held)| held.is_ready(now));
        let unread = unread.map(|(shard, held)| {
            held.is_being_read = true;
            (shard.clone(), held.number)
        });
        unread.collect()
    }

    /// Nobody follows the shard any more.
    pub(super) fn not_followed(&mut self, shard: &ShardId, number: u64) {
        if let Some(held) = self.of(shard, number) {
            held.is_being_read = false;
        }
    }

    /// Whether more polls at once would find something.
    pub(super) fn has_more(&self, now: Instant) -> bool {
        self.next_due(now).is_some_and(|due| now > due + LATE)
    }
}

impl Held {
    /// A read succeeded, and so far behind is the next.
    pub(super) fn was_read(&mut self, behind: Duration, now: Instant) {
        self.failures = 0;
        self.behind = behind;
        self.read_at = now;
    }

    /// How far it is behind now. What was there at the last read, or came since, has grown older while nothing was read.
    pub(super) fn behind(&self, now: Instant) -> Duration {
        self.behind + now.saturating_duration_since(self.read_at)
    }

    fn may_be_read(&self, now: Instant) -> bool {
        !self.is_being_read && self.tenancy.may_read(now)
    }

    fn is_ready(&self, now: Instant) -> bool {
        self.due <= now && self.may_be_read(now)
    }
}

#[cfg(test)]
mod tests;
