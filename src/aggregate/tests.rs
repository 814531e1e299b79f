//! The format, read back from a small encoder of the tests' own. `tests/it/aggregates.rs` has encoders of others.

use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::decode::{Found, MESSAGE_EVENTS_MAX, decode};

const ALL: std::ops::RangeInclusive<u128> = 0..=u128::MAX;
/// MD5 of `k`, by another implementation.
pub(crate) const HASH_OF_K: u128 = 0x8CE4_B16B_22B5_8894_AA86_C421_E875_9DF3;

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7F | 0x80).unwrap());
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

/// A field whose type has a length.
fn sized(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len()), bytes].concat()
}

fn number(field: u8, number: usize) -> Vec<u8> {
    [&[field << 3][..], &varint(number)].concat()
}

/// A magic number, a protobuf message, and the MD5 that fits it.
fn signed(message: &[u8]) -> Bytes {
    [&MAGIC[..], message, &Md5::digest(message)[..]].concat().into()
}

fn record(fields: &[Vec<u8>]) -> Vec<u8> {
    sized(3, &fields.concat())
}

/// One record for each of these, all with the key `k`.
pub(crate) fn aggregate(data: &[&[u8]]) -> Bytes {
    let records = data.iter().map(|data| record(&[number(1, 0), sized(3, data)]));
    signed(&std::iter::once(sized(1, b"k")).chain(records).collect::<Vec<_>>().concat())
}

fn fault(bytes: &Bytes) -> Option<Unreadable> {
    read(bytes, 10).err()
}

fn in_all(message: &[Vec<u8>]) -> Vec<UserRecord> {
    user_records(&signed(&message.concat()), &ALL).expect("an aggregate")
}

fn keys(record: &UserRecord) -> (Option<&[u8]>, Option<&[u8]>) {
    (record.partition_key.as_deref(), record.explicit_hash_key.as_deref())
}

#[test]
fn what_only_looks_like_an_aggregate_is_told_from_one_that_is_broken() {
    let whole = aggregate(&[b"{}"]);
    for (bytes, expected) in [
        (whole.clone(), None),
        (aggregate(&[]), None),
        (signed(b""), None),
        (Bytes::new(), Some(Unreadable::NoMagic)),
        (Bytes::from_static(b"{}"), Some(Unreadable::NoMagic)),
        (whole.slice(1..), Some(Unreadable::NoMagic)),
        (whole.slice(..3), Some(Unreadable::NoMagic)),
        (whole.slice(..19), Some(Unreadable::TooShort)),
        (whole.slice(..whole.len() - 1), Some(Unreadable::WrongMd5)),
        ([&whole[..], b" "].concat().into(), Some(Unreadable::WrongMd5)),
        (signed(b"\x1a"), Some(Unreadable::Malformed)),
        (signed(&number(3, 0)), Some(Unreadable::Malformed)),
        (signed(&record(&[number(3, 0)])), Some(Unreadable::Malformed)),
        (signed(&record(&[number(1, 0)])), Some(Unreadable::NoData)),
        (aggregate(&[&b"{}"[..]; 10]), None),
        (aggregate(&[&b"{}"[..]; 11]), Some(Unreadable::TooMany(10))),
    ] {
        assert_eq!(fault(&bytes), expected, "{bytes:?}");
    }
}

#[test]
fn whatever_is_no_list_of_user_records_is_one_message_of_which_decode_says_what_is_wrong() {
    let tiny = aggregate(&[&b"{}"[..]; 101]);
    for (bytes, reason) in [
        (Bytes::from_static(b"no JSON"), Reason::NotJson),
        (signed(b"\x1a"), Reason::BrokenAggregate),
        (aggregate(&[b"{}"]).slice(..20), Reason::BrokenAggregate),
        (aggregate(&[]), Reason::NoEvents),
        (signed(b""), Reason::NoEvents),
        (tiny, Reason::TooManyEvents),
        (aggregate(&vec![&b""[..]; MESSAGE_EVENTS_MAX + 1]), Reason::TooManyEvents),
    ] {
        assert_eq!(user_records(&bytes, &ALL), None);
        let [part] = &*decode(bytes.clone()) else { panic!("one part for {reason:?}") };
        let Found::Rejected(rejection) = &part.found else { panic!("{reason:?} and no event") };
        assert_eq!((rejection.reason, &part.original), (reason, &bytes));
    }
}

#[test]
fn an_event_after_any_number_of_blank_records_is_not_passed_over() {
    let event = br#"{"eventName":"Last"}"#;
    let blanks = |count| vec![&b" "[..]; count];
    let parts = |records: &[&[u8]]| decode(aggregate(records)).into_iter().map(|part| part.found);
    let few: Vec<_> = parts(&[blanks(5_000), vec![event]].concat()).collect();
    assert!(matches!(*few, [Found::Event(_)]), "{few:?}");
    let many: Vec<_> = parts(&[vec![&event[..]], blanks(MESSAGE_EVENTS_MAX), vec![event]].concat()).collect();
    let [Found::Rejected(rejection)] = &*many else { panic!("{many:?}") };
    assert_eq!(rejection.reason, Reason::TooManyEvents);
}

#[test]
fn user_records_may_be_more_than_the_events_of_one_message() {
    let event = [b'7'; 40];
    let many = aggregate(&vec![&event[..]; 2 * MESSAGE_EVENTS_MAX]);
    let records = user_records(&many, &ALL).expect("an aggregate");
    assert_eq!(records.len(), 2 * MESSAGE_EVENTS_MAX);
    assert!(records.iter().all(|record| record.data == event[..]));
}

#[test]
fn the_last_field_of_a_kind_counts_and_unknown_ones_do_not() {
    let records = in_all(&[
        record(&[
            number(1, 0),
            sized(3, b"first"),
            number(1, 1),
            number(2, 7),
            number(2, 0),
            sized(4, b"\x0a\x01t"),
            sized(3, b"last"),
            b"\x31\0\0\0\0\0\0\0\0\x3d\0\0\0\0".to_vec(),
        ]),
        sized(9, b"unknown"),
        // Tables may come after the records that point into them.
        sized(1, b"a"),
        sized(2, b"17"),
        sized(1, b"b"),
        number(1, 3),
    ]);
    let [only] = &*records else { panic!("{records:?}") };
    assert_eq!((&*only.data, keys(only)), (&b"last"[..], (Some(&b"b"[..]), Some(&b"17"[..]))));
}

#[test]
fn a_key_that_is_not_there_or_no_number_costs_no_record() {
    let data = || sized(3, b"{}");
    let elsewhere = 1..=1;
    for (fields, expected, foreign) in [
        (vec![data()], (None, None), false),
        (vec![number(1, 0), data()], (Some("k"), None), true),
        (vec![number(1, 1), data()], (None, None), false),
        (vec![b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01".to_vec(), data()], (None, None), false),
        (vec![sized(1, b"k"), data()], (None, None), false),
        (vec![number(2, 0), data()], (None, Some("17")), true),
        (vec![number(1, 0), number(2, 1), data()], (Some("k"), Some("one")), false),
        (vec![number(1, 0), number(2, 2), data()], (Some("k"), Some("")), false),
        (vec![number(1, 0), number(2, 3), data()], (Some("k"), Some("\u{FFFD}")), false),
        (vec![number(1, 0), number(2, 4), data()], (Some("k"), None), false),
    ] {
        let message = [
            sized(1, b"k"),
            sized(2, b"17"),
            sized(2, b"one"),
            sized(2, b""),
            sized(2, b"\xff"),
            record(&fields),
        ];
        let records = user_records(&signed(&message.concat()), &elsewhere).expect("an aggregate");
        let text = |key: Option<&[u8]>| key.map(|key| String::from_utf8_lossy(key).into_owned());
        let (partition_key, explicit_hash_key) = keys(&records[0]);
        let found = (text(partition_key), text(explicit_hash_key));
        assert_eq!((found.0.as_deref(), found.1.as_deref()), expected, "{fields:?}");
        assert_eq!((records.len(), records[0].is_foreign), (1, foreign), "{fields:?}");
    }
}

#[test]
fn a_table_holds_no_more_keys_than_there_may_be_records() {
    let ten_keys = |field| (0..10).flat_map(move |at| sized(field, &[b'0' + at]));
    let pointing_at = |at| record(&[number(1, at), number(2, at), sized(3, b"")]);
    let message: Vec<u8> = [ten_keys(1), ten_keys(2)].into_iter().flatten().chain(pointing_at(9)).collect();
    let kept = |records_max| {
        let aggregate = read(&signed(&message), records_max).expect("an aggregate");
        (aggregate.records.len(), aggregate.partition_keys.len(), aggregate.explicit_hash_keys.len())
    };
    assert_eq!(kept(10), (1, 10, 10));
    assert_eq!(kept(7), (1, 7, 7));
}

#[test]
fn a_user_record_is_foreign_outside_of_the_shard_s_hash_keys_and_delivered_all_the_same() {
    let explicit = |text: &[u8]| signed(&[sized(2, text), record(&[number(2, 0), sized(3, b"")])].concat());
    let max = u128::MAX.to_string();
    for (bytes, range, foreign) in [
        (aggregate(&[b""]), HASH_OF_K..=HASH_OF_K, false),
        (aggregate(&[b""]), 0..=HASH_OF_K - 1, true),
        (aggregate(&[b""]), HASH_OF_K + 1..=u128::MAX, true),
        (explicit(b"0"), 0..=0, false),
        (explicit(b"0"), 1..=u128::MAX, true),
        (explicit(b"0017"), 17..=17, false),
        (explicit(max.as_bytes()), u128::MAX..=u128::MAX, false),
        (explicit(max.as_bytes()), 0..=u128::MAX - 1, true),
    ] {
        let records = user_records(&bytes, &range).expect("an aggregate");
        assert_eq!((records.len(), records[0].is_foreign), (1, foreign), "{range:?}");
    }
    // The explicit one counts, not the partition key.
    let both = [sized(1, b"k"), sized(2, b"17"), record(&[number(1, 0), number(2, 0), sized(3, b"")])];
    let records = user_records(&signed(&both.concat()), &(17..=17)).expect("an aggregate");
    assert!(!records[0].is_foreign);
}

#[test]
fn nothing_of_a_user_record_is_in_its_debug_form() {
    let text = format!("{:?}", user_records(&aggregate(&[b"secret"]), &ALL));
    assert_eq!(text, "Some([UserRecord { bytes: 6, is_foreign: false, .. }])");
}

/// What a producer hands over: the places of its keys in two tables, and its data.
type Given = (usize, Option<usize>, Vec<u8>);

fn encoded(partition_keys: &[Vec<u8>], hash_keys: &[u128], given: &[Given], tables_first: bool) -> Bytes {
    let mut tables: Vec<_> = partition_keys.iter().map(|key| sized(1, key)).collect();
    tables.extend(hash_keys.iter().map(|key| sized(2, key.to_string().as_bytes())));
    let records = given.iter().map(|(partition_key, hash_key, data)| {
        let hash_key = hash_key.map(|at| number(2, at)).unwrap_or_default();
        record(&[number(1, *partition_key), hash_key, sized(3, data)])
    });
    let mut message: Vec<_> = records.collect();
    message.splice(if tables_first { 0..0 } else { given.len()..given.len() }, tables);
    signed(&message.concat())
}

proptest! {
    /// Any bytes, and any bytes that an MD5 vouches for.
    #[test]
    fn no_bytes_cause_a_panic(bytes in vec(any::<u8>(), 0..200), start in any::<u128>(), end in any::<u128>()) {
        for bytes in [Bytes::from(bytes.clone()), signed(&bytes), signed(&sized(3, &bytes))] {
            let records = user_records(&bytes, &(start..=end));
            prop_assert!(records.is_none_or(|records| !records.is_empty()));
        }
    }

    /// Every user record comes out as it went in, in order, as a slice of the aggregate.
    #[test]
    fn what_was_aggregated_comes_out_again(
        partition_keys in vec(vec(any::<u8>(), 0..300), 3),
        hash_keys in vec(any::<u128>(), 3),
        given in vec((0..3_usize, option::of(0..3_usize), vec(any::<u8>(), 0..300)), 1..40),
        tables_first in any::<bool>(),
        middle in any::<u128>(),
    ) {
        let bytes = encoded(&partition_keys, &hash_keys, &given, tables_first);
        let records = user_records(&bytes, &(0..=middle)).expect("an aggregate");
        prop_assert_eq!(records.len(), given.len());
        for (found, (partition_key, hash_key, data)) in records.iter().zip(&given) {
            let explicit = hash_key.map(|at| hash_keys[at]);
            prop_assert_eq!(&found.data, data);
            prop_assert_eq!(found.partition_key.as_deref(), Some(&*partition_keys[*partition_key]));
            let written = explicit.map(|key| Bytes::from(key.to_string()));
            prop_assert_eq!(&found.explicit_hash_key, &written);
            let of_partition_key = || Md5::digest(&partition_keys[*partition_key]);
            let hash_key = explicit.unwrap_or_else(|| u128::from_be_bytes(of_partition_key().into()));
            prop_assert_eq!(found.is_foreign, hash_key > middle);
            let slice = found.data.as_ptr_range();
            let whole = bytes.as_ptr_range();
            prop_assert!(data.is_empty() || whole.start <= slice.start && slice.end <= whole.end);
        }
    }
}
