//! `tributary explain`: one message through every stage, and nothing sent.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    cli::ExplainArgs,
    command::{CommandError, Exit, formats},
    config::{Config, DestinationConfig, Oversize, process_environment},
    explain::{Circumstances, Verdict, explain as explain_body},
    formats::Formats,
    output,
    receive::About,
    redact::Redaction,
    route::Route,
};

/// Far more than any message; guards against being pointed at the wrong file.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Prints what would become of each event. [`Exit::Incomplete`] when one would be dead-lettered.
///
/// # Errors
/// The message cannot be read, or is larger than any message could be.
pub fn explain(args: &ExplainArgs) -> Result<Exit, CommandError> {
    let body = body(&args.file)?;
    let destination = args.destination.as_deref().map(|name| destination(args, name)).transpose()?;
    let (to, formats) = match destination {
        Some((destination, formats)) => (destination, formats),
        None => (To::any(args), formats::known(args.formats.folder.as_deref())?),
    };
    let fixed = args.format.as_deref().map(|name| formats::named(&formats, name)).transpose()?;
    let about = About {
        group: args.group.as_deref().map(Into::into),
        attributes: args.attributes.iter().cloned().collect(),
        ..About::default()
    };
    let circumstances = Circumstances {
        recipient_account: &to.account,
        oversize: to.oversize,
        formats: &formats,
        fixed: fixed.as_ref(),
        about: &about,
        route: &to.route,
        redaction: &to.redaction,
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

/// Where the event is to go.
struct To {
    account: String,
    oversize: Oversize,
    route: Route,
    redaction: Redaction,
}

impl To {
    fn any(args: &ExplainArgs) -> Self {
        let (route, redaction) = (Route::default(), Redaction::default());
        Self { account: args.account.clone(), oversize: args.oversize.into(), route, redaction }
    }
}

/// As the configuration has it.
fn destination(args: &ExplainArgs, name: &str) -> Result<(To, Arc<Formats>), CommandError> {
    let (config, _warnings) = Config::load(args.configuration.config.as_deref(), process_environment())?;
    let names: Vec<_> = config.destinations.iter().map(|destination| destination.name.clone()).collect();
    let Some(found) = config.destinations.into_iter().find(|destination| destination.name == name) else {
        let known = names.join(", ");
        return Err(CommandError::Usage(format!("there is no destination {name}; there are {known}")));
    };
    let DestinationConfig { channel_arn, oversize, route, redaction, .. } = found;
    Ok((To { account: channel_arn.account, oversize, route, redaction }, config.formats))
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
