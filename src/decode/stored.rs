//! What stands in a letter in the place of an event that was too large for it: where the event is kept, and how it is
//! recognised there. In: an object with the one key `tributary.stored`. Out: the object of S3 whose bytes are to be
//! read as if they were the message.
//!
//! ```json
//! {"tributary.stored":{"at":"s3://bucket/prefix/<sha256>","sha256":"<64 hexadecimal digits>","bytes":10485760}}
//! ```

use std::{fmt, str::FromStr};

use bytestring::ByteString;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{
    Found, MESSAGE_UNPACKED_BYTES_MAX, ObjectRef,
    envelope::{Opened, member, missing},
    notification::{bucket_name, hexadecimal, object_key},
};
use crate::{event::RawEvent, failure::Rejection, json};

/// The one key of a pointer.
const KEY: &str = "tributary.stored";
/// How a place in S3 begins; any other is a file.
const S3: &str = "s3://";

/// SHA-256 of bytes exactly as they are, unlike [`crate::event::ContentHash`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sum([u8; 32]);

impl Sum {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The digest itself.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sum {
    type Err = ();

    /// Reads what `Display` writes.
    fn from_str(digits: &str) -> Result<Self, ()> {
        let pair = |pair: &[u8]| match *pair {
            [high, low] => Some(hexadecimal(high)? << 4 | hexadecimal(low)?),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(pair).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or(())
    }
}

/// A pointer to bytes that are kept `at` a place: `s3://bucket/key`, or a file.
pub(crate) fn pointer(at: &str, sum: Sum, bytes: u64) -> String {
    json!({ KEY: { "at": at, "sha256": sum.to_string(), "bytes": bytes } }).to_string()
}

/// What a pointer says: where bytes are kept, which sum they have, and how many they are. `None` where it is no pointer.
pub(crate) fn pointed(text: &str) -> Option<(String, Sum, u64)> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    let stored = value.get(KEY)?;
    let (at, sum) = (stored["at"].as_str()?, stored["sha256"].as_str()?.parse().ok()?);
    Some((at.to_owned(), sum, stored["bytes"].as_u64()?))
}

/// `None` where it is no pointer. Told by the whole signature, as every envelope.
pub(super) fn open(raw: &RawEvent) -> Option<Result<Opened, Rejection>> {
    let [only] = &*raw.members else { return None };
    let value = &only.json;
    let text = |key| member(value, key).as_ref().and_then(json::shared_text);
    let (at, sum) = (text("at")?, text("sha256")?.parse().ok()?);
    let bytes = member(value, "bytes")?.parse().ok()?;
    Some(object(&at, sum, bytes).map(Found::Object).map(Opened::Instead))
}

fn object(at: &str, sum: Sum, bytes: u64) -> Result<ObjectRef, Rejection> {
    let Some((bucket, key)) = at.strip_prefix(S3).and_then(|place| place.split_once('/')) else {
        return Err(missing(
            "the event of this letter is kept in a file and not in S3, where no worker looks for it: put the file in a \
             bucket of objects.buckets, and write where into this pointer",
        ));
    };
    if bytes > MESSAGE_UNPACKED_BYTES_MAX as u64 {
        return Err(missing("the pointer of this letter names more bytes than any letter is written for"));
    }
    Ok(ObjectRef {
        bucket: bucket_name(Some(ByteString::from(bucket)))?,
        key: object_key(Some(key.to_owned()))?,
        version: None,
        bytes: Some(bytes),
        whole: Some(sum),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decode::decode, failure::Reason};

    const DIGITS: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn found(body: String) -> Found {
        decode(body.into()).remove(0).found
    }

    #[test]
    fn a_pointer_leads_to_the_object_with_its_sum() {
        let sum = Sum::of(b"hello");
        assert_eq!(sum.to_string(), DIGITS);
        for key in [DIGITS, "a b/c+%2B/\"é", "/"] {
            let pointer = pointer(&format!("s3://over-flow/{key}"), sum, 5);
            let Found::Object(object) = found(pointer) else { panic!("{key}") };
            assert_eq!((&*object.bucket, &*object.key), ("over-flow", key));
            assert_eq!((object.bytes, object.whole), (Some(5), Some(sum)));
        }
    }

    #[test]
    fn what_only_looks_like_a_pointer_is_an_event() {
        let whole = pointer("s3://over-flow/a", Sum::of(b""), 0);
        let more = whole.replacen('{', "{\"id\":1,", 1);
        let upper = whole.replace('e', "x");
        let (short, number) = (whole.replace("b855", "b8"), whole.replace("\"bytes\":0", "\"bytes\":-1"));
        for body in [more, upper, short, number, format!("{{\"{KEY}\":1}}"), format!("{{\"{KEY}\":{{}}}}")] {
            assert!(matches!(found(body.clone()), Found::Event(_)), "{body}");
        }
    }

    #[test]
    fn what_cannot_be_read_again_says_so() {
        let sum = Sum::of(b"");
        for (at, bytes, word) in [
            ("/var/lib/tributary/letters/a", 1, "file"),
            ("s3://bucket-alone", 1, "file"),
            ("s3:///key", 1, "names no S3 object"),
            ("s3://over-flow/", 1, "names no S3 object"),
            ("s3://over-flow/a", MESSAGE_UNPACKED_BYTES_MAX as u64 + 1, "more bytes"),
        ] {
            let Found::Rejected(rejection) = found(pointer(at, sum, bytes)) else { panic!("{at}") };
            assert_eq!(rejection.reason, Reason::BrokenEnvelope);
            assert!(rejection.detail.contains(word), "{at}: {rejection}");
        }
    }

    /// Its event has the place that it had in its first message, which two of one message would share.
    #[test]
    fn a_pointer_stands_alone() {
        let one = pointer("s3://over-flow/a", Sum::of(b""), 0);
        for body in [format!("[{one},{one}]"), format!("{one}\n{{\"a\":1}}")] {
            let parts = decode(body.into());
            assert!(parts.iter().all(|part| !matches!(part.found, Found::Object(_))), "{parts:?}");
            let Found::Rejected(rejection) = &parts[0].found else { panic!("{parts:?}") };
            assert_eq!(rejection.reason, Reason::BrokenEnvelope);
            assert_eq!(parts[0].original, one.as_bytes());
        }
    }
}
