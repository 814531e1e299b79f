//! Where each value lands: whole events as they leave, the policies one by one, and what `explain` says.

#![expect(clippy::expect_used, reason = "helpers of tests fail by panic")]

use bytes::Bytes;
use serde_json::{Value, json};
use tributary::{
    config::Oversize,
    explain::{Circumstances, explain},
    formats::Formats,
    receive::About,
    redact::Redaction,
    route::{Route, Unmatched},
};

use crate::checks::{ACCOUNT, ready};

fn published(event: &Value) -> Value {
    published_text(&event.to_string())
}

fn published_text(body: &str) -> Value {
    let ready = ready(body.to_owned(), Oversize::Move).remove(0).expect("published");
    serde_json::from_str(ready.json()).expect("JSON")
}

fn lake(changes: Value) -> Value {
    let mut event = json!({
        "version": "1.0", "userIdentity": { "type": "User", "principalId": "ana" }, "eventSource": "s",
        "eventName": "n", "eventTime": "2024-03-01T08:15:00Z", "UID": "u-1",
    });
    if let (Value::Object(event), Value::Object(changes)) = (&mut event, changes) {
        event.extend(changes);
    }
    event
}

fn native(identity: &Value) -> Value {
    json!({
        "eventVersion": "1.08", "userIdentity": identity, "eventSource": "s3.amazonaws.com", "eventName": "n",
        "eventTime": "2024-03-01T08:15:00Z", "eventID": "e-1", "awsRegion": "r",
    })
}

#[test]
fn a_native_record_is_mapped_field_by_field() {
    let record = json!({
        "eventVersion": "1.11", "eventTime": "2024-03-01T08:15:00.250Z", "eventID": "e-1", "eventName": "GetObject",
        "eventSource": "s3.amazonaws.com", "userAgent": "aws-cli", "sourceIPAddress": "AWS Internal",
        "userIdentity": { "type": "IAMUser", "principalId": "AIDA", "arn": "arn:a", "invokedBy": null,
                          "sessionContext": { "attributes": {} } },
        "requestParameters": { "bucketName": "b" }, "responseElements": null, "errorCode": "AccessDenied",
        "awsRegion": "eu-central-1", "readOnly": true, "recipientAccountId": "111122223333",
        "additionalEventData": { "MFAUsed": "No" },
    });
    let expected = json!({
        "version": "1.11", "UID": "e-1", "eventTime": "2024-03-01T08:15:00Z", "eventName": "GetObject",
        "eventSource": "s3.amazonaws.com", "userAgent": "aws-cli", "recipientAccountId": ACCOUNT,
        "userIdentity": { "type": "IAMUser", "principalId": "AIDA",
                          "details": { "arn": "arn:a", "sessionContext": { "attributes": {} } } },
        "requestParameters": { "bucketName": "b" }, "errorCode": "AccessDenied",
        "additionalEventData": {
            "MFAUsed": "No",
            "tributary": {
                "moved": { "eventTime": "2024-03-01T08:15:00.250Z", "recipientAccountId": "111122223333",
                           "sourceIPAddress": "AWS Internal" },
                "unmapped": { "awsRegion": "eu-central-1", "readOnly": true },
            },
        },
    });
    assert_eq!(published(&record), expected);
}

#[test]
fn a_lake_event_stays_as_it_is_but_for_the_account() {
    let event = lake(json!({
        "userIdentity": { "type": "User", "principalId": "ana", "details": {} }, "sourceIPAddress": "2001:db8::1",
        "requestParameters": {}, "errorMessage": "", "additionalEventData": { "a": [1] },
    }));
    let mut expected = event.clone();
    expected["recipientAccountId"] = json!(ACCOUNT);
    assert_eq!(published(&event), expected);
}

#[test]
fn a_second_version_is_kept_beside_the_first() {
    let event = published(&lake(json!({ "eventVersion": "0.9" })));
    assert_eq!(event["version"], "1.0");
    assert_eq!(event["additionalEventData"]["tributary"]["unmapped"], json!({ "eventVersion": "0.9" }));
}

#[test]
fn who_it_was_is_taken_from_what_the_record_says() {
    let table = [
        (json!({ "type": "IAMUser", "principalId": "p", "arn": "a" }), ("IAMUser", "p", Value::Null)),
        (json!({ "type": "Root", "arn": "a", "accountId": "1" }), ("Root", "a", json!("arn"))),
        (
            json!({ "type": "AWSAccount", "accountId": "1", "principalId": "" }),
            ("AWSAccount", "1", json!("accountId")),
        ),
        (
            json!({ "type": "AWSService", "invokedBy": "s.amazonaws.com" }),
            ("AWSService", "s.amazonaws.com", json!("invokedBy")),
        ),
        (
            json!({ "type": "SAMLUser", "identityProvider": "i", "userName": "u" }),
            ("SAMLUser", "u", json!("userName")),
        ),
        (json!({ "type": "AWSService", "arn": 7 }), ("AWSService", "AWSService", json!("type"))),
        (json!({ "accountId": "anonymous" }), ("Unknown", "anonymous", json!("accountId"))),
        (json!({}), ("Unknown", "Unknown", json!("type"))),
        (Value::Null, ("Unknown", "Unknown", json!("type"))),
    ];
    for (identity, (kind, principal, from)) in table {
        let event = published(&native(&identity));
        assert_eq!(event["userIdentity"]["type"], kind, "{identity}");
        assert_eq!(event["userIdentity"]["principalId"], principal, "{identity}");
        assert_eq!(event["additionalEventData"]["tributary"]["principalIdFrom"], from, "{identity}");
    }
}

#[test]
fn a_long_text_is_cut_to_the_last_character_that_fits() {
    for letter in ["x", "é", "😀", "\"", "\u{0}"] {
        let message = letter.repeat(257);
        let event = published(&lake(json!({ "errorMessage": message })));
        assert_eq!(event["errorMessage"], letter.repeat(256));
        assert_eq!(event["additionalEventData"]["tributary"]["moved"]["errorMessage"], message);
        let fits = published(&lake(json!({ "errorMessage": letter.repeat(256) })));
        assert_eq!(fits["additionalEventData"], Value::Null);
    }
}

#[test]
fn an_id_that_does_not_fit_makes_way_for_its_hash() {
    let id = "é".repeat(1_025);
    let event = published(&lake(json!({ "UID": id })));
    assert!(event["UID"].as_str().is_some_and(|uid| uid.starts_with("tributary-")));
    assert_eq!(event["additionalEventData"]["tributary"]["moved"]["UID"], id);
    let fits = "é".repeat(1_024);
    assert_eq!(published(&lake(json!({ "UID": fits })))["UID"], fits);
}

#[test]
fn of_an_object_that_is_too_large_the_smallest_sufficient_member_moves() {
    // Without `small` 100,000 bytes are left, exactly what may stay; without `short` one byte too many.
    let mut parameters =
        json!({ "large": "", "middle": "x".repeat(20_000), "short": "x".repeat(9_979), "tiny": "x" });
    parameters["large"] = json!("x".repeat(100_000 - parameters.to_string().len()));
    parameters["small"] = json!("x".repeat(9_980));
    let event = published(&lake(json!({ "requestParameters": parameters })));
    let moved = &event["additionalEventData"]["tributary"]["moved"]["requestParameters"];
    assert_eq!(
        moved.as_object().map(|moved| moved.keys().collect::<Vec<_>>()),
        Some(vec![&"small".to_owned()])
    );
    assert_eq!(event["requestParameters"].to_string().len(), 100_000);
}

#[test]
fn white_space_goes_before_anything_else_does() {
    let list = "1,\n                    ".repeat(6_000);
    let body = lake(json!({ "requestParameters": "HERE" })).to_string();
    let event = published_text(&body.replace("\"HERE\"", &format!("{{\"list\":[{list}1]}}")));
    assert_eq!(event["requestParameters"]["list"].as_array().map(Vec::len), Some(6_001));
    assert_eq!(event["additionalEventData"], Value::Null);
}

#[test]
fn a_hash_tells_where_a_list_ends() {
    let hash = |json: &str| {
        let body = Bytes::from(format!("{{\"a\":{json}}}"));
        tributary::decode::decode(body).remove(0).found.into_event().expect("an object").content_hash
    };
    assert_ne!(hash("[[1],2]"), hash("[[1,2]]"));
    assert_ne!(hash("[[],[]]"), hash("[[[]]]"));
    assert_ne!(hash("[{},1]"), hash("[{\"1\":1}]"));
}

#[test]
fn explain_shows_every_rule_and_the_entry() {
    let body = format!("[{},{{}},7]", native(&json!({ "type": "AWSService", "invokedBy": "s" })));
    let circumstances = Circumstances {
        recipient_account: ACCOUNT,
        oversize: Oversize::Move,
        formats: &Formats::built_in(),
        fixed: None,
        format_attribute: None,
        about: &About::default(),
        route: &Route::default(),
        others: &[],
        unmatched: Unmatched::DeadLetter,
        redaction: &Redaction::default(),
    };
    let all = explain(Bytes::from(body), &circumstances);
    let shown = serde_json::to_value(&all).expect("JSON");
    assert_eq!(shown[0]["verdict"], "publish");
    assert_eq!(shown[0]["format"], "cloudtrail");
    assert_eq!(shown[0]["wire_id"], "e-1");
    assert_eq!(shown[0]["event_data"]["UID"], "e-1");
    assert_eq!(shown[0]["rules"], json!(["userIdentity has no principalId: invokedBy stands for it"]));
    assert_eq!(shown[1]["verdict"], "dead_letter");
    assert_eq!((&shown[1]["stage"], &shown[1]["reason"]), (&json!("identify"), &json!("unknown_format")));
    assert_eq!((&shown[2]["stage"], &shown[2]["reason"]), (&json!("decode"), &json!("not_an_object")));
    let text = all[0].to_string();
    assert!(text.contains("would be published") && text.contains("\"principalId\": \"s\""), "{text}");
    assert!(all[2].to_string().contains("dead-lettered at decode: not_an_object"));
}

#[test]
fn the_checksum_is_that_of_the_api_reference() {
    // `printf %s '{"version":"1.0","UID":"u-1"}' | openssl dgst -binary -sha256 | base64`, as documented.
    let entry = |checksum: &str| {
        let event_data = r#"{\"version\":\"1.0\",\"UID\":\"u-1\"}"#;
        let body = format!(r#"{{"id":"1","eventData":"{event_data}","eventDataChecksum":"{checksum}"}}"#);
        ready(body, Oversize::Move).remove(0).expect_err("incomplete").reason.code()
    };
    assert_eq!(entry("ctsqqOjyT2Xto/CTWF5vW0e3dvQxBQobZX+NUr4/deM="), "unknown_format");
    assert_eq!(entry("dtsqqOjyT2Xto/CTWF5vW0e3dvQxBQobZX+NUr4/deM="), "checksum_mismatch");
}
