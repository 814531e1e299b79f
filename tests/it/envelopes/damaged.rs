//! Packed bytes that were cut off or changed: one rejection that keeps them all, with a reason of its own.

use tributary::decode::{Found, decode};

use super::{
    AGGREGATE, kind, kinds,
    wrapping::{aggregate, event, from_base64, gzip, signed},
};

/// The one rejection that holds all of `body`: its reason.
fn whole(body: &[u8]) -> String {
    let parts = decode(body.to_vec().into());
    assert_eq!(parts.len(), 1);
    assert!(matches!(parts[0].found, Found::Rejected(_)), "{:?}", parts[0].found);
    assert_eq!(&*parts[0].original, body);
    kind(&parts[0])
}

#[test]
fn gzip_that_is_cut_off_anywhere_is_kept_whole() {
    let packed = gzip(format!("[{},{}]", event(1), event(2)));
    for length in 2..packed.len() {
        assert_eq!(whole(&packed[..length]), "broken_gzip", "{length}");
    }
    let two = [packed.clone(), packed.clone()].concat();
    for length in packed.len() + 1..two.len() {
        assert_eq!(whole(&two[..length]), "broken_gzip", "{length}");
    }
}

#[test]
fn gzip_that_was_changed_anywhere_is_kept_whole_or_says_the_same() {
    let packed = gzip(event(1));
    // Of the last byte before the checksum and the length, not every bit is used.
    let last_of_data = packed.len() - 9;
    let mut unchanged = 0;
    for at in 0..packed.len() {
        for bit in 0..8 {
            let mut body = packed.clone();
            body[at] ^= 1 << bit;
            if at < 2 {
                // No magic number, so no gzip: binary data that nobody knows.
                assert_eq!(whole(&body), "not_utf8", "{at}");
            } else if kinds(body.clone()) == ["event"] {
                assert!((3..10).contains(&at) || at == last_of_data, "byte {at} is under a checksum");
                unchanged += 1;
            } else {
                assert_eq!(whole(&body), "broken_gzip", "{at}");
            }
        }
    }
    // The header's time, its hints, and the flag for text, which mean nothing.
    assert!(unchanged > 0);
    assert_eq!(whole(&[&*packed, b"rest"].concat()), "broken_gzip");
}

#[test]
fn an_aggregate_that_was_changed_or_cut_off_anywhere_is_kept_whole() {
    let packed = from_base64(AGGREGATE);
    for length in 4..packed.len() {
        assert_eq!(whole(&packed[..length]), "broken_aggregate", "{length}");
    }
    for at in 4..packed.len() {
        let mut body = packed.clone();
        body[at] ^= 0x10;
        assert_eq!(whole(&body), "broken_aggregate", "{at}");
    }
}

#[test]
fn an_aggregate_whose_digest_fits_nonsense_is_kept_whole() {
    let endless = [0xFF; 11];
    for message in [
        &b"\x1a"[..],
        b"\x1a\x05\x1a",
        b"\x1a\x02\x08\x00",
        b"\x1a\x02\x18\x00",
        b"\x18\x00",
        b"\x1a\x06\x1a\xff\xff\xff\xff\x7f",
        b"\x0b\x0c",
        b"\x0f",
        b"\x09\x00",
        &endless,
        &[&[0x1A][..], &[0xFF; 9], &[0x01]].concat(),
    ] {
        assert_eq!(whole(&signed(message)), "broken_aggregate", "{message:?}");
    }
}

#[test]
fn fields_of_an_aggregate_that_nobody_knows_are_passed_over() {
    let inner =
        [&b"\x08\x00\x10\x01\x22\x03\x0a\x01t\x1a\x02{}\x31\0\0\0\0\0\0\0\0\x3d\0\0\0\0"[..]].concat();
    let length = u8::try_from(inner.len()).expect("short");
    let message = [&b"\x0a\x01k\x12\x011\x1a"[..], &[length], &inner, b"\x22\x01x\x28\x80\x01"].concat();
    assert_eq!(kinds(signed(&message)), ["event"]);
    assert_eq!(kinds(aggregate(&[b"", b" "])), ["no_events"]);
}
