//! Arguments of `formats`. The comments are the help texts.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Formats of the operator's own.
#[derive(Clone, Debug, Default, Args)]
pub struct FormatsFolder {
    /// Folder with formats of your own, each a file NAME.jq
    #[arg(long = "formats", value_name = "FOLDER", env = "TRIBUTARY_FORMATS_FOLDER", global = true)]
    pub folder: Option<PathBuf>,
}

/// Arguments of `formats`.
#[derive(Clone, Debug, Args)]
#[expect(missing_docs, reason = "flattened, or a subcommand")]
pub struct FormatsArgs {
    #[command(flatten)]
    pub folder: FormatsFolder,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub question: Option<FormatsQuestion>,
}

/// What to do with formats; without any, they are listed.
#[derive(Clone, Debug, Subcommand)]
pub enum FormatsQuestion {
    /// Print one format as it is written: a start for one of your own
    ///
    /// Example: tributary formats print okta > formats/our-okta.jq
    Print {
        /// Its name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Run golden cases: events, and what is expected to become of them
    ///
    /// Example: tributary formats test ./cases --formats ./formats
    Test {
        /// Folder with cases: files NAME.json, also in folders below it
        #[arg(value_name = "FOLDER")]
        cases: PathBuf,
        /// Write what becomes of each event into its case, to be read and kept
        #[arg(long)]
        update: bool,
    },
}
