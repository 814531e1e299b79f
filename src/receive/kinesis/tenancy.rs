//! The time in which this worker holds one shard's lease. In: what was written to the lease, read from the shard and
//! settled. Out: the next change that the lease needs, and whether the shard may be read. Pure.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use super::{
    lease::{Change, Lease, ShardId, WorkerId},
    position::{Checkpoint, Position, SequenceNumber},
    progress::Progress,
};

/// A shard is not read on while so many of its records are open: they are not settled, or stand behind one that is not.
/// Each takes about a hundred bytes.
const OPEN_MAX: usize = 20_000;

/// The times of a lease, all of which follow from the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Times {
    /// Whoever does not move the counter for so long has lost the lease.
    pub failover: Duration,
}

impl Times {
    /// How often the holder moves the counter: two attempts may fail.
    pub fn renew_every(self) -> Duration {
        self.failover / 3
    }

    /// How often the table is looked at.
    pub fn look_every(self) -> Duration {
        self.failover / 8
    }

    /// How soon a write that failed is tried again.
    pub fn retry_after(self) -> Duration {
        self.failover / 10
    }

    /// How long a holder that was asked to leave may finish what it has begun.
    pub fn leave_within(self) -> Duration {
        self.failover * 3
    }
}

/// Where to read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ReadFrom {
    /// Where the lease says. Of a record that was done in part, the rest.
    Checkpoint(Checkpoint),
    /// After the record that was read last.
    After(SequenceNumber),
}

/// One worker with one shard.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tenancy {
    /// As it was written or read last.
    lease: Lease,
    me: WorkerId,
    times: Times,
    /// When the last write that succeeded was begun: the lease is ours for the failover time from then on.
    renewed_at: Instant,
    /// No write before this.
    retry_at: Instant,
    /// A write is under way.
    is_writing: bool,
    /// Done before this tenancy began, and perhaps read again.
    done_before: Option<Position>,
    progress: Progress,
    /// What the last checkpoint says.
    written: Option<Position>,
    /// Deliveries handed out and not ended.
    in_flight: usize,
    /// What was read last.
    read_to: Option<Position>,
    /// The shard has been read to its end.
    is_drained: bool,
    /// The shards that came from this one, once they have leases.
    children: Option<BTreeSet<ShardId>>,
    /// Since when it is about to leave.
    leaving_since: Option<Instant>,
}

impl Tenancy {
    /// Begins with a lease that this worker holds since a write that was begun at `renewed_at`.
    pub fn new(lease: Lease, me: WorkerId, times: Times, renewed_at: Instant) -> Self {
        let done_before = lease.position().cloned();
        Self {
            lease,
            me,
            times,
            renewed_at,
            retry_at: renewed_at,
            is_writing: false,
            written: done_before.clone(),
            done_before,
            progress: Progress::default(),
            in_flight: 0,
            read_to: None,
            is_drained: false,
            children: None,
            leaving_since: None,
        }
    }

    /// The lease, as it was written or read last.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Whether the lease is still ours, for all we know.
    pub fn is_ours(&self, now: Instant) -> bool {
        now < self.renewed_at + self.times.failover
    }

    /// Whether there is more to be read of the shard, and it is for us to read it.
    pub fn may_follow(&self, now: Instant) -> bool {
        let is_pinned = self.lease.checkpoint != Checkpoint::Latest;
        self.is_ours(now) && is_pinned && !self.is_drained && self.leaving_since.is_none()
    }

    /// Whether the shard may be read on now.
    pub fn may_read(&self, now: Instant) -> bool {
        self.may_follow(now) && self.progress.open() < OPEN_MAX
    }

    /// Where to read on.
    pub fn reads_from(&self) -> ReadFrom {
        match &self.read_to {
            Some(last) => ReadFrom::After(last.sequence.clone()),
            None => ReadFrom::Checkpoint(self.lease.checkpoint.clone()),
        }
    }

    /// A record, or a user record of an aggregate, was read. Its number; `None`: it was read before, in this tenancy or
    /// an earlier one.
    pub fn read(&mut self, position: Position) -> Option<u64> {
        let known = self.read_to.as_ref().max(self.done_before.as_ref());
        if known.is_some_and(|known| position <= *known) {
            return None;
        }
        self.read_to = Some(position.clone());
        Some(self.progress.read(position))
    }

    /// The shard is closed, and there is nothing more in it.
    pub fn drained(&mut self) {
        self.is_drained = true;
    }

    /// It is not: somebody said so, and the stream says otherwise.
    pub fn not_drained(&mut self) {
        self.is_drained = false;
    }

    /// Whether the shard has been read to its end and nobody has seen to its children yet.
    pub fn wants_children(&self) -> bool {
        self.is_drained && self.children.is_none()
    }

    /// The shards that came from this one, all of which have leases.
    pub fn has_children(&mut self, children: BTreeSet<ShardId>) {
        self.children = Some(children);
    }

    /// A record was handed out.
    pub fn handed_out(&mut self) {
        self.in_flight += 1;
    }

    /// A delivery ended; `settled` is the record's number if it is done with.
    pub fn ended(&mut self, settled: Option<u64>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(number) = settled {
            self.progress.settle(number);
        }
    }

    /// Nothing more is read; as soon as what is in flight has ended, the lease is left.
    pub fn leave(&mut self, now: Instant) {
        self.leaving_since.get_or_insert(now);
    }

    /// Whether it is about to leave: what is given back now is for whoever comes next.
    pub fn is_leaving(&self) -> bool {
        self.leaving_since.is_some()
    }

    /// Records that were read and are not behind the checkpoint.
    pub fn open(&self) -> usize {
        self.progress.open()
    }

    /// Whether everything that was read is behind the checkpoint that was written.
    pub fn is_all_written(&self) -> bool {
        self.progress.open() == 0 && self.checkpoint().is_none()
    }

    /// The write that the lease needs now, if any; `now_ms` is the wall clock. From here on one is under way.
    pub fn next_change(&mut self, now: Instant, now_ms: u64) -> Option<Change> {
        if self.is_writing || now < self.retry_at {
            return None;
        }
        let change = self.due_change(now, now_ms)?;
        self.is_writing = true;
        Some(change)
    }

    fn due_change(&self, now: Instant, now_ms: u64) -> Option<Change> {
        if let Some(end) = self.end() {
            return Some(end);
        }
        let is_late = |since| now >= since + self.times.leave_within();
        if self.leaving_since.is_some_and(|since| self.in_flight == 0 || is_late(since)) {
            return Some(self.left());
        }
        if self.lease.checkpoint == Checkpoint::Latest {
            // Whoever read first at "latest" and died would let the next one begin at a later "latest".
            return Some(self.kept(Some(Checkpoint::AtTimestamp(Some(now_ms)))));
        }
        (now >= self.renewed_at + self.times.renew_every()).then(|| self.kept(self.checkpoint()))
    }

    fn named(&self) -> (ShardId, WorkerId, u64) {
        (self.lease.shard.clone(), self.me.clone(), self.lease.counter)
    }

    fn kept(&self, checkpoint: Option<Checkpoint>) -> Change {
        let (shard, holder, counter) = self.named();
        Change::Keep { shard, holder, counter, checkpoint }
    }

    /// The change that ends the tenancy whatever is in flight: with the checkpoint as it is now.
    pub fn last_change(&self) -> Change {
        self.end().unwrap_or_else(|| self.left())
    }

    fn end(&self) -> Option<Change> {
        let children = self.children.as_ref().filter(|_| self.progress.open() == 0)?;
        let (shard, holder, counter) = self.named();
        Some(Change::End { shard, holder, counter, children: children.clone() })
    }

    fn left(&self) -> Change {
        let (shard, holder, counter) = self.named();
        let is_asked_for = self.lease.is_asked_for();
        Change::Leave { shard, holder, counter, is_asked_for, checkpoint: self.checkpoint() }
    }

    fn checkpoint(&self) -> Option<Checkpoint> {
        self.progress.done().filter(|done| self.written.as_ref() != Some(*done)).cloned().map(Checkpoint::At)
    }

    /// A write that was begun at `begun` succeeded, and this is the lease after it.
    pub fn changed(&mut self, lease: Lease, begun: Instant, now: Instant) {
        self.is_writing = false;
        self.renewed_at = begun;
        self.is_now(lease, now);
    }

    fn is_now(&mut self, lease: Lease, now: Instant) {
        self.written = lease.position().cloned();
        if lease.is_asked_for() {
            self.leave(now);
        }
        self.lease = lease;
    }

    /// A write failed, or nobody knows.
    pub fn not_changed(&mut self, now: Instant) {
        self.is_writing = false;
        self.retry_at = now + self.times.retry_after();
    }

    /// The lease is not as this worker wrote it last; this is how it was found after that. Whether it is ours all the
    /// same: a write whose answer was lost has moved the counter once, and somebody may have asked for it.
    pub fn found(&mut self, lease: Option<Lease>, now: Instant) -> bool {
        self.is_writing = false;
        let Some(lease) = lease.filter(|lease| lease.holder() == Some(&self.me)) else { return false };
        if !(self.lease.counter..=self.lease.counter + 1).contains(&lease.counter) {
            return false;
        }
        self.is_now(lease, now);
        true
    }
}

#[cfg(test)]
mod tests;
