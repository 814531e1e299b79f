//! The local queue and lake of one test: fed, looked into, and made to misbehave.

use std::collections::BTreeMap;

use aws_sdk_sqs::{
    Client,
    types::{QueueAttributeName as Attribute, SendMessageBatchRequestEntry},
};
use serde_json::Value;
use tributary::local::{EventQuery, Faults, LakeClient, Local, LocalOptions, Order};

use super::{records::Event, worker::Worker};
use crate::{
    checks::lost,
    support::local::{CHANNEL, options, sqs_client, start},
};

/// Of the source queue, unless a test says otherwise.
pub(crate) const QUEUE: &str = "events";
pub(crate) const DEAD_LETTERS: &str = "events-dlq";

pub(crate) struct Endpoints {
    pub(crate) local: Local,
    pub(crate) sqs: Client,
    lake: LakeClient,
}

/// What a queue says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Depth {
    pub(crate) visible: u64,
    pub(crate) hidden: u64,
}

impl Depth {
    pub(crate) const EMPTY: Self = Self { visible: 0, hidden: 0 };
}

impl Endpoints {
    pub(crate) async fn start() -> Self {
        Self::with(options()).await
    }

    pub(crate) async fn misbehaving(faults: Faults) -> Self {
        Self::with(LocalOptions { faults, ..options() }).await
    }

    pub(crate) async fn with(options: LocalOptions) -> Self {
        let local = start(options).await;
        let (sqs, lake) = (sqs_client(&local), LakeClient::new(&local.lake_url()).expect("a lake's URL"));
        Self { local, sqs, lake }
    }

    /// What points the service here, with `more` on top.
    pub(crate) fn environment(&self, more: &[(&str, &str)]) -> Vec<(String, String)> {
        environment(&self.local.sqs_url(), &self.local.lake_url(), more)
    }

    pub(crate) async fn worker(&self, more: &[(&str, &str)]) -> Worker {
        Worker::start(&self.environment(more)).await
    }

    pub(crate) fn misbehave(&self, faults: Faults) {
        self.local.lake().set_faults(faults).expect("faults that make sense");
    }

    /// Sends each body as one message.
    pub(crate) async fn send(&self, bodies: &[String]) {
        send(&self.sqs, &self.local.queue_url(QUEUE), bodies).await;
    }

    pub(crate) async fn depth(&self, queue: &str) -> Depth {
        let answer = self
            .sqs
            .get_queue_attributes()
            .queue_url(self.local.queue_url(queue))
            .attribute_names(Attribute::All)
            .send()
            .await
            .expect("the queue answers");
        let attributes = answer.attributes.unwrap_or_default();
        let of = |name: &Attribute| attributes[name].parse().expect("a number");
        Depth {
            visible: of(&Attribute::ApproximateNumberOfMessages),
            hidden: of(&Attribute::ApproximateNumberOfMessagesNotVisible),
        }
    }

    /// Waits until nothing is left on the queue and the worker is done with it.
    pub(crate) async fn until_drained(&self, worker: &Worker) {
        worker
            .until("the queue is empty", async |_: &Worker| {
                (self.depth(QUEUE).await == Depth::EMPTY).then_some(())
            })
            .await;
        worker
            .until("nothing is in flight", async |worker: &Worker| {
                (worker.scrape().await.in_flight() == 0).then_some(())
            })
            .await;
    }

    /// Waits until the lake holds at least so many rows.
    pub(crate) async fn until_stored(&self, worker: &Worker, rows: u64) {
        worker
            .until(&format!("{rows} rows are in the lake"), async |_: &Worker| {
                (self.stored() >= rows).then_some(())
            })
            .await;
    }

    pub(crate) fn stored(&self) -> u64 {
        self.local.lake().status().stored
    }

    /// Every row's event data, by its `UID`.
    pub(crate) async fn rows(&self) -> BTreeMap<String, Vec<Value>> {
        let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let mut query = EventQuery { limit: Some(1_000), order: Order::Oldest, ..EventQuery::default() };
        loop {
            let page = self.lake.events(&query).await.expect("the lake answers");
            for event in page.events {
                let row: Value = serde_json::from_str(event.event_data.get()).expect("JSON");
                rows.entry(row["UID"].as_str().expect("a UID").to_owned()).or_default().push(row);
            }
            query.after = page.next;
            if query.after.is_none() {
                return rows;
            }
        }
    }

    /// The `UID`s of all rows after the first `seen`, and how many rows there are now.
    pub(crate) async fn uids_after(&self, seen: u64) -> (u64, Vec<String>) {
        let mut query = EventQuery {
            limit: Some(1_000),
            order: Order::Oldest,
            after: seen.checked_sub(1),
            ..EventQuery::default()
        };
        let mut uids = Vec::new();
        loop {
            let page = self.lake.events(&query).await.expect("the lake answers");
            for event in page.events {
                let row: Value = serde_json::from_str(event.event_data.get()).expect("JSON");
                uids.push(row["UID"].as_str().expect("a UID").to_owned());
            }
            query.after = page.next;
            if query.after.is_none() {
                return (seen + uids.len() as u64, uids);
            }
        }
    }

    /// Every event is in the lake with all its values, and nothing else is. Returns how many rows there are beyond
    /// the first of each event.
    pub(crate) async fn assert_all_stored(&self, events: &[Event]) -> u64 {
        let mut rows = self.rows().await;
        let mut twice = 0;
        for event in events {
            let copies = rows.remove(&event.uid);
            let copies = copies.unwrap_or_else(|| panic!("{} is not in the lake", event.uid));
            twice += copies.len() as u64 - 1;
            for copy in copies {
                assert_eq!(lost(&event.value, &copy), Vec::<String>::new(), "{}", event.uid);
            }
        }
        assert_eq!(rows.into_keys().collect::<Vec<_>>(), Vec::<String>::new(), "nobody sent these");
        twice
    }

    pub(crate) async fn assert_no_dead_letters(&self) {
        assert_eq!(self.depth(DEAD_LETTERS).await, Depth::EMPTY);
    }
}

/// What points the service at endpoints.
pub(crate) fn environment(sqs_url: &str, lake_url: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let queue = |name: &str| format!("{sqs_url}/{}/{name}", tributary::local::ACCOUNT);
    let ours = [
        ("AWS_ENDPOINT_URL_SQS", sqs_url.to_owned()),
        ("AWS_ENDPOINT_URL_CLOUDTRAIL_DATA", lake_url.to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "test".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ("TRIBUTARY_SOURCE_QUEUE_URL", queue(QUEUE)),
        ("TRIBUTARY_DEAD_LETTER_QUEUE_URL", queue(DEAD_LETTERS)),
        ("TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN", CHANNEL.to_owned()),
    ];
    let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
    ours.into_iter().chain(more).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Sends each body as one message.
pub(crate) async fn send(sqs: &Client, queue_url: &str, bodies: &[String]) {
    for ten in bodies.chunks(10) {
        let entries = ten.iter().enumerate().map(|(at, body)| {
            let entry = SendMessageBatchRequestEntry::builder().id(at.to_string()).message_body(body);
            entry.build().expect("an id and a body")
        });
        let call = sqs.send_message_batch().queue_url(queue_url).set_entries(Some(entries.collect()));
        let answer = call.send().await.expect("the queue answers");
        assert!(answer.failed.is_empty(), "{:?}", answer.failed);
    }
}

/// A port of this machine on which nobody listens.
pub(crate) fn closed_port() -> std::net::SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address")
}
