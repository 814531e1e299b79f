//! The event of a letter. In: the letter's body, and what says how it is written. Out: the event's own bytes, unpacked, or
//! read from where they are kept; within bounds, and whole or not at all.

use std::io::Read as _;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use tokio::io::AsyncReadExt as _;

use super::letter::DeadLetterMessage;
use crate::{
    aws::Aws,
    dead_letter::sqs::decoded,
    decode::{GZIP_MAGIC, MESSAGE_UNPACKED_BYTES_MAX, ObjectRef, Sum, pointed_to_stored},
    receive::objects::{ObjectStore as _, s3::S3Objects},
};

/// How the letter held it.
pub(super) struct Opened {
    pub(super) original: Bytes,
    /// `as it is`, `packed`, `kept at …`.
    pub(super) held: String,
}

/// Opens it.
///
/// # Errors
/// A sentence: why its event cannot be shown.
pub(super) async fn open(letter: &DeadLetterMessage) -> Result<Opened, String> {
    if letter.encoding() == Some("stored") {
        return stored(&letter.body).await;
    }
    let (body, is_base64) = decoded(letter.body.clone(), letter.encoding());
    if !is_base64 {
        return Ok(Opened { original: body, held: "as it is".to_owned() });
    }
    let Ok(bytes) = STANDARD.decode(&body) else {
        // What a producer says is base64 and is not.
        return Ok(Opened { original: body, held: "as it is".to_owned() });
    };
    // What was gzip before it was a letter is shown unpacked too, unless it is broken: then as it came.
    match gunzipped(&bytes) {
        Some(plain) => Ok(Opened { original: plain.into(), held: "packed".to_owned() }),
        None => Ok(Opened { original: bytes.into(), held: "in base64".to_owned() }),
    }
}

fn gunzipped(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.starts_with(&GZIP_MAGIC) {
        return None;
    }
    let mut plain = Vec::new();
    let one_too_many = MESSAGE_UNPACKED_BYTES_MAX as u64 + 1;
    MultiGzDecoder::new(bytes).take(one_too_many).read_to_end(&mut plain).ok()?;
    (plain.len() <= MESSAGE_UNPACKED_BYTES_MAX).then_some(plain)
}

async fn stored(body: &str) -> Result<Opened, String> {
    let (at, sum, bytes) =
        pointed_to_stored(body).ok_or("its body should say where the event is kept, and does not")?;
    if bytes > MESSAGE_UNPACKED_BYTES_MAX as u64 {
        return Err("it leads to more bytes than any letter is written for".to_owned());
    }
    let original = match at.strip_prefix("s3://").and_then(|place| place.split_once('/')) {
        Some((bucket, key)) => of_bucket(bucket, key, bytes).await?,
        None => of_file(&at, bytes).await?,
    };
    if Sum::of(&original) != sum {
        return Err(format!("what is at {at} has not the SHA-256 {sum}: it is not the event any more"));
    }
    Ok(Opened { original, held: format!("kept at {at}") })
}

async fn of_bucket(bucket: &str, key: &str, bytes: u64) -> Result<Bytes, String> {
    let store = S3Objects::new(&Aws::from_environment().await);
    let object = ObjectRef {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        version: None,
        bytes: Some(bytes),
        whole: None,
    };
    let said = |error: &dyn std::fmt::Display| {
        format!("could not read s3://{bucket}/{key}: {error}; the credentials need s3:GetObject there")
    };
    let mut open = store.open(&object, 0, None).await.map_err(|error| said(&error))?;
    if open.bytes != bytes {
        return Err(format!("s3://{bucket}/{key} has {} bytes, and the letter says {bytes}", open.bytes));
    }
    let mut original = Vec::new();
    while let Some(more) = open.body.next().await {
        original.extend_from_slice(&more.map_err(|error| said(&error))?);
        if original.len() as u64 > bytes {
            return Err(format!("s3://{bucket}/{key} has more than the {bytes} bytes that the letter says"));
        }
    }
    Ok(original.into())
}

async fn of_file(path: &str, bytes: u64) -> Result<Bytes, String> {
    let said = |error: std::io::Error| {
        format!("could not read {path}: {error}; it is on the machine whose worker wrote the letter")
    };
    // Whoever may send to the queue may have written the path: a device or a pipe would be read for ever.
    let about = tokio::fs::metadata(path).await.map_err(said)?;
    if !about.is_file() || about.len() != bytes {
        return Err(format!("{path} is no file of the {bytes} bytes that the letter says"));
    }
    let mut original = Vec::new();
    let file = tokio::fs::File::open(path).await.map_err(said)?;
    file.take(bytes).read_to_end(&mut original).await.map_err(said)?;
    Ok(original.into())
}
