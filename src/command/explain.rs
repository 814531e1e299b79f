//! `tributary explain`: one message through every stage, and nothing sent.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use bytes::Bytes;

use crate::{
    cli::ExplainArgs,
    command::{CommandError, Exit, formats},
    explain::{Circumstances, Verdict, explain as explain_body},
    output,
    receive::About,
};

/// Far more than any message; guards against being pointed at the wrong file.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Prints what would become of each event. [`Exit::Incomplete`] when one would be dead-lettered.
///
/// # Errors
/// The message cannot be read, or is larger than any message could be.
pub fn explain(args: &ExplainArgs) -> Result<Exit, CommandError> {
    let body = body(&args.file)?;
    let formats = formats::known(args.formats.folder.as_deref())?;
    let fixed = args.format.as_deref().map(|name| formats::named(&formats, name)).transpose()?;
    let about = About {
        group: args.group.as_deref().map(Into::into),
        attributes: args.attributes.iter().cloned().collect(),
        ..About::default()
    };
    let circumstances = Circumstances {
        recipient_account: &args.account,
        oversize: args.oversize.into(),
        formats: &formats,
        fixed: fixed.as_ref(),
        about: &about,
    };
    let explanations = explain_body(body, &circumstances);
    if args.json {
        output::print_json(&explanations)?;
    } else {
        let texts: Vec<_> = explanations.iter().map(ToString::to_string).collect();
        output::print(texts.join("\n\n").trim_end())?;
    }
    let is_rejected = explanations.iter().any(|explanation| explanation.verdict == Verdict::DeadLetter);
    Ok(if is_rejected { Exit::Incomplete } else { Exit::Done })
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
