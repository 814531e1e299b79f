//! A lake that speaks `PutAuditEvents`, as strict as the documentation allows, and an admin API beside it.
//!
//! In: HTTP requests. Out: stored rows and, per entry, an event id or a documented error. Signatures are not
//! verified, but a request without any gets the answer that AWS would give.
//! Source: <https://docs.aws.amazon.com/awscloudtraildata/latest/APIReference/API_PutAuditEvents.html>.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use hyper::{Method, Request, StatusCode, body::Incoming};
use tokio_util::sync::CancellationToken;

use super::{
    ChannelSpec, DiskError, Faults, LocalError, LocalOptions,
    disk::Disk,
    faults::Mischief,
    serve::{self, Answer, Endpoint},
};
use crate::{config::ChannelArn, limits};

mod admin;
mod channel;
mod check;
mod put;
mod report;
mod store;

pub use report::{EventPage, EventQuery, LakeEvent, LakeLimits, LakeMetadata, LakeStatus, Order};

use store::Store;

/// A channel that exists.
struct Channel {
    arn: ChannelArn,
    external_id: Option<String>,
}

/// The lake: what it holds and how it behaves.
pub(super) struct Lake {
    /// `None`: every well-formed ARN is a channel.
    channels: Option<Vec<Channel>>,
    put_bytes_max: usize,
    on_disk: bool,
    state: Mutex<State>,
}

/// All that changes.
struct State {
    store: Store,
    mischief: Mischief,
    puts: BTreeMap<String, u64>,
    failed_entries: BTreeMap<String, u64>,
    forgotten_entries: u64,
}

impl Lake {
    /// A lake as configured, with what is on disk.
    pub(super) fn open(options: &LocalOptions, disk: Option<Arc<Disk>>) -> Result<Self, LocalError> {
        options.faults.check()?;
        let channels = options.channels.iter().map(known_channel).collect::<Result<Vec<_>, _>>()?;
        let on_disk = disk.is_some();
        Ok(Self {
            channels: (!channels.is_empty()).then_some(channels),
            put_bytes_max: options.put_bytes_max,
            on_disk,
            state: Mutex::new(State {
                store: Store::open(disk, options.retain_rows, options.count_uids)?,
                mischief: Mischief::new(options.faults.clone()),
                puts: BTreeMap::new(),
                failed_entries: BTreeMap::new(),
                forgotten_entries: 0,
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs what may wait for the disk where waiting harms nobody, and to its end even if the client goes away.
    async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, serve::Hangup> {
        if !self.on_disk {
            return Ok(work(self));
        }
        let lake = Arc::clone(self);
        serve::blocking(move || work(&lake)).await
    }

    /// Counts, faults and limits.
    pub(super) fn status(&self) -> LakeStatus {
        let state = self.state();
        let arns = |channels: &Vec<Channel>| channels.iter().map(|channel| channel.arn.arn.clone()).collect();
        LakeStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            stored: state.store.stored(),
            distinct_uids: state.store.distinct_uids(),
            repeated_uids: state.store.repeated_uids(),
            listed: state.store.listed(),
            puts: state.puts.clone(),
            failed_entries: state.failed_entries.clone(),
            forgotten_entries: state.forgotten_entries,
            channels: self.channels.as_ref().map(arns),
            faults: state.mischief.faults().clone(),
            seed: state.mischief.seed(),
            limits: LakeLimits {
                events_max: limits::PUT_EVENTS_MAX,
                put_bytes_max: self.put_bytes_max,
                event_data_bytes_max: limits::EVENT_DATA_BYTES_MAX,
            },
        }
    }

    /// Misbehaves otherwise from now on. The faults have been checked.
    pub(super) fn set_faults(&self, faults: Faults) {
        self.state().mischief = Mischief::new(faults);
    }

    /// Forgets every event and every count.
    pub(super) fn clear(&self) -> Result<(), DiskError> {
        let mut state = self.state();
        state.store.clear()?;
        state.puts.clear();
        state.failed_entries.clear();
        state.forgotten_entries = 0;
        Ok(())
    }
}

fn known_channel(spec: &ChannelSpec) -> Result<Channel, LocalError> {
    let arn = channel::parse(&spec.arn).ok_or_else(|| LocalError::ChannelArn(spec.arn.clone()))?;
    if spec.external_id.as_deref().is_some_and(|id| !put::is_external_id(id)) {
        return Err(LocalError::ExternalId(spec.arn.clone()));
    }
    Ok(Channel { arn, external_id: spec.external_id.clone() })
}

impl State {
    fn count_put(&mut self, outcome: &str) {
        count(&mut self.puts, outcome);
    }

    fn count_failed(&mut self, code: &str) {
        count(&mut self.failed_entries, code);
    }
}

fn count(counts: &mut BTreeMap<String, u64>, key: &str) {
    if let Some(count) = counts.get_mut(key) {
        *count += 1;
    } else {
        counts.insert(key.to_owned(), 1);
    }
}

/// The lake as it is reached from outside.
pub(super) struct LakeEndpoint(pub(super) Arc<Lake>);

impl Endpoint for LakeEndpoint {
    async fn answer(&self, request: Request<Incoming>, stop: &CancellationToken) -> Answer {
        if serve::is(&request, &Method::POST, "/PutAuditEvents") {
            return put::answer(&self.0, request, stop).await;
        }
        if request.uri().path().starts_with("/lake/") {
            return admin::answer(&self.0, request).await;
        }
        let message =
            "this is the local lake: it offers POST /PutAuditEvents, and /lake/status and more for its admin";
        Ok(put::refusal(StatusCode::NOT_FOUND, "UnknownOperationException", message))
    }
}
