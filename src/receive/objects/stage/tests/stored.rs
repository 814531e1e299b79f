//! The events of letters, which are kept as objects and come again in place of their messages.

use super::*;
use crate::decode::Sum;

/// Where these bytes are kept, as their letter says it.
fn stored(bytes: &[u8]) -> ObjectRef {
    ObjectRef { bytes: Some(bytes.len() as u64), whole: Some(Sum::of(bytes)), ..object("kept") }
}

/// The letter's message, as an operator sends it back.
fn redriven() -> Message {
    let about = About {
        object: Some("s3://first/log".into()),
        redriven_at: Some(3),
        attributes: [("origin".to_owned(), "here".to_owned())].into(),
        ..About::default()
    };
    let deadline = Deadline::new(Instant::now() + Duration::from_hours(10));
    Message { is_redriven: true, about: Arc::new(about), ..Message::empty(deadline) }
}

/// What is no JSON, and as an object of records would be damage.
fn no_event() -> Vec<u8> {
    b"\xff\x00 no event\n".repeat(100)
}

#[tokio::test(start_paused = true)]
async fn a_stored_event_comes_as_its_message_would_have_brought_it() {
    let event = format!("{{\"eventName\":\"{}\"}}", "x".repeat(RECORD_BYTES_MAX)).into_bytes();
    for (bytes, is_event) in [(event, true), (no_event(), false)] {
        let stage = Stage::start(Scripted::new([("kept", bytes.clone())], |_, _| Act::Send));
        stage.send_objects(redriven(), vec![stored(&bytes)]).await;
        stage.pass(9).await;
        let seen = stage.seen();
        // With the place that the event of any letter has that is sent back.
        let place = "s3://first/log#0";
        assert_eq!(seen.redriven, [place], "an earlier letter does not stand in its way");
        if is_event {
            assert_eq!((&*seen.places, seen.letters.len()), (&[place.to_owned()][..], 0));
        } else {
            let [(reason, _, original)] = &*seen.letters else { panic!("one letter") };
            assert_eq!((*reason, &seen.letter_places), (Reason::NotUtf8, &vec![place.to_owned()]));
            assert!(*original == bytes, "the letter for it has the same bytes again");
        }
        assert_eq!(stage.ended(), [acked("m")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_and_a_denial_are_no_reason_to_begin_anew() {
    let bytes = no_event();
    let store = Scripted::new([("kept", bytes.clone())], |nth, _| match nth {
        0 | 2 => Act::Break(400),
        1 => denied(),
        _ => Act::Send,
    });
    let stage = Stage::start(store.clone());
    stage.send_objects(redriven(), vec![stored(&bytes)]).await;
    stage.pass(60).await;
    assert!(stage.seen().letters[0].2 == bytes);
    let from: Vec<_> = store.opened().iter().map(|(_, from, _)| *from).collect();
    assert_eq!(from, [0, 400, 400, 800]);
}

/// Whoever may write to the bucket cannot put another event into a letter's place.
#[tokio::test(start_paused = true)]
async fn other_bytes_than_the_letters_are_not_its_event() {
    let bytes = no_event();
    let (mut other, longer) = (bytes.clone(), [&*bytes, b"x"].concat());
    other[7] ^= 1;
    for (kept, word) in [(other, "SHA-256"), (longer, "more than the 1200 bytes"), (Vec::new(), "SHA-256")] {
        let stage = Stage::start(Scripted::new([("kept", kept)], |_, _| Act::Send));
        stage.send_objects(redriven(), vec![stored(&bytes)]).await;
        stage.pass(9).await;
        let seen = stage.seen();
        let [(reason, detail, original)] = &*seen.letters else { panic!("one letter") };
        assert_eq!(*reason, Reason::BrokenObject);
        assert!(detail.contains(word), "{detail}");
        let found = crate::decode::decode(original.clone()).remove(0).found;
        assert!(matches!(found, Found::Object(object) if object == stored(&bytes)), "it leads there again");
        assert_eq!(stage.ended(), [acked("m")]);
    }
}

#[tokio::test(start_paused = true)]
async fn the_room_for_a_stored_event_is_taken_before_it_is_read() {
    let bytes = no_event();
    let store = Scripted::new([("kept", bytes.clone())], |_, _| Act::Send);
    let stage = Stage::with_room(store.clone(), 4_000);
    let taken = stage.room.take(3_000).await;
    stage.send_objects(redriven(), vec![stored(&bytes)]).await;
    stage.pass(9).await;
    assert!(store.opened().is_empty());
    drop(taken);
    stage.pass(9).await;
    assert_eq!(stage.seen().letters.len(), 1);
    assert_eq!(stage.room.taken(), 0, "it is given back");
}
