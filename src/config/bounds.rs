//! Bounds that hold between values. In: what was written. Out: problems, and warnings for what works but was
//! probably not meant. A value that is wrong by itself takes no part: it has its own finding.

mod source;

use std::{collections::BTreeMap, time::Duration};

pub(super) use source::has_use;

use crate::{
    config::{
        Finding, RawConfig, Storage,
        keys::{self, AnyKey, environment_name, named},
        kinds::written,
    },
    limits,
    receive::objects::OBJECT_BYTES,
};

/// `stopTimeout` on Fargate: after that the task is killed.
/// <https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html>
const FARGATE_STOP_MAX: Duration = Duration::from_mins(2);

/// An outage of one destination that is noticed and cured.
const OUTAGE: Duration = Duration::from_hours(24);

/// Every broken relation between values that are each well-formed.
pub(crate) fn problems_together(raw: &RawConfig) -> Vec<Finding> {
    let mut problems = Vec::new();
    problems.extend(source::problems(raw));
    problems.extend(linger(raw));
    problems.extend(puts(raw));
    problems.extend(lease(raw));
    problems.extend(window(raw));
    problems.extend(channels(raw));
    problems.extend(ledger(raw));
    problems.extend(unused_by_ledger(raw));
    problems.extend(valkey_nodes(raw));
    problems.extend(hash_keys(raw));
    problems
}

/// What works, and probably is not what was meant.
pub(crate) fn warnings(raw: &RawConfig) -> Vec<Finding> {
    let mut warnings = Vec::new();
    warnings.extend(drain(raw));
    warnings.extend(shared_quota(raw));
    warnings.extend(short_window(raw));
    warnings.extend(objects(raw));
    warnings.extend(source::warnings(raw));
    warnings.extend(overflow(raw));
    warnings
}

/// Events wait in a batch while their messages are hidden.
fn linger(raw: &RawConfig) -> Option<Finding> {
    let (linger, visibility) = (raw.get(&keys::BATCH_LINGER)?, source::visibility(raw)?);
    (linger * 4 >= visibility).then(|| {
        Finding::about(
            raw,
            keys::BATCH_LINGER.path,
            format!(
                "{} is not less than a quarter of source.visibility, {}",
                written(linger),
                written(visibility)
            ),
            "lower batch.linger or raise source.visibility",
        )
    })
}

/// A message must stay hidden for the longest put and one more: else it comes again while its own put is under way.
fn puts(raw: &RawConfig) -> Vec<Finding> {
    let check = |name: &str| {
        let (linger, visibility) = (raw.get(&keys::BATCH_LINGER)?, source::visibility(raw)?);
        let longest = linger + raw.get_of(name, &keys::REQUEST_TIMEOUT)?;
        (longest * 2 > visibility).then(|| {
            let what = format!(
                "with batch.linger a put takes up to {}, and source.visibility, {}, is not twice that",
                written(longest),
                written(visibility)
            );
            let path = named(keys::REQUEST_TIMEOUT.path, name);
            Finding::about(
                raw,
                &path,
                what,
                format!("lower it, or raise source.visibility to {}", written(longest * 2)),
            )
        })
    };
    raw.destinations().filter_map(check).collect()
}

/// A claim that ends while its message is still hidden lets another worker publish the same event.
fn lease(raw: &RawConfig) -> Option<Finding> {
    let (lease, visibility) = (raw.get(&keys::DEDUPE_LEASE)?, source::visibility(raw)?);
    (lease < visibility).then(|| {
        Finding::about(
            raw,
            keys::DEDUPE_LEASE.path,
            format!("{} is shorter than source.visibility, {}", written(lease), written(visibility)),
            "make it at least as long: else a claim ends while its message is still being worked on",
        )
    })
}

/// A redelivery after a crash must still meet the ids that were settled before it.
fn window(raw: &RawConfig) -> Option<Finding> {
    let window = raw.get(&keys::DEDUPE_WINDOW)?;
    let others = [
        (keys::SOURCE_VISIBILITY.path, source::visibility(raw)),
        (keys::DEDUPE_LEASE.path, raw.get(&keys::DEDUPE_LEASE)),
    ];
    let (path, longest) =
        others.into_iter().filter_map(|(path, time)| Some((path, time?))).max_by_key(|(_, time)| *time)?;
    (window <= longest).then(|| {
        Finding::about(
            raw,
            keys::DEDUPE_WINDOW.path,
            format!("{} is not longer than {path}, {}", written(window), written(longest)),
            "raise it: else a message that comes again is published again",
        )
    })
}

/// One channel under two names would get every event twice.
fn channels(raw: &RawConfig) -> Vec<Finding> {
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    let mut problems = Vec::new();
    for name in raw.destinations() {
        let Some(channel) = raw.get_of(name, &keys::CHANNEL_ARN) else { continue };
        if let Some(first) = seen.get(&channel.arn) {
            problems.push(Finding::about(
                raw,
                &named(keys::CHANNEL_ARN.path, name),
                format!("is the channel of destinations.{first} too: every event would be stored twice"),
                "write another channel's ARN, or remove one of the two destinations",
            ));
        } else {
            seen.insert(channel.arn, name);
        }
    }
    problems
}

/// What the chosen ledger cannot do without.
fn ledger(raw: &RawConfig) -> Option<Finding> {
    let kind = raw.get(&keys::LEDGER_KIND)?;
    let needed: &dyn AnyKey = match kind {
        keys::Ledger::Memory => return None,
        keys::Ledger::DynamoDb => &keys::LEDGER_TABLE,
        keys::Ledger::Valkey | keys::Ledger::ValkeyCluster => &keys::LEDGER_URLS,
    };
    raw.written(needed.path())
        .is_none()
        .then(|| missing(needed, "the ledger that ledger.kind names needs it"))
}

/// A key without a default that another key makes necessary.
fn missing(key: &dyn AnyKey, why: &str) -> Finding {
    let (path, example) = (key.path(), key.absent().example());
    Finding {
        key: path.to_owned(),
        origin: None,
        what: format!("is not given: {why}"),
        cure: format!("write it, such as \"{example}\", or set {}", environment_name(path)),
    }
}

/// A key of another ledger than the one that is named: left alone, four workers would each remember for themselves.
fn unused_by_ledger(raw: &RawConfig) -> Vec<Finding> {
    let Some(kind) = raw.get(&keys::LEDGER_KIND) else { return Vec::new() };
    let is_valkey = matches!(kind, keys::Ledger::Valkey | keys::Ledger::ValkeyCluster);
    let of_valkey: [&dyn AnyKey; 3] = [&keys::LEDGER_URLS, &keys::LEDGER_PASSWORD, &keys::LEDGER_CA_FILE];
    let table: &dyn AnyKey = &keys::LEDGER_TABLE;
    let of_others = std::iter::once((table, kind == keys::Ledger::DynamoDb))
        .chain(of_valkey.into_iter().map(|key| (key, is_valkey)));
    let unused = of_others.filter(|(key, is_used)| !is_used && raw.written(key.path()).is_some());
    let finding = |(key, _): (&dyn AnyKey, bool)| {
        let named = raw.written(keys::LEDGER_KIND.path).map_or("memory", |written| written.text.as_str());
        Finding::about(
            raw,
            key.path(),
            format!("is not used: ledger.kind is \"{named}\""),
            "write the ledger.kind that is meant (dynamodb, valkey or valkey-cluster), or remove this key",
        )
    };
    unused.map(finding).collect()
}

/// The nodes of a cluster are found by themselves, but only of a cluster.
fn valkey_nodes(raw: &RawConfig) -> Option<Finding> {
    let urls = raw.get(&keys::LEDGER_URLS)?;
    (raw.get(&keys::LEDGER_KIND)? == keys::Ledger::Valkey && urls.len() > 1).then(|| {
        Finding::about(
            raw,
            keys::LEDGER_URLS.path,
            format!("names {} servers, and ledger.kind is one server", urls.len()),
            "write ledger.kind = \"valkey-cluster\", or one URL",
        )
    })
}

/// A hash without a key could be undone by trying; a key without hashes is a redaction that was forgotten.
fn hash_keys(raw: &RawConfig) -> Vec<Finding> {
    let check = |name: &str| {
        let path = |path: &str| named(path, name);
        let (hash, key) = (path(keys::REDACT_HASH.path), path(keys::REDACT_KEY.path));
        match (raw.written(&hash), raw.written(&key)) {
            (Some(_), None) => Some(Finding::about(
                raw,
                &hash,
                "needs redact_key: without a key anybody could find the values by trying",
                format!(
                    "set {}, for example to the answer of `openssl rand -hex 32`",
                    environment_name(&key)
                ),
            )),
            (None, Some(_)) => Some(Finding::about(
                raw,
                &key,
                "is not used: this destination has no redact_hash",
                "write the paths that are to be hashed as redact_hash, or remove this key",
            )),
            _ => None,
        }
    };
    raw.destinations().filter_map(check).collect()
}

/// While one destination is paused, its messages come again for as long as that lasts, and bring the events of the
/// others again too.
fn short_window(raw: &RawConfig) -> Option<Finding> {
    let window = raw.get(&keys::DEDUPE_WINDOW)?;
    (raw.destinations().count() > 1 && window < OUTAGE).then(|| {
        Finding::about(
            raw,
            keys::DEDUPE_WINDOW.path,
            format!(
                "{} is short for several destinations: where an event goes to two of them and one is paused for \
                 longer, the other gets it again",
                written(window)
            ),
            format!("raise it to the longest outage that is to leave no duplicates, such as {}", written(OUTAGE)),
        )
    })
}

fn drain(raw: &RawConfig) -> Option<Finding> {
    let drain = raw.get(&keys::SERVICE_DRAIN_TIMEOUT)?;
    (drain > FARGATE_STOP_MAX).then(|| {
        Finding::about(
            raw,
            keys::SERVICE_DRAIN_TIMEOUT.path,
            format!("{} is longer than Fargate ever waits, {}", written(drain), written(FARGATE_STOP_MAX)),
            "on Fargate lower it and set stopTimeout above it; elsewhere make sure the platform waits as long",
        )
    })
}

/// Messages that wait for their objects weigh, or one worker would take more of them than it can read.
fn objects(raw: &RawConfig) -> Option<Finding> {
    raw.get(&keys::OBJECTS_BUCKETS)?;
    let (at_once, bytes) = (raw.get(&keys::OBJECTS_CONCURRENCY_MAX)?, raw.get(&keys::MAX_IN_FLIGHT_BYTES)?);
    let most = (bytes / OBJECT_BYTES).max(1);
    (at_once > most).then(|| {
        Finding::about(
            raw,
            keys::OBJECTS_CONCURRENCY_MAX.path,
            format!("{at_once} objects at once, and flow.max_in_flight_bytes has room for {most}"),
            format!("lower it, or raise flow.max_in_flight_bytes to {at_once}MiB"),
        )
    })
}

/// A letter that leads to an object is read again only where objects are.
fn overflow(raw: &RawConfig) -> Option<Finding> {
    let Storage::S3 { bucket, .. } = raw.get(&keys::DEAD_LETTER_OVERFLOW)? else { return None };
    let is_read = raw.get(&keys::OBJECTS_BUCKETS).is_some_and(|buckets| buckets.has(&bucket));
    (!is_read).then(|| {
        Finding::about(
            raw,
            keys::DEAD_LETTER_OVERFLOW.path,
            format!(
                "the bucket {bucket} is not in objects.buckets: letters that lead there cannot be sent back"
            ),
            "list it there, and allow s3:GetObject on it, at the latest before letters are sent back",
        )
    })
}

/// The quota is one for all channels of an account in a Region.
fn shared_quota(raw: &RawConfig) -> Vec<Finding> {
    let mut budgets: BTreeMap<(String, String), (usize, Vec<&str>)> = BTreeMap::new();
    for name in raw.destinations() {
        let channel = raw.get_of(name, &keys::CHANNEL_ARN);
        let (Some(channel), Some(rate)) = (channel, raw.get_of(name, &keys::REQUESTS_PER_SECOND)) else {
            continue;
        };
        let (sum, names) = budgets.entry((channel.account, channel.region)).or_default();
        *sum += rate;
        names.push(name);
    }
    let quota = limits::PUT_REQUESTS_PER_SECOND;
    let over = budgets.into_values().filter(|(sum, _)| *sum > quota as usize);
    over.filter_map(|(sum, names)| {
        let path = named(keys::REQUESTS_PER_SECOND.path, names.last()?);
        let names = names.join(", ");
        Some(Finding::about(
            raw,
            &path,
            format!("{names}: {sum} calls a second in one account and Region, whose quota is {quota}"),
            "divide the quota between them, or expect throttling",
        ))
    })
    .collect()
}
