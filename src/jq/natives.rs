//! What jq does not have and every mapping needs. In: a value. Out: a value, or an error.
//!
//! `utc`: any time to seconds UTC. `ip`: an address, or `null`. `text`: a string that says something, or `null`.
//! `sha256`: of the canonical form.

use std::net::IpAddr;

use bytes::Bytes;
use bytestring::ByteString;
use jaq_core::{
    RunPtr,
    native::{Filter, bome, v},
};
use jaq_json::{Error, Val};

use super::{Data, members, value};
use crate::{json, map::time};

/// What `utc` says of what is no time.
pub(super) const NO_TIME: &str = "the event's time is no time: neither RFC 3339 nor a number of seconds, \
                                  milliseconds, microseconds, nanoseconds or FILETIME between 1990 and 2100";

/// Takes the place of the library's.
pub(super) const FROM_JSON: &str = "fromjson";

const NO_JSON: &str = "fromjson: no text that is one JSON value";

pub(super) fn functions() -> [Filter<RunPtr<Data>>; 6] {
    [
        (FROM_JSON, v(0), |cv| bome(from_json(&cv.1))),
        (members::MEMBER, v(1), members::member),
        ("utc", v(0), |cv| bome(utc(&cv.1))),
        ("ip", v(0), |cv| bome(Ok(address(cv.1)))),
        ("text", v(0), |cv| bome(Ok(said(cv.1)))),
        ("sha256", v(0), |cv| bome(hashed(&cv.1))),
    ]
}

/// The library's own follows nesting of any depth, until the stack ends.
fn from_json(value: &Val) -> Result<Val, Error> {
    let Val::TStr(bytes) = value else { return Err(Error::str(NO_JSON)) };
    let text = ByteString::try_from(Bytes::clone(bytes)).map_err(|_| Error::str(NO_JSON))?;
    json::well_formed(&text).map_err(|_| Error::str(NO_JSON))?;
    Ok(value::of_json(&text))
}

fn hashed(value: &Val) -> Result<Val, Error> {
    let hash = value::hash(value).ok_or_else(|| Error::str("sha256: the value is larger than 4 MiB"))?;
    Ok(Val::from(hash.to_string()))
}

fn utc(value: &Val) -> Result<Val, Error> {
    let seconds = match value {
        Val::TStr(bytes) => std::str::from_utf8(bytes).ok().and_then(time::any_text),
        Val::Num(_) => time::any_number(&value.to_string()),
        _ => None,
    };
    seconds.map(Val::from).ok_or_else(|| Error::str(NO_TIME))
}

fn address(value: Val) -> Val {
    let is_address = match &value {
        Val::TStr(bytes) => std::str::from_utf8(bytes).is_ok_and(|text| text.parse::<IpAddr>().is_ok()),
        _ => false,
    };
    if is_address { value } else { Val::Null }
}

fn said(value: Val) -> Val {
    match &value {
        Val::TStr(bytes) if !bytes.is_empty() => value,
        _ => Val::Null,
    }
}
