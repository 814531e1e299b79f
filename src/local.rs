//! A queue and a lake on this machine: what `tributary local`, `demo`, the tests and the benchmark run against.
//!
//! In: [`LocalOptions`]. Out: [`Local`], two HTTP endpoints that the ordinary AWS SDKs can be pointed at: a small
//! SQS, and a lake that speaks `PutAuditEvents` and enforces its documented limits. In memory, or in a folder.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;

mod client;
mod disk;
mod faults;
mod lake;
mod queue;
mod serve;

pub use client::{LakeClient, LakeClientError};
pub use disk::DiskError;
pub use faults::{Faults, FaultsError};
pub use lake::{EventPage, EventQuery, LakeEvent, LakeLimits, LakeMetadata, LakeStatus, Order};

use crate::tasks::joined;
use disk::Disk;
use lake::{Lake, LakeEndpoint};
use queue::{QueueEndpoint, Queues};

/// Where the queue listens unless told otherwise.
pub const SQS_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9324);
/// Where the lake listens unless told otherwise.
pub const LAKE_ADDR: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9325);
/// The account of every local queue.
pub const ACCOUNT: &str = "000000000000";

/// How the local endpoints are to be.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Where the queue listens; port 0 takes any free one.
    pub sqs_addr: SocketAddr,
    /// Where the lake listens; port 0 takes any free one.
    pub lake_addr: SocketAddr,
    /// Region in the ARNs of queues.
    pub region: String,
    /// Queues that exist from the start. A dead-letter queue stands before the queue that names it.
    pub queues: Vec<QueueSpec>,
    /// Channels that exist. None at all: every well-formed channel ARN is one.
    pub channels: Vec<ChannelSpec>,
    /// How many of the newest events can be listed from memory, up to 512 MiB of them. With `dir`, all can.
    pub retain_rows: usize,
    /// Whether `UID`s are counted, at about 20 bytes each.
    pub count_uids: bool,
    /// Most bytes of one put's body.
    pub put_bytes_max: usize,
    /// Most bytes of message bodies in all queues together; a send beyond is refused.
    pub queue_bytes_max: usize,
    /// How the lake misbehaves from the start.
    pub faults: Faults,
    /// Keeps both across restarts in this folder, which is made if absent.
    pub dir: Option<PathBuf>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            sqs_addr: SQS_ADDR,
            lake_addr: LAKE_ADDR,
            region: "us-east-1".to_owned(),
            queues: vec![
                QueueSpec { name: "events-dlq".to_owned(), dead_letter: None },
                QueueSpec { name: "events".to_owned(), dead_letter: Some(("events-dlq".to_owned(), 5)) },
            ],
            channels: Vec::new(),
            retain_rows: 100_000,
            count_uids: true,
            put_bytes_max: crate::limits::PUT_BYTES_MAX,
            queue_bytes_max: 4 << 30,
            faults: Faults::default(),
            dir: None,
        }
    }
}

/// A queue that exists from the start.
#[derive(Clone, Debug)]
pub struct QueueSpec {
    /// 1 to 80 letters, digits, `-` and `_`.
    pub name: String,
    /// Name of its dead-letter queue, and how often a message is received before it moves there.
    pub dead_letter: Option<(String, u32)>,
}

/// A channel that exists.
#[derive(Clone)]
pub struct ChannelSpec {
    /// `arn:aws:cloudtrail:<region>:<account>:channel/<id>`.
    pub arn: String,
    /// What the channel's policy asks for, if it asks.
    pub external_id: Option<String>,
}

impl std::fmt::Debug for ChannelSpec {
    /// Without the external ID, which is treated as a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelSpec").field("arn", &self.arn).finish_non_exhaustive()
    }
}

/// Why the local endpoints could not start.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The address is taken, or not ours.
    #[error("could not listen on {addr}; stop what listens there, or choose another address")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Not a channel's ARN.
    #[error("{0} is no channel ARN; the form is arn:aws:cloudtrail:REGION:ACCOUNT:channel/ID")]
    ChannelArn(String),
    /// An external ID that no request could carry.
    #[error("the external ID of {0} must be 2 to 1224 characters of letters, digits and _+=,.@:/-")]
    ExternalId(String),
    /// A queue that cannot be.
    #[error("could not make queue {name}: {problem}")]
    Queue {
        /// The queue.
        name: String,
        /// What SQS would say.
        problem: String,
    },
    /// A fault that cannot be.
    #[error(transparent)]
    Faults(#[from] FaultsError),
    /// The folder cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The running endpoints. Dropping it ends them at once; [`Local::stop`] lets requests finish.
pub struct Local {
    sqs_addr: SocketAddr,
    lake_addr: SocketAddr,
    lake: Arc<Lake>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

/// Starts both endpoints and makes the queues.
///
/// # Errors
/// An address in use, an option that makes no sense, or a folder that cannot be used; each names its cure.
pub async fn start(options: LocalOptions) -> Result<Local, LocalError> {
    let (sqs_listener, sqs_addr) = listen(options.sqs_addr).await?;
    let (lake_listener, lake_addr) = listen(options.lake_addr).await?;
    let disk = options.dir.as_deref().map(Disk::open).transpose()?.map(Arc::new);
    let lake = Arc::new(Lake::open(&options, disk.clone())?);
    let queues = Arc::new(Queues::open(&options, url(sqs_addr), disk)?);
    let stop = CancellationToken::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(serve::serve(sqs_listener, Arc::new(QueueEndpoint(queues)), stop.clone()));
    tasks.spawn(serve::serve(lake_listener, Arc::new(LakeEndpoint(Arc::clone(&lake))), stop.clone()));
    Ok(Local { sqs_addr, lake_addr, lake, stop, tasks })
}

async fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), LocalError> {
    let bound = async {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    };
    bound.await.map_err(|source| LocalError::Listen { addr, source })
}

/// The base URL of an endpoint, as a client on this machine reaches it.
fn url(addr: SocketAddr) -> String {
    let ip = if addr.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { addr.ip() };
    format!("http://{}", SocketAddr::new(ip, addr.port()))
}

impl Local {
    /// Endpoint URL for SQS clients, without a slash at the end.
    pub fn sqs_url(&self) -> String {
        url(self.sqs_addr)
    }

    /// Endpoint URL for `cloudtrail-data` clients and for [`LakeClient`], without a slash at the end.
    pub fn lake_url(&self) -> String {
        url(self.lake_addr)
    }

    /// URL of a queue, whether it exists or not.
    pub fn queue_url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.sqs_url())
    }

    /// The lake from inside this process.
    pub fn lake(&self) -> LakeHandle {
        LakeHandle(Arc::clone(&self.lake))
    }

    /// Lets requests under way finish (at most 5 seconds), then ends.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.ended().await;
    }

    /// Waits until both endpoints have ended, which they do when stopped or when one of their tasks panics: then
    /// the panic is raised here.
    pub async fn ended(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            joined(Some(ended));
        }
    }
}

/// Reads and steers the lake without HTTP.
#[derive(Clone)]
pub struct LakeHandle(Arc<Lake>);

impl LakeHandle {
    /// Counts, faults and limits.
    pub fn status(&self) -> LakeStatus {
        self.0.status()
    }

    /// Misbehaves like this from now on.
    ///
    /// # Errors
    /// A number that makes no sense.
    pub fn set_faults(&self, faults: Faults) -> Result<(), FaultsError> {
        faults.check()?;
        self.0.set_faults(faults);
        Ok(())
    }
}
