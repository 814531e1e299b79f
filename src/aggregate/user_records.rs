//! The user records of one record of a stream. In: its data, and the hash keys of the shard that it was read from.
//! Out: what to deliver, and what of it lies in the wrong shard.

use std::{fmt, ops::RangeInclusive};

use bytes::Bytes;
use md5::{Digest, Md5};

use super::{Aggregate, Record, read};
use crate::decode::{EVENT_BYTES_MIN, TINY_EVENTS_MAX};

/// One record as its producer handed it to the aggregator. All parts are slices: the aggregate's bytes stay in memory
/// until the last of them is gone.
#[derive(Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// What it carries; may be empty.
    pub data: Bytes,
    /// The partition key, where the aggregate has one for it.
    pub partition_key: Option<Bytes>,
    /// The explicit hash key as written, where it has one: it counts instead of the partition key's hash.
    pub explicit_hash_key: Option<Bytes>,
    /// Its hash key belongs to another shard. It may come a second time, from there.
    pub is_foreign: bool,
}

impl fmt::Debug for UserRecord {
    /// Without data and keys: no payload may reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.data.len();
        f.debug_struct("UserRecord")
            .field("bytes", &bytes)
            .field("is_foreign", &self.is_foreign)
            .finish_non_exhaustive()
    }
}

/// The user records of an aggregate, in order: the place is the sub-sequence number of the Kinesis Client Library
/// (KCL). `None` if the record is one message as it is: because it is no aggregate, or one that holds nothing, cannot
/// be read, or holds more records than its length could account for. What is wrong with those, decode says.
///
/// Foreign user records are delivered like the others. The KCL instead drops the whole aggregate as soon as it meets one
/// ([`AggregatorUtil`]), trusting that the KPL puts all of it again. Nothing in an aggregate says that the KPL
/// wrote it; AWS's other aggregators [put nothing again][loss]; and the KPL [puts again][retrier] only what is foreign.
/// So that rule can lose events. Ours cannot: what the KPL does put again is a duplicate, which the ledger knows. See
/// `docs/adr/0018`.
///
/// [`AggregatorUtil`]: https://github.com/awslabs/amazon-kinesis-client/blob/master/amazon-kinesis-client/src/main/java/software/amazon/kinesis/retrieval/AggregatorUtil.java
/// [loss]: https://github.com/awslabs/kinesis-aggregation/blob/master/potential_data_loss.md
/// [retrier]: https://github.com/awslabs/amazon-kinesis-producer/pull/576
pub fn user_records(data: &Bytes, hash_range: &RangeInclusive<u128>) -> Option<Vec<UserRecord>> {
    let aggregate = read(data, records_max(data.len())).ok()?;
    let hash_keys = HashKeys::of(&aggregate);
    let user_record = |record: &Record| UserRecord {
        data: record.data.clone(),
        partition_key: at(&aggregate.partition_keys, record.partition_key),
        explicit_hash_key: at(&aggregate.explicit_hash_keys, record.explicit_hash_key),
        is_foreign: hash_keys.of_record(record).is_some_and(|hash_key| !hash_range.contains(&hash_key)),
    };
    let records: Vec<_> = aggregate.records.iter().map(user_record).collect();
    (!records.is_empty()).then_some(records)
}

/// As many as decode allows in so many bytes, but without its bound for one message: each is a message of its own.
fn records_max(bytes: usize) -> usize {
    (bytes / EVENT_BYTES_MIN).max(TINY_EVENTS_MAX)
}

/// The hash key of each entry of the tables. Records share keys, and a key can be long: none is hashed twice.
struct HashKeys {
    of_partition_keys: Vec<Option<u128>>,
    explicit: Vec<Option<u128>>,
}

impl HashKeys {
    fn of(aggregate: &Aggregate) -> Self {
        Self {
            of_partition_keys: aggregate.partition_keys.iter().map(|key| Some(hash(key))).collect(),
            explicit: aggregate.explicit_hash_keys.iter().map(|key| decimal(key)).collect(),
        }
    }

    /// `None` if the aggregate does not say it, or not so that it can be understood: that is no sign of a wrong shard.
    fn of_record(&self, record: &Record) -> Option<u128> {
        match record.explicit_hash_key {
            Some(_) => at(&self.explicit, record.explicit_hash_key).flatten(),
            None => at(&self.of_partition_keys, record.partition_key).flatten(),
        }
    }
}

fn at<T: Clone>(table: &[T], place: Option<usize>) -> Option<T> {
    table.get(place?).cloned()
}

/// Kinesis reads the MD5 of a partition key as one large number.
/// <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html>
fn hash(partition_key: &[u8]) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key).into())
}

fn decimal(explicit_hash_key: &[u8]) -> Option<u128> {
    str::from_utf8(explicit_hash_key).ok()?.parse().ok()
}
