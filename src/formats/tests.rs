use super::*;

#[test]
fn every_built_in_mapping_compiles() {
    let built_in = Formats::built_in();
    let names: Vec<_> = built_in.mappings().map(|mapping| &*mapping.name).collect();
    let expected: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, expected);
    for (name, text) in BUILT_IN {
        Mapping::built_in(name, text).unwrap_or_else(|faults| panic!("{name}: {}", faults[0]));
    }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

const WHOLE: &str = "# Mine.\ndef matches: has(\"mine\");\ndef id: .mine;\ndef event: {\n  version: \"1\"\n};\ndef secrets: empty;\n";

#[test]
fn the_operators_mappings_are_asked_first_and_replace_those_of_the_same_name() {
    let folder = folder(&[("mine.jq", WHOLE), ("snyk.jq", WHOLE), ("README.md", "no mapping")]);
    let formats = Formats::with_folder(folder.path()).unwrap();
    assert_eq!(formats.names()[..4], ["lake", "cloudtrail", "mine", "snyk"]);
    assert_eq!(formats.names().iter().filter(|name| **name == "snyk").count(), 1);
    let Some(Format::Mapped(mine)) = formats.get("mine") else { panic!("no mapping") };
    assert_eq!((mine.about(), mine.lines_of("version")), ("Mine.", vec![5]));
    assert!(mine.origin().ends_with("mine.jq"));
    assert!(formats.get("nosuch").is_none());
}

#[test]
fn everything_that_is_wrong_in_a_folder_is_said_at_once_with_its_place() {
    let folder = folder(&[
        ("a.jq", "def matches: true;\ndef id: .a b;\ndef event: {};\n"),
        ("b.jq", "def matches: true;\ndef id: nosuch(.a);\ndef event: {};\n"),
        ("c.jq", "def matches: true;\n"),
        ("e.jq", &WHOLE.replace("def secrets: empty;\n", "")),
        ("d.jq", "def matches: true;\ndef id: [range(.n)];\ndef event: {};\n"),
        ("Upper.jq", WHOLE),
        ("lake.jq", WHOLE),
        ("auto.jq", WHOLE),
    ]);
    let faults = Formats::with_folder(folder.path()).unwrap_err();
    let said: Vec<_> = faults
        .iter()
        .map(|fault| fault.to_string().replace(&format!("{}/", folder.path().display()), ""))
        .collect();
    for expected in [
        "a.jq:2:12: expected",
        "b.jq:2:9: nosuch with 1 arguments is not defined",
        "c.jq:1:1: there is no `def id: …;`",
        "c.jq:1:1: there is no `def event: …;`",
        "c.jq:1:1: there is no `def secrets: …;`, which names what must not reach the lake; `empty` if nothing",
        "e.jq:1:1: there is no `def secrets: …;`",
        "d.jq:2:10: range is not available",
        "Upper.jq: a format is named by its file",
        "lake.jq: this format is written in Rust",
        "auto.jq: this name stands for what content tells",
    ] {
        assert!(said.iter().any(|said| said.starts_with(expected)), "{expected}: {said:#?}");
    }
    assert_eq!(said.len(), 10, "{said:#?}");
}

#[test]
fn an_empty_or_absent_folder_is_a_fault() {
    let empty = folder(&[("README.md", "no mapping")]);
    let said = Formats::with_folder(empty.path()).unwrap_err();
    assert!(said[0].what.contains("holds no file NAME.jq"));
    assert!(Formats::with_folder(&empty.path().join("nosuch")).is_err());
}
