//! The one conversion from what was written to what is needed. In: [`RawConfig`]. Out: [`Config`] and warnings, or
//! every problem.

use std::sync::Arc;

use crate::config::{
    BatchConfig, BreakerConfig, Config, ConfigError, DeadLetterConfig, DedupeConfig, DestinationConfig,
    Finding, FlowConfig, LedgerConfig, LedgerKind, LogConfig, ObjectsConfig, PublishLogConfig, QueueConfig,
    RawConfig, ServiceConfig, SourceConfig, SourceKind, StreamConfig, ValkeyConfig, bounds,
    finding::Origin,
    keys::{self, Absent, AnyKey, environment_name},
};
use crate::{
    formats::{BY_CONTENT, Formats},
    redact::Redaction,
    route::Route,
};

impl Config {
    /// Checks each value alone, then the values together, then builds.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn from_raw(raw: &RawConfig) -> Result<(Self, Vec<Finding>), ConfigError> {
        let mut problems = raw.problems().to_vec();
        let formats = known_formats(raw).unwrap_or_else(|faults| {
            problems.extend(faults);
            Formats::built_in()
        });
        problems.extend(raw.paths().into_iter().filter_map(|(path, key)| problem_alone(raw, path, key)));
        if !raw.is_partial {
            problems.extend(raw.destinations().next().is_none().then(no_destination));
            problems.extend(bounds::problems_together(raw));
            problems.extend(unknown_format(raw, &formats));
            problems.extend(unknown_formats_wanted(raw, &formats));
        }
        match build(raw, formats) {
            Some(config) if problems.is_empty() => Ok((config, bounds::warnings(raw))),
            _ => {
                debug_assert!(!problems.is_empty(), "a configuration that cannot be built has a problem");
                Err(ConfigError { problems })
            }
        }
    }
}

fn problem_alone(raw: &RawConfig, path: String, key: &dyn AnyKey) -> Option<Finding> {
    match (raw.written(&path), key.absent()) {
        (Some(written), _) => {
            let wrong = key.check(&written.text).err()?;
            let origin = Some(written.origin.clone());
            Some(Finding { key: path, origin, what: wrong.what, cure: wrong.cure })
        }
        (None, Absent::Required { example }) if !raw.is_partial => Some(Finding {
            what: "is not given, and has no default".into(),
            cure: format!("write it, such as \"{example}\", or set {}", environment_name(&path)),
            key: path,
            origin: None,
        }),
        (None, _) => None,
    }
}

fn no_destination() -> Finding {
    let variable = environment_name(&keys::named(keys::CHANNEL_ARN.path, "lake"));
    Finding {
        key: "destinations".into(),
        origin: None,
        what: "none is given".into(),
        cure: format!("write [destinations.lake] with a channel_arn, or set {variable}"),
    }
}

fn known_formats(raw: &RawConfig) -> Result<Arc<Formats>, Vec<Finding>> {
    let Some(folder) = raw.get(&keys::FORMATS_FOLDER) else { return Ok(Formats::built_in()) };
    Formats::with_folder(&folder).map_err(|faults| {
        let cure = "correct it; `tributary formats test` tries a folder of formats";
        let path = keys::FORMATS_FOLDER.path;
        faults.into_iter().map(|fault| Finding::about(raw, path, fault.to_string(), cure)).collect()
    })
}

fn unknown_format(raw: &RawConfig, formats: &Formats) -> Option<Finding> {
    let name = raw.get(&keys::SOURCE_FORMAT).filter(|name| name != BY_CONTENT)?;
    formats.get(&name).is_none().then(|| {
        let cure = format!("write {BY_CONTENT} or one of {}", formats.names().join(", "));
        Finding::about(raw, keys::SOURCE_FORMAT.path, format!("{name:?} is no format that is known"), cure)
    })
}

/// A name that no event ever has would silently lead nothing to the destination.
fn unknown_formats_wanted(raw: &RawConfig, formats: &Formats) -> Vec<Finding> {
    let check = |name: &str| {
        let wanted = raw.get_of(name, &keys::FORMATS_WANTED)?;
        let unknown = wanted.into_iter().find(|name| formats.get(name).is_none())?;
        let path = keys::named(keys::FORMATS_WANTED.path, name);
        let cure = format!("the formats are {}", formats.names().join(", "));
        Some(Finding::about(raw, &path, format!("{unknown:?} is no format that is known"), cure))
    };
    raw.destinations().filter_map(check).collect()
}

/// `None` only where [`problem_alone`] has found a problem.
fn build(raw: &RawConfig, formats: Arc<Formats>) -> Option<Config> {
    let format = raw.get(&keys::SOURCE_FORMAT)?;
    let destinations: Option<Vec<_>> = raw.destinations().map(|name| destination(raw, name)).collect();
    Some(Config {
        source: SourceConfig {
            kind: source(raw)?,
            receivers_max: raw.get(&keys::SOURCE_RECEIVERS_MAX)?,
            format: formats.get(&format),
            format_attribute: raw.get(&keys::SOURCE_FORMAT_ATTRIBUTE),
        },
        formats,
        objects: objects(raw)?,
        dead_letter: DeadLetterConfig {
            queue_url: raw.get(&keys::DEAD_LETTER_QUEUE_URL)?,
            overflow: raw.get(&keys::DEAD_LETTER_OVERFLOW),
        },
        destinations: destinations?,
        unmatched: raw.get(&keys::UNMATCHED_POLICY)?,
        dedupe: DedupeConfig {
            window: raw.get(&keys::DEDUPE_WINDOW)?,
            entries_max: raw.get(&keys::DEDUPE_ENTRIES_MAX)?,
            lease: raw.get(&keys::DEDUPE_LEASE)?,
            on_conflict: raw.get(&keys::DEDUPE_ON_CONFLICT)?,
        },
        ledger: ledger(raw)?,
        publish_log: publish_log(raw)?,
        batch: BatchConfig {
            linger: raw.get(&keys::BATCH_LINGER)?,
            events_max: raw.get(&keys::BATCH_EVENTS_MAX)?,
            bytes_max: raw.get(&keys::BATCH_BYTES_MAX)?,
        },
        flow: FlowConfig { max_in_flight_bytes: raw.get(&keys::MAX_IN_FLIGHT_BYTES)? },
        breaker: BreakerConfig {
            dead_letter_share: raw.get(&keys::DEAD_LETTER_SHARE)?,
            deliveries: raw.get(&keys::BREAKER_DELIVERIES)?,
            cool_down: raw.get(&keys::BREAKER_COOL_DOWN)?,
        },
        service: ServiceConfig {
            listen: raw.get(&keys::SERVICE_LISTEN)?,
            drain_timeout: raw.get(&keys::SERVICE_DRAIN_TIMEOUT)?,
            worker: raw.get(&keys::SERVICE_WORKER),
        },
        log: LogConfig { filter: raw.get(&keys::LOG_FILTER)?, format: raw.get(&keys::LOG_FORMAT)? },
    })
}

/// `None` also where [`bounds`] has found that a key is missing, or one too many.
fn source(raw: &RawConfig) -> Option<SourceKind> {
    let Some(arn) = raw.get(&keys::STREAM_ARN) else {
        return Some(SourceKind::Queue(QueueConfig {
            queue_url: raw.get(&keys::SOURCE_QUEUE_URL)?,
            wait: raw.get(&keys::SOURCE_WAIT)?,
            visibility: raw.get(&keys::SOURCE_VISIBILITY)?,
        }));
    };
    Some(SourceKind::Stream(StreamConfig {
        arn,
        lease_table: raw.get(&keys::STREAM_LEASE_TABLE)?,
        start: raw.get(&keys::STREAM_START)?,
        failover_time: raw.get(&keys::STREAM_FAILOVER_TIME)?,
        calls_per_second: u32::try_from(raw.get(&keys::STREAM_CALLS_PER_SECOND)?).ok()?,
        consumer_arn: raw.get(&keys::STREAM_CONSUMER_ARN),
        foreign_records: raw.get(&keys::STREAM_FOREIGN_RECORDS)?,
    }))
}

/// `None` also where [`bounds`] has found that a key is missing.
fn ledger(raw: &RawConfig) -> Option<LedgerConfig> {
    let kind = raw.get(&keys::LEDGER_KIND)?;
    Some(LedgerConfig {
        kind: match kind {
            keys::Ledger::Memory => LedgerKind::Memory,
            keys::Ledger::DynamoDb => LedgerKind::DynamoDb { table: raw.get(&keys::LEDGER_TABLE)? },
            keys::Ledger::Valkey | keys::Ledger::ValkeyCluster => LedgerKind::Valkey(ValkeyConfig {
                urls: raw.get(&keys::LEDGER_URLS)?,
                is_cluster: kind == keys::Ledger::ValkeyCluster,
                password: raw.get(&keys::LEDGER_PASSWORD),
                ca_file: raw.get(&keys::LEDGER_CA_FILE),
            }),
        },
        namespace: raw.get(&keys::LEDGER_NAMESPACE)?,
        cache_entries_max: raw.get(&keys::LEDGER_CACHE_ENTRIES_MAX)?,
        cache_time: raw.get(&keys::LEDGER_CACHE_TIME)?,
    })
}

/// The outer `None` is a problem, the inner one is that none are read.
#[expect(clippy::option_option, reason = "wrong, or not wanted")]
fn objects(raw: &RawConfig) -> Option<Option<ObjectsConfig>> {
    let concurrency_max = raw.get(&keys::OBJECTS_CONCURRENCY_MAX)?;
    Some(raw.get(&keys::OBJECTS_BUCKETS).map(|buckets| ObjectsConfig { buckets, concurrency_max }))
}

/// The outer `None` is a problem, the inner one is no log.
#[expect(clippy::option_option, reason = "wrong, or not wanted")]
fn publish_log(raw: &RawConfig) -> Option<Option<PublishLogConfig>> {
    let (segment_time, segment_bytes) =
        (raw.get(&keys::PUBLISH_LOG_SEGMENT_TIME)?, raw.get(&keys::PUBLISH_LOG_SEGMENT_BYTES)?);
    let to = raw.get(&keys::PUBLISH_LOG_TO);
    Some(to.map(|to| PublishLogConfig { to, segment_time, segment_bytes }))
}

fn destination(raw: &RawConfig, name: &str) -> Option<DestinationConfig> {
    Some(DestinationConfig {
        name: name.to_owned(),
        channel_arn: raw.get_of(name, &keys::CHANNEL_ARN)?,
        external_id: raw.get_of(name, &keys::EXTERNAL_ID),
        requests_per_second: u32::try_from(raw.get_of(name, &keys::REQUESTS_PER_SECOND)?).ok()?,
        concurrency_max: raw.get_of(name, &keys::CONCURRENCY_MAX)?,
        request_timeout: raw.get_of(name, &keys::REQUEST_TIMEOUT)?,
        oversize: raw.get_of(name, &keys::OVERSIZE_POLICY)?,
        route: Route {
            formats: raw.get_of(name, &keys::FORMATS_WANTED),
            when: raw.get_of(name, &keys::WHEN),
            drop: raw.get_of(name, &keys::DROP),
        },
        redaction: Redaction {
            drop: raw.get_of(name, &keys::REDACT_DROP),
            mask: raw.get_of(name, &keys::REDACT_MASK),
            hash: raw.get_of(name, &keys::REDACT_HASH),
            key: raw.get_of(name, &keys::REDACT_KEY),
            masks_known: raw.get_of(name, &keys::REDACT_KNOWN)?,
        },
    })
}

impl Finding {
    /// A finding about the value of one key, wherever it comes from.
    pub(crate) fn about(
        raw: &RawConfig,
        path: &str,
        what: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        let origin = Some(raw.origin(path)).filter(|origin| *origin != Origin::Default);
        Self { key: path.to_owned(), origin, what: what.into(), cure: cure.into() }
    }
}
