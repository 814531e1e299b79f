//! A local lake as one side of the comparison. In: its admin API. Out: its rows, oldest first, a page at a time.

use std::borrow::Cow;

use async_trait::async_trait;
use serde::Deserialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{Row, Rows, RowsError};
use crate::local::{EventQuery, LakeClient, LakeEvent, Order};

/// The largest page that the lake gives.
const PAGE: usize = 1_000;

/// All rows of a local lake: it keeps no order by time that could be asked for less.
pub struct LocalRows {
    lake: LakeClient,
    query: EventQuery,
    channel_arn: Option<String>,
    has_ended: bool,
}

impl LocalRows {
    /// Of this lake, or of one channel of it.
    pub fn new(lake: LakeClient, channel_arn: Option<String>) -> Self {
        let query = EventQuery { limit: Some(PAGE), order: Order::Oldest, ..EventQuery::default() };
        Self { lake, query, channel_arn, has_ended: false }
    }
}

#[async_trait]
impl Rows for LocalRows {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, RowsError> {
        if self.has_ended {
            return Ok(None);
        }
        let page = self.lake.events(&self.query).await?;
        self.query.after = page.next;
        self.has_ended = page.next.is_none();
        let channel = self.channel_arn.as_deref();
        let is_asked_for = |event: &&LakeEvent| channel.is_none_or(|arn| arn == event.metadata.channel_arn);
        Ok(Some(page.events.iter().filter(is_asked_for).map(row).collect::<Result<_, _>>()?))
    }
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(rename = "UID", borrow)]
    uid: Cow<'a, str>,
}

/// The lake checked every row before it stored it: each has a `UID`.
fn row(event: &LakeEvent) -> Result<Row, RowsError> {
    let named: Named<'_> = serde_json::from_str(event.event_data.get()).map_err(|_| RowsError::Unreadable)?;
    let ingested = OffsetDateTime::parse(&event.metadata.ingestion_time, &Rfc3339).ok();
    Ok(Row { uid: named.uid.into_owned(), copies: 1, ingested })
}
