//! One walk over one event: finds what `serde_json` lets pass, and hashes the event's canonical form.
//!
//! In: well-formed text of one object. Out: its members, and the SHA-256 over a binary form in which keys are
//! sorted, strings are decoded, numbers keep the digits that were written, and white space is gone. Sorting
//! brings duplicate keys side by side, so that one pass does both.

use bytestring::ByteString;
use sha2::{Digest, Sha256};

use crate::{
    event::{ContentHash, Member, RawEvent},
    failure::{Reason, Rejection},
    json::{self, Cursor, Quoted},
};

/// Deepest nesting that is followed. Below the 128 levels at which `serde_json` and others give up, because what
/// has no field of its own travels a few levels deeper in the lake than it came.
pub const DEPTH_MAX: usize = 120;

/// Reads one event. The text must have passed [`json::well_formed`].
pub(super) fn read(text: &ByteString) -> Result<RawEvent, Rejection> {
    let mut walk = Walk {
        cursor: Cursor::new(text),
        form: Vec::with_capacity(text.len() + text.len() / 2),
        spare: Vec::new(),
        entries: Vec::with_capacity(64),
    };
    walk.cursor.eat(b'{');
    walk.entries(1)?;
    let members = walk.entries.iter().map(|entry| entry.member(text)).collect::<Result<_, _>>()?;
    walk.sort(0, 0)?;
    let content_hash = ContentHash(Sha256::digest(&walk.form).into());
    Ok(RawEvent { json: text.clone(), members, content_hash })
}

/// The canonical form is prefix-free: `"` and a length before each string or number's bytes, `{ }` around the
/// members of an object, `[ ]` around the elements of an array.
struct Walk<'a> {
    cursor: Cursor<'a>,
    form: Vec<u8>,
    /// Where the members of an object are put in order.
    spare: Vec<u8>,
    /// The members of all objects that are open, the innermost last.
    entries: Vec<Entry<'a>>,
}

#[derive(Clone, Copy)]
struct Entry<'a> {
    key: Quoted<'a>,
    json: &'a str,
    /// Where the key stands in the text.
    at: usize,
    /// In the form: the length of the key, the key, its value.
    start: usize,
    key_start: usize,
    key_end: usize,
    end: usize,
}

impl Entry<'_> {
    fn member(&self, text: &ByteString) -> Result<Member, Rejection> {
        let key = json::own(text, self.key).ok_or_else(|| lone_surrogate(self.at))?;
        Ok(Member { key, json: text.slice_ref(self.json) })
    }
}

impl<'a> Walk<'a> {
    fn value(&mut self, depth: usize) -> Result<(), Rejection> {
        match self.cursor.peek() {
            b'{' => self.object(depth + 1),
            b'[' => self.array(depth + 1),
            b'"' => {
                let at = self.cursor.at();
                let quoted = self.cursor.string();
                self.string(quoted, at)
            }
            _ => {
                let scalar = self.cursor.scalar();
                self.bytes(b'#', scalar.as_bytes());
                Ok(())
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), Rejection> {
        shallow_enough(depth, self.cursor.at())?;
        self.cursor.eat(b'{');
        self.form.push(b'{');
        let (first, start) = (self.entries.len(), self.form.len());
        self.entries(depth)?;
        self.sort(first, start)?;
        self.cursor.eat(b'}');
        self.form.push(b'}');
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), Rejection> {
        shallow_enough(depth, self.cursor.at())?;
        self.cursor.eat(b'[');
        self.form.push(b'[');
        while !matches!(self.cursor.peek(), b']' | 0) {
            self.value(depth)?;
            self.cursor.eat(b',');
        }
        self.cursor.eat(b']');
        self.form.push(b']');
        Ok(())
    }

    /// Adds the members of the object whose brace was passed, in the order received.
    fn entries(&mut self, depth: usize) -> Result<(), Rejection> {
        while self.cursor.peek() == b'"' {
            let (at, start) = (self.cursor.at(), self.form.len());
            let key = self.cursor.string();
            self.string(key, at)?;
            let key_end = self.form.len();
            self.cursor.eat(b':');
            self.cursor.peek();
            let json = self.measured_value(depth)?;
            let key_start = start + PREFIX_BYTES;
            self.entries.push(Entry { key, json, at, start, key_start, key_end, end: self.form.len() });
            self.cursor.eat(b',');
        }
        Ok(())
    }

    fn measured_value(&mut self, depth: usize) -> Result<&'a str, Rejection> {
        let start = self.cursor.at();
        self.value(depth)?;
        Ok(self.cursor.since(start))
    }

    /// Puts the entries from `first` on in the order of their keys, in the form from `start` on, and drops them.
    fn sort(&mut self, first: usize, start: usize) -> Result<(), Rejection> {
        let form = &self.form;
        let key = |entry: &Entry<'_>| form.get(entry.key_start..entry.key_end).unwrap_or_default();
        let entries = self.entries.get_mut(first..).unwrap_or_default();
        if !entries.is_sorted_by(|a, b| key(a) < key(b)) {
            entries.sort_unstable_by(|a, b| key(a).cmp(key(b)));
            for pair in entries.windows(2) {
                if let [a, b] = pair
                    && key(a) == key(b)
                {
                    return Err(duplicate_key(a.at.max(b.at)));
                }
            }
            self.spare.clear();
            for entry in &*entries {
                self.spare.extend_from_slice(form.get(entry.start..entry.end).unwrap_or_default());
            }
            self.form.truncate(start);
            self.form.extend_from_slice(&self.spare);
        }
        self.entries.truncate(first);
        Ok(())
    }

    fn string(&mut self, quoted: Quoted<'_>, at: usize) -> Result<(), Rejection> {
        if !quoted.is_escaped {
            self.bytes(b'"', quoted.inner.as_bytes());
            return Ok(());
        }
        let decoded = serde_json::from_str::<String>(quoted.json).map_err(|_| lone_surrogate(at))?;
        self.bytes(b'"', decoded.as_bytes());
        Ok(())
    }

    fn bytes(&mut self, kind: u8, bytes: &[u8]) {
        self.form.push(kind);
        self.form.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.form.extend_from_slice(bytes);
    }
}

/// Kind and length, before the bytes of a string or a scalar.
const PREFIX_BYTES: usize = 1 + size_of::<u64>();

fn shallow_enough(depth: usize, at: usize) -> Result<(), Rejection> {
    if depth <= DEPTH_MAX {
        return Ok(());
    }
    let place = format!("nested deeper than {DEPTH_MAX} levels at byte {at} of the event");
    Err(Rejection::new(Reason::TooDeep, place))
}

fn duplicate_key(at: usize) -> Rejection {
    let place = format!("an object has the same key twice, the second at byte {at} of the event");
    Rejection::new(Reason::DuplicateKey, place)
}

fn lone_surrogate(at: usize) -> Rejection {
    let place = format!("half of a surrogate pair in the string at byte {at} of the event");
    Rejection::new(Reason::LoneSurrogate, place)
}
