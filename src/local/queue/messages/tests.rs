//! One queue under a clock that the tests hold.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn message(body: &str) -> Message {
    let payload = Payload {
        id: body.to_owned(),
        body: body.to_owned(),
        md5: String::new(),
        sent_ms: 1_000,
        attributes: Attributes::new(),
        trace_header: None,
        group_id: None,
    };
    Message { payload: Arc::new(payload), receives: 0, first_received_ms: 0, dead_letter_source: None }
}

fn holding(bodies: &[&str]) -> Messages {
    let mut messages = Messages::new(1, 1);
    for body in bodies {
        messages.insert(messages.next_number(), message(body), None);
    }
    messages
}

fn receive(messages: &mut Messages, now: Instant, visibility: Duration) -> Option<Delivery> {
    messages.release(now);
    messages.receive(now, 5_000, visibility).unwrap()
}

fn code(outcome: Result<(), Fault>) -> Code {
    outcome.unwrap_err().code
}

#[test]
fn a_received_message_is_hidden_until_its_timeout_and_not_a_moment_longer() {
    let (mut messages, start) = (holding(&["a"]), Instant::now());
    assert!(receive(&mut messages, start, 30 * SECOND).is_some());
    assert_eq!(messages.next_release(), Some(start + 30 * SECOND));
    assert!(receive(&mut messages, start + 29 * SECOND, SECOND).is_none());
    let again = receive(&mut messages, start + 30 * SECOND, SECOND).expect("visible again");
    assert_eq!((again.message.receives, again.message.first_received_ms), (2, 5_000));
}

#[test]
fn a_delayed_message_is_counted_as_delayed_until_it_is_visible() {
    let (mut messages, start) = (holding(&[]), Instant::now());
    messages.insert(0, message("a"), Some(start + 10 * SECOND));
    assert_eq!(messages.counts(), Counts { delayed: 1, ..Counts::default() });
    assert!(receive(&mut messages, start + 9 * SECOND, SECOND).is_none());
    assert!(receive(&mut messages, start + 10 * SECOND, SECOND).is_some());
    assert_eq!(messages.counts(), Counts { in_flight: 1, ..Counts::default() });
}

#[test]
fn a_timeout_can_be_moved_within_twelve_hours_of_the_receive() {
    let (mut messages, start) = (holding(&["a"]), Instant::now());
    let delivery = receive(&mut messages, start, 30 * SECOND).expect("received");
    let handle = messages.handle(&delivery.handle).unwrap();
    let (later, cap) = (start + 20 * SECOND, 43_200 * SECOND);
    messages.change_visibility(handle, 30 * SECOND, later).unwrap();
    assert!(receive(&mut messages, start + 49 * SECOND, SECOND).is_none());
    assert_eq!(code(messages.change_visibility(handle, cap, later)), Code::InvalidParameterValue);
    messages.change_visibility(handle, 43_180 * SECOND, later).unwrap();
    assert!(receive(&mut messages, start + cap - SECOND, SECOND).is_none());
    let again = receive(&mut messages, start + cap, SECOND).expect("visible again");
    assert_eq!(code(messages.change_visibility(handle, SECOND, start + cap)), Code::InvalidParameterValue);
    let handle = messages.handle(&again.handle).unwrap();
    messages.release(start + cap + SECOND);
    assert_eq!(
        code(messages.change_visibility(handle, SECOND, start + cap + SECOND)),
        Code::MessageNotInflight
    );
}

#[test]
fn a_handle_of_another_queue_or_of_no_message_is_invalid() {
    let (mut messages, start) = (holding(&["a"]), Instant::now());
    let delivery = receive(&mut messages, start, SECOND).expect("received");
    let other = Messages::new(2, 1);
    assert_eq!(other.handle(&delivery.handle).map(|_| ()).unwrap_err().code, Code::ReceiptHandleIsInvalid);
    for garbage in ["", "x", "ü", &delivery.handle[1..], &delivery.handle.repeat(2)] {
        assert!(messages.handle(garbage).is_err(), "{garbage}");
    }
}

#[test]
fn a_handle_of_an_earlier_run_never_means_another_message_that_got_its_number() {
    let (first, second) = (Uuid::from_u128(1 << 64).to_string(), Uuid::from_u128(2 << 64).to_string());
    let mut before = holding(&[&first]);
    let delivery = receive(&mut before, Instant::now(), SECOND).expect("received");
    for (body, is_same) in [(&first, true), (&second, false)] {
        let mut after = Messages::new(1, 2);
        after.insert(0, message(body), None);
        let handle = after.handle(&delivery.handle).unwrap();
        assert_eq!(after.is_latest(handle), is_same);
    }
}

#[test]
fn only_so_many_may_be_in_flight() {
    let (mut messages, start) = (Messages::new(1, 1), Instant::now());
    for number in 0..=IN_FLIGHT_MAX as u64 {
        messages.insert(number, message("a"), None);
    }
    for _ in 0..IN_FLIGHT_MAX {
        assert!(receive(&mut messages, start, SECOND).is_some());
    }
    let refused = messages.receive(start, 0, SECOND).map(|_| ());
    assert_eq!(refused.unwrap_err().code, Code::OverLimit);
    assert!(receive(&mut messages, start + SECOND, SECOND).is_some());
}

#[test]
fn those_used_up_are_taken_from_the_head_until_one_is_not() {
    let mut messages = holding(&["a", "b", "c"]);
    let taken = messages.take_visible(usize::MAX, |message| message.payload.body != "b");
    assert_eq!(taken.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [0]);
    assert_eq!(messages.counts().visible, 2);
    let next = receive(&mut messages, Instant::now(), SECOND).expect("the head is still there");
    assert_eq!(next.message.payload.body, "b");
}

/// One step of a consumer or of time.
#[derive(Clone, Copy, Debug)]
enum Step {
    Insert { delay: u64 },
    Receive { visibility: u64 },
    Delete { of: usize },
    Hide { of: usize, seconds: u64 },
    Wait { seconds: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0_u64..4).prop_map(|delay| Step::Insert { delay }),
        (0_u64..5).prop_map(|visibility| Step::Receive { visibility }),
        any::<usize>().prop_map(|of| Step::Delete { of }),
        (any::<usize>(), 0_u64..5).prop_map(|(of, seconds)| Step::Hide { of, seconds }),
        (0_u64..4).prop_map(|seconds| Step::Wait { seconds }),
    ]
}

proptest! {
    /// Whatever is done in whatever order: the counts add up to what was sent and not deleted, nothing is received
    /// twice within its timeout, and in the end everything that was not deleted can be received.
    #[test]
    fn no_message_is_lost_or_doubled(steps in proptest::collection::vec(step(), 0..120)) {
        let (mut messages, mut now) = (Messages::new(1, 1), Instant::now());
        let mut hidden_until: HashMap<u64, Instant> = HashMap::new();
        let mut handles: Vec<String> = Vec::new();
        let mut alive = BTreeSet::new();
        for step in steps {
            messages.release(now);
            match step {
                Step::Insert { delay } => {
                    let number = messages.next_number();
                    let until = (delay > 0).then(|| now + SECOND * u32::try_from(delay).unwrap());
                    messages.insert(number, message("a"), until);
                    hidden_until.insert(number, until.unwrap_or(now));
                    alive.insert(number);
                }
                Step::Receive { visibility } => {
                    let visibility = Duration::from_secs(visibility);
                    let visible = alive.iter().any(|number| hidden_until[number] <= now);
                    prop_assert_eq!(messages.has_visible(), visible);
                    let delivery = receive(&mut messages, now, visibility);
                    prop_assert_eq!(delivery.is_some(), visible);
                    if let Some(delivery) = delivery {
                        let number = messages.handle(&delivery.handle).unwrap().number;
                        prop_assert!(alive.contains(&number));
                        prop_assert!(hidden_until[&number] <= now);
                        hidden_until.insert(number, now + visibility);
                        handles.push(delivery.handle);
                    }
                }
                Step::Delete { of } if !handles.is_empty() => {
                    let handle = messages.handle(&handles[of % handles.len()]).unwrap();
                    if messages.is_latest(handle) {
                        prop_assert!(alive.remove(&handle.number));
                        messages.remove(handle.number);
                    }
                }
                Step::Hide { of, seconds } if !handles.is_empty() => {
                    let handle = messages.handle(&handles[of % handles.len()]).unwrap();
                    let visibility = Duration::from_secs(seconds);
                    if messages.change_visibility(handle, visibility, now).is_ok() {
                        hidden_until.insert(handle.number, now + visibility);
                    }
                }
                Step::Wait { seconds } => now += Duration::from_secs(seconds),
                Step::Delete { .. } | Step::Hide { .. } => {}
            }
            let counts = messages.counts();
            prop_assert_eq!(counts.visible + counts.in_flight + counts.delayed, alive.len());
            prop_assert_eq!(messages.bytes(), alive.len());
        }
        now += 60 * SECOND;
        let mut received = BTreeSet::new();
        while let Some(delivery) = receive(&mut messages, now, 60 * SECOND) {
            received.insert(messages.handle(&delivery.handle).unwrap().number);
        }
        prop_assert_eq!(received, alive);
    }
}
