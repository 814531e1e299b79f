//! However small a message is packed, it costs no more than one of its size may.

use std::fmt::Write;

use bytes::Bytes;
use tributary::decode::{MESSAGE_EVENTS_MAX, MESSAGE_UNPACKED_BYTES_MAX, Unpacked, decode, unpack};

use super::{
    kind, kinds,
    wrapping::{aggregate, base64, event, firehose, gzip, sns},
};

const MIB: usize = 1_048_576;

/// An event and as much white space as makes it so long.
fn padded(bytes: usize) -> Vec<u8> {
    let mut body = event(1).into_bytes();
    body.resize(bytes, b' ');
    body
}

/// Text that does not shrink much: about so many bytes of events.
fn dense(bytes: usize) -> String {
    let mut random = 1_u64;
    let mut text = String::new();
    while text.len() < bytes {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        writeln!(text, r#"{{"eventName":"E","eventID":"{random:016x}","padding":"{}"}}"#, "x".repeat(200))
            .expect("memory");
    }
    text
}

fn added(body: impl Into<Bytes>) -> (String, usize) {
    let Unpacked { parts, added_bytes } = unpack(body.into());
    (kind(&parts[0]), added_bytes)
}

#[test]
fn a_small_message_may_unpack_to_a_mebibyte_and_not_to_a_byte_more() {
    assert_eq!(added(gzip(padded(MIB))), ("event".to_owned(), MIB));
    let over = gzip(padded(MIB + 1));
    assert!(over.len() < MIB / 200, "{} bytes", over.len());
    let parts = decode(over.clone().into());
    assert_eq!(kind(&parts[0]), "too_large_unpacked");
    assert_eq!(&*parts[0].original, &*over);
    assert_eq!(added(over), ("too_large_unpacked".to_owned(), 0));
}

#[test]
fn a_larger_message_may_unpack_to_two_hundred_times_its_size() {
    let packed = gzip(padded(8 * MIB));
    assert!(packed.len() * 200 < 8 * MIB, "{} bytes", packed.len());
    assert_eq!(kinds(packed.clone()), ["too_large_unpacked"]);
    // The same in a message that is long for another reason: what counts is what the sender had to send.
    let filler = format!("{{\"a\":\"{}\"}}", "x".repeat(8 * MIB / 200));
    let found = kinds(aggregate(&[filler.as_bytes(), &packed]));
    assert_eq!(found, ["event", "event"]);
}

#[test]
fn no_message_may_unpack_to_more_than_sixteen_mebibytes() {
    let filler = format!("{{\"a\":\"{}\"}}", "x".repeat(MIB));
    let with = |bytes| kinds(aggregate(&[filler.as_bytes(), &gzip(padded(bytes))]));
    assert_eq!(with(MESSAGE_UNPACKED_BYTES_MAX), ["event", "event"]);
    assert_eq!(with(MESSAGE_UNPACKED_BYTES_MAX + 1), ["event", "too_large_unpacked"]);
}

#[test]
fn layers_and_neighbours_share_one_bound() {
    // Each by itself would be allowed.
    let half = gzip(padded(MIB / 2));
    let found = kinds(firehose(&[half.clone(), half.clone(), half.clone()]));
    assert_eq!(found, ["event", "event", "too_large_unpacked"]);
    let nested = gzip(gzip(padded(MIB)));
    assert_eq!(kinds(nested), ["too_large_unpacked"]);
    let nested = gzip(base64(gzip(padded(MIB - 10_000))));
    assert_eq!(kinds(nested), ["event"]);
}

#[test]
fn a_bomb_ends_early_alone_or_in_numbers() {
    let bomb = gzip(vec![0; 64 * MIB]);
    assert!(bomb.len() < MIB / 10);
    assert_eq!(added(bomb.clone()), ("too_large_unpacked".to_owned(), 0));
    assert_eq!(added(gzip(gzip(gzip(&bomb)))).0, "too_large_unpacked");
    let after = kinds(firehose(&[bomb.clone(), gzip(event(1))]));
    assert_eq!(after, ["too_large_unpacked", "too_large_unpacked"], "what a bomb used up is used up");
    let many = kinds(firehose(&vec![bomb; 12]));
    assert!(many.iter().all(|kind| kind == "too_large_unpacked") && many.len() == 12, "{many:?}");
}

#[test]
fn real_text_of_many_events_is_within_the_bounds_and_weighed() {
    let text = dense(2 * MIB);
    let packed = gzip(&text);
    let Unpacked { parts, added_bytes } = unpack(sns(base64(&packed)).into());
    assert_eq!((parts.len(), added_bytes), (text.lines().count(), text.len()));
    assert_eq!(added(event(1)), ("event".to_owned(), 0));
    assert_eq!(added(sns(event(1))), ("event".to_owned(), 0));
}

#[test]
fn tiny_events_are_counted_against_the_unpacked_length() {
    let events = |count: usize| event(1).repeat(count).replace("}{", "}\n{");
    // Far fewer than 100 packed bytes for each, and enough unpacked.
    assert_eq!(kinds(gzip(events(500))).len(), 500);
    // As short as an event of a mapped format may be.
    let short: Vec<_> =
        (0..500).map(|at| format!("{{\"id\":\"{at:04}\",\"t\":17,\"do\":\"get\"}}")).collect();
    assert_eq!(kinds(short.join("\n")).len(), 500);
    assert_eq!(kinds(gzip("{}\n".repeat(101))), ["too_many_events"]);
    assert_eq!(kinds(gzip("{}\n".repeat(100))).len(), 100);
    let many = aggregate(&vec![&b"{}"[..]; MESSAGE_EVENTS_MAX + 5]);
    assert_eq!(kinds(many.clone()), ["too_many_events"]);
    assert_eq!(&*decode(many.clone().into())[0].original, &*many);
    assert_eq!(unpack(gzip("{}\n".repeat(101)).into()).added_bytes, 0);
}

/// Its letter packs it again. However an event was packed, its letter and its hash are those of its own bytes.
#[test]
fn an_event_larger_than_any_message_is_kept_unpacked() {
    let event = format!("{{\"a\":\"{}\"}}", dense(2 * MIB).replace(['"', '\n'], ""));
    let parts = decode(gzip(event.clone()).into());
    assert_eq!(kind(&parts[0]), "event");
    assert!(parts[0].original == event.as_bytes(), "other bytes");
}

#[test]
fn a_bucket_s_name_is_not_repeated_before_it_is_known_to_be_one() {
    let keys = vec!["7"; MESSAGE_EVENTS_MAX].join(",");
    let body = format!(r#"{{"s3Bucket":"{}","s3ObjectKey":[{keys}]}}"#, "b".repeat(MIB));
    assert_eq!(kinds(body), ["broken_envelope"]);
}
