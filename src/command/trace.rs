//! `tributary trace`: what became of one event, for each destination.

use serde::Serialize;

use super::{CommandError, Exit, ledger::Asked};
use crate::{
    cli::TraceArgs,
    clock::rfc3339,
    dedupe::{Entry, State},
    output,
    pipeline::NO_DESTINATION,
};

/// What the ledger says of one destination.
#[derive(Debug, Serialize)]
struct Answer {
    destination: String,
    #[serde(flatten)]
    said: Said,
}

/// An entry, in the words of a person who asks.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub(super) enum Said {
    Published { stored_as: String, sha256: String, at: String, worker: String },
    InProgress { sha256: String, until: String, worker: String },
    DeadLettered { reason: String, sha256: String, at: String, worker: String },
    NeverSeen,
}

impl Said {
    pub(super) fn of(entry: Option<Entry>) -> Self {
        let Some(Entry { state, content_hash, worker }) = entry else { return Self::NeverSeen };
        let (sha256, worker) = (content_hash.to_string(), worker.unwrap_or_default());
        match state {
            State::Published { stored_as, at } => {
                Self::Published { stored_as, sha256, at: rfc3339(at), worker }
            }
            State::InProgress { until } => Self::InProgress { sha256, until: rfc3339(until), worker },
            State::DeadLettered { reason, at } => {
                Self::DeadLettered { reason, sha256, at: rfc3339(at), worker }
            }
        }
    }

    /// The state, and what belongs to it, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let line = |name: &str, value: &str| format!("  {name:<10} {value}");
        match self {
            Self::Published { stored_as, sha256, at, worker } => vec![
                "published".to_owned(),
                line("stored as", stored_as),
                line("SHA-256", sha256),
                line("at", at),
                line("by", worker),
            ],
            Self::InProgress { sha256, until, worker } => vec![
                "in progress".to_owned(),
                line("SHA-256", sha256),
                line("until", until),
                line("by", worker),
            ],
            Self::DeadLettered { reason, sha256, at, worker } => vec![
                format!("dead-lettered: {reason}"),
                line("SHA-256", sha256),
                line("at", at),
                line("by", worker),
            ],
            Self::NeverSeen => vec!["never seen, or longer ago than dedupe.window".to_owned()],
        }
    }
}

/// Asks the ledger. [`Exit::Incomplete`] unless every destination has the event.
///
/// # Errors
/// The ledger cannot be asked.
pub async fn trace(args: TraceArgs) -> Result<Exit, CommandError> {
    let asked = Asked::open(args.file.config.as_deref()).await?;
    let mut answers = Vec::new();
    for destination in asked.destinations() {
        let said = Said::of(asked.find(&destination, &args.id).await?);
        answers.push(Answer { destination, said });
    }
    let is_everywhere = answers.iter().all(|answer| matches!(answer.said, Said::Published { .. }));
    // What is rejected before a destination is known has an entry of its own.
    if let Some(entry) = asked.find(NO_DESTINATION, &args.id).await? {
        answers.push(Answer { destination: NO_DESTINATION.to_owned(), said: Said::of(Some(entry)) });
    }
    if args.json {
        output::print_json(&answers)?;
    } else {
        for Answer { destination, said } in &answers {
            output::print(format_args!("{destination}: {}", said.lines().join("\n")))?;
        }
    }
    Ok(if is_everywhere { Exit::Done } else { Exit::Incomplete })
}
