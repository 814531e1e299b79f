//! CloudTrail Lake as one side of the comparison. In: `StartQuery` and `GetQueryResults`. Out: rows, a page at a time.
//!
//! A lake is partitioned by event time and each query costs by what it reads, so the search is bounded by the event
//! times that the log has, day by day. SQL is built from times and ids that were parsed here, and from no text that
//! came with an event.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/query-limitations.html>
//! <https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_StartQuery.html>

use std::{collections::HashMap, time::Duration};

use async_trait::async_trait;
use aws_sdk_cloudtrail::{Client, types::QueryStatus};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{EventTimes, Row, Rows, RowsError};
use crate::{
    aws::{Aws, Failure, failure},
    config::ChannelArn,
    intervals::Intervals,
};

/// Rows of one page: the most that `GetQueryResults` gives.
const PAGE: i32 = 1_000;
/// Days that one statement asks for. A day takes some 90 characters.
const DAYS_MAX: usize = 100;
/// Characters of one statement.
pub const STATEMENT_CHARS_MAX: usize = 10_000;
/// Longest wait for one query: it is ended by CloudTrail after an hour.
const QUERY_TIME_MAX: Duration = Duration::from_mins(65);
/// Longest wait for one of the ten queries that may run at once in an account.
const TURN_TIME_MAX: Duration = Duration::from_mins(10);

/// An event data store: where to ask, and its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventDataStore {
    /// Its Region.
    pub region: String,
    /// What stands after `FROM`.
    pub id: Uuid,
}

impl EventDataStore {
    /// Reads `arn:<partition>:cloudtrail:<region>:<account>:eventdatastore/<uuid>`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(arn: &str) -> Result<Self, String> {
        let wrong = || {
            "is no ARN of an event data store; the form is \
             arn:aws:cloudtrail:REGION:ACCOUNT:eventdatastore/UUID"
                .to_owned()
        };
        // A channel's ARN has the same form up to its resource.
        let (head, id) = arn.split_once(":eventdatastore/").ok_or_else(wrong)?;
        let ChannelArn { region, .. } =
            ChannelArn::parse(&format!("{head}:channel/{id}")).map_err(|_| wrong())?;
        let id = Uuid::try_parse(id).ok().filter(|uuid| uuid.hyphenated().to_string() == id);
        Ok(Self { region, id: id.ok_or_else(wrong)? })
    }
}

/// Why CloudTrail Lake's rows are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// A call failed.
    #[error(
        "{action} failed with {code}: {message}; it needs cloudtrail:StartQuery, GetQueryResults and CancelQuery"
    )]
    Call {
        /// The action.
        action: &'static str,
        /// CloudTrail's code, or ours.
        code: String,
        /// Its sentence.
        message: String,
    },
    /// The query ended without rows.
    #[error("query {id} ended as {status}: {message}")]
    Ended {
        /// Its id.
        id: String,
        /// `FAILED`, `CANCELLED` or `TIMED_OUT`.
        status: String,
        /// Why.
        message: String,
    },
    /// The query has a result that cannot be read.
    #[error("query {id} has a row without a UID or a count")]
    Unreadable {
        /// Its id.
        id: String,
    },
    /// It took too long.
    #[error("query {id} was not done after {} minutes", QUERY_TIME_MAX.as_secs() / 60)]
    TooSlow {
        /// Its id.
        id: String,
    },
}

/// The rows of an event data store, one for each `UID` of a statement.
pub struct LakeRows {
    client: Client,
    /// Not yet asked, the next one last.
    statements: Vec<String>,
    query: Option<Query>,
}

struct Query {
    id: String,
    next_token: Option<String>,
}

impl LakeRows {
    /// Those whose events happened at these times, of one channel or of all.
    pub fn new(
        aws: &Aws,
        store: &EventDataStore,
        event_times: &EventTimes,
        channel: Option<&ChannelArn>,
    ) -> Self {
        let mut statements = statements(store, event_times, channel);
        statements.reverse();
        Self { client: aws.cloudtrail(&store.region), statements, query: None }
    }

    /// Waits for a turn: ten queries may run at once.
    async fn start(&self, statement: &str) -> Result<Query, QueryError> {
        let mut intervals = Intervals::new(Duration::from_secs(1), Duration::from_secs(20));
        let asked = Instant::now();
        loop {
            let failed = match self.client.start_query().query_statement(statement).send().await {
                Ok(started) => {
                    return Ok(Query { id: started.query_id.unwrap_or_default(), next_token: None });
                }
                Err(error) => failure(&error),
            };
            if failed.code != "MaxConcurrentQueriesException" || asked.elapsed() > TURN_TIME_MAX {
                return Err(said("StartQuery", failed));
            }
            sleep(intervals.next_interval()).await;
        }
    }

    /// The next page, once there is one.
    async fn page(&self, query: &Query) -> Result<(Vec<Row>, Option<String>), QueryError> {
        let mut intervals = Intervals::new(Duration::from_millis(500), Duration::from_secs(10));
        let asked = Instant::now();
        loop {
            let call = self.client.get_query_results().query_id(&query.id).max_query_results(PAGE);
            let answer = call.set_next_token(query.next_token.clone()).send().await;
            let answer = answer.map_err(|error| said("GetQueryResults", failure(&error)))?;
            match answer.query_status() {
                Some(QueryStatus::Finished) => {
                    let rows: Option<_> = answer.query_result_rows().iter().map(|row| read(row)).collect();
                    let rows = rows.ok_or_else(|| QueryError::Unreadable { id: query.id.clone() })?;
                    return Ok((rows, answer.next_token.filter(|token| !token.is_empty())));
                }
                Some(QueryStatus::Queued | QueryStatus::Running) | None => {}
                Some(status) => {
                    let message = answer.error_message().unwrap_or("no reason was given").to_owned();
                    let status = status.as_str().to_owned();
                    return Err(QueryError::Ended { id: query.id.clone(), status, message });
                }
            }
            if asked.elapsed() > QUERY_TIME_MAX {
                return Err(QueryError::TooSlow { id: query.id.clone() });
            }
            sleep(intervals.next_interval()).await;
        }
    }
}

#[async_trait]
impl Rows for LakeRows {
    async fn next(&mut self) -> Result<Option<Vec<Row>>, RowsError> {
        if self.query.is_none() {
            let Some(statement) = self.statements.pop() else { return Ok(None) };
            self.query = Some(self.start(&statement).await?);
        }
        let Some(query) = &self.query else { return Ok(None) };
        let answered = self.page(query).await;
        if let Err(QueryError::Ended { .. }) = &answered {
            self.query = None;
        }
        let (rows, next_token) = answered?;
        self.query = match (next_token, self.query.take()) {
            (Some(token), Some(query)) => Some(Query { next_token: Some(token), ..query }),
            _ => None,
        };
        Ok(Some(rows))
    }

    async fn cancel(&mut self) {
        if let Some(query) = self.query.take() {
            // A query that is done cannot be cancelled, which is as good.
            drop(self.client.cancel_query().query_id(query.id).send().await);
        }
    }
}

fn said(action: &'static str, failed: Failure) -> QueryError {
    QueryError::Call { action, code: failed.code, message: failed.message }
}

/// Each row is a list of columns, and each column an object with one member.
fn read(columns: &[HashMap<String, String>]) -> Option<Row> {
    let column = |name: &str| columns.iter().find_map(|column| column.get(name));
    Some(Row {
        uid: column("uid")?.clone(),
        copies: column("copies")?.parse().ok()?,
        ingested: column("ingested").and_then(|text| ingestion_time(text)),
    })
}

/// The form of `metadata.ingestionTime` is not documented: RFC 3339 is read, and what SQL shows of a timestamp.
fn ingestion_time(text: &str) -> Option<OffsetDateTime> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(time);
    }
    let (day, time) = text.split_once(' ')?;
    let time = time.trim_end_matches("UTC").trim_end();
    OffsetDateTime::parse(&format!("{day}T{time}Z"), &Rfc3339).ok()
}

/// One statement for every hundred days.
fn statements(store: &EventDataStore, event_times: &EventTimes, channel: Option<&ChannelArn>) -> Vec<String> {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let text = |time: OffsetDateTime| time.format(format).unwrap_or_default();
    let day = |(first, last): &(OffsetDateTime, OffsetDateTime)| {
        format!("(eventtime >= '{}' AND eventtime <= '{}')", text(*first), text(*last))
    };
    let channel = channel.map_or_else(String::new, |channel| {
        // Its parts were checked when it was parsed: no quote is among their characters.
        format!(" AND metadata.channelarn = '{}'", channel.arn)
    });
    let times: Vec<_> = event_times.values().collect();
    let statement = |days: &[&(OffsetDateTime, OffsetDateTime)]| {
        let days: Vec<_> = days.iter().map(|times| day(times)).collect();
        format!(
            "SELECT eventdata.uid AS uid, count(*) AS copies, min(metadata.ingestiontime) AS ingested FROM {} \
             WHERE ({}){channel} GROUP BY eventdata.uid",
            store.id.hyphenated(),
            days.join(" OR ")
        )
    };
    times.chunks(DAYS_MAX).map(statement).collect()
}

#[cfg(test)]
mod tests {
    use time::macros::{date, datetime};

    use super::*;

    const STORE: &str =
        "arn:aws:cloudtrail:eu-west-1:111122223333:eventdatastore/1a2b3c4d-0000-4000-8000-000000000000";

    #[test]
    fn an_event_data_store_is_known_by_its_arn_and_nothing_else_gets_into_the_statement() {
        let store = EventDataStore::parse(STORE).unwrap();
        assert_eq!(store.region, "eu-west-1");
        for wrong in [
            "1a2b3c4d-0000-4000-8000-000000000000",
            "arn:aws:cloudtrail:eu-west-1:111122223333:channel/1a2b3c4d-0000-4000-8000-000000000000",
            "arn:aws:cloudtrail:eu-west-1:111122223333:eventdatastore/x WHERE 1=1",
            "arn:aws:cloudtrail:eu-west-1:111122223333:eventdatastore/1a2b3c4d000040008000000000000000",
            "arn:aws:sqs:eu-west-1:111122223333:eventdatastore/1a2b3c4d-0000-4000-8000-000000000000",
        ] {
            assert!(EventDataStore::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_search_is_bounded_by_the_times_of_each_day() {
        let mut times = EventTimes::new();
        let day = (datetime!(2026-01-05 13:51:00 UTC), datetime!(2026-01-05 14:00:59 UTC));
        times.insert(date!(2026 - 01 - 05), day);
        let old = datetime!(2021-12-31 23:59:59 UTC);
        times.insert(old.date(), (old, old));
        let channel = ChannelArn::parse("arn:aws:cloudtrail:eu-west-1:111122223333:channel/a").unwrap();
        let found = statements(&EventDataStore::parse(STORE).unwrap(), &times, Some(&channel));
        assert_eq!(
            found,
            ["SELECT eventdata.uid AS uid, count(*) AS copies, min(metadata.ingestiontime) AS ingested \
              FROM 1a2b3c4d-0000-4000-8000-000000000000 \
              WHERE ((eventtime >= '2021-12-31 23:59:59' AND eventtime <= '2021-12-31 23:59:59') \
              OR (eventtime >= '2026-01-05 13:51:00' AND eventtime <= '2026-01-05 14:00:59')) \
              AND metadata.channelarn = 'arn:aws:cloudtrail:eu-west-1:111122223333:channel/a' \
              GROUP BY eventdata.uid"]
        );
    }

    #[test]
    fn a_search_over_years_is_cut_into_statements_that_are_short_enough() {
        let first = datetime!(2020-01-01 00:00:00 UTC);
        let days = (0..1_000).map(|day| first + time::Duration::days(day));
        let times: EventTimes = days.map(|day| (day.date(), (day, day))).collect();
        let long = format!("arn:aws:cloudtrail:eu-west-1:111122223333:channel/{}", "a".repeat(200));
        let channel = ChannelArn::parse(&long).unwrap();
        let found = statements(&EventDataStore::parse(STORE).unwrap(), &times, Some(&channel));
        assert_eq!(found.len(), 10);
        assert!(found.iter().all(|statement| statement.len() <= STATEMENT_CHARS_MAX), "{}", found[0].len());
        assert!(statements(&EventDataStore::parse(STORE).unwrap(), &EventTimes::new(), None).is_empty());
    }

    #[test]
    fn times_are_read_in_the_forms_that_they_may_have() {
        let expected = Some(datetime!(2026-01-05 13:51:00 UTC));
        for text in ["2026-01-05T13:51:00Z", "2026-01-05 13:51:00.000", "2026-01-05 13:51:00.000 UTC"] {
            assert_eq!(ingestion_time(text), expected, "{text}");
        }
        assert_eq!(ingestion_time("yesterday"), None);
    }
}
