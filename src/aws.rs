//! AWS clients, and what came of their calls.
//!
//! Endpoints, credentials and Region come the SDK's own ways: environment, profiles, task roles,
//! `AWS_ENDPOINT_URL_SQS`, `AWS_ENDPOINT_URL_CLOUDTRAIL_DATA`. What an error means is each adapter's own table.

pub(crate) mod dynamodb;
pub(crate) mod kinesis;
pub(crate) mod s3;
pub(crate) mod sqs;

use std::{error::Error, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_sqs::{
    config::{Credentials, http::HttpResponse},
    error::{ProvideErrorMetadata, SdkError},
};

use crate::{
    config::LedgerKind,
    failure::{CallError, chain},
};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer of SQS, beyond the 20 seconds of a long poll.
const SQS_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for an answer of DynamoDB: a call that takes longer has failed in all but name.
const DYNAMODB_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for an answer about a lease: a renewal that takes longer comes too late to be of use.
const LEASE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for an answer of Kinesis, which may bring 10 MiB.
const KINESIS_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait until Kinesis has confirmed records, which may be 10 MiB on a slow line.
const KINESIS_SEND_TIMEOUT: Duration = Duration::from_mins(1);
/// Longest wait for an answer about one object, or one page of a query.
const S3_TIMEOUT: Duration = Duration::from_mins(1);

/// Codes of SQS, DynamoDB and Kinesis alike: the credentials are wrong, or may not do this. Only an operator can cure it.
const OF_CALLER: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "InvalidClientTokenId",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidSignatureException",
    "UnrecognizedClientException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "OptInRequired",
    "UnknownOperationException",
];

/// How a call ended that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// How far it came.
    pub reached: Reached,
    /// The service's code, or `no_credentials`, `unreachable`, `timeout`, `no_reply`, `invalid_request`.
    pub code: String,
    /// What the service or the SDK says. May quote the request: not for logs where that holds payload.
    pub message: String,
}

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Not sent, and sending it again will not help before someone changes something here.
    NothingByOurFault,
    /// Not sent.
    Nothing,
    /// Sent, as far as we know, and not answered: the outcome is unknown.
    Unknown,
    /// Answered with this HTTP status.
    Answer(u16),
}

/// What came of a call, whatever the service.
pub fn failure<E>(error: &SdkError<E, HttpResponse>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let message = chain(error);
    let named = |reached, code: &str| Failure { reached, code: code.to_owned(), message: message.clone() };
    match error {
        SdkError::ServiceError(answer) => Failure {
            reached: Reached::Answer(answer.raw().status().as_u16()),
            code: answer.err().code().unwrap_or("unnamed").to_owned(),
            message: answer.err().message().unwrap_or_default().to_owned(),
        },
        _ if has_source::<aws_credential_types::provider::error::CredentialsError>(error) => Failure {
            reached: Reached::NothingByOurFault,
            code: "no_credentials".to_owned(),
            message:
                "no usable AWS credentials: give the task a role, name a profile with AWS_PROFILE, or set \
                      AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    .to_owned(),
        },
        SdkError::ConstructionFailure(_) => named(Reached::NothingByOurFault, "invalid_request"),
        SdkError::TimeoutError(_) => named(Reached::Unknown, "timeout"),
        SdkError::DispatchFailure(failed) if failed.is_user() => {
            named(Reached::NothingByOurFault, "invalid_request")
        }
        SdkError::DispatchFailure(failed) if failed.is_timeout() => named(Reached::Unknown, "timeout"),
        SdkError::DispatchFailure(_) if was_refused(error) => named(Reached::Nothing, "unreachable"),
        _ => named(Reached::Unknown, "no_reply"),
    }
}

/// What came of a stream of answers that broke off in the middle. What had come counts.
pub fn broken_off<E, R>(error: &SdkError<E, R>) -> Failure
where
    E: ProvideErrorMetadata + Error + 'static,
    R: std::fmt::Debug,
{
    let service = error.as_service_error();
    let code = service.and_then(ProvideErrorMetadata::code).unwrap_or("no_reply").to_owned();
    let message =
        service.and_then(ProvideErrorMetadata::message).unwrap_or("the stream broke off").to_owned();
    let reached = if service.is_some() { Reached::Answer(200) } else { Reached::Unknown };
    Failure { reached, code, message }
}

impl Failure {
    /// The class, where the codes in `ours` mean that we are misconfigured. `cure` says what to do about those.
    pub fn classed(self, ours: &[&str], cure: &str) -> CallError {
        let is_ours = ours.contains(&self.code.as_str());
        match self.reached {
            Reached::NothingByOurFault => CallError::misconfigured(self.code, self.message),
            Reached::Answer(_) if is_ours => CallError::misconfigured(
                self.code.clone(),
                format!("{}: {}; {cure}", self.code, self.message),
            ),
            Reached::Nothing | Reached::Unknown | Reached::Answer(_) => {
                CallError::transient(self.code.clone(), format!("{}: {}", self.code, self.message))
            }
        }
    }
}

fn was_refused(error: &(dyn Error + 'static)) -> bool {
    sources(error).any(|source| {
        source
            .downcast_ref::<std::io::Error>()
            .is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused)
    })
}

fn has_source<S: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    sources(error).any(<dyn Error>::is::<S>)
}

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source())
}

/// Where AWS is. The default is what the SDK finds; `local` is the endpoints of `tributary local`.
#[derive(Clone, Debug)]
pub struct Aws {
    config: SdkConfig,
    sqs_url: Option<String>,
    lake_url: Option<String>,
}

impl From<SdkConfig> for Aws {
    /// As a configuration of the SDK says that somebody else has loaded.
    fn from(config: SdkConfig) -> Self {
        Self { config, sqs_url: None, lake_url: None }
    }
}

impl Aws {
    /// As the environment, the profile or the task's role says.
    pub async fn from_environment() -> Self {
        aws_config::defaults(BehaviorVersion::latest()).load().await.into()
    }

    /// As the environment says where the ledger is in AWS. Otherwise nothing is looked up: a machine that is not in AWS
    /// would wait for an answer and be warned.
    pub async fn for_ledger(kind: &LedgerKind) -> Self {
        match kind {
            LedgerKind::DynamoDb { .. } => Self::from_environment().await,
            LedgerKind::Memory | LedgerKind::Valkey(_) => {
                SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build().into()
            }
        }
    }

    /// Local endpoints, which take any credentials.
    pub fn local(sqs_url: &str, lake_url: &str) -> Self {
        let credentials = Credentials::new("local", "local", None, None, "tributary local");
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(aws_sdk_sqs::config::SharedCredentialsProvider::new(credentials))
            .build();
        Self { config, sqs_url: Some(sqs_url.to_owned()), lake_url: Some(lake_url.to_owned()) }
    }

    /// A client for queues. The queue's URL names its own Region; other than that the SDK's choice holds.
    pub fn sqs(&self, queue_url: &str) -> aws_sdk_sqs::Client {
        let mut builder = aws_sdk_sqs::config::Builder::from(&self.config)
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(timeouts(SQS_TIMEOUT));
        if let Some(region) = region_of(queue_url) {
            builder = builder.region(Region::new(region.to_owned()));
        }
        if let Some(url) = &self.sqs_url {
            builder = builder.endpoint_url(url);
        }
        aws_sdk_sqs::Client::from_conf(builder.build())
    }

    /// A client for streams, in the Region of the stream's ARN; `None` is the SDK's choice.
    pub fn kinesis(&self, region: Option<&str>) -> aws_sdk_kinesis::Client {
        self.streams(region, KINESIS_TIMEOUT)
    }

    /// The same for a command that sends, from wherever it is run.
    pub fn kinesis_to_send(&self, region: Option<&str>) -> aws_sdk_kinesis::Client {
        self.streams(region, KINESIS_SEND_TIMEOUT)
    }

    fn streams(&self, region: Option<&str>, attempt: Duration) -> aws_sdk_kinesis::Client {
        let mut builder = aws_sdk_kinesis::config::Builder::from(&self.config)
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(timeouts(attempt));
        if let Some(region) = region {
            builder = builder.region(Region::new(region.to_owned()));
        }
        aws_sdk_kinesis::Client::from_conf(builder.build())
    }

    /// A client for tables. Its retries are few: the ledger's callers try again for as long as it takes.
    pub fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        self.tables(DYNAMODB_TIMEOUT, 3)
    }

    /// A client for the table of leases, which answers soon or not at all: the next renewal cannot wait.
    pub fn leases(&self) -> aws_sdk_dynamodb::Client {
        self.tables(LEASE_TIMEOUT, 2)
    }

    fn tables(&self, attempt: Duration, attempts_max: u32) -> aws_sdk_dynamodb::Client {
        let builder = aws_sdk_dynamodb::config::Builder::from(&self.config)
            .retry_config(RetryConfig::standard().with_max_attempts(attempts_max))
            .timeout_config(timeouts(attempt));
        aws_sdk_dynamodb::Client::from_conf(builder.build())
    }

    /// A client for buckets.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let builder = aws_sdk_s3::config::Builder::from(&self.config)
            .retry_config(RetryConfig::standard().with_max_attempts(3))
            .timeout_config(timeouts(S3_TIMEOUT));
        aws_sdk_s3::Client::from_conf(builder.build())
    }

    /// A client for queries to CloudTrail Lake, in the Region of its event data store.
    pub fn cloudtrail(&self, region: &str) -> aws_sdk_cloudtrail::Client {
        let builder = aws_sdk_cloudtrail::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::standard().with_max_attempts(5))
            .timeout_config(timeouts(S3_TIMEOUT));
        aws_sdk_cloudtrail::Client::from_conf(builder.build())
    }

    /// A client for one channel's Region. It never retries by itself: after a timeout the outcome is unknown, and
    /// that must be counted.
    pub fn lake(&self, region: &str, request_timeout: Duration) -> aws_sdk_cloudtraildata::Client {
        let mut builder = aws_sdk_cloudtraildata::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts(request_timeout));
        if let Some(url) = &self.lake_url {
            builder = builder.endpoint_url(url);
        }
        aws_sdk_cloudtraildata::Client::from_conf(builder.build())
    }
}

fn timeouts(attempt: Duration) -> TimeoutConfig {
    TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).operation_attempt_timeout(attempt).build()
}

/// `https://sqs.<region>.amazonaws.com/…`, also in the `amazonaws.com.cn` form.
fn region_of(queue_url: &str) -> Option<&str> {
    let host = queue_url.split("://").nth(1)?.split('/').next()?;
    let region = host.strip_prefix("sqs.")?.split(".amazonaws.com").next()?;
    (region.contains('-') && !region.contains('.')).then_some(region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_region_of_a_queue_is_read_from_its_url() {
        for (url, region) in [
            ("https://sqs.eu-west-1.amazonaws.com/111122223333/events", Some("eu-west-1")),
            ("https://sqs.cn-north-1.amazonaws.com.cn/111122223333/events", Some("cn-north-1")),
            ("http://127.0.0.1:9324/000000000000/events", None),
            ("events", None),
        ] {
            assert_eq!(region_of(url), region, "{url}");
        }
    }
}
