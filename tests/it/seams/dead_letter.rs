//! What every dead-letter queue promises, on every server. Letters are read back by the source that an operator's
//! redrive would send them to.

mod large;

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde_json::{Value, json};
use tributary::{
    config::DeadLetterConfig,
    dead_letter::{
        DeadLetter, Letter, StoreError,
        sqs::{ENCODING_ATTRIBUTE, LETTER_ATTRIBUTE, REASON_ATTRIBUTE, SqsDeadLetters},
    },
    decode::decode,
    event::ContentHash,
    failure::{CallError, Reason},
    receive::{About, Message, Source},
};

use super::source::{receive, source_at};
use crate::support::{
    queues::{QueueServer, on_servers},
    scripted::Scripted,
};

const SQS_BYTES_MAX: usize = 1_048_576;

fn letter(original: impl Into<Bytes>) -> Letter {
    Letter {
        original: original.into(),
        reason: Reason::NoId,
        detail: "eventID is absent".to_owned(),
        event_id: "e-1".to_owned(),
        message_id: "m-1".to_owned(),
        position: 3,
        attempts: 2,
        first_seen: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_500)),
        content_hash: Some(ContentHash([0xab; 32])),
        destination: "lake".to_owned(),
        about: Arc::new(about()),
    }
}

/// Text that no packing shortens enough.
fn noise(bytes: usize) -> String {
    let mut random = fastrand::Rng::with_seed(17);
    (0..bytes).map(|_| char::from(random.u8(b' '..=b'~'))).collect()
}

/// Bytes that no packing shortens at all.
fn binary_noise(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(23);
    (0..bytes).map(|_| random.u8(..)).collect()
}

fn about() -> About {
    let attributes = [("origin", "a \"b\" \u{7f}\u{ffff}"), ("empty-ish", " ")];
    About {
        source: "first-queue".into(),
        group: Some("fig/app/0".into()),
        attributes: attributes.map(|(name, text)| (name.to_owned(), text.to_owned())).into(),
        object: Some("s3://bucket/key?".into()),
        redriven_to: None,
        redriven_at: None,
    }
}

fn letters_at(aws: &tributary::aws::Aws, url: &str) -> SqsDeadLetters {
    SqsDeadLetters::new(aws, &DeadLetterConfig { queue_url: url.to_owned(), overflow: None })
}

async fn store(server: &QueueServer, url: &str, letters: &[Letter]) -> Vec<Result<(), StoreError>> {
    let results = letters_at(&server.aws(), url).store(letters).await;
    assert_eq!(results.len(), letters.len(), "{server}: one result for each letter");
    results
}

async fn store_all(server: &QueueServer, url: &str, letters: &[Letter]) {
    let results = store(server, url, letters).await;
    assert!(results.iter().all(Result::is_ok), "{server}: {results:?}");
}

/// The letters' originals, as the program reads them when they are sent again.
async fn read_back(server: &QueueServer, url: &str, count: usize) -> Vec<Vec<u8>> {
    let (source, _) = source_at(&server.aws(), url, 300);
    let messages = receive(&source, count, server).await;
    let original = |message: &Message| {
        assert!(message.is_redriven, "{server}: a letter is not told from a new event");
        if message.is_base64 {
            let body = STANDARD.decode(&message.body).unwrap_or_else(|_| panic!("{server}: no base64"));
            if body.starts_with(&[0x1f, 0x8b]) { unpacked(body) } else { body }
        } else {
            message.body.to_vec()
        }
    };
    let originals = messages.iter().map(original).collect();
    let handles: Vec<_> = messages.into_iter().map(|message| message.handle).collect();
    let acked = source.ack(&handles).await;
    assert!(acked.iter().all(Result::is_ok), "{server}: {acked:?}");
    originals
}

/// The one part of a packed body, as decode finds it.
fn unpacked(body: Vec<u8>) -> Vec<u8> {
    let parts = decode(body.into());
    let [only] = &*parts else { panic!("{} parts", parts.len()) };
    only.original.to_vec()
}

async fn every_letter_is_stored(server: &QueueServer) {
    let url = server.queue(&[]).await;
    for count in [0, 1, 10, 11, 100] {
        let letters: Vec<_> = (0..count).map(|at| letter(format!("{{\"at\": {at}}}"))).collect();
        store_all(server, &url, &letters).await;
        assert_eq!(server.count(&url).await, count, "{server}");
        let originals: BTreeSet<_> = read_back(server, &url, count).await.into_iter().collect();
        let expected: BTreeSet<_> = letters.iter().map(|letter| letter.original.to_vec()).collect();
        assert_eq!(originals, expected, "{server}: {count} letters");
    }
}

fn text<'a>(message: &'a aws_sdk_sqs::types::Message, name: &str) -> Option<&'a str> {
    message.message_attributes()?.get(name).and_then(MessageAttributeValue::string_value)
}

async fn words(server: &QueueServer, url: &str) -> (Option<String>, Value) {
    let message = server.receive(url, 5, 300).await.pop().unwrap_or_else(|| panic!("{server}: no letter"));
    let words = text(&message, LETTER_ATTRIBUTE).unwrap_or_else(|| panic!("{server}: no words"));
    let words: Value = serde_json::from_str(words).unwrap_or_else(|error| panic!("{server}: {error}"));
    assert_eq!(text(&message, REASON_ATTRIBUTE), words["reason"].as_str(), "{server}");
    (message.body, words)
}

async fn a_letter_says_all_it_knows(server: &QueueServer) {
    let url = server.queue(&[]).await;
    store_all(server, &url, &[letter("not an event")]).await;
    let (body, mut said) = words(server, &url).await;
    assert_eq!(body.as_deref(), Some("not an event"), "{server}: the body is the event as it came");
    let at = said["dead_lettered_at"].take();
    assert!(at.as_str().is_some_and(|at| at.starts_with("20") && at.ends_with('Z')), "{server}: {at}");
    let expected = json!({
        "reason": "no_id", "detail": "eventID is absent", "stage": "identify", "event_id": "e-1",
        "message_id": "m-1", "position": 3, "attempts": 2, "first_seen": "2023-11-14T22:13:20.5Z",
        "dead_lettered_at": null, "content_sha256": "ab".repeat(32), "destination": "lake",
        "about": {
            "source": "first-queue", "group": "fig/app/0", "object": "s3://bucket/key?",
            "attributes": { "origin": "a \"b\" \u{7f}\u{ffff}", "empty-ish": " " },
        },
        "program": concat!("tributary/", env!("CARGO_PKG_VERSION")),
    });
    assert_eq!(said, expected, "{server}");
}

/// A format or a route that asked for what came beside the body gets the same answer again.
async fn what_came_beside_the_event_comes_again(server: &QueueServer) {
    let url = server.queue(&[]).await;
    for (destination, redriven_to) in [("lake", Some("lake")), ("none", None)] {
        store_all(server, &url, &[Letter { destination: destination.to_owned(), ..letter("a") }]).await;
        let (source, _) = source_at(&server.aws(), &url, 300);
        let message = receive(&source, 1, server).await.remove(0);
        assert!(
            *message.about
                == About { redriven_to: redriven_to.map(Into::into), redriven_at: Some(3), ..about() },
            "{server}: {:?} of {:?}, on its way to {:?}",
            message.about.attributes,
            message.about.source,
            message.about.redriven_to
        );
        source.ack(&[message.handle]).await.remove(0).expect("acked");
    }
}

/// A letter of an older version, or of another program, says less; what comes beside it holds then.
async fn a_letter_that_says_less_is_read_all_the_same(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let queue_name = url.rsplit('/').next().unwrap_or_default();
    for (words, redriven_to) in [("{\"destination\":\"eu\"}", Some("eu")), ("no JSON", None), ("[]", None)] {
        let text = |text: &str| {
            let value = MessageAttributeValue::builder().data_type("String").string_value(text);
            value.build().expect("a type")
        };
        let send = server.client().send_message().queue_url(&url).message_body("a");
        let send = send.message_attributes(LETTER_ATTRIBUTE, text(words)).message_attributes("x", text("y"));
        send.send().await.unwrap_or_else(|error| panic!("{server}: {error:?}"));
        let (source, _) = source_at(&server.aws(), &url, 300);
        let message = receive(&source, 1, server).await.remove(0);
        let about = &message.about;
        assert!(message.is_redriven && about.redriven_at.is_none(), "{server}: {words}");
        assert_eq!((&*about.source, about.redriven_to.as_deref()), (queue_name, redriven_to), "{server}");
        assert_eq!(about.attributes.get("x").map(String::as_str), Some("y"), "{server}");
        source.ack(&[message.handle]).await.remove(0).expect("acked");
    }
}

async fn any_bytes_come_back_as_they_were(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let beyond = format!("plain {} text", server.beyond_first_plane());
    let originals: [&[u8]; 10] = [
        b"",
        b" ",
        b"a\x01b",
        b"\0",
        b"\xff\xfe",
        "a\u{fffe}".as_bytes(),
        "\u{ffff}".as_bytes(),
        b"tab\tand\r\nlines",
        b"YmFzZTY0",
        beyond.as_bytes(),
    ];
    for original in originals {
        store_all(server, &url, &[letter(original.to_vec())]).await;
        let came = read_back(server, &url, 1).await;
        assert_eq!(came, [original], "{server}: {original:?}");
    }
}

/// An id is the producer's own text: it may hold what no attribute can.
async fn any_id_can_be_written(server: &QueueServer) {
    let url = server.queue(&[]).await;
    for id in ["a\u{0}b", "\u{ffff}", "a\u{fffe}\u{fffd}\"\\", "\u{7f}\u{2028}"] {
        store_all(server, &url, &[Letter { event_id: id.to_owned(), ..letter("a") }]).await;
        let (_, said) = words(server, &url).await;
        assert_eq!(said["event_id"], id, "{server}");
    }
}

async fn a_call_holds_no_more_than_the_service_takes(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let sizes = [400_000, 400_000, 400_000, 900_000, 100, 1_000_000, 100];
    let letters = sizes.map(|bytes| letter("x".repeat(bytes)));
    store_all(server, &url, &letters).await;
    let mut came: Vec<_> = read_back(server, &url, sizes.len()).await.iter().map(Vec::len).collect();
    let mut sent = sizes.to_vec();
    came.sort_unstable();
    sent.sort_unstable();
    assert_eq!(came, sent, "{server}");
}

async fn a_sentence_is_shortened_where_the_letter_would_not_fit(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let original = "x".repeat(SQS_BYTES_MAX - 1_500);
    for detail in ["é".repeat(5_000), "\"\u{1}".repeat(5_000)] {
        store_all(server, &url, &[Letter { detail: detail.clone(), ..letter(original.clone()) }]).await;
        let (body, said) = words(server, &url).await;
        assert!(body.is_some_and(|body| body == original), "{server}: the event is whole");
        let said = said["detail"].as_str().unwrap_or_default();
        assert!(detail.starts_with(said) && said.len() > 50, "{server}: {} bytes are left", said.len());
    }
}

/// A message as large as it may be leaves no room to say its attributes again: better without them than nowhere.
async fn attributes_are_left_out_where_the_letter_would_not_fit(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let attributes = [("origin".to_owned(), "x".repeat(2_000)), ("quoted".to_owned(), "\"".repeat(500))];
    let attributes_bytes = 2_500 + "originquoted".len() + 2 * "String".len();
    let original = noise(SQS_BYTES_MAX - attributes_bytes);
    let about = Arc::new(About { attributes: attributes.into(), ..about() });
    let detail = "eventID is absent".repeat(1_000);
    store_all(server, &url, &[Letter { about, detail: detail.clone(), ..letter(original.clone()) }]).await;
    let (body, said) = words(server, &url).await;
    assert!(body.is_some_and(|body| body == original), "{server}: the event is whole");
    let expected = json!({
        "source": "first-queue", "group": "fig/app/0", "object": "s3://bucket/key?",
        "attributes_left_out": true,
    });
    assert_eq!(said["about"], expected, "{server}");
    let said = said["detail"].as_str().unwrap_or_default();
    assert!(detail.starts_with(said) && said.len() > 50, "{server}: {} bytes are left", said.len());
}

/// Somebody who knows what the letter had no room for can say it beside the letter.
async fn what_was_left_out_may_be_said_beside_the_letter(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let text = |text: &str| {
        let value = MessageAttributeValue::builder().data_type("String").string_value(text);
        value.build().expect("a type")
    };
    let words = r#"{"destination":"eu","about":{"source":"first-queue","attributes_left_out":true}}"#;
    let send = server.client().send_message().queue_url(&url).message_body("a");
    let send = send.message_attributes(LETTER_ATTRIBUTE, text(words)).message_attributes("x", text("y"));
    send.send().await.unwrap_or_else(|error| panic!("{server}: {error:?}"));
    let (source, _) = source_at(&server.aws(), &url, 300);
    let message = receive(&source, 1, server).await.remove(0);
    assert_eq!(&*message.about.source, "first-queue", "{server}");
    assert_eq!(message.about.attributes.get("x").map(String::as_str), Some("y"), "{server}");
    source.ack(&[message.handle]).await.remove(0).expect("acked");
}

async fn a_letter_that_cannot_fit_says_so_and_the_others_are_stored(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let letters = [letter("a"), letter(noise(SQS_BYTES_MAX)), letter(binary_noise(900_000)), letter("b")];
    let results = store(server, &url, &letters).await;
    for (at, least) in [(1, SQS_BYTES_MAX), (2, 1_200_000)] {
        let Err(StoreError::TooLarge { bytes, bytes_max }) = results[at] else {
            panic!("{server}: {:?}", results[at]);
        };
        assert_eq!(bytes_max, SQS_BYTES_MAX, "{server}");
        assert!(bytes > least && bytes < least + 1_000, "{server}: {bytes} bytes");
    }
    assert!(results[0].is_ok() && results[3].is_ok(), "{server}: {results:?}");
    let stored: BTreeSet<_> = read_back(server, &url, 2).await.into_iter().collect();
    assert_eq!(stored, BTreeSet::from([b"a".to_vec(), b"b".to_vec()]), "{server}");
}

/// Of a stream, or unpacked from a message: far more than a message holds.
async fn a_letter_that_shrinks_is_packed_and_comes_back_as_it_was(server: &QueueServer) {
    const BYTES: usize = 10_485_760;
    let url = server.queue(&[]).await;
    let line = format!("{}\n", noise(500));
    let text = line.repeat(BYTES / line.len());
    // The second shrinks so far that decode would take it for a bomb.
    for original in [text, "x".repeat(BYTES), format!("{{\"eventName\":\"{}\"}}", "é".repeat(BYTES / 3))] {
        let first = decode(original.clone().into());
        store_all(server, &url, &[letter(original.clone())]).await;
        let came = read_back(server, &url, 1).await;
        assert!(came == [original.as_bytes()], "{server}: other bytes");
        let (again, count) = (decode(came[0].clone().into()), first.len());
        assert_eq!(format!("{first:?}"), format!("{again:?}"), "{server}: {count} parts");
    }
}

/// What came beside the event is part of what a route may ask for: it stays, where packing makes room for it.
async fn a_letter_is_packed_before_anything_is_left_out(server: &QueueServer) {
    let url = server.queue(&[]).await;
    let attributes = [("origin".to_owned(), "x".repeat(4_000))];
    let about = Arc::new(About { attributes: attributes.into(), ..about() });
    store_all(server, &url, &[Letter { about, ..letter("x".repeat(SQS_BYTES_MAX - 2_500)) }]).await;
    let (body, said) = words(server, &url).await;
    assert!(body.is_some_and(|body| body.len() < 20_000), "{server}: it is packed");
    assert_eq!(said["about"]["attributes"]["origin"], "x".repeat(4_000), "{server}");
}

async fn a_queue_that_takes_less_is_respected(server: &QueueServer) {
    let url = server.queue(&[(QueueAttributeName::MaximumMessageSize, "2048")]).await;
    let letters = [letter(noise(2_048)), letter(noise(1_000))];
    let results = store(server, &url, &letters).await;
    let is_told = matches!(results[0], Err(StoreError::TooLarge { bytes_max: 2_048, .. }));
    assert!(is_told && results[1].is_ok(), "{server}: {results:?}");
    assert_eq!(server.count(&url).await, 1, "{server}");
}

async fn a_missing_queue_is_our_mistake(server: &QueueServer) {
    let url = format!("{}-missing", server.queue(&[]).await);
    for result in store(server, &url, &[letter("a"), letter("b")]).await {
        let Err(StoreError::Call(CallError::Misconfigured { message, .. })) = result else {
            panic!("{server}: {result:?}");
        };
        assert!(message.contains(&url), "{server}: {message}");
    }
}

async fn letters_alike_are_each_stored_in_a_fifo_queue(server: &QueueServer) {
    let url = server.fifo_queue().await;
    store_all(server, &url, &vec![letter("same"); 12]).await;
    assert_eq!(read_back(server, &url, 12).await, vec![b"same".to_vec(); 12], "{server}");
}

macro_rules! standard_cases {
    ($($name:ident = $kind:ident: $($more:ident),*;)+) => {
        $(on_servers! { $name = $kind:
            every_letter_is_stored,
            a_letter_says_all_it_knows,
            what_came_beside_the_event_comes_again,
            a_letter_that_says_less_is_read_all_the_same,
            any_bytes_come_back_as_they_were,
            any_id_can_be_written,
            a_call_holds_no_more_than_the_service_takes,
            a_sentence_is_shortened_where_the_letter_would_not_fit,
            attributes_are_left_out_where_the_letter_would_not_fit,
            what_was_left_out_may_be_said_beside_the_letter,
            a_letter_that_cannot_fit_says_so_and_the_others_are_stored,
            a_letter_that_shrinks_is_packed_and_comes_back_as_it_was,
            a_letter_is_packed_before_anything_is_left_out,
            a_queue_that_takes_less_is_respected,
            a_missing_queue_is_our_mistake,
            $($more),*
        })+
    };
}

standard_cases! {
    local = Local: ;
    fauxqs = Fauxqs: letters_alike_are_each_stored_in_a_fifo_queue;
    ministack = Ministack: letters_alike_are_each_stored_in_a_fifo_queue;
}

/// A queue that takes 1,500 bytes a message, and once fails to say so.
#[tokio::test]
async fn a_limit_that_could_not_be_asked_for_is_asked_for_again() {
    let server = Scripted::start(|call| match call.action.as_str() {
        // The SDK tries three times by itself.
        "GetQueueAttributes" if call.nth < 3 => {
            (503, json!({"__type": "com.amazonaws.sqs#ServiceUnavailable"}))
        }
        "GetQueueAttributes" => (200, json!({"Attributes": {"MaximumMessageSize": "1500"}})),
        _ => call.outcome(|_| None),
    });
    let server = server.await;
    let letters = letters_at(&server.aws(), &server.queue_url());
    let first = letters.store(&[letter("a")]).await;
    assert!(first[0].is_ok(), "the limit is unknown, and the letter small: {first:?}");
    let second = letters.store(&[letter(noise(1_500))]).await;
    assert!(matches!(second[0], Err(StoreError::TooLarge { bytes_max: 1_500, .. })), "{second:?}");
    letters.store(&[letter("a")]).await;
    assert_eq!(server.calls("GetQueueAttributes").len(), 4, "what is known is not asked for again");
}

/// `sqs:SendMessage` alone is enough.
#[tokio::test]
async fn letters_are_sent_by_a_role_that_may_not_ask_for_the_limit() {
    let server = Scripted::start(|call| match call.action.as_str() {
        "GetQueueAttributes" => (403, json!({"__type": "com.amazonaws.sqs#AccessDenied", "message": "no"})),
        _ => call.outcome(|_| None),
    });
    let server = server.await;
    let letters = letters_at(&server.aws(), &server.queue_url());
    for _ in 0..2 {
        assert_eq!(letters.store(&[letter("a")]).await, [Ok(())]);
    }
    assert_eq!(server.calls("GetQueueAttributes").len(), 1, "a no is not asked for again");
}

#[tokio::test]
async fn each_letter_gets_the_answer_that_is_its_own() {
    let server = Scripted::start(|call| {
        if call.action != "SendMessageBatch" {
            return (200, json!({"Attributes": {"MaximumMessageSize": "1048576"}}));
        }
        let body = |entry: &Value| entry["MessageBody"].as_str().unwrap_or_default().to_owned();
        let (status, mut answer) = call.outcome(|entry| match body(entry).as_str() {
            "4" => Some(("InternalError", false)),
            "13" => Some(("KmsAccessDenied", true)),
            _ => None,
        });
        let ids: Vec<_> = call
            .entries()
            .iter()
            .filter(|entry| body(entry) == "7")
            .map(|entry| entry["Id"].clone())
            .collect();
        let successful = answer["Successful"].as_array_mut().expect("a list");
        successful.retain(|entry| !ids.contains(&entry["Id"]));
        // In no order that anybody promised.
        successful.reverse();
        (status, answer)
    });
    let server = server.await;
    let letters: Vec<_> = (0..15).map(|at| letter(at.to_string())).collect();
    let results = letters_at(&server.aws(), &server.queue_url()).store(&letters).await;
    for (at, result) in results.iter().enumerate() {
        let is_right = match (at, result) {
            (4, Err(StoreError::Call(CallError::Transient { code, .. }))) => code == "InternalError",
            (7, Err(StoreError::Call(CallError::Transient { code, .. }))) => code == "unmentioned",
            (13, Err(StoreError::Call(CallError::Misconfigured { message, .. }))) => message.contains("kms"),
            (4 | 7 | 13, _) => false,
            (_, result) => result.is_ok(),
        };
        assert!(is_right, "letter {at}: {result:?}");
    }
    assert_eq!(server.calls("SendMessageBatch").len(), 2);
    let sent = server.calls("SendMessageBatch");
    let encodings = sent.iter().flat_map(|call| call.entries().to_vec());
    assert!(encodings.into_iter().all(|entry| entry["MessageAttributes"].get(ENCODING_ATTRIBUTE).is_none()));
}
