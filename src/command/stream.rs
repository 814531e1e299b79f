//! A stream and its leases, asked from outside of the workers; and the words in which they are told.

use std::path::Path;

use serde::Serialize;

use super::CommandError;
use crate::{
    aws::Aws,
    clock::{at_ms, rfc3339},
    config::{Config, SourceKind, StreamConfig, process_environment},
    log,
    receive::kinesis::{
        lease::{Change, ChangeError, Lease, Leases, ShardId},
        operator::Operator,
        position::Checkpoint,
        shards::may_be_read,
    },
};

/// Somebody else changes the lease as well, so often in a row at most: a holder does so once in a while.
const ATTEMPTS_MAX: u32 = 5;

/// The stream of the configuration.
pub(super) struct Asked {
    pub(super) config: StreamConfig,
    pub(super) operator: Operator,
}

impl Asked {
    pub(super) async fn open(file: Option<&Path>) -> Result<Self, CommandError> {
        let (config, _) = Config::load(file, process_environment())?;
        log::start(&config.log).map_err(CommandError::Usage)?;
        let SourceKind::Stream(stream) = config.source.kind else {
            return Err(CommandError::Usage(
                "the events of this configuration come from a queue (source.queue_url): leases and checkpoints belong \
                 to a stream (stream.arn)"
                    .to_owned(),
            ));
        };
        let operator = Operator::new(&Aws::from_environment().await, &stream);
        Ok(Self { config: stream, operator })
    }

    pub(super) async fn leases(&self) -> Result<Leases, CommandError> {
        self.operator.table().list().await.map_err(CommandError::failed)
    }

    pub(super) async fn find(&self, shard: &str) -> Result<Lease, CommandError> {
        let found = self.operator.table().find(&shard.into()).await.map_err(CommandError::failed)?;
        found.ok_or_else(|| {
            CommandError::Usage(format!(
                "the table {} has no lease of {shard}; `tributary leases` lists those that it has",
                self.config.lease_table
            ))
        })
    }

    /// Changes a lease as `wish` says of the lease as it is found; `None`: it is not to be changed any more.
    pub(super) async fn change(
        &self,
        shard: &str,
        wish: impl Fn(&Lease) -> Result<Change, CommandError>,
    ) -> Result<Lease, CommandError> {
        for _ in 0..ATTEMPTS_MAX {
            let found = self.find(shard).await?;
            match self.operator.table().change(&wish(&found)?).await {
                Ok(Some(lease)) => return Ok(lease),
                Ok(None) => return Ok(found),
                // A renewal came between.
                Err(ChangeError::Conflict(_)) => {}
                Err(ChangeError::Call(error)) => return Err(CommandError::failed(error)),
            }
        }
        Err(CommandError::Usage(format!("the lease of {shard} does not stand still: look again")))
    }
}

/// What is to be known of a lease at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// Somebody reads the shard.
    Held,
    /// Its holder has been asked to leave.
    Leaving,
    /// It could be read, and nobody has it.
    Free,
    /// Its turn comes when its parents are done.
    Waiting,
    /// Done.
    Done,
}

impl Standing {
    pub(super) fn of(lease: &Lease, leases: &Leases) -> Self {
        if lease.is_ended() {
            Self::Done
        } else if lease.is_asked_for() {
            Self::Leaving
        } else if lease.holder().is_some() {
            Self::Held
        } else if may_be_read(lease, leases) {
            Self::Free
        } else {
            Self::Waiting
        }
    }
}

/// The checkpoint, with the time where it is one.
pub(super) fn in_words(checkpoint: &Checkpoint) -> String {
    match checkpoint {
        Checkpoint::AtTimestamp(Some(ms)) => format!("{checkpoint} {}", rfc3339(at_ms(*ms))),
        other => other.to_string(),
    }
}

/// A name as the table has it, or `nobody`.
pub(super) fn name_of(worker: Option<&str>) -> &str {
    worker.unwrap_or("nobody")
}

/// A change that takes the lease away from whoever has it.
pub(super) fn set(lease: &Lease, checkpoint: Checkpoint) -> Change {
    let shard: ShardId = lease.shard.clone();
    Change::Set { shard, counter: lease.counter, checkpoint }
}
