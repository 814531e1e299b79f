//! Runs a command of the real binary to its end, beside the endpoints of the test.

use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

/// How a command ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// What it printed, as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("no JSON: {}\n{}", self.out, self.err))
    }
}

/// The binary with these arguments, and with nothing but this in its environment.
pub(crate) fn command(arguments: &[&str], environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
pub(crate) async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let output = command(arguments, environment).output().await.expect("the binary can be started");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let code = output.status.code().expect("it ended by itself");
    Ran { code, out: text(output.stdout), err: text(output.stderr) }
}
