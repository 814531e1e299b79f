//! The worked example of `docs/formats.md` does what the page says.

use std::{fs, path::Path};

use tributary::{
    formats::{Formats, golden::Case},
    jq::Program,
};

fn page() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/formats.md");
    fs::read_to_string(file).expect("readable")
}

/// The code blocks of a language, without the indentation of the list that they stand in.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let inside = |part: &str| {
        let (block, _) = part.split_once("```").expect("a closed block");
        block.lines().map(|line| line.strip_prefix("   ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
    };
    page.split(&fence).skip(1).map(inside).collect()
}

#[test]
fn the_worked_example_compiles_and_its_case_passes() {
    let page = page();
    let (mappings, samples) = (blocks(&page, "jq"), blocks(&page, "json"));
    let ([mapping], [event, case]) = (mappings.as_slice(), samples.as_slice()) else {
        panic!("one mapping, one event and one case")
    };
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("doors.jq"), mapping).expect("written");
    let formats = Formats::with_folder(folder.path()).unwrap_or_else(|faults| panic!("{faults:?}"));
    let case: Case = serde_json::from_str(case).expect("a case");
    let event: serde_json::Value = serde_json::from_str(event).expect("an event");
    assert_eq!(case.input, event);
    assert_eq!(case.differences(&formats, "doors"), Vec::<String>::new());
}

#[test]
fn every_built_in_format_has_its_chapter() {
    let page = page();
    for mapping in Formats::built_in().mappings() {
        assert!(page.contains(&format!("\n### {}\n", mapping.name)), "{}", mapping.name);
        assert!(page.contains(&format!("[`{0}`](#{0})", mapping.name)), "{}", mapping.name);
    }
}

#[test]
fn what_the_page_calls_unavailable_does_not_compile_and_the_rest_does() {
    let unavailable = [
        "now",
        ".when | localtime",
        ".when | strptime(\"%Y\")",
        "$ENV",
        "env",
        "input",
        "include \"other\"; .",
        "debug",
        "halt",
        "def again: again; again",
        "range(.n)",
        "[limit(1; .[])]",
        "[.[] | while(.; .)]",
        "until(.; .)",
        "[repeat(.)]",
        "[recurse(.a)]",
        ".a * .b",
        ".a * 2",
        "reduce .[] as $a (0; . + $a)",
        "[foreach .[] as $a (0; . + $a)]",
        "walk(.)",
        ".. |= .",
        "setpath([\"a\"]; 1)",
        "getpath([\"a\"])",
        "delpaths([[\"a\"]])",
        "gsub(\"a\"; \"b\")",
        "[scan(\"a\")]",
        "[splits(\"a\")]",
        "match(\"a\"; \"i\")",
        "test(\"a\"; \"g\")",
        "error(.something)",
    ];
    for text in unavailable {
        assert!(Program::compile(text).is_err(), "{text}");
    }
    for text in [
        "[..]",
        "[paths]",
        "map(.a)",
        "add",
        "any(.[]; . == 1)",
        "all(.[]; . == 1)",
        "(.a | tonumber) * 1000",
        "split(\"x\") | join(\"y\")",
        "error(\"a\")",
    ] {
        assert!(Program::compile(text).is_ok(), "{text}");
    }
}
