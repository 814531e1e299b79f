//! Aggregates of the Kinesis Producer Library: each user record is a message, and the checkpoint may lie inside.

use md5::{Digest, Md5};

use super::{super::promises::bodies, *};

/// A field of protobuf: number and kind, length, bytes. All are short.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let length = u8::try_from(bytes.len()).ok().filter(|length| *length < 0x80).expect("short");
    [&[number << 3 | 2, length], bytes].concat()
}

/// These texts under one partition key, as the library packs them.
fn aggregate(partition_key: &str, texts: &[&str]) -> Vec<u8> {
    let record = |text: &&str| {
        let (first_key, data) = ([1 << 3, 0].to_vec(), field(3, text.as_bytes()));
        field(3, &[first_key, data].concat())
    };
    let records: Vec<Vec<u8>> = texts.iter().map(record).collect();
    let message = [field(1, partition_key.as_bytes()), records.concat()].concat();
    [&[0xF3, 0x89, 0x9A, 0xC2][..], &message, &Md5::digest(&message)].concat()
}

async fn a_worker_goes_on_inside_an_aggregate(ground: &Ground) {
    let place = ground.place(1).await;
    let shard = place.stream.open_shards().await.pop().expect("one shard");
    place.stream.put("key", "before").await;
    let put = place.stream.put("key", aggregate("inner", &["a", "b", "c", "d"])).await;
    place.stream.put("key", "after").await;
    let first = Worker::at(&place);
    let received = first.receive(6).await;
    assert_eq!(bodies(&received), ["before", "a", "b", "c", "d", "after"], "{place}");
    let name = place.name_of(&put);
    let names: Vec<_> = received[1..5].iter().map(|message| message.handle.message_id.to_string()).collect();
    assert_eq!(
        names,
        [name.clone(), format!("{name}.1"), format!("{name}.2"), format!("{name}.3")],
        "{place}"
    );
    assert_eq!(received[1].about.group.as_deref(), Some("inner"), "{place}");
    assert_eq!(received[5].about.group.as_deref(), Some("key"), "{place}");
    // The third is missing: the fourth and what comes after it are done in vain.
    first.ack(&received[..3]).await;
    first.ack(&received[4..]).await;
    first.give_back(&received[3..4], Duration::ZERO).await;
    first.leave().await;
    assert_eq!(place.lease(&shard, "checkpoint").await, Some(put.sequence), "{place}");
    assert_eq!(place.lease(&shard, "checkpointSubSequenceNumber").await.as_deref(), Some("1"), "{place}");
    let second = Worker::at(&place);
    let received = second.receive(3).await;
    assert_eq!(bodies(&received), ["c", "d", "after"], "{place}");
    assert_eq!(*received[0].handle.message_id, format!("{name}.2"), "{place}");
    second.ack(&received).await;
    second.leave().await;
    assert_eq!(place.lease(&shard, "checkpointSubSequenceNumber").await.as_deref(), Some("0"), "{place}");
    place.stream.put("key", "last").await;
    assert_eq!(Worker::at(&place).one().await.body, "last", "{place}");
}

async fn what_only_looks_like_an_aggregate_is_one_message(ground: &Ground) {
    let place = ground.place(1).await;
    let mut damaged = aggregate("inner", &["a", "b"]);
    damaged[8] ^= 1;
    place.stream.put("key", damaged.clone()).await;
    let message = Worker::at(&place).one().await;
    assert!(message.body == damaged, "{place}: changed on its way");
}

on_grounds! {
    ferrokinesis = Ferrokinesis, Polling:
        a_worker_goes_on_inside_an_aggregate,
        what_only_looks_like_an_aggregate_is_one_message;
    ferrokinesis_fan_out = Ferrokinesis, FanOut:
        a_worker_goes_on_inside_an_aggregate,
        what_only_looks_like_an_aggregate_is_one_message;
    kinesis_local = KinesisLocal, Polling:
        a_worker_goes_on_inside_an_aggregate,
        what_only_looks_like_an_aggregate_is_one_message;
}
