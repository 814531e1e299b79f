//! What the server says of itself. In: `INFO`, and `CONFIG GET` where it is allowed. Out: facts, with what is wrong.
//!
//! Of a cluster each primary is asked: sums where something adds up, and the worst where one server is enough to forget
//! ids.

use std::collections::{BTreeSet, HashMap};

use super::{read, server::Server};
use crate::{dedupe::Fact, failure::CallError};

/// What one server says, by name.
type Sayings = HashMap<String, String>;

/// Asks. Two round trips, which is enough for a question of an operator's.
pub(super) async fn ask(server: &Server) -> Result<Vec<Fact>, CallError> {
    let texts = match server.ask_each(redis::cmd("INFO")).await {
        Err(error) if error.code() == "NOPERM" => return Ok(vec![not_told()]),
        texts => texts?,
    };
    let servers = texts.into_iter().map(|text| read::<String>(text).map(|text| sayings(&text)));
    let servers: Vec<_> = servers.collect::<Result<_, _>>()?;
    let snapshots: Option<Vec<_>> =
        match server.ask_each(redis::cmd("CONFIG").arg("GET").arg("save").to_owned()).await {
            Ok(answers) => {
                let saves = answers.into_iter().filter_map(|answer| read::<Sayings>(answer).ok());
                Some(saves.map(|save| save.get("save").is_some_and(|points| !points.is_empty())).collect())
            }
            // Managed services do not allow it.
            Err(error) if !error.is_transient() => None,
            Err(error) => return Err(error),
        };
    Ok(facts(&servers, snapshots.as_deref()))
}

fn not_told() -> Fact {
    Fact {
        what: "server",
        value: "does not tell".to_owned(),
        warning: Some(
            "the user in ledger.url may not run INFO: nothing can be said about its settings".to_owned(),
        ),
    }
}

fn sayings(text: &str) -> Sayings {
    let pairs = text.lines().filter_map(|line| line.trim_end().split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// `snapshots`: which of the servers take any; `None` if they do not tell.
fn facts(servers: &[Sayings], snapshots: Option<&[bool]>) -> Vec<Fact> {
    let plain = |what, value| Fact { what, value, warning: None };
    vec![
        plain("server", each(servers, product)),
        role(servers),
        persistence(servers, snapshots),
        eviction(servers),
        evicted(servers),
        memory(servers),
        plain("keys", sum(servers, |server| keys_of(server.get("db0")?)).to_string()),
    ]
}

fn product(server: &Sayings) -> String {
    let said = |name: &str| server.get(name).map_or("", String::as_str);
    match server.get("valkey_version") {
        Some(version) => format!("Valkey {version}"),
        None => format!("Redis {}", said("redis_version")),
    }
}

fn role(servers: &[Sayings]) -> Fact {
    let primaries = servers.iter().filter(|server| has(server, "role", "master")).count();
    let replicas = sum(servers, |server| server.get("connected_slaves")?.parse().ok());
    let warning = (primaries < servers.len())
        .then(|| "a replica takes no writes: ledger.url must lead to the primary".to_owned());
    Fact { what: "role", value: format!("{primaries} primary, {replicas} replicas"), warning }
}

fn persistence(servers: &[Sayings], snapshots: Option<&[bool]>) -> Fact {
    let logs = servers.iter().all(|server| has(server, "aof_enabled", "1"));
    let log = if logs { "append-only file" } else { "no append-only file" };
    let (snapshot, forgets) = match snapshots {
        None => ("snapshots not told", None),
        Some(taken) if taken.iter().all(|is_taken| *is_taken) => {
            ("snapshots", Some("what came after the last snapshot"))
        }
        Some(_) => ("no snapshots", Some("everything")),
    };
    let forgets = forgets.filter(|_| !logs);
    let warning = forgets.map(|what| format!("a restart of the server forgets {what}: set appendonly yes"));
    Fact { what: "persistence", value: format!("{log}, {snapshot}"), warning }
}

fn eviction(servers: &[Sayings]) -> Fact {
    let evicts = servers.iter().any(|server| !has(server, "maxmemory_policy", "noeviction"));
    let warning = evicts.then(|| {
        "when its memory is full the server forgets ids, whose events can then be published twice: set \
         maxmemory-policy noeviction"
            .to_owned()
    });
    let policy = |server: &Sayings| server.get("maxmemory_policy").cloned().unwrap_or_default();
    Fact { what: "when memory is full", value: each(servers, policy), warning }
}

fn evicted(servers: &[Sayings]) -> Fact {
    let evicted = sum(servers, |server| server.get("evicted_keys")?.parse().ok());
    let warning = (evicted > 0).then(|| {
        "keys were forgotten before their time, possibly not only ours: raise maxmemory and set maxmemory-policy \
         noeviction"
            .to_owned()
    });
    Fact { what: "forgotten too early", value: evicted.to_string(), warning }
}

fn memory(servers: &[Sayings]) -> Fact {
    let bytes = |name: &str| sum(servers, |server| server.get(name)?.parse().ok());
    let most = match bytes("maxmemory") {
        0 => "no limit".to_owned(),
        most => mebibytes(most),
    };
    Fact { what: "memory", value: format!("{} of {most}", mebibytes(bytes("used_memory"))), warning: None }
}

/// `keys=12,expires=3,avg_ttl=0`
fn keys_of(database: &str) -> Option<u64> {
    database.strip_prefix("keys=")?.split(',').next()?.parse().ok()
}

fn has(server: &Sayings, name: &str, value: &str) -> bool {
    server.get(name).is_some_and(|said| said == value)
}

fn sum(servers: &[Sayings], number: impl Fn(&Sayings) -> Option<u64>) -> u64 {
    servers.iter().filter_map(number).sum()
}

/// What they say, once where they agree.
fn each(servers: &[Sayings], said: impl Fn(&Sayings) -> String) -> String {
    let different: BTreeSet<_> = servers.iter().map(said).collect();
    different.into_iter().collect::<Vec<_>>().join(", ")
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\nrole:master\r\n\
        connected_slaves:1\r\naof_enabled:1\r\nmaxmemory_policy:noeviction\r\nevicted_keys:0\r\nused_memory:1048576\r\n\
        maxmemory:2097152\r\ndb0:keys=12,expires=12,avg_ttl=0\r\n";

    fn told(texts: &[&str], snapshots: Option<&[bool]>) -> HashMap<&'static str, (String, bool)> {
        let servers: Vec<_> = texts.iter().map(|text| sayings(text)).collect();
        let facts = facts(&servers, snapshots);
        facts.into_iter().map(|fact| (fact.what, (fact.value, fact.warning.is_some()))).collect()
    }

    #[test]
    fn a_good_server_gets_no_warning() {
        let told = told(&[GOOD], None);
        assert!(told.values().all(|(_, is_warned)| !is_warned), "{told:?}");
        for (what, value) in [
            ("server", "Valkey 8.0.1"),
            ("role", "1 primary, 1 replicas"),
            ("memory", "1.0 MiB of 2.0 MiB"),
            ("keys", "12"),
        ] {
            assert_eq!(told[what].0, value);
        }
    }

    #[test]
    fn whatever_forgets_ids_is_warned_of() {
        for (good, bad, what) in [
            ("role:master", "role:slave", "role"),
            ("maxmemory_policy:noeviction", "maxmemory_policy:allkeys-lru", "when memory is full"),
            ("evicted_keys:0", "evicted_keys:7", "forgotten too early"),
            ("aof_enabled:1", "aof_enabled:0", "persistence"),
        ] {
            let bad = GOOD.replace(good, bad);
            // One bad server among good ones is enough.
            let told = told(&[GOOD, &bad], Some(&[true, false]));
            let warned: Vec<_> =
                told.iter().filter(|(_, (_, is_warned))| *is_warned).map(|(what, _)| *what).collect();
            assert_eq!(warned, [what], "{told:?}");
        }
    }

    #[test]
    fn what_a_server_does_not_tell_is_no_warning() {
        let told = told(&[&GOOD.replace("aof_enabled:1", "aof_enabled:0")], None);
        assert_eq!(told["persistence"], ("no append-only file, snapshots not told".to_owned(), false));
    }
}
