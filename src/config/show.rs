//! The configuration as it takes effect, for people and scripts: every key that has a use, its value, where the value
//! comes from; secrets hidden.

use crate::config::{
    Origin, RawConfig,
    bounds::has_use,
    keys::{Absent, AnyKey},
};

/// What is printed in place of a secret.
const HIDDEN: &str = "(hidden)";
/// What is printed in place of a text that is no value of its key: it may hold a secret that belongs elsewhere.
const WRONG: &str = "(not valid)";

/// One key as it takes effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// For example `destinations.lake.oversize`.
    pub path: String,
    /// As written, or the default; `(hidden)` for a secret; `None` for an optional key that is not set.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether TOML writes it without quotation marks.
    pub is_bare: bool,
}

/// Every key in the order of the reference, but for those of a stream where events come from a queue, and the other way
/// round.
pub fn settings(raw: &RawConfig) -> Vec<Setting> {
    let setting = |(path, key): (String, &dyn AnyKey)| {
        let value = match (raw.written(&path), key.absent()) {
            (Some(_), _) if key.is_secret() => Some(HIDDEN.to_owned()),
            (Some(written), _) if key.check(&written.text).is_err() => Some(WRONG.to_owned()),
            (Some(written), _) => Some(written.text.clone()),
            (None, Absent::Default(text)) => Some(text.to_owned()),
            (None, _) => None,
        };
        let is_bare = value.as_deref().is_some_and(|text| key.is_bare(text));
        Setting { origin: raw.origin(&path), path, value, is_bare }
    };
    let has_use = |(path, _): &(String, &dyn AnyKey)| raw.written(path).is_some() || has_use(raw, path);
    raw.paths().into_iter().filter(has_use).map(setting).collect()
}

/// As TOML, with the origin of each value behind it.
pub fn settings_toml(settings: &[Setting]) -> String {
    let mut lines = Vec::new();
    let mut current = "";
    for setting in settings {
        let (table, name) = setting.path.rsplit_once('.').unwrap_or(("", &setting.path));
        if table != current {
            lines.push(format!("\n[{table}]"));
            current = table;
        }
        lines.push(match &setting.value {
            None => format!("# {name} is not set"),
            Some(value) if setting.is_bare => {
                format!("{:<48} # {}", format!("{name} = {value}"), setting.origin)
            }
            Some(value) => format!("{:<48} # {}", format!("{name} = {value:?}"), setting.origin),
        });
    }
    lines.join("\n").trim_start().to_owned() + "\n"
}
