//! What the parts of a message can be, besides events: places where events are, and news that holds none.

use std::fmt;

use super::Sum;
use crate::{
    event::RawEvent,
    failure::{Reason, Rejection},
};

/// What one part of a message turned out to be.
#[derive(Debug)]
pub enum Found {
    /// An event: what stage 3 works on.
    Event(RawEvent),
    /// It says where events are: an object of S3, which stage 1 has to fetch.
    Object(ObjectRef),
    /// No event, and nobody's mistake: a test, or a sign of life.
    Notice(Notice),
    /// It should have been an event.
    Rejected(Rejection),
}

impl Found {
    /// The event, or why there is none here.
    ///
    /// # Errors
    /// Also [`Reason::NoEvents`] for what is no event and no mistake, so that a caller who wants events can say so.
    pub fn into_event(self) -> Result<RawEvent, Rejection> {
        match self {
            Self::Event(raw) => Ok(raw),
            Self::Rejected(rejection) => Err(rejection),
            Self::Object(_) => {
                Err(Rejection::new(Reason::NoEvents, "names an S3 object; its events are there"))
            }
            Self::Notice(notice) => Err(Rejection::new(Reason::NoEvents, notice.sentence())),
        }
    }
}

/// An object of S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRef {
    /// The bucket's name.
    pub bucket: String,
    /// The key as S3 knows it: decoded, where the notification had it URL-encoded.
    pub key: String,
    /// Which version, where the notification says it.
    pub version: Option<String>,
    /// Bytes as stored, where the notification says it.
    pub bytes: Option<u64>,
    /// It is no file of records: all its bytes, which have this sum, are to be read as if they were the message.
    pub whole: Option<Sum>,
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// What services send besides events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// S3, when notifications are set up: `s3:TestEvent`.
    S3Test,
    /// S3, of anything but a new object: a removal, a restore, a tag. Nothing came, so nothing is lost.
    S3Other,
    /// `CloudTrail`, when a trail's SNS topic is set up: "CloudTrail validation message."
    CloudTrailValidation,
    /// `CloudWatch` Logs, to see whether a subscription is reachable: `CONTROL_MESSAGE`.
    LogsControl,
    /// A `CloudTrail` digest file: hashes of log files.
    Digest,
    /// A `CloudTrail` Insights file: about activity, no activity itself.
    Insight,
    /// An S3 object without a single record, such as the mark of a folder.
    EmptyObject,
}

impl Notice {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::S3Test,
        Self::S3Other,
        Self::CloudTrailValidation,
        Self::LogsControl,
        Self::Digest,
        Self::Insight,
        Self::EmptyObject,
    ];

    /// As a metric label.
    pub fn name(self) -> &'static str {
        match self {
            Self::S3Test => "s3_test",
            Self::S3Other => "s3_other",
            Self::CloudTrailValidation => "cloudtrail_validation",
            Self::LogsControl => "logs_control",
            Self::Digest => "digest",
            Self::Insight => "insight",
            Self::EmptyObject => "empty_object",
        }
    }

    /// For people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::S3Test => "S3's test event, sent when notifications are set up",
            Self::S3Other => "S3's notice of something other than a new object, which brings no events",
            Self::CloudTrailValidation => "CloudTrail's test message, sent when a trail's topic is set up",
            Self::LogsControl => "CloudWatch Logs' test message, sent to see whether the subscription works",
            Self::Digest => "a CloudTrail digest file, which holds hashes and no events",
            Self::Insight => "a CloudTrail Insights file, which holds no audit events",
            Self::EmptyObject => "an S3 object that holds no records",
        }
    }
}
