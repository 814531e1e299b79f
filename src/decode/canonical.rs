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
    let mut walk = Walk::over(text);
    walk.object(1)?;
    let content_hash = ContentHash(Sha256::digest(&walk.form).into());
    Ok(RawEvent { json: text.clone(), members: walk.members, content_hash })
}

/// SHA-256 over the canonical form of any value. The text must be well-formed; of what has no canonical form (too deep,
/// a key twice) the text itself is hashed.
pub fn hash(text: &str) -> ContentHash {
    let text = ByteString::from(text);
    let mut walk = Walk::over(&text);
    match walk.value(0) {
        Ok(()) => ContentHash(Sha256::digest(&walk.form).into()),
        Err(_) => ContentHash(Sha256::digest(text.as_bytes()).into()),
    }
}

/// The canonical form can be read in one way only: `"` before a string and `#` before any other scalar, [`END`]
/// after both, `{ }` around the members of an object, `[ ]` around the elements of an array.
struct Walk<'a> {
    text: &'a ByteString,
    cursor: Cursor<'a>,
    /// Of the outermost object.
    members: Vec<Member>,
    form: Vec<u8>,
    /// Where the members of an object are put in order.
    spare: Vec<u8>,
    /// The members of all objects that are open, the innermost last.
    places: Vec<Place>,
}

/// Where a member is.
#[derive(Clone, Copy)]
struct Place {
    /// The first bytes of the key: enough to tell most keys apart.
    head: u64,
    /// In the form: the key with its marks, then its value.
    start: usize,
    key_end: usize,
    end: usize,
    /// In the text.
    at: usize,
}

impl<'a> Walk<'a> {
    fn over(text: &'a ByteString) -> Self {
        Self {
            text,
            cursor: Cursor::new(text),
            // A member of a usual record takes about 40 bytes; what is reserved stays in proportion to the text.
            members: Vec::with_capacity(text.len().div_ceil(40).min(32)),
            form: Vec::with_capacity(text.len() + 64),
            spare: Vec::new(),
            places: Vec::with_capacity(32),
        }
    }

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
        let (first, start) = (self.places.len(), self.form.len());
        self.members(depth)?;
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
    fn members(&mut self, depth: usize) -> Result<(), Rejection> {
        while self.cursor.peek() == b'"' {
            let (at, start) = (self.cursor.at(), self.form.len());
            let key = self.cursor.string();
            self.string(key, at)?;
            let key_end = self.form.len();
            self.cursor.eat(b':');
            self.cursor.peek();
            let json_at = self.cursor.at();
            self.value(depth)?;
            if depth == 1 {
                let key = json::own(self.text, key).ok_or_else(|| lone_surrogate(at))?;
                let json = self.text.slice_ref(self.cursor.since(json_at));
                self.members.push(Member { key, json });
            }
            let head = head(self.form.get(start..key_end).unwrap_or_default());
            self.places.push(Place { head, start, key_end, end: self.form.len(), at });
            self.cursor.eat(b',');
        }
        Ok(())
    }

    /// Puts the members from `first` on in the order of their keys, in the form from `start` on, and forgets
    /// their places.
    fn sort(&mut self, first: usize, start: usize) -> Result<(), Rejection> {
        let form = &self.form;
        let key = |place: &Place| form.get(place.start..place.key_end).unwrap_or_default();
        let order = |a: &Place, b: &Place| a.head.cmp(&b.head).then_with(|| key(a).cmp(key(b)));
        let places = self.places.get_mut(first..).unwrap_or_default();
        if !places.is_sorted_by(|a, b| order(a, b).is_lt()) {
            places.sort_unstable_by(order);
            for pair in places.windows(2) {
                if let [a, b] = pair
                    && order(a, b).is_eq()
                {
                    return Err(duplicate_key(a.at.max(b.at)));
                }
            }
            self.spare.clear();
            for place in &*places {
                self.spare.extend_from_slice(form.get(place.start..place.end).unwrap_or_default());
            }
            self.form.truncate(start);
            self.form.extend_from_slice(&self.spare);
        }
        self.places.truncate(first);
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
        self.form.extend_from_slice(bytes);
        self.form.push(END);
    }
}

/// A byte that no UTF-8 text holds.
const END: u8 = 0xFF;

/// A number for the first bytes of a key, in the same order as the keys. Keys that begin alike are compared whole.
fn head(key: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    let count = key.len().min(bytes.len());
    if let (Some(bytes), Some(key)) = (bytes.get_mut(..count), key.get(..count)) {
        bytes.copy_from_slice(key);
    }
    u64::from_be_bytes(bytes)
}

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
