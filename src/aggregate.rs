//! The aggregates of the Kinesis Producer Library (KPL): several records in one, to save requests.
//!
//! In: the bytes of a message, or of a record of a stream. Out: what each user record carries, as slices of them, or
//! why there is nothing to read. A protobuf message of one known kind stands between a magic number and an MD5 over
//! it; reading just that needs no library.
//! <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>
//!
//! Two stages ask. Decode wants the data alone, wherever an aggregate turns up. The stream asks for
//! [`user_records`], because each of them is a message of its own there.

mod fields;
mod user_records;

use bytes::Bytes;
use md5::{Digest, Md5};

use self::fields::{Fields, Value};
pub use self::user_records::{UserRecord, user_records};
use crate::failure::{Reason, Rejection};

/// What every aggregate begins with.
pub(crate) const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

const MD5_BYTES: usize = 16;

/// `AggregatedRecord.partition_key_table`, `.explicit_hash_key_table` and `.records`.
const PARTITION_KEYS: u64 = 1;
const EXPLICIT_HASH_KEYS: u64 = 2;
const RECORDS: u64 = 3;

/// `Record.partition_key_index`, `.explicit_hash_key_index` and `.data`.
const PARTITION_KEY: u64 = 1;
const EXPLICIT_HASH_KEY: u64 = 2;
const DATA: u64 = 3;

/// An aggregate as it was written: keys stand in tables, and records point into them.
#[derive(Default)]
pub(crate) struct Aggregate {
    /// In order: the place here is the sub-sequence number.
    pub(crate) records: Vec<Record>,
    partition_keys: Vec<Bytes>,
    explicit_hash_keys: Vec<Bytes>,
}

/// One user record. What it says of its keys can be missing or wrong, and its data is delivered all the same.
pub(crate) struct Record {
    pub(crate) data: Bytes,
    partition_key: Option<usize>,
    explicit_hash_key: Option<usize>,
}

/// Why bytes cannot be read as an aggregate. Up to the MD5 it may only look like one; from there on it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error("no aggregate begins like this")]
    NoMagic,
    #[error("the aggregate is too short to hold its MD5")]
    TooShort,
    #[error("the MD5 at the end of the aggregate does not fit it")]
    WrongMd5,
    #[error("the aggregate is no well-formed protobuf message")]
    Malformed,
    #[error("a record of the aggregate has no data")]
    NoData,
    #[error("more than {0} records in one aggregate")]
    TooMany(usize),
}

impl From<Unreadable> for Rejection {
    fn from(unreadable: Unreadable) -> Self {
        let reason = match unreadable {
            Unreadable::TooMany(_) => Reason::TooManyEvents,
            _ => Reason::BrokenAggregate,
        };
        Self::new(reason, unreadable.to_string())
    }
}

/// Takes an aggregate apart that holds so many records at most.
///
/// # Errors
/// [`Unreadable`], for the whole: nothing is taken out of an aggregate that is not as it was sent.
pub(crate) fn read(bytes: &Bytes, records_max: usize) -> Result<Aggregate, Unreadable> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or(Unreadable::NoMagic)?;
    let (message, md5) = rest.split_last_chunk::<MD5_BYTES>().ok_or(Unreadable::TooShort)?;
    if <[u8; MD5_BYTES]>::from(Md5::digest(message)) != *md5 {
        return Err(Unreadable::WrongMd5);
    }
    let mut aggregate = Aggregate::default();
    let mut fields = Fields(message);
    while let Some(field) = fields.next()? {
        match field {
            (RECORDS, Value::Bytes(_)) if aggregate.records.len() == records_max => {
                return Err(Unreadable::TooMany(records_max));
            }
            (RECORDS, Value::Bytes(record)) => aggregate.records.push(Record::read(record, bytes)?),
            (RECORDS, _) => return Err(Unreadable::Malformed),
            // A table has no more keys than there are records, unless somebody means harm.
            (PARTITION_KEYS, Value::Bytes(key)) if aggregate.partition_keys.len() < records_max => {
                aggregate.partition_keys.push(bytes.slice_ref(key));
            }
            (EXPLICIT_HASH_KEYS, Value::Bytes(key)) if aggregate.explicit_hash_keys.len() < records_max => {
                aggregate.explicit_hash_keys.push(bytes.slice_ref(key));
            }
            _ => {}
        }
    }
    Ok(aggregate)
}

impl Record {
    /// The last field of a kind counts, as everywhere in protobuf.
    fn read(message: &[u8], aggregate: &Bytes) -> Result<Self, Unreadable> {
        let (mut data, mut partition_key, mut explicit_hash_key) = (None, None, None);
        let mut fields = Fields(message);
        while let Some(field) = fields.next()? {
            match field {
                (DATA, Value::Bytes(bytes)) => data = Some(bytes),
                (DATA, _) => return Err(Unreadable::Malformed),
                (PARTITION_KEY, Value::Number(index)) => partition_key = Some(place(index)),
                (EXPLICIT_HASH_KEY, Value::Number(index)) => explicit_hash_key = Some(place(index)),
                _ => {}
            }
        }
        let data = aggregate.slice_ref(data.ok_or(Unreadable::NoData)?);
        Ok(Self { data, partition_key, explicit_hash_key })
    }
}

/// Where to look in a table; what is too large for any is in none.
fn place(index: u64) -> usize {
    usize::try_from(index).unwrap_or(usize::MAX)
}

#[cfg(test)]
pub(crate) mod tests;
