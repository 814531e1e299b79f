//! Two channels of one lake, of which one is gone: the other gets its events as on any day, and the first gets all of
//! them after the cure.

use std::time::Duration;

use tributary::local::Faults;

use super::{
    endpoints::Endpoints,
    records::{events, messages},
    scrape::Scrape,
    worker::Worker,
};

const OTHER: &str = "arn:aws:cloudtrail:us-east-1:123456789012:channel/99999999-2222-3333-4444-555555555555";
const EVENTS: usize = 300;

fn published(scrape: &Scrape, name: &str) -> u64 {
    scrape.sum_of("tributary_published_total", &format!("\"{name}\""))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_denies_us_does_not_hold_up_the_other() {
    let faults = Faults {
        channel: Some(OTHER.to_owned()),
        refuse: Some("AccessDeniedException".to_owned()),
        ..Faults::default()
    };
    let endpoints = Endpoints::misbehaving(faults).await;
    let environment = [
        ("TRIBUTARY_DESTINATIONS_OTHER_CHANNEL_ARN", OTHER),
        ("TRIBUTARY_DESTINATIONS_OTHER_REQUEST_TIMEOUT", "4s"),
        ("TRIBUTARY_BATCH_EVENTS_MAX", "20"),
    ];
    let worker = endpoints.worker(&environment).await;
    let events = events(17, EVENTS);
    endpoints.send(&messages(&events, 1..=3, 17)).await;
    let text = worker.until_not_ready("destination other").await;
    assert!(text.contains("AccessDenied"), "{text}");
    worker
        .until("the other channel has all", async |worker: &Worker| {
            (published(&worker.scrape().await, "lake") == EVENTS as u64).then_some(())
        })
        .await;
    assert_eq!(endpoints.assert_all_stored(&events).await, 0);
    worker
        .until("one event finds out, and the rest is on the queue", async |worker: &Worker| {
            (worker.scrape().await.in_flight() <= 1).then_some(())
        })
        .await;
    endpoints.misbehave(Faults::default());
    // A delivery can have been turned away for 45 s, and once more for 90 s, before the cure was found out.
    worker
        .until_within(Duration::from_mins(5), "both channels have all", async |worker: &Worker| {
            (published(&worker.scrape().await, "other") == EVENTS as u64).then_some(())
        })
        .await;
    endpoints.until_drained(&worker).await;
    let scrape = worker.scrape().await;
    scrape.assert_at_rest();
    assert_eq!((published(&scrape, "lake"), published(&scrape, "other")), (EVENTS as u64, EVENTS as u64));
    // Each is there once for each channel, and no more.
    assert_eq!(endpoints.assert_all_stored(&events).await, EVENTS as u64);
    endpoints.assert_no_dead_letters().await;
    assert_eq!(worker.stop().await.code, Some(0));
}
