//! Where a command sends to: a queue or a stream, chosen from arguments, configuration and environment. What is the
//! service's own is in [`queue`] and [`stream`]; whoever sends knows neither.

use std::fmt;

use uuid::Uuid;

use super::{
    pack::{Limits, Message},
    queue::{self, Queue},
    stream::{self, Stream},
};
use crate::{
    aws::{Failure, kinesis, sqs},
    cli::EnqueueArgs,
    command::CommandError,
    config::{RawConfig, keys, process_environment},
};

/// Where messages go.
#[derive(Clone)]
pub(crate) enum Target {
    /// SQS.
    Queue(Queue),
    /// Kinesis.
    Stream(Stream),
}

/// A message on its way.
pub(crate) struct Entry {
    pub(crate) message: Message,
    /// The same at each try, so that a FIFO queue stores it once.
    pub(crate) id: Uuid,
}

/// What is said of a message that was not taken.
pub(crate) struct NotTaken {
    pub(crate) code: String,
    /// It would be said again: the message is at fault.
    pub(crate) is_final: bool,
}

impl NotTaken {
    /// An answer that says nothing of a message: it is taken for not sent.
    pub(crate) fn unmentioned() -> Self {
        Self { code: "unmentioned".to_owned(), is_final: false }
    }
}

impl Target {
    /// The target of `enqueue`: what the arguments name, or else what the service receives from.
    ///
    /// # Errors
    /// Nothing valid is named, or an argument belongs to the other kind.
    pub(super) async fn of(args: &EnqueueArgs) -> Result<Self, CommandError> {
        let raw = || RawConfig::read(args.file.config.as_deref(), process_environment());
        let (queue, stream) = match (&args.queue_url, &args.stream) {
            (None, None) => {
                let raw = raw();
                (raw.get(&keys::SOURCE_QUEUE_URL), raw.get(&keys::STREAM_ARN).map(|stream| stream.arn))
            }
            (queue, stream) => (queue.clone(), stream.clone()),
        };
        let usage = |text: &str| Err(CommandError::Usage(text.to_owned()));
        match (queue, stream) {
            (Some(_), None) if args.partition_key.is_some() => {
                usage("--partition-key is for a stream; a queue has --group")
            }
            (None, Some(_)) if args.events_per_message > 1 => {
                usage("--events-per-message is for a queue; a record of a stream carries one event")
            }
            (Some(queue), None) => {
                let url = queue::url(Some(&queue), &args.file)?;
                Ok(Self::Queue(queue::target(url, &args.group).await))
            }
            (None, Some(named)) => {
                Ok(Self::Stream(stream::target(&named, args.partition_key.clone()).await?))
            }
            (Some(_), Some(_)) => usage(
                "the configuration names a queue and a stream; give --queue-url URL or --stream NAME, or write one \
                 of the two",
            ),
            (None, None) => usage(
                "no valid queue or stream is named; give --queue-url URL, --stream NAME, --config FILE, \
                 TRIBUTARY_SOURCE_QUEUE_URL or TRIBUTARY_STREAM_ARN",
            ),
        }
    }

    /// What it carries.
    pub(super) fn limits(&self, events_per_message: u32) -> Limits {
        match self {
            Self::Queue(_) => Limits::of_queue(events_per_message),
            Self::Stream(stream) => Limits::of_stream(stream.key_bytes()),
        }
    }

    /// Messages keep their order, if one call is in flight and no more.
    pub(crate) fn keeps_order(&self) -> bool {
        matches!(self, Self::Queue(Queue { group: Some(_), .. }))
    }

    /// Sends; one result for each message, in the same order.
    pub(super) async fn call(&self, entries: &[Entry]) -> Result<Vec<Result<(), NotTaken>>, Failure> {
        match self {
            Self::Queue(queue) => queue.call(entries).await,
            Self::Stream(stream) => stream.call(entries).await,
        }
    }

    /// Whether a code says that no call will succeed before an operator has cured something.
    pub(super) fn is_ours(&self, code: &str) -> bool {
        match self {
            Self::Queue(_) => sqs::is_ours(code),
            Self::Stream(_) => kinesis::is_ours(code),
        }
    }

    /// Whether a code says that this message can never be sent, whoever sends it and when. Only then may it be passed
    /// over: what is said of a key, a permission or a proxy holds for every message, and may be cured.
    pub(super) fn is_of_the_message(&self, code: &str) -> bool {
        match self {
            Self::Queue(_) => queue::is_of_the_message(code),
            Self::Stream(_) => stream::is_of_the_message(code),
        }
    }

    /// A failure of its calls, with what cures it.
    pub(crate) fn trouble(&self, failure: Failure) -> String {
        let trouble = match self {
            Self::Queue(queue) => queue.trouble(failure),
            Self::Stream(stream) => stream.trouble(failure),
        };
        trouble.to_string()
    }
}

/// The queue by its URL, the stream by its ARN or name.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(queue) => write!(f, "queue {}", queue.url),
            Self::Stream(stream) => write!(f, "stream {}", stream.address()),
        }
    }
}
