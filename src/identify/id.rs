//! From the id that was declared to the id that the lake accepts. In: JSON text. Out: an `EventId`.
//!
//! The lake wants 1 to 128 characters of `[-_A-Za-z0-9]`; real ids are ARNs, base64 and worse. An id that fits
//! stays as it is. Any other becomes [`RESERVED_PREFIX`] and its SHA-256. Ids that fit but begin with the prefix
//! are encoded as well, so that nobody can declare an id that equals the encoding of another.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytestring::ByteString;
use sha2::{Digest, Sha256};

use crate::{
    event::EventId,
    failure::{Reason, Rejection},
    json,
    limits::EVENT_ID_CHARS_MAX,
};

/// What every encoded id begins with, and no other wire id.
pub const RESERVED_PREFIX: &str = "tributary-";

/// Longest declared id in bytes. Beyond it no id is meant, and the original could not be kept beside the event.
pub const DECLARED_ID_BYTES_MAX: usize = 8_192;

const SHA_256_IN_BASE64: usize = 43;
const _: () = assert!(RESERVED_PREFIX.len() + SHA_256_IN_BASE64 <= EVENT_ID_CHARS_MAX);

/// Reads the value of the id's member, named `key`.
pub(super) fn event_id(json: Option<&ByteString>, key: &'static str) -> Result<EventId, Rejection> {
    let no_id = |what: &str| Rejection::new(Reason::NoId, format!("{key} {what}"));
    let json = json.filter(|json| &***json != "null").ok_or_else(|| no_id("is absent"))?;
    let declared = json::shared_text(json).ok_or_else(|| {
        no_id("is no string: numbers can be spelled in many ways, so they identify nothing")
    })?;
    if declared.is_empty() {
        return Err(no_id("is empty"));
    }
    if declared.len() > DECLARED_ID_BYTES_MAX {
        let sentence = format!("{key} has {} bytes, more than {DECLARED_ID_BYTES_MAX}", declared.len());
        return Err(Rejection::new(Reason::IdTooLong, sentence));
    }
    Ok(EventId { wire: wire(&declared), declared })
}

fn wire(declared: &ByteString) -> ByteString {
    let fits = declared.len() <= EVENT_ID_CHARS_MAX
        && declared.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if fits && !declared.starts_with(RESERVED_PREFIX) {
        return declared.clone();
    }
    let mut wire = String::with_capacity(RESERVED_PREFIX.len() + SHA_256_IN_BASE64);
    wire.push_str(RESERVED_PREFIX);
    URL_SAFE_NO_PAD.encode_string(Sha256::digest(declared.as_bytes()), &mut wire);
    ByteString::from(wire)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id_of(declared: &str) -> EventId {
        event_id(Some(&json::quote(declared)), "UID").expect("an id")
    }

    fn is_accepted_by_the_lake(wire: &str) -> bool {
        (1..=128).contains(&wire.len())
            && wire.chars().all(|c| matches!(c, '-' | '_' | 'A'..='Z' | 'a'..='z' | '0'..='9'))
    }

    #[test]
    fn an_id_that_fits_stays_as_it_is() {
        for declared in ["a", "-", "_", "d44c481f-edb8-4aa6-91a3-5679baa2871f", &"x".repeat(128)] {
            assert_eq!(id_of(declared).wire(), declared);
        }
    }

    #[test]
    fn any_other_id_is_encoded_and_kept() {
        let long = "x".repeat(129);
        for declared in ["a b", "arn:aws:s3:::b/k", "é", "\u{0}", &long, "tributary-", "tributary-abc"] {
            let id = id_of(declared);
            assert!(id.wire().starts_with(RESERVED_PREFIX) && is_accepted_by_the_lake(id.wire()));
            assert_eq!(id.declared(), declared);
            assert_ne!(id.wire(), declared);
        }
    }

    #[test]
    fn the_encoding_of_an_id_is_not_an_id_that_another_can_declare() {
        let victim = id_of("arn:aws:iam::1:user/a");
        assert_ne!(id_of(victim.wire()).wire(), victim.wire());
        assert_ne!(id_of(id_of(victim.wire()).wire()).wire(), victim.wire());
    }

    #[test]
    fn the_encoding_never_changes() {
        // Fixed for ever: an id too long for `UID` is stored there as its wire id, by which readers find duplicates.
        assert_eq!(id_of("a b").wire(), "tributary-yGh6CKpdbtIEQyj6aml6uOltw0KR6MIDSujDjm_MbWU");
    }

    fn an_id() -> impl Strategy<Value = String> {
        prop_oneof![
            ".{1,200}",
            "[-_A-Za-z0-9]{1,140}",
            "(tributary|tributary-|Tributary-)[-_A-Za-z0-9]{0,60}",
            "[-_a ]{1,3}".prop_map(|declared| id_of(&declared).wire().to_owned()),
            "[-_a ]{1,3}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn two_declared_ids_never_share_a_wire_id(a in an_id(), b in an_id()) {
            let (a, b) = (id_of(&a), id_of(&b));
            prop_assert!(is_accepted_by_the_lake(a.wire()));
            prop_assert_eq!(a.declared() == b.declared(), a.wire() == b.wire());
        }
    }
}
