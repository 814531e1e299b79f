//! One format that is written in jq. In: its text. Out: its programs, compiled, or everything that is wrong with them.
//!
//! The text is a row of definitions: `matches` (is an event of this format?), `id` (what identifies it: a text, or an
//! object or array of which the hash is taken), `event` (the event in the lake's schema) and `secrets` (the paths of what
//! must not reach the lake; `empty` if there is nothing, which has to be said).

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    event::RawEvent,
    jq::{Fault, Input, ObjectKey, Program, object_keys},
    receive::About,
};

/// A format that is written in jq.
pub struct Mapping {
    /// Its name.
    pub name: Arc<str>,
    /// The file that it was read from; `None` for those that the program brings.
    pub path: Option<PathBuf>,
    /// As it is written.
    pub text: String,
    /// Whether an event is of this format.
    pub(crate) matches: Program,
    /// What identifies an event.
    pub(crate) id: Program,
    /// The event in the lake's schema.
    pub(crate) event: Program,
    /// The paths of what must not reach the lake.
    pub(crate) secrets: Program,
    /// Where the fields of the event are written.
    keys: Vec<ObjectKey>,
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapping").field("name", &self.name).field("path", &self.path).finish_non_exhaustive()
    }
}

/// What is wrong with a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappingFault {
    /// The file.
    pub path: PathBuf,
    /// In it, where a place is known.
    pub place: Option<(usize, usize)>,
    /// The sentence.
    pub what: String,
}

impl fmt::Display for MappingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.path.display(), self.what),
            None => write!(f, "{}: {}", self.path.display(), self.what),
        }
    }
}

impl MappingFault {
    /// Of a file or folder as a whole.
    pub(super) fn of_file(path: &Path, what: String) -> Self {
        Self { path: path.to_owned(), place: None, what }
    }
}

/// What a mapping consists of, each with what it is for.
const PARTS: [(&str, &str); 4] = [
    ("matches", "says whether an event is of this format; false where it is only chosen by configuration"),
    ("id", "is what identifies an event"),
    ("event", "is the event in the lake's schema"),
    ("secrets", "names what must not reach the lake; `empty` if nothing"),
];

impl Mapping {
    /// One that the program brings.
    pub(super) fn built_in(name: &str, text: &str) -> Result<Self, Vec<MappingFault>> {
        Self::compile(name, text).map_err(|faults| in_file(Path::new(name), faults))
    }

    /// One that the operator brings.
    pub(super) fn of_file(name: &str, path: &Path, text: &str) -> Result<Self, Vec<MappingFault>> {
        let mapping = Self::compile(name, text).map_err(|faults| in_file(path, faults))?;
        Ok(Self { path: Some(path.to_owned()), ..mapping })
    }

    fn compile(name: &str, text: &str) -> Result<Self, Vec<Fault>> {
        // The text by itself first: what is wrong with it would be said of every part.
        Program::compile_entry(text, ".").map_err(|fault| vec![fault])?;
        let mut faults = Vec::new();
        let mut part =
            |entry: &str| Program::compile_entry(text, entry).map_err(|fault| faults.push(fault)).ok();
        let entries = ["matches", "id", "event", "path(secrets)"];
        match entries.map(&mut part) {
            [Some(matches), Some(id), Some(event), Some(secrets)] => Ok(Self {
                name: name.into(),
                path: None,
                text: text.to_owned(),
                matches,
                id,
                event,
                secrets,
                keys: object_keys(&format!("{text}\n.")),
            }),
            _ => Err(Some(absent(text)).filter(|absent| !absent.is_empty()).unwrap_or(faults)),
        }
    }

    /// Where the text says what becomes of a field of the schema, such as `userIdentity.type`: line numbers.
    pub fn lines_of(&self, field: &str) -> Vec<usize> {
        let is_field = |key: &&ObjectKey| key.path.iter().map(String::as_str).eq(field.split('.'));
        self.keys.iter().filter(is_field).map(|key| key.line).collect()
    }

    /// What the interpreter says where one of the programs has no answer for an event, in full: it can hold payload.
    pub(crate) fn said_of(&self, program: &Program, raw: &RawEvent, about: &About) -> Option<String> {
        let input = Input::new(&raw.json, about, &self.name);
        program.json(&input).err().map(|error| error.in_full)
    }

    /// The first comment: what the format is.
    pub fn about(&self) -> &str {
        let first = self.text.lines().find(|line| line.starts_with('#')).unwrap_or_default();
        first.trim_start_matches('#').trim()
    }

    /// Where it comes from, for people.
    pub fn origin(&self) -> String {
        self.path.as_ref().map_or_else(|| "built in".to_owned(), |path| path.display().to_string())
    }
}

/// The parts that a text lacks.
fn absent(text: &str) -> Vec<Fault> {
    let is_absent = |name: &str| Program::compile_entry(text, name).is_err();
    let fault = |(name, purpose): &(&str, &str)| Fault {
        line: 1,
        column: 1,
        what: format!("there is no `def {name}: …;`, which {purpose}"),
    };
    PARTS.iter().filter(|(name, _)| is_absent(name)).map(fault).collect()
}

fn in_file(path: &Path, faults: Vec<Fault>) -> Vec<MappingFault> {
    let in_file = |Fault { line, column, what }| MappingFault {
        path: path.to_owned(),
        place: Some((line, column)),
        what,
    };
    faults.into_iter().map(in_file).collect()
}
