//! Against a server on loopback that answers as each case wants: what the checkpoint says afterwards, and meanwhile.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::command::{
    backfill::checkpoint::Job,
    enqueue::{
        pack::Message,
        send::tests::{Calls, at_once, refusal, serve, taken},
    },
};

/// Parcel `n` holds one message, and its place is `n` in two digits.
fn parcel(number: usize) -> Parcel {
    let place = format!("{number:02}");
    let message =
        Message { body: place.clone().into_bytes(), events: 1, file: place.as_str().into(), line: 0 };
    Parcel { batch: vec![message], after: Some(place), objects: 1, bytes: 10 }
}

fn job() -> Job {
    Job { place: "s3://trail/".into(), queue_url: "q".into(), since: None, until: None }
}

fn on_disk(path: &Path) -> Option<String> {
    CheckpointFile::new(path).read(&job()).unwrap().after
}

/// Sends this many parcels to a server that answers like this. What it came to, with the place on disk.
async fn deliver(
    path: &Path,
    parcels: usize,
    concurrency: usize,
    answer: impl Fn(usize, &[String]) -> (u16, Value) + Clone + Send + Sync + 'static,
) -> (Ending, Delivery, Calls) {
    deliver_until(path, parcels, concurrency, answer, async || std::future::pending().await).await
}

/// The same, until there is a signal.
async fn deliver_until(
    path: &Path,
    parcels: usize,
    concurrency: usize,
    answer: impl Fn(usize, &[String]) -> (u16, Value) + Clone + Send + Sync + 'static,
    signal: impl AsyncFnMut(),
) -> (Ending, Delivery, Calls) {
    let (target, calls, _server) = serve(answer).await;
    let file = CheckpointFile::new(path);
    let mut delivery = Delivery::new(target, concurrency, file, Checkpoint::new(job()), "objects");
    delivery.intervals = at_once;
    let (sender, mut waiting) = mpsc::channel(parcels);
    (0..parcels).for_each(|number| sender.try_send(parcel(number)).unwrap());
    drop(sender);
    let ending = delivery.run(&mut waiting, signal).await.unwrap();
    (ending, delivery, calls)
}

fn all_taken(bodies: &[String]) -> (u16, Value) {
    (200, json!({"Successful": taken(0..bodies.len()), "Failed": []}))
}

fn failed(sender_fault: bool) -> (u16, Value) {
    let code = if sender_fault { "InvalidMessageContents" } else { "InternalError" };
    let entry = json!({"Id": "0", "Code": code, "Message": "no", "SenderFault": sender_fault});
    (200, json!({"Successful": [], "Failed": [entry]}))
}

#[tokio::test]
async fn the_place_on_disk_is_never_ahead_of_what_was_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.json");
    let looked_at = path.clone();
    let answer = move |_: usize, bodies: &[String]| {
        assert!(on_disk(&looked_at).is_none_or(|after| after < bodies[0]), "before {}", bodies[0]);
        all_taken(bodies)
    };
    let (ending, delivery, calls) = deliver(&path, 60, 8, answer).await;
    assert!(matches!(ending, Ending::All), "{ending:?}");
    assert_eq!(on_disk(&path).as_deref(), Some("59"));
    assert_eq!((delivery.messages, delivery.checkpoint.objects, delivery.checkpoint.bytes), (60, 60, 600));
    assert_eq!(calls.lock().unwrap().len(), 60);
}

#[tokio::test]
async fn a_message_that_is_not_confirmed_stops_it_and_stays_ahead_of_the_place() {
    for concurrency in [1, 4] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        let answer =
            |_: usize, bodies: &[String]| if bodies == ["03"] { failed(false) } else { all_taken(bodies) };
        let (ending, delivery, calls) = deliver(&path, 60, concurrency, answer).await;
        assert!(matches!(ending, Ending::GaveUp), "{ending:?}");
        assert_eq!(on_disk(&path).as_deref(), Some("02"));
        assert_eq!((delivery.checkpoint.objects, delivery.refused_messages), (3, 0));
        assert!(calls.lock().unwrap().iter().filter(|bodies| *bodies == &["03"]).count() > 1);
    }
}

#[tokio::test]
async fn a_message_that_the_queue_will_never_take_is_counted_and_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.json");
    let answer =
        |_: usize, bodies: &[String]| if bodies == ["03"] { failed(true) } else { all_taken(bodies) };
    let (ending, delivery, _) = deliver(&path, 10, 2, answer).await;
    assert!(matches!(ending, Ending::All), "{ending:?}");
    assert_eq!((on_disk(&path).as_deref(), delivery.refused_messages), (Some("09"), 1));
}

#[tokio::test]
async fn a_queue_that_takes_nothing_any_more_ends_it_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.json");
    let answer = |_: usize, bodies: &[String]| {
        if bodies[0].as_str() < "05" { all_taken(bodies) } else { (400, refusal("QueueDoesNotExist")) }
    };
    let (ending, ..) = deliver(&path, 10, 1, answer).await;
    assert!(matches!(ending, Ending::Refused(_)), "{ending:?}");
    assert_eq!(on_disk(&path).as_deref(), Some("04"));
}

#[tokio::test]
async fn told_to_stop_at_any_moment_it_ends_what_is_under_way_and_the_place_is_the_last_that_was_sent() {
    let parcels = 8;
    for moment in 0..24 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        let mut looks = 0;
        let at_that_moment = async || {
            looks += 1;
            if looks <= moment || looks > moment + 1 {
                std::future::pending::<()>().await;
            }
        };
        let answer = |_: usize, bodies: &[String]| all_taken(bodies);
        let (ending, delivery, calls) = deliver_until(&path, parcels, 3, answer, at_that_moment).await;
        let last = calls.lock().unwrap().iter().flatten().max().cloned();
        assert_eq!(on_disk(&path), last, "moment {moment}");
        let is_all = delivery.checkpoint.objects == parcels as u64;
        assert!(is_all || matches!(ending, Ending::Interrupted), "moment {moment}: {ending:?}");
    }
}

#[tokio::test]
async fn told_to_stop_twice_it_waits_for_nothing_and_claims_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.json");
    let answer = |_: usize, bodies: &[String]| all_taken(bodies);
    let (ending, delivery, _) = deliver_until(&path, 8, 3, answer, async || {}).await;
    assert!(matches!(ending, Ending::Interrupted), "{ending:?}");
    let known = delivery.checkpoint.objects.checked_sub(1).map(|last| format!("{last:02}"));
    assert_eq!(on_disk(&path), known);
}
