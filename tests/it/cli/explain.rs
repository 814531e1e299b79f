//! `tributary explain` answers as `run` would, and says what failed.

use std::{fs, path::Path, process::Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{GOOD_EVENT, stderr, tributary};

const QUEUES: &str = "[source]
queue_url = \"https://sqs.eu-central-1.amazonaws.com/111122223333/audit\"
[dead_letter]
queue_url = \"https://sqs.eu-central-1.amazonaws.com/111122223333/dead\"
";
/// Two formats of which content tells neither.
const OWN: [(&str, &str); 2] = [
    ("doors", "def matches: false;\ndef id: .a + 1 | tostring;\ndef event: .;\ndef secrets: empty;\n"),
    ("lifts", "def matches: false;\ndef id: .serial;\ndef event: .;\ndef secrets: .token.below;\n"),
];

fn destination(name: &str, keys: &str) -> String {
    let arn = format!("arn:aws:cloudtrail:eu-central-1:999900001111:channel/{name}");
    format!("[destinations.{name}]\nchannel_arn = \"{arn}\"\n{keys}\n")
}

/// A folder with a configuration, formats and an event.
fn folder(configuration: &str, event: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("formats")).unwrap();
    for (name, text) in OWN {
        fs::write(folder.path().join("formats").join(name).with_extension("jq"), text).unwrap();
    }
    let formats = folder.path().join("formats");
    let configuration = configuration.replace("FORMATS", formats.to_str().unwrap());
    fs::write(folder.path().join("tributary.toml"), format!("{QUEUES}{configuration}")).unwrap();
    fs::write(folder.path().join("event.json"), event).unwrap();
    folder
}

fn ran(folder: &Path, args: &[&str], environment: &[(&str, &Path)]) -> Output {
    let all = [&["explain", "event.json", "--json"], args].concat();
    tributary(&all).current_dir(folder).envs(environment.iter().copied()).output().unwrap()
}

fn explained(folder: &TempDir, args: &[&str]) -> Value {
    let output = ran(folder.path(), &[&["--config", "tributary.toml"], args].concat(), &[]);
    let answer: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    answer[0].clone()
}

#[test]
fn the_only_destination_of_a_configuration_is_the_one_that_is_meant() {
    let folder = folder(&destination("lake", "redact_drop = '.eventName'"), GOOD_EVENT);
    let answer = explained(&folder, &[]);
    assert_eq!((&answer["verdict"], &answer["stage"]), (&json!("dead_letter"), &json!("map")), "{answer}");

    let folder = self::folder(&destination("lake", ""), GOOD_EVENT);
    let account = |args: &[&str]| explained(&folder, args)["event_data"]["recipientAccountId"].clone();
    assert_eq!(account(&[]), "999900001111");
    assert_eq!(account(&["--account", "222233334444"]), "222233334444");
}

#[test]
fn of_several_destinations_one_has_to_be_named() {
    let two = destination("one", "when = 'false'") + &destination("two", "");
    let folder = folder(&two, GOOD_EVENT);
    for args in
        [&["--config", "tributary.toml"][..], &["--config", "tributary.toml", "--destination", "three"]]
    {
        let output = ran(folder.path(), args, &[]);
        assert_eq!(output.status.code(), Some(2));
        assert!(output.stdout.is_empty() && stderr(&output).contains("one, two"), "{}", stderr(&output));
    }
    assert_eq!(explained(&folder, &["--destination", "one"])["verdict"], "not_wanted");
    assert_eq!(explained(&folder, &["--destination", "two"])["verdict"], "publish");
}

#[test]
fn what_no_destination_wants_ends_as_the_configuration_says() {
    let unwanted = destination("one", "when = 'false'") + &destination("two", "formats = 'snyk'");
    let answer = explained(&folder(&unwanted, GOOD_EVENT), &["--destination", "one"]);
    assert_eq!((&answer["stage"], &answer["reason"]), (&json!("identify"), &json!("no_route")), "{answer}");
    let filtered = unwanted + "[routing]\nunmatched = \"filter\"\n";
    let answer = explained(&folder(&filtered, GOOD_EVENT), &["--destination", "two"]);
    assert_eq!(answer["verdict"], "filter", "{answer}");
}

#[test]
fn the_format_is_told_as_the_configuration_says() {
    let keys = "[formats]\nfolder = \"FORMATS\"\n";
    let with_source = |text: &str| {
        let source = format!("format = \"lifts\"\nformat_attribute = \"kind\"\n[dead_letter]\n{text}");
        source
    };
    let folder = folder(&(keys.to_owned() + &destination("lake", "")), r#"{"serial":"s-1","a":"A-SECRET"}"#);
    let path = folder.path().join("tributary.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("[dead_letter]\n", &with_source(""))).unwrap();

    let format = |args: &[&str]| explained(&folder, args)["format"].clone();
    assert_eq!(format(&[]), "lifts");
    assert_eq!(format(&["--attribute", "kind=doors"]), "doors");
    assert_eq!(format(&["--attribute", "kind=doors", "--format", "lifts"]), "lifts");
    let unknown = explained(&folder, &["--attribute", "kind=stairs"]);
    assert_eq!((&unknown["reason"], &unknown["format"]), (&json!("unknown_format"), &Value::Null));
}

#[test]
fn a_configuration_is_never_passed_over() {
    let folder = folder(&destination("lake", ""), GOOD_EVENT);
    let formats = folder.path().join("formats");
    for name in ["TRIBUTARY_FORMATS_FOLDER", "TRIBUTARY_UNHEARD_OF"] {
        for args in
            [&["--config", "tributary.toml"][..], &["--config", "tributary.toml", "--destination", "lake"]]
        {
            let output = ran(folder.path(), args, &[(name, &formats)]);
            let expected = if name == "TRIBUTARY_FORMATS_FOLDER" { 0 } else { 2 };
            assert_eq!(output.status.code(), Some(expected), "{name} {args:?}: {}", stderr(&output));
        }
    }
    let output = ran(folder.path(), &["--config", "nowhere.toml"], &[]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("could not read nowhere.toml"), "{}", stderr(&output));
    // A folder on the command line takes the place of the configuration's.
    let own = explained(&folder, &["--formats", "formats", "--format", "lifts"]);
    assert_eq!(own["format"], "lifts");
}

#[test]
fn whichever_program_fails_is_heard_in_full_at_its_stage() {
    let formats = "[formats]\nfolder = \"FORMATS\"\n";
    let fails = ".requestParameters.a + 1";
    for (keys, args, stage, reason, part) in [
        (format!("when = '{fails}'"), &[][..], "identify", "route_failed", "`when`"),
        (format!("drop = '{fails}'"), &[], "identify", "route_failed", "`drop`"),
        (".a.below".to_owned(), &["--format", "lifts"], "map", "redact_failed", "redact_drop"),
        (".token[]".to_owned(), &["--format", "lifts"], "map", "redact_failed", "redact_mask"),
        (String::new(), &["--format", "lifts"], "map", "redact_failed", "`secrets`"),
        (String::new(), &["--format", "doors"], "identify", "no_id", "`id`"),
    ] {
        let keys = if part.starts_with("redact") { format!("{part} = '{keys}'") } else { keys };
        let event = r#"{"eventVersion":"1.08","eventSource":"s","eventName":"n","eventID":"e-1","serial":"s-1",
            "requestParameters":{"a":"A-SECRET"},"a":"A-SECRET","token":"A-SECRET"}"#;
        let answer = explained(&folder(&(formats.to_owned() + &destination("lake", &keys)), event), args);
        assert_eq!((&answer["stage"], &answer["reason"]), (&json!(stage), &json!(reason)), "{answer}");
        let (detail, said) = (answer["detail"].as_str().unwrap(), answer["program_said"].as_str().unwrap());
        assert!(detail.contains(part) && detail.contains("`tributary explain` says which"), "{answer}");
        assert!(!detail.contains("A-SECRET") && said.contains("A-SECRET"), "{answer}");
        assert!(answer["format"].is_string(), "{answer}");
    }
}
