//! `tributary lake`: what a local lake has stored.

use std::borrow::Cow;

use serde::Deserialize;

use crate::{
    cli::{LakeArgs, LakeQuestion},
    command::{CommandError, Exit},
    local::{EventQuery, LakeClient, LakeClientError, LakeEvent, LakeStatus, Order},
    output,
};

/// Asks the lake and prints its answer. [`Exit::Incomplete`] when the event asked for is not there.
///
/// # Errors
/// No lake answers, or it refuses.
pub async fn lake(args: LakeArgs) -> Result<Exit, CommandError> {
    let client = LakeClient::new(&args.url)?;
    match args.question {
        LakeQuestion::List { limit, oldest, uid, source, name } => {
            let order = if oldest { Order::Oldest } else { Order::Newest };
            let limit = usize::try_from(limit).ok();
            list(&client, &EventQuery { limit, order, uid, source, name, after: None }, args.json).await
        }
        LakeQuestion::Count => count(&client, args.json).await,
        LakeQuestion::Get { event_id } => get(&client, &event_id.to_string(), args.json).await,
    }
}

async fn list(client: &LakeClient, query: &EventQuery, json: bool) -> Result<Exit, CommandError> {
    let page = client.events(query).await?;
    if json {
        output::print_json(&page.events)?;
        return Ok(Exit::Done);
    }
    for event in &page.events {
        output::print(row(event))?;
    }
    match (page.events.len(), page.next) {
        (0, _) => output::note("no event matches"),
        (_, Some(_)) => output::note("there are more; raise --limit, up to 1000"),
        (_, None) => {}
    }
    Ok(Exit::Done)
}

/// What a row of the list shows of the event's data.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Shown<'a> {
    #[serde(rename = "UID", borrow)]
    uid: Cow<'a, str>,
    #[serde(rename = "eventName", borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "eventSource", borrow)]
    source: Cow<'a, str>,
}

fn row(event: &LakeEvent) -> String {
    // Whatever the lake holds is listed, readable or not.
    let shown: Shown<'_> = serde_json::from_str(event.event_data.get()).unwrap_or_default();
    let row = format!(
        "{}  {}  {:<28} {:<28} {}",
        event.event_id, event.event_time, shown.source, shown.name, shown.uid
    );
    output::visible(&row)
}

async fn count(client: &LakeClient, json: bool) -> Result<Exit, CommandError> {
    let status = client.status().await?;
    if json {
        output::print_json(&status)?;
    } else {
        output::print(counted(&status))?;
    }
    Ok(Exit::Done)
}

fn counted(status: &LakeStatus) -> String {
    let mut lines = vec![format!("{:>12} events stored", status.stored)];
    let uids =
        [(status.distinct_uids, "different UIDs"), (status.repeated_uids, "UIDs stored more than once")];
    lines.extend(uids.into_iter().filter_map(|(count, what)| Some(format!("{:>12} {what}", count?))));
    lines.extend(status.puts.iter().map(|(outcome, count)| format!("{count:>12} puts: {outcome}")));
    lines.extend(
        status.failed_entries.iter().map(|(code, count)| format!("{count:>12} failed entries: {code}")),
    );
    if status.forgotten_entries > 0 {
        lines.push(format!("{:>12} entries stored and not mentioned", status.forgotten_entries));
    }
    lines.join("\n")
}

async fn get(client: &LakeClient, event_id: &str, json: bool) -> Result<Exit, CommandError> {
    let Some(event) = client.event(event_id).await? else {
        output::note("the lake holds no event with this eventID; `tributary lake list` names those it holds");
        return Ok(Exit::Incomplete);
    };
    if json {
        output::print_json(&event)?;
    } else {
        output::print(serde_json::to_string_pretty(&event).map_err(std::io::Error::other)?)?;
    }
    Ok(Exit::Done)
}

impl From<LakeClientError> for CommandError {
    fn from(error: LakeClientError) -> Self {
        match error {
            LakeClientError::Url(_) => Self::Usage(error.to_string()),
            _ => Self::Failed(Box::new(error)),
        }
    }
}
