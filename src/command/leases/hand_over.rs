//! `tributary leases release` and `move`: a holder is asked to leave, and whether it does so is watched.

use serde_json::json;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::{
    command::{
        CommandError, Exit,
        operator::operator,
        stream::{Asked, in_words, name_of, set},
    },
    config::kinds::written,
    output::{self, visible},
    receive::kinesis::{
        lease::{Change, Lease, Leases, WorkerId},
        watch::Watch,
    },
};

/// What came of it.
enum Outcome {
    /// The holder has left, or lost the lease.
    Left(Box<Lease>),
    /// It does not move its lease any more.
    Dead(Box<Lease>),
    /// It is alive, and has not left yet.
    Slow(Box<Lease>),
}

/// Asks the holder to leave, to `to` or to anybody, and waits until it has.
pub(super) async fn ask(
    asked: &Asked,
    shard: &str,
    to: Option<&str>,
    json: bool,
) -> Result<Exit, CommandError> {
    let found = asked.find(shard).await?;
    let Some(holder) = reader(&found)? else {
        return say(&found, "free", json, "nobody holds it: the next worker that looks takes it");
    };
    if let Some(to) = to {
        known(asked, to).await?;
        if holder.as_ref() == to {
            return say(&found, "held", json, "it has it already");
        }
    }
    let next = to.map(WorkerId::from);
    if !found.is_asked_for() {
        asked.change(shard, |lease| wish(lease, &holder, next.as_ref())).await?;
    } else if found.owner != next {
        return Err(CommandError::Usage(format!(
            "{holder} has been asked already, to leave {shard} to {}: wait, or take it away with `leases release {shard} \
             --force`",
            name_of(found.owner.as_deref())
        )));
    }
    let who = operator();
    warn!(who, shard, from = %holder, to = to.unwrap_or("anybody"), "asked a worker to leave a shard");
    output::note(format_args!("asked {} to leave {shard}; waiting", visible(&holder)));
    match wait(asked, found, &holder).await? {
        Outcome::Left(lease) => {
            if next.is_none_or(|next| lease.holder() == Some(&next)) {
                return say(&lease, "left", json, &format!("{} has left", visible(&holder)));
            }
            say(&lease, "left_to_another", json, &format!("{} has left, to another", visible(&holder)))?;
            Ok(Exit::Incomplete)
        }
        Outcome::Dead(lease) => {
            let failover = written(asked.config.failover_time);
            output::note(format_args!(
                "{} has not moved its lease for {failover} (stream.failover_time) and is taken for dead: any worker that \
                 runs takes the shard by itself, about now. To take it away from one that is not dead but stuck, add --force \
                 to `leases release`",
                visible(&holder)
            ));
            not_yet(&lease, "dead", json)
        }
        Outcome::Slow(lease) => {
            output::note(format_args!(
                "{} is alive and has not left yet: it will; `tributary leases` shows when",
                visible(&holder)
            ));
            not_yet(&lease, "slow", json)
        }
    }
}

/// Takes the lease away: the next worker goes on at the same checkpoint.
pub(super) async fn take_away(asked: &Asked, shard: &str, json: bool) -> Result<Exit, CommandError> {
    let found = asked.find(shard).await?;
    let Some(holder) = reader(&found)? else {
        return say(&found, "free", json, "nobody holds it: the next worker that looks takes it");
    };
    let taken = asked.change(shard, |lease| Ok(set(lease, lease.checkpoint.clone()))).await?;
    warn!(who = operator(), shard, from = %holder, checkpoint = %taken.checkpoint, "took a shard away from a worker");
    say(&taken, "taken_away", json, "it was taken away; what its holder has begun is read again")
}

/// Who reads the shard, if anybody does.
fn reader(lease: &Lease) -> Result<Option<WorkerId>, CommandError> {
    if lease.is_ended() {
        return Err(CommandError::Usage(format!("{} is done: nobody reads it any more", lease.shard)));
    }
    Ok(lease.holder().cloned())
}

/// A worker is known by the leases that it holds or is about to hold.
async fn known(asked: &Asked, to: &str) -> Result<(), CommandError> {
    let leases = asked.leases().await?;
    let mut workers: Vec<&str> = leases
        .values()
        .flat_map(|lease| [&lease.owner, &lease.checkpoint_owner])
        .flatten()
        .map(|it| &**it)
        .collect();
    workers.sort_unstable();
    workers.dedup();
    if workers.contains(&to) {
        return Ok(());
    }
    Err(CommandError::Usage(format!(
        "no worker that holds a lease is called {to:?}; there are {}. One that holds none asks for its share by itself",
        visible(&workers.join(", "))
    )))
}

fn wish(lease: &Lease, holder: &WorkerId, to: Option<&WorkerId>) -> Result<Change, CommandError> {
    if lease.holder() != Some(holder) || lease.is_asked_for() {
        let shard = &lease.shard;
        return Err(CommandError::Usage(format!("the lease of {shard} has changed meanwhile: look again")));
    }
    Ok(Change::Ask { shard: lease.shard.clone(), holder: holder.clone(), to: to.cloned() })
}

/// Watches the lease as another worker would, until its holder has left or had time enough to.
async fn wait(asked: &Asked, found: Lease, holder: &WorkerId) -> Result<Outcome, CommandError> {
    let times = asked.operator.times();
    let until = Instant::now() + times.leave_within() + times.failover;
    let mut watch = Watch::new(times.failover);
    let mut lease = found;
    loop {
        let begun = Instant::now();
        lease = asked.find(&lease.shard).await?;
        // It may have come back meanwhile, asked by nobody.
        if lease.holder() != Some(holder) || !lease.is_asked_for() {
            return Ok(Outcome::Left(Box::new(lease)));
        }
        let now = Instant::now();
        watch.look(&Leases::from([(lease.shard.clone(), lease.clone())]), begun, now);
        if watch.is_free(&lease) {
            return Ok(Outcome::Dead(Box::new(lease)));
        }
        if now >= until {
            return Ok(Outcome::Slow(Box::new(lease)));
        }
        sleep(times.look_every()).await;
    }
}

/// The words for people have been said; a script gets the lease as it is.
fn not_yet(lease: &Lease, outcome: &str, json: bool) -> Result<Exit, CommandError> {
    if json {
        say(lease, outcome, json, "")?;
    }
    Ok(Exit::Incomplete)
}

fn say(lease: &Lease, outcome: &str, json: bool, text: &str) -> Result<Exit, CommandError> {
    if json {
        output::print_json(&json!({
            "shard": &*lease.shard, "outcome": outcome, "holder": lease.holder().map(|it| &**it),
            "checkpoint": in_words(&lease.checkpoint),
        }))?;
    } else {
        let holder = visible(name_of(lease.holder().map(|it| &**it)));
        let checkpoint = in_words(&lease.checkpoint);
        output::print(format_args!(
            "{}: {text}\n  holder      {holder}\n  done up to  {checkpoint}",
            lease.shard
        ))?;
    }
    Ok(Exit::Done)
}
