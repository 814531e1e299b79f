//! `tributary dlq stats`: letters counted in five ways.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde::Serialize;

use super::{letter::DeadLetterMessage, progress, tell_unseen, walk::Walk};
use crate::{
    cli::WhichArgs,
    clock::rfc3339,
    command::{CommandError, Exit},
    output::{self, visible},
};

/// Names that are told apart in one table: whoever may send to the queue could invent many.
const NAMES_MAX: usize = 1_000;
const OTHERS: &str = "(others)";
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
/// Ages, youngest first.
const AGES: [(Duration, &str); 4] = [
    (HOUR, "under an hour"),
    (DAY, "under a day"),
    (Duration::from_hours(4 * 24), "under 4 days"),
    (Duration::from_hours(14 * 24), "under 14 days"),
];

/// How many there are of each.
pub(super) type Counts = BTreeMap<String, u64>;

#[derive(Default, Serialize)]
struct Stats {
    letters: u64,
    bytes: u64,
    reason: Counts,
    destination: Counts,
    source: Counts,
    age: Counts,
    receives: Counts,
    oldest: Option<String>,
    /// When the queue drops the first of them.
    first_expires: Option<String>,
    /// About; they could not be looked at.
    not_looked_at: u64,
    /// About; somebody else has received them.
    hidden: u64,
}

pub(super) async fn stats(walk: &mut Walk, which: &WhichArgs, json: bool) -> Result<Exit, CommandError> {
    let retention = walk.queue.facts().await.retention;
    let (mut stats, bar) = (Stats::default(), progress());
    let (mut oldest, mut expires) = (None, None);
    while let Some(letters) = walk.next().await? {
        for letter in letters.iter().filter(|letter| which.wants(letter)) {
            stats.add(letter, walk.began);
            oldest = earlier(oldest, letter.at());
            expires = earlier(expires, letter.expires_at(retention));
        }
        bar.set_message(format!("{} letters", stats.letters));
        bar.tick();
    }
    bar.finish_and_clear();
    let unseen = walk.unseen().await;
    (stats.not_looked_at, stats.hidden) = (unseen.left, unseen.elsewhere);
    (stats.oldest, stats.first_expires) = (oldest.map(rfc3339), expires.map(rfc3339));
    if json {
        output::print_json(&stats)?;
        return Ok(Exit::Done);
    }
    stats.print()?;
    tell_unseen(walk).await;
    Ok(Exit::Done)
}

fn earlier(one: Option<SystemTime>, other: Option<SystemTime>) -> Option<SystemTime> {
    one.into_iter().chain(other).min()
}

impl Stats {
    fn add(&mut self, letter: &DeadLetterMessage, now: SystemTime) {
        self.letters += 1;
        self.bytes += u64::try_from(letter.bytes()).unwrap_or_default();
        count(&mut self.reason, letter.reason());
        count(&mut self.destination, letter.destination().unwrap_or("-"));
        count(&mut self.source, letter.source());
        let age = letter.at().map(|at| now.duration_since(at).unwrap_or_default());
        let age = age.map(|age| AGES.iter().find(|(most, _)| age < *most).map_or("older", |(_, name)| name));
        count(&mut self.age, age.unwrap_or("unknown"));
        count(&mut self.receives, receives(letter.receives()));
    }

    fn print(&self) -> Result<(), CommandError> {
        output::print(format_args!("{} letters, {} bytes", self.letters, self.bytes))?;
        if let Some(oldest) = &self.oldest {
            output::print(format_args!("oldest            {oldest}"))?;
        }
        if let Some(expires) = &self.first_expires {
            output::print(format_args!("the first expires {expires}"))?;
        }
        for (name, counts) in [
            ("reason", &self.reason),
            ("destination", &self.destination),
            ("source", &self.source),
            ("age", &self.age),
            ("receives, this one included", &self.receives),
        ] {
            if counts.is_empty() {
                continue;
            }
            output::print(format_args!("by {name}"))?;
            let mut counts: Vec<_> = counts.iter().collect();
            counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            for (name, count) in counts {
                output::print(format_args!("  {count:>8}  {}", visible(name)))?;
            }
        }
        Ok(())
    }
}

fn receives(count: u64) -> &'static str {
    match count {
        0 | 1 => "1",
        2..=5 => "2 to 5",
        6..=20 => "6 to 20",
        _ => "more than 20",
    }
}

/// One more of this name.
pub(super) fn count(counts: &mut Counts, name: &str) {
    let name = if counts.len() < NAMES_MAX || counts.contains_key(name) { name } else { OTHERS };
    *counts.entry(name.to_owned()).or_default() += 1;
}
