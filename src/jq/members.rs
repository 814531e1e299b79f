//! Looks up members at once. In: a program that reads `.a.b.c`. Out: the same program, in which that is one call.
//!
//! Most of what a mapping does is to read members, and an interpreter of all of jq takes several steps, each with
//! memory of its own, for each dot. Where the *value* of such a path is asked for, and nothing else, a native function
//! answers the same in one step. Where a path itself is asked for (`path(…)`, `del(…)`, the left side of `|=`) nothing
//! is changed; where it cannot be told, neither.

use std::fmt::Write;

use jaq_core::{
    load::{
        lex::StrPart,
        parse::{BinaryOp, Term},
    },
    native::bome,
    path::{Opt, Part, Path},
};
use jaq_json::{Error, Val};

use super::{Cv, terms::parsed};

/// The native function: takes the number of a path. No program may write it.
pub(super) const MEMBER: &str = "tributary_member";

/// A program with its paths taken out.
pub(super) struct Taken {
    pub(super) text: String,
    /// The keys of each path.
    pub(super) paths: Vec<Vec<Val>>,
}

/// Puts calls in the place of paths. Lines stay; columns do not.
pub(super) fn take(text: &str) -> Taken {
    let mut found = Vec::new();
    if let Some(term) = parsed(text) {
        find(&term, true, &mut |keys| found.extend(span(text, keys).map(|span| (span, keys.to_vec()))));
    }
    found.sort_by_key(|(span, _)| span.start);
    let (mut taken, mut paths, mut done) =
        (String::with_capacity(text.len() * 2), Vec::<Vec<&str>>::new(), 0);
    for (span, keys) in found {
        let number = paths.iter().position(|path| *path == keys).unwrap_or_else(|| {
            paths.push(keys);
            paths.len() - 1
        });
        taken.push_str(text.get(done..span.start).unwrap_or_default());
        // The space keeps apart what the dot kept apart. Writing to a string cannot fail.
        write!(taken, " {MEMBER}({number})").ok();
        done = span.end;
    }
    taken.push_str(text.get(done..).unwrap_or_default());
    let values = |keys: Vec<&str>| keys.into_iter().map(|key| Val::from(key.to_owned())).collect();
    Taken { text: taken, paths: paths.into_iter().map(values).collect() }
}

/// What the function answers: the same as the path.
pub(super) fn member(mut cv: Cv<'_>) -> jaq_core::ValXs<'_, Val> {
    let number = cv.0.pop_var();
    let number = match &number {
        Val::Num(number) => number.as_isize().and_then(|number| usize::try_from(number).ok()),
        _ => None,
    };
    let paths = cv.0.data().paths;
    let keys = number.and_then(|number| paths.get(number)).map(Vec::as_slice).unwrap_or_default();
    bome(look_up(&cv.1, keys))
}

fn look_up(value: &Val, keys: &[Val]) -> Result<Val, Error> {
    let mut at = value;
    for key in keys {
        at = match at {
            Val::Obj(members) => members.get(key).unwrap_or(&Val::Null),
            Val::Null => at,
            other => return Err(Error::index(other.clone(), key.clone())),
        };
    }
    Ok(at.clone())
}

/// Where `.a.b.c` stands, if it is written just so.
fn span(text: &str, keys: &[&str]) -> Option<std::ops::Range<usize>> {
    let first = (keys.first()?.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let start = first.checked_sub(1)?;
    let written = format!(".{}", keys.join("."));
    let end = start + written.len();
    (text.get(start..end)? == written).then_some(start..end)
}

/// Hands over the keys of each path of which only the value is asked for.
fn find<'a>(term: &Term<&'a str>, is_value: bool, see: &mut dyn FnMut(&[&'a str])) {
    match term {
        Term::Path(of, path) => find_path(of, path, is_value, see),
        Term::Obj(members) => members.iter().for_each(|(key, value)| {
            find(key, true, see);
            if let Some(value) = value {
                find(value, true, see);
            }
        }),
        Term::Arr(Some(inner)) | Term::Neg(inner) => find(inner, true, see),
        Term::Str(_, parts) => parts.iter().for_each(|part| {
            if let StrPart::Term(term) = part {
                find(term, true, see);
            }
        }),
        Term::BinOp(left, operator, right) => {
            let (of_left, of_right) = asked_of(operator, is_value);
            find(left, of_left, see);
            find(right, of_right, see);
        }
        Term::Label(_, inner) => find(inner, is_value, see),
        Term::TryCatch(tried, caught) => {
            find(tried, is_value, see);
            if let Some(caught) = caught {
                find(caught, is_value, see);
            }
        }
        Term::IfThenElse(cases, otherwise) => {
            for (condition, then) in cases {
                find(condition, true, see);
                find(then, is_value, see);
            }
            if let Some(otherwise) = otherwise {
                find(otherwise, is_value, see);
            }
        }
        // Who calls a definition, and what for, is not followed.
        Term::Def(defs, rest) => {
            for def in defs {
                find(&def.body, false, see);
            }
            find(rest, is_value, see);
        }
        Term::Call(_, arguments) => arguments.iter().for_each(|argument| find(argument, false, see)),
        // Folds are not in the language here.
        Term::Fold(..)
        | Term::Id
        | Term::Recurse
        | Term::Num(_)
        | Term::Arr(None)
        | Term::Break(_)
        | Term::Var(_) => {}
    }
}

fn find_path<'a>(
    of: &Term<&'a str>,
    path: &Path<Term<&'a str>>,
    is_value: bool,
    see: &mut dyn FnMut(&[&'a str]),
) {
    let keys: Option<Vec<&str>> = path.0.iter().map(|(part, opt)| key(part, *opt)).collect();
    if let (Some(keys), true, Term::Id) = (keys, is_value, of) {
        return see(&keys);
    }
    find(of, is_value, see);
    for (part, _) in &path.0 {
        match part {
            Part::Index(index) => find(index, true, see),
            Part::Range(from, to) => from.iter().chain(to).for_each(|term| find(term, true, see)),
        }
    }
}

/// Whether the left and the right side of an operator are asked for their values only.
fn asked_of(operator: &BinaryOp<&str>, is_value: bool) -> (bool, bool) {
    match operator {
        BinaryOp::Pipe(None) | BinaryOp::Comma | BinaryOp::Alt => (is_value, is_value),
        BinaryOp::Pipe(Some(_)) => (true, is_value),
        BinaryOp::Or | BinaryOp::And | BinaryOp::Math(_) | BinaryOp::Cmp(_) => (true, true),
        BinaryOp::Assign | BinaryOp::Update | BinaryOp::UpdateMath(_) | BinaryOp::UpdateAlt => (false, true),
    }
}

fn key<'a>(part: &Part<Term<&'a str>>, opt: Opt) -> Option<&'a str> {
    match (part, opt) {
        (Part::Index(Term::Str(None, parts)), Opt::Essential) => match parts.as_slice() {
            [StrPart::Str(key)] => Some(*key),
            _ => None,
        },
        _ => None,
    }
}
