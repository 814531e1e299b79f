//! A letter's event, packed so that decode unpacks it again. In: bytes. Out: gzip of them, if it is short enough.

use std::io::{self, Write};

use flate2::{Compression, write::GzEncoder};

use crate::decode::{GZIP_MAGIC, MESSAGE_UNPACKED_BYTES_MAX, UNPACKED_RATIO_MAX};

/// `None` where gzip takes more bytes than these, and where decode would not unpack it as the same bytes: what is gzip
/// already would share one bound with its own contents.
pub(super) fn gzip(plain: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    if plain.len() > MESSAGE_UNPACKED_BYTES_MAX || plain.starts_with(&GZIP_MAGIC) {
        return None;
    }
    // What shrinks to almost nothing is taken for a bomb. So a part that decode would allow for all of it stays long.
    let (long, rest) = plain.split_at(plain.len().div_ceil(UNPACKED_RATIO_MAX));
    let packed = Bounded { bytes: Vec::new(), max: bytes_max };
    let packed = member(packed, long, Compression::none())?;
    member(packed, rest, Compression::default()).map(|packed| packed.bytes)
}

/// One more member of a gzip file: several in a row are read as one text.
fn member(packed: Bounded, plain: &[u8], compression: Compression) -> Option<Bounded> {
    let mut encoder = GzEncoder::new(packed, compression);
    encoder.write_all(plain).ok()?;
    encoder.finish().ok()
}

/// Bytes that refuse to become too many, so that what does not shrink is given up early.
struct Bounded {
    bytes: Vec<u8>,
    max: usize,
}

impl Write for Bounded {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + more.len() > self.max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(more);
        Ok(more.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::decode::{Found, unpack};

    /// Bytes that no packing shortens.
    fn noise(bytes: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        (0..bytes).map(|_| random.u8(..)).collect()
    }

    /// What decode finds in it, which is the same part with the same bytes.
    fn assert_unpacks(plain: &[u8], bytes_max: usize) {
        let packed = gzip(plain, bytes_max).expect("it shrinks");
        assert!(packed.len() <= bytes_max);
        let (once, again) = (unpack(Bytes::copy_from_slice(plain)), unpack(packed.into()));
        let [once] = &*once.parts else { panic!("one part") };
        let [again] = &*again.parts else { panic!("one part") };
        assert!(again.original == plain && once.original == plain, "the letter's bytes are others");
        match (&once.found, &again.found) {
            (Found::Event(once), Found::Event(again)) => assert_eq!(once.content_hash, again.content_hash),
            (Found::Rejected(once), Found::Rejected(again)) => assert_eq!(once, again),
            (once, again) => panic!("{once:?} came again as {again:?}"),
        }
    }

    #[test]
    fn what_was_packed_is_the_same_part_again_however_far_it_shrank() {
        for bytes in [0, 1, 199, 200, 201, 1_048_577, 10_485_760, MESSAGE_UNPACKED_BYTES_MAX] {
            if bytes > 0 {
                assert_unpacks(&vec![b'x'; bytes], 200_000);
            }
            let mut event = format!("{{\"eventName\":\"{}\"}}", "x".repeat(bytes));
            event.truncate(event.len().min(MESSAGE_UNPACKED_BYTES_MAX));
            assert_unpacks(event.as_bytes(), 200_000);
        }
    }

    #[test]
    fn what_does_not_shrink_enough_is_given_up() {
        let noise = noise(100_000);
        assert_eq!(gzip(&noise, 99_999), None);
        assert!(gzip(&noise, 101_000).is_some());
        assert_eq!(gzip(&vec![b'x'; MESSAGE_UNPACKED_BYTES_MAX + 1], usize::MAX), None);
        assert_eq!(gzip(b"", 0), None);
    }

    /// An event that unpacks to all that a message may unpack to, and would not if it were packed once more.
    #[test]
    fn what_is_packed_already_is_not_packed_again() {
        let once = gzip(&noise(1_000), 2_000).expect("short enough");
        assert_eq!(gzip(&once, usize::MAX), None);
        let body = Bytes::from(once);
        assert_eq!(unpack(body).added_bytes, 1_000);
    }
}
