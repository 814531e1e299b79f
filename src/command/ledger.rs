//! `tributary ledger`: one entry of a shared ledger, its removal, and what the ledger says of itself.

use std::{path::Path, sync::Arc};

use tracing::warn;

use super::{
    CommandError, Exit,
    operator::{is_confirmed, operator},
    trace::Said,
};
use crate::{
    aws::Aws,
    cli::{ForgetArgs, LedgerArgs, LedgerQuestion},
    clock::{Clock, rfc3339},
    config::{Config, kinds::written, process_environment},
    dedupe::{Entry, Fact, Key, Ledger, State, connect},
    log, output,
    pipeline::NO_DESTINATION,
};

/// A ledger that is asked from outside the workers.
pub(super) struct Asked {
    config: Config,
    ledger: Arc<dyn Ledger>,
}

impl Asked {
    pub(super) async fn open(file: Option<&Path>) -> Result<Self, CommandError> {
        let (config, _) = Config::load(file, process_environment())?;
        log::start(&config.log).map_err(CommandError::Usage)?;
        let ledger = connect::shared(&config, &Aws::for_ledger(&config.ledger.kind).await, &operator())?;
        Ok(Self { config, ledger })
    }

    pub(super) fn destinations(&self) -> Vec<String> {
        self.config.destinations.iter().map(|destination| destination.name.clone()).collect()
    }

    pub(super) async fn find(&self, destination: &str, id: &str) -> Result<Option<Entry>, CommandError> {
        self.ledger.find(&key(destination, id)).await.map_err(CommandError::failed)
    }

    /// The one that was named, or the only one that there is.
    fn destination(&self, named: Option<String>) -> Result<String, CommandError> {
        let known = self.destinations();
        match named {
            Some(name) if name == NO_DESTINATION || known.contains(&name) => Ok(name),
            Some(name) => Err(CommandError::Usage(format!(
                "no destination is called {name:?}; the configuration has {}",
                known.join(", ")
            ))),
            None if known.len() == 1 => Ok(known.concat()),
            None => Err(CommandError::Usage(format!(
                "which destination? Give --destination with one of {}",
                known.join(", ")
            ))),
        }
    }
}

fn key(destination: &str, id: &str) -> Key {
    Key { destination: destination.into(), id: id.to_owned().into(), conflict: None }
}

/// Runs one question.
///
/// # Errors
/// The ledger cannot be asked.
pub async fn ledger(args: LedgerArgs) -> Result<Exit, CommandError> {
    let asked = Asked::open(args.file.config.as_deref()).await?;
    match args.question {
        LedgerQuestion::Get { id, destination } => {
            let destination = asked.destination(destination)?;
            get(&asked, &destination, &id, args.json).await
        }
        LedgerQuestion::Forget(forgetting) => forget(&asked, forgetting).await,
        LedgerQuestion::Stats => stats(&asked, args.json).await,
    }
}

async fn get(asked: &Asked, destination: &str, id: &str, json: bool) -> Result<Exit, CommandError> {
    let said = Said::of(asked.find(destination, id).await?);
    if json {
        output::print_json(&said)?;
    } else {
        output::print(said.lines().join("\n"))?;
    }
    Ok(if matches!(said, Said::NeverSeen) { Exit::Incomplete } else { Exit::Done })
}

async fn forget(asked: &Asked, args: ForgetArgs) -> Result<Exit, CommandError> {
    let destination = asked.destination(args.destination)?;
    let Some(entry) = asked.find(&destination, &args.id).await? else {
        output::note("the ledger knows no such id: nothing to forget");
        return Ok(Exit::Incomplete);
    };
    if let State::InProgress { until } = entry.state
        && until > Clock::system().now()
        && !args.in_progress
    {
        return Err(CommandError::Usage(format!(
            "a worker is at work on it until {}: forgetting its claim lets another publish it as well. Wait, or add \
             --in-progress",
            rfc3339(until)
        )));
    }
    let state = state_name(&entry.state);
    let question = format_args!(
        "{destination}: {state}. Once it is forgotten, a copy that comes again is published again, under the same UID. \
         Forget it?"
    );
    if !args.yes && !is_confirmed(question)? {
        output::note("nothing was forgotten");
        return Ok(Exit::Incomplete);
    }
    // The answer may have taken long.
    if asked.find(&destination, &args.id).await?.as_ref() != Some(&entry) {
        return Err(CommandError::Usage(
            "the entry has changed meanwhile: look again before you forget it".to_owned(),
        ));
    }
    asked.ledger.forget(&key(&destination, &args.id)).await.map_err(CommandError::failed)?;
    let (who, why) = (operator(), &args.reason);
    warn!(who, why, id = args.id, destination, state, sha256 = %entry.content_hash, "forgot an id");
    // Whatever log.filter says.
    output::note(format_args!(
        "forgotten by {who}, because: {why}\n  {destination}: {state}, SHA-256 {}\nif it comes again, it is published again",
        entry.content_hash
    ));
    let cache_time = written(asked.config.ledger.cache_time);
    output::note(format_args!(
        "a worker that published it may still take a copy for a duplicate for up to {cache_time} (ledger.cache_time)"
    ));
    Ok(Exit::Done)
}

fn state_name(state: &State) -> &'static str {
    match state {
        State::InProgress { .. } => "in progress",
        State::Published { .. } => "published",
        State::DeadLettered { .. } => "dead-lettered",
    }
}

async fn stats(asked: &Asked, json: bool) -> Result<Exit, CommandError> {
    let facts = asked.ledger.describe().await.map_err(CommandError::failed)?;
    if json {
        output::print_json(&facts)?;
        return Ok(Exit::Done);
    }
    for Fact { what, value, warning } in &facts {
        output::print(format_args!("{what:<24} {value}"))?;
        if let Some(warning) = warning {
            output::print(format_args!("  WARNING: {warning}"))?;
        }
    }
    Ok(Exit::Done)
}
