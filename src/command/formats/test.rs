//! `tributary formats test`: golden cases from a folder. In: files of cases. Out: what differs, by file.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    command::{CommandError, Exit},
    formats::{Formats, golden::Case},
    output,
};

/// Folders in folders that are looked into.
const DEPTH_MAX: usize = 4;

#[derive(Serialize)]
struct Tested {
    case: String,
    differences: Vec<String>,
}

/// Runs every case. [`Exit::Incomplete`] where one differs.
pub(super) fn test(formats: &Formats, folder: &Path, update: bool, json: bool) -> Result<Exit, CommandError> {
    let mut files = Vec::new();
    let unreadable = |source| CommandError::Read { name: folder.display().to_string(), source };
    collect(folder, DEPTH_MAX, &mut files).map_err(unreadable)?;
    if files.is_empty() {
        return Err(CommandError::Usage(format!("{} holds no case: files NAME.json", folder.display())));
    }
    let mut tested = Vec::with_capacity(files.len());
    for file in &files {
        let differences = if update { rewrite(formats, file)? } else { differences(formats, file)? };
        tested.push(Tested { case: file.display().to_string(), differences });
    }
    let failed = tested.iter().filter(|tested| !tested.differences.is_empty()).count();
    if json {
        output::print_json(&tested)?;
    } else {
        for Tested { case, differences } in tested.iter().filter(|tested| !tested.differences.is_empty()) {
            output::print(format_args!("FAILED {case}\n  {}", differences.join("\n  ")))?;
        }
        let what = if update { "written" } else { "passed" };
        output::print(format_args!(
            "{} cases: {} {what}, {failed} failed",
            tested.len(),
            tested.len() - failed
        ))?;
    }
    Ok(if failed == 0 { Exit::Done } else { Exit::Incomplete })
}

fn differences(formats: &Formats, file: &Path) -> Result<Vec<String>, CommandError> {
    Ok(match read(file)? {
        Ok(case) => case.differences(formats, folder_of(file)),
        Err(difference) => vec![difference],
    })
}

fn rewrite(formats: &Formats, file: &Path) -> Result<Vec<String>, CommandError> {
    let updated = match read(file)?.and_then(|case| case.updated(formats)) {
        Ok(updated) => updated,
        Err(difference) => return Ok(vec![difference]),
    };
    let text = serde_json::to_string_pretty(&updated).map_err(CommandError::failed)?;
    fs::write(file, text + "\n")
        .map_err(|source| CommandError::Read { name: file.display().to_string(), source })?;
    Ok(Vec::new())
}

fn read(file: &Path) -> Result<Result<Case, String>, CommandError> {
    let text = fs::read_to_string(file)
        .map_err(|source| CommandError::Read { name: file.display().to_string(), source })?;
    Ok(serde_json::from_str(&text).map_err(|error| format!("is no case: {error}")))
}

/// By its name a case says which format it is about.
fn folder_of(file: &Path) -> &str {
    file.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default()
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() && depth > 0 {
            collect(&path, depth - 1, files)?;
        } else if path.extension().is_some_and(|extension| extension == "json") {
            files.push(path);
        }
    }
    Ok(())
}
