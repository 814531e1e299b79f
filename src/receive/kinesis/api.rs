//! The calls to Kinesis. In: shards and iterators. Out: shards and records, or whose fault it is that there are none.
//!
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/Welcome.html>

use std::{
    ops::RangeInclusive,
    time::{Duration, SystemTime},
};

use aws_sdk_kinesis::{
    Client,
    config::{StalledStreamProtectionConfig, retry::RetryConfig},
    operation::subscribe_to_shard::SubscribeToShardOutput,
    primitives::DateTime,
    types::{
        ChildShard, HashKeyRange, Record as SdkRecord, Shard as SdkShard, ShardIteratorType as Type,
        StartingPosition, SubscribeToShardEvent,
    },
};
use bytes::Bytes;

use super::{
    lease::ShardId,
    position::{Checkpoint, SequenceNumber},
    shards::Shard,
    tenancy::ReadFrom,
};
use crate::{
    aws::{Aws, Failure, failure, kinesis::class_of},
    config::StreamArn,
    failure::CallError,
};

/// Pages of `ListShards` hold up to 1,000 shards; a stream with more than a hundred pages is no stream of this world.
const PAGES_MAX: usize = 100;

const ACTIONS: &str = "kinesis:ListShards, kinesis:GetShardIterator and kinesis:GetRecords";

/// One stream.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) client: Client,
    pub(super) arn: StreamArn,
}

/// One record as the stream has it.
pub(super) struct Record {
    pub(super) sequence: SequenceNumber,
    pub(super) data: Bytes,
    /// Absent where the stream distributes records by itself.
    pub(super) partition_key: Option<String>,
    pub(super) arrived: Option<SystemTime>,
}

/// What one read of a shard brought.
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    /// Where the shard goes on: an iterator, or a sequence number; `None` at its end.
    pub(super) next: Option<String>,
    /// How old the oldest record is that was not read.
    pub(super) behind: Option<Duration>,
    /// At the shard's end, the shards that came from it.
    pub(super) children: Vec<Shard>,
}

/// Why a shard could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    /// The iterator is older than five minutes: a new one is needed, and nothing is lost.
    Expired,
    /// This shard's budget is used up, by whomever: later.
    Throttled(CallError),
    /// There is no such shard, or no such stream.
    NotFound(CallError),
    /// Anything else.
    Call(CallError),
}

impl ReadError {
    /// Whether the same read may succeed later.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Throttled(_) => true,
            Self::Expired | Self::NotFound(_) => false,
            Self::Call(error) => error.is_transient(),
        }
    }
}

impl Stream {
    /// The stream with this name. Its calls are not retried by the SDK: a read that is tried again counts against the
    /// shard's budget, and everything here is asked again anyway.
    pub(super) fn new(aws: &Aws, arn: &StreamArn) -> Self {
        let client = aws.kinesis(Some(&arn.region));
        // A subscription to a shard in which nothing happens is not stalled.
        let config = client.config().to_builder().retry_config(RetryConfig::disabled());
        let config = config.stalled_stream_protection(StalledStreamProtectionConfig::disabled()).build();
        Self { client: Client::from_conf(config), arn: arn.clone() }
    }

    pub(super) fn class(&self, failed: Failure) -> CallError {
        class_of(failed, &self.arn.arn, ACTIONS)
    }

    /// All shards that the stream remembers, closed ones included.
    pub(super) async fn shards(&self) -> Result<Vec<Shard>, CallError> {
        let mut shards = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..PAGES_MAX {
            // A page after the first is named by its token alone.
            let call = match next.take() {
                None => self.client.list_shards().stream_name(&self.arn.name).stream_arn(&self.arn.arn),
                Some(token) => self.client.list_shards().next_token(token),
            };
            let page = call.send().await.map_err(|error| self.class(failure(&error)))?;
            shards.extend(page.shards.unwrap_or_default().into_iter().map(shard));
            next = page.next_token;
            if next.is_none() {
                return Ok(shards);
            }
        }
        Err(CallError::misconfigured("too_many_shards", "the list of shards does not end"))
    }

    /// An iterator that begins at `from`. `started_ms` stands for a time that the lease does not know.
    pub(super) async fn iterator(
        &self,
        shard: &ShardId,
        from: &ReadFrom,
        started_ms: Option<u64>,
    ) -> Result<String, ReadError> {
        let call = self.client.get_shard_iterator().stream_name(&self.arn.name).stream_arn(&self.arn.arn);
        let call = call.shard_id(&**shard);
        let start = Start::of(from, started_ms).map_err(ReadError::Call)?;
        let call = call.shard_iterator_type(start.kind).set_timestamp(start.time);
        let call =
            call.set_starting_sequence_number(start.sequence.map(|sequence| sequence.as_str().to_owned()));
        let answer = call.send().await.map_err(|error| {
            let failed = failure(&error);
            self.not_yet(&failed, start.time).unwrap_or_else(|| self.read_error(failed))
        })?;
        let missing = || CallError::transient("unmentioned", "the answer omits the iterator");
        answer.shard_iterator.ok_or_else(|| ReadError::Call(missing()))
    }

    /// The next records, at most `limit` of them.
    pub(super) async fn read(&self, iterator: &str, limit: usize) -> Result<Batch, ReadError> {
        let limit = i32::try_from(limit).unwrap_or(i32::MAX);
        let call = self.client.get_records().stream_arn(&self.arn.arn).shard_iterator(iterator).limit(limit);
        let answer = call.send().await.map_err(|error| self.read_error(failure(&error)))?;
        Ok(Batch {
            records: records(answer.records)?,
            next: answer.next_shard_iterator,
            behind: answer.millis_behind_latest.map(behind),
            children: answer.child_shards.unwrap_or_default().into_iter().map(child).collect(),
        })
    }

    /// Records of the shard as they come, for up to five minutes.
    pub(super) async fn subscribe(
        &self,
        consumer: &str,
        shard: &ShardId,
        from: &ReadFrom,
        started_ms: Option<u64>,
    ) -> Result<SubscribeToShardOutput, ReadError> {
        let start = Start::of(from, started_ms).map_err(ReadError::Call)?;
        let position = StartingPosition::builder().r#type(start.kind).set_timestamp(start.time);
        let sequence = start.sequence.map(|sequence| sequence.as_str().to_owned());
        let position = position.set_sequence_number(sequence).build();
        let invalid = |error: aws_sdk_kinesis::error::BuildError| {
            ReadError::Call(CallError::misconfigured("invalid_request", error.to_string()))
        };
        let call = self.client.subscribe_to_shard().consumer_arn(consumer).shard_id(&**shard);
        let call = call.starting_position(position.map_err(invalid)?);
        call.send().await.map_err(|error| {
            let failed = failure(&error);
            self.not_yet(&failed, start.time).unwrap_or_else(|| Self::push_error(failed, consumer))
        })
    }

    /// What ends a subscription.
    pub(super) fn push_error(failed: Failure, consumer: &str) -> ReadError {
        sorted(failed, |failed| {
            if failed.code == "ResourceNotFoundException" {
                let cure = format!("check that stream.consumer_arn names a registered consumer: {consumer}");
                return failed.classed(&["ResourceNotFoundException"], &cure);
            }
            class_of(failed, consumer, "kinesis:SubscribeToShard")
        })
    }

    /// A time to begin at may lie ahead, by the stream's clock if not by ours: it will come.
    fn not_yet(&self, failed: &Failure, time: Option<DateTime>) -> Option<ReadError> {
        if time.is_none() || failed.code != "InvalidArgumentException" {
            return None;
        }
        let text = format!(
            "by the clock of {} the time to begin at has not come, will wait: {}",
            self.arn.name, failed.message
        );
        Some(ReadError::Call(CallError::transient("not_yet", text)))
    }

    fn read_error(&self, failed: Failure) -> ReadError {
        sorted(failed, |failed| self.class(failed))
    }
}

fn sorted(failed: Failure, class: impl FnOnce(Failure) -> CallError) -> ReadError {
    match failed.code.as_str() {
        "ExpiredIteratorException" => ReadError::Expired,
        "ProvisionedThroughputExceededException" | "LimitExceededException" => {
            ReadError::Throttled(class(failed))
        }
        "ResourceNotFoundException" => ReadError::NotFound(class(failed)),
        _ => ReadError::Call(class(failed)),
    }
}

/// What one event of a subscription brought, and after which record the next would go on.
pub(super) fn pushed(event: SubscribeToShardEvent) -> Result<(Batch, Option<SequenceNumber>), ReadError> {
    let children: Vec<Shard> = event.child_shards.unwrap_or_default().into_iter().map(child).collect();
    let go_on = SequenceNumber::parse(&event.continuation_sequence_number);
    let next = go_on.as_ref().filter(|_| children.is_empty()).map(|number| number.as_str().to_owned());
    let batch = Batch {
        records: records(event.records)?,
        next,
        behind: Some(behind(event.millis_behind_latest)),
        children,
    };
    Ok((batch, go_on))
}

/// Where to begin, in the words of the service.
struct Start<'a> {
    kind: Type,
    sequence: Option<&'a SequenceNumber>,
    time: Option<DateTime>,
}

impl<'a> Start<'a> {
    fn of(from: &'a ReadFrom, started_ms: Option<u64>) -> Result<Self, CallError> {
        let plain = |kind| Self { kind, sequence: None, time: None };
        Ok(match from {
            ReadFrom::After(sequence) => {
                Self { sequence: Some(sequence), ..plain(Type::AfterSequenceNumber) }
            }
            // At, not after: of an aggregate there may be more than the checkpoint says.
            ReadFrom::Checkpoint(Checkpoint::At(position)) => {
                Self { sequence: Some(&position.sequence), ..plain(Type::AtSequenceNumber) }
            }
            ReadFrom::Checkpoint(Checkpoint::AtTimestamp(ms)) => {
                let ms = ms.or(started_ms).ok_or_else(unknown_time)?;
                let time = DateTime::from_millis(i64::try_from(ms).unwrap_or(i64::MAX));
                Self { time: Some(time), ..plain(Type::AtTimestamp) }
            }
            ReadFrom::Checkpoint(Checkpoint::Latest) => plain(Type::Latest),
            ReadFrom::Checkpoint(Checkpoint::TrimHorizon | Checkpoint::ShardEnd) => plain(Type::TrimHorizon),
        })
    }
}

fn unknown_time() -> CallError {
    CallError::misconfigured(
        "unknown_start",
        "a lease says AT_TIMESTAMP, and its time was kept in the configuration of the program that wrote it: write that \
         time as stream.start",
    )
}

fn records(records: Vec<SdkRecord>) -> Result<Vec<Record>, ReadError> {
    let records: Option<Vec<Record>> = records.into_iter().map(record).collect();
    let unreadable = || CallError::transient("no_sequence", "a record came without a usable sequence number");
    records.ok_or_else(|| ReadError::Call(unreadable()))
}

fn behind(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn record(record: SdkRecord) -> Option<Record> {
    Some(Record {
        sequence: SequenceNumber::parse(&record.sequence_number)?,
        data: record.data.into_inner().into(),
        partition_key: record.partition_key,
        arrived: record.approximate_arrival_timestamp.and_then(|at| SystemTime::try_from(at).ok()),
    })
}

fn shard(shard: SdkShard) -> Shard {
    let parents = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
    Shard {
        id: shard.shard_id.into(),
        parents: parents.into_iter().flatten().map(Into::into).collect(),
        hash_keys: shard.hash_key_range.as_ref().and_then(hash_keys),
        is_closed: shard.sequence_number_range.is_some_and(|range| range.ending_sequence_number.is_some()),
    }
}

fn child(child: ChildShard) -> Shard {
    Shard {
        id: child.shard_id.into(),
        parents: child.parent_shards.into_iter().map(Into::into).collect(),
        hash_keys: child.hash_key_range.as_ref().and_then(hash_keys),
        is_closed: false,
    }
}

fn hash_keys(range: &HashKeyRange) -> Option<RangeInclusive<u128>> {
    Some(range.starting_hash_key.parse().ok()?..=range.ending_hash_key.parse().ok()?)
}
