//! What becomes of everything that a queue consumer meets: told by content, unpacked within bounds, and never lost.

mod bounds;
mod damaged;
mod nested;
mod room;
mod wrapping;

use std::{fs, path::Path};

use tributary::decode::{Decoded, Found, decode};

use self::wrapping::{base64, event, gzip, sns};

/// What each part is, in a word: `event`, an object's address, a notice's name, or the reason against it.
fn kinds(body: impl Into<Vec<u8>>) -> Vec<String> {
    decode(body.into().into()).iter().map(kind).collect()
}

fn kind(decoded: &Decoded) -> String {
    match &decoded.found {
        Found::Event(_) => "event".to_owned(),
        Found::Object(object) => object.to_string(),
        Found::Notice(notice) => notice.name().to_owned(),
        Found::Rejected(rejection) => rejection.reason.code().to_owned(),
    }
}

/// One record of an S3 notification.
fn s3_record(name: &str, bucket: &str, object: &str) -> String {
    format!(
        r#"{{"eventVersion":"2.1","eventSource":"aws:s3","awsRegion":"r","eventTime":"2024-03-01T08:15:00Z","eventName":"{name}","userIdentity":{{"principalId":"p"}},"s3":{{"s3SchemaVersion":"1.0","bucket":{{"name":"{bucket}","arn":"a"}},"object":{object}}}}}"#
    )
}

fn object_created(detail_type: &str, object: &str) -> String {
    format!(
        r#"{{"version":"0","id":"i","detail-type":"{detail_type}","source":"aws.s3","account":"1","detail":{{"version":"0","bucket":{{"name":"b"}},"object":{object},"reason":"PutObject"}}}}"#
    )
}

#[test]
fn an_s3_notification_leads_to_each_object_that_was_created() {
    let records = [
        s3_record(
            "ObjectCreated:Put",
            "b",
            r#"{"key":"AWSLogs/a+b%2Bc%3Dd%C3%A9.json.gz","size":17,"versionId":"v1"}"#,
        ),
        s3_record("ObjectRemoved:Delete", "b", r#"{"key":"gone"}"#),
        s3_record("ObjectCreated:CompleteMultipartUpload", "other.bucket", r#"{"key":"k","versionId":null}"#),
        s3_record("ReducedRedundancyLostObject", "b", r#"{"key":"lost"}"#),
    ];
    let body = format!(r#"{{"Records":[{}]}}"#, records.join(","));
    let parts = decode(body.into());
    let found: Vec<String> = parts.iter().map(kind).collect();
    assert_eq!(found, ["s3://b/AWSLogs/a b+c=dé.json.gz", "s3_other", "s3://other.bucket/k", "s3_other"]);
    let Found::Object(first) = &parts[0].found else { panic!("no object") };
    assert_eq!((first.version.as_deref(), first.bytes), (Some("v1"), Some(17)));
    let Found::Object(last) = &parts[2].found else { panic!("no object") };
    assert_eq!((&last.version, last.bytes), (&None, None));
}

#[test]
fn a_key_is_decoded_only_where_s3_encoded_it() {
    let key = r#"{"key":"a+b%2Bc 100%","size":1,"version-id":"v2"}"#;
    assert_eq!(kinds(object_created("Object Created", key)), ["s3://b/a+b%2Bc 100%"]);
    assert_eq!(kinds(r#"{"s3Bucket":"b","s3ObjectKey":["a+b%2Bc"]}"#), ["s3://b/a+b%2Bc"]);
    assert_eq!(kinds(s3_record("ObjectCreated:Put", "b", r#"{"key":"a+b%2bc"}"#)), ["s3://b/a b+c"]);
    let Found::Object(object) = decode(object_created("Object Created", key).into()).remove(0).found else {
        panic!("no object")
    };
    assert_eq!((object.version.as_deref(), object.bytes), (Some("v2"), Some(1)));
}

#[test]
fn a_notification_that_names_no_object_is_rejected_whole() {
    let long = format!(r#"{{"key":"{}"}}"#, "k".repeat(1_025));
    for object in [
        "{}",
        "null",
        r#"{"key":""}"#,
        r#"{"key":7}"#,
        r#"{"key":"%"}"#,
        r#"{"key":"%4"}"#,
        r#"{"key":"%zz"}"#,
        r#"{"key":"%ff"}"#,
        &long,
    ] {
        assert_eq!(kinds(s3_record("ObjectCreated:Put", "b", object)), ["broken_envelope"], "{object}");
    }
    let key = r#"{"key":"k"}"#;
    assert_eq!(kinds(s3_record("ObjectCreated:Put", "", key)), ["broken_envelope"]);
    assert_eq!(kinds(s3_record("ObjectCreated:Put", &"b".repeat(256), key)), ["broken_envelope"]);
    assert_eq!(kinds(r#"{"eventSource":"aws:s3"}"#), ["broken_envelope"]);
    assert_eq!(kinds(r#"{"eventName":"ObjectCreated:Put","eventSource":"aws:s3"}"#), ["broken_envelope"]);
    assert_eq!(kinds(object_created("Object Created", "{}")), ["broken_envelope"]);
    assert_eq!(kinds(r#"{"s3Bucket":"b","s3ObjectKey":["k",7]}"#), ["s3://b/k", "broken_envelope"]);
}

#[test]
fn what_holds_no_events_and_is_nobody_s_mistake_is_a_notice() {
    let test = r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Time":"t","Bucket":"b","RequestId":"r","HostId":"h"}"#;
    let control = r#"{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],"logEvents":[{"id":"","timestamp":1,"message":"CWL CONTROL MESSAGE: Checking health of destination Kinesis stream."}]}"#;
    assert_eq!(kinds(test), ["s3_test"]);
    assert_eq!(kinds(sns(test)), ["s3_test"]);
    assert_eq!(kinds("CloudTrail validation message."), ["cloudtrail_validation"]);
    assert_eq!(kinds(sns("CloudTrail validation message.\n")), ["cloudtrail_validation"]);
    assert_eq!(kinds("CloudTrail validation message"), ["not_json"]);
    assert_eq!(kinds(gzip(control)), ["logs_control"]);
    for detail_type in ["Object Deleted", "Object Restore Completed", "Object Tags Added"] {
        assert_eq!(kinds(object_created(detail_type, "{}")), ["s3_other"]);
    }
}

#[test]
fn what_only_resembles_an_envelope_is_an_event() {
    for body in [
        r#"{"Event":"s3:TestEvent"}"#,
        r#"{"Event":"login","Service":"Amazon S3"}"#,
        r#"{"s3Bucket":"b","s3ObjectKey":"k"}"#,
        r#"{"messageType":"NOTICE","logEvents":[{"message":"{}"}]}"#,
        r#"{"logEvents":[{"message":"{}"}]}"#,
        r#"{"awslogs":{"data":7}}"#,
        r#"{"records":[{"data":"e30="}]}"#,
        r#"{"id":"1","timestamp":1,"message":"{}"}"#,
        r#"{"eventSource":"aws:dynamodb","eventName":"INSERT"}"#,
        r#"{"eventSource":"kinesis.amazonaws.com","kinesis":{"data":"e30="}}"#,
        r#"{"detail-type":"AWS API Call via CloudTrail","source":"aws.s3","detail":{"eventName":"GetObject"}}"#,
        r#"{"detail-type":"User Login","source":"aws.partner/okta.com/x/y","detail":{"class_uid":3002,"metadata":{"uid":"u"}}}"#,
    ] {
        assert_eq!(kinds(body), ["event"], "{body}");
    }
}

#[test]
fn a_confirmation_of_sns_says_what_to_do_and_not_with_which_link() {
    for name in ["SubscriptionConfirmation", "UnsubscribeConfirmation"] {
        let body = format!(
            r#"{{"Type":"{name}","MessageId":"m","Token":"t0ken","TopicArn":"arn:aws:sns:r:1:t","Message":"You have chosen to subscribe","SubscribeURL":"https://sns.example.com/?Token=t0ken"}}"#
        );
        let Found::Rejected(rejection) = decode(body.into()).remove(0).found else { panic!("not rejected") };
        assert_eq!(rejection.reason.code(), "sns_confirmation");
        assert!(rejection.detail.contains("SubscribeURL") && !rejection.detail.contains("t0ken"));
    }
}

/// Packed by Python's `gzip`, in the form that the service documents.
const LOGS: &str = "H4sIAAAAAAACA6VQTU+EMBT8K+Sdd2M/oFBuRHHjQU0WbrIhVZpNk/JhWzSG8N9tcS/uwYtzafJm3sy8LtBLa8VZ1l+ThDyCu6Iu2seyqopDCbsIxs9BmkBgD+JBPQKhx/PBjPMUuFs9zl1thNI3fmwvdOWMFP31bnslbme7l8K6PQ5rdn61b0ZNTo3DvdJOGusNXkBoDacf2/JDDm6bLqC6YE8xTyhGjCHGGeMZpWmWIY5IglKeoZj4+JiSjDOcxCQmHG0IeU75+53owxmbhrAsSTzpucvPhISlARlin0QvG8gbeB78u8K6i/5XAv9VAv8uUdXFsY6O8n326ocuj1JYT+s32Pu0s8IBAAA=";

#[test]
fn log_events_of_cloudwatch_come_out_one_by_one_however_they_are_packed() {
    let expected = ["event", "not_json"];
    assert_eq!(kinds(LOGS), expected);
    assert_eq!(kinds(format!(r#"{{"awslogs":{{"data":"{LOGS}"}}}}"#)), expected);
    let record = format!(
        r#"{{"kinesis":{{"data":"{LOGS}"}},"eventSource":"aws:kinesis","eventName":"aws:kinesis:record"}}"#
    );
    assert_eq!(kinds(format!(r#"{{"Records":[{record},{record}]}}"#)), [expected, expected].concat());
    let piped =
        format!(r#"[{{"data":"{LOGS}","eventSource":"aws:kinesis","eventName":"aws:kinesis:record"}}]"#);
    assert_eq!(kinds(piped), expected);
    let firehose = format!(
        r#"{{"invocationId":"i","deliveryStreamArn":"a","records":[{{"recordId":"1","data":"{LOGS}"}}]}}"#
    );
    assert_eq!(kinds(firehose), expected);
    let endpoint = format!(r#"{{"requestId":"i","timestamp":1,"records":[{{"data":"{LOGS}"}}]}}"#);
    assert_eq!(kinds(endpoint), expected);
    let lines: Vec<&str> =
        LOGS.as_bytes().chunks(76).map(|line| str::from_utf8(line).expect("ASCII")).collect();
    assert_eq!(kinds(lines.join("\r\n")), expected);
}

#[test]
fn one_bad_log_event_spoils_no_other() {
    let log_events = [
        r#"{"id":"1","timestamp":1,"message":"{\"eventName\":\"One\"}"}"#,
        r#"{"id":"2","timestamp":1,"message":"half a pair: \ud83d"}"#,
        r#"{"id":"3","timestamp":1,"message":"x","message":"y"}"#,
        r#"{"id":"4","timestamp":1}"#,
        "null",
        r#"{"id":"5","timestamp":1,"message":"[{\"eventName\":\"Two\"},{\"eventName\":\"Three\"}]"}"#,
    ];
    let body =
        format!(r#"{{"owner":"1","messageType":"DATA_MESSAGE","logEvents":[{}]}}"#, log_events.join(","));
    let expected =
        ["event", "lone_surrogate", "duplicate_key", "broken_envelope", "not_an_object", "event", "event"];
    assert_eq!(kinds(body), expected);
    let twice = r#"{"messageType":"DATA_MESSAGE","logEvents":[],"logEvents":[{"message":"{}"}]}"#;
    assert_eq!(kinds(twice), ["duplicate_key"]);
}

/// Made by `aws-kinesis-agg` 1.2.3: an event, gzip of two in an array, and text.
const AGGREGATE: &str = "84mawgoCcDEKAnAyEgMxMjMaFwgAGhN7ImV2ZW50TmFtZSI6Ik9uZSJ9GjgIARAAGjIfiwgAAAAAAAIDi65WSi1LzSvxS8xNVbJSCinPV6rVQRPLKEpNVaqNBQBBQf+JKwAAABoQCAAaDG5vdCBKU09OOiDDqex4Y3vQ62f3mtY2lUQAwWM=";

#[test]
fn an_aggregate_of_kinesis_is_its_records() {
    let expected = ["event", "event", "event", "not_json"];
    assert_eq!(kinds(AGGREGATE), expected);
    assert_eq!(kinds(wrapping::from_base64(AGGREGATE)), expected);
    assert_eq!(kinds(gzip(wrapping::from_base64(AGGREGATE))), expected);
    assert_eq!(kinds(wrapping::aggregate(&[])), ["no_events"]);
}

#[test]
fn records_as_functions_get_them_hold_what_they_carry() {
    let sqs = format!(
        r#"{{"messageId":"m","receiptHandle":"h","body":{},"eventSource":"aws:sqs"}}"#,
        serde_json::json!(event(1))
    );
    let from_sns = format!(r#"{{"EventSource":"aws:sns","EventVersion":"1.0","Sns":{}}}"#, sns(event(1)));
    assert_eq!(kinds(format!(r#"{{"Records":[{sqs},{from_sns}]}}"#)), ["event", "event"]);
    assert_eq!(kinds(r#"{"messageId":"m","eventSource":"aws:sqs"}"#), ["broken_envelope"]);
    let kinesis = |data: &str| {
        format!(r#"{{"kinesis":{{{data}}},"eventSource":"aws:kinesis","eventName":"aws:kinesis:record"}}"#)
    };
    assert_eq!(kinds(kinesis("")), ["broken_envelope"]);
    assert_eq!(kinds(kinesis(r#""data":"é""#)), ["not_base64"]);
    assert_eq!(kinds(kinesis(&format!(r#""data":"{}""#, base64("hello")))), ["not_json"]);
}

#[test]
fn a_text_is_taken_for_base64_only_if_something_known_is_behind_it() {
    assert_eq!(kinds(base64(event(1))), ["event"]);
    assert_eq!(kinds(base64(event(1)).trim_end_matches('=')), ["event"]);
    assert_eq!(kinds(base64(format!("\u{feff} [{}]", event(1)))), ["event"]);
    for text in ["eyes", "hello", "AAAA", "H4sI=H4sI", "e30=x", &base64("hello"), &base64(base64(event(1)))] {
        assert_eq!(kinds(text), ["not_json"], "{text}");
    }
    for text in ["1234", "true", "null"] {
        assert_eq!(kinds(text), ["not_an_object"], "JSON comes first: {text}");
    }
}

#[test]
fn the_public_samples_become_what_a_poller_should_see() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples/envelopes");
    let Ok(files) = fs::read_dir(&folder) else { return println!("absent, not read: {}", folder.display()) };
    let expected: &[(&str, &[&str])] = &[
        ("eventBridgeEvent.json", &["event"]),
        ("kinesisFirehoseSQSEvent.json", &["not_json"]),
        ("kinesisStreamCloudWatchLogsEvent.json", &["not_json"; 6]),
        ("kinesisStreamEvent.json", &["not_json", "not_json"]),
        ("kinesisStreamEventOneRecord.json", &["event"]),
        ("s3Event.json", &["s3://lambda-artifacts-deafc19498e3f2df/b21b84d653bb07b05b1e6b33684dc11b"]),
        ("s3EventBridgeNotificationObjectCreatedEvent.json", &["s3://example-bucket/IMG_m7fzo3.jpg"]),
        ("s3SqsEvent.json", &["s3://xxx/test.pdf"]),
        ("snsSqsEvent.json", &["event"]),
        ("snsSqsFifoEvent.json", &["event"]),
        ("sqsEvent.json", &["not_json", "event"]),
    ];
    for file in files.map(|file| file.expect("a file").path()) {
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        let found = kinds(fs::read(&file).expect("readable"));
        println!("{name}: {found:?}");
        let row =
            expected.iter().find(|(file, _)| *file == name).unwrap_or_else(|| panic!("no row for {name}"));
        assert_eq!(found, row.1, "{name}");
    }
}
