//! What a destination promises: the adapter to CloudTrail Lake against our local lake and its faults, and against a
//! server that answers as no lake should.

use std::{net::TcpListener, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, error, future};
use serde_json::{Value, json};
use tributary::{
    aws::Aws,
    config::{BatchConfig, ChannelArn, DestinationConfig, Oversize},
    event::ReadyEvent,
    failure::CallError,
    local::{ChannelSpec, Faults, LakeClient, Local, LocalOptions},
    publish::{Destination, Verdict, cloudtrail_lake::CloudTrailLake},
    redact::Redaction,
    route::Route,
};

use crate::{
    checks::{ACCOUNT, ready},
    support::{
        local::{options, start},
        scripted::Scripted,
    },
};

fn channel(account: &str) -> ChannelArn {
    let arn = format!("arn:aws:cloudtrail:us-east-1:{account}:channel/11111111-2222-3333-4444-555555555555");
    ChannelArn::parse(&arn).expect("a channel's ARN")
}

fn lake_of(aws: &Aws, channel: ChannelArn, external_id: Option<&str>) -> CloudTrailLake {
    let destination = DestinationConfig {
        name: "lake".to_owned(),
        channel_arn: channel,
        external_id: external_id.map(str::to_owned),
        requests_per_second: 100,
        concurrency_max: 1,
        request_timeout: Duration::from_millis(700),
        oversize: Oversize::Move,
        route: Route::default(),
        redaction: Redaction::default(),
    };
    let batch = BatchConfig { linger: Duration::ZERO, events_max: 100, bytes_max: 999_999 };
    CloudTrailLake::new(aws, &destination, &batch)
}

fn lake_at(local: &Local) -> CloudTrailLake {
    lake_of(&Aws::local(&local.sqs_url(), &local.lake_url()), channel(ACCOUNT), None)
}

fn events(count: usize) -> Vec<ReadyEvent> {
    let event = |at: usize| {
        let event = json!({
            "version": "1.0", "userIdentity": {"type": "User", "principalId": "p"}, "eventSource": "a.example.com",
            "eventName": "Login", "eventTime": "2026-01-02T03:04:05Z", "UID": format!("u-{at}"),
        });
        ready(event.to_string(), Oversize::Move).pop().expect("one event").expect("a good event")
    };
    (0..count).map(event).collect()
}

async fn put(lake: &CloudTrailLake, events: &[ReadyEvent]) -> Result<Vec<Verdict>, CallError> {
    let verdicts = lake.put(&events.iter().collect::<Vec<_>>()).await?;
    assert_eq!(verdicts.len(), events.len(), "one verdict for each event");
    Ok(verdicts)
}

fn code_of(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::Accepted { .. } => "accepted",
        Verdict::TryAgain { code } | Verdict::Refused { code } => code,
        Verdict::Unknown => "unknown",
    }
}

/// Calls that reached the lake, whatever came of them.
fn puts(local: &Local) -> u64 {
    local.lake().status().puts.values().sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verdict_names_the_row_of_its_own_event() {
    let local = start(options()).await;
    let client = LakeClient::new(&local.lake_url()).expect("a URL");
    let faults =
        Faults { seed: Some(7), fail_share: 0.3, fail_code: "Throttling".into(), ..Faults::default() };
    for (count, faults) in [(1, Faults::default()), (100, Faults::default()), (100, faults)] {
        local.lake().set_faults(faults.clone()).expect("faults");
        let events = events(count);
        let verdicts = put(&lake_at(&local), &events).await.expect("answered");
        let mut accepted = 0;
        for (event, verdict) in events.iter().zip(&verdicts) {
            let Verdict::Accepted { stored_as: receipt } = verdict else {
                assert_eq!(code_of(verdict), "Throttling", "the local lake");
                continue;
            };
            accepted += 1;
            let row = client.event(receipt).await.expect("answered").expect("the receipt names a row");
            let row: Value = serde_json::to_value(&row).expect("JSON");
            assert!(
                row.to_string().contains(&format!("\"{}\"", event.id().declared())),
                "another event's row"
            );
        }
        assert!(accepted == count || (faults.fail_share > 0.0 && (50..90).contains(&accepted)), "{accepted}");
    }
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_code_of_an_entry_has_its_verdict() {
    let local = start(options()).await;
    let again = |code: &str| Ok(vec![Verdict::TryAgain { code: code.to_owned() }; 3]);
    let refused = |code: &str| Ok(vec![Verdict::Refused { code: code.to_owned() }; 3]);
    for (code, expected) in [
        ("Throttling", again("Throttling")),
        ("InternalFailure", again("InternalFailure")),
        ("FieldTooLong", refused("FieldTooLong")),
        ("FieldNotFound", refused("FieldNotFound")),
        ("InvalidData", refused("InvalidData")),
        ("InvalidChecksum", refused("InvalidChecksum")),
        ("InvalidEventSource", refused("InvalidEventSource")),
        ("SomethingNew", refused("SomethingNew")),
        ("InvalidRecipient", Err("InvalidRecipient")),
        ("AccountNotSubscribed", Err("AccountNotSubscribed")),
    ] {
        let faults = Faults { fail_share: 1.0, fail_code: code.to_owned(), ..Faults::default() };
        local.lake().set_faults(faults).expect("faults");
        match (put(&lake_at(&local), &events(3)).await, expected) {
            (Ok(verdicts), Ok(expected)) => assert_eq!(verdicts, expected, "the local lake"),
            (Err(CallError::Misconfigured { code, .. }), Err(expected)) => assert_eq!(code, expected),
            (other, _) => panic!("the local lake, {code}: {other:?}"),
        }
    }
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_of_a_call_has_its_class() {
    let local = start(options()).await;
    for (class, codes) in [
        (
            "misconfigured",
            &[
                "ChannelInsufficientPermission",
                "ChannelNotFound",
                "ChannelUnsupportedSchema",
                "InvalidChannelARN",
                "UnsupportedOperationException",
                "AccessDeniedException",
                "ExpiredTokenException",
                "IncompleteSignature",
                "NotAuthorized",
                "OptInRequired",
                "UnrecognizedClientException",
            ][..],
        ),
        (
            "transient",
            &[
                "ThrottlingException",
                "InternalFailure",
                "ServiceUnavailable",
                "RequestTimeoutException",
                "RequestAbortedException",
            ],
        ),
        (
            "bad request",
            &[
                "DuplicatedAuditEventId",
                "RequestEntityTooLargeException",
                "ValidationError",
                "MalformedHttpRequestException",
            ],
        ),
    ] {
        for code in codes {
            let faults = Faults { refuse: Some((*code).to_owned()), ..Faults::default() };
            local.lake().set_faults(faults).expect("faults");
            let before = puts(&local);
            let error = put(&lake_at(&local), &events(2)).await.expect_err(code);
            let is_right = match &error {
                CallError::Misconfigured { .. } => class == "misconfigured",
                CallError::Transient { .. } => class == "transient",
                CallError::BadRequest { .. } => class == "bad request",
            };
            assert!(is_right && error.code().ends_with(code), "the local lake, {code}: {error:?}");
            assert_eq!(puts(&local) - before, 1, "{code}: nobody tries again behind our back");
        }
    }
    assert_eq!(local.lake().status().stored, 0);
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_the_moment_are_transient_and_unknown_outcomes_are_told() {
    let local = start(options()).await;
    let slow = Faults { delay_ms: 5_000, ..Faults::default() };
    let cases = [
        (Faults { error_share: 1.0, error_status: 500, ..Faults::default() }, "InternalFailure", 0),
        (Faults { error_share: 1.0, error_status: 503, ..Faults::default() }, "ServiceUnavailable", 0),
        (Faults { error_share: 1.0, error_status: 599, ..Faults::default() }, "InternalFailure", 0),
        (Faults { down: true, ..Faults::default() }, "no_reply", 0),
        (Faults { drop_reply_share: 1.0, ..Faults::default() }, "no_reply", 4),
        (slow, "timeout", 4),
    ];
    for (faults, expected, stored) in cases {
        local.lake().set_faults(faults.clone()).expect("faults");
        let before = local.lake().status();
        let error = put(&lake_at(&local), &events(4)).await.expect_err(expected);
        let is_right = matches!(&error, CallError::Transient { code, .. } if code == expected);
        assert!(is_right, "the local lake, {faults:?}: {error:?}");
        let after = local.lake().status();
        assert_eq!(after.stored - before.stored, stored, "{expected}: what the lake has");
        let tries = after.puts.get("Accepted").unwrap_or(&0) - before.puts.get("Accepted").unwrap_or(&0);
        assert!(tries <= 1, "{expected}: a call with an unknown outcome was made again");
    }
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_rate_are_throttled() {
    let local = start(options()).await;
    let faults = Faults { throttle_per_second: Some(1), ..Faults::default() };
    local.lake().set_faults(faults).expect("faults");
    let (lake, events) = (lake_at(&local), events(1));
    let mut results = Vec::new();
    for _ in 0..3 {
        results.push(put(&lake, &events).await);
    }
    let throttled = results.iter().find_map(|result| result.as_ref().err()).expect("throttled");
    let is_right = matches!(throttled, CallError::Transient { code, .. } if code.starts_with("Throttling"));
    assert!(is_right, "the local lake: {throttled:?}");
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_answer_omits_is_unknown_and_may_be_stored() {
    let local = start(options()).await;
    let faults = Faults { seed: Some(3), forget_share: 0.5, ..Faults::default() };
    local.lake().set_faults(faults).expect("faults");
    let verdicts = put(&lake_at(&local), &events(100)).await.expect("answered");
    let unknown = verdicts.iter().filter(|verdict| **verdict == Verdict::Unknown).count();
    let status = local.lake().status();
    assert_eq!((unknown as u64, status.stored), (status.forgotten_entries, 100), "the local lake");
    assert!((25..75).contains(&unknown), "{unknown}");
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_channel_decides_who_may_put_what() {
    let channels = vec![ChannelSpec { arn: channel(ACCOUNT).arn, external_id: Some("sesame-1".to_owned()) }];
    let local = start(LocalOptions { channels, ..options() }).await;
    let aws = Aws::local(&local.sqs_url(), &local.lake_url());
    let events = events(2);
    let verdicts = put(&lake_of(&aws, channel(ACCOUNT), Some("sesame-1")), &events).await;
    assert!(verdicts.is_ok_and(|verdicts| verdicts.iter().all(|it| code_of(it) == "accepted")));
    for (channel, external_id, expected, cure) in [
        (channel(ACCOUNT), None, "ChannelInsufficientPermission", "external_id"),
        (channel(ACCOUNT), Some("wrong-1"), "ChannelInsufficientPermission", "external_id"),
        (channel("111122223333"), Some("sesame-1"), "ChannelNotFound", "channel_arn"),
    ] {
        let error = put(&lake_of(&aws, channel, external_id), &events).await.expect_err(expected);
        let CallError::Misconfigured { code, message } = error else { panic!("the local lake: {error:?}") };
        assert_eq!(code, expected, "the local lake");
        assert!(message.contains(cure) && !message.contains("-1"), "no cure, or a secret, in: {message}");
    }
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_for_another_account_stop_the_lane_and_reject_nothing() {
    let local = start(options()).await;
    let aws = Aws::local(&local.sqs_url(), &local.lake_url());
    let error = put(&lake_of(&aws, channel("111122223333"), None), &events(5)).await.expect_err("refused");
    let is_ours = matches!(&error, CallError::Misconfigured { code, message } if code == "InvalidRecipient" && message.contains("channel_arn"));
    assert!(is_ours, "the local lake: {error:?}");
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_at_fault_itself_is_told_from_all_else() {
    let local = start(LocalOptions { put_bytes_max: 2_000, ..options() }).await;
    let lake = lake_at(&local);
    let error = put(&lake, &events(20)).await.expect_err("too large");
    let is_right =
        matches!(&error, CallError::BadRequest { code, .. } if code == "RequestEntityTooLargeException");
    assert!(is_right, "the local lake: {error:?}");
    let twice = [events(1), events(1)].concat();
    let error = put(&lake, &twice).await.expect_err("twice");
    let is_right = matches!(&error, CallError::BadRequest { code, .. } if code == "DuplicatedAuditEventId");
    assert!(is_right, "the local lake: {error:?}");
    assert_eq!(put(&lake, &events(1)).await.expect("one passes").len(), 1);
    local.stop().await;
}

/// A machine without a role, a profile or keys.
#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(error::CredentialsError::not_loaded("nothing is configured")))
    }
}

fn without_credentials(url: &str) -> Aws {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(url)
        .credentials_provider(SharedCredentialsProvider::new(NoCredentials))
        .build()
        .into()
}

#[tokio::test(flavor = "multi_thread")]
async fn absent_credentials_are_our_mistake_and_the_cure_is_named() {
    let local = start(options()).await;
    let lake = lake_of(&without_credentials(&local.lake_url()), channel(ACCOUNT), None);
    let error = put(&lake, &events(1)).await.expect_err("no credentials");
    let CallError::Misconfigured { code, message } = error else { panic!("{error:?}") };
    assert_eq!(code, "no_credentials");
    assert!(message.contains("AWS_PROFILE") && message.contains("role"), "no cure in: {message}");
    assert_eq!(puts(&local), 0, "nothing was sent");
    local.stop().await;
}

#[tokio::test]
async fn a_lake_that_is_not_there_is_the_moments_fault() {
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
    let url = format!("http://127.0.0.1:{port}");
    let error = put(&lake_of(&Aws::local(&url, &url), channel(ACCOUNT), None), &events(1)).await;
    let is_right = matches!(&error, Err(CallError::Transient { code, .. }) if code == "unreachable");
    assert!(is_right, "{error:?}");
}

/// Answers `failed` for each entry whose number in the call is a key there, and reports all in reverse order.
async fn scripted(failed: &'static [(usize, &'static str)], omitted: &'static [usize]) -> Scripted {
    Scripted::start(move |call| {
        let entries = call.body["auditEvents"].as_array().cloned().unwrap_or_default();
        let (mut good, mut bad) = (vec![json!({"id": "nobodys", "eventID": "row-of-nobody"})], Vec::new());
        for (at, entry) in entries.iter().enumerate().rev().filter(|(at, _)| !omitted.contains(at)) {
            let id = entry["id"].as_str().unwrap_or_default();
            match failed.iter().find(|(failing, _)| *failing == at) {
                Some((_, code)) => bad.push(json!({"id": id, "errorCode": code, "errorMessage": "scripted"})),
                None => good.push(json!({"id": id, "eventID": format!("row-of-{id}")})),
            }
        }
        (200, json!({"successful": good, "failed": bad}))
    })
    .await
}

#[tokio::test]
async fn verdicts_are_matched_by_id_in_whatever_order_they_come() {
    const FAILED: &[(usize, &str)] = &[(0, "InvalidData"), (3, "Throttling"), (9, "AccountNotSubscribed")];
    let server = scripted(FAILED, &[5]).await;
    let events = events(10);
    let verdicts = put(&lake_of(&server.aws(), channel(ACCOUNT), None), &events).await.expect("answered");
    for (at, (event, verdict)) in events.iter().zip(&verdicts).enumerate() {
        let expected = match at {
            0 => Verdict::Refused { code: "InvalidData".to_owned() },
            3 => Verdict::TryAgain { code: "Throttling".to_owned() },
            // For some and not for all: a change that is under way.
            9 => Verdict::TryAgain { code: "AccountNotSubscribed".to_owned() },
            5 => Verdict::Unknown,
            _ => Verdict::Accepted { stored_as: format!("row-of-{}", event.id().wire()) },
        };
        assert_eq!(*verdict, expected, "event {at}");
    }
}

#[tokio::test]
async fn an_answer_about_nothing_leaves_everything_unknown() {
    let server = Scripted::start(|_| (200, json!({"successful": [], "failed": []}))).await;
    let verdicts = put(&lake_of(&server.aws(), channel(ACCOUNT), None), &events(3)).await.expect("answered");
    assert_eq!(verdicts, [Verdict::Unknown, Verdict::Unknown, Verdict::Unknown]);
}

#[tokio::test]
async fn what_a_refusal_quotes_is_not_passed_on() {
    let server =
        Scripted::start(|_| (400, json!({"__type": "ValidationError", "message": "'secret' is wrong"})));
    let server = server.await;
    let error = put(&lake_of(&server.aws(), channel(ACCOUNT), None), &events(1)).await.expect_err("refused");
    assert!(matches!(&error, CallError::BadRequest { code, .. } if code == "ValidationError"), "{error:?}");
    assert!(!format!("{error:?}{error}").contains("secret"), "payload in an error");
}
