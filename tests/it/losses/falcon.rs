//! What the Falcon Integration Gateway was shown to lose, A to G, and a stream of which it drops five of thirteen events.

use aws_sdk_sqs::types::MessageAttributeValue;
use serde_json::{Value, json};
use tributary::local::Faults;

use super::way::{Way, failing_once, in_one, one_by_one};

/// In the shape of a real one: nine of authentication, two of users, two of remote sessions. Months old.
const STREAM: &str = include_str!("../../fixtures/losses/falcon-stream.ndjson");

/// An event of authentication.
fn login(offset: u64) -> Value {
    json!({
        "metadata": {
            "customerIDString": "c1d0000000000000000000000000000a", "offset": offset,
            "eventType": "AuthActivityAuditEvent", "eventCreationTime": 1_770_000_000_000 + offset, "version": "1.0",
        },
        "event": {
            "UserId": "alice@example.com", "UserIp": "192.0.2.8", "OperationName": "twoFactorAuthenticate",
            "ServiceName": "CrowdStrike Authentication", "Success": true, "UTCTimestamp": 1_770_000_000_u64,
        },
    })
}

/// On a good day: published once each, and nothing more when all come again in one message.
async fn published_once(events: &[Value]) -> Vec<Value> {
    let way = Way::begin(Faults::default(), &[]).await;
    way.carry(&one_by_one(events)).await;
    way.assert_each_once(events).await;
    way.assert_again_adds_nothing(&in_one(events), events.len() as u64).await;
    way.assert_no_letters().await;
    let rows = way.rows().await;
    way.end().await;
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offset_that_comes_after_a_higher_one_is_not_skipped() {
    let way = Way::begin(Faults::default(), &[]).await;
    let events = [42_596, 42_593, 42_594].map(login);
    for event in &events {
        // The higher one is in the lake before the lower ones are there.
        way.carry(&[event.to_string()]).await;
    }
    way.assert_each_once(&events).await;
    way.assert_again_adds_nothing(&one_by_one(&events), 3).await;
    way.assert_no_letters().await;
    way.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_entry_of_six_that_fails_is_sent_again_and_reading_all_again_adds_nothing() {
    let way = Way::begin(failing_once(4, "InternalFailure"), &[]).await;
    let events = [1, 2, 3, 4, 5, 6].map(login);
    way.carry(&in_one(&events)).await;
    assert_eq!(
        way.status().failed_entries,
        [("InternalFailure".to_owned(), 1)].into(),
        "the fault was there"
    );
    way.assert_each_once(&events).await;
    way.assert_again_adds_nothing(&one_by_one(&events), 6).await;
    way.assert_no_letters().await;
    way.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_throttled_call_is_repeated() {
    let throttling = Faults { refuse: Some("ThrottlingException".to_owned()), ..Faults::default() };
    let way = Way::begin(throttling, &[]).await;
    let events = [1, 2, 3].map(login);
    way.send(&one_by_one(&events)).await;
    way.until_put("ThrottlingException", 1).await;
    assert_eq!(way.status().stored, 0);
    way.misbehave(Faults::default());
    way.until_settled().await;
    way.assert_each_once(&events).await;
    way.assert_again_adds_nothing(&one_by_one(&events), 3).await;
    way.assert_no_letters().await;
    way.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_without_an_address_a_user_or_a_version_is_published() {
    let mut events = [1, 2, 3, 4, 5, 6].map(login);
    let without = |event: &mut Value, part: &str, name: &str| {
        event[part].as_object_mut().expect("an object").remove(name).expect("it was there");
    };
    without(&mut events[0], "event", "UserIp");
    without(&mut events[1], "event", "UserId");
    events[2]["event"]["UserIp"] = json!("");
    events[3]["event"]["UserId"] = json!("");
    without(&mut events[4], "metadata", "version");
    events[5]["metadata"]["eventCreationTime"] = json!("1770000006");
    let rows = published_once(&events).await;
    for row in &rows {
        let offset = row["additionalEventData"]["falcon"]["metadata"]["offset"].as_u64().expect("an offset");
        assert_eq!(row.get("sourceIPAddress").is_none(), matches!(offset, 1 | 3), "{row}");
        let who = if matches!(offset, 2 | 4) { "crowdstrike:system" } else { "alice@example.com" };
        assert_eq!(row["userIdentity"]["principalId"], who, "{row}");
        assert!(row["eventTime"].as_str().is_some_and(|time| time.starts_with("2026-02-02T")), "{row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offset_zero_is_an_offset() {
    published_once(&[0, 1].map(login)).await;
}

/// The same in all but the customer.
fn of_two_customers() -> [Value; 2] {
    let (first, mut second) = (login(1), login(1));
    second["metadata"]["customerIDString"] = json!("c1d0000000000000000000000000000b");
    [first, second]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_customers_with_one_feed_and_offset_are_two_events() {
    published_once(&of_two_customers()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_customers_are_two_events_also_under_the_names_that_the_gateway_gives() {
    let way = Way::begin(Faults::default(), &[("TRIBUTARY_SOURCE_FORMAT", "falcon-fig")]).await;
    let events = of_two_customers();
    for _ in 0..2 {
        for event in &events {
            let feed = MessageAttributeValue::builder().data_type("String").string_value("0");
            let call = way.client().send_message().queue_url(&way.queue_url).message_body(event.to_string());
            let call = call.message_attributes("feed", feed.build().expect("an attribute"));
            call.send().await.expect("the queue answers");
        }
        way.until_settled().await;
        way.assert_each_in_one_row(&events).await;
    }
    for row in way.rows().await {
        assert_eq!(row["UID"], "0_1", "the gateway's own name");
    }
    assert_eq!(way.scrape().await.term("duplicate"), 2);
    way.assert_no_letters().await;
    way.end().await;
}

/// An event with a text of so many bytes.
fn with_message(bytes: usize) -> Value {
    let mut event = login(1);
    event["event"]["Message"] = json!("x".repeat(bytes));
    event
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_40_kb_is_published_within_the_limits() {
    let event = with_message(40_000);
    let rows = published_once(std::slice::from_ref(&event)).await;
    assert_eq!(rows[0]["requestParameters"]["Message"], event["event"]["Message"]);
    assert!(rows[0]["additionalEventData"].to_string().len() <= 28_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_lake_has_no_room_for_is_a_letter_with_its_reason() {
    let way = Way::begin(Faults::default(), &[]).await;
    let (large, small) = (with_message(120_000), login(2));
    let bodies = one_by_one(&[large.clone(), small.clone()]);
    way.carry(&bodies).await;
    way.assert_each_once(&[small]).await;
    way.assert_again_adds_nothing(&bodies, 2).await;
    let letters = way.letters().await;
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].reason, "overflow_too_large");
    assert_eq!(letters[0].original, large);
    way.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_thirteen_events_is_published_whole() {
    let events: Vec<Value> =
        STREAM.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    assert_eq!(events.len(), 13);
    let rows = published_once(&events).await;
    let failed = rows.iter().filter(|row| row["errorCode"] == "Failure").count();
    assert_eq!(failed, 2, "what did not succeed can be asked for");
}
