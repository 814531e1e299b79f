//! The one place that prints. What was asked for goes to stdout, all else to stderr.

use std::{
    fmt::Display,
    io::{self, Write as _},
};

use serde::Serialize;

/// Writes text and a newline to stdout.
///
/// # Errors
/// Stdout cannot take it; a reader that has gone (`| head`) is [`io::ErrorKind::BrokenPipe`].
pub fn print(text: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Writes bytes to stdout as they are.
///
/// # Errors
/// As [`print`].
pub fn print_bytes(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

/// Without control characters, by which stored text could steer the terminal.
pub fn visible(text: &str) -> String {
    text.replace(char::is_control, "\u{fffd}")
}

/// Writes a value to stdout as JSON for scripts: one line.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &impl Serialize) -> io::Result<()> {
    print(serde_json::to_string(value).map_err(io::Error::other)?)
}

/// Writes text and a newline to stderr. Nobody can be told when that fails, so nothing is returned.
pub fn note(text: impl Display) {
    writeln!(io::stderr().lock(), "{text}").unwrap_or_default();
}
