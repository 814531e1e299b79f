//! What the source, the dead letters and `enqueue` all know of SQS: what its errors mean, and what a message can carry.
//!
//! <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html>

use aws_sdk_sqs::types::BatchResultErrorEntry;

use super::{Failure, OF_CALLER, Reached};
use crate::failure::CallError;

/// Codes that only an operator can cure.
const OURS: &[&str] = &[
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
    "QueueDeletedRecently",
    "InvalidAddress",
    "InvalidSecurity",
    "KmsAccessDenied",
    "KMS.AccessDeniedException",
    "KmsDisabled",
    "KMS.DisabledException",
    "KmsInvalidState",
    "KMS.InvalidStateException",
    "KmsInvalidKeyUsage",
    "KMS.InvalidKeyUsageException",
    "KmsNotFound",
    "KMS.NotFoundException",
    "KmsOptInRequired",
    "KMS.OptInRequired",
    "SignatureDoesNotMatch",
    "UnsupportedOperation",
    "AWS.SimpleQueueService.UnsupportedOperation",
    "IncompleteSignature",
];

/// Whether only an operator can cure what this code says.
pub(crate) fn is_ours(code: &str) -> bool {
    OURS.contains(&code) || OF_CALLER.contains(&code)
}

/// What an SQS error means, and what cures it.
pub(crate) fn class_of(failed: Failure, queue_url: &str, actions: &str) -> CallError {
    let cure = match failed.code.as_str() {
        "AWS.SimpleQueueService.NonExistentQueue" | "QueueDoesNotExist" | "InvalidAddress" => {
            format!("check the URL {queue_url}, its Region and its account")
        }
        code if code.to_ascii_lowercase().starts_with("kms") => {
            "the queue's KMS key is disabled or the role may not use it: kms:Decrypt to receive, and \
             kms:GenerateDataKey to send"
                .to_owned()
        }
        code if code.starts_with("ExpiredToken") => "the credentials have expired: renew them".to_owned(),
        _ => format!("check that the role may call {actions} on {queue_url}"),
    };
    failed.classed(&[OURS, OF_CALLER].concat(), &cure)
}

/// The status is not part of an entry: `SenderFault` says which side is at fault.
pub(crate) fn of_entry(entry: BatchResultErrorEntry) -> (String, Failure) {
    let status = if entry.sender_fault { 400 } else { 500 };
    let message = entry.message.unwrap_or_default();
    (entry.id, Failure { reached: Reached::Answer(status), code: entry.code, message })
}

/// The characters that a message carries: `#x9 #xA #xD #x20-#xD7FF #xE000-#xFFFD #x10000-#x10FFFF`.
pub(crate) fn carries(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
