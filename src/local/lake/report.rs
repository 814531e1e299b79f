//! What the lake's admin API says, as types that its client reads back.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::local::Faults;

/// Answer of `GET /lake/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LakeStatus {
    /// Version of the program that serves the lake.
    pub version: String,
    /// Events stored since the lake was made or cleared.
    pub stored: u64,
    /// Different `UID`s among them; absent when they are not counted.
    pub distinct_uids: Option<u64>,
    /// `UID`s that are stored more than once; absent when they are not counted.
    pub repeated_uids: Option<u64>,
    /// How many of the newest events can still be listed.
    pub listed: u64,
    /// Puts by outcome: `Accepted`, `ConnectionClosed`, `ReplyDropped`, or the request's error code.
    pub puts: BTreeMap<String, u64>,
    /// Entries that failed inside accepted puts, by code.
    pub failed_entries: BTreeMap<String, u64>,
    /// Entries that were stored and not mentioned in the answer.
    pub forgotten_entries: u64,
    /// The channels that exist; absent when every well-formed ARN is one.
    pub channels: Option<Vec<String>>,
    /// The faults in force.
    pub faults: Faults,
    /// What their random numbers started from.
    pub seed: u64,
    /// The limits that are enforced.
    pub limits: LakeLimits,
}

/// The limits of one put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LakeLimits {
    /// Entries of one request.
    pub events_max: usize,
    /// Bytes of the request body.
    pub put_bytes_max: usize,
    /// Bytes of one `eventData`.
    pub event_data_bytes_max: usize,
}

/// Which events to list: those that match all that is given.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventQuery {
    /// At most this many, 1 to 1,000; 50 when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Go on after the page that ended with this `next`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Newest first (the default) or oldest first.
    #[serde(default)]
    pub order: Order,
    /// This `eventData.UID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// This `eventData.eventSource`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// This `eventData.eventName`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The order of a listing, by time of storing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Order {
    #[default]
    Newest,
    Oldest,
}

/// Answer of `GET /lake/events`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EventPage {
    /// In the order asked for.
    pub events: Vec<LakeEvent>,
    /// Pass as `after` for the next page; absent at the end.
    pub next: Option<u64>,
}

/// One stored row, with the columns that CloudTrail Lake stores.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/query-integration-event-schema.html>
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "named as the schema names them")]
pub struct LakeEvent {
    pub event_version: String,
    pub event_category: String,
    pub event_type: String,
    #[serde(rename = "eventID")]
    pub event_id: String,
    pub event_time: String,
    pub aws_region: String,
    pub recipient_account_id: String,
    pub metadata: LakeMetadata,
    /// The JSON text that was sent, byte for byte.
    pub event_data: Box<RawValue>,
}

/// Where and when a row was stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "named as the schema names them")]
pub struct LakeMetadata {
    #[serde(rename = "ingestionTime")]
    pub ingestion_time: String,
    #[serde(rename = "channelARN")]
    pub channel_arn: String,
}

impl fmt::Debug for LakeEvent {
    /// Without the event's data, which belongs in no log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LakeEvent").field("event_id", &self.event_id).finish_non_exhaustive()
    }
}
