//! Where a stream is begun that nobody has read.

use std::time::SystemTime;

use tokio::time::{sleep, timeout};

use super::{super::promises::bodies, *};

/// Longest wait for anything that has to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// ferrokinesis is no judge of this: where no record is younger than a time, it starts with the oldest.
#[tokio::test(flavor = "multi_thread")]
async fn latest_begins_with_what_comes_after_the_first_look_whoever_reads_it() {
    let place = StreamPlace::on(Kind::KinesisLocal, Way::Polling).await;
    let shard = place.stream.open_shards().await.pop().expect("one shard");
    place.stream.put("key", "old").await;
    let first = place.starting(Start::Latest);
    tokio::select! {
        () = place.until_lease(&shard, "leaseOwner", |it| it.is_some()) => {}
        polled = first.source.receive() => panic!("{place}: {:?}", polled.map(|it| bodies(&it))),
    }
    assert_eq!(place.lease(&shard, "checkpoint").await.as_deref(), Some("AT_TIMESTAMP"), "{place}");
    // It has read nothing when it leaves.
    first.leave().await;
    place.stream.put("key", "new").await;
    let children = place.stream.split(&shard).await;
    place.stream.put("key", "newer").await;
    let second = place.starting(Start::Latest);
    let message = second.one().await;
    assert_eq!(message.body, "new", "{place}");
    second.ack(&[message]).await;
    let message = second.one().await;
    assert_eq!(message.body, "newer", "{place}: children are read from their start");
    assert!(children.iter().any(|child| message.handle.message_id.contains(child)), "{place}");
}

/// The next whole second but `more`: ferrokinesis knows no others. And how long it is until then.
fn whole_second(more: u64) -> (SystemTime, Duration) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let then = Duration::from_secs(now.as_secs() + 1 + more);
    (SystemTime::UNIX_EPOCH + then, then.saturating_sub(now))
}

async fn a_time_begins_with_what_came_at_it_or_later(ground: &Ground) {
    let place = ground.place(1).await;
    place.stream.put("key", "old").await;
    let (next, until) = whole_second(0);
    sleep(until).await;
    place.stream.put("key", "new").await;
    let worker = place.starting(Start::At(next));
    assert_eq!(worker.one().await.body, "new", "{place}");
}

/// Also where a worker's clock is ahead of the stream's, and it begins with the latest.
async fn a_time_that_is_yet_to_come_is_waited_for(ground: &Ground) {
    let place = ground.place(1).await;
    let (then, until) = whole_second(2);
    let worker = place.starting(Start::At(then));
    let putting = async {
        sleep(until).await;
        place.stream.put("key", "new").await;
    };
    // A slow machine may see no error at all.
    let waiting = async {
        loop {
            match worker.source.receive().await {
                Ok(messages) => break messages,
                Err(error) => {
                    let is_told = error.is_transient() && error.to_string().contains("has not come");
                    assert!(is_told, "{place}: {error}");
                }
            }
        }
    };
    let both = timeout(PATIENCE, async { tokio::join!(waiting, putting) }).await;
    let (messages, ()) = both.unwrap_or_else(|_| panic!("{place}: it never begins"));
    assert_eq!(bodies(&messages), ["new"], "{place}");
}

on_grounds! {
    ferrokinesis = Ferrokinesis, Polling:
        a_time_begins_with_what_came_at_it_or_later,
        a_time_that_is_yet_to_come_is_waited_for;
    kinesis_local = KinesisLocal, Polling:
        a_time_begins_with_what_came_at_it_or_later,
        a_time_that_is_yet_to_come_is_waited_for;
}
