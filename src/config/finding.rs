//! What is wrong with a configuration, said so that the reader can cure it without reading anything else.

use std::{fmt, path::PathBuf};

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the configuration file.
    File {
        /// The file as it was named to us.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
    },
    /// In this environment variable.
    Environment(String),
    /// Nowhere: the default of the reference.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One problem, or one warning. Holds no secret: what is written under a secret key is never quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The key, for example `source.visibility`; empty when the file as a whole is meant.
    pub key: String,
    /// Where the value at fault was written; `None` when it was not written at all.
    pub origin: Option<Origin>,
    /// What is wrong.
    pub what: String,
    /// What to write in its place.
    pub cure: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.origin, self.key.is_empty()) {
            (Some(origin), false) => write!(f, "{} ({origin}): ", self.key)?,
            (Some(origin), true) => write!(f, "{origin}: ")?,
            (None, false) => write!(f, "{}: ", self.key)?,
            (None, true) => {}
        }
        write!(f, "{}; {}", self.what, self.cure)
    }
}

/// Every problem of a configuration at once.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", numbered(problems))]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Finding>,
}

fn numbered(problems: &[Finding]) -> String {
    let count = problems.len();
    let head = format!("{count} problem{} in the configuration", if count == 1 { "" } else { "s" });
    problems.iter().enumerate().fold(head, |text, (n, problem)| format!("{text}\n  {}. {problem}", n + 1))
}
