//! Which queue a command sends to, and a client for it. In: arguments, configuration, environment. Out: a [`Target`].

use super::send::Target;
use crate::{
    aws::Aws,
    cli::ConfigFile,
    command::CommandError,
    config::{RawConfig, is_fifo, keys, kinds::Kind as _, process_environment},
};

/// The queue of `--queue-url`, or else of the configuration.
///
/// # Errors
/// Neither names a valid one.
pub(in crate::command) fn url(given: Option<&str>, file: &ConfigFile) -> Result<String, CommandError> {
    let key = &keys::SOURCE_QUEUE_URL;
    if let Some(url) = given {
        let parsed = key.kind.parse(url);
        return parsed
            .map_err(|wrong| CommandError::Usage(format!("--queue-url {}; {}", wrong.what, wrong.cure)));
    }
    let raw = RawConfig::read(file.config.as_deref(), process_environment());
    raw.get(key).ok_or_else(|| {
        CommandError::Usage(
            "no valid queue is named; give --queue-url URL, --config FILE, or TRIBUTARY_SOURCE_QUEUE_URL"
                .into(),
        )
    })
}

/// The queue with a client for it; `group` is for a FIFO queue.
pub(in crate::command) async fn target(queue_url: String, group: &str) -> Target {
    let client = match local_endpoint(&queue_url) {
        Some(endpoint) => Aws::local(endpoint, endpoint).sqs(&queue_url),
        None => Aws::from_environment().await.sqs(&queue_url),
    };
    let group = is_fifo(&queue_url).then(|| group.to_owned());
    Target { client, queue_url, group }
}

/// A queue on this machine is spoken to directly, unless the environment names an endpoint: the SDK would take the
/// URL to AWS.
fn local_endpoint(queue_url: &str) -> Option<&str> {
    let is_named = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let host_at = queue_url.find("://")? + 3;
    let end = host_at + queue_url[host_at..].find('/')?;
    let host = &queue_url[host_at..end];
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let is_local = ["127.0.0.1", "localhost", "[::1]"].contains(&name);
    (is_local && !is_named("AWS_ENDPOINT_URL_SQS") && !is_named("AWS_ENDPOINT_URL"))
        .then(|| &queue_url[..end])
}
