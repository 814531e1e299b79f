//! What would cure each reason: the sentence that an operator reads beside a letter. The page `docs/dead-letters.md` says the
//! same with its links.

use super::Reason;

impl Reason {
    /// The reason with this code.
    pub fn of_code(code: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.code() == code)
    }

    /// What to do, so that the event is published when its letter is sent back. Where the producer has to change the event:
    /// what has to change.
    #[expect(clippy::too_many_lines, reason = "a table")]
    pub fn cure(self) -> &'static str {
        match self {
            Self::BucketNotListed => {
                "list the bucket in objects.buckets, or find out who sends this; then redrive the letter"
            }
            Self::ObjectMissing => {
                "restore the object, and find out who deletes log files; then redrive the letter"
            }
            Self::ObjectDenied => {
                "look at the object's storage class, key and owner; restore it if it is archived; then redrive the letter"
            }
            Self::BrokenObject => {
                "repair the object under the same key; then redrive the letter, which leads to it again"
            }
            Self::NotBase64 => {
                "the producer should not say that this is base64: send the event again without tributary.encoding, or \
                 correct what wrapped it"
            }
            Self::BrokenGzip => {
                "no event was taken out of it: the producer has to send the file again, whole"
            }
            Self::TooLargeUnpacked => {
                "look at it: nothing that says something shrinks so far. Real events have to be sent in smaller messages"
            }
            Self::BrokenAggregate => {
                "no event was taken out of it: the producer has to send its records again, whole"
            }
            Self::NotUtf8 => "the producer has to send UTF-8: correct the event and send it again",
            Self::NotJson => {
                "the producer has to send JSON, complete and without text around it: correct the event and send it again"
            }
            Self::TooDeep => "send the event itself, without the envelopes around it, or less deeply nested",
            Self::DuplicateKey => {
                "make the producer's JSON writer refuse a key that is there; then correct the event and send it again"
            }
            Self::LoneSurrogate => {
                "the producer cuts texts by length: it has to cut by characters; correct the event and send it again"
            }
            Self::NoEvents => "nothing is missing: purge the letter, and let the producer not send it",
            Self::TooManyEvents => "the producer has to put fewer events into one message",
            Self::ChecksumMismatch => {
                "eventDataChecksum is base64 of SHA-256 over exactly the text of eventData: find out who changed one of \
                 the two on the way; then send the event again"
            }
            Self::BrokenEnvelope => {
                "the sentence says what the envelope lacks: look at what wrapped the event, and send it again. An event \
                 that is kept in a file has to be put into a bucket of objects.buckets first"
            }
            Self::SnsConfirmation => {
                "decide whether that topic may send here; if so, open the SubscribeURL of the original. Then purge the \
                 letter"
            }
            Self::NotAnObject => "an event is a JSON object: the producer has to send one",
            Self::UnknownFormat => {
                "write the event's format as a file of formats.folder, or choose another source.format; then redrive the \
                 letter"
            }
            Self::NoId => {
                "the producer has to name its events; or correct the `id` of the format's mapping, and redrive the letter"
            }
            Self::IdTooLong => "the producer has to send an id of at most 8,192 bytes",
            Self::NoRoute => {
                "give a destination a `when` that takes the event, or set routing.unmatched; then redrive the letter"
            }
            Self::RouteFailed => {
                "correct the condition: mind members that may be absent, as in (.name // \"\"); then redrive the letter"
            }
            Self::IdConflict => {
                "look at it: a producer that uses ids twice, or somebody who tampers. `tributary trace` tells what was \
                 published under the id. Redriven, it makes the same letter again, as long as the id is remembered"
            }
            Self::RedactFailed => {
                "correct the path in redact_drop, redact_mask or redact_hash: mind members that may be absent, as in .a[]?.b?; then redrive the letter"
            }
            Self::MissingField => "the sentence names the field: the producer has to send it",
            Self::WrongType => {
                "the sentence names the field: the producer has to send it in the type of the schema"
            }
            Self::BadTime => "the producer has to send a time such as 2024-01-31T23:59:59Z",
            Self::MappingFailed => {
                "the sentence names what the event lacks; `tributary explain` shows where. Correct the format's mapping \
                 and redrive the letter, or correct the event and send it again"
            }
            Self::UnknownVersion => "run a newer version of this program; then redrive the letter",
            Self::FieldTooLong => {
                "the sentence names the field and its limit: the producer has to shorten it; it is never cut here"
            }
            Self::FieldRejected => {
                "set oversize = \"move\" at the destination and redrive the letter, or let the producer correct the field"
            }
            Self::OverflowTooLarge => {
                "the lake has nowhere else to keep it: the producer has to send less, or redact_drop has to take it out; \
                 then redrive the letter"
            }
            Self::EventTooLarge => {
                "the producer has to send less, or redact_drop has to take something out; then redrive the letter"
            }
            Self::Refused => {
                "the sentence has the lake's code, which tells; report it, because this program should have known. What the \
                 lake takes by now can be redriven"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_has_a_cure_of_its_own_and_is_found_by_its_code() {
        let cures: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.cure()).collect();
        assert_eq!(cures.len(), Reason::ALL.len(), "two reasons share a cure");
        for reason in Reason::ALL {
            assert!(reason.cure().len() > 20 && !reason.cure().ends_with('.'), "{}", reason.code());
            assert_eq!(Reason::of_code(reason.code()), Some(*reason));
        }
        assert_eq!(Reason::of_code("moved_by_queue"), None);
    }

    #[test]
    fn the_page_knows_every_reason() {
        let page = include_str!("../../docs/dead-letters.md");
        for reason in Reason::ALL {
            let row = format!("| `{}` | {} |", reason.code(), reason.stage().name());
            assert!(page.contains(&row), "{row}");
        }
    }
}
