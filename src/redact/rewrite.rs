//! Changes single values of a JSON text. In: well-formed text, and what is to be done at which places. Out: the text
//! in which exactly those values are gone or replaced; every other byte is as it was received.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    event::Note,
    jq::Step,
    json::{self, Cursor},
};

/// What stands in the place of a value that is masked, as JSON text.
const MASK: &str = "\"[masked]\"";

/// What is done to a value. Where several are asked for at one place, the first of these is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Act {
    /// Taken out, with its key.
    Drop,
    /// Replaced by its keyed hash: equal values can be told to be equal, and no more.
    Hash,
    /// Replaced by words that say so.
    Mask,
}

impl Act {
    fn done(self) -> &'static str {
        match self {
            Self::Drop => "dropped",
            Self::Hash => "hashed",
            Self::Mask => "masked",
        }
    }
}

/// The places to change, as a tree. What is done at a place is done to everything below it.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    act: Option<Act>,
    members: BTreeMap<String, Self>,
    elements: BTreeMap<usize, Self>,
}

impl Edits {
    pub(crate) fn add(&mut self, path: Vec<Step>, act: Act) {
        let place = path.into_iter().fold(self, |place, step| match step {
            Step::Key(key) => place.members.entry(key).or_default(),
            Step::At(at) => place.elements.entry(at).or_default(),
        });
        place.act = Some(place.act.map_or(act, |before| before.min(act)));
    }

    /// Whether the whole is to be changed: nothing of it would be left.
    pub(crate) fn is_of_the_whole(&self) -> bool {
        self.act.is_some()
    }
}

/// Changes `text` as `edits` say; a place that is not there changes nothing. One note for each change.
pub(crate) fn rewrite(text: &str, edits: &Edits, key: &[u8]) -> (String, Vec<Note>) {
    let mut rewriting =
        Rewriting { out: String::with_capacity(text.len()), key, path: String::new(), notes: Vec::new() };
    let mut cursor = Cursor::new(text);
    cursor.peek();
    rewriting.out.push_str(cursor.since(0));
    rewriting.value(&mut cursor, edits);
    rewriting.out.push_str(text.get(cursor.at()..).unwrap_or_default());
    (rewriting.out, rewriting.notes)
}

struct Rewriting<'a> {
    out: String,
    key: &'a [u8],
    /// Where the cursor stands, for notes.
    path: String,
    notes: Vec<Note>,
}

impl Rewriting<'_> {
    /// The cursor stands on a value that stays or is replaced. Recursion ends with the tree of edits.
    fn value(&mut self, cursor: &mut Cursor<'_>, edits: &Edits) {
        if let Some(act) = edits.act {
            let value = cursor.value();
            self.note(act);
            self.replace(value, act);
            return;
        }
        match cursor.peek() {
            b'{' if !edits.members.is_empty() => self.container(cursor, b'}', |_, key| {
                let key = json::text(key.unwrap_or_default())?;
                let edits = edits.members.get(&*key)?;
                Some((edits, Cow::Owned(format!(".{key}"))))
            }),
            b'[' if !edits.elements.is_empty() => self.container(cursor, b']', |at, _| {
                let edits = edits.elements.get(&at)?;
                Some((edits, Cow::Owned(format!("[{at}]"))))
            }),
            _ => self.out.push_str(cursor.value()),
        }
    }

    /// The cursor stands on the first byte of an object or an array. `edits_of` knows the edits of a child by its
    /// place and, in an object, its key, and how the place is called.
    fn container<'e>(
        &mut self,
        cursor: &mut Cursor<'_>,
        close: u8,
        edits_of: impl Fn(usize, Option<&str>) -> Option<(&'e Edits, Cow<'e, str>)>,
    ) {
        let open = cursor.peek();
        cursor.eat(open);
        self.out.push(char::from(open));
        let mut is_first = true;
        for at in 0.. {
            // A child begins with the white space before it and ends with the white space behind it.
            let start = cursor.at();
            let next = cursor.peek();
            if next == close || next == 0 {
                self.out.push_str(cursor.since(start));
                break;
            }
            let key = (close == b'}').then(|| cursor.string().json);
            if key.is_some() {
                cursor.eat(b':');
                cursor.peek();
            }
            let head = cursor.since(start);
            let found = edits_of(at, key);
            if let Some((Edits { act: Some(Act::Drop), .. }, name)) = &found {
                cursor.value();
                self.within(name, |this| this.note(Act::Drop));
                cursor.peek();
            } else {
                if !is_first {
                    self.out.push(',');
                }
                is_first = false;
                self.out.push_str(head);
                match found {
                    None => self.out.push_str(cursor.value()),
                    Some((edits, name)) => self.within(&name, |this| this.value(cursor, edits)),
                }
                let end = cursor.at();
                cursor.peek();
                self.out.push_str(cursor.since(end));
            }
            cursor.eat(b',');
        }
        cursor.eat(close);
        self.out.push(char::from(close));
    }

    fn within(&mut self, name: &str, work: impl FnOnce(&mut Self)) {
        let before = self.path.len();
        self.path.push_str(name);
        work(self);
        self.path.truncate(before);
    }

    fn replace(&mut self, value: &str, act: Act) {
        match act {
            Act::Drop => self.out.push_str("null"),
            Act::Mask => self.out.push_str(MASK),
            Act::Hash => {
                let plain = json::text(value).unwrap_or_else(|| Cow::Owned(json::compact(value)));
                self.out.push('"');
                push_hex(&mut self.out, &keyed_hash(self.key, plain.as_bytes()));
                self.out.push('"');
            }
        }
    }

    /// Names the place, never the value.
    fn note(&mut self, act: Act) {
        self.notes.push(format!("{}: {}", self.path, act.done()).into());
    }
}

fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a string cannot fail.
        write!(out, "{byte:02x}").ok();
    }
}

/// HMAC-SHA-256: <https://www.rfc-editor.org/rfc/rfc2104>.
fn keyed_hash(key: &[u8], text: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length, so this cannot fail.
    Hmac::<Sha256>::new_from_slice(key)
        .map(|mut hash| {
            hash.update(text);
            hash.finalize().into_bytes().to_vec()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
