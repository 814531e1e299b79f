//! `tributary dlq ls`: letters, one line each.

use serde::Serialize;

use super::{
    letter::{DeadLetterMessage, Summary},
    tell_unseen,
    walk::Walk,
};
use crate::{
    cli::ListArgs,
    command::{CommandError, Exit},
    output::{self, visible},
};

/// The whole answer.
#[derive(Serialize)]
struct Answer {
    letters: Vec<Summary>,
    /// There are more that were wanted.
    is_cut: bool,
}

pub(super) async fn list(walk: &mut Walk, args: &ListArgs, json: bool) -> Result<Exit, CommandError> {
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut letters = Vec::new();
    while letters.len() <= limit
        && let Some(next) = walk.next().await?
    {
        let wanted = next.iter().filter(|letter| args.which.wants(letter));
        letters.extend(wanted.map(DeadLetterMessage::summary));
    }
    let is_cut = letters.len() > limit;
    letters.truncate(limit);
    letters.sort_by(|one, other| (&one.at, &one.letter).cmp(&(&other.at, &other.letter)));
    if json {
        output::print_json(&Answer { letters, is_cut })?;
    } else {
        for letter in &letters {
            output::print(line(letter))?;
        }
        if letters.is_empty() {
            output::note("there are no such letters");
        }
    }
    if is_cut {
        output::note(format_args!("these are {limit}, and there are more: --limit"));
    } else {
        tell_unseen(walk).await;
    }
    Ok(Exit::Done)
}

fn line(letter: &Summary) -> String {
    let at = letter.at.as_deref().unwrap_or("-");
    let name = letter.event_id.as_deref().filter(|id| !id.is_empty()).unwrap_or(&letter.letter);
    let destination = letter.destination.as_deref().unwrap_or("-");
    visible(&format!("{at:<24}  {:<18}  {destination:<12}  {name}  {}", letter.reason, letter.detail))
}
