//! `tributary explain`: one message through every stage, and nothing sent.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use bytes::Bytes;

use crate::{
    cli::ExplainArgs,
    command::{CommandError, Exit},
    explain::{Verdict, explain as explain_body},
    output,
};

/// Far more than any message; guards against being pointed at the wrong file.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Prints what would become of each event. [`Exit::Incomplete`] when one would be dead-lettered.
///
/// # Errors
/// The message cannot be read, or is larger than any message could be.
pub fn explain(args: &ExplainArgs) -> Result<Exit, CommandError> {
    let body = body(&args.file)?;
    let explanations = explain_body(body, &args.account, args.oversize.into(), args.format.map(Into::into));
    if args.json {
        output::print_json(&explanations)?;
    } else {
        let texts: Vec<_> = explanations.iter().map(ToString::to_string).collect();
        output::print(texts.join("\n\n").trim_end())?;
    }
    let all_published = explanations.iter().all(|explanation| explanation.verdict == Verdict::Publish);
    Ok(if all_published { Exit::Done } else { Exit::Incomplete })
}

fn body(path: &Path) -> Result<Bytes, CommandError> {
    let is_stdin = path == Path::new("-");
    let name = if is_stdin { "stdin".to_owned() } else { path.display().to_string() };
    let unreadable = |source| CommandError::Read { name: name.clone(), source };
    let mut body = Vec::new();
    let input: Box<dyn Read> =
        if is_stdin { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(unreadable)?) };
    input.take(BODY_BYTES_MAX + 1).read_to_end(&mut body).map_err(unreadable)?;
    if body.len() as u64 > BODY_BYTES_MAX {
        return Err(CommandError::Usage(format!(
            "{name} is larger than {BODY_BYTES_MAX} bytes; cut one message out of it"
        )));
    }
    Ok(body.into())
}
