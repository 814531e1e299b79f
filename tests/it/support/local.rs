//! Local endpoints on free ports, and AWS clients for them.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use aws_sdk_cloudtraildata as lake;
use aws_sdk_sqs as sqs;
use sqs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig};
use tempfile::TempDir;
use tributary::local::{self, Local, LocalOptions};

/// The channel that tests put into.
pub(crate) const CHANNEL: &str =
    "arn:aws:cloudtrail:us-east-1:123456789012:channel/11111111-2222-3333-4444-555555555555";
/// Its account.
pub(crate) const ACCOUNT: &str = "123456789012";

const FREE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The default options, on free ports.
pub(crate) fn options() -> LocalOptions {
    LocalOptions { sqs_addr: FREE, lake_addr: FREE, ..LocalOptions::default() }
}

/// The folder as a power cut or `kill -9` would leave it at this moment: copied while it is in use.
pub(crate) fn killed(dir: &Path) -> TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    for file in fs::read_dir(dir).expect("the folder can be read") {
        let file = file.expect("the folder can be read");
        fs::copy(file.path(), copy.path().join(file.file_name())).expect("the file can be copied");
    }
    copy
}

/// Starts endpoints on free ports.
pub(crate) async fn start(options: LocalOptions) -> Local {
    local::start(options).await.expect("free ports can be bound")
}

fn credentials() -> Credentials {
    Credentials::new("test", "test", None, None, "tests")
}

/// A client of the local queue, which tries each call once.
pub(crate) fn sqs_client(local: &Local) -> sqs::Client {
    sqs_client_at(&local.sqs_url())
}

/// A client of any queue endpoint, which tries each call once.
pub(crate) fn sqs_client_at(url: &str) -> sqs::Client {
    let config = sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials())
        .retry_config(RetryConfig::disabled())
        .endpoint_url(url)
        .build();
    sqs::Client::from_conf(config)
}

/// A client of the local lake, which tries each call once.
pub(crate) fn lake_client(local: &Local) -> lake::Client {
    let config = lake::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials())
        .retry_config(RetryConfig::disabled())
        .endpoint_url(local.lake_url())
        .build();
    lake::Client::from_conf(config)
}
