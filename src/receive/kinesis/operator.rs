//! What an operator asks from outside of the workers. In: a lease. Out: how far it is behind, and whether the stream knows
//! a place to which its checkpoint is to be set.
//!
//! Reading counts against the five reads a second that all readers of a shard share, so nothing here reads unasked.

use std::time::{Duration, SystemTime};

use super::{
    api::{ReadError, Stream},
    lease::{Lease, LeaseTable, ShardId, dynamodb::DynamoDbLeases},
    position::Checkpoint,
    tenancy::{ReadFrom, Times},
};
use crate::{aws::Aws, config::StreamConfig, failure::CallError};

/// A stream and its leases, for somebody who holds none.
pub struct Operator {
    stream: Stream,
    table: DynamoDbLeases,
    times: Times,
    /// The time that the configuration names, for leases that another program wrote.
    started_ms: Option<u64>,
}

impl Operator {
    /// The stream and the table that `config` names.
    pub fn new(aws: &Aws, config: &StreamConfig) -> Self {
        Self {
            stream: Stream::new(aws, &config.arn),
            table: DynamoDbLeases::new(aws, &config.lease_table),
            times: Times { failover: config.failover_time },
            started_ms: config.start.named_ms(),
        }
    }

    /// Where the leases are.
    pub fn table(&self) -> &dyn LeaseTable {
        &self.table
    }

    /// The times by which workers keep their leases.
    pub fn times(&self) -> Times {
        self.times
    }

    /// How long the oldest record behind the checkpoint has waited; nothing if there is none. One read of one record.
    ///
    /// # Errors
    /// The class says whether asking again can help; throttling is such a case.
    pub async fn behind(&self, lease: &Lease) -> Result<Duration, CallError> {
        let from = match lease.position() {
            Some(position) => ReadFrom::After(position.sequence.clone()),
            None => ReadFrom::Checkpoint(lease.checkpoint.clone()),
        };
        let iterator = self.stream.iterator(&lease.shard, &from, self.started_ms).await.map_err(error)?;
        let batch = self.stream.read(&iterator, 1).await.map_err(error)?;
        // What was read has waited since it arrived; what was not, as the stream says.
        let arrived = batch.records.first().and_then(|record| record.arrived);
        let waited = arrived.and_then(|at| SystemTime::now().duration_since(at).ok());
        Ok(waited.or(batch.behind).unwrap_or_default())
    }

    /// Whether reading can go on at this checkpoint.
    ///
    /// # Errors
    /// Kinesis knows no such place, or no such shard; or the call failed.
    pub async fn find_place(&self, shard: &ShardId, checkpoint: &Checkpoint) -> Result<(), CallError> {
        let from = ReadFrom::Checkpoint(checkpoint.clone());
        self.stream.iterator(shard, &from, self.started_ms).await.map(drop).map_err(error)
    }
}

fn error(error: ReadError) -> CallError {
    match error {
        ReadError::Expired => CallError::transient("ExpiredIteratorException", "the iterator has expired"),
        ReadError::Throttled(error) | ReadError::NotFound(error) | ReadError::Call(error) => error,
    }
}
