use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::receive::kinesis::{lease::changed, position::Checkpoint};

/// Leases held as named, `""` by nobody.
fn held(owners: &[&str]) -> Leases {
    let lease = |(at, owner): (usize, &&str)| {
        let shard = ShardId::from(format!("s{at:03}"));
        let owner = (!owner.is_empty()).then(|| WorkerId::from(*owner));
        (shard.clone(), Lease { owner, ..Lease::new(shard, Checkpoint::TrimHorizon) })
    };
    owners.iter().enumerate().map(lease).collect()
}

/// A watch to which everybody who holds a lease is alive.
fn all_alive(leases: &Leases) -> Watch {
    let mut watch = Watch::new(Duration::from_secs(10));
    let now = Instant::now();
    watch.look(leases, now, now);
    watch
}

fn wishes(me: &str, leases: &Leases) -> Vec<Change> {
    wanted(&me.into(), leases, &all_alive(leases))
}

fn carry_out(leases: &mut Leases, changes: Vec<Change>) {
    for change in changes {
        let after = changed(leases.get(change.shard()), &change).expect("nobody interferes");
        leases.insert(change.shard().clone(), after.expect("nothing is deleted"));
    }
}

fn counts(leases: &Leases) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for owner in leases.values().filter_map(|lease| lease.owner.as_deref()) {
        *counts.entry(owner).or_default() += 1;
    }
    counts
}

#[test]
fn a_worker_alone_takes_all_and_one_of_three_takes_a_third() {
    assert_eq!(wishes("a", &held(&[""; 8])).len(), 8);
    assert_eq!(wishes("c", &held(&["a", "a", "a", "b", "b", "b", "", ""])).len(), 2);
    assert_eq!(
        wishes("a", &held(&["a", "a", "a", "b", "b", "b", "", ""])).len(),
        1,
        "its share is four of eight"
    );
}

/// `d` takes nothing: it has died, say, and its last lease has not expired.
#[test]
fn what_is_free_and_in_nobodys_share_is_taken_all_the_same() {
    let mut leases = held(&["a", "a", "b", "b", "c", "c", "d", ""]);
    let mut watch = all_alive(&leases);
    assert_eq!(wanted(&"a".into(), &leases, &watch), [], "each has its share of two");
    let later = Instant::now() + Duration::from_secs(5);
    watch.look(&leases, later, later);
    let wished = wanted(&"a".into(), &leases, &watch);
    assert_eq!(wished.iter().map(|change| &**change.shard()).collect::<Vec<_>>(), ["s007"]);
    carry_out(&mut leases, wished);
    assert_eq!(counts(&leases)["a"], 3);
}

#[test]
fn nothing_is_asked_for_where_that_would_only_move_the_imbalance() {
    for owners in [&["a", "a", "a", "b", "b"][..], &["a"], &["a", "a", "b", "c"]] {
        for me in ["a", "b", "c"] {
            let wishes = wishes(me, &held(owners));
            let is_new = !owners.contains(&me);
            assert!(wishes.is_empty() || is_new && owners.len() > 1, "{me} of {owners:?}: {wishes:?}");
        }
    }
}

#[test]
fn shards_that_are_done_or_not_yet_to_be_read_are_in_nobodys_share() {
    let mut leases = held(&["", ""]);
    let parent: ShardId = "s000".into();
    leases.get_mut("s001").unwrap().parents.insert(parent.clone());
    let wished = wishes("a", &leases);
    assert_eq!(wished.iter().map(Change::shard).collect::<Vec<_>>(), [&parent]);
    leases.get_mut(&parent).unwrap().checkpoint = Checkpoint::ShardEnd;
    let wished = wishes("a", &leases);
    assert_eq!(wished.iter().map(|change| &**change.shard()).collect::<Vec<_>>(), ["s001"]);
}

#[test]
fn one_that_waits_for_a_lease_asks_for_no_other() {
    let mut leases = held(&["a"; 8]);
    let wished = wishes("b", &leases);
    carry_out(&mut leases, wished);
    assert!(leases.values().any(Lease::is_asked_for));
    assert_eq!(wishes("b", &leases), []);
}

/// Workers join one holder of everything, each looking in turn, the asked leaving at once: the shares end within one of
/// each other, and then nobody wants anything more.
#[test]
fn any_number_of_workers_ends_in_balance_and_stays_there() {
    for (shards, workers) in [(8, 3), (1, 3), (100, 7), (5, 5), (64, 2)] {
        let names: Vec<String> = (0..workers).map(|at| format!("w{at}")).collect();
        let mut leases = held(&vec![names[0].as_str(); shards]);
        let mut rounds = 0;
        loop {
            let before = leases.clone();
            for name in &names {
                let wished = wishes(name, &leases);
                carry_out(&mut leases, wished);
            }
            for lease in leases.values_mut() {
                lease.checkpoint_owner = None;
            }
            rounds += 1;
            if leases == before {
                break;
            }
            assert!(rounds < 100, "{shards} shards, {workers} workers: {:?}", counts(&leases));
        }
        let counts = counts(&leases);
        let (least, most) = (shards / workers, shards.div_ceil(workers));
        assert!(
            counts.values().all(|count| (least..=most).contains(count)),
            "{shards}, {workers}: {counts:?}"
        );
    }
}

#[test]
fn a_lease_that_is_ours_by_the_table_alone_is_kept_or_left_to_whoever_asks() {
    let mut leases = held(&["a", "a", "b", "a"]);
    let asked = leases.get_mut("s001").expect("made");
    (asked.owner, asked.checkpoint_owner) = (Some("b".into()), Some("a".into()));
    let changes = handed_over(&"a".into(), &leases, |shard| &**shard == "s003");
    assert!(
        matches!(&changes[..], [Change::Keep { shard, .. }, Change::Leave { is_asked_for: true, .. }] if &**shard == "s000"),
        "{changes:?}"
    );
    carry_out(&mut leases, changes);
    assert_eq!(leases["s001"].holder().map(|holder| &**holder), Some("b"));
}
