//! Who may speak to the server, and how: passwords, users, TLS, and the wrong kind of server.

use std::process::Command;

use tributary::{
    config::ValkeyConfig,
    dedupe::{Claim, Commit, Committed, Ledger, valkey::ValkeyError},
    failure::CallError,
};

use super::{
    ClaimAll, Clock, LEASE, claimed, connect, key, ledger, namespace, one, published, several, wish,
};
use crate::support::{
    child, python,
    valkey::{Cluster, Valkey},
};

async fn claim(config: &ValkeyConfig) -> Result<Vec<Claim>, CallError> {
    ledger(config, &namespace()).claim_all(&[wish("a", 1, 1)], LEASE).await
}

async fn refusal(config: &ValkeyConfig) -> String {
    let error = claim(config).await.expect_err("refused");
    assert!(matches!(error, CallError::Misconfigured { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    error.code().to_owned()
}

fn with_password(url: String, password: &str) -> ValkeyConfig {
    ValkeyConfig { password: Some(password.to_owned()), ..one(url) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_asked_for_and_only_the_right_one_is_taken() {
    let server = Valkey::start_with(&["--requirepass", "secret"]).await;
    assert_eq!(claim(&with_password(server.url(), "secret")).await, Ok(vec![Claim::Won]));
    assert_eq!(refusal(&one(server.url())).await, "NOAUTH");
    assert_eq!(refusal(&with_password(server.url(), "other secret")).await, "WRONGPASS");
}

/// The permissions that docs/ledgers.md gives, word by word.
const PERMISSIONS: [&str; 12] = [
    "resetkeys",
    "~seam-*",
    "-@all",
    "+evalsha",
    "+eval",
    "+hget",
    "+hmget",
    "+hset",
    "+hdel",
    "+del",
    "+pexpire",
    "+info",
];

fn with_user(server: &Valkey, permissions: &[&str]) -> ValkeyConfig {
    let user = ["ACL", "SETUSER", "worker", "reset", "on", ">secret"];
    server.say::<()>(&[&user, permissions].concat());
    let url = server.url().replace("redis://", "redis://worker@");
    with_password(url, "secret")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documented_permissions_are_enough() {
    let documented = include_str!("../../../../../docs/ledgers.md");
    let line = PERMISSIONS.join(" ").replace("~seam-*", "~tributary:*");
    assert!(documented.contains(&line), "docs/ledgers.md does not say {line}");

    let server = Valkey::start_with(&[]).await;
    let ledger = ledger(&with_user(&server, &PERMISSIONS), &namespace());
    let wish = wish("a", 1, 1);
    assert_eq!(ledger.claim_all(std::slice::from_ref(&wish), LEASE).await, Ok(vec![Claim::Won]));
    assert_eq!(ledger.release(&[claimed(&wish)]).await, [Ok(())]);
    ledger.claim_all(std::slice::from_ref(&wish), LEASE).await.expect("claimed");
    let committed = Committed { claim: claimed(&wish), state: published() };
    assert_eq!(ledger.commit(&[committed]).await, [Ok(Commit::Recorded)]);
    assert!(ledger.find(&key("a")).await.expect("found").is_some());
    assert_eq!(ledger.forget(&key("a")).await, Ok(true));
    let facts = ledger.describe().await.expect("described");
    let told = |what| facts.iter().find(|fact| fact.what == what).map(|fact| fact.value.as_str());
    assert_eq!(told("persistence"), Some("no append-only file, snapshots not told"));
    assert_eq!(told("role"), Some("1 primary, 0 replicas"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_our_mistake() {
    let server = Valkey::start_with(&[]).await;
    for missing in ["+evalsha", "+hset", "+pexpire", "~seam-*"] {
        let rest: Vec<_> = PERMISSIONS.into_iter().filter(|permission| *permission != missing).collect();
        assert_eq!(refusal(&with_user(&server, &rest)).await, "NOPERM", "{missing}");
    }
    let without_info: Vec<_> = PERMISSIONS.into_iter().filter(|permission| *permission != "+info").collect();
    let ledger = ledger(&with_user(&server, &without_info), &namespace());
    let facts = ledger.describe().await.expect("described");
    assert_eq!(facts.len(), 1);
    assert!(facts[0].warning.as_ref().is_some_and(|warning| warning.contains("INFO")), "{facts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_kind_of_server_is_our_mistake() {
    let (server, servers) = (Valkey::shared().await, Cluster::shared().await);
    let error = claim(&several(vec![server.url()])).await.expect_err("no cluster");
    assert!(error.to_string().contains("ledger.kind = \"valkey\""), "{error}");
    assert_eq!(error.code(), "no_cluster");
    // Of several keys some are certainly elsewhere.
    let ledger = ledger(&one(servers.urls().remove(0)), &namespace());
    let wishes: Vec<_> = (0..20).map(|at| wish(&at.to_string(), 1, 1)).collect();
    let error = ledger.claim_all(&wishes, LEASE).await.expect_err("a cluster");
    assert!(error.to_string().contains("ledger.kind = \"valkey-cluster\""), "{error}");
    assert_eq!(error.code(), "MOVED");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_somebody_else_are_our_mistake() {
    let (server, namespace) = (Valkey::start_with(&[]).await, namespace());
    let config = one(server.url());
    let ledger = ledger(&config, &namespace);
    ledger.claim_all(&[wish("a", 1, 1)], LEASE).await.expect("claimed");
    let key: Vec<String> = server.say(&["KEYS", "*"]);
    server.say::<()>(&["SET", &key[0], "secret"]);
    let error = ledger.claim_all(&[wish("a", 1, 1)], LEASE).await.expect_err("no hash");
    assert_eq!(error.code(), "WRONGTYPE", "{error}");
}

const TRUSTME: &str = "trustme==1.2.1";

/// TLS in front of the server, by OpenSSL, because not every server is built with it.
fn tls_front(server: &Valkey, folder: &std::path::Path) -> child::Server {
    let environment = python::environment_with("trustme", &[TRUSTME]);
    let mut command = Command::new(environment.join("bin/python"));
    command.arg(python::program("tls_front.py")).arg(folder).arg(server.port().to_string());
    child::Server::start(command, "tls_front.py")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_checked_against_the_given_authorities() {
    let server = Valkey::shared().await;
    let (folder, other) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let front = tls_front(&server, folder.path());
    let _other = tls_front(&server, other.path());
    let url = front.url().replace("http://", "rediss://");
    let with_ca = |folder: &tempfile::TempDir, url: &str| ValkeyConfig {
        ca_file: Some(folder.path().join("ca.pem")),
        ..one(url.to_owned())
    };
    assert_eq!(claim(&with_ca(&folder, &url)).await, Ok(vec![Claim::Won]));
    assert_eq!(refusal(&with_ca(&other, &url)).await, "tls_refused");
    assert_eq!(
        refusal(&one(url.clone())).await,
        "tls_refused",
        "the system's authorities know nothing of it"
    );
    // The certificate is for an address, not for this name of it.
    assert_eq!(refusal(&with_ca(&folder, &url.replace("127.0.0.1", "localhost"))).await, "tls_refused");
}

#[test]
fn authorities_that_cannot_be_used_show_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ca.pem");
    let with_ca = |url: &str| {
        let config = ValkeyConfig { ca_file: Some(path.clone()), ..one(url.to_owned()) };
        connect(&config, "n", Clock::system()).err().expect("refused")
    };
    let tls = "rediss://127.0.0.1:1";
    assert!(matches!(with_ca(tls), ValkeyError::ReadCa { .. }));
    for text in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&path, text).expect("written");
        assert!(matches!(with_ca(tls), ValkeyError::BadCa { .. }), "{text:?}");
    }
    assert!(matches!(with_ca("redis://127.0.0.1:1"), ValkeyError::CaWithoutTls | ValkeyError::BadCa { .. }));
}
