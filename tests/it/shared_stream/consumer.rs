//! One worker: the source under test, and a consumer that acks, gives back and dawdles at random.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fastrand::Rng;
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;
use tributary::{
    aws::Aws,
    config::StreamConfig,
    metrics::Metrics,
    receive::{Message, Source, kinesis::KinesisSource},
};

use super::log::{Log, Record};

/// Of a hundred messages, so many are given back.
const GIVEN_BACK: u8 = 5;
/// So many take their time.
const SLOW: u8 = 10;

pub(super) struct Consumer {
    name: String,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Consumer {
    pub(super) fn start(aws: &Aws, config: &StreamConfig, name: &str, log: Arc<Log>, rng: Rng) -> Self {
        let metrics = Metrics::new().expect("metrics");
        let source = Arc::new(KinesisSource::new(aws, config, name, metrics));
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let worker = Worker { source, log, name: name.to_owned(), rng: Mutex::new(rng) };
        tasks.spawn(Arc::new(worker).live(stop.clone()));
        Self { name: name.to_owned(), stop, tasks }
    }

    /// As `kill -9`: nothing is written any more. Its name.
    pub(super) fn kill(mut self) -> String {
        self.tasks.abort_all();
        self.name
    }

    /// As SIGTERM.
    pub(super) async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("it ended in good order");
        }
    }
}

struct Worker {
    source: Arc<KinesisSource>,
    log: Arc<Log>,
    name: String,
    rng: Mutex<Rng>,
}

impl Worker {
    async fn live(self: Arc<Self>, stop: CancellationToken) {
        tokio::select! {
            () = self.source.keep_alive() => unreachable!("runs until it is dropped"),
            () = self.clone().consume(stop) => {}
        }
        self.source.close().await;
    }

    async fn consume(self: Arc<Self>, stop: CancellationToken) {
        let mut open = JoinSet::new();
        while let Some(polled) = stop.run_until_cancelled(self.source.receive()).await {
            let Ok(messages) = polled else {
                sleep(Duration::from_millis(100)).await;
                continue;
            };
            let records: Vec<_> = messages.iter().map(record).collect();
            self.log.delivered(&records, &self.name);
            for (message, record) in messages.into_iter().zip(records) {
                open.spawn(self.clone().settle(message, record));
            }
            while open.try_join_next().is_some() {}
        }
        while open.join_next().await.is_some() {}
    }

    async fn settle(self: Arc<Self>, message: Message, record: Record) {
        let (dice, millis) = {
            let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
            (rng.u8(..100), rng.u64(..400))
        };
        let pause = Duration::from_millis(millis);
        if dice < GIVEN_BACK {
            self.source.give_back(&[(message.handle, pause)]).await;
            return;
        }
        if dice < GIVEN_BACK + SLOW {
            sleep(pause).await;
        }
        self.log.acked(record);
        self.source.ack(&[message.handle]).await;
    }
}

fn record(message: &Message) -> Record {
    let text = std::str::from_utf8(&message.body).expect("text");
    let (key, place) = text.split_once(' ').expect("two numbers");
    (key.parse().expect("a number"), place.parse().expect("a number"))
}
