//! Lanes that share one worker: a destination that is gone or in trouble holds up no other. The real pipeline and the
//! real ledger on a paused clock, so that an outage of hours takes seconds.

mod yard;

use std::{sync::Arc, time::Duration};

use tributary::{jq, route::Route};

use yard::{Mood, Yard};

/// Of each kind.
const EVENTS: u64 = 2_000;
/// Room for about 60 messages: far fewer than there are.
const ROOM: usize = 100_000;

const HOUR: Duration = Duration::from_hours(1);

fn only(name: &str) -> Route {
    let text = format!(".eventName == \"{name}\"");
    let program = jq::Program::compile(&text).expect("jq");
    Route { when: Some(jq::Written { text: text.into(), program: Arc::new(program) }), ..Route::default() }
}

/// Every second event is for one of two destinations.
fn mixed(yard: &Yard) {
    for number in 0..EVENTS {
        yard.send("a", number);
        yard.send("b", number);
    }
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_is_gone_for_hours_delays_no_other_and_gets_everything_after_the_cure() {
    let yard = Yard::new();
    mixed(&yard);
    yard.is(&["a"], Mood::Denies);
    let worker = yard.work(ROOM, vec![("a", only("a")), ("b", only("b"))]);
    let took = yard.until(HOUR, || yard.stored("b") == EVENTS).await;
    assert!(took < Duration::from_mins(1), "the other destination took {took:?}");
    yard.settle_down().await;
    assert!(worker.held_bytes() < ROOM / 2, "{} bytes of the room are held", worker.held_bytes());

    // What is sent during the outage goes its way as on any day.
    for hour in 0..6 {
        tokio::time::sleep(HOUR).await;
        yard.send("b", EVENTS + hour);
        let took = yard.until(HOUR, || yard.stored("b") == EVENTS + hour + 1).await;
        assert!(took < Duration::from_secs(30), "in hour {hour} an event took {took:?}");
    }
    assert_eq!(yard.stored("a"), 0);
    assert!(yard.most_deliveries() <= 16, "a message was delivered {} times", yard.most_deliveries());

    yard.is(&["a"], Mood::Well);
    let took = yard.until(3 * HOUR, || yard.stored("a") == EVENTS).await;
    assert!(took <= HOUR * 3 / 2 + Duration::from_mins(1), "the last came {took:?} after the cure");
    yard.until(HOUR, || yard.is_empty()).await;
    worker.stop().await;
    yard.assert_each_once(&[("a", EVENTS), ("b", EVENTS + 6)]);
}

#[tokio::test(start_paused = true)]
async fn an_event_for_both_reaches_the_one_at_once_and_the_other_after_its_cure() {
    let yard = Yard::new();
    (0..EVENTS).for_each(|number| yard.send("both", number));
    yard.is(&["a"], Mood::Denies);
    let worker = yard.work(ROOM, vec![("a", Route::default()), ("b", Route::default())]);
    let took = yard.until(HOUR, || yard.stored("b") == EVENTS).await;
    assert!(took < Duration::from_mins(1), "the other destination took {took:?}");
    tokio::time::sleep(HOUR).await;
    yard.is(&["a"], Mood::Well);
    yard.until(3 * HOUR, || yard.stored("a") == EVENTS && yard.is_empty()).await;
    worker.stop().await;
    yard.assert_each_once(&[("a", EVENTS), ("b", EVENTS)]);
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_throttles_fills_its_share_and_leaves_the_rest_and_no_message_goes_back_for_ever()
{
    for slowness in [Duration::from_secs(10), Duration::from_secs(25)] {
        let yard = Yard::new();
        mixed(&yard);
        yard.is(&["a"], Mood::Throttles(slowness));
        let worker = yard.work(ROOM, vec![("a", only("a")), ("b", only("b"))]);
        let took = yard.until(24 * HOUR, || yard.stored("b") == EVENTS).await;
        assert!(took < Duration::from_mins(10), "beside {slowness:?} the other destination took {took:?}");
        yard.until(24 * HOUR, || yard.stored("a") == EVENTS && yard.is_empty()).await;
        let most = yard.most_deliveries();
        assert!((2..=3).contains(&most), "beside {slowness:?} a message was delivered {most} times");
        worker.stop().await;
        yard.assert_each_once(&[("a", EVENTS), ("b", EVENTS)]);
    }
}

#[tokio::test(start_paused = true)]
async fn destinations_that_are_only_busy_wait_in_the_room_and_nothing_is_given_back() {
    let yard = Yard::new();
    mixed(&yard);
    yard.is(&["a", "b"], Mood::Slow(Duration::from_secs(1)));
    let worker = yard.work(ROOM, vec![("a", only("a")), ("b", only("b"))]);
    yard.until(24 * HOUR, || yard.is_empty()).await;
    assert_eq!(yard.most_deliveries(), 1);
    worker.stop().await;
    yard.assert_each_once(&[("a", EVENTS), ("b", EVENTS)]);
}

/// A backlog of one destination beside another that nobody has anything for.
#[tokio::test(start_paused = true)]
async fn a_busy_destination_gives_nothing_back_to_an_idle_one_and_one_that_answers_late_neither() {
    for slowness in [Duration::from_secs(2), Duration::from_secs(25)] {
        let yard = Yard::new();
        (0..EVENTS).for_each(|number| yard.send("a", number));
        yard.is(&["a"], Mood::Slow(slowness));
        let worker = yard.work(ROOM, vec![("a", only("a")), ("b", only("b"))]);
        yard.until(24 * HOUR, || yard.is_empty()).await;
        assert_eq!(yard.most_deliveries(), 1, "at {slowness:?} a call");
        worker.stop().await;
        yard.assert_each_once(&[("a", EVENTS)]);
    }
}
