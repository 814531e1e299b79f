//! Events that can never be published and that no letter has room for: from the source queue to a bucket, and from there to
//! the lake once the cause is cured. The bucket is ministack's.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde_json::json;
use tributary::{decode::Sum, local::Faults};

use super::{
    endpoints::{DEAD_LETTERS, Depth, Endpoints, QUEUE},
    records::{Event, events},
    whole_way::{letters, redrive},
    worker::Worker,
};
use crate::support::{
    s3::S3,
    s3_proxy::{Asked, Fate, Proxy},
};

/// With its letter's words it is more than a message holds.
const BODY_BYTES: usize = 1_048_500;

/// Text that no packing shortens enough, and that JSON holds as it is.
fn noise(seed: u64, bytes: usize) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..bytes).map(|_| char::from(random.u8(b'#'..=b'~')).to_string().replace('\\', "!")).collect()
}

/// The event's text as its producer sends it: with far more than the lake takes.
fn filled(event: &Event, filler: impl Fn(usize) -> String) -> String {
    let mut value = event.value.clone();
    value["filler"] = json!("");
    let left = BODY_BYTES - value.to_string().len();
    value["filler"] = json!(filler(left));
    value.to_string()
}

/// One by one: each is as large as all messages of a call may be.
async fn send(endpoints: &Endpoints, bodies: &[String]) {
    for body in bodies {
        endpoints.send(std::slice::from_ref(body)).await;
    }
}

struct Overflow {
    s3: S3,
    endpoints: Endpoints,
}

impl Overflow {
    async fn start(name: &str, faults: Faults) -> Self {
        Self { s3: S3::with_bucket(name).await, endpoints: Endpoints::misbehaving(faults).await }
    }

    async fn worker(&self, s3_url: &str) -> Worker {
        let place = format!("s3://{}/letters", self.s3.name);
        let more = [
            ("AWS_ENDPOINT_URL_S3", s3_url),
            ("TRIBUTARY_DEAD_LETTER_OVERFLOW", &place),
            ("TRIBUTARY_OBJECTS_BUCKETS", &self.s3.name),
            ("TRIBUTARY_DESTINATIONS_LAKE_REDACT_DROP", ".filler"),
            ("TRIBUTARY_BREAKER_DEAD_LETTER_SHARE", "1"),
        ];
        self.endpoints.worker(&more).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_letter_whose_event_is_kept_in_s3_is_published_after_the_cure() {
    let refusing =
        Faults { fail_share: 1.0, fail_code: "InvalidData".to_owned(), seed: Some(8), ..Faults::default() };
    let overflow = Overflow::start("large-letters", refusing).await;
    let (endpoints, all) = (&overflow.endpoints, events(31, 4));
    let worker = overflow.worker(&overflow.s3.server.url()).await;
    let large = |seed: u64, event| filled(event, |bytes| noise(seed, bytes));
    let shrinks = |event| filled(event, |bytes| "x".repeat(bytes));
    let bodies = [large(1, &all[0]), shrinks(&all[1]), large(2, &all[2]), shrinks(&all[3])];
    send(endpoints, &bodies).await;
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.depth(DEAD_LETTERS).await, Depth { visible: 4, hidden: 0 });
    let mut kept: Vec<_> =
        [0, 2].map(|at| format!("letters/{}", Sum::of(bodies[at].as_bytes()))).into_iter().collect();
    kept.sort();
    assert_eq!(overflow.s3.keys().await, kept, "only what does not shrink");
    assert!(overflow.s3.read(&kept[0]).await.len() == BODY_BYTES);

    endpoints.misbehave(Faults::default());
    // The control: a copy by the producer is a copy of what was settled, and nobody asked for another try.
    send(endpoints, &bodies).await;
    endpoints.until_drained(&worker).await;
    assert_eq!((endpoints.stored(), worker.scrape().await.term("duplicate")), (0, 4));

    while endpoints.depth(DEAD_LETTERS).await != Depth::EMPTY {
        for letter in letters(endpoints).await {
            redrive(endpoints, letter).await;
        }
    }
    endpoints.until_stored(&worker, 4).await;
    endpoints.until_drained(&worker).await;
    assert_eq!(endpoints.assert_all_stored(&all).await, 0);
    let scrape = worker.scrape().await;
    scrape.assert_at_rest();
    assert_eq!((scrape.term("dead_lettered"), scrape.term("published")), (4, 4));
    assert_eq!((scrape.sum("tributary_letters_too_large_total"), scrape.term("returned")), (0, 0));
    endpoints.assert_no_dead_letters().await;
    let ended = worker.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
}

/// As for a dead-letter queue that cannot be written to: the operator's mistake, for which no event pays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_wait_for_a_bucket_that_may_not_be_written_to() {
    let overflow = Overflow::start("large-denied", Faults::default()).await;
    let (endpoints, is_cured) = (&overflow.endpoints, Arc::new(AtomicBool::new(false)));
    let cure = is_cured.clone();
    let script = move |_: &Asked| {
        if is_cured.load(Ordering::Relaxed) { Fate::Pass } else { Fate::Refuse(403, "AccessDenied") }
    };
    let proxy = Proxy::start(&overflow.s3.server.url(), script).await;
    let worker = overflow.worker(&proxy.url).await;
    let body = noise(3, BODY_BYTES);
    endpoints.send(std::slice::from_ref(&body)).await;
    let said = worker.until_not_ready("dead_letters").await;
    assert!(said.contains("s3:PutObject") && said.contains(&overflow.s3.name), "{said}");
    assert_eq!(worker.scrape().await.in_flight(), 1, "it is held");
    endpoints.assert_no_dead_letters().await;

    cure.store(true, Ordering::Relaxed);
    worker.until_ready().await;
    endpoints.until_drained(&worker).await;
    assert_eq!(overflow.s3.keys().await, [format!("letters/{}", Sum::of(body.as_bytes()))]);
    let scrape = worker.scrape().await;
    scrape.assert_at_rest();
    assert_eq!((scrape.term("dead_lettered"), scrape.term("returned")), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_place_for_large_events_they_are_returned_and_the_cure_is_said() {
    let endpoints = Endpoints::start().await;
    let worker = endpoints.worker(&[("TRIBUTARY_BREAKER_DEAD_LETTER_SHARE", "1")]).await;
    endpoints.send(&[noise(4, BODY_BYTES)]).await;
    worker
        .until("it is returned", async |worker: &Worker| {
            (worker.scrape().await.term("returned") == 1).then_some(())
        })
        .await;
    assert_eq!(worker.scrape().await.sum("tributary_letters_too_large_total"), 1);
    assert_eq!(
        endpoints.depth(QUEUE).await,
        Depth { visible: 0, hidden: 1 },
        "it comes again, but not at once"
    );
    endpoints.assert_no_dead_letters().await;
    let ended = worker.stop().await;
    assert!(ended.log.contains("dead_letter.overflow"), "{}", ended.log);
}
