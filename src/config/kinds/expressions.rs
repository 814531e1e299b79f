//! How conditions, paths and what belongs to them are written.

use std::sync::Arc;

use super::{Kind, Wrong};
use crate::jq::{Fault, Program, Written, never_paths};

/// A jq expression that is true or not.
pub struct Condition;

impl Kind for Condition {
    type Value = Written;

    fn parse(&self, text: &str) -> Result<Written, Wrong> {
        let program = Program::compile(text).map_err(|fault| wrong(&fault))?;
        Ok(Written { text: text.into(), program: Arc::new(program) })
    }

    fn bounds(&self) -> String {
        "a jq expression, true for whatever is neither null nor false".into()
    }
}

/// A jq path expression: what `path(…)` accepts.
pub struct Paths;

impl Kind for Paths {
    type Value = Written;

    fn parse(&self, text: &str) -> Result<Written, Wrong> {
        // By itself first, so that the place of a fault is that in what was written.
        Program::compile(text).map_err(|fault| wrong(&fault))?;
        // The line may end with a comment.
        let program = Program::compile(&format!("path({text}\n)")).map_err(|fault| wrong(&fault))?;
        if let Some(what) = never_paths(text, &program) {
            let cure = "write paths of single places, such as .content.email; docs/routes.md has examples";
            return Err(Wrong::new(format!("cannot redact any event: it is {what}"), cure));
        }
        Ok(Written { text: text.into(), program: Arc::new(program) })
    }

    fn bounds(&self) -> String {
        "jq path expressions, with commas between them".into()
    }
}

fn wrong(fault: &Fault) -> Wrong {
    Wrong::new(format!("is no jq that can run here: {fault}"), "correct it; docs/routes.md has examples")
}

/// Names of formats, with commas between them.
pub struct FormatNames;

impl Kind for FormatNames {
    type Value = Vec<String>;

    fn parse(&self, text: &str) -> Result<Vec<String>, Wrong> {
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        if names.iter().any(String::is_empty) {
            return Err(Wrong::new(
                format!("{text:?} has a name of no letter"),
                "write names, with commas between them",
            ));
        }
        Ok(names)
    }

    fn bounds(&self) -> String {
        "names of formats, with commas between them".into()
    }
}

/// The key of keyed hashes. Secret.
pub struct HashKey;

impl Kind for HashKey {
    type Value = String;
    const SECRET: bool = true;

    fn parse(&self, text: &str) -> Result<String, Wrong> {
        if (KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&text.len()) {
            return Ok(text.to_owned());
        }
        Err(Wrong::new("the key is too short or too long", format!("write {}", self.bounds())))
    }

    fn bounds(&self) -> String {
        format!("{KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes, drawn at random")
    }
}

/// Whoever can guess the key can try values until a hash fits.
const KEY_BYTES_MIN: usize = 32;
const KEY_BYTES_MAX: usize = 1_024;
