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
    config::{
        Config, DestinationConfig, Oversize,
        keys::{self, environment_name},
        process_environment,
    },
    explain::{Circumstances, Verdict, explain as explain_body},
    formats::{Format, Formats},
    output,
    receive::About,
    redact::Redaction,
    route::{Route, Unmatched},
};

/// Stands for the channel's account where there is no channel: an example of AWS's documentation.
const ACCOUNT: &str = "111122223333";
/// Far more than any message; guards against being pointed at the wrong file.
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Prints what would become of each event. [`Exit::Incomplete`] when one would be dead-lettered.
///
/// # Errors
/// The message cannot be read, or is larger than any message could be; the configuration cannot be used, or it is not
/// said which of its destinations is meant.
pub fn explain(args: &ExplainArgs) -> Result<Exit, CommandError> {
    let body = body(&args.file)?;
    let worker = match (&args.configuration.config, &args.destination) {
        (None, None) => Worker::of_no_configuration(args)?,
        _ => Worker::configured(args)?,
    };
    let fixed = args.format.as_deref().map(|name| formats::named(&worker.formats, name)).transpose()?;
    let about = About {
        source: worker.source.as_str().into(),
        group: args.group.as_deref().map(Into::into),
        attributes: args.attributes.iter().cloned().collect(),
        ..About::default()
    };
    let circumstances = Circumstances {
        recipient_account: args.account.as_deref().unwrap_or(&worker.account),
        oversize: args.oversize.map_or(worker.oversize, Into::into),
        formats: &worker.formats,
        format_attribute: worker.format_attribute.as_deref().filter(|_| fixed.is_none()),
        fixed: fixed.as_ref().or(worker.format.as_ref()),
        about: &about,
        route: &worker.route,
        others: &worker.others,
        unmatched: worker.unmatched,
        redaction: &worker.redaction,
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

/// What a worker knows beside the message, for one of its destinations.
struct Worker {
    source: String,
    formats: Arc<Formats>,
    format: Option<Format>,
    format_attribute: Option<String>,
    account: String,
    oversize: Oversize,
    route: Route,
    others: Vec<Route>,
    unmatched: Unmatched,
    redaction: Redaction,
}

impl Worker {
    fn of_no_configuration(args: &ExplainArgs) -> Result<Self, CommandError> {
        Ok(Self {
            source: String::new(),
            formats: formats::known(args.formats.folder.as_deref())?,
            format: None,
            format_attribute: None,
            account: ACCOUNT.to_owned(),
            oversize: Oversize::Move,
            route: Route::default(),
            others: Vec::new(),
            unmatched: Unmatched::default(),
            redaction: Redaction::default(),
        })
    }

    /// As `run` would have it.
    fn configured(args: &ExplainArgs) -> Result<Self, CommandError> {
        let (config, _warnings) = Config::load(args.configuration.config.as_deref(), environment(args))?;
        let (destination, others) = chosen(config.destinations, args.destination.as_deref())?;
        let DestinationConfig { channel_arn, oversize, route, redaction, .. } = destination;
        Ok(Self {
            source: config.source.name().to_owned(),
            formats: config.formats,
            format: config.source.format,
            format_attribute: config.source.format_attribute,
            account: channel_arn.account,
            oversize,
            route,
            others,
            unmatched: config.unmatched,
            redaction,
        })
    }
}

/// That of the process, in which a folder of the command line takes the place of the variable of the same meaning.
fn environment(args: &ExplainArgs) -> impl Iterator<Item = (String, String)> {
    let variable = environment_name(keys::FORMATS_FOLDER.path);
    let folder = args.formats.folder.as_ref().map(|folder| folder.to_string_lossy().into_owned());
    let inherited = process_environment().filter({
        let variable = variable.clone();
        move |(name, _)| *name != variable
    });
    inherited.chain(folder.map(|folder| (variable, folder)))
}

/// The destination that is meant, and the routes of the others. The only one is meant where none is named.
fn chosen(
    destinations: Vec<DestinationConfig>,
    named: Option<&str>,
) -> Result<(DestinationConfig, Vec<Route>), CommandError> {
    let all: Vec<_> = destinations.iter().map(|destination| destination.name.clone()).collect();
    let known = all.join(", ");
    let meant = match (named, all.as_slice()) {
        (Some(named), _) => named,
        (None, [only]) => only,
        (None, _) => {
            return Err(CommandError::Usage(format!(
                "the configuration has several destinations: say --destination with one of {known}"
            )));
        }
    };
    let (own, others): (Vec<_>, Vec<_>) =
        destinations.into_iter().partition(|destination| destination.name == meant);
    let unknown = || CommandError::Usage(format!("there is no destination {meant}; there are {known}"));
    let own = own.into_iter().next().ok_or_else(unknown)?;
    Ok((own, others.into_iter().map(|other| other.route).collect()))
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
