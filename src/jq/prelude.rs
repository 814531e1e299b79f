//! The words of the language. Out: jq's own definitions and functions, as far as they look at nothing but the event,
//! and [`natives`](super::natives).

use std::{collections::BTreeSet, sync::LazyLock};

use jaq_core::{
    load::parse::{Def, Term},
    native::{Fun, run},
};

use super::{Data, natives, rules};

/// Functions that look at the clock or the host, write, or end the process.
const OUTSIDE: [&str; 12] = [
    "halt",
    "env",
    "now",
    "debug_empty",
    "stderr_empty",
    "localtime",
    "gmtime",
    "mktime",
    "strftime",
    "strflocaltime",
    "strptime",
    "todateiso8601",
];

/// jq's definitions, without those that need what is [`OUTSIDE`]. Read once in a process: every program begins with them.
pub(super) fn definitions() -> Vec<Def<&'static str>> {
    static DEFINITIONS: LazyLock<Vec<Def<&'static str>>> = LazyLock::new(inside);
    DEFINITIONS.clone()
}

fn inside() -> Vec<Def<&'static str>> {
    let mut known: BTreeSet<(String, usize)> =
        functions().map(|(name, arguments, _)| (name.to_owned(), arguments.len())).collect();
    let all: Vec<_> = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs()).collect();
    // A definition may use any other of its library, wherever it stands.
    known.extend(all.iter().map(signature));
    let mut kept = all;
    loop {
        let before = kept.len();
        kept.retain(|def| {
            let is_whole = rules::calls_only(def, &known);
            if !is_whole {
                known.remove(&signature(def));
            }
            is_whole
        });
        if kept.len() == before {
            return kept;
        }
    }
}

/// What is implemented in Rust.
pub(super) fn functions() -> impl Iterator<Item = Fun<Data>> {
    let library = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let inside = library.filter(|(name, ..)| !OUTSIDE.contains(name) && *name != natives::FROM_JSON);
    inside.chain(natives::functions().into_iter().map(run::<Data>))
}

fn signature(def: &Def<&str, Term<&str>>) -> (String, usize) {
    (def.name.to_owned(), def.args.len())
}
