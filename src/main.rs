//! The `tributary` program: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser as _;
use tributary::{cli::Cli, command};

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    Ok(runtime.block_on(command::run(cli)).into())
}
