//! Between jaq's values and ours. In: values. Out: JSON text, hashes and paths; and `$message`.

use std::{fmt::Write, sync::Arc};

use bytestring::ByteString;
use jaq_core::ValT as _;
use jaq_json::{Map, Num, Val};

use super::Step;
use crate::{
    decode::{DEPTH_MAX, canonical_hash},
    event::ContentHash,
    json::{self, Cursor, Quoted},
    receive::About,
};

/// Longer numbers are not computed with.
const DIGITS_MAX: usize = 64;

/// Far more than any event of the lake. What is made of one place of an event again and again is small until it is
/// written.
const TEXT_BYTES_MAX: usize = 4 << 20;

/// The value of well-formed JSON text. Texts without escapes share its memory.
pub(super) fn of_json(text: &ByteString) -> Val {
    parsed(text, &mut Cursor::new(text), 0)
}

fn parsed(text: &ByteString, cursor: &mut Cursor<'_>, depth: usize) -> Val {
    match cursor.peek() {
        // Deeper than any event that passed decode.
        _ if depth > DEPTH_MAX => {
            cursor.value();
            Val::Null
        }
        b'{' => {
            cursor.eat(b'{');
            let mut members = Map::default();
            while cursor.peek() == b'"' {
                let key = said(text, cursor.string());
                cursor.eat(b':');
                members.insert(key, parsed(text, cursor, depth + 1));
                cursor.eat(b',');
            }
            cursor.eat(b'}');
            Val::obj(members)
        }
        b'[' => {
            cursor.eat(b'[');
            let mut elements = Vec::new();
            while !matches!(cursor.peek(), b']' | 0) {
                elements.push(parsed(text, cursor, depth + 1));
                cursor.eat(b',');
            }
            cursor.eat(b']');
            elements.into_iter().collect()
        }
        b'"' => said(text, cursor.string()),
        _ => match cursor.scalar() {
            "null" => Val::Null,
            "true" => Val::Bool(true),
            "false" => Val::Bool(false),
            // As text, or reading a number of a million digits would take seconds.
            digits if digits.len() > DIGITS_MAX => Val::Num(Num::Dec(Arc::new(digits.to_owned()))),
            digits => Val::from_num(digits).unwrap_or_default(),
        },
    }
}

fn said(text: &ByteString, quoted: Quoted<'_>) -> Val {
    // Half a surrogate pair does not pass decode.
    Val::utf8_str(json::own(text, quoted).unwrap_or_default().into_bytes())
}

/// The value's JSON text. What is no JSON (`nan`, infinity, nesting that no reader follows) becomes `null`; a key that
/// is no string is written as one.
pub(super) fn text(value: &Val) -> Option<ByteString> {
    let mut out = String::with_capacity(256);
    push(&mut out, value, 0);
    (out.len() <= TEXT_BYTES_MAX).then(|| ByteString::from(out))
}

fn push(out: &mut String, value: &Val, depth: usize) {
    match value {
        // A mapping puts an event a few levels deeper than it came; the lake's reader follows 128.
        _ if depth > DEPTH_MAX + 7 || out.len() > TEXT_BYTES_MAX => out.push_str("null"),
        Val::Null => out.push_str("null"),
        Val::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Val::Num(Num::Float(float)) if !float.is_finite() => out.push_str("null"),
        // Writing to a string cannot fail.
        Val::Num(number) => drop(write!(out, "{number}")),
        Val::TStr(bytes) | Val::BStr(bytes) => json::push_quoted(out, &String::from_utf8_lossy(bytes)),
        Val::Arr(elements) => {
            out.push('[');
            for (at, element) in elements.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                push(out, element, depth + 1);
            }
            out.push(']');
        }
        Val::Obj(members) => {
            out.push('{');
            for (at, (key, value)) in members.iter().enumerate() {
                out.push_str(if at > 0 { "," } else { "" });
                match key {
                    Val::TStr(bytes) => json::push_quoted(out, &String::from_utf8_lossy(bytes)),
                    key => json::push_quoted(out, &key.to_string()),
                }
                out.push(':');
                push(out, value, depth + 1);
            }
            out.push('}');
        }
    }
}

/// `None` where the value is too large.
pub(super) fn hash(value: &Val) -> Option<ContentHash> {
    text(value).map(|text| canonical_hash(&text))
}

/// The value as a path; `None` where it is none.
pub(super) fn steps(value: &Val) -> Option<Vec<Step>> {
    let Val::Arr(parts) = value else { return None };
    let step = |part: &Val| match part {
        Val::TStr(bytes) => String::from_utf8(bytes.to_vec()).ok().map(Step::Key),
        Val::Num(number) => number.as_isize().and_then(|at| usize::try_from(at).ok()).map(Step::At),
        _ => None,
    };
    parts.iter().map(step).collect()
}

/// `$message`: `{source, group, attributes, object}`.
pub(super) fn message(about: &About) -> Val {
    let text = |text: &str| Val::from(text.to_owned());
    let or_null = |text: Option<&str>| text.map_or(Val::Null, |text| Val::from(text.to_owned()));
    let attributes: Map = about.attributes.iter().map(|(name, value)| (text(name), text(value))).collect();
    let members = [
        ("source", text(&about.source)),
        ("group", or_null(about.group.as_deref())),
        ("attributes", Val::obj(attributes)),
        ("object", or_null(about.object.as_deref())),
    ];
    Val::obj(members.into_iter().map(|(name, value)| (text(name), value)).collect())
}
