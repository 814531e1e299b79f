//! A table: one good event, and what each change to it is refused with.

use serde_json::{Value, json};

use super::*;

const ACCOUNT: &str = "123456789012";

fn good() -> Value {
    json!({
        "version": "1.0",
        "userIdentity": {"type": "User", "principalId": "p-1", "details": {"team": "blue"}},
        "userAgent": "agent/1",
        "eventSource": "app.example.com",
        "eventName": "CreateThing",
        "eventTime": "2026-11-20T10:11:12Z",
        "UID": "u-1",
        "requestParameters": {"a": {"b": [1, 2, {"c": null}]}},
        "responseElements": {},
        "errorCode": "",
        "errorMessage": "none",
        "sourceIPAddress": "2001:db8::7",
        "recipientAccountId": ACCOUNT,
        "additionalEventData": {"n": 12_345_678_901_234_567_890_u64}
    })
}

fn code(data: &str) -> &'static str {
    check(data, ACCOUNT).map_or_else(|error| error.code, |_| "accepted")
}

fn with(pointer: &str, value: Value) -> String {
    let mut data = good();
    let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
    let parent = data.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
    parent.insert(key.to_owned(), value);
    data.to_string()
}

#[test]
fn an_event_within_every_rule_is_accepted_and_tells_its_uid() {
    assert_eq!(check(&good().to_string(), ACCOUNT).as_deref(), Ok("u-1"));
    assert_eq!(check(&with("/UID", json!("a\"b")), ACCOUNT).as_deref(), Ok("a\"b"));
}

#[test]
fn a_required_field_that_is_missing_null_or_empty_is_not_found() {
    for field in
        ["version", "userIdentity", "eventSource", "eventName", "eventTime", "UID", "recipientAccountId"]
    {
        let mut data = good();
        data.as_object_mut().expect("an object").remove(field);
        assert_eq!(code(&data.to_string()), "FieldNotFound", "{field} missing");
        assert_eq!(code(&with(&format!("/{field}"), Value::Null)), "FieldNotFound", "{field} null");
        if field != "userIdentity" {
            assert_eq!(code(&with(&format!("/{field}"), json!(""))), "FieldNotFound", "{field} empty");
        }
    }
    for field in ["type", "principalId"] {
        assert_eq!(code(&with(&format!("/userIdentity/{field}"), json!(""))), "FieldNotFound", "{field}");
    }
}

#[test]
fn a_text_may_have_as_many_characters_as_documented_and_not_one_more() {
    let limits = [
        ("/version", 256),
        ("/userIdentity/type", 128),
        ("/userIdentity/principalId", 1024),
        ("/userAgent", 1024),
        ("/eventSource", 1024),
        ("/eventName", 1024),
        ("/UID", 1024),
        ("/errorCode", 256),
        ("/errorMessage", 256),
    ];
    for (field, max) in limits {
        assert_eq!(code(&with(field, json!("ü".repeat(max)))), "accepted", "{field}");
        assert_eq!(code(&with(field, json!("ü".repeat(max + 1)))), "FieldTooLong", "{field}");
    }
}

#[test]
fn an_object_may_have_as_many_bytes_as_documented_and_not_one_more() {
    let limits =
        [("/requestParameters", 100_000), ("/responseElements", 100_000), ("/additionalEventData", 28_000)];
    for (field, max) in limits {
        let filler = |bytes: usize| json!({"k": "x".repeat(bytes - r#"{"k":""}"#.len())});
        assert_eq!(code(&with(field, filler(max))), "accepted", "{field}");
        assert_eq!(code(&with(field, filler(max + 1))), "FieldTooLong", "{field}");
    }
    let padding = 256_000 - good().to_string().len();
    assert_eq!(code(&format!("{}{}", good(), " ".repeat(padding))), "accepted");
    assert_eq!(code(&format!("{}{}", good(), " ".repeat(padding + 1))), "FieldTooLong");
}

#[test]
fn what_does_not_follow_the_schema_is_invalid() {
    let cases = [
        with("/surprise", json!(1)),
        with("/eventVersion", json!("1.0")),
        with("/userIdentity/arn", json!("x")),
        with("/userIdentity", json!("me")),
        with("/userIdentity/details", json!("x")),
        with("/userIdentity/details", Value::Null),
        with("/version", json!(1)),
        with("/userAgent", Value::Null),
        with("/requestParameters", json!([])),
        with("/requestParameters", json!("{}")),
        with("/additionalEventData", Value::Null),
        with("/sourceIPAddress", json!("cloudformation.amazonaws.com")),
        with("/sourceIPAddress", json!("")),
        with("/sourceIPAddress", json!("10.0.0.256")),
        String::new(),
        "[]".to_owned(),
        "null".to_owned(),
        "\"text\"".to_owned(),
        "{".to_owned(),
        format!("{} x", good()),
        format!("{},", good()),
        good().to_string().replacen("1.0", "\\ud800", 1),
        good().to_string().replacen('{', r#"{"version":"1.0","#, 1),
        good().to_string().replacen('{', r#"{"v\u0065rsion":"1.0","#, 1),
        with("/requestParameters", json!({"a": 1})).replacen(r#""a":1"#, r#""a":1,"\u0061":2"#, 1),
    ];
    for data in cases {
        assert_eq!(code(&data), "InvalidData", "{data}");
    }
}

#[test]
fn a_time_is_whole_seconds_of_a_day_that_exists() {
    for time in ["2024-02-29T23:59:59Z", "2024-02-29T00:00:00"] {
        assert_eq!(code(&with("/eventTime", json!(time))), "accepted", "{time}");
    }
    for time in [
        "2026-02-29T00:00:00Z",
        "2026-11-20T10:11:12.345Z",
        "2026-11-20T10:11:12+00:00",
        "2026-11-20 10:11:12",
        "2026-11-20T24:00:00Z",
        "2026-11-20T10:60:00Z",
        "2026-11-20T10:11:60Z",
        "2026-13-20T10:11:12Z",
        "2026-1-20T10:11:12Z",
        "20261120T101112Z",
        "ü26-11-20T10:11:12Z",
        "2026-11-20T10:11:12ZZ",
    ] {
        assert_eq!(code(&with("/eventTime", json!(time))), "InvalidData", "{time}");
    }
}

#[test]
fn only_the_owner_of_the_channel_receives() {
    assert_eq!(code(&with("/recipientAccountId", json!("999999999999"))), "InvalidRecipient");
}

#[test]
fn no_error_quotes_the_event() {
    let secret = "s3cr3t";
    let cases = [
        with("/surprise-s3cr3t", json!(secret)),
        with("/sourceIPAddress", json!(secret)),
        with("/eventTime", json!(secret)),
        with("/requestParameters", json!(secret)),
        with("/recipientAccountId", json!(secret)),
        with("/version", json!([secret])),
        format!("{secret} {}", good()),
        format!("{{\"version\": {secret}}}"),
    ];
    for data in cases {
        let error = check(&data, ACCOUNT).expect_err("broken");
        assert!(!error.message.contains(secret), "{}", error.message);
    }
}
