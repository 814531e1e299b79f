//! `run`: the service, from its configuration to its last settled message.

use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tracing::{error, info, warn};

use super::{CommandError, Exit};
use crate::{
    aws::Aws,
    cli::RunArgs,
    config::{Config, process_environment},
    dedupe::connect,
    health, log,
    service::{Drained, Service},
};

/// Runs until SIGTERM or Ctrl-C, then drains; a second one gives everything back at once.
pub async fn run(args: RunArgs) -> Result<Exit, CommandError> {
    let (config, warnings) = Config::load(args.file.config.as_deref(), process_environment())?;
    log::start(&config.log).map_err(CommandError::Usage)?;
    for warning in &warnings {
        warn!("{warning}");
    }

    let aws = Aws::from_environment().await;
    let worker = connect::worker_name(config.service.worker.as_deref());
    let ledger = connect::for_worker(&config, &aws, &worker)?;
    let service = Service::new(&config, &aws, ledger, &worker).map_err(CommandError::failed)?;
    let service = service.with_publish_log(&config, &aws, &worker);
    let listener = health::listen(config.service.listen).await.map_err(|source| {
        let addr = config.service.listen;
        CommandError::Usage(format!(
            "could not listen on {addr} ({source}); set service.listen to a free address"
        ))
    })?;
    // Port 0 takes any free port: the log says which.
    let listen = listener.local_addr().unwrap_or(config.service.listen);
    let (health, metrics) = (service.health(), service.metrics.clone());
    let mut side = JoinSet::new();
    side.spawn(async move {
        if let Err(error) = health::serve(listener, health).await {
            error!(%error, "the health endpoints ended");
        }
    });
    let destinations: Vec<_> =
        config.destinations.iter().map(|destination| destination.name.as_str()).collect();
    info!(
        version = env!("CARGO_PKG_VERSION"), source = config.source.address(), ?destinations,
        %listen, "started"
    );

    let mut signals = Signals::new().map_err(CommandError::failed)?;
    let mut more_signals = Signals::new().map_err(CommandError::failed)?;
    let hurry = async {
        more_signals.next().await;
        more_signals.next().await;
    };
    let drained = service.run(signals.next(), hurry).await;
    let counts = metrics.counts();
    info!(
        received = counts.received,
        published = counts.published,
        duplicate = counts.duplicate,
        dead_lettered = counts.dead_lettered,
        returned = counts.returned,
        in_flight = counts.in_flight,
        "stopped: {drained}"
    );
    Ok(if drained == Drained::NotInTime { Exit::Failed } else { Exit::Done })
}

/// SIGTERM and Ctrl-C.
pub(super) struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next of either.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
