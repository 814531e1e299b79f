//! What can be told of path expressions before there are events. In: the expression, and its program inside `path(…)`.
//! Out: why it is none.

use bytestring::ByteString;
use jaq_core::{
    load::parse::{BinaryOp, Term},
    path::Part,
};
use jaq_json::Val;

use super::{Input, NO_PATH, PATHS_MAX, Program, terms, value};
use crate::receive::About;

/// What an event lacks is `null`. An event that has everything would tell more, but nobody knows it.
const PROBES: [&str; 3] = ["null", "{}", r#"{"a":{"b":"c"}}"#];

/// How the interpreter's error begins where a value is no path.
const INVALID: &str = "invalid path expression";

/// What is wrong with it; `None` where that depends on the event.
pub fn never_paths(text: &str, program: &Program) -> Option<&'static str> {
    if terms::parsed(text).is_some_and(|term| slices(&term)) {
        return Some(NO_PATH);
    }
    let about = About::default();
    let mut selects_whole = true;
    for probe in PROBES {
        let input = Input::new(&ByteString::from_static(probe), &about, "");
        let mut is_whole = false;
        for path in program.run(&input).take(PATHS_MAX) {
            match path {
                Ok(path) if !may_be_path(&path) => return Some(NO_PATH),
                Ok(path) => is_whole |= value::steps(&path).is_some_and(|steps| steps.is_empty()),
                Err(error) => {
                    // Of any other error, the event may be free.
                    if program.explained(error).in_full.starts_with(INVALID) {
                        return Some("a value, not the path of one");
                    }
                }
            }
        }
        // `.. | scalars` is the whole of `null`, which no event is.
        selects_whole &= is_whole || probe == "null";
    }
    selects_whole.then_some("the path of the whole event, of which nothing would be left")
}

/// The step of `.list[.at]` is `null` only as long as there is no event.
fn may_be_path(path: &Val) -> bool {
    let is_open = || matches!(path, Val::Arr(steps) if steps.iter().any(|step| matches!(step, Val::Null)));
    value::steps(path).is_some() || is_open()
}

/// Whether a path goes through a slice. Nothing that is absent can be sliced, so no probe would show it; inside
/// `select(…)` and its like, a slice is a value as any other.
fn slices(term: &Term<&str>) -> bool {
    match term {
        Term::Path(of, path) => {
            let is_slice =
                |part: &Part<_>| matches!(part, Part::Range(from, to) if from.is_some() || to.is_some());
            slices(of) || path.0.iter().any(|(part, _)| is_slice(part))
        }
        Term::BinOp(_, BinaryOp::Pipe(Some(_)), right) => slices(right),
        Term::BinOp(left, BinaryOp::Pipe(None) | BinaryOp::Comma | BinaryOp::Alt, right) => {
            slices(left) || slices(right)
        }
        Term::IfThenElse(cases, otherwise) => {
            cases.iter().any(|(_, then)| slices(then)) || otherwise.as_deref().is_some_and(slices)
        }
        Term::TryCatch(inner, _) | Term::Label(_, inner) | Term::Def(_, inner) => slices(inner),
        _ => false,
    }
}
