//! A ledger in Valkey or Redis, alone or in a cluster. In: claims, commits and releases. Out: one answer for each.
//!
//! Each key is a hash that the server removes by itself. Scripts decide on the server, so that nobody can come between
//! the look and the write, and a call costs one round trip, however many keys it is about. Time is the worker's, sent
//! along: a server's own clock would be one clock more to disagree with.
//!
//! The fields are one letter each, because they are stored with every id. Small: the open claim (`t` token, `u` until
//! when, `c` content hash, `w` worker). Capital: what is settled (`S` state, `p` or `d`; `N` the destination's name for
//! it, or the reason's code; `C` content hash; `A` when, `U` until when it is remembered, `T` by which token, `W` by
//! which worker). `F`: the token of a claim that an operator took away. Times are milliseconds since 1970.

mod facts;
mod failure;
mod script;
mod server;

use std::time::Duration;

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use redis::{Cmd, Value};

use self::{
    script::{CLAIM, COMMIT, Call, FORGET, RELEASE},
    server::Server,
};
use super::{
    Claim, Claimed, Claiming, Commit, Committed, Entry, Fact, Final, Key, Ledger, State,
    connect::SharedLedger,
};
use crate::{
    clock::{at_ms, millis},
    config::ValkeyConfig,
    event::ContentHash,
    failure::CallError,
};

/// The server keeps a key this long after it has ended, so that the workers' clocks decide and not the server's.
const GRACE: Duration = Duration::from_mins(1);
/// What is asked for to look a key up.
const FIELDS: [&str; 10] = ["t", "u", "c", "w", "S", "N", "C", "A", "U", "W"];

/// Why this ledger cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum ValkeyError {
    /// The file with the authorities cannot be read.
    #[error("could not read ledger.ca_file, {path}")]
    ReadCa {
        /// As configured.
        path: String,
        /// Of the file system.
        source: std::io::Error,
    },
    /// The file holds no certificate, or one that is none.
    #[error(
        "ledger.ca_file, {path}, holds no usable certificate: write a PEM file with the authorities to trust"
    )]
    BadCa {
        /// As configured.
        path: String,
    },
    /// Authorities make no difference without TLS.
    #[error("ledger.ca_file is given, and ledger.url is not TLS: write rediss:// or leave the file out")]
    CaWithoutTls,
    /// The client does not take the URLs, for example because one is TLS and one is not.
    #[error("ledger.url cannot be used: {0}")]
    BadUrl(String),
}

/// Claims in a Valkey or Redis server that several workers share.
pub struct ValkeyLedger {
    server: Server,
    shared: SharedLedger,
}

impl ValkeyLedger {
    /// Connects at the first call, and again whenever that is needed: a server that is down now makes calls fail as
    /// [`CallError::Transient`], no more.
    ///
    /// # Errors
    /// The configuration cannot work, whatever the server does.
    pub fn new(config: &ValkeyConfig, shared: SharedLedger) -> Result<Self, ValkeyError> {
        Ok(Self { server: Server::new(config)?, shared })
    }

    fn key(&self, key: &Key) -> String {
        format!("{}:{}", self.shared.namespace, URL_SAFE_NO_PAD.encode(key.digest()))
    }

    /// Now, the end of something that lasts this long from now, and the grace.
    fn times(&self, lasts: Duration) -> [u64; 3] {
        let now = self.shared.clock.now_ms();
        [now, now.saturating_add(millis(lasts)), millis(GRACE)]
    }
}

#[async_trait]
impl Ledger for ValkeyLedger {
    async fn claim(&self, wishes: &[Claiming], lease: Duration) -> Vec<Result<Claim, CallError>> {
        let keys: Vec<_> = wishes.iter().map(|wish| self.key(&wish.key)).collect();
        let [now, until, grace] = self.times(lease).map(|time| time.to_string());
        let each = |command: &mut Cmd, at: usize| {
            let wish = &wishes[at];
            command
                .arg(&wish.token.0.to_be_bytes())
                .arg(&wish.content_hash.0)
                .arg(u8::from(wish.is_redriven));
        };
        let call = Call { keys: &keys, once: &[&now, &until, &grace, &self.shared.worker], each: &each };
        let answers = self.server.run(&CLAIM, call).await;
        answers.into_iter().map(|answer| answer.and_then(read_claim)).collect()
    }

    async fn commit(&self, settled: &[Committed]) -> Vec<Result<Commit, CallError>> {
        let keys: Vec<_> = settled.iter().map(|committed| self.key(&committed.claim.key)).collect();
        let [now, until, grace] = self.times(self.shared.window).map(|time| time.to_string());
        let each = |command: &mut Cmd, at: usize| {
            let Committed { claim, state } = &settled[at];
            let (state, name) = match state {
                Final::Published { stored_as } => ("p", stored_as.as_str()),
                Final::DeadLettered { reason } => ("d", reason.code()),
            };
            command.arg(&claim.token.0.to_be_bytes()).arg(&claim.content_hash.0).arg(state).arg(name);
        };
        let call = Call { keys: &keys, once: &[&now, &until, &grace, &self.shared.worker], each: &each };
        let answers = self.server.run(&COMMIT, call).await;
        let commit = |is_recorded| if is_recorded { Commit::Recorded } else { Commit::Lost };
        answers.into_iter().map(|answer| answer.and_then(read_yes_or_no).map(commit)).collect()
    }

    async fn release(&self, claims: &[Claimed]) -> Vec<Result<(), CallError>> {
        let keys: Vec<_> = claims.iter().map(|claim| self.key(&claim.key)).collect();
        let each = |command: &mut Cmd, at: usize| {
            command.arg(&claims[at].token.0.to_be_bytes());
        };
        let answers = self.server.run(&RELEASE, Call { keys: &keys, once: &[], each: &each }).await;
        answers.into_iter().map(|answer| answer.and_then(read_yes_or_no).map(|_| ())).collect()
    }

    async fn find(&self, key: &Key) -> Result<Option<Entry>, CallError> {
        let mut command = redis::cmd("HMGET");
        command.arg(self.key(key)).arg(&FIELDS);
        let answer = self.server.ask(command).await?;
        Ok(read_entry(read(answer)?, self.shared.clock.now_ms()))
    }

    async fn forget(&self, key: &Key) -> Result<bool, CallError> {
        let [now, _, grace] = self.times(Duration::ZERO).map(|time| time.to_string());
        let call = Call { keys: &[self.key(key)], once: &[&now, &grace], each: &|_, _| {} };
        let mut answers = self.server.run(&FORGET, call).await;
        answers.pop().unwrap_or_else(|| Err(unreadable())).and_then(read_yes_or_no)
    }

    async fn describe(&self) -> Result<Vec<Fact>, CallError> {
        facts::ask(&self.server).await
    }
}

fn read_claim(answer: Value) -> Result<Claim, CallError> {
    let answer: Vec<u8> = read(answer)?;
    match answer.split_first() {
        Some((b'w', [])) => Ok(Claim::Won),
        Some((b'd', [])) => Ok(Claim::AlreadyDeadLettered),
        Some((b'x', [])) => Err(failure::foreign_key()),
        Some((b'p', hash)) => {
            let content_hash = ContentHash(hash.try_into().map_err(|_| unreadable())?);
            Ok(Claim::AlreadyPublished { content_hash })
        }
        Some((b'h', left)) => {
            let lease_left = Duration::from_millis(number(left).ok_or_else(unreadable)?);
            Ok(Claim::HeldElsewhere { lease_left })
        }
        _ => Err(unreadable()),
    }
}

fn read_yes_or_no(answer: Value) -> Result<bool, CallError> {
    match read::<i64>(answer)? {
        0 => Ok(false),
        1 => Ok(true),
        -1 => Err(failure::foreign_key()),
        _ => Err(unreadable()),
    }
}

/// An open claim comes before what was settled earlier, as it will replace it; one whose lease has ended, after.
fn read_entry(fields: [Option<Vec<u8>>; FIELDS.len()], now_ms: u64) -> Option<Entry> {
    let [token, lease_end, claimed, owner, state, name, settled, at, window_end, settler] = fields;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let hash = |bytes: Vec<u8>| bytes.try_into().ok().map(ContentHash);
    let claim = token.and_then(|_| {
        let until = number(&lease_end?)?;
        let state = State::InProgress { until: at_ms(until) };
        Some((until > now_ms, Entry { state, content_hash: hash(claimed?)?, worker: owner.map(text) }))
    });
    let settled = || {
        if number(&window_end?)? <= now_ms {
            return None;
        }
        let (name, at) = (text(name?), at_ms(number(&at?)?));
        let state = match state?.as_slice() {
            b"p" => State::Published { stored_as: name, at },
            _ => State::DeadLettered { reason: name, at },
        };
        Some(Entry { state, content_hash: hash(settled?)?, worker: settler.map(text) })
    };
    match claim {
        Some((true, open)) => Some(open),
        claim => settled().or(claim.map(|(_, ended)| ended)),
    }
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn read<T: redis::FromRedisValue>(answer: Value) -> Result<T, CallError> {
    redis::from_redis_value(answer).map_err(|_| unreadable())
}

/// Something that is no answer of ours to read.
fn unreadable() -> CallError {
    CallError::transient("unreadable", "the ledger's server gave an answer that makes no sense")
}
