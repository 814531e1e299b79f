//! Whose fault is it? The event's ([`Rejection`], to the dead-letter queue), the moment's
//! ([`CallError::Transient`], again later) or ours ([`CallError::Misconfigured`], pause and say so).

mod cure;

use std::borrow::Cow;

/// Why an event can never be published: a low-cardinality reason and a sentence without any payload in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Rejection {
    /// The code on the letter and on the metric.
    pub reason: Reason,
    /// Says what is wrong and, where one exists, the limit. Names fields and sizes, never values.
    pub detail: Cow<'static, str>,
}

impl Rejection {
    /// A rejection with its sentence.
    pub fn new(reason: Reason, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, detail: detail.into() }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal at $stage:ident),+ $(,)?) => {
        /// Reason codes of dead letters: stable, low in number, safe as a metric label.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason { $($(#[$doc])* $name),+ }
        impl Reason {
            /// Every reason, in the order of the stages that give them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];
            /// The code as written on letters and metrics.
            pub fn code(self) -> &'static str { match self { $(Self::$name => $code),+ } }
            /// The stage that gives this reason.
            pub fn stage(self) -> Stage { match self { $(Self::$name => Stage::$stage),+ } }
        }
    };
}

reasons! {
    /// The message names an object in a bucket that is not listed.
    BucketNotListed = "bucket_not_listed" at Receive,
    /// The message names an object that is not there, nor was at earlier deliveries.
    ObjectMissing = "object_missing" at Receive,
    /// One object may not be read, while others of its bucket may; or it is archived.
    ObjectDenied = "object_denied" at Receive,
    /// An object is damaged, or ends too early, or holds no JSON, or next to no events.
    BrokenObject = "broken_object" at Receive,
    /// The message, or what carries data in it, claims base64 and is not.
    NotBase64 = "not_base64" at Decode,
    /// The gzip data is cut off or damaged.
    BrokenGzip = "broken_gzip" at Decode,
    /// The message would unpack to more bytes than one of its size may.
    TooLargeUnpacked = "too_large_unpacked" at Decode,
    /// The aggregate of Kinesis records is cut off or damaged.
    BrokenAggregate = "broken_aggregate" at Decode,
    /// The bytes are not UTF-8.
    NotUtf8 = "not_utf8" at Decode,
    /// The text is not JSON (`NaN`, trailing commas and truncated text included).
    NotJson = "not_json" at Decode,
    /// Nested deeper than is followed, or in too many envelopes.
    TooDeep = "too_deep" at Decode,
    /// One object has the same key twice: two readers could see two different events.
    DuplicateKey = "duplicate_key" at Decode,
    /// A string holds half of a surrogate pair, which no UTF-8 text can.
    LoneSurrogate = "lone_surrogate" at Decode,
    /// The message holds no event at all.
    NoEvents = "no_events" at Decode,
    /// The message holds more events than any real one can.
    TooManyEvents = "too_many_events" at Decode,
    /// The checksum that came with the event does not fit it.
    ChecksumMismatch = "checksum_mismatch" at Decode,
    /// An envelope without what it should hold, or a notification that names no object.
    BrokenEnvelope = "broken_envelope" at Decode,
    /// SNS asks whether a subscription is wanted, which is not ours to say.
    SnsConfirmation = "sns_confirmation" at Decode,
    /// JSON, but not an object.
    NotAnObject = "not_an_object" at Decode,
    /// An object in no format that is known.
    UnknownFormat = "unknown_format" at Identify,
    /// The format's id field is absent, empty or not a string, or its mapping cannot tell an id.
    NoId = "no_id" at Identify,
    /// The declared id cannot be kept: longer than any id may be.
    IdTooLong = "id_too_long" at Identify,
    /// No destination wants the event.
    NoRoute = "no_route" at Identify,
    /// A condition of a route or of a filter has no answer for the event.
    RouteFailed = "route_failed" at Identify,
    /// The same id came before with other content: possibly tampering.
    IdConflict = "id_conflict" at Dedupe,
    /// It cannot be told what of the event must not reach the lake.
    RedactFailed = "redact_failed" at Map,
    /// A required field is absent or empty.
    MissingField = "missing_field" at Map,
    /// A field has a type that the schema does not allow.
    WrongType = "wrong_type" at Map,
    /// The event time is no time.
    BadTime = "bad_time" at Map,
    /// The format's own mapping says that it cannot map this event, or does not fit it.
    MappingFailed = "mapping_failed" at Map,
    /// A version that this program does not know how to read.
    UnknownVersion = "unknown_version" at Map,
    /// A required field is longer than the lake allows.
    FieldTooLong = "field_too_long" at Validate,
    /// An optional field breaks the schema and the policy says `reject`.
    FieldRejected = "field_rejected" at Validate,
    /// What did not fit its field does not fit `additionalEventData` either.
    OverflowTooLarge = "overflow_too_large" at Validate,
    /// The event as a whole is larger than the lake allows.
    EventTooLarge = "event_too_large" at Validate,
    /// The lake refused this event for its content.
    Refused = "refused" at Publish,
}

/// The stages in the order in which an event meets them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named for the modules")]
pub enum Stage {
    Receive,
    Decode,
    Identify,
    Dedupe,
    Map,
    Validate,
    Publish,
}

impl Stage {
    /// As written on letters, metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Decode => "decode",
            Self::Identify => "identify",
            Self::Dedupe => "dedupe",
            Self::Map => "map",
            Self::Validate => "validate",
            Self::Publish => "publish",
        }
    }
}

/// An error with its causes, in one line. Not its `Debug` form, which may hold a whole request or answer.
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| (*error).source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Whether a service's code asks for fewer calls: `Throttling`, `ThrottlingException`, `RequestThrottled` and their like,
/// and the `ProvisionedThroughputExceededException` of tables and streams.
pub fn is_throttling(code: &str) -> bool {
    code.contains("Throttl") || code.contains("ThroughputExceeded")
}

/// Why a call to the outside failed as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// Nobody's fault that lasts: throttled, timed out, unreachable, 5xx. Again later.
    #[error("{message}")]
    Transient {
        /// The service's error code, or ours (`timeout`, `unreachable`); a metric label.
        code: Cow<'static, str>,
        /// For the log.
        message: String,
    },
    /// Ours: a wrong ARN, no permission, no credentials. Waiting does not cure it; an operator does.
    #[error("{message}")]
    Misconfigured {
        /// The service's error code, or ours; a metric label.
        code: Cow<'static, str>,
        /// For the log; names the cure.
        message: String,
    },
    /// Something in the request is at fault, and the answer does not say which event.
    #[error("{message}")]
    BadRequest {
        /// The service's error code.
        code: Cow<'static, str>,
        /// For the log.
        message: String,
    },
}

impl CallError {
    /// A [`CallError::Transient`].
    pub fn transient(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::Transient { code: code.into(), message: message.into() }
    }

    /// A [`CallError::Misconfigured`].
    pub fn misconfigured(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::Misconfigured { code: code.into(), message: message.into() }
    }

    /// Whether the same call may succeed later without anybody's help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Transient { .. })
    }

    /// The code, whatever the class.
    pub fn code(&self) -> &str {
        match self {
            Self::Transient { code, .. }
            | Self::Misconfigured { code, .. }
            | Self::BadRequest { code, .. } => code,
        }
    }
}
