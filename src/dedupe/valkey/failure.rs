//! Whose fault is it when the server says no, or nothing? In: the client's error. Out: a [`CallError`].
//!
//! What the server says is looked through for words that are known, and never passed on: some of its errors repeat the
//! arguments of the command.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::failure::CallError;

/// What is known by its words.
struct Known {
    /// The code for the log and the metric.
    code: &'static str,
    /// One of these stands in the error.
    words: &'static [&'static str],
    /// What to do about it; `None` where it passes by itself.
    cure: Option<&'static str>,
}

const fn passes(code: &'static str, words: &'static [&'static str]) -> Known {
    Known { code, words, cure: None }
}

const fn ours(code: &'static str, words: &'static [&'static str], cure: &'static str) -> Known {
    Known { code, words, cure: Some(cure) }
}

/// The server's own words, and the client's names for them. The first that fits holds.
/// <https://valkey.io/topics/protocol/#simple-errors>, <https://valkey.io/topics/cluster-spec/>
const KNOWN: &[Known] = &[
    // A primary became a replica: the name leads to its successor soon.
    passes("READONLY", &["READONLY", "ReadOnly"]),
    passes("LOADING", &["LOADING", "BusyLoading"]),
    passes("CLUSTERDOWN", &["CLUSTERDOWN", "ClusterDown"]),
    passes("MASTERDOWN", &["MASTERDOWN", "MasterDown"]),
    passes("TRYAGAIN", &["TRYAGAIN", "TryAgain"]),
    passes("NOREPLICAS", &["NOREPLICAS"]),
    passes("BUSY", &["BUSY"]),
    passes("max_clients", &["max number of clients"]),
    // Whoever has not said a password yet may not even say much.
    ours(
        "NOAUTH",
        &["NOAUTH", "unauthenticated multibulk length", "unauthenticated bulk length"],
        "the server asks for a password: set ledger.password",
    ),
    ours(
        "WRONGPASS",
        &["WRONGPASS", "AuthenticationFailed", "invalid password"],
        "the server refuses the password: check ledger.password, and the user in ledger.url",
    ),
    ours(
        "NOPERM",
        &["NOPERM", "NoPerm", "no permissions", "No permissions", "can't access", "can't run"],
        "the user in ledger.url may not do what is needed: give it the permissions that docs/ledgers.md lists",
    ),
    ours(
        "DENIED",
        &["DENIED"],
        "the server is in protected mode and takes local connections only: give it a password",
    ),
    ours(
        "tls_refused",
        &["invalid peer certificate"],
        "the server's certificate is not trusted, or is for another name: check ledger.ca_file and ledger.url",
    ),
    ours(
        "no_tls",
        &["received corrupt message"],
        "the server does not speak TLS: write redis:// in ledger.url, or the port that speaks it",
    ),
    ours(
        MOVED,
        &["MOVED", "Moved", "CROSSSLOT", "CrossSlot"],
        "the server is one of a cluster: write ledger.kind = \"valkey-cluster\"",
    ),
    ours(
        "no_cluster",
        &["cluster support disabled"],
        "the server is not one of a cluster: write ledger.kind = \"valkey\"",
    ),
    ours(
        "OOM",
        &["OOM"],
        "the server's memory is full: raise its maxmemory, or shorten dedupe.window; an eviction policy would forget \
         ids instead",
    ),
    ours(
        "MISCONF",
        &["MISCONF"],
        "the server cannot write to its disk and takes no more writes: look at its log",
    ),
    ours(
        WRONG_TYPE,
        &[WRONG_TYPE],
        "somebody else keeps other things under the same keys: choose another ledger.namespace",
    ),
    ours(
        "no_scripts",
        &["unknown command"],
        "the server does not know a command that is needed: it needs Lua scripts and hashes, as Valkey and Redis 4 or \
         newer have them",
    ),
];

/// Something else than a hash stands under a key.
const WRONG_TYPE: &str = "WRONGTYPE";
/// A key is on another server.
const MOVED: &str = "MOVED";

/// The error's class, with what to do about it. A cluster's client follows keys that moved, until it gives up because
/// the server to which they moved does not answer.
pub(super) fn classed(error: &RedisError, is_cluster: bool) -> CallError {
    if let Some(known) = known(error) {
        if is_cluster && known.code == MOVED {
            return CallError::transient(MOVED, "the ledger's server that keeps the key did not answer");
        }
        return match known.cure {
            Some(cure) => CallError::misconfigured(known.code, format!("{}: {cure}", known.code)),
            None => CallError::transient(known.code, format!("the ledger's server said {}", known.code)),
        };
    }
    if error.is_timeout() {
        return CallError::transient("timeout", "the ledger's server did not answer in time");
    }
    match error.kind() {
        ErrorKind::InvalidClientConfig => CallError::misconfigured(
            "invalid_request",
            format!("ledger.url cannot be used: {}", words(error)),
        ),
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => {
            let code = if error.is_connection_refusal() { "unreachable" } else { "no_reply" };
            CallError::transient(code, format!("could not reach the ledger's server: {}", words(error)))
        }
        _ => {
            let code = error.code().unwrap_or("unnamed").to_owned();
            CallError::transient(code.clone(), format!("the ledger's server said {code}"))
        }
    }
}

/// What a script says of one key under which something else stands; the others are answered.
pub(super) fn foreign_key() -> CallError {
    let cure = KNOWN.iter().find(|known| known.code == WRONG_TYPE).and_then(|known| known.cure);
    CallError::misconfigured(WRONG_TYPE, format!("{WRONG_TYPE}: {}", cure.unwrap_or_default()))
}

/// Whether the server does not know the script, because it is new or was restarted.
pub(super) fn is_no_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether another connection may succeed where this one fails.
pub(super) fn ends_connection(error: &RedisError) -> bool {
    let is_elsewhere = |known: &Known| ["READONLY", "MASTERDOWN", "NOAUTH"].contains(&known.code);
    error.kind() == ErrorKind::Io || error.is_unrecoverable_error() || known(error).is_some_and(is_elsewhere)
}

/// Whether a cluster's client may not find its way by itself: it has lost every server, or waits for one that does not
/// answer.
pub(super) fn ends_cluster_connection(error: &RedisError) -> bool {
    error.kind() == ErrorKind::ClusterConnectionNotFound
        || error.is_timeout()
        || error.is_connection_dropped()
}

/// The client's own words; those of the server are left out.
pub(super) fn words(error: &RedisError) -> String {
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => error.code().unwrap_or("unnamed").to_owned(),
        _ => error.to_string(),
    }
}

fn known(error: &RedisError) -> Option<&'static Known> {
    let text = error.to_string();
    let code = error.code().unwrap_or_default();
    let stands =
        |word: &str| code == word || text.match_indices(word).any(|(at, _)| is_whole(&text, at, word.len()));
    KNOWN.iter().find(|known| known.words.iter().any(|word| stands(word)))
}

/// Whether no letter stands directly before or after.
fn is_whole(text: &str, at: usize, length: usize) -> bool {
    let is_letter = |c: char| c.is_alphanumeric();
    !text[..at].ends_with(is_letter) && !text[at + length..].starts_with(is_letter)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> RedisError {
        let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    #[test]
    fn the_fault_is_known_by_the_servers_words() {
        for (line, code, is_ours) in [
            ("NOAUTH Authentication required.", "NOAUTH", true),
            ("ERR Protocol error: unauthenticated multibulk length", "NOAUTH", true),
            ("WRONGPASS invalid username-password pair or user is disabled.", "WRONGPASS", true),
            ("NOPERM User w has no permissions to run the 'evalsha' command", "NOPERM", true),
            (
                "ERR ACL failure in script: User w has no permissions to run the 'hset' command",
                "NOPERM",
                true,
            ),
            ("MOVED 3999 127.0.0.1:6381", "MOVED", true),
            ("CROSSSLOT Keys in request don't hash to the same slot", "MOVED", true),
            ("ERR This instance has cluster support disabled", "no_cluster", true),
            ("OOM command not allowed when used memory > 'maxmemory'.", "OOM", true),
            ("MISCONF Redis is configured to save RDB snapshots, but", "MISCONF", true),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE", true),
            ("ERR unknown command 'EVALSHA', with args beginning with: 'secret'", "no_scripts", true),
            ("ERR unknown command `EVALSHA`, with args beginning with: `secret`, ", "no_scripts", true),
            ("READONLY You can't write against a read only replica.", "READONLY", false),
            (
                "ERR Error running script (call to f_1): @user_script:9: -READONLY You can't write",
                "READONLY",
                false,
            ),
            ("LOADING Redis is loading the dataset in memory", "LOADING", false),
            ("CLUSTERDOWN The cluster is down", "CLUSTERDOWN", false),
            ("TRYAGAIN Multiple keys request during rehashing of slot", "TRYAGAIN", false),
            ("NOREPLICAS Not enough good replicas to write.", "NOREPLICAS", false),
            ("BUSY Redis is busy running a script.", "BUSY", false),
            ("ERR max number of clients reached", "max_clients", false),
            ("SOMETHING secret", "SOMETHING", false),
        ] {
            let error = classed(&said(line), false);
            assert_eq!((error.code(), !error.is_transient()), (code, is_ours), "{line}");
            assert!(!error.to_string().contains("secret"), "{line}: {error}");
        }
    }

    #[test]
    fn a_key_that_moved_is_a_mistake_only_without_a_cluster() {
        let moved = said("MOVED 3999 127.0.0.1:6381");
        assert!(!classed(&moved, false).is_transient());
        assert!(classed(&moved, true).is_transient());
    }

    #[test]
    fn a_replica_in_place_of_the_primary_ends_the_connection_and_a_busy_server_does_not() {
        assert!(ends_connection(&said("READONLY You can't write against a read only replica.")));
        assert!(!ends_connection(&said("LOADING Redis is loading the dataset in memory")));
        assert!(!ends_connection(&said("NOSCRIPT No matching script.")));
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert!(ends_connection(&broken.into()));
        let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
        assert!(ends_connection(&late.into()));
    }
}
