//! What bytes can be packed in: gzip, a Kinesis aggregate, base64. In: packed bytes. Out: plain ones, within bounds.
//!
//! Told by the first bytes, never by a name or an attribute. No UTF-8 text begins with either magic number, so
//! nothing that could be read as it stands is taken for something packed.

use std::io::{self, Read};

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

use super::{GZIP_MAGIC, MESSAGE_UNPACKED_BYTES_MAX, UNPACKED_BYTES_FREE, UNPACKED_RATIO_MAX};
use crate::{
    aggregate,
    failure::{Reason, Rejection},
};

/// Some services leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What a body is packed in.
pub(super) enum Packing {
    /// Text, or nothing that is known.
    None,
    Gzip,
    /// Several records in one, as the Kinesis Producer Library makes them.
    Aggregate,
}

pub(super) fn of(bytes: &[u8]) -> Packing {
    match bytes {
        _ if bytes.starts_with(&GZIP_MAGIC) => Packing::Gzip,
        _ if bytes.starts_with(&aggregate::MAGIC) => Packing::Aggregate,
        _ => Packing::None,
    }
}

/// How much more one message may unpack to: over all its layers and parts together.
pub(super) struct Unpacking {
    max: usize,
    left: usize,
    added_bytes: usize,
}

impl Unpacking {
    /// For a message of so many bytes.
    pub(super) fn of_message(bytes: usize) -> Self {
        let max = bytes.saturating_mul(UNPACKED_RATIO_MAX);
        let max = max.clamp(UNPACKED_BYTES_FREE, MESSAGE_UNPACKED_BYTES_MAX);
        Self { max, left: max, added_bytes: 0 }
    }

    /// Bytes that came out, without those of what was rejected.
    pub(super) fn added_bytes(&self) -> usize {
        self.added_bytes
    }

    /// All members of a gzip file as one text.
    ///
    /// # Errors
    /// [`Reason::BrokenGzip`], and [`Reason::TooLargeUnpacked`]: what was unpacked until then counts, so that many
    /// bombs cost no more than one.
    pub(super) fn gunzip(&mut self, packed: &[u8]) -> Result<Bytes, Rejection> {
        let one_too_many = u64::try_from(self.left).unwrap_or(u64::MAX).saturating_add(1);
        let mut plain = Vec::new();
        let read = MultiGzDecoder::new(packed).take(one_too_many).read_to_end(&mut plain);
        if plain.len() > self.left {
            self.left = 0;
            return Err(self.too_large());
        }
        self.left -= plain.len();
        read.map_err(|error| broken(&error, plain.len()))?;
        self.added_bytes += plain.len();
        // What was reserved and not used is not counted, so it must not stay.
        Ok(Bytes::from(plain.into_boxed_slice()))
    }

    fn too_large(&self) -> Rejection {
        let sentence = format!("unpacks to more than the {} bytes that a message of this size may", self.max);
        Rejection::new(Reason::TooLargeUnpacked, sentence)
    }
}

fn broken(error: &io::Error, at: usize) -> Rejection {
    let what = if error.kind() == io::ErrorKind::UnexpectedEof { "ends too early" } else { "is damaged" };
    Rejection::new(Reason::BrokenGzip, format!("the gzip data {what}, {at} unpacked bytes from its start"))
}

/// The bytes of a member that holds base64 by its definition.
///
/// # Errors
/// [`Reason::NotBase64`].
pub(super) fn from_base64(text: &str, name: &str) -> Result<Bytes, Rejection> {
    let bytes = BASE64.decode(text).map(Bytes::from);
    bytes.map_err(|_| Rejection::new(Reason::NotBase64, format!("{name} is not base64")))
}

/// The bytes behind a text that is no JSON, if it is base64 of something that is known: gzip, an aggregate or JSON.
/// Many a word is base64 of something.
pub(super) fn from_base64_of_known(text: &[u8]) -> Option<Bytes> {
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let is_space = |byte: &u8| byte.is_ascii_whitespace();
    if !text.iter().all(|byte| is_base64(byte) || is_space(byte)) {
        return None;
    }
    // Tools break it into lines.
    let joined: Vec<u8> = text.iter().copied().filter(is_base64).collect();
    let bytes = Bytes::from(BASE64.decode(joined).ok()?);
    let is_json = |bytes: &[u8]| {
        str::from_utf8(bytes)
            .is_ok_and(|text| text.trim_start_matches('\u{FEFF}').trim_start().starts_with(['{', '[']))
    };
    (!matches!(of(&bytes), Packing::None) || is_json(&bytes)).then_some(bytes)
}
