//! What every source promises, on every server: our own queue, fauxqs and ministack for SQS; ferrokinesis and
//! kinesis-local, with leases on dynoxide, for Kinesis.

use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use tokio::{
    task::JoinSet,
    time::{Instant, timeout},
};
use tributary::{
    failure::CallError,
    metrics::Metrics,
    receive::{Handle, Message, Source},
};

use super::{
    kinesis::{StreamPlace, Way},
    sqs::QueuePlace,
};
use crate::support::{kinesis, queues};

/// Longest wait for anything that has to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// A queue or a stream that nobody else uses.
#[async_trait]
pub(super) trait Place: fmt::Display + Send + Sync {
    /// Sends these bodies in this order; the names that their messages will have.
    async fn send(&self, bodies: &[Vec<u8>]) -> Vec<String>;
    /// A worker of its own that receives from here.
    fn source(&self) -> Arc<dyn Source>;
    /// Workers that are to receive where there is nothing.
    fn misled(&self) -> Vec<Misled>;
    /// A worker whose servers are at a URL where nobody listens.
    fn stranded(&self, url: &str) -> Arc<dyn Source>;
    /// The largest bodies, and a text for them to be made of.
    fn limit(&self) -> (Vec<usize>, String);
    /// How many messages are still there, settled by nobody, where the server counts them.
    async fn left(&self) -> Option<usize>;
}

/// A worker that is to receive where there is nothing, and what its complaint has to name.
pub(super) struct Misled {
    pub(super) source: Arc<dyn Source>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) named: String,
}

/// A source, kept alive beside what a test does with it.
pub(super) struct Worker {
    pub(super) source: Arc<dyn Source>,
    keeping: JoinSet<()>,
    place: String,
}

impl Worker {
    /// Begins to work.
    pub(super) fn at(place: &(impl Place + ?Sized)) -> Self {
        Self::with(place.source(), place)
    }

    /// Begins to work with this source.
    pub(super) fn with(source: Arc<dyn Source>, place: &(impl fmt::Display + ?Sized)) -> Self {
        let mut keeping = JoinSet::new();
        let kept = source.clone();
        keeping.spawn(async move { kept.keep_alive().await });
        Self { source, keeping, place: place.to_string() }
    }

    /// Receives until there are so many, and no more.
    pub(super) async fn receive(&self, count: usize) -> Vec<Message> {
        let mut received = Vec::new();
        let polls = async {
            while received.len() < count {
                let polled = self.source.receive().await;
                received.extend(polled.unwrap_or_else(|error| panic!("{}: {error}", self.place)));
            }
        };
        let in_time = timeout(PATIENCE, polls).await.is_ok();
        assert!(in_time, "{}: {} of {count} messages came", self.place, received.len());
        let bodies: Vec<_> = received.iter().map(|message| &message.body).collect();
        assert_eq!(received.len(), count, "{}: {bodies:?}", self.place);
        received
    }

    pub(super) async fn one(&self) -> Message {
        self.receive(1).await.pop().expect("one message")
    }

    /// Acks them, and each has to succeed.
    pub(super) async fn ack(&self, messages: &[Message]) {
        let handles: Vec<Handle> = messages.iter().map(|message| message.handle.clone()).collect();
        self.assert_all_ok(&self.source.ack(&handles).await, messages.len());
    }

    /// Gives them back, and each has to succeed.
    pub(super) async fn give_back(&self, messages: &[Message], delay: Duration) {
        let handles: Vec<_> = messages.iter().map(|message| (message.handle.clone(), delay)).collect();
        self.assert_all_ok(&self.source.give_back(&handles).await, messages.len());
    }

    fn assert_all_ok(&self, results: &[Result<(), CallError>], count: usize) {
        assert_eq!(results.len(), count, "{}: one result for each handle", self.place);
        let failed: Vec<_> = results.iter().filter(|result| result.is_err()).collect();
        assert!(failed.is_empty(), "{}: {failed:?}", self.place);
    }

    /// Stops working, as a process does that is told to.
    pub(super) async fn leave(mut self) {
        self.stall().await;
        self.source.close().await;
    }

    /// Keeps nothing alive any more, as a process does that hangs.
    pub(super) async fn stall(&mut self) {
        self.keeping.shutdown().await;
    }
}

pub(super) fn bodies(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8_lossy(&message.body).into_owned()).collect()
}

fn numbered(numbers: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    numbers.into_iter().map(|number| format!("message {number}").into_bytes()).collect()
}

async fn a_message_comes_with_all_that_was_sent(place: &dyn Place) {
    let worker = Worker::at(place);
    let about_now = SystemTime::now();
    let names = place.send(&[b"{\"a\": 1}".to_vec()]).await;
    let mut deliveries = BTreeSet::new();
    for attempt in 1..=3 {
        let message = worker.one().await;
        assert_eq!(message.body, "{\"a\": 1}", "{place}");
        assert_eq!([&*message.handle.message_id], names[..], "{place}: the same name at each delivery");
        assert_eq!(message.attempt, attempt, "{place}: attempts are counted");
        let sent_at = message.sent_at.unwrap_or(SystemTime::UNIX_EPOCH);
        let off_by = sent_at.duration_since(about_now).or_else(|_| about_now.duration_since(sent_at));
        assert!(off_by.is_ok_and(|off_by| off_by < PATIENCE), "{place}: sent at {sent_at:?}");
        assert!(!message.is_base64 && !message.is_redriven, "{place}: a plain message");
        assert_eq!(message.group, None, "{place}");
        assert!(message.deadline.at() > Instant::now(), "{place}: it is ours for a while");
        assert!(deliveries.insert(message.handle.delivery), "{place}: each delivery has a handle of its own");
        worker.give_back(&[message], Duration::ZERO).await;
    }
}

async fn given_back_it_comes_at_once_or_after_the_delay(place: &dyn Place) {
    let worker = Worker::at(place);
    place.send(&numbered([0])).await;
    let message = worker.one().await;
    let given_back_at = Instant::now();
    worker.give_back(&[message], Duration::ZERO).await;
    let message = worker.one().await;
    let after = given_back_at.elapsed();
    assert!(after < Duration::from_secs(2), "{place}: not at once, but after {after:?}");
    let delay = Duration::from_secs(2);
    let given_back_at = Instant::now();
    worker.give_back(&[message], delay).await;
    let again = worker.one().await;
    let after = given_back_at.elapsed();
    // A clock of whole milliseconds on the other side may round down.
    assert!(after + Duration::from_millis(50) > delay, "{place}: came again after {after:?}");
    assert_eq!(again.attempt, 3, "{place}");
}

async fn a_call_answers_for_each_handle(place: &dyn Place) {
    let worker = Worker::at(place);
    for count in [1, 10, 11, 205] {
        place.send(&numbered(0..count)).await;
        let received = worker.receive(count).await;
        let distinct: BTreeSet<_> = bodies(&received).into_iter().collect();
        assert_eq!(distinct.len(), count, "{place}: every message once");
        worker.give_back(&received, Duration::ZERO).await;
        let received = worker.receive(count).await;
        worker.ack(&received).await;
        let left = place.left().await;
        assert!(left.is_none_or(|left| left == 0), "{place}: {left:?} of {count} are left");
        worker.ack(&received).await;
    }
    worker.ack(&[]).await;
    worker.give_back(&[], Duration::ZERO).await;
}

async fn what_was_acked_never_comes_again_and_what_was_given_back_does(place: &dyn Place) {
    let worker = Worker::at(place);
    place.send(&numbered(0..20)).await;
    let mut received = worker.receive(20).await;
    received.sort_by_key(|message| bodies(std::slice::from_ref(message))[0][8..].parse::<usize>().ok());
    // Out of order, and the last ones not at all.
    received[..15].reverse();
    worker.ack(&received[..15]).await;
    worker.give_back(&received[15..], Duration::ZERO).await;
    worker.leave().await;
    let later = Worker::at(place);
    place.send(&numbered([20])).await;
    let again: BTreeSet<_> = bodies(&later.receive(6).await).into_iter().collect();
    let expected: BTreeSet<_> = (15..=20).map(|number| format!("message {number}")).collect();
    assert_eq!(again, expected, "{place}");
}

async fn where_there_is_nothing_it_is_our_mistake(place: &dyn Place) {
    for Misled { source, metrics, named } in place.misled() {
        let worker = Worker::with(source, place);
        let polled = timeout(PATIENCE, worker.source.receive()).await;
        let polled = polled.unwrap_or_else(|_| panic!("{place}: waits for {named}"));
        let Err(error) = polled else { panic!("{place}: received from {named}") };
        assert!(matches!(error, CallError::Misconfigured { .. }), "{place}: {error:?}");
        let text = error.to_string();
        assert!(
            text.contains(&named) && text.contains("Region"),
            "{place}: no {named} and no cure in: {text}"
        );
        let is_counted = metrics.render().contains("tributary_source_errors_total{");
        assert!(is_counted, "{place}: not counted");
    }
}

async fn a_server_that_is_not_there_is_the_moments_fault(place: &dyn Place) {
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let worker = Worker::with(place.stranded(&format!("http://127.0.0.1:{port}")), place);
    let polled = timeout(PATIENCE, worker.source.receive()).await;
    let polled = polled.unwrap_or_else(|_| panic!("{place}: waits"));
    let Err(error) = polled else { panic!("{place}: received from nowhere") };
    assert!(
        matches!(&error, CallError::Transient { code, .. } if code == "unreachable"),
        "{place}: {error:?}"
    );
}

async fn bodies_up_to_the_limit_arrive_whole(place: &dyn Place) {
    let worker = Worker::at(place);
    let (sizes, text) = place.limit();
    for bytes in sizes {
        let body = text.repeat(bytes / text.len()) + &"x".repeat(bytes % text.len());
        assert_eq!(body.len(), bytes);
        place.send(&[body.clone().into_bytes()]).await;
        let message = worker.one().await;
        assert!(message.body == body.as_bytes(), "{place}: a body of {bytes} bytes changed on its way");
        worker.ack(&[message]).await;
    }
}

macro_rules! promised {
    (@cases $place:expr => $($case:ident),+) => {
        $(
            #[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(&$place.await).await;
            }
        )+
    };
    ($($name:ident: $place:expr;)+) => {
        $(mod $name {
            use super::*;
            promised! { @cases $place =>
                a_message_comes_with_all_that_was_sent,
                given_back_it_comes_at_once_or_after_the_delay,
                a_call_answers_for_each_handle,
                what_was_acked_never_comes_again_and_what_was_given_back_does,
                where_there_is_nothing_it_is_our_mistake,
                a_server_that_is_not_there_is_the_moments_fault,
                bodies_up_to_the_limit_arrive_whole
            }
        })+
    };
}

promised! {
    local: QueuePlace::on(queues::Kind::Local);
    fauxqs: QueuePlace::on(queues::Kind::Fauxqs);
    ministack: QueuePlace::on(queues::Kind::Ministack);
    ferrokinesis: StreamPlace::on(kinesis::Kind::Ferrokinesis, Way::Polling);
    ferrokinesis_fan_out: StreamPlace::on(kinesis::Kind::Ferrokinesis, Way::FanOut);
    kinesis_local: StreamPlace::on(kinesis::Kind::KinesisLocal, Way::Polling);
}
