//! A lake that misbehaves while events flow: nothing is lost, nothing is dead-lettered, and the service recovers by
//! itself.

use tributary::local::Faults;

use super::{
    endpoints::Endpoints,
    records::{Event, events, messages},
    scrape::Scrape,
    worker::Worker,
};

const EVENTS: usize = 400;

/// One day with one fault.
struct Day {
    endpoints: Endpoints,
    worker: Worker,
    events: Vec<Event>,
    messages: u64,
}

impl Day {
    /// Events are on the queue, and the service has begun.
    async fn begin(faults: Faults, more: &[(&str, &str)]) -> Self {
        let endpoints = Endpoints::misbehaving(Faults { seed: Some(4), ..faults }).await;
        let events = events(4, EVENTS);
        let bodies = messages(&events, 1..=6, 4);
        endpoints.send(&bodies).await;
        let small_batches = [("TRIBUTARY_BATCH_EVENTS_MAX", "20")];
        let worker = endpoints.worker(&[&small_batches, more].concat()).await;
        Self { endpoints, worker, events, messages: bodies.len() as u64 }
    }

    fn cure(&self) {
        self.endpoints.misbehave(Faults::default());
    }

    /// Waits until all is settled, and checks what holds after every fault. Returns the last numbers, and how many
    /// rows are in the lake beyond the first of each event.
    async fn end(self) -> (Scrape, u64) {
        let Self { endpoints, worker, events, messages } = self;
        endpoints.until_drained(&worker).await;
        worker.until_ready().await;
        let scrape = worker.scrape().await;
        scrape.assert_at_rest();
        assert_eq!(scrape.term("published"), EVENTS as u64);
        let twice = endpoints.assert_all_stored(&events).await;
        let unknown = scrape.sum("tributary_unknown_outcome_total");
        assert!(twice <= unknown, "{twice} rows twice, and only {unknown} outcomes were unknown");
        endpoints.assert_no_dead_letters().await;
        assert_eq!(scrape.sum("tributary_messages_received_total"), messages, "each message came once");
        assert_eq!(scrape.term("returned"), 0);
        let ended = worker.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.log);
        (scrape, twice)
    }
}

fn outcomes(scrape: &Scrape, outcome: &str) -> u64 {
    scrape.sum_of("tributary_put_requests_total", &format!("outcome=\"{outcome}\""))
}

fn entries(scrape: &Scrape, code: &str) -> u64 {
    scrape.sum_of("tributary_put_entries_total", &format!("code=\"{code}\""))
}

fn unknown(scrape: &Scrape) -> u64 {
    scrape.sum("tributary_unknown_outcome_total")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lake_that_throttles_slows_us_down_and_no_more() {
    let day = Day::begin(Faults { throttle_per_second: Some(5), ..Faults::default() }, &[]).await;
    let (scrape, twice) = day.end().await;
    assert!(outcomes(&scrape, "throttled") > 0, "the fault was there");
    assert_eq!((twice, unknown(&scrape)), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_are_throttled_are_tried_again() {
    let day =
        Day::begin(Faults { fail_share: 0.3, fail_code: "Throttling".to_owned(), ..Faults::default() }, &[])
            .await;
    let (scrape, twice) = day.end().await;
    assert!(entries(&scrape, "Throttling") > 0, "the fault was there");
    assert_eq!((twice, unknown(&scrape)), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_fail_inside_the_lake_are_tried_again() {
    let day = Day::begin(Faults { fail_share: 0.3, ..Faults::default() }, &[]).await;
    let (scrape, twice) = day.end().await;
    assert!(entries(&scrape, "InternalFailure") > 0, "the fault was there");
    assert_eq!((twice, unknown(&scrape)), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_lost_are_counted_as_unknown() {
    let (scrape, twice) =
        Day::begin(Faults { drop_reply_share: 0.3, ..Faults::default() }, &[]).await.end().await;
    // Every lost answer was to a put that the lake had stored.
    assert!(twice > 0, "the fault was there");
    assert_eq!(twice, unknown(&scrape));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_that_are_forgotten_are_sent_again() {
    let (scrape, twice) =
        Day::begin(Faults { forget_share: 0.2, ..Faults::default() }, &[]).await.end().await;
    assert!(twice > 0, "the fault was there");
    assert_eq!((twice, twice), (unknown(&scrape), entries(&scrape, "unmentioned")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_second_put_may_fail() {
    let faults = Faults { error_share: 0.5, error_status: 503, ..Faults::default() };
    let (scrape, twice) = Day::begin(faults, &[("TRIBUTARY_BATCH_EVENTS_MAX", "50")]).await.end().await;
    assert!(outcomes(&scrape, "transient") > 0, "the fault was there");
    assert_eq!(twice, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_come_too_late_are_counted_as_unknown() {
    let more = [("TRIBUTARY_DESTINATIONS_LAKE_REQUEST_TIMEOUT", "1s")];
    let day = Day::begin(Faults { delay_ms: 1_500, ..Faults::default() }, &more).await;
    day.worker
        .until("calls time out", async |worker: &Worker| (unknown(&worker.scrape().await) > 0).then_some(()))
        .await;
    day.cure();
    let (scrape, twice) = day.end().await;
    assert!(twice > 0 && twice <= unknown(&scrape), "{twice} of {}", unknown(&scrape));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_only_slow_are_waited_for() {
    let (scrape, twice) = Day::begin(Faults { delay_ms: 700, ..Faults::default() }, &[]).await.end().await;
    assert_eq!((twice, unknown(&scrape)), (0, 0));
}

/// All at once, because each waits for longer than a message's visibility.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_pauses_a_lane_is_named_with_its_cure_and_waited_for() {
    tokio::join!(
        gone_then_back(),
        refused_then_cured(
            "AccessDeniedException",
            "check that the role may call cloudtrail-data:PutAuditEvents"
        ),
        refused_then_cured("ChannelNotFound", "check channel_arn"),
    );
}

async fn gone_then_back() {
    let day = Day::begin(Faults { down: true, ..Faults::default() }, &[]).await;
    let text = day.worker.until_not_ready("destination lake").await;
    assert!(text.contains("cannot be reached") && text.contains("check the network"), "{text}");
    held_for_longer_than_their_visibility(&day.worker).await;
    day.cure();
    let (_, twice) = day.end().await;
    assert_eq!(twice, 0, "a lake that is gone stores nothing");
}

async fn refused_then_cured(code: &str, cure: &str) {
    let day = Day::begin(Faults { refuse: Some(code.to_owned()), ..Faults::default() }, &[]).await;
    let text = day.worker.until_not_ready("destination lake").await;
    assert!(text.contains(code) && text.contains(cure), "{text}");
    held_for_longer_than_their_visibility(&day.worker).await;
    day.endpoints.assert_no_dead_letters().await;
    assert_eq!(day.endpoints.stored(), 0);
    day.cure();
    let (scrape, twice) = day.end().await;
    assert!(outcomes(&scrape, "misconfigured") > 0);
    assert_eq!((twice, unknown(&scrape)), (0, 0));
}

/// A message is extended after a third of its visibility, half more or less: five extensions of each are longer than
/// its visibility.
async fn held_for_longer_than_their_visibility(worker: &Worker) {
    worker
        .until("all messages were extended five times", async |worker: &Worker| {
            let scrape = worker.scrape().await;
            let failed = scrape.sum_of("tributary_heartbeats_total", "result=\"failed\"");
            assert_eq!(failed, 0, "extensions that failed");
            let held = scrape.sum("tributary_messages_received_total");
            let extended = scrape.sum_of("tributary_heartbeats_total", "result=\"ok\"");
            (extended >= 5 * held).then_some(())
        })
        .await;
}
