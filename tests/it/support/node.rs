//! Packages from npm, for servers that we did not write.
//!
//! `node_modules` is made under `target/` on first use; a lock file lets one process make it while others wait. A
//! machine without Node fails the test with the cure, and skips nothing.

use std::{fs, path::PathBuf, process::Command};

use super::python::{locked_folder, succeeded};

/// A folder `node_modules` that holds exactly these packages (`name@version`). Blocks.
pub(crate) fn modules(folder: &str, packages: &[&str]) -> PathBuf {
    let (root, _lock) = locked_folder("test-node");
    let root = root.join(folder);
    let done = root.join("packages.txt");
    let wanted = packages.join("\n");
    if fs::read_to_string(&done).is_ok_and(|present| present == wanted) {
        return root.join("node_modules");
    }
    if root.exists() {
        fs::remove_dir_all(&root).expect("an unfinished folder can be removed");
    }
    fs::create_dir_all(&root).expect("target/ can be written");
    // Without one of its own, npm would look for a package.json in the folders above.
    fs::write(root.join("package.json"), r#"{"private": true}"#).expect("target/ can be written");
    let cure =
        "these tests need Node 20 or newer with npm (https://nodejs.org; Debian: apt-get install nodejs npm)";
    let npm = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--loglevel=error"])
        .args(packages)
        .current_dir(&root)
        .output();
    let npm = npm.unwrap_or_else(|error| panic!("could not run npm ({error}); {cure}"));
    succeeded(
        &npm,
        &format!("could not install {wanted} with npm: check the network, or npm's registry settings"),
    );
    fs::write(&done, wanted).expect("target/ can be written");
    root.join("node_modules")
}

/// `node` with a program of `tests/it/node`.
pub(crate) fn command(program: &str) -> Command {
    let cure = "these tests need Node 20 or newer (https://nodejs.org; Debian: apt-get install nodejs)";
    let version = Command::new("node").arg("--version").output();
    version.unwrap_or_else(|error| panic!("could not run node ({error}); {cure}"));
    let mut command = Command::new("node");
    command.arg(format!("{}/tests/it/node/{program}", env!("CARGO_MANIFEST_DIR")));
    command
}
