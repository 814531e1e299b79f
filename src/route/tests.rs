use std::sync::Arc;

use super::*;
use crate::{decode::decode, formats::Formats, identify::identify};

#[expect(clippy::unnecessary_wraps, reason = "as the fields of a configuration are")]
fn written(text: &str) -> Option<Written> {
    let program = Program::compile(text).unwrap_or_else(|fault| panic!("{text}: {fault}"));
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

fn way(route: &Route, parameters: &str, about: &About) -> String {
    let event = event(parameters);
    match route.way(&Asked::new(&event, about)) {
        Way::Here => "here".to_owned(),
        Way::Elsewhere => "elsewhere".to_owned(),
        Way::Dropped(_) => "dropped".to_owned(),
        Way::Unknown(RunError { rejection, .. }) => {
            format!("{}: {}", rejection.reason.code(), rejection.detail)
        }
    }
}

#[test]
fn a_route_asks_for_format_fields_attributes_group_source_and_object() {
    let about = About {
        source: "audit".into(),
        group: Some("fig/app/0".into()),
        attributes: [("tenant".to_owned(), "t-1".to_owned())].into(),
        object: Some("s3://logs/2026/a.gz".into()),
        redriven_to: None,
        redriven_at: None,
    };
    for (when, expected) in [
        (".requestParameters.tenant == 7", "here"),
        (".requestParameters.tenant == 8", "elsewhere"),
        (".requestParameters.absent", "elsewhere"),
        ("$format == \"cloudtrail\"", "here"),
        ("$message.source == \"audit\" and $message.group == \"fig/app/0\"", "here"),
        ("$message.attributes.tenant == \"t-1\"", "here"),
        ("$message.attributes.absent == \"t-1\"", "elsewhere"),
        ("$message.object | startswith(\"s3://logs/\")", "here"),
        ("empty", "elsewhere"),
        ("null", "elsewhere"),
        ("0", "here"),
    ] {
        let route = Route { when: written(when), ..Route::default() };
        assert_eq!(way(&route, r#"{"tenant":7}"#, &about), expected, "{when}");
    }
}

#[test]
fn the_format_is_asked_first_then_when_then_drop() {
    let fails = || written(".requestParameters + 1 == 2");
    let formats = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
    let (yes, no) = (|| written("true"), || written("false"));
    for (route, expected) in [
        (Route::default(), "here"),
        (Route { formats: formats(&["lake", "cloudtrail"]), ..Route::default() }, "here"),
        (Route { formats: formats(&["lake"]), when: fails(), drop: None }, "elsewhere"),
        (Route { formats: None, when: no(), drop: fails() }, "elsewhere"),
        (Route { formats: None, when: yes(), drop: yes() }, "dropped"),
        (Route { formats: None, when: yes(), drop: no() }, "here"),
    ] {
        assert_eq!(way(&route, "{}", &About::default()), expected, "{route:?}");
    }
}

#[test]
fn a_condition_without_an_answer_is_a_rejection_that_tells_nothing_of_the_event() {
    for route in [
        Route { when: written(".requestParameters.secret + 1 == 2"), ..Route::default() },
        Route { drop: written(".requestParameters.secret + 1 == 2"), ..Route::default() },
    ] {
        let said = way(&route, r#"{"secret":"SECRET"}"#, &About::default());
        assert!(said.starts_with("route_failed: the condition `"), "{said}");
        assert!(!said.contains("SECRET"), "{said}");
    }
}
