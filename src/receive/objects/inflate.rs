//! Undoes gzip as the bytes arrive. In: pieces of an object. Out: plain bytes, a bounded number for each piece.
//!
//! Gzip is told by its first bytes, never by the object's name. Several members, one after the other, are one text
//! (RFC 1952, section 2.2): that is how gzip files are appended to.

use std::io::Write as _;

use flate2::write::MultiGzDecoder;

use crate::decode::{GZIP_MAGIC, UNPACKED_BYTES_FREE, UNPACKED_RATIO_MAX};

/// Deflate packs at most 1,032 bytes into one: so many packed bytes are about a quarter of a mebibyte, plain.
const PACKED_PIECE_BYTES: usize = 256;
/// Plain bytes are handed on in pieces of this size.
const PLAIN_PIECE_BYTES: usize = 65_536;
/// So much may come out of any object, however small. Beyond it [`RATIO_MAX`] holds.
const FREE_BYTES: u64 = UNPACKED_BYTES_FREE as u64;
/// Log files shrink to a tenth or a twentieth, and hardly ever to a hundredth. What shrinks more is made to do harm.
const RATIO_MAX: u64 = UNPACKED_RATIO_MAX as u64;

/// Why the bytes are no gzip. The text names places and bounds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    /// No gzip, or not what its checksum says.
    #[error("its gzip is damaged before byte {0}")]
    Damaged(u64),
    /// The end is missing.
    #[error("its gzip ends too early, at byte {0}")]
    CutOff(u64),
    /// A bomb.
    #[error("it unpacks to more than {RATIO_MAX} times its size, which no log file does (byte {0})")]
    Bomb(u64),
}

/// The bytes of one object on their way from packed to plain.
pub(super) struct Inflate {
    kind: Kind,
    packed_bytes: u64,
    plain_bytes: u64,
}

enum Kind {
    /// Not enough bytes yet to tell.
    Unknown(Vec<u8>),
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

impl Inflate {
    pub(super) fn new() -> Self {
        Self { kind: Kind::Unknown(Vec::new()), packed_bytes: 0, plain_bytes: 0 }
    }

    /// Takes a part of `bytes` and appends what comes out to `plain`; how many bytes it took. What comes out of one
    /// call is bounded, so the caller can pass it on before it asks for more.
    pub(super) fn push(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<usize, Broken> {
        if let Kind::Unknown(first) = &mut self.kind {
            let missing = GZIP_MAGIC.len().saturating_sub(first.len()).min(bytes.len());
            first.extend(bytes.iter().take(missing));
            if first.len() == GZIP_MAGIC.len() {
                self.begin(plain)?;
            }
            return Ok(missing);
        }
        let piece = match &self.kind {
            Kind::Gzip(_) => PACKED_PIECE_BYTES,
            Kind::Plain | Kind::Unknown(_) => PLAIN_PIECE_BYTES,
        };
        let (these, _) = bytes.split_at(piece.min(bytes.len()));
        self.take(these, plain)?;
        Ok(these.len())
    }

    /// Nothing more comes.
    pub(super) fn end(&mut self, plain: &mut Vec<u8>) -> Result<(), Broken> {
        match &mut self.kind {
            Kind::Unknown(first) => plain.append(first),
            Kind::Plain => {}
            Kind::Gzip(decoder) => {
                let is_whole = decoder.try_finish().is_ok();
                plain.append(decoder.get_mut());
                if !is_whole {
                    return Err(Broken::CutOff(self.packed_bytes));
                }
            }
        }
        Ok(())
    }

    fn begin(&mut self, plain: &mut Vec<u8>) -> Result<(), Broken> {
        let kind = Kind::Gzip(Box::new(MultiGzDecoder::new(Vec::new())));
        if let Kind::Unknown(first) = std::mem::replace(&mut self.kind, kind) {
            if first != GZIP_MAGIC {
                self.kind = Kind::Plain;
            }
            self.take(&first, plain)?;
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], plain: &mut Vec<u8>) -> Result<(), Broken> {
        self.packed_bytes += bytes.len() as u64;
        let before = plain.len();
        match &mut self.kind {
            Kind::Gzip(decoder) => {
                let is_broken = decoder.write_all(bytes).is_err();
                if is_broken {
                    // What came before the damage waits in the decoder.
                    decoder.try_finish().ok();
                }
                plain.append(decoder.get_mut());
                if is_broken {
                    return Err(Broken::Damaged(self.packed_bytes));
                }
            }
            Kind::Plain | Kind::Unknown(_) => plain.extend_from_slice(bytes),
        }
        self.plain_bytes += (plain.len() - before) as u64;
        if self.plain_bytes > FREE_BYTES + self.packed_bytes * RATIO_MAX {
            return Err(Broken::Bomb(self.packed_bytes));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// All that comes out of these pieces, and how it ended.
    fn inflated<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, Result<(), Broken>) {
        let (mut inflate, mut plain) = (Inflate::new(), Vec::new());
        for mut piece in pieces {
            while !piece.is_empty() {
                let before = plain.len();
                match inflate.push(piece, &mut plain) {
                    Ok(taken) => piece = &piece[taken..],
                    Err(broken) => return (plain, Err(broken)),
                }
                assert!(plain.len() - before < 400_000, "one call gives a bounded number of bytes");
            }
        }
        let end = inflate.end(&mut plain);
        (plain, end)
    }

    #[test]
    fn what_is_no_gzip_passes_as_it_is() {
        for text in [&b""[..], b"{", b"\x1F", b"{}", b"\x1F{\x8B", &vec![7; 200_000]] {
            assert_eq!(inflated([text]), (text.to_vec(), Ok(())));
        }
    }

    #[test]
    fn members_that_follow_each_other_are_one_text() {
        let packed = [gzip(b"one "), gzip(b""), gzip(b"two")].concat();
        assert_eq!(inflated([&*packed]), (b"one two".to_vec(), Ok(())));
    }

    #[test]
    fn gzip_that_is_cut_off_gives_what_was_whole_and_says_where_it_ended() {
        let text: Vec<u8> = (0..100_000).map(|_| fastrand::Rng::with_seed(3).u8(..)).collect();
        let packed = gzip(&text);
        for end in 2..packed.len() {
            let (plain, ended) = inflated([&packed[..end]]);
            assert_eq!(ended, Err(Broken::CutOff(end as u64)));
            assert!(text.starts_with(&plain));
        }
    }

    #[test]
    fn a_flipped_bit_is_found() {
        let packed = gzip(b"a text that is long enough to be packed, packed and packed again");
        // The header's time and system say nothing about the text.
        for at in 10..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 4;
            assert!(inflated([&*damaged]).1.is_err(), "byte {at}");
        }
    }

    #[test]
    fn bytes_after_the_last_member_are_damage() {
        let packed = [gzip(b"whole"), b"and then a tail".to_vec()].concat();
        let (plain, ended) = inflated([&*packed]);
        assert_eq!((plain, ended), (b"whole".to_vec(), Err(Broken::Damaged(packed.len() as u64))));
    }

    #[test]
    fn a_bomb_ends_before_it_has_unpacked_much() {
        let bomb = gzip(&vec![b' '; 64 << 20]);
        let (plain, ended) = inflated([&*bomb]);
        assert!(matches!(ended, Err(Broken::Bomb(_))), "{ended:?}");
        assert!(plain.len() < 3 << 20, "{}", plain.len());
    }

    #[test]
    fn a_text_that_packs_as_well_as_log_files_do_is_no_bomb() {
        let mut rng = fastrand::Rng::with_seed(5);
        let filler = "the same in all events ".repeat(50);
        let line = |_| format!("{{\"eventID\":\"{:016x}\",\"filler\":\"{filler}\"}}\n", rng.u64(..));
        let text: String = (0..5_000).map(line).collect();
        assert_eq!(inflated([&*gzip(text.as_bytes())]).1, Ok(()));
    }

    proptest! {
        #[test]
        fn pieces_of_any_size_give_the_same_text(
            text in prop::collection::vec(0_u8..4, 0..5_000),
            cuts in prop::collection::vec(1_usize..700, 1..20),
            is_packed: bool,
        ) {
            let bytes = if is_packed { gzip(&text) } else { text.clone() };
            let (mut pieces, mut rest) = (Vec::new(), &*bytes);
            for cut in cuts.iter().cycle() {
                let (piece, others) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = others;
                if rest.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(inflated(pieces), (text, Ok(())));
        }
    }
}
