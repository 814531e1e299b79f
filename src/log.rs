//! Logs: one line for each thing that was handled, as JSON for machines or text for people, on stderr.
//!
//! A line carries event and message ids and never a payload. The libraries below us would show requests whole when
//! asked for details, so their detail is capped whatever the filter says.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::config::LogConfig;

/// Targets whose details hold requests or credentials.
const CAPPED: &[&str] = &[
    "aws_config",
    "aws_credential_types",
    "aws_runtime",
    "aws_sdk_cloudtrail",
    "aws_sdk_cloudtraildata",
    "aws_sdk_dynamodb",
    "aws_sdk_s3",
    "aws_sdk_sqs",
    "aws_sdk_sts",
    "aws_sigv4",
    "aws_smithy_http_client",
    "aws_smithy_runtime",
    "aws_smithy_runtime_api",
    "h2",
    "hyper",
    "hyper_util",
    "redis",
    "rustls",
];

/// Starts logging. A second call changes nothing.
///
/// # Errors
/// The filter cannot be read; the sentence names the key.
pub fn start(config: &LogConfig) -> Result<(), String> {
    let mut filter = EnvFilter::try_new(&config.filter).map_err(|error| {
        format!("log.filter cannot be read: {error}; write for example info or tributary=debug,warn")
    })?;
    for target in CAPPED {
        if let Ok(cap) = format!("{target}=warn").parse() {
            filter = filter.add_directive(cap);
        }
    }
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(std::io::stderr);
    let started = if config.format.is_json(std::io::stderr().is_terminal()) {
        registry.with(lines.json().flatten_event(true).with_current_span(false)).try_init()
    } else {
        registry.with(lines.with_target(false)).try_init()
    };
    // Already started: by a test, or by a second command in one process.
    started.ok();
    Ok(())
}
