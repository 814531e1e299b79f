//! Every byte of a message that nothing was wrapped around is in some part, or is what stands between parts.

use bytes::Bytes;
use tributary::decode::Decoded;

/// Of envelopes, whose other members go nowhere. Keys can be written with escapes too.
const ENVELOPES: [&str; 11] = [
    "TopicArn",
    "detail-type",
    "\"Event\"",
    "s3ObjectKey",
    "logEvents",
    "awslogs",
    "\"Sns\"",
    "records",
    "ventData",
    "aws:",
    "\\u",
];

/// Its records are slices of the message too.
const AGGREGATE: &[u8] = b"\xF3\x89\x9A\xC2";

/// What stands between parts, white space aside.
const BETWEEN: [&[u8]; 7] =
    [b"{\"Records\":", b"{\"auditEvents\":", b"[", b"]", b",", b"}", "\u{feff}".as_bytes()];

/// # Panics
/// Where bytes went nowhere.
pub(crate) fn assert_accounted(body: &Bytes, parts: &[Decoded]) {
    let has = |key: &&str| body.windows(key.len()).any(|window| window == key.as_bytes());
    let start = body.as_ptr() as usize;
    let place = |part: &Decoded| {
        let at = (part.original.as_ptr() as usize).checked_sub(start)?;
        (at + part.original.len() <= body.len()).then_some((at, part.original.len()))
    };
    let places: Option<Vec<_>> = parts.iter().map(place).collect();
    let is_wrapped = body.starts_with(AGGREGATE) || ENVELOPES.iter().any(|key| has(&key));
    let Some(places) = places.filter(|_| !is_wrapped) else { return };
    let mut end = 0;
    for (at, length) in places {
        assert!(at >= end, "parts overlap, or stand in another order");
        assert_between(&body[end..at]);
        end = at + length;
    }
    assert_between(&body[end..]);
}

fn assert_between(bytes: &[u8]) {
    let joined: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let mut rest = &joined[..];
    while !rest.is_empty() {
        let passed = BETWEEN.iter().find_map(|token| rest.strip_prefix(*token));
        rest = passed.expect("bytes went nowhere");
    }
}
