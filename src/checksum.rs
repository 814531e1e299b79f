//! Stage 7, checksum. In: `ValidEvent`. Out: `ReadyEvent`. Next: batch.
//!
//! Serialises once; hashes those very bytes; counts what they take in a request, where they stand as a string
//! inside JSON. Nobody serialises them again.

use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use crate::{
    event::{Field, ReadyEvent},
    limits::{EVENT_DATA_BYTES_MAX, EVENT_ID_CHARS_MAX, PUT_BYTES_MAX},
    validate::ValidEvent,
};

/// Bytes of a request body around its entries: `{"auditEvents":[]}`. Each entry's own count has a comma too many
/// for the last one, so that the sum is never too small.
pub const REQUEST_OVERHEAD_BYTES: usize = r#"{"auditEvents":[]}"#.len();

/// Bytes of an entry around its id and its data, with a checksum and a comma.
const ENTRY_OVERHEAD_BYTES: usize =
    r#"{"id":"","eventData":"","eventDataChecksum":""},"#.len() + CHECKSUM_CHARS;

/// Base64, padded, of 32 bytes.
const CHECKSUM_CHARS: usize = 44;

/// No byte of JSON text takes more than two when it is escaped once more: control characters are escaped in it
/// already, and white space has short escapes.
const ENTRY_BYTES_MAX: usize = ENTRY_OVERHEAD_BYTES + EVENT_ID_CHARS_MAX + 2 * EVENT_DATA_BYTES_MAX;
const _: () =
    assert!(REQUEST_OVERHEAD_BYTES + ENTRY_BYTES_MAX <= PUT_BYTES_MAX, "every event fits a request");

/// Serialises an event and computes its checksum: standard base64 of the SHA-256 of the unescaped text.
/// <https://docs.aws.amazon.com/awscloudtraildata/latest/APIReference/API_AuditEvent.html>
pub fn checksum(event: ValidEvent) -> ReadyEvent {
    let mut json = String::with_capacity(event.json_bytes());
    let event = event.into_event();
    event.write(&mut json);
    let checksum = STANDARD.encode(Sha256::digest(json.as_bytes()));
    let wire_bytes = ENTRY_OVERHEAD_BYTES + event.id.wire().len() + escaped_bytes(&json);
    let sent = |field| event.fields.get(field).cloned().unwrap_or_default();
    let (event_time, uid) = (sent(Field::EventTime), sent(Field::Uid));
    ReadyEvent { id: event.id, json: json.into(), checksum, wire_bytes, event_time, uid }
}

/// Bytes of JSON text as the contents of a JSON string.
fn escaped_bytes(json: &str) -> usize {
    // Counted in bytes, a chunk at a time, because that is what the compiler can turn into wide instructions.
    let is_escaped = |byte: &u8| u8::from(matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t'));
    let in_chunk = |chunk: &[u8]| usize::from(chunk.iter().map(is_escaped).sum::<u8>());
    json.len() + json.as_bytes().chunks(128).map(in_chunk).sum::<usize>()
}
