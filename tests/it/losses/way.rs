//! The whole way: a worker of its own between a queue that we did not write and a lake that misbehaves as told. In:
//! events. Out: whether each is in the lake exactly once, or a letter.

use std::collections::BTreeSet;

use aws_sdk_sqs::types::MessageSystemAttributeName;
use serde_json::Value;
use tributary::local::{Faults, LakeStatus};

use crate::{
    checks::scalars,
    process::{Endpoints, Scrape, Worker, send},
    support::{
        program,
        queues::{Kind, QueueServer},
    },
};

pub(super) struct Way {
    lake: Endpoints,
    queues: QueueServer,
    pub(super) queue_url: String,
    letters_url: String,
    more: Vec<(String, String)>,
    pub(super) worker: Worker,
}

/// A dead letter.
#[derive(Debug)]
pub(super) struct Letter {
    pub(super) reason: String,
    pub(super) original: Value,
}

/// Fails the entry at this place once, and no other of the first two dozen.
pub(super) fn failing_once(at: usize, code: &str) -> Faults {
    let share = 0.1;
    let fails_there_alone = |seed: &u64| {
        let mut rng = fastrand::Rng::with_seed(*seed);
        (0..24).all(|draw| (rng.f64() < share) == (draw == at))
    };
    let seed = (0..100_000).find(fails_there_alone);
    assert!(seed.is_some(), "no seed draws so");
    Faults { seed, fail_share: share, fail_code: code.to_owned(), ..Faults::default() }
}

/// Each event as a message of its own.
pub(super) fn one_by_one(events: &[Value]) -> Vec<String> {
    events.iter().map(Value::to_string).collect()
}

/// All events as one message.
pub(super) fn in_one(events: &[Value]) -> Vec<String> {
    vec![Value::from(events).to_string()]
}

impl Way {
    pub(super) async fn begin(faults: Faults, more: &[(&str, &str)]) -> Self {
        let (lake, queues) = tokio::join!(Endpoints::misbehaving(faults), QueueServer::start(Kind::Fauxqs));
        let (queue_url, letters_url) = tokio::join!(queues.queue(&[]), queues.queue(&[]));
        let queue = [
            ("AWS_ENDPOINT_URL_SQS", &*queues.url()),
            ("TRIBUTARY_SOURCE_QUEUE_URL", &queue_url),
            ("TRIBUTARY_DEAD_LETTER_QUEUE_URL", &letters_url),
        ];
        let more = lake.environment(&[&queue[..], more].concat());
        let worker = Worker::start(&more).await;
        Self { lake, queues, queue_url, letters_url, more, worker }
    }

    /// Stops the worker and starts another in its place.
    pub(super) async fn restart(self) -> Self {
        let Self { lake, queues, queue_url, letters_url, more, worker } = self;
        worker.stop().await;
        let worker = Worker::start(&more).await;
        Self { lake, queues, queue_url, letters_url, more, worker }
    }

    pub(super) fn misbehave(&self, faults: Faults) {
        self.lake.misbehave(faults);
    }

    pub(super) fn client(&self) -> aws_sdk_sqs::Client {
        self.queues.client()
    }

    /// Sends each body as one message.
    pub(super) async fn send(&self, bodies: &[String]) {
        send(&self.queues.client(), &self.queue_url, bodies).await;
    }

    /// Sends what is in a file, a few events in each message.
    pub(super) async fn enqueue(&self, file: &str) {
        let more: Vec<_> = self.more.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let arguments = ["enqueue", file, "--queue-url", &self.queue_url, "--events-per-message", "7"];
        let ran = program::run(&arguments, &more).await;
        assert_eq!(ran.code, 0, "{}", ran.err);
    }

    /// Sends, and waits until everything is settled.
    pub(super) async fn carry(&self, bodies: &[String]) {
        self.send(bodies).await;
        self.until_settled().await;
    }

    pub(super) async fn until_settled(&self) {
        let is_settled = async |worker: &Worker| {
            let is_empty = self.queues.count(&self.queue_url).await == 0;
            (is_empty && worker.scrape().await.in_flight() == 0).then_some(())
        };
        self.worker.until("the queue is empty and nothing is in flight", is_settled).await;
    }

    pub(super) fn status(&self) -> LakeStatus {
        self.lake.local.lake().status()
    }

    /// Waits until so many puts have ended so.
    pub(super) async fn until_put(&self, outcome: &str, times: u64) {
        self.worker
            .until(&format!("{times} puts ended as {outcome}"), async |_: &Worker| {
                (self.status().puts.get(outcome).copied().unwrap_or_default() >= times).then_some(())
            })
            .await;
    }

    pub(super) async fn scrape(&self) -> Scrape {
        self.worker.scrape().await
    }

    /// What is in the lake, whatever its `UID`.
    pub(super) async fn rows(&self) -> Vec<Value> {
        self.lake.rows().await.into_values().flatten().collect()
    }

    /// Each of these is in the lake with all that it says, once; nothing else is; no two share a `UID`.
    pub(super) async fn assert_each_once(&self, events: &[Value]) {
        self.assert_each_in_one_row(events).await;
        assert_eq!(self.status().distinct_uids, Some(events.len() as u64));
    }

    /// As [`Self::assert_each_once`], whatever the `UID`s.
    pub(super) async fn assert_each_in_one_row(&self, events: &[Value]) {
        let rows: Vec<_> = self.rows().await.iter().map(said).collect();
        for event in events {
            let said: Vec<_> = values(event).into_iter().filter(|value| says_something(value)).collect();
            let holding = rows.iter().filter(|row| said.iter().all(|value| row.contains(value))).count();
            assert_eq!(holding, 1, "rows that hold {:.300}", event.to_string());
        }
        assert_eq!(rows.len(), events.len(), "nobody sent these");
        assert_eq!(self.status().stored, events.len() as u64);
    }

    /// Everything comes a second time, perhaps packed otherwise, and nothing is added.
    pub(super) async fn assert_again_adds_nothing(&self, bodies: &[String], events: u64) {
        let (stored, before) = (self.status().stored, self.scrape().await);
        let letters = self.queues.count(&self.letters_url).await;
        self.carry(bodies).await;
        assert_eq!(self.status().stored, stored, "rows in the lake");
        assert_eq!(self.queues.count(&self.letters_url).await, letters, "letters");
        let after = self.scrape().await;
        after.assert_at_rest();
        assert_eq!(after.term("duplicate") - before.term("duplicate"), events);
    }

    pub(super) async fn assert_no_letters(&self) {
        assert_eq!(self.queues.count(&self.letters_url).await, 0);
    }

    /// All letters; hides them for a while.
    pub(super) async fn letters(&self) -> Vec<Letter> {
        let (count, mut letters) = (self.queues.count(&self.letters_url).await, Vec::new());
        while letters.len() < count {
            let call = self.queues.client().receive_message().queue_url(&self.letters_url);
            let call = call.message_system_attribute_names(MessageSystemAttributeName::All);
            let answer = call.max_number_of_messages(10).message_attribute_names("All").send().await;
            let messages = answer.expect("the queue answers").messages.unwrap_or_default();
            assert!(!messages.is_empty(), "the queue hides letters");
            letters.extend(messages.into_iter().map(|message| {
                let attributes = message.message_attributes.unwrap_or_default();
                let reason = attributes["tributary.reason"].string_value().expect("a reason").to_owned();
                let original = message.body.expect("the original");
                Letter { reason, original: serde_json::from_str(&original).expect("JSON") }
            }));
        }
        letters
    }

    /// The worker ends well, and no payload is in what it logged.
    pub(super) async fn end(self) {
        let ended = self.worker.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.log);
    }
}

/// The scalars of an event.
fn values(event: &Value) -> Vec<String> {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    scalars(event, &mut keys, &mut values);
    values
}

/// The scalars of a row and its keys: a list of keys and values becomes an object.
fn said(row: &Value) -> BTreeSet<String> {
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    scalars(row, &mut keys, &mut values);
    keys.into_iter().chain(values).collect()
}

fn says_something(value: &str) -> bool {
    !matches!(value, "null" | "\"\"")
}
