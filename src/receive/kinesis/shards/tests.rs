use super::*;
use crate::receive::kinesis::position::{Position, SequenceNumber};

fn shard(id: &str, parents: &[&str], is_closed: bool) -> Shard {
    let parents = parents.iter().map(|parent| ShardId::from(*parent)).collect();
    Shard { id: id.into(), parents, hash_keys: None, is_closed }
}

fn leased(lease: Lease) -> Leases {
    [(lease.shard.clone(), lease)].into()
}

fn at(number: &str) -> Checkpoint {
    Checkpoint::At(Position { sequence: SequenceNumber::parse(number).unwrap(), sub: 0 })
}

fn names(leases: &[Lease]) -> Vec<(&str, &Checkpoint)> {
    leases.iter().map(|lease| (&*lease.shard, &lease.checkpoint)).collect()
}

const HORIZON: Checkpoint = Checkpoint::TrimHorizon;

/// `a` was split into `c` and `d`, then `d` and `b` were merged into `e`. Listed in no order.
fn resharded() -> [Shard; 5] {
    [
        shard("e", &["b", "d"], false),
        shard("c", &["a"], false),
        shard("d", &["a"], true),
        shard("a", &[], true),
        shard("b", &[], true),
    ]
}

#[test]
fn the_first_look_makes_leases_for_all_that_is_remembered_parents_first() {
    let made = missing(&Leases::new(), &resharded(), Beginning::TrimHorizon);
    assert_eq!(
        names(&made),
        [("a", &HORIZON), ("b", &HORIZON), ("c", &HORIZON), ("d", &HORIZON), ("e", &HORIZON)]
    );
    assert_eq!(made[4].parents, BTreeSet::from(["b".into(), "d".into()]));
}

#[test]
fn latest_is_fixed_to_a_time_once_and_takes_the_open_shards_alone() {
    let made = missing(&Leases::new(), &resharded(), Beginning::Latest(77));
    let from = Checkpoint::AtTimestamp(Some(77));
    assert_eq!(names(&made), [("c", &from), ("e", &from)]);
    let at = missing(&Leases::new(), &resharded(), Beginning::At(5));
    assert_eq!(at.len(), 5, "a time may lie in a shard that is closed by now");
}

#[test]
fn children_are_begun_at_their_first_record_whatever_the_stream_was_begun_with() {
    let lease = Lease { started_ms: Some(77), ..Lease::new("a".into(), at("5")) };
    let shards = [shard("a", &[], true), shard("b", &["a"], true), shard("c", &["b"], false)];
    let made = missing(&leased(lease), &shards, Beginning::Latest(99));
    assert_eq!(names(&made), [("b", &HORIZON), ("c", &HORIZON)], "two generations at once");
    assert_eq!(made[1].started_ms, Some(77), "and remember when all began");
}

#[test]
fn a_shard_whose_whole_family_was_missed_is_begun_at_its_first_record() {
    let shards = [shard("z", &["expired"], false)];
    let made = missing(&leased(Lease::new("a".into(), at("5"))), &shards, Beginning::Latest(99));
    assert_eq!(names(&made), [("z", &HORIZON)]);
    let began = Lease { started_ms: Some(7), ..Lease::new("a".into(), at("5")) };
    let made = missing(&leased(began), &shards, Beginning::Latest(99));
    assert_eq!(names(&made), [("z", &Checkpoint::AtTimestamp(Some(7)))], "or when the reading of all began");
}

#[test]
fn what_is_done_or_was_never_wanted_gets_no_lease_as_long_as_its_children_have_one() {
    // `a` and `d` were closed when the first worker came with "latest".
    let mut leases = leased(Lease::new("c".into(), at("5")));
    leases.extend(leased(Lease {
        parents: BTreeSet::from(["b".into(), "d".into()]),
        ..Lease::new("e".into(), at("6"))
    }));
    assert_eq!(names(&missing(&leases, &resharded(), Beginning::TrimHorizon)), []);
}

#[test]
fn a_making_that_was_cut_off_anywhere_is_finished_by_the_next() {
    let all = missing(&Leases::new(), &resharded(), Beginning::TrimHorizon);
    for made in 1..all.len() {
        let leases: Leases = all[..made].iter().map(|lease| (lease.shard.clone(), lease.clone())).collect();
        let rest = missing(&leases, &resharded(), Beginning::TrimHorizon);
        assert_eq!(names(&rest), names(&all[made..]), "after {made}");
    }
}

#[test]
fn a_child_waits_for_each_of_its_parents_and_for_none_that_is_forgotten() {
    let child =
        Lease { parents: BTreeSet::from(["a".into(), "b".into()]), ..Lease::new("c".into(), HORIZON) };
    let mut leases = leased(Lease::new("a".into(), Checkpoint::ShardEnd));
    assert!(may_be_read(&child, &leases), "nobody knows b any more");
    leases.extend(leased(Lease::new("b".into(), at("5"))));
    assert!(!may_be_read(&child, &leases), "a merge waits for both");
    leases.extend(leased(Lease::new("b".into(), Checkpoint::ShardEnd)));
    assert!(may_be_read(&child, &leases));
}

#[test]
fn only_what_is_done_and_no_longer_listed_is_forgotten() {
    let mut leases = leased(Lease::new("a".into(), Checkpoint::ShardEnd));
    leases.extend(leased(Lease::new("b".into(), at("5"))));
    assert!(forgotten(&leases, &[shard("a", &[], true)]).is_empty());
    assert_eq!(forgotten(&leases, &[]), [ShardId::from("a")]);
}

#[test]
fn a_closed_shard_without_children_is_an_old_list_unless_the_shard_has_expired() {
    let named = |names: &[&str]| Some(names.iter().map(|name| ShardId::from(*name)).collect());
    assert_eq!(children(&"a".into(), &resharded()), named(&["c", "d"]));
    assert_eq!(children(&"b".into(), &resharded()), named(&["e"]));
    assert_eq!(children(&"c".into(), &resharded()), None);
    assert_eq!(children(&"z".into(), &resharded()), named(&[]));
}
