//! What holds for the id of any event, in every format.

use serde_json::Value;
use tributary::{
    config::Oversize,
    event::{IdentifiedEvent, RawEvent},
    formats::Formats,
    identify::identify,
    limits::EVENT_ID_CHARS_MAX,
    map::map,
    receive::About,
    validate::validate,
};

/// Identifies the event by content and as every format there is, and maps it.
///
/// # Panics
/// Where an id breaks a promise.
pub fn check(raw: &RawEvent) {
    let (formats, about) = (Formats::built_in(), About::default());
    let names = formats.names();
    let fixed = names.iter().map(|name| formats.get(name)).chain([None]);
    for format in fixed {
        let Ok(event) = identify(raw.clone(), &about, &formats, format.as_ref()) else { continue };
        of_event(&event);
        let again = identify(raw.clone(), &about, &formats, format.as_ref()).expect("the same answer");
        assert_eq!((&again.id, again.content_hash), (&event.id, event.content_hash));
        let in_order = identify(in_another_order(raw), &about, &formats, format.as_ref());
        let in_order = in_order.expect("the order of members says nothing");
        assert_eq!((&in_order.id, in_order.content_hash), (&event.id, event.content_hash));
        if let Ok(event) = map(&event, &about, "111122223333") {
            drop(validate(event, Oversize::Move));
        }
    }
}

fn of_event(event: &IdentifiedEvent) {
    let wire = event.id.wire();
    assert!((1..=EVENT_ID_CHARS_MAX).contains(&wire.len()), "{} characters", wire.len());
    assert!(wire.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')));
    assert!(!event.id.declared().is_empty());
}

/// The same event, its outermost members the other way round.
fn in_another_order(raw: &RawEvent) -> RawEvent {
    let members: Vec<_> = raw.members.iter().rev().collect();
    let mut json = String::from("{");
    for (at, member) in members.iter().enumerate() {
        json.push_str(if at > 0 { "," } else { "" });
        json.push_str(&Value::from(&*member.key).to_string());
        json.push(':');
        json.push_str(&member.json);
    }
    json.push('}');
    let mut parts = tributary::decode::decode(json.into());
    match parts.pop().map(|part| part.found) {
        Some(tributary::decode::Found::Event(raw)) if parts.is_empty() => raw,
        found => panic!("an event in another order is {found:?}"),
    }
}
