//! Does the lake hold what the publish log says? In: the records of a window, and the lake's rows. Out: which `UID`s are
//! missing in the lake, doubled in it, or not in the log.
//!
//! The comparison is pure and keeps 16 bytes of each `UID`'s SHA-256, with its counts: a million events take 80 MB at
//! most, while the table grows. The log is read twice, because only a second look can name what is missing.

pub mod cloudtrail;
pub mod local;

use std::collections::BTreeMap;

use async_trait::async_trait;
use hashbrown::HashMap;
use serde::Serialize;
use sha2::{Digest, Sha256};
use time::{Date, Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use crate::publish_log::Record;

/// `UID`s that are compared at once: more than 1.2 GB of memory is nobody's wish.
pub const UIDS_MAX: usize = 20_000_000;

/// Records this far outside of the window are known, so that a row which the lake took in on the other side of its
/// edge is not taken for an unlogged one.
const EDGE: Duration = Duration::HOUR;

/// Which records are compared.
#[derive(Clone, Debug)]
pub struct Window {
    /// Accepted at this time or later.
    pub from: OffsetDateTime,
    /// Accepted before this time.
    pub to: OffsetDateTime,
    /// Of this destination only.
    pub destination: Option<String>,
}

/// Rows of a lake that share a `UID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// `eventData.UID`.
    pub uid: String,
    /// How many.
    pub copies: u64,
    /// When the lake took the first of them in, if that can be told.
    pub ingested: Option<OffsetDateTime>,
}

/// A lake that is asked for its rows.
#[async_trait]
pub trait Rows: Send {
    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// The lake could not be asked.
    async fn next(&mut self) -> Result<Option<Vec<Row>>, RowsError>;

    /// Tells the lake that nobody waits any more.
    async fn cancel(&mut self) {}
}

/// Why a lake's rows are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// A local lake.
    #[error(transparent)]
    Local(#[from] crate::local::LakeClientError),
    /// A local lake that is none of ours.
    #[error("the local lake has a row without a UID")]
    Unreadable,
    /// CloudTrail Lake.
    #[error(transparent)]
    CloudTrail(#[from] cloudtrail::QueryError),
}

/// There are more events in the window than are compared at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the window holds more than {UIDS_MAX} events; compare shorter windows one after another")]
pub struct TooMany;

/// So many, and the first of them by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Listed {
    /// How many different `UID`s.
    pub count: u64,
    /// At most as many as were asked for.
    pub uids: Vec<String>,
}

impl Listed {
    fn add(&mut self, uid: &str, limit: usize) {
        self.count += 1;
        if self.uids.len() < limit {
            self.uids.push(uid.to_owned());
        }
    }
}

/// What came out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Records in the window.
    pub records: u64,
    /// Different `UID`s among them.
    pub uids: u64,
    /// Rows that the lake showed, of the window or not.
    pub rows: u64,
    /// Logged, and not in the lake.
    pub missing: Listed,
    /// More than once in the lake.
    pub doubled: Listed,
    /// In the lake, and not in the log.
    pub unlogged: Listed,
}

/// What is known of one `UID`.
#[derive(Clone, Copy, Default)]
struct Standing {
    is_logged: bool,
    is_in_window: bool,
    is_named: bool,
    rows: u32,
}

/// The first 16 bytes of a `UID`'s SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct UidDigest([u8; 16]);

impl UidDigest {
    fn of(uid: &str) -> Self {
        let mut first = [0; 16];
        first.iter_mut().zip(Sha256::digest(uid)).for_each(|(to, from)| *to = from);
        Self(first)
    }
}

/// The first and last event time of each day, in seconds UTC.
pub type EventTimes = BTreeMap<Date, (OffsetDateTime, OffsetDateTime)>;

/// A comparison under way: first all records, then all rows, then all records again.
pub struct Comparison {
    window: Window,
    limit: usize,
    standings: HashMap<UidDigest, Standing>,
    event_times: EventTimes,
    outcome: Outcome,
}

impl Comparison {
    /// Of this window; names at most `limit` `UID`s of each kind.
    pub fn new(window: Window, limit: usize) -> Self {
        Self {
            window,
            limit,
            standings: HashMap::new(),
            event_times: EventTimes::new(),
            outcome: Outcome::default(),
        }
    }

    /// When the events of the window happened, by their own account: where a lake that is partitioned by event time
    /// has to be searched, and nowhere else.
    pub fn event_times(&self) -> &EventTimes {
        &self.event_times
    }

    /// First pass: a record of the log, in the window or not.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn record(&mut self, record: &Record) -> Result<(), TooMany> {
        let Some(is_in_window) = self.place(record) else { return Ok(()) };
        let standing = standing(&mut self.standings, UidDigest::of(&record.uid))?;
        standing.is_logged = true;
        if is_in_window {
            self.outcome.uids += u64::from(!standing.is_in_window);
            standing.is_in_window = true;
            self.outcome.records += 1;
            if let Ok(time) = OffsetDateTime::parse(&record.event_time, &Rfc3339) {
                let (first, last) = self.event_times.entry(time.date()).or_insert((time, time));
                (*first, *last) = ((*first).min(time), (*last).max(time));
            }
        }
        Ok(())
    }

    /// Second: rows of the lake.
    ///
    /// # Errors
    /// [`TooMany`].
    pub fn row(&mut self, row: &Row) -> Result<(), TooMany> {
        self.outcome.rows += row.copies;
        let digest = UidDigest::of(&row.uid);
        let is_of_window = match self.standings.get(&digest) {
            Some(standing) => standing.is_in_window || !standing.is_logged,
            None => row.ingested.is_none_or(|at| (self.window.from..self.window.to).contains(&at)),
        };
        if !is_of_window {
            return Ok(());
        }
        let standing = standing(&mut self.standings, digest)?;
        let before = standing.rows;
        standing.rows = before.saturating_add(u32::try_from(row.copies).unwrap_or(u32::MAX));
        if before == 0 && !standing.is_logged {
            self.outcome.unlogged.add(&row.uid, self.limit);
        }
        if before <= 1 && standing.rows > 1 {
            self.outcome.doubled.add(&row.uid, self.limit);
        }
        Ok(())
    }

    /// Third: the same records again, to name those that the lake does not have.
    pub fn look_for(&mut self, record: &Record) {
        if self.place(record) != Some(true) {
            return;
        }
        if let Some(standing) = self.standings.get_mut(&UidDigest::of(&record.uid))
            && standing.rows == 0
            && !standing.is_named
        {
            standing.is_named = true;
            self.outcome.missing.add(&record.uid, self.limit);
        }
    }

    /// What came out.
    pub fn finish(self) -> Outcome {
        self.outcome
    }

    /// Whether a record is in the window; `None` if it is nowhere near, or of another destination.
    fn place(&self, record: &Record) -> Option<bool> {
        let Window { from, to, destination } = &self.window;
        if destination.as_ref().is_some_and(|wanted| *wanted != record.destination) {
            return None;
        }
        let at = OffsetDateTime::parse(&record.time, &Rfc3339).ok()?;
        let is_near = at.saturating_add(EDGE) >= *from && at < to.saturating_add(EDGE);
        is_near.then(|| (*from..*to).contains(&at))
    }
}

fn standing(
    standings: &mut HashMap<UidDigest, Standing>,
    digest: UidDigest,
) -> Result<&mut Standing, TooMany> {
    if standings.len() >= UIDS_MAX && !standings.contains_key(&digest) {
        return Err(TooMany);
    }
    Ok(standings.entry(digest).or_default())
}

#[cfg(test)]
mod tests;
