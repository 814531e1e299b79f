//! A queue full of garbage: not poured into the dead-letter queue.

use super::{
    endpoints::{DEAD_LETTERS, Depth, Endpoints, QUEUE},
    worker::Worker,
};

const GARBAGE: u64 = 3_000;
/// `breaker.deliveries`, and one call's letters that were under way when the breaker opened.
const LETTERS_MAX: u64 = 200 + 100;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_full_of_garbage_stops_intake_before_it_fills_the_dead_letter_queue() {
    let endpoints = Endpoints::start().await;
    let garbage: Vec<_> = (0..GARBAGE).map(|number| format!("{{\"hello\": {number}}}")).collect();
    endpoints.send(&garbage).await;
    let worker = endpoints.worker(&[("TRIBUTARY_SERVICE_DRAIN_TIMEOUT", "2s")]).await;
    let text = worker.until_not_ready("breaker").await;
    for part in ["200 deliveries were dead-lettered", "look at their reasons", "breaker.dead_letter_share"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    worker
        .until("what was under way rests and is kept hidden", async |worker: &Worker| {
            let scrape = worker.scrape().await;
            let extended = scrape.sum_of("tributary_heartbeats_total", "result=\"ok\"");
            (extended > scrape.in_flight()).then_some(())
        })
        .await;
    let (letters, left) = (endpoints.depth(DEAD_LETTERS).await.visible, endpoints.depth(QUEUE).await);
    println!("{letters} letters, {left:?} left");
    assert!((100..=LETTERS_MAX).contains(&letters), "{letters} letters");
    assert_eq!(letters + left.visible + left.hidden, GARBAGE, "all of it is somewhere");
    assert!(left.visible > 0, "intake stopped");
    let scrape = worker.scrape().await;
    assert_eq!((scrape.sum("tributary_breaker_open"), scrape.in_flight()), (1, left.hidden));
    assert_eq!(scrape.term("dead_lettered"), letters);

    let ended = worker.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert_eq!(endpoints.depth(DEAD_LETTERS).await, Depth { visible: letters, hidden: 0 });
    assert_eq!(endpoints.depth(QUEUE).await, Depth { visible: GARBAGE - letters, hidden: 0 });
}
