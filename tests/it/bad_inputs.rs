//! What bad input gets: a reason for each event, never a panic, and no reason for its neighbours.

use bytes::Bytes;
use tributary::{config::Oversize, event::ReadyEvent, failure::Rejection, formats::Format};

use crate::checks::{ready, ready_as};

/// A native record; each change sets a member's JSON, or takes the member out where the JSON is empty.
fn native(changes: &[(&str, &str)]) -> String {
    object(
        &[
            ("eventVersion", "\"1.08\""),
            ("userIdentity", r#"{"type":"IAMUser","principalId":"AIDA1","userName":"ana"}"#),
            ("eventTime", "\"2024-03-01T08:15:00Z\""),
            ("eventSource", "\"ec2.amazonaws.com\""),
            ("eventName", "\"RunInstances\""),
            ("awsRegion", "\"eu-central-1\""),
            ("eventID", "\"5b3f0a2e-1001-4000-8000-000000000001\""),
        ],
        changes,
    )
}

/// An event of the integration schema, changed likewise.
fn lake(changes: &[(&str, &str)]) -> String {
    object(
        &[
            ("version", "\"1.0\""),
            ("userIdentity", r#"{"type":"User","principalId":"ana"}"#),
            ("eventSource", "\"billing.example.com\""),
            ("eventName", "\"InvoiceApproved\""),
            ("eventTime", "\"2024-03-01T08:15:00Z\""),
            ("UID", "\"u-1\""),
        ],
        changes,
    )
}

fn object(base: &[(&str, &str)], changes: &[(&str, &str)]) -> String {
    let kept = base.iter().filter(|(key, _)| changes.iter().all(|(changed, _)| key != changed));
    let added = changes.iter().filter(|(_, json)| !json.is_empty());
    let members: Vec<String> = kept.chain(added).map(|(key, json)| format!("\"{key}\":{json}")).collect();
    format!("{{{}}}", members.join(","))
}

fn sns(message: &str) -> String {
    let message = serde_json::Value::from(message);
    format!(r#"{{"Type":"Notification","MessageId":"m","TopicArn":"arn:aws:sns:r:1:t","Message":{message}}}"#)
}

fn quoted(letter: &str, times: usize) -> String {
    format!("\"{}\"", letter.repeat(times))
}

/// A name, the body, and what becomes of each event in it: `ok` or the code of the reason.
type Row = (&'static str, Vec<u8>, &'static [&'static str]);

fn row(name: &'static str, body: impl Into<Vec<u8>>, expected: &'static [&'static str]) -> Row {
    (name, body.into(), expected)
}

fn not_an_event() -> Vec<Row> {
    vec![
        row("nothing", "", &["no_events"]),
        row("white space", " \r\n\t ", &["no_events"]),
        row("a byte order mark alone", "\u{feff}", &["no_events"]),
        row("an empty array", "[]", &["no_events"]),
        row("an empty log file", r#"{"Records":[]}"#, &["no_events"]),
        row("an array of empty arrays", "[[],[]]", &["no_events"]),
        row("text", "hello", &["not_json"]),
        row("XML", "<event/>", &["not_json"]),
        row("a gzip header", b"\x1f\x8b\x08\x00\x00".to_vec(), &["broken_gzip"]),
        row("UTF-16", b"\xff\xfe{\x00}\x00".to_vec(), &["not_utf8"]),
        row("Latin-1", b"{\"eventName\":\"b\xf6se\"}".to_vec(), &["not_utf8"]),
        row("an overlong encoding", b"{\"a\":\"\xc0\xaf\"}".to_vec(), &["not_utf8"]),
        row("a surrogate in UTF-8", b"{\"a\":\"\xed\xa0\x80\"}".to_vec(), &["not_utf8"]),
        row("null", "null", &["not_an_object"]),
        row("true", "true", &["not_an_object"]),
        row("a number", "42", &["not_an_object"]),
        row("a string", "\"{}\"", &["not_an_object"]),
        row("a byte order mark in the middle", "{\u{feff}}", &["not_json"]),
    ]
}

fn not_json() -> Vec<Row> {
    let whole = native(&[]);
    vec![
        row("a truncated event", &whole[..whole.len() - 1], &["not_json"]),
        row("an event cut in a string", &whole[..40], &["not_json"]),
        row("a brace too many", format!("{whole}}}"), &["not_json"]),
        row("two events in one line", format!("{whole}{whole}"), &["not_json"]),
        row("a trailing comma in an object", r#"{"a":1,}"#, &["not_json"]),
        row("a trailing comma in an array", format!("[{whole},]"), &["not_json"]),
        row("NaN", native(&[("x", "NaN")]), &["not_json"]),
        row("Infinity", native(&[("x", "-Infinity")]), &["not_json"]),
        row("a leading zero", native(&[("x", "01")]), &["not_json"]),
        row("a plus sign", native(&[("x", "+1")]), &["not_json"]),
        row("a hexadecimal number", native(&[("x", "0x10")]), &["not_json"]),
        row("a comment", native(&[("x", "1/*one*/")]), &["not_json"]),
        row("single quotes", "{'a':1}", &["not_json"]),
        row("a key without quotes", "{a:1}", &["not_json"]),
        row("a missing colon", r#"{"a" 1}"#, &["not_json"]),
        row("an unknown escape", native(&[("x", r#""\x41""#)]), &["not_json"]),
        row("a short escape", native(&[("x", r#""\u12""#)]), &["not_json"]),
        row("a line break in a string", native(&[("x", "\"a\nb\"")]), &["not_json"]),
        row("NUL in a string", native(&[("x", "\"a\0b\"")]), &["not_json"]),
        row("a capital literal", native(&[("x", "True")]), &["not_json"]),
    ]
}

fn not_one_event() -> Vec<Row> {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let too_deep = native(&[("x", &deep(120))]);
    let twice = native(&[("x", "1"), ("x", "2")]);
    let half = native(&[("x", r#""\ud83d""#)]);
    let in_arrays = |levels: usize| format!("{}{}{}", "[".repeat(levels), native(&[]), "]".repeat(levels));
    let in_sns = |levels: usize| (0..levels).fold(native(&[]), |inner, _| sns(&inner));
    vec![
        row("a key twice", &*twice, &["duplicate_key"]),
        row(
            "a key twice, deep inside",
            native(&[("x", r#"[{"a":{"b":1,"c":2,"b":1}}]"#)]),
            &["duplicate_key"],
        ),
        row("a key twice, once escaped", r#"{"eventName":"a","event\u004eame":"b"}"#, &["duplicate_key"]),
        row("an envelope's key twice", r#"{"Records":[],"Records":[]}"#, &["duplicate_key"]),
        row("half a surrogate pair", &*half, &["lone_surrogate"]),
        row("the second half alone", native(&[("x", r#""a\udc00""#)]), &["lone_surrogate"]),
        row("halves in the wrong order", native(&[("x", r#""\udc00\ud83d""#)]), &["lone_surrogate"]),
        row("half a pair in a key", native(&[(r"x\ud83d", "1")]), &["lone_surrogate"]),
        row("half a pair in a nested key", native(&[("x", r#"{"\ud83d":1}"#)]), &["lone_surrogate"]),
        row("half a pair, then a letter", native(&[("x", r#""\ud83d\u0041""#)]), &["lone_surrogate"]),
        row("nesting that is followed", native(&[("x", &deep(119))]), &["ok"]),
        row("nesting one level deeper", &*too_deep, &["too_deep"]),
        row("nesting without end", native(&[("x", &deep(100_000))]), &["too_deep"]),
        row("only opening brackets", "[".repeat(100_000), &["not_json"]),
        row("arrays around the event", in_arrays(8), &["ok"]),
        row("too many arrays around the event", in_arrays(9), &["too_deep"]),
        row("envelopes around the event", in_sns(8), &["ok"]),
        row("too many envelopes", in_sns(9), &["too_deep"]),
        row(
            "an array with more events than any real one",
            format!("[{}0]", "0,".repeat(10_000)),
            &["too_many_events"],
        ),
        row("lines, more than any real message has", "{}\n".repeat(10_001), &["too_many_events"]),
    ]
}

fn neighbours() -> Vec<Row> {
    let (good, twice) = (native(&[]), native(&[("x", "1"), ("x", "2")]));
    let half = native(&[("x", r#""\ud83d""#)]);
    vec![
        row("a bad element", format!("[{good},7,{good}]"), &["ok", "not_an_object", "ok"]),
        row("an ambiguous element", format!("[{twice},{good}]"), &["duplicate_key", "ok"]),
        row(
            "a bad record",
            format!(r#"{{"Records":[{good},null,{half}]}}"#),
            &["ok", "not_an_object", "lone_surrogate"],
        ),
        row("a bad line", format!("{good}\r\n\r\nnot this\r\n{good}\r\n"), &["ok", "not_json", "ok"]),
        row("a bad first line", format!("{{\n{good}\n{good}"), &["not_json", "ok", "ok"]),
        row("a truncated last line", format!("{good}\n{}", &good[..50]), &["ok", "not_json"]),
        row(
            "a line that is not UTF-8",
            [good.as_bytes(), b"\n\xff\n", good.as_bytes()].concat(),
            &["ok", "not_utf8", "ok"],
        ),
        row("a line that is a number", format!("{good}\n7"), &["ok", "not_an_object"]),
        row("a broken document over several lines", format!("[\n{good},\n{good}\n"), &["not_json"]),
        row("a broken object over several lines", "{\n \"a\": [\n {\"b\": 1}\n ],\n}", &["not_json"]),
    ]
}

fn envelopes() -> Vec<Row> {
    let good = native(&[]);
    let bridge = |detail: &str| {
        format!(
            r#"{{"version":"0","id":"i","detail-type":"AWS API Call via CloudTrail","source":"aws.ec2","detail":{detail}}}"#
        )
    };
    let s3 = r#"{"Records":[{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"ObjectCreated:Put","awsRegion":"r","eventTime":"2024-03-01T08:15:00Z","s3":{}}]}"#;
    let entry = |checksum: &str| {
        let inner = serde_json::Value::from(lake(&[]));
        format!(r#"{{"id":"1","eventData":{inner},"eventDataChecksum":{checksum}}}"#)
    };
    vec![
        row("an event in SNS", sns(&good), &["ok"]),
        row("a log file in SNS", sns(&format!(r#"{{"Records":[{good},{good}]}}"#)), &["ok", "ok"]),
        row("an event in EventBridge in SNS", sns(&bridge(&good)), &["ok"]),
        row("an EventBridge event that holds none", bridge("{}"), &["unknown_format"]),
        row("an EventBridge event without detail", bridge("null"), &["unknown_format"]),
        row("text in SNS", sns("hello"), &["not_json"]),
        row("nothing in SNS", sns(""), &["no_events"]),
        row(
            "an SNS confirmation",
            r#"{"Type":"SubscriptionConfirmation","TopicArn":"a","Message":"m"}"#,
            &["sns_confirmation"],
        ),
        row("an S3 notification of nothing", s3, &["broken_envelope"]),
        row("an S3 notification of nothing in SNS", sns(s3), &["broken_envelope"]),
        row(
            "an entry with a wrong checksum",
            entry("\"d41d8cd98f00b204e9800998ecf8427e\""),
            &["checksum_mismatch"],
        ),
        row("an entry with a checksum that is a number", entry("7"), &["checksum_mismatch"]),
        row("an entry without a checksum", entry("null"), &["ok"]),
        row("an entry with text", r#"{"id":"1","eventData":"text"}"#, &["not_json"]),
        row("an entry with an object", format!(r#"{{"Id":"1","EventData":{}}}"#, lake(&[])), &["ok"]),
        row("a request", format!(r#"{{"auditEvents":[{}]}}"#, entry("null")), &["ok"]),
        row(
            "an event with members of envelopes",
            native(&[
                ("detail", "{}"),
                ("Message", "\"m\""),
                ("Type", "\"Notification\""),
                ("TopicArn", "\"t\""),
                ("source", "\"s\""),
                ("detail-type", "\"d\""),
            ]),
            &["ok"],
        ),
    ]
}

fn no_identity() -> Vec<Row> {
    vec![
        row("an empty object", "{}", &["unknown_format"]),
        row("an object of another world", r#"{"hello":"world","id":"1"}"#, &["unknown_format"]),
        row("a record without a name", native(&[("eventName", "")]), &["unknown_format"]),
        row("a record in small letters", native(&[]).to_lowercase(), &["unknown_format"]),
        row("a record without an id", native(&[("eventID", "")]), &["no_id"]),
        row("a record whose id is null", native(&[("eventID", "null")]), &["no_id"]),
        row("a record whose id is empty", native(&[("eventID", "\"\"")]), &["no_id"]),
        row("a record whose id is a number", native(&[("eventID", "12345")]), &["no_id"]),
        row("a record whose id is an object", native(&[("eventID", "{}")]), &["no_id"]),
        row(
            "a record with a shared id alone",
            native(&[("eventID", ""), ("sharedEventID", "\"s\"")]),
            &["no_id"],
        ),
        row("an event without an id", lake(&[("UID", "")]), &["no_id"]),
        row("an event whose id is a list", lake(&[("UID", "[\"a\"]")]), &["no_id"]),
        row("an id longer than any", lake(&[("UID", &quoted("x", 8_193))]), &["id_too_long"]),
        row("the longest id", lake(&[("UID", &quoted("x", 8_192))]), &["ok"]),
        row("an id of blanks and controls", lake(&[("UID", r#"" \u0000\n""#)]), &["ok"]),
    ]
}

fn not_mapped() -> Vec<Row> {
    vec![
        row("a later major version", native(&[("eventVersion", "\"2.0\"")]), &["unknown_version"]),
        row("a version that is no number", native(&[("eventVersion", "\"1.x\"")]), &["unknown_version"]),
        row("a version that is a number", native(&[("eventVersion", "1.08")]), &["wrong_type"]),
        row("an empty name", native(&[("eventName", "\"\"")]), &["missing_field"]),
        row("a source that is a number", native(&[("eventSource", "7")]), &["wrong_type"]),
        row("a record without a time", native(&[("eventTime", "")]), &["missing_field"]),
        row("a time that is none", native(&[("eventTime", "\"yesterday\"")]), &["bad_time"]),
        row("a day that is none", native(&[("eventTime", "\"2023-02-30T00:00:00Z\"")]), &["bad_time"]),
        row(
            "a time without a zone, which is UTC",
            native(&[("eventTime", "\"2024-03-01T08:15:00\"")]),
            &["ok"],
        ),
        row("a time in seconds", native(&[("eventTime", "1709280900")]), &["wrong_type"]),
        row("a time with half a surrogate", native(&[("eventTime", r#""\ud83d""#)]), &["lone_surrogate"]),
        row("an identity that is text", native(&[("userIdentity", "\"ana\"")]), &["wrong_type"]),
        row("an event without a version", lake(&[("version", "")]), &["missing_field"]),
        row("an event with eventVersion", lake(&[("version", ""), ("eventVersion", "\"1.0\"")]), &["ok"]),
        row("an event without an identity", lake(&[("userIdentity", "")]), &["missing_field"]),
        row("an identity that is a list", lake(&[("userIdentity", "[]")]), &["wrong_type"]),
        row(
            "an identity without a type",
            lake(&[("userIdentity", r#"{"principalId":"a"}"#)]),
            &["missing_field"],
        ),
        row(
            "an identity without a principal",
            lake(&[("userIdentity", r#"{"type":"User","principalId":null}"#)]),
            &["missing_field"],
        ),
        row(
            "a principal that is a number",
            lake(&[("userIdentity", r#"{"type":"User","principalId":7}"#)]),
            &["wrong_type"],
        ),
        row("an event without a time", lake(&[("eventTime", "null")]), &["missing_field"]),
        row("an event without a source", lake(&[("eventSource", "\"\"")]), &["missing_field"]),
    ]
}

fn not_valid() -> Vec<Row> {
    let object = |bytes: usize| format!("{{\"a\":{},\"b\":1}}", quoted("x", bytes - 14));
    let identity = |kind: usize, principal: usize| {
        format!(r#"{{"type":{},"principalId":{}}}"#, quoted("é", kind), quoted("é", principal))
    };
    vec![
        row(
            "the longest names",
            lake(&[
                ("eventName", &quoted("é", 1_024)),
                ("version", &quoted("é", 256)),
                ("userIdentity", &identity(128, 1_024)),
            ]),
            &["ok"],
        ),
        row("a name too long", lake(&[("eventName", &quoted("é", 1_025))]), &["field_too_long"]),
        row("a source too long", lake(&[("eventSource", &quoted("é", 1_025))]), &["field_too_long"]),
        row("a version too long", lake(&[("version", &quoted("é", 257))]), &["field_too_long"]),
        row("a type too long", lake(&[("userIdentity", &identity(129, 1))]), &["field_too_long"]),
        row("a principal too long", lake(&[("userIdentity", &identity(1, 1_025))]), &["field_too_long"]),
        row("parameters that just fit", lake(&[("requestParameters", &object(100_000))]), &["ok"]),
        row(
            "parameters of which a member can leave",
            lake(&[("requestParameters", &object(100_001))]),
            &["ok"],
        ),
        row(
            "parameters of which none can leave",
            lake(&[("requestParameters", &format!("{{\"a\":{}}}", quoted("x", 100_000)))]),
            &["overflow_too_large"],
        ),
        row(
            "more additional data than fits",
            lake(&[("additionalEventData", &object(28_001))]),
            &["overflow_too_large"],
        ),
        row("additional data that just fits", lake(&[("additionalEventData", &object(28_000))]), &["ok"]),
        row(
            "additional data that leaves no room for an address",
            lake(&[("additionalEventData", &object(28_000)), ("sourceIPAddress", "\"-\"")]),
            &["overflow_too_large"],
        ),
        row(
            "details larger than an event",
            lake(&[(
                "userIdentity",
                &format!(r#"{{"type":"a","principalId":"b","details":{{"c":{}}}}}"#, quoted("x", 256_000)),
            )]),
            &["event_too_large"],
        ),
    ]
}

#[test]
fn every_bad_input_has_its_reason() {
    let tables = [
        not_an_event(),
        not_json(),
        not_one_event(),
        neighbours(),
        envelopes(),
        no_identity(),
        not_mapped(),
        not_valid(),
    ];
    let rows = tables.concat();
    assert!(rows.len() >= 60, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for (name, body, expected) in rows {
        let found = codes(&ready(Bytes::from(body), Oversize::Move));
        if found != expected {
            wrong.push(format!("{name}: expected {expected:?}, found {:?}", &found[..found.len().min(5)]));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn codes(events: &[Result<ReadyEvent, Rejection>]) -> Vec<&'static str> {
    events
        .iter()
        .map(|event| event.as_ref().map_or_else(|rejection| rejection.reason.code(), |_| "ok"))
        .collect()
}

#[test]
fn by_policy_an_optional_field_that_breaks_the_schema_ends_the_event() {
    let long = quoted("x", 257);
    let large = format!("{{\"a\":{}}}", quoted("x", 100_000));
    for (name, json) in [
        ("sourceIPAddress", "\"AWS Internal\""),
        ("sourceIPAddress", "\"\""),
        ("errorMessage", &*long),
        ("errorCode", &*long),
        ("userAgent", &*quoted("x", 1_025)),
        ("userAgent", "7"),
        ("requestParameters", "[]"),
        ("responseElements", "\"text\""),
        ("responseElements", &*large),
        ("additionalEventData", "1"),
        ("additionalEventData", &*large),
        ("userIdentity", r#"{"type":"a","principalId":"b","details":"None"}"#),
    ] {
        let body = lake(&[(name, json)]);
        assert_eq!(codes(&ready(body, Oversize::Reject)), ["field_rejected"], "{name}");
    }
    assert_eq!(codes(&ready(lake(&[]), Oversize::Reject)), ["ok"]);
}

#[test]
fn a_format_that_is_fixed_overrules_the_content() {
    assert_eq!(codes(&ready_as(native(&[]), Oversize::Move, Some(&Format::Lake))), ["no_id"]);
    assert_eq!(codes(&ready_as(lake(&[]), Oversize::Move, Some(&Format::CloudTrail))), ["no_id"]);
    assert_eq!(codes(&ready_as(lake(&[]), Oversize::Move, Some(&Format::Lake))), ["ok"]);
}

#[test]
fn no_sentence_quotes_the_input() {
    let secret = "s3cr3t";
    let bodies = [
        format!("[{secret}]"),
        format!(r#"{{"{secret}":1,"{secret}":2}}"#),
        native(&[("eventTime", "\"s3cr3t\"")]),
        native(&[("eventVersion", "\"s3cr3t\"")]),
        native(&[("eventID", "{\"s3cr3t\":1}")]),
        lake(&[("eventName", &quoted(secret, 200))]),
        r#"{"Type":"SubscriptionConfirmation","TopicArn":"a","SubscribeURL":"https://s3cr3t"}"#.to_owned(),
        r#"{"eventSource":"aws:s3","eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"s3cr3t"}}}"#
            .to_owned(),
        r#"{"eventSource":"aws:kinesis","data":"s3cr3t!"}"#.to_owned(),
        r#"{"s3Bucket":"s3cr3t","s3ObjectKey":[7]}"#.to_owned(),
        lake(&[("additionalEventData", &format!("{{\"a\":{}}}", quoted(secret, 5_000)))]),
    ];
    for body in bodies {
        for decoded in tributary::decode::decode(Bytes::from(body.clone())) {
            assert!(!format!("{decoded:?}").contains(secret));
        }
        for event in ready(body, Oversize::Move) {
            let rejection = event.expect_err("a bad event");
            assert!(!format!("{rejection} {rejection:?}").contains(secret), "{rejection}");
        }
    }
}
