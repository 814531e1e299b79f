//! `tributary completions`: a completion script, generated from the definition of the command line.

use clap::CommandFactory as _;

use crate::{
    cli::Cli,
    command::{CommandError, Exit},
    output,
};

/// Prints the script for one shell.
///
/// # Errors
/// Stdout cannot take it.
pub fn completions(shell: clap_complete::Shell) -> Result<Exit, CommandError> {
    let mut script = Vec::new();
    // Generated into memory: the generator panics when its writer fails, and a pipe may close.
    clap_complete::generate(shell, &mut Cli::command(), "tributary", &mut script);
    output::print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Exit::Done)
}
