//! Programs that cargo builds, for servers that we did not write.
//!
//! They are built under `target/` on first use; a lock file lets one process build while others wait.

use std::{fs, path::PathBuf, process::Command};

use super::python::{locked_folder, succeeded};

/// The program of this name, built if need be with these arguments of `cargo install`. It is built again when
/// `version` is another than that of the one at hand. Blocks.
pub(crate) fn program(name: &str, version: &str, arguments: &[&str], cure: &str) -> PathBuf {
    let (root, _lock) = locked_folder("test-tools");
    let program = root.join("bin").join(name);
    let done = root.join(format!("{name}.txt"));
    if fs::read_to_string(&done).is_ok_and(|present| present == version) {
        return program;
    }
    // A folder of its own, so that it does not wait for the cargo that runs the tests.
    let build = root.join(format!("{name}-build"));
    let mut cargo = Command::new(env!("CARGO"));
    // One job: the other tests run meanwhile.
    cargo.args(["install", "--locked", "--force", "--jobs", "1"]).args(arguments).arg("--root").arg(&root);
    let cargo = cargo.env("CARGO_TARGET_DIR", &build).output().expect("cargo runs");
    succeeded(&cargo, cure);
    fs::remove_dir_all(&build).expect("target/ can be written");
    fs::write(&done, version).expect("target/ can be written");
    program
}
