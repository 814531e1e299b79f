//! The commands: each takes its arguments, does its work and says how it ended.

use std::{io, process::ExitCode};

use crate::{
    cli::{Cli, Command},
    config::ConfigError,
    dedupe::connect::ConnectError,
    output,
};

pub mod backfill;
pub mod check;
pub mod checkpoint;
pub mod completions;
pub mod demo;
pub mod dlq;
pub mod enqueue;
pub mod explain;
pub mod formats;
pub mod lake;
pub mod leases;
pub mod ledger;
pub mod local;
mod operator;
pub mod reconcile;
pub mod run;
mod stream;
pub mod trace;
pub mod verify;

/// How a command ended, as its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Done = 0,
    /// 1: failed while running.
    Failed = 1,
    /// 2: wrong usage or configuration; nothing was started.
    Usage = 2,
    /// 3: finished, but something was not delivered, not accepted or not found.
    Incomplete = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The arguments are wrong in a way that only the command can see. The sentence names the cure.
    #[error("{0}")]
    Usage(String),
    /// The ledger cannot be used.
    #[error(transparent)]
    Ledger(#[from] ConnectError),
    /// A file or stdin cannot be read.
    #[error("could not read {name}")]
    Read {
        /// The file, or `stdin`.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// What was asked for cannot be printed.
    #[error("could not write to stdout")]
    Print(#[from] io::Error),
    /// Anything else, at run time.
    #[error(transparent)]
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

impl CommandError {
    /// Anything at run time.
    pub fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Failed(Box::new(error))
    }

    /// The exit code. A reader that has seen enough (`| head`) is no failure.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Usage(_) | Self::Ledger(_) => Exit::Usage,
            Self::Print(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::Read { .. } | Self::Print(_) | Self::Failed(_) => Exit::Failed,
        }
    }

    /// The error with its causes, one a line.
    fn explained(&self) -> String {
        let causes = std::iter::successors(std::error::Error::source(self), |error| error.source());
        causes.fold(format!("error: {self}"), |text, cause| format!("{text}\n  because: {cause}"))
    }
}

/// Runs one command to its end, and prints why it failed, if it failed.
pub async fn run(cli: Cli) -> Exit {
    match dispatch(cli.command).await {
        Ok(exit) => exit,
        Err(error) => {
            let exit = error.exit();
            if exit != Exit::Done {
                output::note(error.explained());
            }
            exit
        }
    }
}

async fn dispatch(command: Command) -> Result<Exit, CommandError> {
    match command {
        Command::Checkpoint(args) => checkpoint::checkpoint(args).await,
        Command::Leases(args) => leases::leases(args).await,
        Command::Check(args) => check::check(&args),
        Command::Backfill(args) => backfill::backfill(args).await,
        Command::Enqueue(args) => enqueue::enqueue(args).await,
        Command::Completions { shell } => completions::completions(shell),
        Command::Run(args) => run::run(args).await,
        Command::Demo(args) => demo::demo(args).await,
        Command::Dlq(args) => dlq::dlq(args).await,
        Command::Explain(args) => explain::explain(&args),
        Command::Formats(args) => formats::formats(&args),
        Command::Lake(args) => lake::lake(args).await,
        Command::Ledger(args) => ledger::ledger(args).await,
        Command::Local(args) => local::local(args).await,
        Command::Trace(args) => trace::trace(args).await,
        Command::Verify(args) => verify::verify(args).await,
        Command::Reconcile(args) => reconcile::reconcile(args).await,
    }
}
