//! Good days: what goes into the queue comes out of the lake.

use aws_sdk_sqs::types::Message;

use super::{
    endpoints::{DEAD_LETTERS, Depth, Endpoints, QUEUE},
    records::{Event, events, messages},
    worker::Worker,
};
use crate::real_records::{log_files, records_of};
use tributary::local::Faults;

/// Records from log files, as far as there are any, and 300 of our own.
fn real_and_our_own() -> Vec<Event> {
    let texts = log_files().into_iter().map(|file| std::fs::read_to_string(file).expect("readable"));
    let mut all: Vec<_> = texts.flat_map(|text| records_of(&text)).map(Event::of).collect();
    all.extend(events(1, 300));
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_records_come_out_once() {
    let events = real_and_our_own();
    let all = events.len() as u64;
    let endpoints = Endpoints::start().await;
    let worker = endpoints.worker(&[]).await;
    worker.until_ready().await;

    endpoints.send(&messages(&events, 1..=12, 1)).await;
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.assert_all_stored(&events).await, 0, "events that are in the lake twice");
    assert_eq!(worker.scrape().await.term("published"), all);

    endpoints.send(&messages(&events, 1..=12, 2)).await;
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.stored(), all, "what comes a second time is not stored again");
    let scrape = worker.scrape().await;
    scrape.assert_at_rest();
    assert_eq!((scrape.term("duplicate"), scrape.term("returned")), (all, 0));
    endpoints.assert_no_dead_letters().await;
    println!("{all} events, each in the lake once after being sent twice");

    let ended = worker.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_that_is_redriven_after_the_cure_is_published() {
    let events = events(8, 40);
    let refusing =
        Faults { fail_share: 1.0, fail_code: "InvalidData".to_owned(), seed: Some(8), ..Faults::default() };
    let endpoints = Endpoints::misbehaving(refusing).await;
    let worker = endpoints.worker(&[]).await;
    let bodies = messages(&events, 1..=4, 8);
    endpoints.send(&bodies).await;
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.depth(DEAD_LETTERS).await, Depth { visible: 40, hidden: 0 });

    endpoints.misbehave(Faults::default());
    // The control: a copy by the producer is a copy of what was settled, and nobody asked for another try.
    endpoints.send(&bodies).await;
    endpoints.until_drained(&worker).await;
    assert_eq!((endpoints.stored(), worker.scrape().await.term("duplicate")), (0, 40));

    let mut redriven = 0;
    while endpoints.depth(DEAD_LETTERS).await != Depth::EMPTY {
        for letter in letters(&endpoints).await {
            redrive(&endpoints, letter).await;
            redriven += 1;
        }
    }
    endpoints.until_drained(&worker).await;
    assert_eq!(redriven, 40);
    assert_eq!(endpoints.assert_all_stored(&events).await, 0);
    let scrape = worker.scrape().await;
    scrape.assert_at_rest();
    assert_eq!((scrape.term("dead_lettered"), scrape.term("published")), (40, 40));
    endpoints.assert_no_dead_letters().await;
}

/// Some of what is on the dead-letter queue.
pub(super) async fn letters(endpoints: &Endpoints) -> Vec<Message> {
    let call = endpoints.sqs.receive_message().queue_url(endpoints.local.queue_url(DEAD_LETTERS));
    let answer = call.max_number_of_messages(10).message_attribute_names("All").send().await;
    answer.expect("the queue answers").messages.unwrap_or_default()
}

/// As the queue's own redrive does it: the same body and attributes, back to where they came from.
pub(super) async fn redrive(endpoints: &Endpoints, letter: Message) {
    let send = endpoints.sqs.send_message().queue_url(endpoints.local.queue_url(QUEUE));
    let send = send.set_message_body(letter.body).set_message_attributes(letter.message_attributes);
    send.send().await.expect("the queue answers");
    let delete = endpoints.sqs.delete_message().queue_url(endpoints.local.queue_url(DEAD_LETTERS));
    delete.set_receipt_handle(letter.receipt_handle).send().await.expect("the queue answers");
}

/// A mixed day: scraped as often as the endpoint answers, from the first message to the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_law_holds_at_every_look() {
    let faults = Faults {
        fail_share: 0.1,
        forget_share: 0.1,
        error_share: 0.1,
        delay_ms: 20,
        seed: Some(7),
        ..Faults::default()
    };
    let endpoints = Endpoints::misbehaving(faults).await;
    let worker = endpoints.worker(&[("TRIBUTARY_BATCH_EVENTS_MAX", "25")]).await;
    let events = events(7, 800);
    let mut bodies = messages(&events, 1..=6, 7);
    bodies.extend(messages(&events[..200], 1..=6, 70));
    let bad = 60;
    bodies.extend((0..bad).map(|number| format!("no JSON, number {number}")));
    fastrand::Rng::with_seed(7).shuffle(&mut bodies);

    let (mut looks, mut looks_under_way) = (0, 0);
    tokio::join!(endpoints.send(&bodies), async {
        worker
            .until("everything is settled", async |worker: &Worker| {
                let scrape = worker.scrape().await;
                looks += 1;
                looks_under_way += u32::from(scrape.in_flight() > 0);
                let settled =
                    scrape.term("published") + scrape.term("duplicate") + scrape.term("dead_lettered");
                (settled >= 1_000 + bad).then_some(())
            })
            .await;
    });
    endpoints.until_drained(&worker).await;
    println!("{looks} looks, {looks_under_way} of them with deliveries under way");
    assert!(looks_under_way >= 10, "{looks_under_way} looks say little");
    let scrape = worker.scrape().await;
    scrape.assert_at_rest();
    assert_eq!(scrape.term("published"), 800);
    assert_eq!((scrape.term("duplicate"), scrape.term("dead_lettered")), (200, bad));
    assert_eq!(scrape.sum_of("tributary_dead_letters_total", "reason=\"not_json\""), bad);
    assert_eq!(endpoints.depth(DEAD_LETTERS).await, Depth { visible: bad, hidden: 0 });
    endpoints.assert_all_stored(&events).await;
}
