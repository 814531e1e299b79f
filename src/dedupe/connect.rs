//! From the configuration to the ledger that it names.

use std::{env, fs, sync::Arc, time::Duration};

use super::{
    CachedLedger, Ledger,
    dynamodb::DynamoDbLedger,
    memory::MemoryLedger,
    valkey::{ValkeyError, ValkeyLedger},
};
use crate::{
    aws::Aws,
    clock::Clock,
    config::{Config, LedgerKind},
};

/// What every shared ledger is told.
#[derive(Clone, Debug)]
pub struct SharedLedger {
    /// Keeps deployments apart that share one table or server.
    pub namespace: String,
    /// Who claims.
    pub worker: String,
    /// How long a settled event is remembered.
    pub window: Duration,
    /// By which leases are told.
    pub clock: Clock,
}

/// Why a ledger cannot be used at all. (One that does not answer is waited for.)
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Only the worker itself can see into its own memory.
    #[error(
        "ledger.kind is \"memory\": only the worker itself can see it; a shared ledger (\"dynamodb\", \"valkey\") \
         can be asked from anywhere"
    )]
    InMemory,
    /// Of [`ValkeyLedger`].
    #[error(transparent)]
    Valkey(#[from] ValkeyError),
}

/// The ledger for a worker: one that is far away has a memory of this worker's own in front.
///
/// # Errors
/// What the configuration names cannot be used.
pub fn for_worker(config: &Config, aws: &Aws, worker: &str) -> Result<Arc<dyn Ledger>, ConnectError> {
    if matches!(config.ledger.kind, LedgerKind::Memory) {
        return Ok(Arc::new(MemoryLedger::new(config.dedupe.window, config.dedupe.entries_max)));
    }
    let shared = shared(config, aws, worker)?;
    let cache_time = config.ledger.cache_time.min(config.dedupe.window);
    Ok(Arc::new(CachedLedger::new(shared, cache_time, config.ledger.cache_entries_max)))
}

/// The ledger itself, for a question from outside.
///
/// # Errors
/// It is in a worker's memory, or what the configuration names cannot be used.
pub fn shared(config: &Config, aws: &Aws, worker: &str) -> Result<Arc<dyn Ledger>, ConnectError> {
    let shared = SharedLedger {
        namespace: config.ledger.namespace.clone(),
        worker: worker.to_owned(),
        window: config.dedupe.window,
        clock: Clock::system(),
    };
    match &config.ledger.kind {
        LedgerKind::Memory => Err(ConnectError::InMemory),
        LedgerKind::DynamoDb { table } => Ok(Arc::new(DynamoDbLedger::new(aws, table, shared))),
        LedgerKind::Valkey(valkey) => Ok(Arc::new(ValkeyLedger::new(valkey, shared)?)),
    }
}

/// How this process is called: as configured, or as the host is, and something that no other process has.
pub fn worker_name(configured: Option<&str>) -> String {
    let host = || {
        let of_system = || fs::read_to_string("/proc/sys/kernel/hostname").ok();
        env::var("HOSTNAME").ok().or_else(of_system).map(|name| name.trim().to_owned())
    };
    let name = configured.map(str::to_owned).or_else(host).filter(|name| !name.is_empty());
    format!("{}/{:08x}", name.as_deref().unwrap_or("worker"), fastrand::u32(..))
}
