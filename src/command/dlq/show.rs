//! `tributary dlq show`: one letter, its event, what is wrong, and what would cure it.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    MOVED,
    letter::DeadLetterMessage,
    opened::{self, Opened},
    tell_unseen,
    walk::Walk,
};
use crate::{
    cli::{ShowArgs, WhichArgs},
    clock::rfc3339,
    command::{CommandError, Exit},
    failure::Reason,
    output::{self, visible},
};

/// One event may have a letter for each destination, and one more for each try.
const LETTERS_MAX: usize = 10;
/// Of the event, in a terminal.
const SHOWN_BYTES_MAX: usize = 16_384;

pub(super) async fn show(walk: &mut Walk, args: &ShowArgs, json: bool) -> Result<Exit, CommandError> {
    let which = WhichArgs { event_id: vec![args.id.clone()], ..WhichArgs::default() };
    let mut found = Vec::new();
    while found.len() < LETTERS_MAX
        && let Some(letters) = walk.next().await?
    {
        let is_one = letters.iter().any(|letter| letter.message_id == args.id);
        found.extend(letters.into_iter().filter(|letter| which.wants(letter)));
        if is_one {
            break;
        }
    }
    if found.is_empty() {
        output::note("no letter has this id, neither of its event nor of its own");
        tell_unseen(walk).await;
        return Ok(Exit::Incomplete);
    }
    if args.original {
        return original(&found).await;
    }
    let retention = walk.queue.facts().await.retention;
    let (mut all, mut exit) = (Vec::new(), Exit::Done);
    for letter in &found {
        let opened = opened::open(letter).await;
        if opened.is_err() {
            exit = Exit::Incomplete;
        }
        let expires = letter.expires_at(retention).map(rfc3339);
        if json {
            all.push(as_json(letter, &opened, expires.as_deref()));
        } else {
            output::print(in_words(letter, &opened, expires.as_deref()).join("\n"))?;
        }
    }
    if json {
        output::print_json(&all)?;
    }
    Ok(exit)
}

async fn original(found: &[DeadLetterMessage]) -> Result<Exit, CommandError> {
    let [letter] = found else {
        let ids: Vec<_> = found.iter().map(|letter| &*letter.message_id).collect();
        return Err(CommandError::Usage(format!(
            "this event has {} letters; give the message id of one: {}",
            found.len(),
            visible(&ids.join(", "))
        )));
    };
    let opened = opened::open(letter).await.map_err(|why| CommandError::Failed(why.into()))?;
    output::print_bytes(&opened.original)?;
    Ok(Exit::Done)
}

fn as_json(letter: &DeadLetterMessage, opened: &Result<Opened, String>, expires: Option<&str>) -> Value {
    let mut value = json!({
        "letter": letter.message_id,
        "reason": letter.reason(),
        "detail": letter.detail(),
        "cure": letter.cure(),
        "source": letter.source(),
        "moved_from": letter.moved_from(),
        "at": letter.at().map(rfc3339),
        "expires": expires,
        "receives": letter.receives(),
        "words": letter.told,
    });
    match opened {
        Err(why) => value["not_opened"] = json!(why),
        Ok(Opened { original, held }) => {
            value["held"] = json!(held);
            match std::str::from_utf8(original) {
                Ok(text) => value["original"] = json!(text),
                Err(_) => value["original_base64"] = json!(STANDARD.encode(original)),
            }
        }
    }
    value
}

fn in_words(
    letter: &DeadLetterMessage,
    opened: &Result<Opened, String>,
    expires: Option<&str>,
) -> Vec<String> {
    let mut lines = vec![format!("letter {}", visible(&letter.message_id))];
    let mut add = |name: &str, value: &str| {
        if !value.is_empty() {
            lines.push(format!("  {name:<14} {}", visible(value)));
        }
    };
    let reason = letter.reason();
    let stage = Reason::of_code(reason).map(|reason| format!(", at the stage {}", reason.stage().name()));
    let reason = if reason == MOVED { "moved by the queue's redrive policy" } else { reason };
    add("reason", &format!("{reason}{}", stage.unwrap_or_default()));
    add("what is wrong", letter.detail());
    add("cure", letter.cure());
    if let Some(told) = &letter.told {
        add("event", &told.event_id);
        add("destination", &told.destination);
        add("came in", &format!("{}, place {}", told.message_id, told.position));
        add("attempts", &told.attempts.to_string());
        add("first seen", told.first_seen.as_deref().unwrap_or_default());
        add("SHA-256", told.content_sha256.as_deref().unwrap_or_default());
        add("written by", &told.program);
        add("beside it", &told.about.to_string());
    }
    add("source", letter.source());
    add("moved from", letter.moved_from().unwrap_or_default());
    add("at", &letter.at().map(rfc3339).unwrap_or_default());
    add("expires", expires.unwrap_or_default());
    add("receives", &letter.receives().to_string());
    match opened {
        Err(why) => add("event", &format!("cannot be shown: {why}")),
        Ok(Opened { original, held }) => {
            add("bytes", &format!("{}, {held}", original.len()));
            lines.push(shown(original));
        }
    }
    lines
}

/// As much of the event as a person may want to see at once.
fn shown(original: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(original) else {
        return "(no UTF-8: --original prints the bytes)".to_owned();
    };
    let part = &text[..text.floor_char_boundary(SHOWN_BYTES_MAX)];
    let lines: Vec<_> = part.lines().map(visible).collect();
    let more = if part.len() < text.len() { "\n(and more: --original prints all of it)" } else { "" };
    format!("{}{more}", lines.join("\n"))
}
