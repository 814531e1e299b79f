//! The local lake, judged by the AWS CLI, boto3 and the Rust SDK.

use aws_sdk_cloudtraildata::types::AuditEvent;
use aws_sdk_cloudtraildata::{error::ProvideErrorMetadata, operation::put_audit_events::PutAuditEventsError};
use serde_json::{Value, json};
use tempfile::TempDir;
use tributary::local::{ChannelSpec, EventQuery, Faults, LakeClient, LakeClientError, LocalOptions, Order};

use crate::support::{
    local::{ACCOUNT, CHANNEL, killed, lake_client, options, start},
    python,
};

fn event(uid: &str) -> String {
    json!({
        "version": "1.0",
        "userIdentity": {"type": "User", "principalId": "p-1"},
        "eventSource": "app.example.com",
        "eventName": "CreateThing",
        "eventTime": "2026-11-20T10:11:12Z",
        "UID": uid,
        "recipientAccountId": ACCOUNT
    })
    .to_string()
}

fn entry(id: &str) -> AuditEvent {
    AuditEvent::builder().id(id).event_data(event(id)).build().expect("id and data are set")
}

fn entries(count: usize) -> Vec<AuditEvent> {
    (0..count).map(|at| entry(&format!("e-{at}"))).collect()
}

fn one_channel() -> LocalOptions {
    LocalOptions {
        channels: vec![ChannelSpec { arn: CHANNEL.to_owned(), external_id: Some("sesame-1".to_owned()) }],
        ..options()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_call_of_the_announcement_works_and_its_errors_are_told() {
    let local = start(one_channel()).await;
    let data = event("cli-1");
    let url = local.lake_url();
    let put = async |external_id: &str, events: Value| {
        let events = events.to_string();
        python::aws(&[
            "--endpoint-url",
            &url,
            "--output",
            "json",
            "cloudtrail-data",
            "put-audit-events",
            "--channel-arn",
            CHANNEL,
            "--external-id",
            external_id,
            "--audit-events",
            &events,
        ])
        .await
    };
    let good = put("sesame-1", json!([{"id": "1", "eventData": data}])).await;
    let answer: Value = serde_json::from_slice(&good.stdout).expect("the CLI prints JSON");
    assert_eq!(answer["successful"][0]["id"], "1");
    assert_eq!(answer["failed"], json!([]));

    let refused = async |external_id: &str, events: Value| {
        let output = put(external_id, events).await;
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let wrong = refused("sesame-2", json!([{"id": "1", "eventData": data}])).await;
    assert!(wrong.contains("(ChannelInsufficientPermission)"), "{wrong}");
    let twice = json!([{"id": "1", "eventData": data}, {"id": "1", "eventData": data}]);
    let twice = refused("sesame-1", twice).await;
    assert!(twice.contains("(DuplicatedAuditEventId)"), "{twice}");

    let checksum = json!([{"id": "2", "eventData": data, "eventDataChecksum": "AAAA"}]);
    let answer: Value = serde_json::from_slice(&put("sesame-1", checksum).await.stdout).expect("JSON");
    assert_eq!(answer["failed"][0]["errorCode"], "InvalidChecksum");
    assert_eq!(local.lake().status().stored, 1);
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_modelled_error_and_entry_code_reaches_boto3_as_itself() {
    let local = start(one_channel()).await;
    let input = json!({"endpoint": local.lake_url(), "channel": CHANNEL, "account": ACCOUNT, "external_id": "sesame-1"});
    let printed = python::run("lake_errors.py", &input).await;
    let stored: u64 = printed.trim().parse().expect("the program prints how many it stored");
    let status = local.lake().status();
    assert_eq!(status.stored, stored);
    assert_eq!(status.puts.get("ThrottlingException"), Some(&1));
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_row_has_the_columns_of_the_schema_and_the_data_as_sent() {
    let local = start(options()).await;
    let data = event("u/1 ü");
    let put = lake_client(&local).put_audit_events().channel_arn(CHANNEL);
    let put = put.audit_events(AuditEvent::builder().id("x").event_data(&data).build().expect("complete"));
    let answer = put.send().await.expect("accepted");
    let event_id = answer.successful()[0].event_id();

    let client = LakeClient::new(&local.lake_url()).expect("a URL");
    let row = client.event(event_id).await.expect("the lake answers").expect("stored");
    assert_eq!(row.event_data.get(), data);
    let columns = serde_json::to_value(&row).expect("JSON");
    assert_eq!(columns["eventCategory"], "ActivityAuditLog");
    assert_eq!(columns["eventType"], "ActivityLog");
    assert_eq!(columns["eventTime"], "2026-11-20T10:11:12Z");
    assert_eq!(columns["awsRegion"], "us-east-1");
    assert_eq!(columns["recipientAccountId"], ACCOUNT);
    assert_eq!(columns["metadata"]["channelARN"], CHANNEL);
    assert!(columns["metadata"]["ingestionTime"].as_str().is_some_and(|time| time.ends_with('Z')));

    let query = EventQuery { uid: Some("u/1 ü".to_owned()), ..EventQuery::default() };
    assert_eq!(client.events(&query).await.expect("the lake answers").events.len(), 1);
    let query = EventQuery { name: Some("DeleteThing".to_owned()), ..EventQuery::default() };
    assert_eq!(client.events(&query).await.expect("the lake answers").events.len(), 0);
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_in_either_order_hold_every_event_once_and_counts_stay_exact_beyond_what_is_kept() {
    let local = start(LocalOptions { retain_rows: 25, ..options() }).await;
    let lake = lake_client(&local);
    for _ in 0..2 {
        lake.put_audit_events()
            .channel_arn(CHANNEL)
            .set_audit_events(Some(entries(20)))
            .send()
            .await
            .expect("accepted");
    }
    let client = LakeClient::new(&local.lake_url()).expect("a URL");
    let status = client.status().await.expect("the lake answers");
    assert_eq!((status.stored, status.listed), (40, 25));
    assert_eq!((status.distinct_uids, status.repeated_uids), (Some(20), Some(20)));

    for order in [Order::Newest, Order::Oldest] {
        let mut ids = Vec::new();
        let mut after = None;
        loop {
            let query = EventQuery { limit: Some(7), after, order, ..EventQuery::default() };
            let page = client.events(&query).await.expect("the lake answers");
            assert!(page.events.len() <= 7);
            ids.extend(page.events.into_iter().map(|event| event.event_id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(ids.len(), 25);
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 25);
    }
    assert_eq!(client.clear().await.expect("the lake answers").stored, 0);
    assert_eq!(client.events(&EventQuery::default()).await.expect("the lake answers").events.len(), 0);
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_within_every_limit_passes_and_one_beyond_is_refused_whole() {
    let local = start(options()).await;
    let lake = lake_client(&local);
    let put = async |entries| {
        let put = lake.put_audit_events().channel_arn(CHANNEL).set_audit_events(Some(entries));
        put.send().await.map_err(|error| error.code().unwrap_or_default().to_owned())
    };
    assert_eq!(put(entries(100)).await.expect("accepted").successful().len(), 100);
    assert_eq!(put(entries(101)).await.expect_err("too many"), "ValidationError");
    assert_eq!(put(vec![]).await.expect_err("too few"), "ValidationError");
    assert_eq!(put(vec![entry("a:b")]).await.expect_err("no id"), "ValidationError");
    let mut data: Value = serde_json::from_str(&event("large")).expect("JSON");
    data["requestParameters"] = json!({"k": "x".repeat(90_000)});
    let large = |at: usize| {
        AuditEvent::builder().id(at.to_string()).event_data(data.to_string()).build().expect("complete")
    };
    assert_eq!(put((0..10).map(large).collect()).await.expect("accepted").successful().len(), 10);
    assert_eq!(
        put((0..12).map(large).collect()).await.expect_err("too large"),
        "RequestEntityTooLargeException"
    );
    assert_eq!(local.lake().status().stored, 110);
    local.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_do_what_they_say_and_the_status_counts_them() {
    let local = start(options()).await;
    let client = LakeClient::new(&local.lake_url()).expect("a URL");
    let lake = lake_client(&local);
    let put = async |id: &str| {
        let put = lake.put_audit_events().channel_arn(CHANNEL).audit_events(entry(id));
        put.send().await
    };
    let faults = |faults: Faults| {
        let client = &client;
        async move { client.set_faults(&faults).await.expect("the lake answers") }
    };

    faults(Faults { refuse: Some("AccessDeniedException".to_owned()), ..Faults::default() }).await;
    let error = put("1").await.expect_err("refused");
    assert_eq!((error.code(), http_status(&error)), (Some("AccessDeniedException"), Some(403)));
    faults(Faults { refuse: Some("ChannelNotFound".to_owned()), ..Faults::default() }).await;
    assert!(put("1").await.expect_err("refused").into_service_error().is_channel_not_found());
    faults(Faults { error_share: 1.0, error_status: 503, ..Faults::default() }).await;
    assert_eq!(http_status(&put("1").await.expect_err("refused")), Some(503));
    faults(Faults { throttle_per_second: Some(1), ..Faults::default() }).await;
    put("1").await.expect("the first passes");
    let error = put("2").await.expect_err("throttled");
    assert_eq!((error.code(), http_status(&error)), (Some("ThrottlingException"), Some(400)));
    faults(Faults { fail_share: 1.0, fail_code: "Throttling".to_owned(), ..Faults::default() }).await;
    assert_eq!(put("2").await.expect("answered").failed()[0].error_code(), "Throttling");
    assert_eq!(local.lake().status().stored, 1);

    faults(Faults { forget_share: 1.0, ..Faults::default() }).await;
    let answer = put("3").await.expect("answered");
    assert!(answer.successful().is_empty() && answer.failed().is_empty());
    assert_eq!(local.lake().status().stored, 2);
    faults(Faults { drop_reply_share: 1.0, ..Faults::default() }).await;
    assert_eq!(http_status(&put("4").await.expect_err("no answer")), None);
    assert_eq!(local.lake().status().stored, 3);
    faults(Faults { down: true, ..Faults::default() }).await;
    assert_eq!(http_status(&put("5").await.expect_err("no answer")), None);
    let status = client.set_faults(&Faults::default()).await.expect("the lake answers while it is down");
    assert_eq!((status.stored, status.forgotten_entries), (3, 1));
    assert_eq!(status.puts.get("ConnectionClosed"), Some(&1));
    assert_eq!(status.puts.get("ReplyDropped"), Some(&1));
    assert_eq!(status.failed_entries.get("Throttling"), Some(&1));
    put("5").await.expect("up again");

    let refused = client.set_faults(&Faults { fail_share: 2.0, ..Faults::default() }).await;
    assert!(matches!(refused, Err(LakeClientError::Refused { status: 400, .. })));
    local.stop().await;
}

fn http_status(error: &aws_sdk_cloudtraildata::error::SdkError<PutAuditEventsError>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

#[tokio::test]
async fn a_lake_that_is_not_there_is_said_to_be_not_there() {
    let local = start(options()).await;
    let url = local.lake_url();
    local.stop().await;
    let error = LakeClient::new(&url).expect("a URL").status().await.expect_err("nobody listens");
    assert_eq!(error.to_string(), format!("no lake answers at {url}; start one with `tributary local`"));
    assert!(matches!(LakeClient::new("127.0.0.1:1"), Err(LakeClientError::Url(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_lake_answered_is_there_after_a_kill() {
    let dir = tempfile::tempdir().expect("a folder");
    let options = |dir: &TempDir| LocalOptions { dir: Some(dir.path().to_owned()), ..options() };
    let local = start(options(&dir)).await;
    let put = lake_client(&local).put_audit_events().channel_arn(CHANNEL).set_audit_events(Some(entries(60)));
    let answer = put.send().await.expect("accepted");
    let event_id = answer.successful()[7].event_id();
    let left = killed(dir.path());
    local.stop().await;

    let local = start(options(&left)).await;
    let client = LakeClient::new(&local.lake_url()).expect("a URL");
    let status = client.status().await.expect("the lake answers");
    assert_eq!((status.stored, status.distinct_uids, status.repeated_uids), (60, Some(60), Some(0)));
    let row = client.event(event_id).await.expect("the lake answers").expect("kept");
    assert_eq!(row.event_data.get(), event("e-7"));
    let query = EventQuery { limit: Some(1), order: Order::Newest, ..EventQuery::default() };
    let page = client.events(&query).await.expect("the lake answers");
    assert_eq!(page.events[0].event_data.get(), event("e-59"));
    let query = EventQuery { limit: Some(100), after: page.next, ..query };
    assert_eq!(client.events(&query).await.expect("the lake answers").events.len(), 59);
    client.clear().await.expect("the lake answers");
    let left = killed(left.path());
    local.stop().await;
    assert_eq!(start(options(&left)).await.lake().status().stored, 0);
}
