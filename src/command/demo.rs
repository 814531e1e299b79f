//! `demo`: a queue, a lake, the service and a producer in one process, and an account of every event at the end.

mod account;
mod producer;
mod scrape;

use std::{sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use self::{account::Account, producer::Sent};
use super::{CommandError, Exit, run::Signals};
use crate::{
    aws::Aws,
    cli::DemoArgs,
    config::{Config, LedgerKind, LogConfig, LogFormat, process_environment},
    dedupe::connect,
    flow::Counts,
    local::{self, Local, LocalOptions},
    log,
    metrics::Metrics,
    output,
    service::{Drained, Service},
    tasks::joined,
};

/// Any account and channel will do: the local lake knows no other.
const CHANNEL_ARN: &str =
    "arn:aws:cloudtrail:us-east-1:111122223333:channel/01234567-89ab-cdef-0123-456789abcdef";
/// How often the progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The demo has failed when nothing moves for this long.
const STALLED_AFTER: Duration = Duration::from_mins(1);

/// Runs the demo.
///
/// # Errors
/// The local endpoints could not start, or the producer could not send.
pub async fn demo(args: DemoArgs) -> Result<Exit, CommandError> {
    log::start(&LogConfig { filter: "error".to_owned(), format: LogFormat::Text })
        .map_err(CommandError::Usage)?;
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let mut local = start_local(args.keep).await?;
    let (config, _) = Config::load(None, environment(&local))?;
    let aws = Aws::local(&local.sqs_url(), &local.lake_url());
    let crew = Crew::start(&args, &config, &aws).await?;

    let started = Instant::now();
    let producing = producer::send(&aws, config.source.address(), args.events, seed);
    let progress = progress_bar(&args);
    let sent = tokio::select! {
        sent = producing => sent.map_err(CommandError::failed)?,
        () = show_progress(&progress, || crew.counts().settled()) => {
            return Err(CommandError::Failed("nothing moved for a minute".into()));
        },
    };
    let expected = sent.deliveries();
    progress.set_length(expected);
    let is_complete = tokio::select! {
        () = wait_for(|| crew.counts().settled() >= expected) => true,
        () = show_progress(&progress, || crew.counts().settled()) => false,
    };
    let took = started.elapsed();
    progress.finish_and_clear();
    let metrics = crew.stop().await;

    let account = Account::new(&metrics, &local, &aws, &config, (sent, took, seed)).await;
    if args.json {
        output::print_json(&account)?;
    } else {
        output::print(&account)?;
    }
    if args.keep {
        keep(&mut local, &args).await?;
    }
    local.stop().await;
    Ok(if is_complete && account.is_balanced() { Exit::Done } else { Exit::Incomplete })
}

/// The workers, all on one queue and one ledger.
struct Crew {
    metrics: Vec<Arc<Metrics>>,
    stop: CancellationToken,
    workers: JoinSet<Drained>,
}

impl Crew {
    async fn start(args: &DemoArgs, config: &Config, aws: &Aws) -> Result<Self, CommandError> {
        // The ledger in memory is one for all of them here; another is found in the AWS SDK's own ways.
        let in_memory = match config.ledger.kind {
            LedgerKind::Memory => Some(connect::for_worker(config, aws, "demo")?),
            LedgerKind::DynamoDb { .. } | LedgerKind::Valkey(_) => None,
        };
        let outside = Aws::for_ledger(&config.ledger.kind).await;
        let mut crew = Self { metrics: Vec::new(), stop: CancellationToken::new(), workers: JoinSet::new() };
        for number in 1..=args.workers {
            let ledger = match &in_memory {
                Some(ledger) => ledger.clone(),
                None => connect::for_worker(config, &outside, &format!("demo-{number}"))?,
            };
            let service = Service::new(config, aws, ledger, "demo").map_err(CommandError::failed)?;
            crew.metrics.push(service.metrics.clone());
            let stop = crew.stop.clone();
            crew.workers.spawn(service.run(async move { stop.cancelled().await }, std::future::pending()));
        }
        Ok(crew)
    }

    fn counts(&self) -> Counts {
        account::together(&self.metrics)
    }

    async fn stop(mut self) -> Vec<Arc<Metrics>> {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            joined(Some(ended));
        }
        self.metrics
    }
}

async fn start_local(keep: bool) -> Result<Local, CommandError> {
    let mut options = LocalOptions::default();
    if !keep {
        options.sqs_addr.set_port(0);
        options.lake_addr.set_port(0);
    }
    Ok(local::start(options).await?)
}

/// The configuration that a newcomer would write, in the form of a task's environment. The ledger alone is taken from
/// the real environment, so that the demo can be seen on a shared one.
fn environment(local: &Local) -> Vec<(String, String)> {
    let of_ledger = |(name, _): &(String, String)| name.starts_with("TRIBUTARY_LEDGER_");
    let pairs = [
        ("TRIBUTARY_SOURCE_QUEUE_URL", local.queue_url("events")),
        ("TRIBUTARY_SOURCE_WAIT", "1s".to_owned()),
        ("TRIBUTARY_DEAD_LETTER_QUEUE_URL", local.queue_url("events-dlq")),
        ("TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN", CHANNEL_ARN.to_owned()),
        // The quota of 100 is AWS's; the local lake has none.
        ("TRIBUTARY_DESTINATIONS_LAKE_REQUESTS_PER_SECOND", "1000".to_owned()),
    ];
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value));
    pairs.into_iter().chain(process_environment().filter(of_ledger)).collect()
}

fn progress_bar(args: &DemoArgs) -> ProgressBar {
    if args.json {
        return ProgressBar::hidden();
    }
    let style = "{bar:40} {human_pos} of {human_len} events  {per_sec}  {elapsed}";
    let bar = ProgressBar::new(args.events);
    ProgressStyle::with_template(style).map(|style| bar.clone().with_style(style)).unwrap_or(bar)
}

async fn wait_for(is_there: impl Fn() -> bool) {
    while !is_there() {
        sleep(LOOK_EVERY / 10).await;
    }
}

/// Returns only when nothing has moved for too long.
async fn show_progress(bar: &ProgressBar, settled: impl Fn() -> u64) {
    let (mut last, mut moved_at) = (settled(), Instant::now());
    while moved_at.elapsed() < STALLED_AFTER {
        sleep(LOOK_EVERY).await;
        let now = settled();
        if now != last {
            (last, moved_at) = (now, Instant::now());
        }
        bar.set_position(now);
    }
}

async fn keep(local: &mut Local, args: &DemoArgs) -> Result<(), CommandError> {
    let mut signals = Signals::new().map_err(CommandError::failed)?;
    if !args.json {
        output::print(format_args!(
            "\nThe queue ({}) and the lake ({}) stay until Ctrl-C. In another terminal:\n  tributary lake count\n  \
             tributary lake list --limit 3",
            local.sqs_url(),
            local.lake_url()
        ))?;
    }
    tokio::select! {
        () = signals.next() => {}
        () = local.ended() => {}
    }
    Ok(())
}

/// What the producer knows that must come out.
impl Sent {
    fn deliveries(&self) -> u64 {
        self.unique + self.duplicates + self.invalid.values().sum::<u64>()
    }
}
