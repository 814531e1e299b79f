//! The servers that streams are tested against do what those tests rely on, seen without the source under test.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::{
    error::ProvideErrorMetadata,
    types::{ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream},
};
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::{
    dynamodb,
    kinesis::{self, Kind, Options, Stream, StreamServer, on_streams},
};

const PATIENCE: Duration = Duration::from_secs(30);
const FIRST_SHARD: &str = "shardId-000000000000";

/// The records of a shard as (partition key, data), and whether they are all that it will ever hold.
async fn held(stream: &Stream, shard: &str) -> (Vec<(String, Vec<u8>)>, bool) {
    let held = stream.read(shard).await;
    let records = held
        .records
        .into_iter()
        .map(|record| (record.partition_key.unwrap_or_default(), record.data.into_inner()));
    (records.collect(), held.is_ended)
}

async fn what_was_put_is_read_in_order(server: &StreamServer) {
    let stream = server.stream(2).await;
    let [low, high] = &stream.open_shards().await[..] else { panic!("{server}: not two shards") };
    let mut expected = Vec::new();
    for number in 0..3_u8 {
        let put = stream.put_at(Some(0), "low", vec![number]).await;
        assert_eq!(put.shard, *low, "{server}");
        expected.push(("low".to_owned(), vec![number]));
    }
    stream.put_at(Some(u128::MAX), "high", "other").await;
    assert_eq!(held(&stream, low).await, (expected, false), "{server}");
    assert_eq!(held(&stream, high).await, (vec![("high".to_owned(), b"other".to_vec())], false), "{server}");
    let records: Vec<_> = (0..700).map(|at| (format!("key {at}"), vec![0; 10])).collect();
    let places = stream.put_many(&records).await;
    for shard in [low, high] {
        let there = places.iter().filter(|put| put.shard == *shard).count();
        let before = if shard == low { 3 } else { 1 };
        assert_eq!(held(&stream, shard).await.0.len(), there + before, "{server}");
    }
}

async fn a_record_may_be_as_large_as_the_server_takes(server: &StreamServer) {
    let stream = server.stream(1).await;
    stream.allow_large_records().await;
    let data = vec![b'x'; server.record_max()];
    stream.put("k", data.clone()).await;
    let there = held(&stream, FIRST_SHARD).await.0;
    assert!(there == [("k".to_owned(), data)], "{server}: changed on its way");
}

async fn shards_split_and_merge(server: &StreamServer) {
    let stream = server.stream(2).await;
    let [low, high] = &stream.open_shards().await[..] else { panic!("{server}: not two shards") };
    stream.put_at(Some(0), "k", "before").await;
    let children = stream.split(low).await;
    assert_eq!(children.len(), 2, "{server}: {children:?}");
    assert_eq!(held(&stream, low).await, (vec![("k".to_owned(), b"before".to_vec())], true), "{server}");
    let named: Vec<_> = stream.read(low).await.children.into_iter().map(|child| child.shard_id).collect();
    let expected = if server.kind == Kind::KinesisLocal { children.clone() } else { Vec::new() };
    assert_eq!(named, expected, "{server}: children at the end of their parent");
    let merged = stream.merge(&children[1], high).await;
    let mut open = stream.open_shards().await;
    open.sort();
    assert_eq!(open, [children[0].clone(), merged.clone()], "{server}");
    assert_eq!(stream.put_at(Some(u128::MAX), "k", "after").await.shard, merged, "{server}");
    assert_eq!(stream.put_at(Some(0), "k", "after").await.shard, children[0], "{server}");
    for parent in [&children[1], high] {
        assert_eq!(held(&stream, parent).await, (Vec::new(), true), "{server}");
    }
}

/// Subscribes a new consumer to a shard after this sequence number, or from its start, until an event is as wanted.
/// New, because kinesis-local does not notice that a subscriber went away.
async fn until(
    server: &StreamServer,
    stream: &Stream,
    after: Option<&str>,
    is_wanted: impl Fn(&SubscribeToShardEvent) -> bool,
) -> SubscribeToShardEvent {
    let kind = after.map_or(ShardIteratorType::TrimHorizon, |_| ShardIteratorType::AfterSequenceNumber);
    let position = StartingPosition::builder().r#type(kind).set_sequence_number(after.map(str::to_owned));
    let consumer = stream.consumer(&Uuid::new_v4().to_string()).await;
    let client = server.client();
    let call = client.subscribe_to_shard().consumer_arn(consumer).shard_id(FIRST_SHARD);
    let subscribed = call.starting_position(position.build().expect("complete")).send().await;
    let mut events = subscribed.unwrap_or_else(|error| panic!("{server}: {error:?}")).event_stream;
    let wanted = async {
        loop {
            let event = events.recv().await.unwrap_or_else(|error| panic!("{server}: {error:?}"));
            match event {
                Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)) if is_wanted(&event) => {
                    return event;
                }
                Some(_) => {}
                None => panic!("{server}: the subscription ended"),
            }
        }
    };
    timeout(PATIENCE, wanted).await.unwrap_or_else(|_| panic!("{server}: not in time"))
}

async fn a_subscription_brings_records_and_at_the_end_the_children(server: &StreamServer) {
    let stream = server.stream(1).await;
    stream.put("k", "one").await;
    let has_records = |event: &SubscribeToShardEvent| !event.records.is_empty();
    let first = until(server, &stream, None, has_records).await;
    stream.put("k", "two").await;
    let second = until(server, &stream, Some(&first.continuation_sequence_number), has_records).await;
    let data = |event: SubscribeToShardEvent| {
        event.records.into_iter().map(|record| record.data.into_inner()).collect::<Vec<_>>()
    };
    assert_eq!(data(first), [b"one"], "{server}");
    // ferrokinesis starts at the start, whatever it is told.
    let repeated = usize::from(server.kind == Kind::Ferrokinesis);
    assert_eq!(data(second)[repeated..], [b"two"], "{server}");
    // A subscription to kinesis-local never says that its shard has ended.
    if server.kind == Kind::KinesisLocal {
        return;
    }
    let children = stream.split(FIRST_SHARD).await;
    let has_ended =
        |event: &SubscribeToShardEvent| event.child_shards.as_ref().is_some_and(|it| !it.is_empty());
    let event = until(server, &stream, None, has_ended).await;
    let named: Vec<_> = event.child_shards.into_iter().flatten().map(|child| child.shard_id).collect();
    assert_eq!(named, children, "{server}");
}

on_streams! {
    ferrokinesis = Ferrokinesis:
        what_was_put_is_read_in_order,
        a_record_may_be_as_large_as_the_server_takes,
        shards_split_and_merge,
        a_subscription_brings_records_and_at_the_end_the_children;
    kinesis_local = KinesisLocal:
        what_was_put_is_read_in_order,
        a_record_may_be_as_large_as_the_server_takes,
        shards_split_and_merge,
        a_subscription_brings_records_and_at_the_end_the_children;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iterator_expires_when_it_is_told_to() {
    let options = Options { iterator_seconds: 1, ..Options::default() };
    let server = StreamServer::start_with(options).await;
    let stream = server.stream(1).await;
    let client = server.client();
    let call = client.get_shard_iterator().stream_name(&stream.name).shard_id(FIRST_SHARD);
    let iterator = call.shard_iterator_type(ShardIteratorType::Latest).send().await.expect("an iterator");
    let iterator = iterator.shard_iterator.expect("an iterator");
    let code = async {
        loop {
            if let Err(error) = client.get_records().shard_iterator(&iterator).send().await {
                return error.code().map(str::to_owned);
            }
            tokio::task::yield_now().await;
        }
    };
    let code = timeout(PATIENCE, code).await.expect("in time");
    assert_eq!(code.as_deref(), Some("ExpiredIteratorException"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_table_refuses_an_owner_without_a_name() {
    let leases = dynamodb::shared().await;
    let table = format!("leases-{}", Uuid::new_v4());
    dynamodb::create_lease_table(&leases.client(), &table).await;
    // As the program reaches it beside its stream.
    let client = kinesis::aws_at("http://127.0.0.1:1", &leases.url).dynamodb();
    let text = |text: &str| AttributeValue::S(text.to_owned());
    for (owner, is_taken) in [("worker-1", true), ("", false)] {
        let call = client.put_item().table_name(&table).item("leaseKey", text(FIRST_SHARD));
        let put = call.item("leaseOwner", text(owner)).send().await;
        assert_eq!(put.is_ok(), is_taken, "{owner:?}: {put:?}");
    }
}
