//! `tributary formats`: what formats there are, how they are written, and whether they do what is expected of them.

mod test;

use std::{path::Path, sync::Arc};

use serde::Serialize;

use crate::{
    cli::{FormatsArgs, FormatsQuestion},
    command::{CommandError, Exit},
    formats::{Format, Formats, Mapping},
    output,
};

/// Lists, prints or tests formats.
///
/// # Errors
/// A folder cannot be used, or there is no such format.
pub fn formats(args: &FormatsArgs) -> Result<Exit, CommandError> {
    let known = known(args.folder.folder.as_deref())?;
    match &args.question {
        None => list(&known, args.json),
        Some(FormatsQuestion::Print { name }) => print(&known, name),
        Some(FormatsQuestion::Test { cases, update }) => test::test(&known, cases, *update, args.json),
    }
}

/// The program's own formats and those of a folder.
///
/// # Errors
/// Everything that is wrong with the folder.
pub(super) fn known(folder: Option<&Path>) -> Result<Arc<Formats>, CommandError> {
    let Some(folder) = folder else { return Ok(Formats::built_in()) };
    Formats::with_folder(folder).map_err(|faults| {
        let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
        CommandError::Usage(format!("the formats cannot be used:\n  {}", lines.join("\n  ")))
    })
}

/// The format of this name.
///
/// # Errors
/// There is none.
pub(super) fn named(formats: &Formats, name: &str) -> Result<Format, CommandError> {
    formats.get(name).ok_or_else(|| {
        let names = formats.names().join(", ");
        CommandError::Usage(format!("{name} is no format; there are {names}"))
    })
}

#[derive(Serialize)]
struct Listed<'a> {
    name: &'a str,
    from: String,
    about: &'a str,
}

fn list(formats: &Formats, json: bool) -> Result<Exit, CommandError> {
    let hot = [
        ("lake", "Events that are in CloudTrail Lake's integration schema already."),
        ("cloudtrail", "Native CloudTrail records, eventVersion 1.x."),
    ];
    let mut listed: Vec<_> =
        hot.map(|(name, about)| Listed { name, from: "built in".into(), about }).into_iter().collect();
    listed.extend(formats.mappings().map(|mapping| listed_of(mapping)));
    if json {
        output::print_json(&listed)?;
        return Ok(Exit::Done);
    }
    for Listed { name, from, about } in &listed {
        output::print(format_args!("{name:<14} {from:<10} {about}"))?;
    }
    Ok(Exit::Done)
}

fn listed_of(mapping: &Mapping) -> Listed<'_> {
    Listed { name: &mapping.name, from: mapping.origin(), about: mapping.about() }
}

fn print(formats: &Formats, name: &str) -> Result<Exit, CommandError> {
    match named(formats, name)? {
        Format::Mapped(mapping) => output::print(mapping.text.trim_end())?,
        Format::Lake | Format::CloudTrail => {
            return Err(CommandError::Usage(format!(
                "{name} is written in Rust, because most events are in it; print another, such as snyk"
            )));
        }
    }
    Ok(Exit::Done)
}
