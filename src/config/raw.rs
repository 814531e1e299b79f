//! What the operator wrote, not yet judged: every value as text, with the place where it was written.
//!
//! In: a TOML file and environment variables; a variable wins over the file. Out: a [`RawConfig`], and a finding
//! for whatever is no key at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read as _,
    path::Path,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::config::{
    environment,
    finding::{Finding, Origin},
    keys,
    keys::{ALL, ANY_NAME, Absent, AnyKey, Key, TABLES, named},
    kinds::{Kind, is_label},
    nearest::nearest,
};
use crate::pipeline::NO_DESTINATION;

/// Far more than all keys and comments together; guards against being pointed at the wrong file.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// One value as it was written.
#[derive(Clone)]
pub(crate) struct Written {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// What the operator wrote.
#[derive(Default)]
pub struct RawConfig {
    written: BTreeMap<String, Written>,
    destinations: BTreeSet<String>,
    problems: Vec<Finding>,
    /// The file could not be read: what is not written may stand there all the same.
    pub(crate) is_partial: bool,
}

impl RawConfig {
    /// Reads the file, if there is one, then the environment over it. Never fails: problems are kept.
    pub fn read(path: Option<&Path>, environment: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut raw = Self::default();
        if let Some(path) = path {
            match read_bounded(path) {
                Ok(text) => raw.add_file(path, &text),
                Err(what) => {
                    raw.is_partial = true;
                    raw.problems.push(Finding {
                        key: String::new(),
                        origin: None,
                        what: format!("could not read {}: {what}", path.display()),
                        cure: "name a readable TOML file, or give every key by environment".into(),
                    });
                }
            }
        }
        raw.add_environment(environment);
        raw
    }

    /// What was written and is no key.
    pub fn problems(&self) -> &[Finding] {
        &self.problems
    }

    /// The names of the destinations, in order.
    pub fn destinations(&self) -> impl Iterator<Item = &str> {
        self.destinations.iter().map(String::as_str)
    }

    /// The value of a key, written or by default; `None` when it is absent or wrong.
    pub fn get<K: Kind>(&self, key: &Key<K>) -> Option<K::Value> {
        self.value(key, key.path)
    }

    /// As [`RawConfig::get`], for a key of one destination.
    pub fn get_of<K: Kind>(&self, destination: &str, key: &Key<K>) -> Option<K::Value> {
        self.value(key, &named(key.path, destination))
    }

    fn value<K: Kind>(&self, key: &Key<K>, path: &str) -> Option<K::Value> {
        let text = match (self.written.get(path), key.absent) {
            (Some(written), _) => &written.text,
            (None, Absent::Default(text)) => text,
            (None, _) => return None,
        };
        key.kind.parse(text).ok()
    }

    /// What was written under a path.
    pub(crate) fn written(&self, path: &str) -> Option<&Written> {
        self.written.get(path)
    }

    /// Where the value under a path comes from.
    pub(crate) fn origin(&self, path: &str) -> Origin {
        self.written.get(path).map_or(Origin::Default, |written| written.origin.clone())
    }

    /// Every key with its path, those of destinations once for each destination.
    pub(crate) fn paths(&self) -> Vec<(String, &'static dyn AnyKey)> {
        let mut paths = Vec::new();
        for &(table, _) in TABLES {
            let in_table =
                |key: &&&'static dyn AnyKey| key.path().rsplit_once('.').is_some_and(|(t, _)| t == table);
            let names: Vec<&str> =
                if table.contains(ANY_NAME) { self.destinations().collect() } else { vec![""] };
            for name in names {
                paths.extend(ALL.iter().filter(in_table).map(|key| (named(key.path(), name), *key)));
            }
        }
        paths
    }

    fn add_file(&mut self, path: &Path, text: &str) {
        let line_of = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        let origin_of = |at: usize| Origin::File { path: path.to_owned(), line: line_of(at) };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            // Only the message: the error's own display shows the line at fault, which may hold a secret.
            self.problems.push(Finding {
                key: String::new(),
                origin: Some(origin_of(error.span().map_or(0, |span| span.start))),
                what: format!("no valid TOML: {}", error.message().replace('\n', ", ")),
                cure: "correct the line; texts need quotation marks".into(),
            });
        }
        self.is_partial = !errors.is_empty();
        if !self.is_partial {
            self.add_table("", table.get_ref(), &origin_of);
        }
    }

    /// Tables of ours are at most three deep; what is deeper is unknown and is not entered.
    fn add_table(&mut self, prefix: &str, table: &DeTable<'_>, origin_of: &impl Fn(usize) -> Origin) {
        for (name, value) in table {
            let path = if prefix.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{prefix}.{name}", name = name.get_ref())
            };
            let origin = origin_of(name.span().start);
            match kind_of_path(&path) {
                PathKind::Table => self.enter(&path, value, origin, origin_of),
                PathKind::Destination if !is_destination_name(name.get_ref()) => {
                    self.problems.push(bad_destination_name(&path, origin));
                }
                PathKind::Destination => {
                    if matches!(value.get_ref(), DeValue::Table(_)) {
                        self.destinations.insert(name.get_ref().to_string());
                    }
                    self.enter(&path, value, origin, origin_of);
                }
                PathKind::Key => self.add_value(path, value.get_ref(), origin),
                PathKind::Unknown => self.problems.push(unknown_key(&path, origin)),
            }
        }
    }

    fn enter(
        &mut self,
        path: &str,
        value: &Spanned<DeValue<'_>>,
        origin: Origin,
        origin_of: &impl Fn(usize) -> Origin,
    ) {
        if let DeValue::Table(table) = value.get_ref() {
            self.add_table(path, table, origin_of);
        } else {
            self.problems.push(Finding {
                key: path.into(),
                origin: Some(origin),
                what: "is a table, and was written as one value".into(),
                cure: format!("write [{path}] on a line of its own, and its keys below"),
            });
        }
    }

    fn add_value(&mut self, path: String, value: &DeValue<'_>, origin: Origin) {
        let text = match value {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            DeValue::Float(number) => number.as_str().to_owned(),
            _ => {
                self.problems.push(Finding {
                    key: path,
                    origin: Some(origin),
                    what: "is neither a text nor a decimal number".into(),
                    cure: "write one value, a text in quotation marks".into(),
                });
                return;
            }
        };
        self.written.insert(path, Written { text, origin });
    }

    fn add_environment(&mut self, environment: impl IntoIterator<Item = (String, String)>) {
        for (variable, text) in environment {
            match environment::path_of(&variable) {
                environment::Variable::Foreign => {}
                environment::Variable::Unknown { meant } => self.problems.push(Finding {
                    key: String::new(),
                    origin: Some(Origin::Environment(variable)),
                    what: "no such variable".into(),
                    cure: meant.map_or_else(
                        || "remove it; every variable is named in config.reference.toml".into(),
                        |meant| format!("did you mean {meant}?"),
                    ),
                }),
                environment::Variable::Key { path, destination } => {
                    // Task definitions and manifests set a variable to nothing in order to leave it out.
                    if text.is_empty() {
                        continue;
                    }
                    self.destinations.extend(destination);
                    self.written.insert(path, Written { text, origin: Origin::Environment(variable) });
                }
            }
        }
    }
}

enum PathKind {
    Table,
    Destination,
    Key,
    Unknown,
}

fn kind_of_path(path: &str) -> PathKind {
    let pattern = pattern_of(path);
    if ALL.iter().any(|key| key.path() == pattern) {
        PathKind::Key
    } else if path == "destinations" {
        PathKind::Table
    } else if TABLES.iter().any(|(table, _)| *table == pattern) {
        if pattern.ends_with(ANY_NAME) { PathKind::Destination } else { PathKind::Table }
    } else {
        PathKind::Unknown
    }
}

/// `destinations.lake.oversize` is `destinations.*.oversize`.
fn pattern_of(path: &str) -> String {
    let Some(rest) = path.strip_prefix("destinations.") else { return path.to_owned() };
    let key = rest.split_once('.').map_or(String::new(), |(_, key)| format!(".{key}"));
    format!("destinations.{ANY_NAME}{key}")
}

/// Not the label of events that were rejected before a destination was known.
pub(crate) fn is_destination_name(name: &str) -> bool {
    name != NO_DESTINATION && is_label(name)
}

fn bad_destination_name(path: &str, origin: Origin) -> Finding {
    Finding {
        key: path.into(),
        origin: Some(origin),
        what: "is no name for a destination".into(),
        cure:
            "write a lower-case letter, then letters, digits and dashes, 32 characters in all, and not none"
                .into(),
    }
}

fn unknown_key(path: &str, origin: Origin) -> Finding {
    let pattern = pattern_of(path);
    let tables = TABLES.iter().map(|(table, _)| table.trim_end_matches(".*"));
    let candidates = keys::ALL.iter().map(|key| key.path()).chain(tables);
    let table = path.rsplit_once('.').map_or("", |(table, _)| table);
    let cure = match nearest(&pattern, candidates) {
        Some(meant) => {
            let name = path.split('.').nth(1).unwrap_or(ANY_NAME);
            format!("did you mean {}?", named(meant, name))
        }
        None => known_in(table),
    };
    Finding { key: path.into(), origin: Some(origin), what: "no such key".into(), cure }
}

/// What could have been meant, when nothing is near.
fn known_in(table: &str) -> String {
    let pattern = pattern_of(table);
    let inside: Vec<&str> = ALL
        .iter()
        .filter_map(|key| key.path().rsplit_once('.'))
        .filter_map(|(known, key)| (known == pattern).then_some(key))
        .collect();
    if inside.is_empty() {
        let tables: Vec<&str> = TABLES.iter().map(|(table, _)| *table).collect();
        format!("the tables are {}", tables.join(", "))
    } else {
        format!("the keys of {table} are {}", inside.join(", "))
    }
}

fn read_bounded(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err("it is larger than 1 MiB".into());
    }
    Ok(text)
}
