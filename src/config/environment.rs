//! Which key an environment variable means.

use crate::config::{
    keys::{ALL, ENVIRONMENT_PREFIX, environment_name, named},
    nearest::nearest,
    raw::is_destination_name,
};

/// Variables of ours that are no keys: they belong to the command line.
const COMMAND_VARIABLES: &[&str] = &["TRIBUTARY_CONFIG", "TRIBUTARY_LAKE_URL", "TRIBUTARY_LOCAL_EXTERNAL_ID"];

/// What one variable is to us.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// Not ours.
    Foreign,
    /// A key, and the destination that it defines.
    Key { path: String, destination: Option<String> },
    /// Begins like ours and is none of ours.
    Unknown { meant: Option<String> },
}

/// The process's variables, those that are no Unicode left out unless they are ours.
pub fn of_process() -> impl Iterator<Item = (String, String)> {
    let lossy = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
    std::env::vars_os().map(move |(name, text)| (lossy(name), lossy(text)))
}

pub(crate) fn path_of(variable: &str) -> Variable {
    let Some(rest) = variable.strip_prefix(ENVIRONMENT_PREFIX) else { return Variable::Foreign };
    if let Some(key) = ALL.iter().find(|key| environment_name(key.path()) == variable) {
        return Variable::Key { path: key.path().to_owned(), destination: None };
    }
    if let Some((path, name)) = destination_key(rest) {
        return Variable::Key { path, destination: Some(name) };
    }
    if COMMAND_VARIABLES.contains(&variable) || is_service_link(rest) {
        return Variable::Foreign;
    }
    Variable::Unknown { meant: meant(rest) }
}

/// `DESTINATIONS_MY_LAKE_CHANNEL_ARN` is `destinations.my-lake.channel_arn`. Where one key is the tail of another, the
/// longer one is meant: a destination cannot be named `my-redact` and have its `drop` from the environment.
fn destination_key(rest: &str) -> Option<(String, String)> {
    let rest = rest.strip_prefix("DESTINATIONS_")?;
    let found = ALL.iter().filter_map(|key| {
        let suffix = key.path().strip_prefix("destinations.*.")?.to_ascii_uppercase();
        let name = rest.strip_suffix(&suffix)?.strip_suffix('_')?;
        if name.bytes().any(|b| b.is_ascii_lowercase()) {
            return None;
        }
        let name = name.to_ascii_lowercase().replace('_', "-");
        is_destination_name(&name).then(|| (named(key.path(), &name), name))
    });
    found.min_by_key(|(_, name)| name.len())
}

/// Kubernetes describes each Service in the variables of each pod (`TRIBUTARY_SERVICE_HOST`, `TRIBUTARY_PORT`,
/// `TRIBUTARY_PORT_9464_TCP_ADDR`): a Service named `tributary…` must not stop us.
/// <https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables>
fn is_service_link(rest: &str) -> bool {
    let tail = |word: &str| rest == word || rest.ends_with(&format!("_{word}"));
    let numbered = |word: &str| {
        let after = rest.split_once(word).map(|(_, after)| after);
        after.is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit()))
    };
    tail("SERVICE_HOST")
        || tail("SERVICE_PORT")
        || tail("PORT")
        || rest.contains("SERVICE_PORT_")
        || numbered("PORT_")
}

fn meant(rest: &str) -> Option<String> {
    let named_in_rest = rest.strip_prefix("DESTINATIONS_").and_then(|rest| rest.split('_').next());
    let name = named_in_rest.filter(|name| !name.is_empty()).unwrap_or("LAKE");
    let known = ALL.iter().map(|key| environment_name(&named(key.path(), name)));
    let known: Vec<String> =
        known.chain(COMMAND_VARIABLES.iter().map(|&variable| variable.to_owned())).collect();
    let known = known.iter().filter_map(|variable| variable.strip_prefix(ENVIRONMENT_PREFIX));
    nearest(rest, known).map(|near| format!("{ENVIRONMENT_PREFIX}{near}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_finds_its_key() {
        let key = |path: &str, destination: Option<&str>| Variable::Key {
            path: path.into(),
            destination: destination.map(str::to_owned),
        };
        let unknown = |meant: Option<&str>| Variable::Unknown { meant: meant.map(str::to_owned) };
        for (variable, expected) in [
            ("PATH", Variable::Foreign),
            ("TRIBUTARY_CONFIG", Variable::Foreign),
            ("TRIBUTARY_SOURCE_QUEUE_URL", key("source.queue_url", None)),
            ("TRIBUTARY_FLOW_MAX_IN_FLIGHT_BYTES", key("flow.max_in_flight_bytes", None)),
            ("TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN", key("destinations.lake.channel_arn", Some("lake"))),
            (
                "TRIBUTARY_DESTINATIONS_MY_LAKE_2_OVERSIZE",
                key("destinations.my-lake-2.oversize", Some("my-lake-2")),
            ),
            ("TRIBUTARY_DESTINATIONS_LAKE_DROP", key("destinations.lake.drop", Some("lake"))),
            ("TRIBUTARY_DESTINATIONS_LAKE_REDACT_DROP", key("destinations.lake.redact_drop", Some("lake"))),
            ("TRIBUTARY_SOURCE_QUEUE_ULR", unknown(Some("TRIBUTARY_SOURCE_QUEUE_URL"))),
            ("TRIBUTARY_source_queue_url", unknown(None)),
            ("TRIBUTARY_DESTINATIONS_EU_CHANEL_ARN", unknown(Some("TRIBUTARY_DESTINATIONS_EU_CHANNEL_ARN"))),
            ("TRIBUTARY_DESTINATIONS__CHANNEL_ARN", unknown(Some("TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN"))),
            ("TRIBUTARY_CONFIGURATION_FILE_PATH", unknown(None)),
            ("TRIBUTARY_SERVICE_HOST", Variable::Foreign),
            ("TRIBUTARY_SERVICE_PORT_METRICS", Variable::Foreign),
            ("TRIBUTARY_PORT", Variable::Foreign),
            ("TRIBUTARY_PORT_9464_TCP_ADDR", Variable::Foreign),
            ("TRIBUTARY_METRICS_PORT_9464_TCP", Variable::Foreign),
        ] {
            assert_eq!(path_of(variable), expected, "{variable}");
        }
    }

    #[test]
    fn no_key_looks_like_a_service_of_kubernetes() {
        for key in ALL {
            let name = environment_name(&named(key.path(), "lake"));
            assert!(!is_service_link(&name[ENVIRONMENT_PREFIX.len()..]), "{name}");
        }
    }
}
