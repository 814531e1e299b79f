//! The person at the terminal: who it is, and whether it means what it says.

use std::{
    env, fmt,
    io::{self, IsTerminal as _},
};

use super::CommandError;
use crate::{dedupe::connect, output};

/// Who sits at the terminal, as far as the machine knows.
pub(super) fn operator() -> String {
    let of_environment = |name| env::var(name).ok().filter(|user: &String| !user.is_empty());
    let user = of_environment("SUDO_USER").or_else(|| of_environment("USER"));
    connect::worker_name(user.map(|user| format!("operator:{user}")).as_deref())
}

/// Asks at the terminal; without one, only `--yes` is an answer.
///
/// # Errors
/// Nobody is there, or stdin cannot be read.
pub(super) fn is_confirmed(question: impl fmt::Display) -> Result<bool, CommandError> {
    if !io::stdin().is_terminal() {
        return Err(CommandError::Usage("nobody is there to confirm: add --yes".to_owned()));
    }
    output::note(format_args!("{question} [y/N]"));
    let mut answer = String::new();
    io::stdin()
        .read_line(&mut answer)
        .map_err(|source| CommandError::Read { name: "stdin".to_owned(), source })?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
