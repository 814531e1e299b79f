use std::sync::Arc;

use super::*;
use crate::{decode::decode, formats::Formats, identify::identify, jq::Program};

#[expect(clippy::unnecessary_wraps, reason = "as the fields of a configuration are")]
fn paths(text: &str) -> Option<Written> {
    let program =
        Program::compile(&format!("path({text})")).unwrap_or_else(|fault| panic!("{text}: {fault}"));
    Some(Written { text: text.into(), program: Arc::new(program) })
}

fn event(parameters: &str) -> IdentifiedEvent {
    let json = format!(
        r#"{{"eventVersion":"1.08","eventSource":"s3.amazonaws.com","eventName":"Get","eventID":"e-1",
        "awsRegion":"eu-central-1","requestParameters":{parameters}}}"#
    );
    let raw = decode(json.into()).remove(0).found.into_event().unwrap();
    identify(raw, &About::default(), &Formats::built_in(), None).unwrap()
}

fn parameters(event: &IdentifiedEvent) -> String {
    event.raw.get("requestParameters").unwrap().to_string()
}

#[test]
fn each_act_is_done_at_its_places_and_the_id_and_the_hash_stay() {
    let redaction = Redaction {
        drop: paths(".requestParameters.gone"),
        mask: paths(".requestParameters.invite.url, (.. | .password? | select(. != null))"),
        hash: paths(".requestParameters.mail"),
        key: Some("0123456789abcdef".to_owned()),
        masks_known: true,
    };
    let before = event(
        r#"{ "gone": 1, "invite": {"url": "u", "n": 1.50}, "mail": "a@example.com", "list": [{"password": "p"}, 2] }"#,
    );
    let (after, notes) = redaction.apply(&before, &About::default()).unwrap().unwrap();
    let text = parameters(&after);
    assert!(
        text.starts_with(r#"{ "invite": {"url": "[masked]", "n": 1.50}, "mail": ""#)
            && text.ends_with(r#"", "list": [{"password": "[masked]"}, 2] }"#),
        "{text}"
    );
    assert_eq!(
        notes,
        [
            ".requestParameters.gone: dropped",
            ".requestParameters.invite.url: masked",
            ".requestParameters.mail: hashed",
            ".requestParameters.list[0].password: masked",
        ]
    );
    assert_eq!((&after.id, after.content_hash), (&before.id, before.content_hash));
    assert_eq!(after.raw.members.len(), before.raw.members.len());
}

/// An event of a format that knows what is secret in it.
fn event_with_secret() -> IdentifiedEvent {
    let folder = tempfile::tempdir().unwrap();
    let text =
        "def matches: has(\"mine\");\ndef id: .mine;\ndef event: .;\ndef secrets: .token, .list[]?.token;\n";
    std::fs::write(folder.path().join("own.jq"), text).unwrap();
    let formats = Formats::with_folder(folder.path()).unwrap();
    let raw = decode(r#"{"mine":"m-1","token":"t"}"#.into()).remove(0).found.into_event().unwrap();
    identify(raw, &About::default(), &formats, None).unwrap()
}

#[test]
fn what_a_format_calls_secret_is_masked_unless_the_operator_says_otherwise() {
    let before = event_with_secret();
    let apply = |redaction: Redaction| {
        let after = redaction.apply(&before, &About::default()).unwrap();
        after.map(|(after, _)| after.raw.json.to_string())
    };
    assert_eq!(apply(Redaction::default()).as_deref(), Some(r#"{"mine":"m-1","token":"[masked]"}"#));
    assert_eq!(apply(Redaction { masks_known: false, ..Redaction::default() }), None);
    let dropped = Redaction { drop: paths(".token"), ..Redaction::default() };
    assert_eq!(apply(dropped).as_deref(), Some(r#"{"mine":"m-1"}"#));
}

#[test]
fn an_event_without_such_places_stays_as_it_is() {
    let redaction = Redaction { mask: paths(".requestParameters.token"), ..Redaction::default() };
    assert!(redaction.apply(&event("{}"), &About::default()).unwrap().is_none());
}

#[test]
fn what_cannot_be_told_is_rejected_and_no_part_of_the_event_is_said() {
    for (text, expected) in [
        (".requestParameters.secret.below", "does not fit the types"),
        (".", "the whole event"),
        (".requestParameters.list[1:]", "a slice"),
        (".requestParameters.list[-1]", "counted from the end"),
        (".requestParameters.big[]", "more than 10000 paths"),
    ] {
        let big = vec!["1"; 10_001].join(",");
        let event = event(&format!(r#"{{"secret":"SECRET","list":[1,2,3],"big":[{big}]}}"#));
        let redaction = Redaction { mask: paths(text), ..Redaction::default() };
        let rejection = redaction.apply(&event, &About::default()).map(|_| ()).expect_err(text).rejection;
        assert_eq!(rejection.reason, Reason::RedactFailed);
        assert!(rejection.detail.contains(expected), "{text}: {rejection}");
        assert!(!rejection.detail.contains("SECRET"), "{text}: {rejection}");
    }
}
