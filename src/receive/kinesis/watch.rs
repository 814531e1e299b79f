//! Who is alive, judged by this worker's own clock alone. In: looks at the table. Out: the leases that may be taken.
//! Pure.
//!
//! Clocks of two machines are never compared: they may be minutes apart. A lease is free when its counter has not moved
//! between two looks of ours that are the failover time apart.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::{
    lease::{Lease, Leases, ShardId, WorkerId},
    tenancy::Times,
};

/// What was seen of each lease, and since when it has been like that.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Watch {
    failover_time: Duration,
    seen: BTreeMap<ShardId, Seen>,
    looked_at: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Seen {
    holder: Option<WorkerId>,
    counter: u64,
    since: Instant,
}

impl Watch {
    /// A holder that does not move its counter for so long is taken for dead.
    pub fn new(failover_time: Duration) -> Self {
        Self { failover_time, seen: BTreeMap::new(), looked_at: None }
    }

    /// A look at the table that was begun and ended at these times.
    pub fn look(&mut self, leases: &Leases, begun: Instant, ended: Instant) {
        self.seen.retain(|shard, _| leases.contains_key(shard));
        for lease in leases.values() {
            let holder = lease.holder().cloned();
            let as_before = |seen: &&Seen| seen.counter == lease.counter && seen.holder == holder;
            let since = self.seen.get(&lease.shard).filter(as_before).map_or(ended, |seen| seen.since);
            self.seen.insert(lease.shard.clone(), Seen { holder, counter: lease.counter, since });
        }
        self.looked_at = Some(begun);
    }

    /// Whether the lease may be taken: nobody holds it, or its holder has not moved it for the failover time.
    pub fn is_free(&self, lease: &Lease) -> bool {
        lease.holder().is_none() || self.stood_still(lease).is_some_and(|still| still >= self.failover_time)
    }

    /// Whether the lease has been free for so long that whoever has room for it would have taken it: each worker has
    /// looked about once since.
    pub fn is_left(&self, lease: &Lease) -> bool {
        let expires = if lease.holder().is_none() { Duration::ZERO } else { self.failover_time };
        let left_after = expires + Times { failover: self.failover_time }.look_every();
        self.stood_still(lease).is_some_and(|still| still >= left_after)
    }

    /// When, after now, the next lease will be free if its counter does not move: a look then, and not at some time
    /// after it, finds that out.
    pub fn next_free(&self, now: Instant) -> Option<Instant> {
        let held = self.seen.values().filter(|seen| seen.holder.is_some());
        let at = held.map(|seen| seen.since + self.failover_time);
        at.filter(|at| now < *at).min()
    }

    /// For how long the lease has been as it was when last looked at.
    fn stood_still(&self, lease: &Lease) -> Option<Duration> {
        let (seen, looked_at) = (self.seen.get(&lease.shard)?, self.looked_at?);
        let is_same = seen.counter == lease.counter && seen.holder.as_ref() == lease.holder();
        is_same.then(|| looked_at.saturating_duration_since(seen.since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::receive::kinesis::position::Checkpoint;

    const FAILOVER: Duration = Duration::from_secs(10);

    fn held(counter: u64) -> Lease {
        Lease { owner: Some("a".into()), counter, ..Lease::new("s".into(), Checkpoint::TrimHorizon) }
    }

    fn leases(lease: &Lease) -> Leases {
        [(lease.shard.clone(), lease.clone())].into()
    }

    #[test]
    fn a_lease_is_free_once_its_counter_stood_still_between_two_looks_for_the_failover_time() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut watch = Watch::new(FAILOVER);
        watch.look(&leases(&held(1)), start, start + second);
        assert!(!watch.is_free(&held(1)), "seen once");
        // The answer came late: what it says may be as old as the question.
        watch.look(&leases(&held(1)), start + FAILOVER, start + FAILOVER + 5 * second);
        assert!(!watch.is_free(&held(1)), "only nine seconds lie between");
        watch.look(&leases(&held(2)), start + FAILOVER + second, start + FAILOVER + second);
        assert!(!watch.is_free(&held(2)), "it moved");
        let later = start + 3 * FAILOVER;
        watch.look(&leases(&held(2)), later, later);
        assert!(watch.is_free(&held(2)));
        assert!(!watch.is_free(&held(3)), "what is asked about is not what was seen");
    }

    #[test]
    fn a_lease_that_nobody_holds_is_free_at_once() {
        let lease = Lease::new("s".into(), Checkpoint::TrimHorizon);
        assert!(Watch::new(FAILOVER).is_free(&lease));
    }

    #[test]
    fn the_next_look_need_not_be_later_than_a_lease_is_free() {
        let start = Instant::now();
        let mut watch = Watch::new(FAILOVER);
        assert_eq!(watch.next_free(start), None);
        watch.look(&leases(&held(1)), start, start);
        let due = start + FAILOVER;
        assert_eq!(watch.next_free(start), Some(due));
        assert_eq!(watch.next_free(due), None, "a look that failed is not tried without end");
        watch.look(&leases(&held(1)), due, due);
        assert!(watch.is_free(&held(1)));
    }

    #[test]
    fn a_free_lease_is_left_once_nobody_has_taken_it_for_an_eighth_of_the_failover_time() {
        let start = Instant::now();
        let nobodys = Lease { owner: None, ..held(1) };
        for (lease, expired) in [(nobodys, start), (held(1), start + FAILOVER)] {
            let mut watch = Watch::new(FAILOVER);
            watch.look(&leases(&lease), start, start);
            watch.look(&leases(&lease), expired, expired);
            assert_eq!((watch.is_free(&lease), watch.is_left(&lease)), (true, false), "{lease:?}");
            let later = expired + FAILOVER / 8;
            watch.look(&leases(&lease), later, later);
            assert!(watch.is_left(&lease), "{lease:?}");
        }
    }

    #[test]
    fn a_new_holder_has_the_whole_time_even_if_the_counter_is_the_same() {
        let start = Instant::now();
        let mut watch = Watch::new(FAILOVER);
        watch.look(&leases(&held(1)), start, start);
        let other = Lease { owner: Some("b".into()), ..held(1) };
        watch.look(&leases(&other), start + FAILOVER, start + FAILOVER);
        assert!(!watch.is_free(&other));
    }
}
