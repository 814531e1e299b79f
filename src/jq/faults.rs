//! What is wrong with a program, and where. In: the errors of jaq. Out: the first of them as a [`Fault`].

use std::fmt;

use jaq_core::{
    compile::{self, Undefined},
    load,
};

/// What is wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// The sentence; names what to write instead where that is known.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.what)
    }
}

impl Fault {
    /// At `part`, which is a slice of `whole`.
    pub(super) fn at(whole: &str, part: &str, what: impl Into<String>) -> Self {
        // A slice of something else says nothing about the place; then it is the start.
        let at = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize);
        let before = at.and_then(|at| whole.get(..at)).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { line: before.matches('\n').count() + 1, column, what: what.into() }
    }
}

pub(super) fn of_loading(whole: &str, errors: &load::Errors<&str, ()>) -> Fault {
    let first = errors.first().map(|(_, error)| match error {
        load::Error::Lex(errors) => errors
            .first()
            .map(|(expected, found)| Fault::at(whole, found, format!("expected {}", expected.as_str()))),
        load::Error::Parse(errors) => errors
            .first()
            .map(|(expected, found)| Fault::at(whole, found, format!("expected {}", expected.as_str()))),
        load::Error::Io(errors) => errors.first().map(|(path, _)| {
            Fault::at(whole, path, "import and include are not available: a program is one text")
        }),
    });
    first.flatten().unwrap_or_else(|| Fault::at(whole, whole, "no valid jq"))
}

pub(super) fn of_compiling(whole: &str, errors: &compile::Errors<&str, ()>) -> Fault {
    let first = errors.iter().flat_map(|(_, errors)| errors).next();
    first.map_or_else(
        || Fault::at(whole, whole, "no valid jq"),
        |(name, kind)| Fault::at(whole, name, undefined(name, kind)),
    )
}

fn undefined(name: &str, kind: &Undefined) -> String {
    match kind {
        Undefined::Filter(arity) => format!(
            "{name} with {arity} arguments is not defined; what looks at the clock, the host or other inputs is not \
             available"
        ),
        Undefined::Var => format!("{name} is not defined; there are $message and $format"),
        kind => format!("{} {name} is not defined", kind.as_str()),
    }
}
