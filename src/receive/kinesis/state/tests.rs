use super::*;
use crate::receive::kinesis::{
    lease::changed,
    position::{Checkpoint, Position, SequenceNumber},
};

const TIMES: Times = Times { failover: Duration::from_secs(10) };

/// A worker with one shard, and the number of that tenancy.
fn holding(shard: &ShardId, now: Instant) -> (State, u64) {
    let mut state = State::new("me".into(), TIMES, false);
    let number = begin(&mut state, shard, now);
    (state, number)
}

fn begin(state: &mut State, shard: &ShardId, now: Instant) -> u64 {
    let lease = Lease { owner: Some("me".into()), ..Lease::new(shard.clone(), Checkpoint::TrimHorizon) };
    state.begin(lease, now);
    state.held[shard].number
}

/// Records with these sequence numbers, each of so many bytes.
fn records(numbers: impl Iterator<Item = u64>, bytes: usize) -> Vec<Part> {
    let part = |number: u64| {
        let position = Position { sequence: SequenceNumber::parse(&number.to_string()).unwrap(), sub: 0 };
        let message = Message {
            body: vec![b'x'; bytes].into(),
            attempt: 0,
            ..Message::empty(Deadline::new(Instant::now()))
        };
        Part { position, message }
    };
    numbers.map(part).collect()
}

fn checkpoint(state: &State, shard: &ShardId) -> Option<Checkpoint> {
    match state.held[shard].tenancy.last_change() {
        Change::Leave { checkpoint, .. } => checkpoint,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_shard_is_read_by_one_poll_at_a_time_and_whoever_waited_longest_first() {
    let now = Instant::now();
    let (one, two) = (ShardId::from("one"), ShardId::from("two"));
    let (mut state, _) = holding(&one, now);
    begin(&mut state, &two, now - Duration::from_secs(1));
    let mut first = state.turn(now).expect("ready");
    assert_eq!(first.shard, two);
    assert_eq!(state.turn(now).map(|turn| turn.shard), Some(one));
    assert!(state.turn(now).is_none(), "both are being read");
    state.turn_ended(&mut first, now + Duration::from_secs(1));
    assert!(state.turn(now).is_none(), "not yet");
    assert!(state.turn(now + Duration::from_secs(1)).is_some());
}

#[test]
fn what_is_given_back_comes_again_in_its_time_and_holds_the_checkpoint() {
    let now = Instant::now();
    let shard = ShardId::from("s");
    let (mut state, number) = holding(&shard, now);
    state.took(&shard, number, records(1..4, 1), now);
    let messages = state.hand_out(now, 10);
    assert_eq!(messages.iter().map(|message| message.attempt).collect::<Vec<_>>(), [1, 1, 1]);
    let delay = Duration::from_secs(5);
    state.ended(&messages[0].handle, Some(delay), now);
    state.ended(&messages[1].handle, None, now);
    state.ended(&messages[2].handle, None, now);
    assert_eq!(checkpoint(&state, &shard), None);
    assert!(state.hand_out(now + delay - Duration::from_millis(1), 10).is_empty());
    let again = state.hand_out(now + delay, 10);
    assert_eq!((again.len(), again[0].attempt), (1, 2));
    assert_ne!(again[0].handle.delivery, messages[0].handle.delivery);
    state.ended(&messages[0].handle, None, now);
    assert_eq!(checkpoint(&state, &shard), None, "that delivery had ended");
    state.ended(&again[0].handle, None, now);
    assert!(
        matches!(checkpoint(&state, &shard), Some(Checkpoint::At(position)) if position.to_string() == "3")
    );
}

#[test]
fn nothing_more_is_read_while_much_waits_in_memory() {
    let now = Instant::now();
    let shard = ShardId::from("s");
    let (mut state, number) = holding(&shard, now);
    state.took(&shard, number, records(1..9, WAITING_BYTES_MAX / 8), now);
    assert!(state.turn(now).is_none());
    assert!(!state.hand_out(now, 1).is_empty());
    assert!(state.turn(now).is_some());
}

#[test]
fn a_tenancy_that_is_over_takes_nothing_of_the_next_one_with_it() {
    let now = Instant::now();
    let shard = ShardId::from("s");
    let (mut state, first) = holding(&shard, now);
    state.took(&shard, first, records(1..3, 1), now);
    let delivered = state.hand_out(now, 1);
    let second = begin(&mut state, &shard, now);
    assert!(delivered[0].deadline.at() <= Instant::now(), "it is another's as well now");
    assert!(state.hand_out(now, 10).is_empty(), "what waited is read again");
    state.took(&shard, first, records(3..4, 1), now);
    assert!(state.hand_out(now, 10).is_empty(), "read for the tenancy before");
    state.took(&shard, second, records(1..2, 1), now);
    state.ended(&delivered[0].handle, None, now);
    assert_eq!(checkpoint(&state, &shard), None, "acked for the tenancy before");
    assert!(!state.lose(&shard, first));
    assert!(state.held.contains_key(&shard), "an old loss is no loss");
    assert!(state.lose(&shard, second) && state.held.is_empty());
}

#[test]
fn who_was_asked_to_leave_hands_out_nothing_that_has_not_been_handed_out() {
    let now = Instant::now();
    let shard = ShardId::from("s");
    let (mut state, number) = holding(&shard, now);
    state.took(&shard, number, records(1..3, 1), now);
    let delivered = state.hand_out(now, 1);
    let held = state.of(&shard, number).expect("held");
    let ask = Change::Ask { shard: shard.clone(), holder: "me".into(), to: Some("other".into()) };
    let asked = changed(Some(held.tenancy.lease()), &ask).unwrap().unwrap();
    held.tenancy.changed(asked, now, now);
    assert!(state.changes(now).is_empty(), "one is in flight");
    assert!(state.hand_out(now, 10).is_empty());
    state.ended(&delivered[0].handle, Some(Duration::ZERO), now);
    assert!(state.hand_out(now, 10).is_empty(), "given back for whoever comes next");
    assert!(matches!(state.changes(now)[..], [(_, Change::Leave { is_asked_for: true, .. })]));
}

#[test]
fn a_poll_brings_no_more_once_it_is_large_enough() {
    let now = Instant::now();
    let shard = ShardId::from("s");
    let (mut state, number) = holding(&shard, now);
    state.took(&shard, number, records(1..10, BYTES_MAX / 2), now);
    assert_eq!(state.hand_out(now, 1_000).len(), 2);
    assert_eq!(state.hand_out(now, 1).len(), 1);
    assert_eq!(state.hand_out(now, 1_000).len(), 2, "the rest is for the polls that follow");
}

#[test]
fn a_shard_that_is_not_read_falls_behind() {
    let now = Instant::now();
    let shard = ShardId::from("s");
    let (mut state, number) = holding(&shard, now);
    let second = Duration::from_secs(1);
    state.of(&shard, number).expect("held").was_read(2 * second, now);
    assert_eq!(state.held[&shard].behind(now + 5 * second), 7 * second);
}

#[test]
fn trouble_with_subscriptions_is_over_with_the_last_shard() {
    let shard = ShardId::from("s");
    let (mut state, number) = holding(&shard, Instant::now());
    state.push_trouble = Some(CallError::misconfigured("denied", "denied"));
    assert!(state.trouble().is_some());
    state.lose(&shard, number);
    assert_eq!(state.trouble(), None);
}
