//! One stream of a server: put to it, split and merge its shards, and read it back without the source under test.

use std::time::Duration;

use aws_sdk_kinesis::{
    Client,
    primitives::Blob,
    types::{
        ChildShard, PutRecordsRequestEntry, Record, Shard, ShardIteratorType, StreamDescriptionSummary,
        StreamStatus,
    },
};
use tokio::time::sleep;

/// Looks whether a stream has been changed: this often, this far apart.
const LOOKS_MAX: u32 = 1000;
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Most records of one call.
const PUT_MAX: usize = 500;

/// A stream; it ends with its server.
#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) arn: String,
    client: Client,
    server: String,
}

/// Where a record went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Put {
    pub(crate) shard: String,
    pub(crate) sequence: String,
}

/// What one shard holds.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) records: Vec<Record>,
    /// The shard is closed, and this is all of it.
    pub(crate) is_ended: bool,
    /// As named at its end, where the server does.
    pub(crate) children: Vec<ChildShard>,
}

impl Stream {
    /// Makes it and waits until it is there.
    pub(super) async fn create(client: Client, name: String, shards: i32, server: String) -> Self {
        let mut stream = Self { name, arn: String::new(), client, server };
        let made = stream.client.create_stream().stream_name(&stream.name).shard_count(shards).send().await;
        made.unwrap_or_else(|error| panic!("{}: no stream: {error:?}", stream.server));
        stream.arn = stream.active().await.stream_arn;
        stream
    }

    /// Waits until the stream is not being changed.
    async fn active(&self) -> StreamDescriptionSummary {
        for _ in 0..LOOKS_MAX {
            let told = self.client.describe_stream_summary().stream_name(&self.name).send().await;
            let told = told.unwrap_or_else(|error| panic!("{}: {error:?}", self.server));
            let told = told.stream_description_summary.expect("a description");
            if told.stream_status == StreamStatus::Active {
                return told;
            }
            sleep(LOOK_EVERY).await;
        }
        panic!("{}: the stream {} is never active", self.server, self.name)
    }

    /// Puts one record where its partition key belongs.
    pub(crate) async fn put(&self, partition_key: &str, data: impl Into<Vec<u8>>) -> Put {
        self.put_at(None, partition_key, data).await
    }

    /// Puts one record where `hash_key` belongs, whatever its partition key.
    pub(crate) async fn put_at(
        &self,
        hash_key: Option<u128>,
        partition_key: &str,
        data: impl Into<Vec<u8>>,
    ) -> Put {
        let call = self.client.put_record().stream_name(&self.name).partition_key(partition_key);
        let call = call.set_explicit_hash_key(hash_key.map(|key| key.to_string()));
        let put = call.data(Blob::new(data)).send().await;
        let put = put.unwrap_or_else(|error| panic!("{}: not put: {error:?}", self.server));
        Put { shard: put.shard_id, sequence: put.sequence_number }
    }

    /// Puts records (partition key, data); where each went, in the same order.
    pub(crate) async fn put_many(&self, records: &[(String, Vec<u8>)]) -> Vec<Put> {
        let mut places = Vec::with_capacity(records.len());
        for batch in records.chunks(PUT_MAX) {
            let entries = batch.iter().map(|(key, data)| {
                let entry = PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(&data[..]));
                entry.build().expect("complete")
            });
            let call = self.client.put_records().stream_name(&self.name);
            let put = call.set_records(Some(entries.collect())).send().await;
            let put = put.unwrap_or_else(|error| panic!("{}: not put: {error:?}", self.server));
            for record in put.records {
                let (Some(shard), Some(sequence)) = (record.shard_id, record.sequence_number) else {
                    panic!("{}: not put: {:?}", self.server, record.error_code)
                };
                places.push(Put { shard, sequence });
            }
        }
        places
    }

    /// All shards, closed ones too.
    pub(crate) async fn shards(&self) -> Vec<Shard> {
        let listed = self.client.list_shards().stream_name(&self.name).send().await;
        let listed = listed.unwrap_or_else(|error| panic!("{}: {error:?}", self.server));
        assert_eq!(listed.next_token, None, "{}: more shards than a test has", self.server);
        listed.shards.unwrap_or_default()
    }

    /// The names of the shards that take records.
    pub(crate) async fn open_shards(&self) -> Vec<String> {
        let shards = self.shards().await.into_iter();
        shards.filter(|shard| !is_closed(shard)).map(|shard| shard.shard_id).collect()
    }

    /// The names of the shards that take records, in the order of their hash keys: neighbours can be merged.
    pub(crate) async fn in_order(&self) -> Vec<String> {
        let mut shards = self.shards().await;
        shards.retain(|shard| !is_closed(shard));
        shards.sort_by_key(|shard| range(shard).0);
        shards.into_iter().map(|shard| shard.shard_id).collect()
    }

    /// Splits a shard in the middle; its children, the one with the lower hash keys first.
    pub(crate) async fn split(&self, shard: &str) -> Vec<String> {
        let whole = self.shards().await.into_iter().find(|it| it.shard_id == shard).expect("it is listed");
        let (first, last) = range(&whole);
        let middle = first + (last - first) / 2 + 1;
        let call = self.client.split_shard().stream_name(&self.name).shard_to_split(shard);
        let split = call.new_starting_hash_key(middle.to_string()).send().await;
        split.unwrap_or_else(|error| panic!("{}: not split: {error:?}", self.server));
        self.children(shard).await
    }

    /// Merges two shards whose hash keys meet; their child.
    pub(crate) async fn merge(&self, shard: &str, other: &str) -> String {
        let call = self.client.merge_shards().stream_name(&self.name).shard_to_merge(shard);
        let merged = call.adjacent_shard_to_merge(other).send().await;
        merged.unwrap_or_else(|error| panic!("{}: not merged: {error:?}", self.server));
        self.children(shard).await.pop().expect("a child")
    }

    /// Waits until the stream is not being changed; who has this shard as a parent, in the order of hash keys.
    async fn children(&self, parent: &str) -> Vec<String> {
        self.active().await;
        let is_parent = |named: Option<&String>| named.is_some_and(|named| named == parent);
        let mut children = self.shards().await;
        children.retain(|shard| {
            is_parent(shard.parent_shard_id.as_ref()) || is_parent(shard.adjacent_parent_shard_id.as_ref())
        });
        children.sort_by_key(|shard| range(shard).0);
        children.into_iter().map(|shard| shard.shard_id).collect()
    }

    /// Everything that a shard holds. It may take a second empty answer until a server says that a shard has ended.
    pub(crate) async fn read(&self, shard: &str) -> Held {
        let call = self.client.get_shard_iterator().stream_name(&self.name).shard_id(shard);
        let start = call.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
        let start = start.unwrap_or_else(|error| panic!("{}: no iterator: {error:?}", self.server));
        let mut held = Held { records: Vec::new(), is_ended: false, children: Vec::new() };
        let mut next = start.shard_iterator;
        let mut was_empty = false;
        while let Some(iterator) = next {
            let got = self.client.get_records().shard_iterator(iterator).send().await;
            let got = got.unwrap_or_else(|error| panic!("{}: not read: {error:?}", self.server));
            let is_empty = got.records.is_empty();
            held.records.extend(got.records);
            held.children.extend(got.child_shards.unwrap_or_default());
            next = got.next_shard_iterator;
            held.is_ended = next.is_none();
            if is_empty && was_empty {
                break;
            }
            was_empty = is_empty;
        }
        held
    }

    /// Registers a consumer for enhanced fan-out; its ARN.
    pub(crate) async fn consumer(&self, name: &str) -> String {
        let call = self.client.register_stream_consumer().stream_arn(&self.arn).consumer_name(name);
        let made =
            call.send().await.unwrap_or_else(|error| panic!("{}: no consumer: {error:?}", self.server));
        let arn = made.consumer.expect("a consumer").consumer_arn;
        for _ in 0..LOOKS_MAX {
            let told = self.client.describe_stream_consumer().consumer_arn(&arn).send().await;
            let told = told.unwrap_or_else(|error| panic!("{}: {error:?}", self.server));
            let status = told.consumer_description.expect("a description").consumer_status;
            if status == aws_sdk_kinesis::types::ConsumerStatus::Active {
                return arn;
            }
            sleep(LOOK_EVERY).await;
        }
        panic!("{}: the consumer {name} is never active", self.server)
    }

    /// Lets the stream take records of up to ten MiB, where the server can.
    pub(crate) async fn allow_large_records(&self) {
        let call = self.client.update_max_record_size().stream_arn(&self.arn);
        let updated = call.max_record_size_in_kib(10_240).send().await;
        updated.unwrap_or_else(|error| panic!("{}: {error:?}", self.server));
        self.active().await;
    }
}

/// Nothing is written to it any more.
pub(crate) fn is_closed(shard: &Shard) -> bool {
    shard.sequence_number_range.as_ref().is_some_and(|range| range.ending_sequence_number.is_some())
}

/// The lowest and the highest hash key of a shard.
pub(crate) fn range(shard: &Shard) -> (u128, u128) {
    let range = shard.hash_key_range.as_ref().expect("a range");
    let key = |key: &str| key.parse().expect("a hash key");
    (key(&range.starting_hash_key), key(&range.ending_hash_key))
}
