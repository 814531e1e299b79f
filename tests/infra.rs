//! The files around the program: dashboards, alerts, runbooks, CloudFormation templates, Terraform module, manifests,
//! try-it stack, Dockerfile, scripts, queries, what it costs, and the pages with their examples.
//!
//! Each test runs one Python module of `tests/infra/` and fails with what it printed. The tools that it needs are
//! installed once, in the pinned versions of `tests/infra/requirements.txt`, into a virtual environment under
//! `target/test-tools/`. What is missing on the machine is named with its cure, never skipped.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

#[test]
fn the_dashboards_are_grafanas_and_show_every_metric() {
    run("test_dashboard").unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn each_alert_fires_when_it_should_and_at_no_other_time() {
    run("test_alerts").unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn each_alert_has_a_runbook_and_what_it_names_is_there() {
    run("test_runbooks").unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn prometheus_finds_data_for_every_panel_and_rule_beside_a_worker_under_load() {
    run("test_prometheus").unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn the_templates_are_valid_and_grant_no_more_than_the_worker_needs() {
    run("test_template").unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn the_number_of_workers_follows_the_backlog() {
    run("test_scaling").unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn the_try_it_stack_fits_together_and_carries_events() {
    run("test_compose").unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn the_terraform_module_says_what_the_templates_say() {
    run("test_terraform").unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn the_manifests_are_valid_and_start_a_worker() {
    run("test_kubernetes").unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn the_image_the_scripts_and_the_scrape_configuration_pass_their_linters() {
    run("test_files").unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn the_page_on_cost_is_the_computed_one_and_its_arithmetic_holds() {
    run("test_cost").unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn the_queries_are_valid_and_give_the_rows_that_they_promise() {
    run("test_queries").unwrap_or_else(|report| panic!("{report}"));
}

#[test]
fn the_pages_lead_somewhere_and_their_examples_carry_events() {
    run("test_docs").unwrap_or_else(|report| panic!("{report}"));
}

/// Runs one module of `tests/infra/` under `unittest`. The error is its whole report.
fn run(module: &str) -> Result<(), String> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let python = PYTHON.get_or_init(virtual_environment).as_ref().map_err(Clone::clone)?;
    let mut unittest = Command::new(python);
    unittest.args(["-B", "-m", "unittest", "-v", module]).current_dir(scripts());
    unittest.env("TRIBUTARY", env!("CARGO_BIN_EXE_tributary"));
    finish(&mut unittest, "see the report above")
}

/// The interpreter of a virtual environment that holds exactly what `requirements.txt` says.
///
/// A copy of that file inside the environment marks it as complete; a change to the file makes a new one.
fn virtual_environment() -> Result<PathBuf, String> {
    let requirements = scripts().join("requirements.txt");
    let wanted = read(&requirements)?;
    let tools = tools()?;
    // Two test runs may share one target folder.
    let lock = fs::File::create(tools.join("infra.lock")).map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;

    let home = tools.join("venv-infra");
    let python = home.join("bin/python");
    let complete = home.join("requirements.txt");
    if read(&complete).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    finish(
        Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home),
        "install Python 3.11 or later with its venv module (Debian: apt-get install python3 python3-venv)",
    )?;
    finish(
        Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&requirements),
        "the tools come from the Python package index: connect to it, or set PIP_INDEX_URL to a mirror",
    )?;
    fs::copy(&requirements, &complete).map_err(|error| error.to_string())?;
    Ok(python)
}

/// Waits for a command; the error names it, shows what it printed, and says the cure.
fn finish(command: &mut Command, cure: &str) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}\ncure: {cure}"))?;
    if output.status.success() {
        return Ok(());
    }
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(format!("{command:?}: {}\n{out}{err}\ncure: {cure}", output.status))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/infra")
}

/// `target/test-tools`, wherever the target folder is: kept between runs, gone after `cargo clean`.
fn tools() -> Result<PathBuf, String> {
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let tools = temporary.parent().unwrap_or(temporary).join("test-tools");
    fs::create_dir_all(&tools).map_err(|error| format!("{}: {error}", tools.display()))?;
    Ok(tools)
}
