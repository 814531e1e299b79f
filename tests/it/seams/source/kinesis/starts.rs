//! Where a stream is begun that nobody has read.

use std::time::SystemTime;

use tokio::time::sleep;

use super::*;

/// ferrokinesis is no judge of this: where no record is younger than a time, it starts with the oldest.
#[tokio::test(flavor = "multi_thread")]
async fn latest_begins_with_what_comes_after_the_first_look_whoever_reads_it() {
    let place = StreamPlace::on(Kind::KinesisLocal, Way::Polling).await;
    let shard = place.stream.open_shards().await.pop().expect("one shard");
    place.stream.put("key", "old").await;
    let first = place.starting(Start::Latest);
    place.until_lease(&shard, "checkpoint", |it| it == Some("AT_TIMESTAMP")).await;
    place.until_lease(&shard, "leaseOwner", |it| it.is_some()).await;
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

async fn a_time_begins_with_what_came_at_it_or_later(ground: &Ground) {
    let place = ground.place(1).await;
    place.stream.put("key", "old").await;
    // The next whole second: ferrokinesis knows no others.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let next = Duration::from_secs(now.as_secs() + 1);
    sleep(next.saturating_sub(now)).await;
    place.stream.put("key", "new").await;
    let worker = place.starting(Start::At(SystemTime::UNIX_EPOCH + next));
    assert_eq!(worker.one().await.body, "new", "{place}");
}

on_grounds! {
    ferrokinesis = Ferrokinesis, Polling: a_time_begins_with_what_came_at_it_or_later;
    kinesis_local = KinesisLocal, Polling: a_time_begins_with_what_came_at_it_or_later;
}
