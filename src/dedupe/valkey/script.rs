//! The scripts, and how one of them is asked about many keys at once.

use std::sync::LazyLock;

use redis::{Cmd, Value};

/// Keys of one script call: few enough that the server, which does nothing else meanwhile, is busy for about a
/// millisecond.
pub(super) const CALL_KEYS_MAX: usize = 200;

/// A script, and the digest by which a server that has seen it knows it.
pub(super) struct Script {
    text: &'static str,
    digest: String,
}

impl Script {
    fn new(text: &'static str) -> Self {
        Self { text, digest: redis::Script::new(text).get_hash().to_owned() }
    }
}

pub(super) static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("claim.lua")));
pub(super) static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("commit.lua")));
pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("release.lua")));
pub(super) static FORGET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("forget.lua")));

/// What a script is asked.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    /// The keys. One may be there several times.
    pub(super) keys: &'a [String],
    /// The arguments that are said once.
    pub(super) once: &'a [&'a str],
    /// Adds the arguments about the key at this position.
    pub(super) each: &'a (dyn Fn(&mut Cmd, usize) + Sync),
}

/// How a server is told which script.
#[derive(Clone, Copy)]
pub(super) enum By {
    /// By its digest, which is short.
    Digest,
    /// By its text, which the server then knows.
    Text,
}

impl Call<'_> {
    /// The call about the keys at these positions.
    pub(super) fn command(&self, script: &Script, by: By, positions: &[usize]) -> Cmd {
        let mut command = match by {
            By::Digest => redis::cmd("EVALSHA").arg(&script.digest).to_owned(),
            By::Text => redis::cmd("EVAL").arg(script.text).to_owned(),
        };
        command.arg(positions.len());
        for at in positions {
            command.arg(&self.keys[*at]);
        }
        command.arg(self.once);
        for at in positions {
            (self.each)(&mut command, *at);
        }
        command
    }

    /// Positions by call, each at most [`CALL_KEYS_MAX`].
    pub(super) fn in_order(&self) -> Vec<Vec<usize>> {
        let all: Vec<_> = (0..self.keys.len()).collect();
        all.chunks(CALL_KEYS_MAX).map(<[_]>::to_vec).collect()
    }

    /// Positions by key, because in a cluster each key may be on a server of its own. What is asked of one key stays in
    /// order.
    pub(super) fn by_key(&self) -> Vec<Vec<usize>> {
        let mut calls: Vec<Vec<usize>> = Vec::with_capacity(self.keys.len());
        let mut known = hashbrown::HashMap::with_capacity(self.keys.len());
        for (at, key) in self.keys.iter().enumerate() {
            let call = *known.entry(key).or_insert(calls.len());
            if call == calls.len() {
                calls.push(Vec::new());
            }
            calls[call].push(at);
        }
        calls
    }
}

/// Splits the answer to one call into the answers about its keys.
pub(super) fn split(answer: Value, keys: usize) -> Option<Vec<Value>> {
    match answer {
        Value::Array(answers) if answers.len() == keys => Some(answers),
        _ => None,
    }
}
