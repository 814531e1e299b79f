//! `tributary check`: the configuration, judged offline.

use serde_json::{Value, json};

use crate::{
    cli::CheckArgs,
    command::{CommandError, Exit},
    config::{Config, Finding, RawConfig, process_environment, reference, settings, settings_toml},
    output,
};

/// Prints every problem, or that there is none; warnings too; with `--show` what takes effect.
///
/// # Errors
/// Stdout cannot take it. Problems of the configuration are an [`Exit::Usage`].
pub fn check(args: &CheckArgs) -> Result<Exit, CommandError> {
    if args.print_reference {
        output::print(reference().trim_end())?;
        return Ok(Exit::Done);
    }
    let raw = RawConfig::read(args.file.config.as_deref(), process_environment());
    let (problems, warnings) = match Config::from_raw(&raw) {
        Ok((_, warnings)) => (Vec::new(), warnings),
        Err(error) => (error.problems, Vec::new()),
    };
    let exit = if problems.is_empty() { Exit::Done } else { Exit::Usage };
    if args.json {
        output::print_json(&as_json(&raw, &problems, &warnings, args.show))?;
        return Ok(exit);
    }
    if args.show {
        output::print(settings_toml(&settings(&raw)))?;
    }
    for warning in &warnings {
        output::note(format_args!("warning: {warning}"));
    }
    for problem in &problems {
        output::note(format_args!("problem: {problem}"));
    }
    match problems.len() {
        0 => output::print("the configuration is valid")?,
        1 => output::note("1 problem in the configuration"),
        count => output::note(format_args!("{count} problems in the configuration")),
    }
    Ok(exit)
}

fn as_json(raw: &RawConfig, problems: &[Finding], warnings: &[Finding], with_settings: bool) -> Value {
    let list = |findings: &[Finding]| findings.iter().map(finding).collect::<Vec<_>>();
    let mut answer = json!({
        "valid": problems.is_empty(),
        "problems": list(problems),
        "warnings": list(warnings),
    });
    if with_settings {
        let setting = |setting: crate::config::Setting| json!({ "key": setting.path, "value": setting.value, "origin": setting.origin.to_string() });
        answer["settings"] = settings(raw).into_iter().map(setting).collect();
    }
    answer
}

fn finding(finding: &Finding) -> Value {
    json!({
        "key": finding.key,
        "origin": finding.origin.as_ref().map(ToString::to_string),
        "what": finding.what,
        "cure": finding.cure,
    })
}
