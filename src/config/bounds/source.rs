//! Bounds between the keys that say where events come from: one queue or one stream, with all that it needs and
//! nothing that belongs to the other.

use std::time::Duration;

use super::missing;
use crate::config::{
    Finding, RawConfig,
    arn::stream_of_consumer,
    keys::{self, AnyKey, environment_name},
    queue_url::is_fifo,
};

/// Keys that a queue alone has a use for.
static OF_QUEUES: [&dyn AnyKey; 4] =
    [&keys::SOURCE_QUEUE_URL, &keys::SOURCE_WAIT, &keys::SOURCE_VISIBILITY, &keys::SOURCE_FORMAT_ATTRIBUTE];
/// Keys that a stream alone has a use for.
static OF_STREAMS: [&dyn AnyKey; 7] = [
    &keys::STREAM_ARN,
    &keys::STREAM_LEASE_TABLE,
    &keys::STREAM_START,
    &keys::STREAM_FAILOVER_TIME,
    &keys::STREAM_CALLS_PER_SECOND,
    &keys::STREAM_CONSUMER_ARN,
    &keys::STREAM_FOREIGN_RECORDS,
];

/// What the operator named, whether its value is right or not.
enum Named {
    Neither,
    Queue,
    Stream,
    Both,
}

fn named(raw: &RawConfig) -> Named {
    match (raw.written(keys::SOURCE_QUEUE_URL.path), raw.written(keys::STREAM_ARN.path)) {
        (None, None) => Named::Neither,
        (Some(_), None) => Named::Queue,
        (None, Some(_)) => Named::Stream,
        (Some(_), Some(_)) => Named::Both,
    }
}

/// How long a message stays hidden, where events come from a queue: records of a stream are never hidden.
pub(super) fn visibility(raw: &RawConfig) -> Option<Duration> {
    raw.get(&keys::SOURCE_VISIBILITY).filter(|_| !matches!(named(raw), Named::Stream))
}

/// Whether the key of this path means anything for what events come from.
pub(in crate::config) fn has_use(raw: &RawConfig, path: &str) -> bool {
    let is_in = |keys: &[&dyn AnyKey]| keys.iter().any(|key| key.path() == path);
    match named(raw) {
        Named::Neither | Named::Both => true,
        Named::Queue => !is_in(&OF_STREAMS),
        Named::Stream => !is_in(&OF_QUEUES),
    }
}

pub(super) fn problems(raw: &RawConfig) -> Vec<Finding> {
    match named(raw) {
        Named::Neither => vec![none_named()],
        Named::Both => vec![two_named(raw)],
        Named::Queue => {
            let why = "events come from the queue of source.queue_url";
            unused(raw, &OF_STREAMS, why, "remove it, or write stream.arn in place of source.queue_url")
                .chain(queues(raw))
                .collect()
        }
        Named::Stream => {
            let why = "events come from the stream of stream.arn";
            unused(raw, &OF_QUEUES, why, "remove it, or write source.queue_url in place of stream.arn")
                .chain(no_lease_table(raw))
                .chain(shared_table(raw))
                .chain(foreign_consumer(raw))
                .chain(fifo_letters(raw))
                .collect()
        }
    }
}

/// What works for a stream, and probably is not what was meant.
pub(super) fn warnings(raw: &RawConfig) -> Vec<Finding> {
    match named(raw) {
        Named::Stream => forgetful(raw).into_iter().chain(held_up(raw)).collect(),
        _ => Vec::new(),
    }
}

fn forgetful(raw: &RawConfig) -> Option<Finding> {
    let is_in_memory = raw.get(&keys::LEDGER_KIND)? == keys::Ledger::Memory;
    is_in_memory.then(|| {
        Finding::about(
            raw,
            keys::LEDGER_KIND.path,
            "is \"memory\", and events come from a stream: what follows the last checkpoint is read again when a \
             worker dies or another takes its shard, and then it is published twice",
            "write ledger.kind = \"dynamodb\" or \"valkey\", which all workers share",
        )
    })
}

/// A queue moves away what comes again and again; a stream cannot.
fn held_up(raw: &RawConfig) -> Option<Finding> {
    let key = &keys::DEAD_LETTER_OVERFLOW;
    raw.written(key.path).is_none().then(|| Finding {
        key: key.path.to_owned(),
        origin: None,
        what:
            "is not given, and events come from a stream, whose records may have 10 MiB: one that has to be \
               dead-lettered and fits no message, even packed, would hold up its shard"
                .into(),
        cure: format!("write a bucket or a folder for such events, or set {}", environment_name(key.path)),
    })
}

fn none_named() -> Finding {
    let (queue, stream) = (&keys::SOURCE_QUEUE_URL, &keys::STREAM_ARN);
    Finding {
        key: queue.path.to_owned(),
        origin: None,
        what: format!("is not given, and neither is {}: there is nothing to receive from", stream.path),
        cure: format!(
            "write one of the two, such as {} = \"{}\", or set {} or {}",
            queue.path,
            queue.absent.example(),
            environment_name(queue.path),
            environment_name(stream.path)
        ),
    }
}

fn two_named(raw: &RawConfig) -> Finding {
    let (queue, stream) = (keys::SOURCE_QUEUE_URL.path, keys::STREAM_ARN.path);
    Finding::about(
        raw,
        stream,
        format!("is given, and so is {queue} ({}): a worker receives from one of the two", raw.origin(queue)),
        format!(
            "remove one of them ({} or {} in the environment); for both run two services, which may share ledger and \
             destinations",
            environment_name(stream),
            environment_name(queue)
        ),
    )
}

fn unused<'a>(
    raw: &'a RawConfig,
    keys: &'static [&'static dyn AnyKey],
    why: &'a str,
    cure: &'a str,
) -> impl Iterator<Item = Finding> + 'a {
    let written = keys.iter().filter(|key| raw.written(key.path()).is_some());
    written.map(move |key| Finding::about(raw, key.path(), format!("is not used: {why}"), cure))
}

fn queues(raw: &RawConfig) -> Option<Finding> {
    let (source, dead) = (raw.get(&keys::SOURCE_QUEUE_URL)?, raw.get(&keys::DEAD_LETTER_QUEUE_URL)?);
    let path = keys::DEAD_LETTER_QUEUE_URL.path;
    if source == dead {
        return Some(Finding::about(
            raw,
            path,
            "is the source queue: dead letters would be read again for ever",
            "write the URL of another queue",
        ));
    }
    match (is_fifo(&source), is_fifo(&dead)) {
        (true, false) => Some(Finding::about(
            raw,
            path,
            "is a standard queue, and the source is a FIFO queue: dead letters would lose their order",
            "write the URL of a FIFO queue, its name ends in .fifo",
        )),
        (false, true) => Some(Finding::about(
            raw,
            path,
            "is a FIFO queue, and the source is a standard queue: it cannot be the source's redrive target",
            "write the URL of a standard queue",
        )),
        _ => None,
    }
}

fn no_lease_table(raw: &RawConfig) -> Option<Finding> {
    let key = &keys::STREAM_LEASE_TABLE;
    raw.written(key.path)
        .is_none()
        .then(|| missing(key, "the workers share the stream out among themselves there"))
}

/// Their keys are called differently, so no table can be both.
fn shared_table(raw: &RawConfig) -> Option<Finding> {
    let is_dynamodb = raw.get(&keys::LEDGER_KIND)? == keys::Ledger::DynamoDb;
    let (leases, ledger) = (raw.get(&keys::STREAM_LEASE_TABLE)?, raw.get(&keys::LEDGER_TABLE)?);
    (is_dynamodb && leases == ledger).then(|| {
        Finding::about(
            raw,
            keys::STREAM_LEASE_TABLE.path,
            "is ledger.table too: leases and claims have different keys",
            "write the name of another table",
        )
    })
}

fn foreign_consumer(raw: &RawConfig) -> Option<Finding> {
    let (stream, consumer) = (raw.get(&keys::STREAM_ARN)?, raw.get(&keys::STREAM_CONSUMER_ARN)?);
    (stream_of_consumer(&consumer)? != stream).then(|| {
        Finding::about(
            raw,
            keys::STREAM_CONSUMER_ARN.path,
            "is a consumer of another stream than stream.arn",
            format!("register one with: aws kinesis register-stream-consumer --stream-arn {}", stream.arn),
        )
    })
}

fn fifo_letters(raw: &RawConfig) -> Option<Finding> {
    let dead = raw.get(&keys::DEAD_LETTER_QUEUE_URL)?;
    is_fifo(&dead).then(|| {
        Finding::about(
            raw,
            keys::DEAD_LETTER_QUEUE_URL.path,
            "is a FIFO queue, and the records of a stream have no message group that it could order them by",
            "write the URL of a standard queue",
        )
    })
}
