//! Mistakes of ours, the operator's: the service says what is wrong and how to cure it, keeps trying, loses nothing,
//! and recovers by itself.

use tributary::local::{LocalOptions, QueueSpec};

use super::{
    endpoints::{DEAD_LETTERS, Depth, Endpoints, QUEUE, closed_port, environment},
    records::{events, messages},
    worker::Worker,
};
use crate::support::local::options;

fn queue(name: &str) -> QueueSpec {
    QueueSpec { name: name.to_owned(), dead_letter: None }
}

/// Events that are sent now arrive.
async fn works(endpoints: &Endpoints, worker: &Worker) {
    worker.until_ready().await;
    let events = events(5, 50);
    endpoints.send(&messages(&events, 1..=5, 5)).await;
    endpoints.until_drained(worker).await;
    assert_eq!(endpoints.assert_all_stored(&events).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_cannot_be_reached_is_named_and_waited_for() {
    let port = closed_port();
    let lake = Endpoints::start().await;
    let worker = Worker::start(&environment(&format!("http://{port}"), &lake.local.lake_url(), &[])).await;
    let text = worker.until_not_ready("source").await;
    assert!(text.contains("cannot be reached") && text.contains("check its URL"), "{text}");
    assert_eq!(worker.get("/livez").await, Some((200, "alive\n".to_owned())), "no reason to restart");

    let queue = Endpoints::with(LocalOptions { sqs_addr: port, ..options() }).await;
    worker.until_ready().await;
    let events = events(5, 50);
    queue.send(&messages(&events, 1..=5, 5)).await;
    queue.until_drained(&worker).await;
    assert_eq!(lake.assert_all_stored(&events).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_does_not_exist_is_named_and_waited_for() {
    let endpoints = Endpoints::with(LocalOptions { queues: vec![queue(DEAD_LETTERS)], ..options() }).await;
    let worker = endpoints.worker(&[]).await;
    let text = worker.until_not_ready("source").await;
    let url = endpoints.local.queue_url(QUEUE);
    assert!(text.contains("NonExistentQueue") && text.contains(&format!("check the URL {url}")), "{text}");

    endpoints.sqs.create_queue().queue_name(QUEUE).send().await.expect("the queue answers");
    works(&endpoints, &worker).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_credentials_are_named_with_their_cure() {
    let endpoints = Endpoints::start().await;
    let mut environment = endpoints.environment(&[("AWS_EC2_METADATA_DISABLED", "true")]);
    environment.retain(|(name, _)| !name.starts_with("AWS_ACCESS_KEY") && !name.starts_with("AWS_SECRET"));
    let worker = Worker::start(&environment).await;
    let text = worker.until_not_ready("source").await;
    assert!(text.contains("no usable AWS credentials") && text.contains("AWS_PROFILE"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_health_port_that_is_taken_ends_the_start_with_2() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("an address").to_string();
    let endpoints = Endpoints::start().await;
    endpoints.send(&messages(&events(6, 5), 1..=1, 6)).await;
    let worker = Worker::spawn(&endpoints.environment(&[("TRIBUTARY_SERVICE_LISTEN", &addr)]));
    let ended = worker.ended().await;
    assert_eq!(ended.code, Some(2), "{}", ended.log);
    assert!(ended.log.contains(&format!("could not listen on {addr}")), "{}", ended.log);
    assert!(ended.log.contains("service.listen"), "{}", ended.log);
    assert_eq!(endpoints.depth(QUEUE).await, Depth { visible: 5, hidden: 0 }, "nothing was taken in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_events_wait_for_a_dead_letter_queue() {
    let endpoints = Endpoints::with(LocalOptions { queues: vec![queue(QUEUE)], ..options() }).await;
    let bad: Vec<_> = (0..15).map(|number| format!("no JSON, number {number}")).collect();
    endpoints.send(&bad).await;
    let worker = endpoints.worker(&[]).await;
    let text = worker.until_not_ready("dead_letters").await;
    let url = endpoints.local.queue_url(DEAD_LETTERS);
    assert!(text.contains("NonExistentQueue") && text.contains(&format!("check the URL {url}")), "{text}");

    // Intake pauses: what is sent now stays on the queue, unreceived.
    worker
        .until("the last poll before the pause has ended", async |worker: &Worker| {
            let polls = worker.scrape().await.sum("tributary_polls_total");
            tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
            (worker.scrape().await.sum("tributary_polls_total") == polls).then_some(())
        })
        .await;
    let good = events(7, 30);
    let bodies = messages(&good, 1..=3, 7);
    endpoints.send(&bodies).await;
    worker
        .until("the bad ones were extended twice", async |worker: &Worker| {
            let extended = worker.scrape().await.sum_of("tributary_heartbeats_total", "result=\"ok\"");
            (extended >= 2 * 15).then_some(())
        })
        .await;
    assert_eq!(endpoints.depth(QUEUE).await, Depth { visible: bodies.len() as u64, hidden: 15 });
    assert_eq!(worker.scrape().await.in_flight(), 15);

    endpoints.sqs.create_queue().queue_name(DEAD_LETTERS).send().await.expect("the queue answers");
    worker.until_ready().await;
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.depth(DEAD_LETTERS).await, Depth { visible: 15, hidden: 0 });
    assert_eq!(endpoints.assert_all_stored(&good).await, 0);
    let scrape = worker.scrape().await;
    scrape.assert_at_rest();
    assert_eq!((scrape.term("dead_lettered"), scrape.term("returned")), (15, 0));
}
