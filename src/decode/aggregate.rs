//! The aggregates of the Kinesis Producer Library: several records in one, to save requests.
//!
//! In: bytes that begin with the magic number. Out: the data of each record, as slices. A protobuf message of one
//! known kind stands between the magic number and an MD5 over it; reading just that needs no library.
//! <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>

use bytes::Bytes;
use md5::{Digest, Md5};

use super::MESSAGE_EVENTS_MAX;
use crate::failure::{Reason, Rejection};

/// What every aggregate begins with.
pub(super) const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

const MD5_BYTES: usize = 16;
/// `AggregatedRecord.records`.
const RECORDS: u64 = 3;
/// `Record.data`.
const DATA: u64 = 3;

/// The data of each record, in order; one more than [`MESSAGE_EVENTS_MAX`] at most. Partition keys and tags are
/// passed over.
///
/// # Errors
/// [`Reason::BrokenAggregate`], for the whole: nothing is taken out of an aggregate that is not as it was sent.
pub(super) fn records(bytes: &Bytes) -> Result<Vec<Bytes>, Rejection> {
    let rest = bytes.strip_prefix(&MAGIC).ok_or_else(cut_off)?;
    let (message, md5) = rest.split_last_chunk::<MD5_BYTES>().ok_or_else(cut_off)?;
    if <[u8; MD5_BYTES]>::from(Md5::digest(message)) != *md5 {
        return Err(broken("the MD5 at the end of the aggregate does not fit it"));
    }
    let mut records = Vec::new();
    let mut fields = Fields(message);
    while let Some((number, value)) = fields.next()? {
        if number == RECORDS && records.len() <= MESSAGE_EVENTS_MAX {
            records.push(bytes.slice_ref(data(value.ok_or_else(malformed)?)?));
        }
    }
    Ok(records)
}

/// The data of one record; the last counts, as everywhere in protobuf.
fn data(record: &[u8]) -> Result<&[u8], Rejection> {
    let mut data = None;
    let mut fields = Fields(record);
    while let Some((number, value)) = fields.next()? {
        if number == DATA {
            data = Some(value.ok_or_else(malformed)?);
        }
    }
    data.ok_or_else(|| broken("a record of the aggregate has no data"))
}

/// The fields of a protobuf message that are not read yet.
struct Fields<'a>(&'a [u8]);

/// A field's number, and its bytes if its type has a length.
type Field<'a> = (u64, Option<&'a [u8]>);

impl<'a> Fields<'a> {
    /// <https://protobuf.dev/programming-guides/encoding/>
    fn next(&mut self) -> Result<Option<Field<'a>>, Rejection> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => self.varint().map(|_| None)?,
            1 => self.pass(8).map(|_| None)?,
            2 => {
                let length = self.varint()?;
                Some(self.pass(usize::try_from(length).map_err(|_| malformed())?)?)
            }
            5 => self.pass(4).map(|_| None)?,
            // Groups, which this format never had, and types that do not exist.
            _ => return Err(malformed()),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn varint(&mut self) -> Result<u64, Rejection> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.pass(1)? else { return Err(malformed()) };
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(malformed())
    }

    fn pass(&mut self, length: usize) -> Result<&'a [u8], Rejection> {
        let (passed, rest) = self.0.split_at_checked(length).ok_or_else(malformed)?;
        self.0 = rest;
        Ok(passed)
    }
}

fn cut_off() -> Rejection {
    broken("the aggregate is too short to hold its MD5")
}

fn malformed() -> Rejection {
    broken("the aggregate is no well-formed protobuf message")
}

fn broken(sentence: &'static str) -> Rejection {
    Rejection::new(Reason::BrokenAggregate, sentence)
}
