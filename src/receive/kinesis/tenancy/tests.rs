use super::*;
use crate::receive::kinesis::lease::changed;

const TIMES: Times = Times { failover: Duration::from_secs(10) };
const NOW_MS: u64 = 1_700_000_000_000;

fn position(number: u64, sub: u64) -> Position {
    Position { sequence: SequenceNumber::parse(&number.to_string()).unwrap(), sub }
}

fn me() -> WorkerId {
    "me".into()
}

/// A lease of ours, as the table has it, and the tenancy that begins with it.
fn begun(checkpoint: Checkpoint) -> (Lease, Tenancy, Instant) {
    let lease = Lease { owner: Some(me()), counter: 7, ..Lease::new("s".into(), checkpoint) };
    let now = Instant::now();
    (lease.clone(), Tenancy::new(lease, me(), TIMES, now), now)
}

/// Carries out the next change in the table and in the tenancy; what it was.
fn write(table: &mut Lease, tenancy: &mut Tenancy, now: Instant) -> Option<Change> {
    let change = tenancy.next_change(now, NOW_MS)?;
    let after = changed(Some(table), &change).expect("it is ours").expect("not deleted");
    *table = after.clone();
    tenancy.changed(after, now, now);
    Some(change)
}

#[test]
fn the_lease_is_renewed_with_the_checkpoint_as_it_moves() {
    let (mut table, mut tenancy, start) = begun(Checkpoint::TrimHorizon);
    assert_eq!(tenancy.next_change(start, NOW_MS), None, "just begun");
    let first = tenancy.read(position(1, 0)).expect("new");
    tenancy.read(position(2, 0)).expect("new");
    tenancy.handed_out();
    tenancy.ended(Some(first));
    let later = start + TIMES.renew_every();
    write(&mut table, &mut tenancy, later).expect("due");
    assert_eq!(table.checkpoint, Checkpoint::At(position(1, 0)));
    assert_eq!(table.counter, 8);
    assert!(tenancy.is_ours(later + TIMES.failover - Duration::from_millis(1)));
    assert!(!tenancy.is_ours(later + TIMES.failover), "not renewed for the failover time");
    let unmoved = write(&mut table, &mut tenancy, later + TIMES.renew_every()).expect("due");
    assert!(matches!(unmoved, Change::Keep { checkpoint: None, .. }), "{unmoved:?}");
    assert_eq!(table.counter, 9, "and yet it counts");
}

#[test]
fn renewing_waits_for_no_record() {
    let (mut table, mut tenancy, start) = begun(Checkpoint::TrimHorizon);
    tenancy.read(position(1, 0));
    tenancy.handed_out();
    for renewals in 1..100 {
        let now = start + TIMES.renew_every() * renewals;
        assert!(write(&mut table, &mut tenancy, now).is_some(), "{renewals}");
        assert!(tenancy.is_ours(now));
    }
    assert_eq!(table.checkpoint, Checkpoint::TrimHorizon);
}

#[test]
fn what_was_done_before_is_not_read_again_and_the_rest_of_its_aggregate_is() {
    let (mut table, mut tenancy, start) = begun(Checkpoint::At(position(5, 1)));
    assert_eq!(tenancy.reads_from(), ReadFrom::Checkpoint(Checkpoint::At(position(5, 1))));
    // A renewal in between changes nothing of that.
    write(&mut table, &mut tenancy, start + TIMES.renew_every()).expect("due");
    assert_eq!(tenancy.read(position(5, 0)), None);
    assert_eq!(tenancy.read(position(5, 1)), None);
    assert!(tenancy.read(position(5, 2)).is_some());
    assert!(tenancy.read(position(6, 0)).is_some());
    assert_eq!(tenancy.read(position(6, 0)), None, "some servers begin a little early");
    assert_eq!(tenancy.reads_from(), ReadFrom::After(position(6, 0).sequence));
}

#[test]
fn latest_is_replaced_by_a_time_before_the_first_read() {
    let (mut table, mut tenancy, start) = begun(Checkpoint::Latest);
    assert!(!tenancy.may_read(start));
    write(&mut table, &mut tenancy, start).expect("at once");
    assert_eq!(table.checkpoint, Checkpoint::AtTimestamp(Some(NOW_MS)));
    assert!(tenancy.may_read(start));
}

#[test]
fn a_shard_is_ended_only_when_all_is_settled_and_its_children_have_leases() {
    let (mut table, mut tenancy, start) = begun(Checkpoint::TrimHorizon);
    let only = tenancy.read(position(1, 0)).expect("new");
    tenancy.handed_out();
    tenancy.drained();
    assert!(!tenancy.may_read(start) && tenancy.wants_children());
    assert_eq!(tenancy.next_change(start, NOW_MS), None, "the record is open");
    tenancy.has_children(["c".into()].into());
    assert_eq!(tenancy.next_change(start, NOW_MS), None, "the record is open still");
    tenancy.ended(Some(only));
    let end = write(&mut table, &mut tenancy, start).expect("at once");
    assert!(matches!(end, Change::End { .. }), "{end:?}");
    assert!(table.is_ended() && table.holder().is_none() && table.children.contains("c"));
}

#[test]
fn who_is_asked_to_leave_finishes_first_but_not_for_ever() {
    let (mut table, mut tenancy, start) = begun(Checkpoint::TrimHorizon);
    let record = tenancy.read(position(1, 0)).expect("new");
    tenancy.read(position(2, 0)).expect("new");
    tenancy.handed_out();
    tenancy.handed_out();
    let ask = Change::Ask { shard: "s".into(), holder: me(), to: Some("other".into()) };
    table = changed(Some(&table), &ask).unwrap().unwrap();
    let renewal = start + TIMES.renew_every();
    write(&mut table, &mut tenancy, renewal).expect("the ask is seen with the next renewal");
    assert!(tenancy.is_leaving() && !tenancy.may_read(renewal));
    tenancy.ended(Some(record));
    assert_eq!(tenancy.next_change(renewal, NOW_MS), None, "one is in flight");
    let mut hurried = (table.clone(), tenancy.clone());
    tenancy.ended(None);
    write(&mut table, &mut tenancy, renewal).expect("at once");
    assert_eq!(table.holder().map(|holder| &**holder), Some("other"));
    assert_eq!(table.checkpoint, Checkpoint::At(position(1, 0)), "what was given back is for the next");

    let late = renewal + TIMES.leave_within();
    write(&mut hurried.0, &mut hurried.1, late).expect("in flight or not");
    assert_eq!(hurried.0.holder().map(|holder| &**holder), Some("other"));
}

#[test]
fn a_write_whose_answer_was_lost_is_no_loss_and_any_other_change_is() {
    let (mut table, mut tenancy, start) = begun(Checkpoint::TrimHorizon);
    let now = start + TIMES.renew_every();
    let change = tenancy.next_change(now, NOW_MS).expect("due");
    assert_eq!(tenancy.next_change(now, NOW_MS), None, "one at a time");
    table = changed(Some(&table), &change).unwrap().unwrap();
    tenancy.not_changed(now);
    assert_eq!(tenancy.next_change(now, NOW_MS), None, "not at once again");
    let again = tenancy.next_change(now + TIMES.retry_after(), NOW_MS).expect("due");
    assert!(changed(Some(&table), &again).is_err(), "the counter has moved");
    assert!(tenancy.found(Some(table.clone()), now), "by ourselves");
    assert!(write(&mut table, &mut tenancy, now + TIMES.retry_after()).is_some());

    let taken = Lease { owner: Some("other".into()), ..table.clone() };
    assert!(!tenancy.clone().found(Some(taken), now));
    assert!(!tenancy.clone().found(None, now));
    let set = Change::Set { shard: "s".into(), counter: table.counter, checkpoint: Checkpoint::TrimHorizon };
    let set = changed(Some(&table), &set).unwrap();
    assert!(!tenancy.clone().found(set, now), "an operator moved it");
    let later = Lease { counter: table.counter + 2, ..table };
    assert!(!tenancy.found(Some(later), now), "ours again, but not in this tenancy");
}
