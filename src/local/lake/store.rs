//! What the lake holds. In: rows that passed every check. Out: counts, and rows in pages.
//!
//! In memory the newest rows are kept whole and the counts stay exact; with a folder every row is on disk.

use std::{
    borrow::Cow,
    collections::{HashSet, VecDeque},
    hash::{BuildHasherDefault, Hasher},
    sync::Arc,
};

use redb::ReadableTable;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{
    channel,
    report::{EventPage, EventQuery, LakeEvent, LakeMetadata, Order},
};
use crate::local::disk::{Disk, DiskError, EVENT_IDS, EVENTS};

/// Rows of a page when the query does not say.
const PAGE: usize = 50;
/// Most bytes of event data that are kept in memory to be listed.
const RETAIN_BYTES: usize = 512 << 20;
/// Most rows of one page.
const PAGE_MAX: usize = 1000;

/// One stored event.
pub(super) struct Row {
    pub(super) event_id: Uuid,
    pub(super) ingested_ms: i64,
    pub(super) channel_arn: Arc<str>,
    pub(super) data: String,
}

/// First half of the SHA-256 of a `UID`: 16 bytes a piece keep the count of ten million exact in practice.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct UidDigest(u128);

impl UidDigest {
    pub(super) fn of(uid: &str) -> Self {
        let digest = Sha256::digest(uid);
        Self(digest.iter().take(16).fold(0, |whole, byte| whole << 8 | u128::from(*byte)))
    }
}

/// A digest is random already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "half of a digest is as random as the whole")]
    fn write_u128(&mut self, digest: u128) {
        self.0 = digest as u64;
    }
}

type Digests = HashSet<UidDigest, BuildHasherDefault<AsIs>>;

/// Which `UID`s were stored, and which of them more than once.
#[derive(Default)]
struct Uids {
    seen: Digests,
    repeated: Digests,
}

/// Rows and counts.
pub(super) struct Store {
    disk: Option<Arc<Disk>>,
    /// Newest last; empty when the rows are on disk.
    rows: VecDeque<(u64, Row)>,
    /// Bytes of event data in `rows`.
    bytes: usize,
    retain_rows: usize,
    retain_bytes: usize,
    next: u64,
    stored: u64,
    uids: Option<Uids>,
}

impl Store {
    /// Reads what is on disk, if there is one.
    pub(super) fn open(
        disk: Option<Arc<Disk>>,
        retain_rows: usize,
        count_uids: bool,
    ) -> Result<Self, DiskError> {
        let uids = count_uids.then(Uids::default);
        let mut store = Self {
            disk: disk.clone(),
            rows: VecDeque::new(),
            bytes: 0,
            retain_rows,
            retain_bytes: RETAIN_BYTES,
            next: 0,
            stored: 0,
            uids,
        };
        let Some(disk) = disk else { return Ok(store) };
        disk.read(|transaction| {
            for row in transaction.open_table(EVENTS)?.iter()? {
                let (number, value) = row?;
                store.next = number.value() + 1;
                store.stored += 1;
                let uid = Keys::read(value.value().3).uid.as_deref().map_or(UidDigest(0), UidDigest::of);
                store.count(uid);
            }
            Ok(())
        })?;
        Ok(store)
    }

    /// Stores rows, all or none.
    pub(super) fn append(&mut self, rows: Vec<(UidDigest, Row)>) -> Result<(), DiskError> {
        if let Some(disk) = &self.disk {
            disk.write(|transaction| {
                let mut events = transaction.open_table(EVENTS)?;
                let mut ids = transaction.open_table(EVENT_IDS)?;
                for (number, (_, row)) in (self.next..).zip(&rows) {
                    let id = row.event_id.as_u128();
                    events.insert(number, (id, row.ingested_ms, &*row.channel_arn, row.data.as_str()))?;
                    ids.insert(id, number)?;
                }
                Ok(())
            })?;
        }
        for (digest, row) in rows {
            self.count(digest);
            self.stored += 1;
            if self.disk.is_none() {
                self.retain(row);
            }
            self.next += 1;
        }
        Ok(())
    }

    /// Keeps a row whole, and lets go of the oldest that there is no room for.
    fn retain(&mut self, row: Row) {
        self.bytes += row.data.len();
        self.rows.push_back((self.next, row));
        while (self.rows.len() > self.retain_rows || self.bytes > self.retain_bytes)
            && let Some((_, oldest)) = self.rows.pop_front()
        {
            self.bytes -= oldest.data.len();
        }
    }

    fn count(&mut self, digest: UidDigest) {
        if let Some(uids) = &mut self.uids
            && !uids.seen.insert(digest)
        {
            uids.repeated.insert(digest);
        }
    }

    /// Forgets every row and every count.
    pub(super) fn clear(&mut self) -> Result<(), DiskError> {
        if let Some(disk) = &self.disk {
            disk.write(|transaction| {
                transaction.delete_table(EVENTS)?;
                transaction.delete_table(EVENT_IDS)?;
                transaction.open_table(EVENTS)?;
                transaction.open_table(EVENT_IDS)?;
                Ok(())
            })?;
        }
        self.rows.clear();
        (self.bytes, self.stored) = (0, 0);
        self.uids = self.uids.take().map(|_| Uids::default());
        Ok(())
    }

    pub(super) fn stored(&self) -> u64 {
        self.stored
    }

    pub(super) fn listed(&self) -> u64 {
        if self.disk.is_some() { self.stored } else { self.rows.len() as u64 }
    }

    pub(super) fn distinct_uids(&self) -> Option<u64> {
        self.uids.as_ref().map(|uids| uids.seen.len() as u64)
    }

    pub(super) fn repeated_uids(&self) -> Option<u64> {
        self.uids.as_ref().map(|uids| uids.repeated.len() as u64)
    }

    /// Rows that match, one page of them.
    pub(super) fn page(&self, query: &EventQuery) -> Result<EventPage, DiskError> {
        let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
        let mut page = EventPage { events: Vec::new(), next: None };
        let mut last = None;
        self.visit(query.order, query.after, |number, row| {
            if !row.matches(query) {
                return true;
            }
            if page.events.len() == limit {
                page.next = last;
                return false;
            }
            last = Some(number);
            page.events.extend(row.render());
            true
        })?;
        Ok(page)
    }

    /// Shows rows in order, beginning after a number, until `go_on` says no.
    fn visit(
        &self,
        order: Order,
        after: Option<u64>,
        mut go_on: impl FnMut(u64, RowRef<'_>) -> bool,
    ) -> Result<(), DiskError> {
        let range = match (order, after) {
            (Order::Oldest, after) => after.map_or(0, |after| after + 1)..u64::MAX,
            (Order::Newest, after) => 0..after.unwrap_or(u64::MAX),
        };
        let Some(disk) = &self.disk else {
            let at = |number| self.rows.partition_point(|(other, _)| *other < number);
            let mut rows = self.rows.range(at(range.start)..at(range.end));
            let mut next = || if order == Order::Oldest { rows.next() } else { rows.next_back() };
            while let Some((number, row)) = next()
                && go_on(*number, row.as_ref())
            {}
            return Ok(());
        };
        disk.read(|transaction| {
            let mut rows = transaction.open_table(EVENTS)?.range(range)?;
            let mut next = || if order == Order::Oldest { rows.next() } else { rows.next_back() };
            while let Some((number, value)) = next().transpose()? {
                if !go_on(number.value(), RowRef::from(value.value())) {
                    break;
                }
            }
            Ok(())
        })
    }

    /// The row with this event id.
    pub(super) fn find(&self, event_id: Uuid) -> Result<Option<LakeEvent>, DiskError> {
        let Some(disk) = &self.disk else {
            let found = self.rows.iter().rev().find(|(_, row)| row.event_id == event_id);
            return Ok(found.and_then(|(_, row)| row.as_ref().render()));
        };
        disk.read(|transaction| {
            let number = transaction.open_table(EVENT_IDS)?.get(event_id.as_u128())?;
            let Some(number) = number.map(|number| number.value()) else { return Ok(None) };
            let value = transaction.open_table(EVENTS)?.get(number)?;
            Ok(value.and_then(|value| RowRef::from(value.value()).render()))
        })
    }
}

/// A row, wherever it is kept.
#[derive(Clone, Copy)]
struct RowRef<'a> {
    event_id: Uuid,
    ingested_ms: i64,
    channel_arn: &'a str,
    data: &'a str,
}

impl<'a> From<(u128, i64, &'a str, &'a str)> for RowRef<'a> {
    fn from((id, ingested_ms, channel_arn, data): (u128, i64, &'a str, &'a str)) -> Self {
        Self { event_id: Uuid::from_u128(id), ingested_ms, channel_arn, data }
    }
}

impl Row {
    fn as_ref(&self) -> RowRef<'_> {
        RowRef {
            event_id: self.event_id,
            ingested_ms: self.ingested_ms,
            channel_arn: &self.channel_arn,
            data: &self.data,
        }
    }
}

impl RowRef<'_> {
    fn matches(&self, query: &EventQuery) -> bool {
        let wanted = [&query.uid, &query.source, &query.name];
        if wanted.iter().all(|filter| filter.is_none()) {
            return true;
        }
        let keys = Keys::read(self.data);
        let found = [keys.uid, keys.source, keys.name];
        wanted
            .iter()
            .zip(found)
            .all(|(filter, found)| filter.is_none() || filter.as_deref() == found.as_deref())
    }

    /// The row as it is shown. Everything in it was checked before it was stored.
    fn render(&self) -> Option<LakeEvent> {
        let channel = channel::parse(self.channel_arn)?;
        let nanoseconds = i128::from(self.ingested_ms) * 1_000_000;
        Some(LakeEvent {
            event_version: "1.0".to_owned(),
            event_category: "ActivityAuditLog".to_owned(),
            event_type: "ActivityLog".to_owned(),
            event_id: self.event_id.to_string(),
            event_time: Keys::read(self.data).time.unwrap_or_default().into_owned(),
            aws_region: channel.region,
            recipient_account_id: channel.account,
            metadata: LakeMetadata {
                ingestion_time: OffsetDateTime::from_unix_timestamp_nanos(nanoseconds)
                    .ok()?
                    .format(&Rfc3339)
                    .ok()?,
                channel_arn: channel.arn,
            },
            event_data: RawValue::from_string(self.data.to_owned()).ok()?,
        })
    }
}

/// What rows are found by.
#[derive(Default, Deserialize)]
struct Keys<'a> {
    #[serde(borrow, rename = "UID")]
    uid: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "eventSource")]
    source: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "eventName")]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "eventTime")]
    time: Option<Cow<'a, str>>,
}

impl<'a> Keys<'a> {
    fn read(data: &'a str) -> Self {
        serde_json::from_str(data).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_events_are_let_go_before_they_fill_the_memory_and_still_count() {
        let mut store = Store::open(None, usize::MAX, true).unwrap();
        store.retain_bytes = 20;
        for uid in ["a", "b", "c", "d"] {
            let row = Row {
                event_id: Uuid::nil(),
                ingested_ms: 0,
                channel_arn: "arn".into(),
                data: "x".repeat(10),
            };
            store.append(vec![(UidDigest::of(uid), row)]).unwrap();
        }
        assert_eq!((store.stored(), store.listed(), store.distinct_uids()), (4, 2, Some(4)));
        assert_eq!(store.bytes, 20);
    }
}
