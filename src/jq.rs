//! The language in which formats, conditions and redactions are written: jq, run by jaq.
//! <https://jqlang.org/manual/>, <https://github.com/01mf02/jaq>
//!
//! In: the text of a program, once; then events. Out: values, yes or no, or paths. A program sees the event, what is
//! known of its message (`$message`) and its format (`$format`), and nothing else: no clock, no environment, no
//! files. No event can make it go on for ever, because the words for that are not in the language here (see [`rules`]).

mod faults;
mod members;
mod natives;
mod prelude;
mod probe;
mod rules;
mod terms;
mod value;

use std::{cell::OnceCell, fmt, sync::Arc};

use bytestring::ByteString;
use jaq_core::{
    Compiler, Ctx, DataT, Filter, Lut, Vars,
    data::HasLut,
    load::{Arena, File, Loader},
    unwrap_valr,
};
use jaq_json::Val;

pub use self::{
    faults::Fault,
    probe::never_paths,
    terms::{ObjectKey, object_keys},
};
use crate::{
    event::IdentifiedEvent,
    failure::{Reason, Rejection},
    receive::About,
};

/// What programs work on: values of JSON, with a table of paths beside the program.
struct Data;

impl DataT for Data {
    type V<'a> = Val;
    type Data<'a> = Tables<'a>;
}

/// What natives can reach of the program that calls them.
#[derive(Clone)]
struct Tables<'a> {
    lut: &'a Lut<Data>,
    /// See [`members`].
    paths: &'a [Vec<Val>],
}

impl<'a> HasLut<'a, Data> for Tables<'a> {
    fn lut(&self) -> &'a Lut<Data> {
        self.lut
    }
}

/// Context and input of a native.
type Cv<'a> = jaq_core::Cv<'a, Data>;

/// The variables of every program, in the order of [`Input::variables`].
const VARIABLES: [&str; 2] = ["$message", "$format"];

/// A compiled program.
pub struct Program {
    filter: Filter<Data>,
    /// The paths whose members are looked up at once.
    paths: Vec<Vec<Val>>,
    asks_for_message: bool,
    /// The sentences that it may say of an event: written out in the program, so that no payload is in them.
    sentences: Vec<String>,
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").finish_non_exhaustive()
    }
}

/// An event's value, kept so that it is parsed once. Cheap to clone.
#[derive(Clone)]
pub struct Parsed(Val);

impl Parsed {
    /// Of an event of so many bytes, about: each member is an entry, a key and a value of its own.
    pub const fn bytes(json_bytes: usize) -> usize {
        8 * json_bytes
    }
}

impl fmt::Debug for Parsed {
    /// Nothing of it: no payload may reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parsed")
    }
}

/// One event as programs see it, parsed once for all of them.
pub struct Input<'a> {
    event: Val,
    about: &'a About,
    /// Made when the first program asks for it, which most do not.
    message: OnceCell<Val>,
    format: Val,
}

impl<'a> Input<'a> {
    /// Of the event's text, which must be well-formed.
    pub fn new(json: &ByteString, about: &'a About, format: &str) -> Self {
        Self::with(value::of_json(json), about, format)
    }

    /// Of an event that stage 3 has passed.
    pub fn of(event: &IdentifiedEvent, about: &'a About) -> Self {
        let value =
            event.parsed.as_ref().map_or_else(|| value::of_json(&event.raw.json), |parsed| parsed.0.clone());
        Self::with(value, about, event.format.name())
    }

    fn with(event: Val, about: &'a About, format: &str) -> Self {
        Self { event, about, message: OnceCell::new(), format: Val::from(format.to_owned()) }
    }

    /// The event's value, for [`Input::of`].
    pub(crate) fn parsed(&self) -> Parsed {
        Parsed(self.event.clone())
    }

    /// The same event, now that its format is known.
    #[must_use]
    pub fn of_format(self, format: &str) -> Self {
        Self { format: Val::from(format.to_owned()), ..self }
    }

    fn variables(&self, with_message: bool) -> Vars<Val> {
        let message = with_message.then(|| self.message.get_or_init(|| value::message(self.about)).clone());
        Vars::new([message.unwrap_or_default(), self.format.clone()])
    }
}

/// One step of a path into an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Into the member of an object.
    Key(String),
    /// Into the element of an array, from 0.
    At(usize),
}

/// Why a program has no answer for an event.
#[derive(Clone)]
pub struct RunError {
    /// What may be said anywhere: no payload is in it.
    pub rejection: Rejection,
    /// What the interpreter said, which can hold payload: only for the user who brought the event.
    pub in_full: String,
}

impl fmt::Debug for RunError {
    /// Not in full: no payload may reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunError").field("rejection", &self.rejection).finish_non_exhaustive()
    }
}

impl RunError {
    /// A sentence of ours, in which no payload is.
    pub(crate) fn saying(sentence: &'static str) -> Self {
        Self { rejection: Rejection::new(Reason::MappingFailed, sentence), in_full: sentence.to_owned() }
    }

    /// The same, now that it is known which program failed, and for what.
    pub(crate) fn of(self, reason: Reason, program: &str) -> Self {
        let sentence = format!("{program}: {}", self.rejection.detail);
        Self { rejection: Rejection::new(reason, sentence), ..self }
    }
}

impl Program {
    /// Compiles the text of one filter, which may begin with definitions.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn compile(text: &str) -> Result<Self, Fault> {
        Self::compile_entry(text, "")
    }

    /// Compiles one of the definitions in `text`. Lines and columns of faults are those of `text`.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn compile_entry(text: &str, entry: &str) -> Result<Self, Fault> {
        let whole = if entry.is_empty() { text.to_owned() } else { format!("{text}\n{entry}") };
        let read = rules::read(&whole)?;
        let taken = members::take(&whole);
        // What is wrong is said of the text as it was written.
        let filter = compiled(&taken.text).or_else(|_| compiled(&whole))?;
        let asks_for_message = whole.contains(VARIABLES[0]);
        Ok(Self { filter, paths: taken.paths, asks_for_message, sentences: read.sentences })
    }

    /// Whether the first value is neither `null` nor `false`. No value at all is no.
    ///
    /// # Errors
    /// The program has no answer for this event.
    pub fn is_true(&self, input: &Input<'_>) -> Result<bool, RunError> {
        Ok(self.first(input)?.is_some_and(|value| !matches!(value, Val::Null | Val::Bool(false))))
    }

    /// The first value as JSON text, without white space.
    ///
    /// # Errors
    /// The program has no answer for this event.
    pub fn json(&self, input: &Input<'_>) -> Result<Option<ByteString>, RunError> {
        let Some(value) = self.first(input)? else { return Ok(None) };
        value::text(&value).map(Some).ok_or_else(|| RunError::saying(TOO_LARGE))
    }

    /// All values, each of which must be a path: the program is meant to be inside `path(…)`.
    ///
    /// # Errors
    /// The program has no answer for this event.
    pub fn paths(&self, input: &Input<'_>) -> Result<Vec<Vec<Step>>, RunError> {
        let mut paths = Vec::new();
        for value in self.run(input) {
            let value = value.map_err(|error| self.explained(error))?;
            let Some(path) = value::steps(&value) else { return Err(RunError::saying(NO_PATH)) };
            if paths.len() >= PATHS_MAX {
                return Err(RunError::saying(MANY_PATHS));
            }
            paths.push(path);
        }
        Ok(paths)
    }

    /// The first value.
    ///
    /// # Errors
    /// The program has no answer for this event.
    pub(crate) fn first(&self, input: &Input<'_>) -> Result<Option<Val>, RunError> {
        self.run(input).next().transpose().map_err(|error| self.explained(error))
    }

    fn run<'a>(&'a self, input: &Input<'_>) -> impl Iterator<Item = jaq_core::ValR<Val>> + 'a {
        let tables = Tables { lut: &self.filter.lut, paths: &self.paths };
        let context = Ctx::<Data>::new(tables, input.variables(self.asks_for_message));
        self.filter.id.run((context, input.event.clone())).map(unwrap_valr)
    }

    fn explained(&self, error: jaq_core::Error<Val>) -> RunError {
        let in_full = match error.into_val() {
            Val::TStr(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            value => value.to_string(),
        };
        let rejection = if in_full == natives::NO_TIME {
            Rejection::new(Reason::BadTime, natives::NO_TIME)
        } else if let Some(sentence) = self.sentences.iter().find(|sentence| **sentence == in_full) {
            Rejection::new(Reason::MappingFailed, sentence.clone())
        } else {
            Rejection::new(Reason::MappingFailed, TYPES)
        };
        RunError { rejection, in_full }
    }
}

fn compiled(text: &str) -> Result<Filter<Data>, Fault> {
    let arena = Arena::default();
    let file = File { code: text, path: () };
    let modules = Loader::new(prelude::definitions())
        .load(&arena, file)
        .map_err(|errors| faults::of_loading(text, &errors))?;
    Compiler::default()
        .with_funs(prelude::functions())
        .with_global_vars(VARIABLES)
        .compile(modules)
        .map_err(|errors| faults::of_compiling(text, &errors))
}

/// More paths than any event has places that need redacting.
const PATHS_MAX: usize = 10_000;

/// To leave one out would leave its value in.
const NO_PATH: &str =
    "a path with a slice or with a place counted from the end; write single places from the start";
const MANY_PATHS: &str = "more than 10000 paths";

/// See [`value::text`].
const TOO_LARGE: &str = "what the program makes of this event is larger than 4 MiB";

/// The interpreter's own errors show values.
const TYPES: &str = "an expression does not fit the types of this event; `tributary explain` says which";

/// Something compiled, beside what was written.
#[derive(Clone, Debug)]
pub struct Written {
    /// As the operator wrote it.
    pub text: Arc<str>,
    /// As it runs.
    pub program: Arc<Program>,
}

#[cfg(test)]
mod tests;
