//! `docs/losses.md` and the table of this module name tests that exist, and the page names all of them.

use std::{fs, path::Path};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("readable")
}

/// What stands between backticks and is as long as only a test's name is, without its module.
fn named(page: &str) -> impl Iterator<Item = &str> {
    let names = page.split('`').skip(1).step_by(2).filter_map(|code| code.rsplit("::").next());
    names.filter(|name| {
        name.matches('_').count() >= 3 && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// The names of the tests in a file.
fn tests(text: &str) -> impl Iterator<Item = &str> {
    let functions = text.split("test]\n").skip(1).chain(text.split("worker_threads = 2)]\n").skip(1));
    functions.filter_map(|rest| rest.trim_start_matches("async ").strip_prefix("fn ")?.split('(').next())
}

#[test]
fn the_page_and_the_table_name_the_tests_that_there_are() {
    let files =
        ["losses/falcon", "losses/mapping", "losses/partners", "process/cure", "process/misbehaving_lake"];
    let texts = files.map(|file| read(&format!("tests/it/{file}.rs")));
    let (page, table) = (read("docs/losses.md"), read("tests/it/losses.rs"));
    let mut seen = 0;
    for name in named(&page).chain(named(&table)).filter(|name| *name != "tributary_unknown_outcome_total") {
        let function = format!("fn {name}(");
        assert!(texts.iter().any(|text| text.contains(&function)), "there is no test {name}");
        seen += 1;
    }
    for name in texts[..3].iter().flat_map(|text| tests(text)) {
        assert!(named(&page).any(|named| named == name), "{name} is not on the page");
        seen += 1;
    }
    assert!(seen >= 80, "{seen} names say little");
}
