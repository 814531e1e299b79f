//! Packs pieces into messages and messages into batches that SQS takes. In: located pieces. Out: [`Batch`]es, and
//! for each piece that no message can carry the reason. Pure.

use std::sync::Arc;

use crate::{
    aws::sqs::carries,
    command::enqueue::cut::{Located, Piece},
    limits,
};

/// Several events share a message only up to this size: queues made before the limit was raised to 1 MiB keep it.
const SHARED_BYTES_MAX: usize = 262_144;

/// One message to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) body: String,
    /// Events in it; 1 for a piece that is sent as it is.
    pub(crate) events: u32,
    /// Where its first event begins.
    pub(crate) file: Arc<str>,
    pub(crate) line: u64,
}

/// Up to ten messages and 1 MiB.
pub(crate) type Batch = Vec<Message>;

/// A piece that no message can carry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unsendable {
    pub(crate) line: u64,
    pub(crate) reason: String,
}

/// Collects until a batch is full.
pub(crate) struct Packer {
    events_per_message: u32,
    file: Arc<str>,
    open: Option<Message>,
    batch: Batch,
    full: Vec<Batch>,
}

impl Packer {
    pub(crate) fn new(events_per_message: u32) -> Self {
        Self { events_per_message, file: Arc::from(""), open: None, batch: Batch::new(), full: Vec::new() }
    }

    /// The pieces that follow are of this file. No message spans two files.
    pub(crate) fn begin_file(&mut self, name: &str) {
        self.file = Arc::from(name);
        self.close();
    }

    /// Takes one piece. Afterwards [`Packer::take_full`] may give batches.
    ///
    /// # Errors
    /// No message can carry the piece.
    pub(crate) fn push(&mut self, located: Located) -> Result<(), Unsendable> {
        let Located { line, piece } = located;
        let unsendable = |reason: String| Unsendable { line, reason };
        let (bytes, is_event) = match piece {
            Piece::Event(bytes) => (bytes, true),
            Piece::AsItIs(bytes) => (bytes, false),
            Piece::TooLarge(bytes) => {
                let most = limits::SQS_BYTES_MAX;
                return Err(unsendable(format!("{bytes} bytes, and a message holds {most}")));
            }
            Piece::EndsEarly => return Err(unsendable("the file ends inside an array".into())),
        };
        let body = sendable(bytes).map_err(|reason| unsendable(reason.into()))?;
        let message = Message { body, events: 1, file: Arc::clone(&self.file), line };
        if self.events_per_message > 1 && is_event {
            self.join(message);
        } else {
            self.close();
            self.add(message);
        }
        Ok(())
    }

    /// The batches that are full.
    pub(crate) fn take_full(&mut self) -> Vec<Batch> {
        std::mem::take(&mut self.full)
    }

    /// What is left at the end.
    pub(crate) fn finish(mut self) -> Vec<Batch> {
        self.close();
        if !self.batch.is_empty() {
            self.full.push(self.batch);
        }
        self.full
    }

    /// Puts an event on a line of its own in the open message.
    fn join(&mut self, mut event: Message) {
        // Outside strings a line break is white space, and inside there is none: each event becomes one line.
        event.body = event.body.replace(['\n', '\r'], " ");
        match &mut self.open {
            Some(open) if open.body.len() + 1 + event.body.len() <= SHARED_BYTES_MAX => {
                open.body.push('\n');
                open.body.push_str(&event.body);
                open.events += 1;
                if open.events == self.events_per_message {
                    self.close();
                }
            }
            _ => {
                self.close();
                self.open = Some(event);
            }
        }
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.add(open);
        }
    }

    fn add(&mut self, message: Message) {
        let bytes: usize = self.batch.iter().map(|message| message.body.len()).sum();
        if self.batch.len() == limits::SQS_BATCH_MAX || bytes + message.body.len() > limits::SQS_BYTES_MAX {
            self.full.push(std::mem::take(&mut self.batch));
        }
        self.batch.push(message);
    }
}

/// The text, if SQS carries it.
fn sendable(bytes: Vec<u8>) -> Result<String, &'static str> {
    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8, which a message must be")?;
    if text.chars().all(carries) { Ok(text) } else { Err("holds a character that SQS does not carry") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(text: &str) -> Located {
        Located { line: 1, piece: Piece::Event(text.as_bytes().to_vec()) }
    }

    fn pack(events_per_message: u32, pieces: Vec<Located>) -> Vec<Batch> {
        let mut packer = Packer::new(events_per_message);
        let mut batches = Vec::new();
        for piece in pieces {
            packer.push(piece).unwrap();
            batches.extend(packer.take_full());
        }
        batches.extend(packer.finish());
        batches
    }

    #[test]
    fn events_share_a_message_as_lines_and_odd_lines_travel_alone() {
        let odd = Located { line: 3, piece: Piece::AsItIs(b"odd".to_vec()) };
        let pieces = vec![event("{1}"), event("{\n2}"), odd, event("{3}"), event("{4}"), event("{5}")];
        let batches = pack(2, pieces);
        let bodies: Vec<_> = batches.iter().flatten().map(|m| (m.body.as_str(), m.events)).collect();
        assert_eq!(bodies, [("{1}\n{ 2}", 2), ("odd", 1), ("{3}\n{4}", 2), ("{5}", 1)]);
    }

    #[test]
    fn one_event_in_a_message_keeps_every_byte() {
        assert_eq!(pack(1, vec![event("{\n2}")])[0][0].body, "{\n2}");
    }

    #[test]
    fn what_no_message_carries_is_named() {
        for (piece, part) in [
            (Piece::Event(vec![0xff]), "not UTF-8"),
            (Piece::AsItIs(b"\x01".to_vec()), "character"),
            (Piece::Event("\"\u{ffff}\"".into()), "character"),
            (Piece::TooLarge(2_000_000), "2000000 bytes"),
            (Piece::EndsEarly, "inside an array"),
        ] {
            let unsendable = Packer::new(1).push(Located { line: 7, piece }).unwrap_err();
            assert!(unsendable.line == 7 && unsendable.reason.contains(part), "{unsendable:?}");
        }
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
            let piece = |(size, is_event): &(usize, bool)| {
                let bytes = vec![b'x'; *size];
                Located { line: 1, piece: if *is_event { Piece::Event(bytes) } else { Piece::AsItIs(bytes) } }
            };
            let pieces = sizes.iter().map(piece).collect();
            let sizes: Vec<_> = sizes.into_iter().map(|(size, _)| size).collect();
            let batches = pack(events_per_message, pieces);
            let bodies = batches.iter().flatten();
            let packed: Vec<_> = bodies.flat_map(|message| message.body.split('\n').map(str::len)).collect();
            prop_assert_eq!(packed, sizes);
            for batch in &batches {
                prop_assert!((1..=10).contains(&batch.len()));
                prop_assert!(batch.iter().map(|message| message.body.len()).sum::<usize>() <= limits::SQS_BYTES_MAX);
                prop_assert!(batch.iter().all(|message| message.events <= events_per_message));
            }
        }
    }
}
