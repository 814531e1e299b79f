//! What comes out of the packer, for a queue and for a stream.

use proptest::prelude::*;

use super::*;

fn event(text: &str) -> Located {
    Located { line: 1, piece: Piece::Event(text.as_bytes().to_vec()) }
}

fn pack(limits: Limits, pieces: Vec<Located>) -> Vec<Batch> {
    let mut packer = Packer::new(limits);
    let mut batches = Vec::new();
    for piece in pieces {
        packer.push(piece).unwrap();
        batches.extend(packer.take_full());
    }
    batches.extend(packer.finish());
    batches
}

fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.body).unwrap()
}

#[test]
fn events_share_a_message_as_lines_and_odd_lines_travel_alone() {
    let odd = Located { line: 3, piece: Piece::AsItIs(b"odd".to_vec()) };
    let pieces = vec![event("{1}"), event("{\n2}"), odd, event("{3}"), event("{4}"), event("{5}")];
    let batches = pack(Limits::of_queue(2), pieces);
    let bodies: Vec<_> = batches.iter().flatten().map(|m| (text(m), m.events)).collect();
    assert_eq!(bodies, [("{1}\n{ 2}", 2), ("odd", 1), ("{3}\n{4}", 2), ("{5}", 1)]);
}

#[test]
fn one_event_in_a_message_keeps_every_byte() {
    for limits in [Limits::of_queue(1), Limits::of_stream(16)] {
        assert_eq!(text(&pack(limits, vec![event("{\n2}")])[0][0]), "{\n2}");
    }
}

#[test]
fn what_no_message_carries_is_named() {
    for (piece, part) in [
        (Piece::Event(vec![0xff]), "not UTF-8"),
        (Piece::AsItIs(b"\x01".to_vec()), "character"),
        (Piece::Event("\"\u{ffff}\"".into()), "character"),
        (Piece::TooLarge(2_000_000), "2000000 bytes, and a message holds 1048576"),
        (Piece::EndsEarly, "inside an array"),
    ] {
        let unsendable = Packer::new(Limits::of_queue(1)).push(Located { line: 7, piece }).unwrap_err();
        assert!(unsendable.line == 7 && unsendable.reason.contains(part), "{unsendable:?}");
    }
}

#[test]
fn a_record_carries_any_bytes_up_to_its_size() {
    let packer = || Packer::new(Limits::of_stream(16));
    for bytes in [vec![0xff], b"\x01".to_vec()] {
        assert_eq!(packer().push(Located { line: 7, piece: Piece::AsItIs(bytes) }), Ok(()));
    }
    let large = packer().push(Located { line: 7, piece: Piece::TooLarge(20_000_000) }).unwrap_err();
    assert_eq!(large.reason, "20000000 bytes, and a record holds 10485744");
}

proptest! {
    // The cases are large because the limits are; few of them tell.
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Every event is in exactly one message, in order; every batch is within the limits of SQS.
    #[test]
    fn nothing_is_lost_and_every_batch_fits(
        sizes in prop::collection::vec((1_usize..1_000_000, any::<bool>()), 1..8),
        events_per_message in 1_u32..5,
    ) {
        let batches = pack(Limits::of_queue(events_per_message), pieces(&sizes));
        let bodies = batches.iter().flatten();
        let packed: Vec<_> = bodies.flat_map(|message| text(message).split('\n').map(str::len)).collect();
        prop_assert_eq!(packed, sizes.into_iter().map(|(size, _)| size).collect::<Vec<_>>());
        for batch in &batches {
            prop_assert!((1..=10).contains(&batch.len()));
            prop_assert!(batch.iter().map(|message| message.body.len()).sum::<usize>() <= limits::SQS_BYTES_MAX);
            prop_assert!(batch.iter().all(|message| message.events <= events_per_message));
        }
    }

    /// Every event is a record, in order; every batch is within the limits of Kinesis.
    #[test]
    fn every_event_is_a_record_and_every_batch_fits(
        few in prop::collection::vec((1_usize..10_485_744, any::<bool>()), 1..4),
        many in prop::collection::vec((1_usize..20_000, any::<bool>()), 0..1_200),
    ) {
        let sizes: Vec<_> = few.into_iter().chain(many).collect();
        let batches = pack(Limits::of_stream(16), pieces(&sizes));
        let packed: Vec<_> = batches.iter().flatten().map(|message| (message.body.len(), message.events)).collect();
        prop_assert_eq!(packed, sizes.into_iter().map(|(size, _)| (size, 1)).collect::<Vec<_>>());
        for batch in &batches {
            let bytes: usize = batch.iter().map(|message| message.body.len() + 16).sum();
            prop_assert!((1..=500).contains(&batch.len()) && bytes <= limits::KINESIS_PUT_BYTES_MAX);
            prop_assert!(bytes <= 5_242_880 || batch.len() == 1);
        }
    }
}

fn pieces(sizes: &[(usize, bool)]) -> Vec<Located> {
    let piece = |(size, is_event): &(usize, bool)| {
        let bytes = vec![b'x'; *size];
        Located { line: 1, piece: if *is_event { Piece::Event(bytes) } else { Piece::AsItIs(bytes) } }
    };
    sizes.iter().map(piece).collect()
}
