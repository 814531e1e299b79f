//! Good days: what is put to the stream comes out of the lake once, and whoever comes next begins where the one before
//! has ended.

use std::collections::BTreeSet;

use fastrand::Rng;
use tributary::local::Faults;

use super::{
    super::{
        records::{events, messages},
        worker::{Ended, Worker},
    },
    streaming::{Setting, Streaming, bad},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_put_comes_out_once_and_bad_records_hold_up_nobody() {
    let faults =
        Faults { fail_share: 0.05, error_share: 0.05, delay_ms: 20, seed: Some(31), ..Faults::default() };
    let setting = Setting::with_shards(4).await;
    let streaming = Streaming::start(Setting { faults, ..setting }).await;
    let mut rng = Rng::with_seed(31);
    let (events, bad) = (events(31, 800), bad(0..40));
    let mut bodies = [messages(&events, 1..=6, 31), bad.clone()].concat();
    rng.shuffle(&mut bodies);
    let (before, meanwhile) = bodies.split_at(bodies.len() / 2);
    streaming.put(before, &mut rng).await;
    let worker = streaming.worker("first", &[("TRIBUTARY_BATCH_EVENTS_MAX", "25")]).await;

    let (mut looks, mut looks_under_way) = (0, 0);
    tokio::join!(streaming.put(meanwhile, &mut rng), async {
        worker
            .until("everything has ended", async |worker: &Worker| {
                let scrape = worker.scrape().await;
                looks += 1;
                looks_under_way += u32::from(scrape.in_flight() > 0);
                let ended = scrape.term("published") + scrape.term("dead_lettered");
                (ended >= (events.len() + bad.len()) as u64).then_some(())
            })
            .await;
    });
    streaming.until_settled(&worker).await;
    println!("{looks} looks, {looks_under_way} of them with deliveries under way");
    assert!(looks_under_way >= 5, "{looks_under_way} looks say little");
    let scrape = worker.scrape().await;
    scrape.assert_at_rest();
    assert_eq!((scrape.term("published"), scrape.term("dead_lettered")), (800, 40));
    assert_eq!(scrape.term("duplicate"), 0, "nothing is read twice");
    assert_eq!(scrape.sum("tributary_leases_lost_total"), 0);
    assert_eq!(streaming.endpoints.assert_all_stored(&events).await, 0, "events that are in the lake twice");
    let letters = streaming.dead_letters().await;
    assert_eq!(letters.len(), bad.len());
    assert_eq!(BTreeSet::from_iter(letters), BTreeSet::from_iter(bad));
}

/// What the process said of itself at its end.
fn counts(ended: &Ended) -> impl Fn(&str) -> u64 {
    let mut lines = ended.log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let said = lines.rfind(|line| line.get("in_flight").is_some());
    let said = said.unwrap_or_else(|| panic!("no last word: {}", ended.log));
    move |name: &str| said[name].as_u64().unwrap_or_else(|| panic!("{name}: {said}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_next_begins_where_a_stopped_worker_ended() {
    const EVENTS: usize = 4_000;
    let faults = Faults { delay_ms: 50, seed: Some(32), ..Faults::default() };
    let setting = Setting::with_shards(4).await;
    let streaming = Streaming::start(Setting { faults, ..setting }).await;
    let events = events(32, EVENTS);
    let bodies: Vec<_> = events.iter().map(|event| event.value.to_string()).collect();
    streaming.put(&bodies, &mut Rng::with_seed(32)).await;
    let slow = [
        ("TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND", "40"),
        ("TRIBUTARY_BATCH_EVENTS_MAX", "20"),
        ("TRIBUTARY_FLOW_MAX_IN_FLIGHT_BYTES", "1MiB"),
    ];
    let first = streaming.worker("first", &slow).await;
    streaming.endpoints.until_stored(&first, 300).await;
    let ended = first.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    let held: Vec<_> =
        streaming.leases().await.into_values().filter(|lease| lease.holder().is_some()).collect();
    assert!(held.is_empty(), "not free at once: {held:?}");
    let said = counts(&ended);
    let done = said("published");
    assert_eq!((said("received"), said("returned"), said("in_flight")), (done, 0, 0), "nothing is open");
    assert!(done < EVENTS as u64, "there is something left");
    assert_eq!(streaming.endpoints.stored(), done);

    let second = streaming.worker("second", &[]).await;
    streaming.until_settled(&second).await;
    let scrape = second.scrape().await;
    scrape.assert_at_rest();
    println!("{done} before the stop, {} after it", scrape.term("published"));
    assert_eq!(
        (scrape.term("received"), scrape.term("duplicate")),
        (EVENTS as u64 - done, 0),
        "nothing is read twice"
    );
    assert_eq!(streaming.endpoints.assert_all_stored(&events).await, 0, "events that are in the lake twice");
    streaming.endpoints.assert_no_dead_letters().await;
}
