//! What other publishers were shown to invent, or to stumble over, when they map an event: through the pure stages.

use std::fs;

use serde_json::{Value, json};
use tributary::{
    config::Oversize,
    event::ReadyEvent,
    failure::Rejection,
    formats::{Format, Formats},
};

use crate::{
    checks::{ACCOUNT, breaches, ready_as},
    support::program,
};

fn ready(event: &Value, fixed: Option<&Format>) -> Result<ReadyEvent, Rejection> {
    let ready = ready_as(event.to_string(), Oversize::Move, fixed).remove(0)?;
    assert_eq!(breaches(&ready), Vec::<String>::new(), "{event}");
    Ok(ready)
}

fn row(event: &ReadyEvent) -> Value {
    serde_json::from_str(event.json()).expect("JSON")
}

/// Told by content.
fn published(event: &Value) -> Value {
    row(&ready(event, None).expect("published"))
}

fn generic(event: &Value) -> Result<Value, Rejection> {
    let format = Formats::built_in().get("generic").expect("a format");
    ready(event, Some(&format)).map(|ready| row(&ready))
}

fn with(mut event: Value, pointer: &str, value: Value) -> Value {
    *event.pointer_mut(pointer).expect("it is there") = value;
    event
}

fn okta() -> Value {
    json!({
        "uuid": "2a992f80-0000-11ef-8000-0000000000aa", "eventType": "user.session.start", "version": "0",
        "published": "2026-02-03T04:05:06.789Z", "severity": "INFO",
        "actor": {"id": "00u1", "type": "User", "alternateId": "ada@example.com"},
        "client": {"ipAddress": "192.0.2.8"}, "outcome": {"result": "SUCCESS", "reason": null},
        "debugContext": {"debugData": {"requestUri": "/idp/identify"}},
    })
}

#[test]
fn okta_events_without_a_request_address_are_published_under_their_own_name() {
    for data in [json!({}), json!({"threatSuspected": "false"}), Value::Null] {
        let row = published(&with(okta(), "/debugContext/debugData", data));
        assert_eq!(row["eventName"], "user.session.start");
    }
    assert_eq!(published(&okta())["eventName"], "user.session.start", "nor with one under that");
}

#[test]
fn okta_times_need_no_fraction() {
    let row = published(&with(okta(), "/published", json!("2026-02-03T04:05:06Z")));
    assert_eq!(row["eventTime"], "2026-02-03T04:05:06Z");
}

#[test]
fn okta_outcomes_are_errors_only_where_they_are() {
    for result in ["SUCCESS", "ALLOW", "CHALLENGE", "SKIPPED", "UNKNOWN"] {
        let row = published(&with(okta(), "/outcome/result", json!(result)));
        assert_eq!((&row["errorCode"], &row["errorMessage"]), (&Value::Null, &Value::Null), "{result}");
        assert!(!row.to_string().contains("NULL"), "{row}");
    }
    for result in ["FAILURE", "DENY"] {
        let row = published(&with(okta(), "/outcome/result", json!(result)));
        assert_eq!((&row["errorCode"], &row["errorMessage"]), (&json!(result), &Value::Null), "{row}");
        assert!(!row.to_string().contains("NULL"), "{row}");
    }
}

#[test]
fn okta_events_of_another_account_are_for_that_of_the_channel() {
    let bridged = json!({
        "version": "0", "id": "b-1", "detail-type": "SystemLog", "source": "aws.partner/okta.com/e/Default",
        "account": "111122223333", "time": "2026-02-03T04:05:07Z", "region": "us-east-1", "resources": [],
        "detail": okta(),
    });
    assert_eq!(published(&bridged)["recipientAccountId"], ACCOUNT);
}

/// An entry of Azure's activity log, in its own words.
fn azure() -> Value {
    json!({
        "id": "a-1", "operationName": "MICROSOFT.COMPUTE/START", "action": "MICROSOFT.COMPUTE/START",
        "time": "2026-02-03T04:05:06.789Z", "user": "ada@example.com", "errorCode": "0", "durationMs": 12,
    })
}

#[test]
fn an_address_that_is_absent_is_not_made_up() {
    let row = generic(&azure()).expect("published");
    assert_eq!(row.get("sourceIPAddress"), None);
    assert!(!row.to_string().contains("1.0.0.0"), "{row}");
}

#[test]
fn what_went_well_has_no_error_code() {
    for code in ["0", "Success", "success", "Succeeded", "OK", "", "None"] {
        let row = generic(&with(azure(), "/errorCode", json!(code))).expect("published");
        assert_eq!(row.get("errorCode"), None, "{code}");
    }
    let row = generic(&with(azure(), "/errorCode", json!("AuthorizationFailed"))).expect("published");
    assert_eq!(row["errorCode"], "AuthorizationFailed");
}

#[test]
fn a_time_that_is_absent_or_says_no_year_is_a_reason_and_not_a_guess() {
    let rejection = generic(&with(azure(), "/time", Value::Null)).expect_err("no time");
    assert_eq!(rejection.reason.code(), "mapping_failed");
    assert!(rejection.detail.contains("no time"), "{}", rejection.detail);
    for time in ["Nov 20 17:21:04", "17:21:04", "02-03T04:05:06Z"] {
        let rejection = generic(&with(azure(), "/time", json!(time))).expect_err(time);
        assert!(!rejection.detail.contains(time), "a sentence without payload");
    }
}

fn gcp() -> Value {
    json!({
        "logName": "projects/example/logs/cloudaudit.googleapis.com%2Factivity", "insertId": "1a2b3c",
        "timestamp": "2026-02-03T04:05:06.789123456Z", "receiveTimestamp": "2026-02-03T04:05:07.5Z",
        "resource": {"type": "gcs_bucket"}, "severity": "NOTICE",
        "protoPayload": {
            "@type": "type.googleapis.com/google.cloud.audit.AuditLog", "serviceName": "storage.googleapis.com",
            "methodName": "storage.buckets.update", "resourceName": "projects/_/buckets/b",
        },
    })
}

#[test]
fn nobody_and_nowhere_in_a_log_of_google_are_left_out() {
    let row = published(&gcp());
    for name in ["sourceIPAddress", "userAgent", "errorCode"] {
        assert_eq!(row.get(name), None, "{name}");
    }
    assert_eq!(
        row["userIdentity"],
        json!({"type": "GoogleCloudPrincipal", "principalId": "gcp:no-principal"})
    );
    assert!(!row.to_string().contains("\"None\""), "{row}");
}

#[test]
fn details_are_an_object() {
    let mut event = gcp();
    event["protoPayload"]["authorizationInfo"] = json!([{"granted": true, "permission": "p"}]);
    assert!(published(&event)["userIdentity"]["details"].is_object());
}

#[test]
fn one_insert_id_in_two_logs_or_at_two_times_is_two_events() {
    let other_log = json!("projects/example/logs/cloudaudit.googleapis.com%2Fdata_access");
    let later = json!("2026-02-03T04:05:06.789123457Z");
    let all = [gcp(), with(gcp(), "/logName", other_log), with(gcp(), "/timestamp", later)];
    let ids: std::collections::BTreeSet<_> =
        all.iter().map(|event| published(event)["UID"].to_string()).collect();
    assert_eq!(ids.len(), 3);
}

#[test]
fn a_gateway_without_users_has_an_identity_all_the_same() {
    let row = published(&json!({
        "request_id": "OjKonG0000000000000000000000001a", "method": "GET", "path": "/services?size=1",
        "client_ip": "192.0.2.8", "rbac_user_id": null, "request_timestamp": 1_770_000_001, "status": 200,
    }));
    assert_eq!(row["userIdentity"]["type"], "KongAdminApi");
    assert_eq!(row["userIdentity"]["principalId"], "kong:no-rbac-user");
    assert_eq!(row["eventName"], "GET /services");
}

#[test]
fn every_attempt_gives_the_same_id() {
    let falcon = json!({
        "metadata": {"offset": 0, "eventType": "AuthActivityAuditEvent", "eventCreationTime": 1_770_000_000_000_u64},
        "event": {"OperationName": "userAuthenticate"},
    });
    for event in [okta(), gcp(), falcon] {
        let ids = [(); 2].map(|()| ready(&event, None).expect("published").id().wire().to_owned());
        assert_eq!(ids[0], ids[1]);
    }
}

/// A mapping of three lines for alerts of which only some have an `_id`.
const ALERTS: &str = r#"
def matches: has("alert_type");
def id: (._id | text) // .;
def event: {
    version: "1", userIdentity: {type: "User", principalId: .user}, eventSource: "alerts.example.com",
    eventName: .alert_type, eventTime: (.timestamp | utc), requestParameters: .
};
def secrets: empty;
"#;

#[test]
fn an_event_without_an_id_can_be_told_by_its_content() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("alerts.jq"), ALERTS).expect("written");
    let formats = Formats::with_folder(folder.path()).unwrap_or_else(|faults| panic!("{faults:?}"));
    let format = formats.get("alerts").expect("a format");
    let alert =
        |number: u64| json!({"alert_type": "DLP", "user": "ada", "timestamp": 1_770_000_000 + number});
    let id = |event: &Value| ready(event, Some(&format)).expect("published").id().wire().to_owned();
    let mut named = alert(1);
    named["_id"] = json!("n-1");
    assert_eq!(id(&named), "n-1");
    assert_eq!(id(&alert(1)), id(&alert(1)), "a copy");
    assert_ne!(id(&alert(1)), id(&alert(2)), "two events");
}

#[tokio::test]
async fn a_time_does_not_depend_on_where_the_program_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("event.json");
    let event = json!({"id": "n-1", "action": "Login", "user": "ada", "timestamp": 1_770_000_001});
    fs::write(&file, event.to_string()).expect("written");
    let arguments = ["explain", file.to_str().expect("a path"), "--format", "generic", "--json"];
    for zone in ["UTC", "Asia/Tokyo", "America/St_Johns"] {
        let ran = program::run(&arguments, &[("TZ", zone)]).await;
        assert_eq!(ran.json()[0]["event_data"]["eventTime"], "2026-02-02T02:40:01Z", "{zone}: {}", ran.err);
    }
}
