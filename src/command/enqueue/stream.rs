//! A stream as a target. In: its name or ARN, and messages. Out: what Kinesis says of each of them.
//!
//! A call succeeds as a whole while single records fail: each entry of the answer is read.
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html>

use aws_sdk_kinesis::{
    Client,
    primitives::Blob,
    types::{PutRecordsRequestEntry, PutRecordsResultEntry},
};

use super::target::{Entry, NotTaken};
use crate::{
    aws::{
        self, Aws, Failure, Reached,
        kinesis::{INVALID, class_of},
    },
    command::CommandError,
    config::{StreamArn, keys, kinds::Kind as _},
    failure::CallError,
};

/// Characters of a key that is made up: 64 bits in hexadecimal digits.
const RANDOM_KEY_BYTES: usize = 16;

/// A stream, and a client for it.
#[derive(Clone)]
pub(crate) struct Stream {
    client: Client,
    /// Its name, or its ARN where that was given.
    address: String,
    /// Of every record; without it each has a random one.
    partition_key: Option<String>,
}

/// The stream of this name, in the Region of the environment, or of this ARN, in its own.
///
/// # Errors
/// It is neither.
pub(super) async fn target(named: &str, partition_key: Option<String>) -> Result<Stream, CommandError> {
    if StreamArn::is_stream_name(named) {
        let client = Aws::from_environment().await.kinesis_to_send(None);
        return Ok(Stream { client, address: named.to_owned(), partition_key });
    }
    let parsed = keys::STREAM_ARN.kind.parse(named);
    let StreamArn { arn, region, .. } = parsed.map_err(|wrong| {
        CommandError::Usage(format!("--stream {}; write the stream's name, or {}", wrong.what, wrong.cure))
    })?;
    let client = Aws::from_environment().await.kinesis_to_send(Some(&region));
    Ok(Stream { client, address: arn, partition_key })
}

pub(super) fn is_of_the_message(code: &str) -> bool {
    INVALID.contains(&code)
}

impl Stream {
    /// Bytes of each record's key.
    pub(super) fn key_bytes(&self) -> usize {
        self.partition_key.as_ref().map_or(RANDOM_KEY_BYTES, String::len)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    pub(super) fn trouble(&self, failure: Failure) -> CallError {
        class_of(failure, &self.address, "kinesis:PutRecords")
    }

    /// A record that is tried again may go to another shard: the first one may be the one that is full.
    fn key(&self) -> String {
        self.partition_key.clone().unwrap_or_else(|| format!("{:016x}", fastrand::u64(..)))
    }

    pub(super) async fn call(&self, entries: &[Entry]) -> Result<Vec<Result<(), NotTaken>>, Failure> {
        let record = |entry: &Entry| {
            let data = Blob::new(entry.message.body.as_slice());
            PutRecordsRequestEntry::builder().data(data).partition_key(self.key()).build()
        };
        let records: Result<Vec<_>, _> = entries.iter().map(record).collect();
        let records = records.map_err(|error| Failure {
            reached: Reached::NothingByOurFault,
            code: "invalid_request".into(),
            message: error.to_string(),
        })?;
        let request = self.client.put_records().set_records(Some(records));
        // No stream's name has a colon.
        let request = if self.address.contains(':') {
            request.stream_arn(&self.address)
        } else {
            request.stream_name(&self.address)
        };
        let output = request.send().await.map_err(|error| aws::failure(&error))?;
        let mut answers = output.records.into_iter().map(taken);
        Ok(entries.iter().map(|_| answers.next().unwrap_or_else(|| Err(NotTaken::unmentioned()))).collect())
    }
}

/// The answer has an entry for each record, in the same order. What fails by itself is the moment's: a shard that is
/// full, or a failure inside.
fn taken(answer: PutRecordsResultEntry) -> Result<(), NotTaken> {
    match (answer.error_code, answer.sequence_number) {
        (None, Some(_)) => Ok(()),
        (Some(code), _) => Err(NotTaken { code, is_final: false }),
        (None, None) => Err(NotTaken::unmentioned()),
    }
}

#[cfg(test)]
mod tests;
