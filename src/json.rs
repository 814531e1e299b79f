//! Finding one's way in JSON text that `serde_json` has already found well-formed.
//!
//! In: such text. Out: slices of it. What is JSON is decided by [`well_formed`], that is by `serde_json`; the
//! rest of this file only looks for where values begin and end, so that they can travel as they were received.
//! On text that is not well-formed the answers are wrong, but nothing panics and nothing runs for ever.

use std::borrow::Cow;

use bytestring::ByteString;
use serde_json::{error::Category, value::RawValue};

use crate::{
    event::Member,
    failure::{Reason, Rejection},
};

/// Refuses what is not exactly one JSON value. Lone surrogates and duplicate keys pass: they are looked for by
/// the walk that reads strings and keys.
pub(crate) fn well_formed(text: &str) -> Result<(), Rejection> {
    let Err(error) = serde_json::from_str::<&RawValue>(text) else { return Ok(()) };
    // The error's own text can quote the input; its position cannot.
    let what = if error.classify() == Category::Eof { "the text ends too early" } else { "not JSON" };
    let place = format!("{what}: line {}, column {}", error.line(), error.column());
    Err(Rejection::new(Reason::NotJson, place))
}

/// Stands somewhere in well-formed text and moves from value to value.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

/// What stands between the quotes of a string.
#[derive(Clone, Copy)]
pub(crate) struct Quoted<'a> {
    /// With its escapes, without the quotes.
    pub(crate) inner: &'a str,
    /// With the quotes.
    pub(crate) json: &'a str,
    /// Whether there is any escape in it.
    pub(crate) is_escaped: bool,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Bytes passed so far.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Passes white space and looks at the next byte: 0 at the end, which no JSON value begins with.
    pub(crate) fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return byte;
            }
            self.at += 1;
        }
        0
    }

    /// Passes the next byte if it is this one.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == byte;
        self.at += usize::from(is_next);
        is_next
    }

    /// Passes a string; the cursor stands on its first quote.
    pub(crate) fn string(&mut self) -> Quoted<'a> {
        let start = self.at;
        let is_escaped = self.pass_string();
        let json = self.since(start);
        let inner = json.get(1..json.len().saturating_sub(1)).unwrap_or_default();
        Quoted { inner, json, is_escaped }
    }

    /// Passes a number, `true`, `false` or `null`.
    pub(crate) fn scalar(&mut self) -> &'a str {
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let is_end = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\n' | b'\r' | b'\t');
        // At least one byte, so that every loop around this ends.
        self.at += rest.iter().position(is_end).unwrap_or(rest.len()).max(1);
        self.since(start)
    }

    /// Passes a value of any kind.
    pub(crate) fn value(&mut self) -> &'a str {
        match self.peek() {
            b'"' => self.string().json,
            b'{' | b'[' => {
                let start = self.at;
                self.pass_container();
                self.since(start)
            }
            _ => self.scalar(),
        }
    }

    fn pass_container(&mut self) {
        let bytes = self.text.as_bytes();
        let mut depth = 0_usize;
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.pass_string();
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
    }

    /// Answers whether the string has escapes.
    fn pass_string(&mut self) -> bool {
        let bytes = self.text.as_bytes();
        let mut is_escaped = false;
        self.at += 1;
        while let Some(rest) = bytes.get(self.at..) {
            self.at += plain_bytes(rest);
            match bytes.get(self.at) {
                Some(b'\\') => {
                    is_escaped = true;
                    self.at += 2;
                }
                Some(_) => {
                    self.at += 1;
                    break;
                }
                None => break,
            }
        }
        is_escaped
    }

    /// What was passed since the cursor stood at `start`.
    pub(crate) fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }
}

/// How many bytes stand before the next quote or backslash. Most of an audit event is text between quotes, so
/// eight bytes are looked at together.
fn plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    let (words, rest) = bytes.as_chunks::<8>();
    // The lowest byte that is marked is a true one; marks above it may be false.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    for (at, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if found != 0 {
            return at * 8 + (found.trailing_zeros() / 8) as usize;
        }
    }
    let is_end = |byte: &u8| matches!(byte, b'"' | b'\\');
    words.len() * 8 + rest.iter().position(is_end).unwrap_or(rest.len())
}

/// The elements of an array, one after the other; nothing for any other value.
pub(crate) fn elements(text: &str) -> impl Iterator<Item = &str> {
    let mut cursor = Cursor::new(text);
    let mut is_open = cursor.eat(b'[');
    std::iter::from_fn(move || {
        if !is_open || matches!(cursor.peek(), b']' | 0) {
            is_open = false;
            return None;
        }
        let element = cursor.value();
        cursor.eat(b',');
        Some(element)
    })
}

/// The members of an object, in the order received; `None` for any other value.
pub(crate) fn members(text: &ByteString) -> Option<Vec<Member>> {
    let mut cursor = Cursor::new(text);
    if !cursor.eat(b'{') {
        return None;
    }
    let mut members = Vec::with_capacity(8);
    while cursor.peek() == b'"' {
        let key = cursor.string();
        cursor.eat(b':');
        let json = text.slice_ref(cursor.value());
        members.push(Member { key: own(text, key)?, json });
        cursor.eat(b',');
    }
    Some(members)
}

/// The decoded string as a slice of `text` where it has no escapes; `None` where half a surrogate pair is in it.
pub(crate) fn own(text: &ByteString, quoted: Quoted<'_>) -> Option<ByteString> {
    if quoted.is_escaped {
        return serde_json::from_str::<String>(quoted.json).ok().map(ByteString::from);
    }
    Some(text.slice_ref(quoted.inner))
}

/// The decoded text of a JSON string; `None` for any other value.
pub(crate) fn text(json: &str) -> Option<Cow<'_, str>> {
    if !json.starts_with('"') {
        return None;
    }
    let quoted = Cursor::new(json).string();
    if quoted.is_escaped {
        return serde_json::from_str::<String>(json).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(quoted.inner))
}

/// As [`text`], sharing the memory of `json` where possible.
pub(crate) fn shared_text(json: &ByteString) -> Option<ByteString> {
    if !json.starts_with('"') {
        return None;
    }
    own(json, Cursor::new(json).string())
}

/// A string as JSON text.
pub(crate) fn quote(text: &str) -> ByteString {
    let mut json = String::with_capacity(text.len() + 2);
    push_quoted(&mut json, text);
    ByteString::from(json)
}

/// Writes a string as JSON text.
pub(crate) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut clean = 0;
    for (at, byte) in text.bytes().enumerate() {
        if is_plain(byte) {
            continue;
        }
        out.push_str(text.get(clean..at).unwrap_or_default());
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            _ => {
                out.push_str("\\u00");
                out.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
                out.push(char::from_digit(u32::from(byte & 0xf), 16).unwrap_or('0'));
            }
        }
        clean = at + 1;
    }
    out.push_str(text.get(clean..).unwrap_or_default());
    out.push('"');
}

/// How many bytes [`push_quoted`] writes.
pub(crate) fn quoted_bytes(text: &str) -> usize {
    let extra = |byte: u8| match byte {
        byte if is_plain(byte) => 0,
        b'"' | b'\\' => 1,
        _ => 5,
    };
    2 + text.len() + text.bytes().map(extra).sum::<usize>()
}

fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

/// The same value without the white space between its parts.
pub(crate) fn compact(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut cursor = Cursor::new(json);
    loop {
        match cursor.peek() {
            0 => return out,
            b'"' => out.push_str(cursor.string().json),
            byte @ (b'{' | b'}' | b'[' | b']' | b':' | b',') => {
                cursor.eat(byte);
                out.push(char::from(byte));
            }
            _ => out.push_str(cursor.scalar()),
        }
    }
}

/// The same value over several lines, for people. Numbers keep their digits and strings their escapes.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut cursor = Cursor::new(json);
    let mut depth = 0;
    loop {
        match cursor.peek() {
            0 => return out,
            b'"' => out.push_str(cursor.string().json),
            open @ (b'{' | b'[') => {
                cursor.eat(open);
                out.push(char::from(open));
                if !matches!(cursor.peek(), b'}' | b']') {
                    depth += 1;
                    push_line(&mut out, depth);
                } else if let close @ (b'}' | b']') = cursor.peek() {
                    cursor.eat(close);
                    out.push(char::from(close));
                }
            }
            close @ (b'}' | b']') => {
                cursor.eat(close);
                depth = depth.saturating_sub(1);
                push_line(&mut out, depth);
                out.push(char::from(close));
            }
            b',' => {
                cursor.eat(b',');
                out.push(',');
                push_line(&mut out, depth);
            }
            b':' => {
                cursor.eat(b':');
                out.push_str(": ");
            }
            _ => out.push_str(cursor.scalar()),
        }
    }
}

fn push_line(out: &mut String, depth: usize) {
    out.push('\n');
    (0..depth).for_each(|_| out.push_str("  "));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    fn a_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
            Just(Value::from("a \"quoted\" \\ {[, :]} \u{1} \u{2028} é")),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn members_and_elements_are_those_that_serde_json_sees(value in a_value(), is_pretty in any::<bool>()) {
            let json = if is_pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let json = ByteString::from(json.expect("JSON"));
            let parse = |json: &str| serde_json::from_str::<Value>(json).expect("JSON");
            let seen: Option<serde_json::Map<_, _>> = members(&json)
                .map(|members| members.iter().map(|m| (m.key.to_string(), parse(&m.json))).collect());
            prop_assert_eq!(seen, value.as_object().cloned());
            let seen: Vec<Value> = elements(&json).map(parse).collect();
            prop_assert_eq!(seen, value.as_array().cloned().unwrap_or_default());
            let seen = text(&json).map(Cow::into_owned);
            prop_assert_eq!(seen.as_deref(), value.as_str());
        }

        #[test]
        fn compact_and_pretty_change_white_space_alone(value in a_value()) {
            let json = serde_json::to_string(&value).expect("JSON");
            let indented = serde_json::to_string_pretty(&value).expect("JSON");
            prop_assert_eq!(compact(&indented), json.clone());
            prop_assert_eq!(pretty(&json), indented);
        }

        #[test]
        fn quoting_is_undone_by_parsing_and_counted_exactly(text in "(.|[\u{0}-\u{1f}\"\\\\]){0,40}") {
            let json = quote(&text);
            prop_assert_eq!(serde_json::from_str::<String>(&json).expect("a string"), text.clone());
            prop_assert_eq!(json.len(), quoted_bytes(&text));
        }

        #[test]
        fn text_that_is_not_json_neither_panics_nor_hangs(text in "[\\[\\]{}\",:\\\\ a1é]{0,40}") {
            let text = ByteString::from(text);
            let _ = (members(&text), elements(&text).count(), compact(&text), pretty(&text));
        }
    }
}
