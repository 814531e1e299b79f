//! Runs small Python programs: boto3 and the AWS CLI are judges that we did not write.
//!
//! The virtual environment is made under `target/` on first use; a lock file lets one process make it while others
//! wait. A machine without Python fails the test with the cure, and skips nothing.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::Duration,
};

use tokio::{io::AsyncWriteExt, process::Command, time};

/// Pinned, so that a test that fails tomorrow failed because of us.
const PACKAGES: [&str; 2] = ["boto3==1.44.5", "awscli==1.46.2"];
/// Longest run of one Python program.
const TIMEOUT: Duration = Duration::from_mins(2);

/// A folder with `bin/python` and `bin/aws`, made if need be.
pub(crate) async fn environment() -> PathBuf {
    tokio::task::spawn_blocking(|| environment_with("venv", &PACKAGES))
        .await
        .expect("the environment was made")
}

/// A virtual environment under this name with these packages (`name==version`), made if need be. Blocks.
pub(crate) fn environment_with(name: &str, packages: &[&str]) -> PathBuf {
    let (root, _lock) = locked_folder("test-python");
    let folder = root.join(name);
    let done = folder.join("packages.txt");
    let wanted = packages.join("\n");
    if fs::read_to_string(&done).is_ok_and(|present| present == wanted) {
        return folder;
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("an unfinished environment can be removed");
    }
    let cure =
        "these tests need Python 3.10 or newer with its venv module (Debian: apt-get install python3-venv)";
    let made = std::process::Command::new("python3").args(["-m", "venv"]).arg(&folder).output();
    succeeded(&made.unwrap_or_else(|error| panic!("could not run python3 ({error}); {cure}")), cure);
    let cure = format!("these tests need {packages:?} from PyPI; check the network, or pip's index settings");
    let pip = std::process::Command::new(folder.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(packages)
        .output();
    succeeded(&pip.expect("the environment has pip"), &cure);
    fs::write(&done, wanted).expect("target/ can be written");
    folder
}

/// A folder under `target/`, and a lock on it that holds until the file is dropped.
pub(crate) fn locked_folder(name: &str) -> (PathBuf, File) {
    let root = target_folder().join(name);
    fs::create_dir_all(&root).expect("target/ can be written");
    let lock = File::create(root.join("lock")).expect("target/ can be written");
    lock.lock().expect("a file under target/ can be locked");
    (root, lock)
}

pub(crate) fn succeeded(output: &Output, cure: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{cure}\n{said}");
}

fn target_folder() -> PathBuf {
    // The test binary lies in target/<profile>/deps.
    let binary = std::env::current_exe().expect("the test binary has a path");
    binary.ancestors().nth(3).expect("the test binary lies under target/").to_owned()
}

/// The path of a program of `tests/it/python`.
pub(crate) fn program(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/python").join(name)
}

/// Runs a program of `tests/it/python` and gives back what it printed; fails with its traceback if it fails.
///
/// `input` is handed over as JSON on standard input.
pub(crate) async fn run(program: &str, input: &serde_json::Value) -> String {
    run_in(&environment().await, program, input).await
}

/// The same in an environment of [`environment_with`].
pub(crate) async fn run_in(environment: &Path, program: &str, input: &serde_json::Value) -> String {
    let mut command = Command::new(environment.join("bin/python"));
    command.arg(self::program(program));
    let output = finish(command, &[], input.to_string()).await;
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} failed\n{out}{err}");
    out.into_owned()
}

/// Runs `aws` with these arguments against an endpoint.
pub(crate) async fn aws(arguments: &[&str]) -> Output {
    aws_with(&[], arguments).await
}

/// Runs `aws` with these variables, for commands that do not pass the endpoint on to all that they call.
pub(crate) async fn aws_with(variables: &[(&str, &str)], arguments: &[&str]) -> Output {
    let bin = environment().await.join("bin");
    let mut command = Command::new(bin.join("python"));
    command.arg(bin.join("aws")).args(arguments);
    finish(command, variables, String::new()).await
}

/// Hands a program its input and waits for its end.
pub(crate) async fn finish(mut command: Command, variables: &[(&str, &str)], input: String) -> Output {
    // Nothing of the machine's own AWS settings may take part.
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("AWS_")) {
        command.env_remove(name);
    }
    command
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("NO_PROXY", "127.0.0.1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().expect("the environment's python runs");
    let mut stdin = child.stdin.take().expect("stdin is piped");
    stdin.write_all(input.as_bytes()).await.expect("the program reads its input");
    drop(stdin);
    let ended = time::timeout(TIMEOUT, child.wait_with_output()).await;
    ended.expect("the program ends in time").expect("the program can be waited for")
}
