//! `SendMessage` and `SendMessageBatch`. In: messages. Out: their ids and digests, or what is wrong with each.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use md5::{Digest, Md5};

use super::{
    Queues,
    attributes::QueueAttributes,
    fault::{Code, Fault},
    messages::{Message, Payload},
    now_ms,
    operations::{Outcome, name_in},
    store::Store,
    wire::{self, Attributes, BatchOutcome, FailedEntry, Sent, read},
};
use crate::{limits, local::serve::to_json};

/// Message attributes of one message.
const ATTRIBUTES_MAX: usize = 10;
/// Characters of an attribute's name.
const ATTRIBUTE_NAME_MAX: usize = 256;

/// `SendMessage`.
pub(super) fn one(queues: &Queues, body: &[u8]) -> Outcome {
    let queue: wire::OfQueue<'_> = read(body)?;
    let message: wire::ToSend<'_> = read(body)?;
    let name = name_in(&queue.queue_url)?;
    let attributes = attributes_of(&mut queues.store(), name)?;
    let (sent, message) = prepare(None, message, &attributes)?;
    queues.store().send(name, vec![message])?;
    Ok(to_json(&sent))
}

/// `SendMessageBatch`: an entry that cannot be sent does not stop the others.
pub(super) fn batch(queues: &Queues, body: &[u8]) -> Outcome {
    let batch: wire::Batch<'_, wire::MessageEntry<'_>> = read(body)?;
    check_ids(batch.entries.iter().map(|entry| &*entry.id))?;
    let name = name_in(&batch.queue_url)?;
    let size = |entry: &wire::MessageEntry<'_>| {
        entry.message_body.len() + attribute_bytes(&entry.message_attributes)
    };
    let total: usize = batch.entries.iter().map(size).sum();
    if total > limits::SQS_BYTES_MAX {
        let message = format!("the batch has {total} bytes; at most {} are accepted", limits::SQS_BYTES_MAX);
        return Err(Fault::new(Code::BatchRequestTooLong, message));
    }
    let attributes = attributes_of(&mut queues.store(), name)?;
    let mut outcome = BatchOutcome { successful: Vec::new(), failed: Vec::new() };
    let mut messages = Vec::with_capacity(batch.entries.len());
    for (id, message) in batch.entries.into_iter().map(wire::MessageEntry::split) {
        match prepare(Some(id.to_string()), message, &attributes) {
            Ok((sent, message)) => {
                outcome.successful.push(sent);
                messages.push(message);
            }
            Err(fault) => outcome.failed.push(FailedEntry::new(&id, fault)),
        }
    }
    queues.store().send(name, messages)?;
    Ok(to_json(&outcome))
}

fn attributes_of(store: &mut Store, name: &str) -> Result<QueueAttributes, Fault> {
    Ok(store.queue(name)?.kept.attributes.clone())
}

/// The rules that hold for the ids of any batch.
pub(super) fn check_ids<'a>(ids: impl Iterator<Item = &'a str>) -> Result<(), Fault> {
    let ids: Vec<_> = ids.collect();
    if ids.is_empty() {
        return Err(Fault::new(Code::EmptyBatchRequest, "the batch has no entries"));
    }
    if ids.len() > limits::SQS_BATCH_MAX {
        let message =
            format!("the batch has {} entries; at most {} are accepted", ids.len(), limits::SQS_BATCH_MAX);
        return Err(Fault::new(Code::TooManyEntriesInBatchRequest, message));
    }
    let is_id = |id: &&str| {
        (1..=80).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if !ids.iter().all(is_id) {
        let message = "an entry's id has 1 to 80 letters, digits, hyphens and underscores";
        return Err(Fault::new(Code::InvalidBatchEntryId, message));
    }
    if ids.iter().collect::<BTreeSet<_>>().len() < ids.len() {
        return Err(Fault::new(Code::BatchEntryIdsNotDistinct, "two entries have the same id"));
    }
    Ok(())
}

/// Checks one message and makes what is kept and what is answered.
fn prepare(
    id: Option<String>,
    message: wire::ToSend<'_>,
    queue: &QueueAttributes,
) -> Result<(Sent, (Message, Duration)), Fault> {
    check_message(&message, queue)?;
    let delay = match message.delay_seconds {
        None => queue.delay_seconds,
        Some(seconds) => u64::try_from(seconds).ok().filter(|seconds| *seconds <= 900).ok_or_else(|| {
            Fault::new(Code::InvalidParameterValue, "DelaySeconds must be a number from 0 to 900")
        })?,
    };
    let payload = Payload {
        id: uuid::Builder::from_random_bytes(fastrand::u128(..).to_le_bytes()).into_uuid().to_string(),
        md5: hex(&Md5::digest(message.message_body.as_bytes())),
        body: message.message_body.into_owned(),
        sent_ms: now_ms(),
        trace_header: message
            .message_system_attributes
            .get("AWSTraceHeader")
            .and_then(|header| header.string_value.clone()),
        attributes: message.message_attributes,
        group_id: message.message_group_id,
    };
    let sent = Sent {
        id,
        md5_of_message_body: payload.md5.clone(),
        md5_of_message_attributes: digest(payload.attributes.iter()),
        md5_of_message_system_attributes: digest(message.message_system_attributes.iter()),
        message_id: payload.id.clone(),
    };
    let message =
        Message { payload: Arc::new(payload), receives: 0, first_received_ms: 0, dead_letter_source: None };
    Ok((sent, (message, Duration::from_secs(delay))))
}

fn check_message(message: &wire::ToSend<'_>, queue: &QueueAttributes) -> Result<(), Fault> {
    let invalid = |text: &str| Err(Fault::new(Code::InvalidParameterValue, text));
    if message.message_body.is_empty() {
        return Err(Fault::new(Code::MissingParameter, "MessageBody is empty"));
    }
    if !is_allowed(&message.message_body) {
        let text = "MessageBody has a character that SQS does not carry; allowed are #x9, #xA, #xD, #x20 to #xD7FF, \
                    #xE000 to #xFFFD and #x10000 to #x10FFFF";
        return Err(Fault::new(Code::InvalidMessageContents, text));
    }
    if message.message_attributes.len() > ATTRIBUTES_MAX {
        return invalid("a message has at most 10 attributes");
    }
    if message.message_deduplication_id.is_some() {
        return invalid(
            "MessageDeduplicationId is for FIFO queues; this local endpoint offers standard queues only",
        );
    }
    for (name, attribute) in &message.message_attributes {
        check_attribute(name, attribute)?;
    }
    let size = message.message_body.len() + attribute_bytes(&message.message_attributes);
    if size as u64 > queue.message_bytes_max {
        let max = queue.message_bytes_max;
        return invalid(&format!("the message has {size} bytes; this queue accepts at most {max}"));
    }
    Ok(())
}

fn check_attribute(name: &str, attribute: &wire::Attribute) -> Result<(), Fault> {
    let invalid = |text: &str| Err(Fault::new(Code::InvalidParameterValue, text));
    let lower = name.to_ascii_lowercase();
    let is_name = (1..=ATTRIBUTE_NAME_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && !(name.starts_with('.') || name.ends_with('.') || name.contains(".."))
        && !(lower.starts_with("aws.") || lower.starts_with("amazon."));
    if !is_name {
        return invalid("a message attribute's name breaks the rules of SQS");
    }
    let kind = attribute.data_type.split('.').next().unwrap_or_default();
    match (kind, &attribute.string_value, &attribute.binary_value) {
        ("String", Some(text), None) if !text.is_empty() && is_allowed(text) => Ok(()),
        ("Number", Some(text), None) if text.parse::<f64>().is_ok() => Ok(()),
        ("Binary", None, Some(bytes)) if !bytes.0.is_empty() => Ok(()),
        ("String" | "Number" | "Binary", ..) => {
            invalid("a message attribute needs one value that is not empty and of its data type")
        }
        _ => invalid("a message attribute's data type begins with String, Number or Binary"),
    }
}

/// Whether SQS carries every character.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>
fn is_allowed(text: &str) -> bool {
    let control = text.bytes().any(|byte| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r'));
    // U+FFFE and U+FFFF, which UTF-8 writes as EF BF BE and EF BF BF.
    !control && !text.as_bytes().windows(3).any(|bytes| matches!(bytes, [0xEF, 0xBF, 0xBE | 0xBF]))
}

/// Bytes that attributes add to a message's size: names, types and values.
pub(super) fn attribute_bytes(attributes: &Attributes) -> usize {
    let size = |(name, attribute): (&String, &wire::Attribute)| {
        let text = attribute.string_value.as_ref().map_or(0, String::len);
        let binary = attribute.binary_value.as_ref().map_or(0, |binary| binary.0.len());
        name.len() + attribute.data_type.len() + text + binary
    };
    attributes.iter().map(size).sum()
}

/// The MD5 of attributes in order of their names; `None` where there are none.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html#sqs-attributes-md5-message-digest-calculation>
pub(super) fn digest<'a>(
    attributes: impl Iterator<Item = (&'a String, &'a wire::Attribute)>,
) -> Option<String> {
    let mut md5 = Md5::new();
    let mut is_empty = true;
    let mut add = |bytes: &[u8], kind: Option<u8>| {
        md5.update(kind.as_slice());
        // A message is far smaller than 4 GiB.
        md5.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        md5.update(bytes);
    };
    for (name, attribute) in attributes {
        is_empty = false;
        add(name.as_bytes(), None);
        add(attribute.data_type.as_bytes(), None);
        match &attribute.binary_value {
            Some(binary) => add(&binary.0, Some(2)),
            None => add(attribute.string_value.as_deref().unwrap_or_default().as_bytes(), Some(1)),
        }
    }
    (!is_empty).then(|| hex(&md5.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|half| char::from(DIGITS[usize::from(half)]));
    bytes.iter().flat_map(digits).collect()
}
