//! An AWS account, as far as ministack is one: CloudFormation that deploys the templates of `infra/`, and policies that
//! hold. Every call is signed, goes over TLS and is checked against the rights of who makes it.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Weak},
};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::{
    child,
    python::{self, environment_with, program, succeeded},
};

const PACKAGES: [&str; 2] = ["ministack==1.5.33", "trustme==1.2.1"];
/// Where templates wait for being deployed.
const BUCKET: &str = "templates";

/// A running account; its root is whoever has the keys `test`.
pub(crate) struct Cloud {
    server: child::Server,
    folder: TempDir,
}

/// What a stack made, as those see it who use it.
pub(crate) struct Stack {
    about: Value,
}

/// Shared by the tests that run at the same time, and killed with the last of them.
static SHARED: Mutex<Weak<Cloud>> = Mutex::const_new(Weak::new());

impl Cloud {
    /// The running one, or a new one.
    pub(crate) async fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().await;
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Self::start().await);
        *shared = Arc::downgrade(&started);
        started
    }

    /// Starts it with a certificate of its own.
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        let server = tokio::task::spawn_blocking(move || Self::start_blocking(&path)).await;
        Self { server: server.expect("ministack starts"), folder }
    }

    fn start_blocking(folder: &Path) -> child::Server {
        let python = environment_with("cloud", &PACKAGES).join("bin/python");
        let mut trustme = Command::new(&python);
        trustme.args(["-m", "trustme", "--quiet", "--identities", "127.0.0.1", "--dir"]).arg(folder);
        succeeded(&trustme.output().expect("python runs"), "trustme makes a certificate");
        let mut command = Command::new(python);
        command.arg(program("ministack_cloud.py")).env("PYTHONDONTWRITEBYTECODE", "1");
        command.env("MINISTACK_SSL_CERT", folder.join("server.pem"));
        command.env("MINISTACK_SSL_KEY", folder.join("server.key"));
        child::Server::start(command, "ministack")
    }

    pub(crate) fn url(&self) -> String {
        self.server.url().replace("http://", "https://")
    }

    /// The authority that this account's certificate is from.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.path().join("client.pem")
    }

    /// Runs `aws` as the root of this account; what it prints, as JSON.
    pub(crate) async fn aws(&self, arguments: &[&str]) -> Value {
        let (url, ca) = (self.url(), self.ca_file());
        let ca = ca.to_str().expect("a path of text");
        let variables =
            [("AWS_ENDPOINT_URL", url.as_str()), ("AWS_CA_BUNDLE", ca), ("AWS_DEFAULT_OUTPUT", "json")];
        // The variable is for what a command calls besides, the argument for a client that does not know of it.
        let all = [&["--endpoint-url", &url], arguments].concat();
        let output = python::aws_with(&variables, &all).await;
        succeeded(&output, &arguments.join(" "));
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }

    /// Packages a template and those that it nests, as an operator does, and makes a stack with these parameters.
    pub(crate) async fn deploy(&self, file: &str, name: &str, parameters: &[(&str, &str)]) -> Stack {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("infra/cloudformation").join(file);
        let packaged = self.folder.path().join(format!("{name}.yaml"));
        let (root, to) = (root.to_str().expect("text"), packaged.to_str().expect("text"));
        self.aws(&["s3", "mb", &format!("s3://{BUCKET}-{name}")]).await;
        let bucket = format!("{BUCKET}-{name}");
        let package = ["cloudformation", "package", "--s3-bucket", &bucket];
        self.aws(&[&package[..], &["--template-file", root, "--output-template-file", to]].concat()).await;
        let parameters: Map<_, _> =
            parameters.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let input = self.asked(json!({ "name": name, "packaged": to, "parameters": parameters }));
        Stack { about: serde_json::from_str(&python::run("stack.py", &input).await).expect("JSON") }
    }

    /// Makes calls in the name of who has these credentials; how each ended: `done`, `denied` or an error code.
    pub(crate) async fn calls(&self, credentials: &Value, calls: Value) -> Vec<String> {
        self.call(json!({ "credentials": credentials, "calls": calls })).await
    }

    /// As [`Cloud::calls`], but what is on the way is not encrypted.
    pub(crate) async fn calls_without_tls(&self, credentials: &Value, calls: Value) -> Vec<String> {
        self.call(json!({ "credentials": credentials, "calls": calls, "without_tls": true })).await
    }

    async fn call(&self, wanted: Value) -> Vec<String> {
        let answer = python::run("rights.py", &self.asked(wanted)).await;
        serde_json::from_str(&answer).expect("a list")
    }

    fn asked(&self, mut wanted: Value) -> Value {
        wanted["url"] = self.url().into();
        wanted["ca"] = self.ca_file().to_str().expect("a path of text").into();
        wanted
    }
}

impl Stack {
    pub(crate) fn output(&self, name: &str) -> &str {
        self.about["outputs"][name].as_str().unwrap_or_else(|| panic!("no output {name}: {}", self.about))
    }

    /// Whether there is such an output.
    pub(crate) fn has_output(&self, name: &str) -> bool {
        self.about["outputs"].get(name).is_some()
    }

    /// What ECS puts into the worker's environment.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        let variables = self.about["environment"].as_object().expect("an object").iter();
        variables.map(|(name, value)| (name.clone(), value.as_str().expect("text").to_owned())).collect()
    }

    /// The names of the worker's policies.
    pub(crate) fn policies(&self) -> Vec<&str> {
        self.about["policies"].as_array().expect("a list").iter().filter_map(Value::as_str).collect()
    }

    /// Whom the worker's role trusts.
    pub(crate) fn trust(&self) -> &Value {
        &self.about["trust"]
    }

    /// The name of the worker's role.
    pub(crate) fn role(&self) -> &str {
        self.output("TaskRoleArn").rsplit('/').next().expect("a name")
    }

    /// Credentials with the rights of the worker.
    pub(crate) fn worker(&self) -> &Value {
        &self.about["worker"]
    }

    /// Credentials with the rights of a producer.
    pub(crate) fn producer(&self) -> &Value {
        &self.about["producer"]
    }
}
