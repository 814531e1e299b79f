//! `tributary leases`: who reads which shard, and whether somebody should.

mod hand_over;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    CommandError, Exit,
    stream::{Asked, Standing, in_words, name_of},
};
use crate::{
    cli::{LeasesArgs, LeasesQuestion},
    config::kinds::written,
    failure::CallError,
    output::{self, visible},
    receive::kinesis::{
        lease::{Lease, Leases, ShardId},
        watch::Watch,
    },
    tasks::joined,
};

/// Shards that are read at the same time, for `--lag`.
const READS_MAX: usize = 16;

/// What is told of one lease.
#[derive(Debug, Serialize)]
struct Told {
    shard: String,
    state: Standing,
    holder: Option<String>,
    /// Who is to have it, once its holder has left.
    next: Option<String>,
    checkpoint: String,
    counter: u64,
    parents: Vec<String>,
    /// Whether its holder moved it while it was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    alive: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    behind_ms: Option<u64>,
    /// Why it is not known how far the shard is behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    behind_unknown: Option<String>,
}

/// What is told of one worker.
#[derive(Debug, Serialize)]
struct Worker {
    name: String,
    leases: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    alive: Option<bool>,
}

/// The whole answer.
#[derive(Debug, Serialize)]
struct Answer {
    stream: String,
    table: String,
    leases: Vec<Told>,
    workers: Vec<Worker>,
}

/// Lists leases, or asks a holder to leave.
///
/// # Errors
/// The table cannot be asked.
pub async fn leases(args: LeasesArgs) -> Result<Exit, CommandError> {
    let asked = Asked::open(args.file.config.as_deref()).await?;
    match &args.question {
        None => list(asked, &args).await,
        Some(LeasesQuestion::Release { shard, force: false }) => {
            hand_over::ask(&asked, shard, None, args.json).await
        }
        Some(LeasesQuestion::Release { shard, force: true }) => {
            hand_over::take_away(&asked, shard, args.json).await
        }
        Some(LeasesQuestion::Move { shard, to }) => hand_over::ask(&asked, shard, Some(to), args.json).await,
    }
}

async fn list(asked: Asked, args: &LeasesArgs) -> Result<Exit, CommandError> {
    let (leases, watch) = look(&asked, args.alive).await?;
    let (stream, table) = (asked.config.arn.arn.clone(), asked.config.lease_table.clone());
    let mut lags = if args.lag { lags(asked, &leases).await } else { BTreeMap::new() };
    let told = leases.values().map(|lease| {
        let alive = watch.as_ref().filter(|_| lease.holder().is_some()).map(|watch| !watch.is_free(lease));
        Told::of(lease, &leases, alive, lags.remove(&lease.shard))
    });
    let told: Vec<Told> = told.collect();
    let answer = Answer { stream, table, workers: workers(&told), leases: told };
    if args.json {
        output::print_json(&answer)?;
    } else {
        print(&answer, args)?;
    }
    let is_idle = |told: &Told| told.state == Standing::Free || told.alive == Some(false);
    let is_well = !answer.leases.is_empty() && !answer.leases.iter().any(is_idle);
    Ok(if is_well { Exit::Done } else { Exit::Incomplete })
}

/// The leases as they are; with `twice`, also who has moved them for the failover time.
async fn look(asked: &Asked, twice: bool) -> Result<(Leases, Option<Watch>), CommandError> {
    let first = asked.leases().await?;
    if !twice || first.is_empty() {
        return Ok((first, None));
    }
    let failover = asked.config.failover_time;
    let mut watch = Watch::new(failover);
    let now = Instant::now();
    watch.look(&first, now, now);
    output::note(format_args!("looking for {} whether the holders are alive", written(failover)));
    sleep(failover).await;
    let begun = Instant::now();
    let second = asked.leases().await?;
    watch.look(&second, begun, Instant::now());
    Ok((second, Some(watch)))
}

/// How far each shard is behind that is not done.
async fn lags(asked: Asked, leases: &Leases) -> BTreeMap<ShardId, Result<Duration, CallError>> {
    let (asked, at_once) = (Arc::new(asked), Arc::new(Semaphore::new(READS_MAX)));
    let mut reads = JoinSet::new();
    for lease in leases.values().filter(|lease| !lease.is_ended()).cloned() {
        let (asked, at_once) = (asked.clone(), at_once.clone());
        reads.spawn(async move {
            let _permit = at_once.acquire().await;
            let behind = asked.operator.behind(&lease).await;
            (lease.shard, behind)
        });
    }
    let mut lags = BTreeMap::new();
    while let Some(lag) = joined(reads.join_next().await) {
        lags.extend([lag]);
    }
    lags
}

impl Told {
    fn of(
        lease: &Lease,
        leases: &Leases,
        alive: Option<bool>,
        behind: Option<Result<Duration, CallError>>,
    ) -> Self {
        let (behind_ms, behind_unknown) = match behind {
            None => (None, None),
            Some(Ok(behind)) => (Some(crate::clock::millis(behind)), None),
            Some(Err(error)) => (None, Some(error.code().to_owned())),
        };
        Self {
            shard: lease.shard.to_string(),
            state: Standing::of(lease, leases),
            holder: lease.holder().map(ToString::to_string),
            next: lease.owner.as_ref().filter(|_| lease.is_asked_for()).map(ToString::to_string),
            checkpoint: in_words(&lease.checkpoint),
            counter: lease.counter,
            parents: lease.parents.iter().map(ToString::to_string).collect(),
            alive,
            behind_ms,
            behind_unknown,
        }
    }

    fn state_in_words(&self) -> String {
        match self.state {
            Standing::Held if self.alive == Some(false) => "DEAD HOLDER".to_owned(),
            Standing::Leaving if self.alive == Some(false) => "DEAD HOLDER, asked to leave".to_owned(),
            Standing::Held => "held".to_owned(),
            Standing::Leaving => format!("to be left to {}", name_of(self.next.as_deref())),
            Standing::Free => "FREE".to_owned(),
            Standing::Waiting => format!("waits for {}", self.parents.join(" and ")),
            Standing::Done => "done".to_owned(),
        }
    }

    fn behind_in_words(&self) -> String {
        match (self.behind_ms, &self.behind_unknown) {
            (Some(ms), _) => roughly(ms / 1_000),
            (None, Some(code)) => format!("? ({code})"),
            (None, None) => String::new(),
        }
    }
}

fn workers(told: &[Told]) -> Vec<Worker> {
    let mut workers: BTreeMap<String, (usize, Option<bool>)> = BTreeMap::new();
    for lease in told {
        if let Some(holder) = &lease.holder {
            let (leases, alive) = workers.entry(holder.clone()).or_default();
            *leases += 1;
            // One lease that moves is enough of a sign of life.
            *alive = (*alive).max(lease.alive);
        }
    }
    workers.into_iter().map(|(name, (leases, alive))| Worker { name, leases, alive }).collect()
}

fn print(answer: &Answer, args: &LeasesArgs) -> Result<(), CommandError> {
    if answer.leases.is_empty() {
        output::note(format_args!("the table {} has no leases: no worker has met the stream", answer.table));
        return Ok(());
    }
    let mut heads = vec!["SHARD", "STATE", "HOLDER"];
    heads.extend(args.lag.then_some("BEHIND"));
    heads.push("DONE UP TO");
    let row = |told: &Told| {
        let holder = told.holder.clone().unwrap_or_default();
        let mut row = vec![told.shard.clone(), told.state_in_words(), holder];
        row.extend(args.lag.then(|| told.behind_in_words()));
        row.push(told.checkpoint.clone());
        row
    };
    output::print(table(&heads, answer.leases.iter().map(row)))?;
    output::print("")?;
    let row = |worker: &Worker| {
        let alive = match worker.alive {
            None => "",
            Some(true) => "alive",
            Some(false) => "DEAD",
        };
        vec![worker.name.clone(), worker.leases.to_string(), alive.to_owned()]
    };
    output::print(table(&["WORKER", "LEASES", ""], answer.workers.iter().map(row)))?;
    Ok(())
}

/// Columns as wide as what is in them.
fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let heads = heads.iter().map(ToString::to_string).collect();
    let rows: Vec<Vec<String>> =
        [heads].into_iter().chain(rows.map(|row| row.iter().map(|text| visible(text)).collect())).collect();
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|text| text.chars().count()).max();
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate();
        let cells = cells.map(|(at, text)| format!("{text:<width$}", width = width(at).unwrap_or(0)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A length of time at a glance.
fn roughly(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60)];
    let unit = units.into_iter().find(|(_, size)| seconds >= 2 * size);
    unit.map_or_else(|| format!("{seconds}s"), |(name, size)| format!("{}{name}", seconds / size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_told_in_the_largest_unit_that_says_something() {
        for (seconds, text) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (245, "4m"),
            (7_199, "119m"),
            (7_200, "2h"),
            (900_000, "10d"),
        ] {
            assert_eq!(roughly(seconds), text);
        }
    }
}
