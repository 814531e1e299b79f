//! The words of a letter, as JSON. In: a [`Letter`]. Out: what stands in the attribute `tributary.letter`; and back,
//! when an operator sends the letter again: what formats and routes asked for the first time.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc, time::SystemTime};

use serde::{Deserialize, Serialize};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{aws::sqs::carries, dead_letter::Letter, pipeline::NO_DESTINATION, receive::About};

/// What becomes of the attributes of the event's message in the words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attributes {
    Kept,
    /// Because of them the letter would not fit, and without the letter the event would be lost.
    LeftOut,
}

/// As written.
#[derive(Serialize)]
struct Words<'a> {
    reason: &'a str,
    detail: &'a str,
    stage: &'a str,
    event_id: &'a str,
    message_id: &'a str,
    position: usize,
    attempts: u32,
    first_seen: Option<String>,
    dead_lettered_at: Option<String>,
    content_sha256: Option<String>,
    destination: &'a str,
    about: AboutWords<'a>,
    program: &'a str,
}

/// What is read again. A letter of an older version says less.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Again<'a> {
    destination: Option<String>,
    position: Option<usize>,
    about: Option<AboutWords<'a>>,
}

/// What came beside the body of the message that held the event.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct AboutWords<'a> {
    source: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "is_empty")]
    attributes: Cow<'a, BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    attributes_left_out: bool,
}

/// The letter's words with this sentence, which may be a part of the letter's own.
pub(super) fn words(letter: &Letter, detail: &str, kept: Attributes) -> String {
    let attributes = match kept {
        Attributes::Kept => Cow::Borrowed(&letter.about.attributes),
        Attributes::LeftOut => Cow::default(),
    };
    let words = Words {
        reason: letter.reason.code(),
        detail,
        stage: letter.reason.stage().name(),
        event_id: &letter.event_id,
        message_id: &letter.message_id,
        position: letter.position,
        attempts: letter.attempts,
        first_seen: letter.first_seen.and_then(rfc3339),
        dead_lettered_at: rfc3339(SystemTime::now()),
        content_sha256: letter.content_hash.map(|hash| hash.to_string()),
        destination: &letter.destination,
        about: AboutWords {
            source: Cow::Borrowed(&*letter.about.source),
            group: letter.about.group.as_deref().map(Cow::Borrowed),
            object: letter.about.object.as_deref().map(Cow::Borrowed),
            attributes,
            attributes_left_out: kept == Attributes::LeftOut,
        },
        program: concat!("tributary/", env!("CARGO_PKG_VERSION")),
    };
    // Words are plain strings and numbers, which always serialise.
    carried(serde_json::to_string(&words).unwrap_or_default())
}

/// What came beside the letter's event when it came first, where the letter was on its way to, and where its event
/// stood. `now` is what came beside the letter, and holds as far as the letter says nothing.
pub(crate) fn about_again(words: &str, now: About) -> About {
    let Ok(Again { destination, position: redriven_at, about }) = serde_json::from_str(words) else {
        return now;
    };
    let redriven_to = destination.filter(|name| name != NO_DESTINATION).map(Arc::from);
    let Some(about) = about else { return About { redriven_to, redriven_at, ..now } };
    About {
        source: (&*about.source).into(),
        group: about.group.as_deref().map(Arc::from),
        attributes: if about.attributes_left_out { now.attributes } else { about.attributes.into_owned() },
        object: about.object.as_deref().map(Arc::from),
        redriven_to,
        redriven_at,
    }
}

/// JSON with escapes for what JSON allows and SQS does not carry: U+FFFE and U+FFFF, in strings alone.
fn carried(json: String) -> String {
    if json.chars().all(carries) {
        return json;
    }
    let escaped = |text: String, character| {
        if carries(character) {
            text + character.encode_utf8(&mut [0; 4])
        } else {
            text + &format!("\\u{:04x}", u32::from(character))
        }
    };
    json.chars().fold(String::with_capacity(json.len()), escaped)
}

fn rfc3339(at: SystemTime) -> Option<String> {
    OffsetDateTime::from(at).format(&Rfc3339).ok()
}

#[expect(clippy::ptr_arg, reason = "serde hands over what the field holds")]
fn is_empty(attributes: &Cow<'_, BTreeMap<String, String>>) -> bool {
    attributes.is_empty()
}
