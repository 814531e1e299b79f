//! Every key of the configuration, once: its name, kind, bounds, default and what it is for.
//!
//! Parsing, environment names, the errors for unknown keys and the reference file all follow from this table.

use std::time::Duration;

use crate::{
    config::{
        ForeignRecords, LogFormat, Oversize,
        kinds::{
            Beginning, BucketNames, Bytes, Channel, Choice, Condition, Consumer, Count, ExternalId,
            FormatNames, HashKey, Kind, Listen, LocalPath, LogFilter, Name, Password, Paths, Place, QueueUrl,
            Share, Stream, Time, ValkeyUrls, Wrong,
        },
    },
    dedupe::OnConflict,
    formats, limits,
    route::Unmatched,
};

/// The start of every environment variable that is ours.
pub const ENVIRONMENT_PREFIX: &str = "TRIBUTARY_";
/// Stands for a destination's name in a path.
pub const ANY_NAME: &str = "*";

/// What holds when a key is not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absent {
    /// It must be written; this is what it looks like.
    Required {
        /// For the reference and the cure.
        example: &'static str,
    },
    /// It or another key must be written; this is what it looks like.
    OneOf {
        /// The other key's path.
        other: &'static str,
        /// For the reference and the cure.
        example: &'static str,
    },
    /// This holds.
    Default(&'static str),
    /// Nothing holds; this is what it would look like.
    Nothing {
        /// For the reference.
        example: &'static str,
    },
}

impl Absent {
    /// What a value looks like.
    pub fn example(self) -> &'static str {
        match self {
            Self::Required { example } | Self::OneOf { example, .. } | Self::Nothing { example } => example,
            Self::Default(value) => value,
        }
    }
}

/// One key.
pub struct Key<K> {
    /// Table and name, for example `batch.linger` or `destinations.*.channel_arn`.
    pub path: &'static str,
    /// How it is written.
    pub kind: K,
    /// What holds when it is not written.
    pub absent: Absent,
    /// Its effect, and who should change it.
    pub doc: &'static str,
}

/// A [`Key`] of any kind.
pub trait AnyKey: Sync {
    /// Table and name.
    fn path(&self) -> &'static str;
    /// What holds when it is not written.
    fn absent(&self) -> Absent;
    /// Its effect, and who should change it.
    fn doc(&self) -> &'static str;
    /// Its bounds in a few words.
    fn bounds(&self) -> String;
    /// Whether its value is never printed.
    fn is_secret(&self) -> bool;
    /// Whether its value is a bare number in TOML.
    fn is_bare(&self, text: &str) -> bool;
    /// Whether a text is a value of its kind, within its bounds.
    ///
    /// # Errors
    /// What is wrong with the text.
    fn check(&self, text: &str) -> Result<(), Wrong>;
}

impl<K: Kind + Sync> AnyKey for Key<K> {
    fn path(&self) -> &'static str {
        self.path
    }

    fn absent(&self) -> Absent {
        self.absent
    }

    fn doc(&self) -> &'static str {
        self.doc
    }

    fn bounds(&self) -> String {
        self.kind.bounds()
    }

    fn is_secret(&self) -> bool {
        K::SECRET
    }

    fn is_bare(&self, text: &str) -> bool {
        text.parse::<f64>().is_ok_and(f64::is_finite)
    }

    fn check(&self, text: &str) -> Result<(), Wrong> {
        self.kind.parse(text).map(|_| ())
    }
}

/// The path of a key in the table of one destination.
pub fn named(path: &str, name: &str) -> String {
    path.replacen(ANY_NAME, name, 1)
}

/// The environment variable of a path: `source.queue_url` is `TRIBUTARY_SOURCE_QUEUE_URL`.
pub fn environment_name(path: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", path.replace(['.', '-'], "_").to_ascii_uppercase())
}

/// The tables in the order of the reference, each with what it is about.
pub static TABLES: &[(&str, &str)] = &[
    (
        "source",
        "The queue that events come from; and how they are received and read, be it from a queue or a stream.",
    ),
    (
        "stream",
        "A Kinesis stream that events come from, instead of a queue. Any number of workers share its shards out among \
         themselves in a table of leases, which is laid out like that of the Kinesis Client Library.",
    ),
    ("formats", "How events are read, beyond what the program brings."),
    ("dead_letter", "The queue for what can never be published, with the reason beside each event."),
    (
        "objects",
        "Log files in S3. A message that names an object, such as S3's own notification, leads to it, and its records \
         are the events.",
    ),
    (
        "destinations.*",
        "One channel of CloudTrail Lake. At least one is needed; the name after the dot is yours \
         (a lower-case letter, then letters, digits and dashes, 32 in all) and labels metrics and dead letters. Which \
         events go there is said here too: see docs/routes.md.",
    ),
    ("routing", "What becomes of events that no destination wants."),
    ("dedupe", "How long and how many published event ids are remembered, so that none is published twice."),
    (
        "ledger",
        "Where it is remembered which events are under way and which are settled. In memory for a single worker; \
         several workers need one that they share.",
    ),
    (
        "publish_log",
        "Proof of what was published: a chain of hashes that `tributary verify` checks. Written beside the work, \
         never in its way.",
    ),
    ("batch", "When a request to the lake is full enough to leave. Applies to each destination on its own."),
    ("flow", "How much may be under way at once: the one knob for memory."),
    ("breaker", "When so many dead letters look like a mistake of ours, stop and call for help."),
    ("service", "The process among other processes."),
    ("log", "What is logged, and how. No payload is ever logged, at any level."),
];

/// The ledgers by their names in `ledger.kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as in the reference")]
pub enum Ledger {
    Memory,
    DynamoDb,
    Valkey,
    ValkeyCluster,
}

macro_rules! keys {
    ($($name:ident: $kind:ty = $path:literal, $absent:expr, $value:expr, $doc:literal;)+) => {
        $(
            #[doc = $doc]
            pub static $name: Key<$kind> = Key { path: $path, kind: $value, absent: $absent, doc: $doc };
        )+
        /// Every key, in the order of the reference.
        pub static ALL: &[&dyn AnyKey] = &[$(&$name),+];
    };
}

const fn time(min_ms: u64, max_ms: u64) -> Time {
    Time { min: Duration::from_millis(min_ms), max: Duration::from_millis(max_ms), whole_seconds: false }
}

/// For times that AWS takes in whole seconds.
const fn seconds(min: u64, max: u64) -> Time {
    Time { min: Duration::from_secs(min), max: Duration::from_secs(max), whole_seconds: true }
}

const OVERSIZE: Choice<Oversize> = Choice(&[("move", Oversize::Move), ("reject", Oversize::Reject)]);
const CONFLICTS: Choice<OnConflict> = Choice(&[
    ("dead-letter", OnConflict::DeadLetter),
    ("duplicate", OnConflict::Duplicate),
    ("publish", OnConflict::Publish),
]);
const LEDGERS: Choice<Ledger> = Choice(&[
    ("memory", Ledger::Memory),
    ("dynamodb", Ledger::DynamoDb),
    ("valkey", Ledger::Valkey),
    ("valkey-cluster", Ledger::ValkeyCluster),
]);
const UNMATCHED: Choice<Unmatched> =
    Choice(&[("dead-letter", Unmatched::DeadLetter), ("filter", Unmatched::Filter)]);
const KNOWN_SECRETS: Choice<bool> = Choice(&[("mask", true), ("off", false)]);
const FOREIGN_RECORDS: Choice<ForeignRecords> =
    Choice(&[("deliver", ForeignRecords::Deliver), ("drop", ForeignRecords::Drop)]);
const LOG_FORMATS: Choice<LogFormat> =
    Choice(&[("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)]);

/// The largest event, every character of it escaped, and its entry: a batch must hold one.
const BATCH_BYTES_MIN: usize = 2 * limits::EVENT_DATA_BYTES_MAX + 1_000;
const _: () = assert!(BATCH_BYTES_MIN > 2 * (limits::EVENT_DATA_BYTES_MAX + limits::EVENT_ID_CHARS_MAX));
const DAY_MS: u64 = 86_200_000;

/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>. No ARN: PartiQL takes none.
const TABLE: Name = Name { chars_min: 3, chars_max: 255, others: "-_." };
const NAMESPACE: Name = Name { chars_min: 1, chars_max: 64, others: "-_." };
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>
const ATTRIBUTE: Name = Name { chars_min: 1, chars_max: 256, others: "-_." };
/// Of a format; which there are is known when [`FORMATS_FOLDER`] has been read.
const FORMAT: Name = Name { chars_min: 1, chars_max: 32, others: "-" };
const WORKER: Name = Name { chars_min: 1, chars_max: 128, others: "-_.:/" };

const SOURCE_QUEUE: Absent = Absent::OneOf {
    other: "stream.arn",
    example: "https://sqs.eu-central-1.amazonaws.com/111122223333/audit-events",
};
const STREAM: Absent = Absent::OneOf {
    other: "source.queue_url",
    example: "arn:aws:kinesis:eu-central-1:111122223333:stream/audit-events",
};
const CONSUMER: Absent = Absent::Nothing {
    example: "arn:aws:kinesis:eu-central-1:111122223333:stream/audit-events/consumer/tributary:1700000000",
};
const DEAD_LETTER_QUEUE: Absent = Absent::Required {
    example: "https://sqs.eu-central-1.amazonaws.com/111122223333/audit-events-dead-letters",
};
const CHANNEL: Absent = Absent::Required {
    example: "arn:aws:cloudtrail:eu-central-1:111122223333:channel/EXAMPLE8-0558-4f7e-a06a-43969EXAMPLE",
};

keys! {
    SOURCE_QUEUE_URL: QueueUrl = "source.queue_url", SOURCE_QUEUE, QueueUrl,
        "Where events are received. A name that ends in .fifo is a FIFO queue: order is kept within each message \
         group. Everyone whose events do not come from a stream sets it.";
    SOURCE_RECEIVERS_MAX: Count = "source.receivers_max", Absent::Default("16"), Count { min: 1, max: 128 },
        "Most polls in flight at once. The number adapts: one while the source is empty, more while polls come back \
         full. Raise it where the source is far away and deep; lower it to save requests.";
    SOURCE_WAIT: Time = "source.wait", Absent::Default("20s"), seconds(0, limits::SQS_WAIT_SECONDS_MAX),
        "How long one poll of the queue waits for a message. The longest is the cheapest, and costs no latency. Leave \
         it. Not for a stream.";
    SOURCE_VISIBILITY: Time = "source.visibility", Absent::Default("120s"),
        seconds(10, limits::SQS_VISIBILITY_SECONDS_MAX),
        "How long a received message stays hidden from other workers. It is extended while work goes on, so this is \
         also how soon a message comes again after a crash. Must be at least twice batch.linger and the longest \
         request_timeout together. Lower it to recover from crashes sooner. Not for a stream.";
    SOURCE_FORMAT: Name = "source.format", Absent::Default(formats::BY_CONTENT), FORMAT,
        "The format of the events: \"auto\" tells it by content, event by event; any name that `tributary formats` \
         lists holds for all of them. Fix it where only one format may come, and for formats that are never told by \
         content, such as \"generic\".";
    SOURCE_FORMAT_ATTRIBUTE: Name = "source.format_attribute", Absent::Nothing { example: "format" }, ATTRIBUTE,
        "The message attribute in which producers name the format of their events. Where a message has it, it overrules \
         content and source.format; a name that is not known is dead-lettered. Set it where producers know better. Not for a stream, whose \
         records have no attributes.";

    STREAM_ARN: Stream = "stream.arn", STREAM, Stream,
        "Where events are received, instead of source.queue_url. The Region of the calls is taken from it. Everyone \
         whose events come from a stream sets it.";
    STREAM_LEASE_TABLE: Name = "stream.lease_table", Absent::Nothing { example: "tributary-leases" }, TABLE,
        "The DynamoDB table of leases and checkpoints, in the account and Region of the credentials: partition key \
         `leaseKey`, a string. Needed with stream.arn. Each application that reads a stream needs a table of its own; \
         one that the Kinesis Client Library has left is read on from where it was.";
    STREAM_START: Beginning = "stream.start", Absent::Default("trim_horizon"), Beginning,
        "Where to begin in a stream that nobody has read yet: \"trim_horizon\" is the oldest record that is left, \
         \"latest\" what comes from now on, a time what came since. Shards that come later, of a stream that was split \
         or merged, are always read from their beginning, and a checkpoint always wins. Leave it to skip nothing.";
    STREAM_FAILOVER_TIME: Time = "stream.failover_time", Absent::Default("10s"), time(2_000, 600_000),
        "How long a worker may not have renewed its lease on a shard until another takes it over. Lower it to recover \
         from crashes sooner; raise it where workers lose leases while they live.";
    STREAM_CALLS_PER_SECOND: Count = "stream.calls_per_second", Absent::Default("4"),
        Count { min: 1, max: limits::KINESIS_GETS_PER_SECOND },
        "This service's share of the five GetRecords calls a second that each shard allows all its readers together. \
         Lower it where others poll the same stream, such as Firehose or a Lambda function.";
    STREAM_CONSUMER_ARN: Consumer = "stream.consumer_arn", CONSUMER, Consumer,
        "A registered consumer of the stream, for enhanced fan-out: each shard then has 2 MB a second for this service \
         alone, sooner and at a price. Without it, records are polled for. Set it where several services read one \
         stream.";
    STREAM_FOREIGN_RECORDS: Choice<ForeignRecords> = "stream.foreign_records", Absent::Default("deliver"), FOREIGN_RECORDS,
        "What becomes of an aggregate that holds records of another shard, as some producers make after a reshard: \
         \"deliver\" takes all of them, and the ledger knows those that come again; \"drop\" drops the whole aggregate, as \
         the Kinesis Client Library does, and loses what the producer does not send again. Leave it.";

    FORMATS_FOLDER: LocalPath = "formats.folder", Absent::Nothing { example: "/etc/tributary/formats" },
        LocalPath { to: "a folder with files NAME.jq" },
        "Formats of your own, each a file NAME.jq; docs/formats.md tells how to write one, `tributary formats test` \
         tries it. One with the name of a built-in format takes its place. Not for \"lake\" and \"cloudtrail\".";

    OBJECTS_BUCKETS: BucketNames = "objects.buckets", Absent::Nothing { example: "audit-logs, trail-*" }, BucketNames,
        "The buckets whose objects are read, with commas between them; a * at the end of a name stands for anything. \
         Without it none is: whoever may send to the queue could otherwise have any object published that the role may \
         read. A message that names another bucket is dead-lettered.";
    OBJECTS_CONCURRENCY_MAX: Count = "objects.concurrency_max", Absent::Default("4"), Count { min: 1, max: 256 },
        "Objects that are read at once. Each may take 1 MiB while it is read, and its message counts as much towards \
         flow.max_in_flight_bytes. Raise it where objects are many and small; one large object is never read faster.";

    DEAD_LETTER_QUEUE_URL: QueueUrl = "dead_letter.queue_url", DEAD_LETTER_QUEUE, QueueUrl,
        "Where dead letters go. Must be another queue than the source, FIFO if the source is a FIFO queue and standard \
         otherwise, with the longest retention (14 days). Everyone sets it.";
    DEAD_LETTER_OVERFLOW: Place = "dead_letter.overflow", Absent::Nothing { example: "s3://audit-overflow/letters" },
        Place,
        "Where an event goes that is too large for the dead-letter queue, even packed: s3://bucket/prefix, or a folder. \
         Its letter then leads to it. Without it, such an event is returned and tried again: for ever, or until the \
         source queue's redrive policy moves its message. Set it where events may have more than 1 MiB, or 750 kB if they are no text.";

    CHANNEL_ARN: Channel = "destinations.*.channel_arn", CHANNEL, Channel,
        "Where to publish. The Region of the calls and the recipientAccountId of every event are taken from it. \
         Everyone sets it.";
    EXTERNAL_ID: ExternalId = "destinations.*.external_id", Absent::Nothing { example: "example-external-id" },
        ExternalId,
        "Needed where the channel's resource policy asks for cloudtrail:ExternalId. Treated as a secret: never \
         logged, never shown. Better given by the environment than written here.";
    REQUESTS_PER_SECOND: Count = "destinations.*.requests_per_second", Absent::Default("100"),
        Count { min: 1, max: 10_000 },
        "This worker's share of the account's 100 PutAuditEvents calls a second in one Region, which nobody can \
         raise. With N workers, or other publishers in the account, set 100 divided by their number. More than 100 \
         makes sense only for a lake that is not AWS's.";
    CONCURRENCY_MAX: Count = "destinations.*.concurrency_max", Absent::Default("8"), Count { min: 1, max: 128 },
        "Most calls in flight at once. The number adapts: it grows while calls succeed and halves when throttled. \
         Raise it where the round trip is long.";
    REQUEST_TIMEOUT: Time = "destinations.*.request_timeout", Absent::Default("30s"), time(1_000, 300_000),
        "How long one call may take. After that its outcome is unknown and its events are sent again: too short a \
         time makes duplicates in the lake. Leave it.";
    OVERSIZE_POLICY: Choice<Oversize> = "destinations.*.oversize", Absent::Default("move"), OVERSIZE,
        "What becomes of an optional field that the lake's schema refuses (too long, wrong type, no IP address): \
         \"move\" takes it out and keeps the original under additionalEventData.tributary.moved, \"reject\" \
         dead-letters the event. Choose \"reject\" where an altered event is worse than a late one.";

    FORMATS_WANTED: FormatNames = "destinations.*.formats", Absent::Nothing { example: "cloudtrail, lake" }, FormatNames,
        "Only events of these formats go to this destination. Asked first, because it costs nothing. Without it, events \
         of all formats do.";
    WHEN: Condition = "destinations.*.when", Absent::Nothing { example: ".eventSource != null" },
        Condition,
        "Only events for which this is true go to this destination. It sees the event as received, $message (source, \
         group, attributes, object) and $format. Without it, all events do.";
    DROP: Condition = "destinations.*.drop", Absent::Nothing { example: ".readOnly == true" }, Condition,
        "Events for which this is true are dropped on their way to this destination, and counted as filtered. It sees \
         what `when` sees.";
    REDACT_DROP: Paths = "destinations.*.redact_drop", Absent::Nothing { example: ".requestParameters.token" }, Paths,
        "What is taken out of each event before it is mapped, with its key: nothing can be deleted from the lake. The \
         dead letter of an event keeps it.";
    REDACT_MASK: Paths = "destinations.*.redact_mask", Absent::Nothing { example: "(.. | .password? | select(. != null))" },
        Paths, "As redact_drop, but the value is replaced by \"[masked]\".";
    REDACT_HASH: Paths = "destinations.*.redact_hash", Absent::Nothing { example: ".userIdentity.userName" }, Paths,
        "As redact_drop, but the value is replaced by its HMAC-SHA-256 under redact_key, in hexadecimal digits: equal \
         values can still be told to be equal.";
    REDACT_KEY: HashKey = "destinations.*.redact_key",
        Absent::Nothing { example: "example-key-of-32-bytes-or-more-" }, HashKey,
        "The key for redact_hash. Who has it can try values until one fits: treated as a secret, never logged, never \
         shown. Better given by the environment than written here. A new key makes new hashes.";
    REDACT_KNOWN: Choice<bool> = "destinations.*.redact_known", Absent::Default("mask"), KNOWN_SECRETS,
        "What the event's format itself calls secret, such as invite links and tokens, is masked. Set it to \"off\" where \
         the lake may hold that.";

    UNMATCHED_POLICY: Choice<Unmatched> = "routing.unmatched", Absent::Default("dead-letter"), UNMATCHED,
        "What becomes of an event that no destination wants: \"dead-letter\" keeps it, with the reason no_route, so that \
         nothing vanishes silently; \"filter\" drops it and counts it as filtered. Set it to \"filter\" where the queue \
         carries more than the lakes are to have.";

    DEDUPE_WINDOW: Time = "dedupe.window", Absent::Default("1h"), time(60_000, 14 * DAY_MS),
        "An event id that comes again within this time after it was settled is a duplicate. Must be longer than \
         dedupe.lease and source.visibility. Set it to the longest time after which a producer may send an event again.";
    DEDUPE_ENTRIES_MAX: Count = "dedupe.entries_max", Absent::Default("200000"),
        Count { min: 10_000, max: 100_000_000 },
        "A ledger in memory forgets the oldest ids beyond this many, even within the window; a metric tells. About \
         80 bytes of memory each. Set it to the events of one window at peak rate. Other ledgers need no such bound.";
    DEDUPE_LEASE: Time = "dedupe.lease", Absent::Default("120s"), time(10_000, DAY_MS),
        "How long a claim on an event id holds before another worker may take it over. Must be less than dedupe.window \
         and, where events come from a queue, at least source.visibility. Change it together with source.visibility.";
    DEDUPE_ON_CONFLICT: Choice<OnConflict> = "dedupe.on_conflict", Absent::Default("dead-letter"), CONFLICTS,
        "What becomes of an event whose id was published before with other content, which is possibly tampering: \
         \"dead-letter\" keeps it for a person to look at, \"duplicate\" drops it as a copy, \"publish\" publishes it \
         as well. Each is counted. Change it only for a producer that is known to use ids again.";

    LEDGER_KIND: Choice<Ledger> = "ledger.kind", Absent::Default("memory"), LEDGERS,
        "\"memory\" is for one worker and is forgotten when it stops. \"dynamodb\" survives everything and costs two \
         writes an event; \"valkey\" (or Redis, \"valkey-cluster\" for a cluster) is faster and cheaper and may \
         forget its last seconds when the server fails over. Set one of those where more than one worker runs.";
    LEDGER_TABLE: Name = "ledger.table", Absent::Nothing { example: "tributary-ledger" }, TABLE,
        "The DynamoDB table for ledger.kind = \"dynamodb\", in the account and Region of the credentials: partition \
         key `key`, a string; time to live on `expires`. infra/cloudformation/storage.yaml makes one.";
    LEDGER_URLS: ValkeyUrls = "ledger.url", Absent::Nothing { example: "rediss://ledger.example.com:6379" }, ValkeyUrls,
        "Where the Valkey or Redis server is; with commas between them, several nodes of a cluster. rediss:// is TLS. \
         A user may stand before the host, as in rediss://tributary@host; the password has a key of its own.";
    LEDGER_PASSWORD: Password = "ledger.password", Absent::Nothing { example: "example-password" }, Password,
        "For a Valkey or Redis server that asks for one. Treated as a secret: never logged, never shown. Better given \
         by the environment than written here.";
    LEDGER_CA_FILE: LocalPath = "ledger.ca_file", Absent::Nothing { example: "/etc/tributary/ca.pem" }, LocalPath { to: "a PEM file" },
        "A PEM file with the authorities that a rediss:// server is checked against, instead of the system's. For \
         servers with a certificate of your own.";
    LEDGER_NAMESPACE: Name = "ledger.namespace", Absent::Default("tributary"), NAMESPACE,
        "Keeps deployments apart that share one table or server. Two that carry different events to destinations of \
         the same name must differ in it.";
    LEDGER_CACHE_ENTRIES_MAX: Count = "ledger.cache_entries_max", Absent::Default("100000"),
        Count { min: 1_000, max: 100_000_000 },
        "In front of a shared ledger each worker remembers at most so many published ids by itself, so that their \
         copies cost no request. About 80 bytes of memory each.";
    LEDGER_CACHE_TIME: Time = "ledger.cache_time", Absent::Default("5m"), time(1_000, DAY_MS),
        "How long a worker trusts that memory of its own. After `tributary ledger forget` a copy may still count as a \
         duplicate for this long.";

    PUBLISH_LOG_TO: Place = "publish_log.to", Absent::Nothing { example: "s3://audit-proof/tributary" }, Place,
        "Where the publish log goes: a folder, or s3://bucket/prefix. Without it there is none. In S3 choose a bucket \
         with object lock, so that nobody can change what was written.";
    PUBLISH_LOG_SEGMENT_TIME: Time = "publish_log.segment_time", Absent::Default("1m"), time(1_000, 3_600_000),
        "A segment is closed at the latest after this long. In S3 that is also how much of the log a crash can lose. \
         Raise it for fewer, larger objects.";
    PUBLISH_LOG_SEGMENT_BYTES: Bytes = "publish_log.segment_bytes", Absent::Default("8MiB"),
        Bytes { min: 1 << 16, max: 64 << 20 },
        "A segment is closed when it has this many bytes. For S3 they are held in memory until then.";

    BATCH_LINGER: Time = "batch.linger", Absent::Default("250ms"), time(0, 60_000),
        "Longest wait for a batch to fill before it leaves anyway. Longer means fewer, fuller calls and more \
         latency. Must be less than a quarter of source.visibility. Raise it where several workers share the \
         100 calls a second.";
    BATCH_EVENTS_MAX: Count = "batch.events_max", Absent::Default("100"), Count { min: 1, max: limits::PUT_EVENTS_MAX },
        "Events in one call. The default is the lake's limit. Leave it.";
    BATCH_BYTES_MAX: Bytes = "batch.bytes_max", Absent::Default("999999"),
        Bytes { min: BATCH_BYTES_MIN, max: limits::PUT_BYTES_MAX },
        "Bytes of one request body as sent. The default is the lake's limit, read strictly; the lower bound still \
         holds the largest event. Leave it.";

    MAX_IN_FLIGHT_BYTES: Bytes = "flow.max_in_flight_bytes", Absent::Default("8MiB"),
        Bytes { min: limits::SQS_BYTES_MAX, max: 4 << 30 },
        "Bytes of message bodies that are received and not yet settled. Polling stops at this line; memory use is a \
         small multiple of it. The lower bound is one message of the largest size. Raise it for more throughput \
         against a slow lake.";

    DEAD_LETTER_SHARE: Share = "breaker.dead_letter_share", Absent::Default("0.5"), Share,
        "The breaker opens when more than this share of the last breaker.deliveries were dead-lettered: intake \
         stops and the worker is not ready. Set it to 1 to switch the breaker off.";
    BREAKER_DELIVERIES: Count = "breaker.deliveries", Absent::Default("200"), Count { min: 10, max: 100_000 },
        "How many of the last deliveries the breaker looks at. Raise it where bad events come in bursts.";
    BREAKER_COOL_DOWN: Time = "breaker.cool_down", Absent::Default("60s"), time(1_000, 3_600_000),
        "How long intake stays stopped before it is tried again.";

    SERVICE_LISTEN: Listen = "service.listen", Absent::Default("0.0.0.0:9464"), Listen,
        "Where /livez, /readyz and /metrics are served over plain HTTP. Port 0 takes any free port. Change it \
         where the port is taken.";
    SERVICE_DRAIN_TIMEOUT: Time = "service.drain_timeout", Absent::Default("25s"), time(1_000, 3_600_000),
        "Longest time between SIGTERM and exit; what is not settled by then is returned to the queue. Keep it below \
         what the platform grants: 30 s by default on ECS and Kubernetes, 120 s at most on Fargate.";
    SERVICE_WORKER: Name = "service.worker", Absent::Nothing { example: "worker-1" }, WORKER,
        "How this worker is called in the ledger and the publish log. Without it, the host's name. Each process adds \
         something random, so that a restart can be told apart.";

    LOG_FILTER: LogFilter = "log.filter", Absent::Default("info"), LogFilter,
        "Which log lines are written. Set \"info,tributary=debug\" to follow single messages.";
    LOG_FORMAT: Choice<LogFormat> = "log.format", Absent::Default("auto"), LOG_FORMATS,
        "\"json\" writes one object a line, \"text\" writes for people, \"auto\" writes text to a terminal and JSON \
         to anything else.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_and_example_is_within_its_own_bounds() {
        for key in ALL {
            assert_eq!(key.check(key.absent().example()), Ok(()), "{}", key.path());
        }
    }

    #[test]
    fn every_key_has_a_table_and_a_sentence_and_its_own_variable() {
        let mut variables = std::collections::BTreeSet::new();
        for key in ALL {
            let (table, _) = key.path().rsplit_once('.').unwrap();
            assert!(TABLES.iter().any(|(known, _)| *known == table), "{}", key.path());
            assert!(key.doc().len() > 40 && key.doc().ends_with('.'), "{}", key.path());
            assert!(variables.insert(environment_name(key.path())), "{}", key.path());
        }
        assert_eq!(ALL.len(), 60);
    }
}
