//! What the ledger and the leases know of DynamoDB's errors, of whole calls and of single statements.
//!
//! <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>,
//! <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchStatementError.html>

use aws_sdk_dynamodb::types::BatchStatementError;

use super::{Failure, OF_CALLER, Reached};
use crate::failure::CallError;

/// Codes that only an operator can cure. A statement's own codes lack the ending `Exception`.
const OURS: &[&str] = &[
    "ResourceNotFoundException",
    "ResourceNotFound",
    "ValidationException",
    "ValidationError",
    "KmsAccessDenied",
    "KmsDisabled",
    "KmsInvalidKeyUsage",
    "KmsInvalidState",
    "KmsNotFound",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "IncompleteSignatureException",
    "TableNotFoundException",
    "ReplicaNotFoundException",
];

/// What an error means, and what cures it. `key` is the name of the table's partition key, which is a text.
pub(crate) fn class_of(failed: Failure, table: &str, key: &str, actions: &str) -> CallError {
    let cure = match failed.code.as_str() {
        code if code.to_ascii_lowercase().starts_with("kms") => {
            "the table's KMS key is gone or disabled, or the role may not use it: kms:Decrypt".to_owned()
        }
        code if code.ends_with("NotFoundException") || code == "ResourceNotFound" => {
            format!("check that the table {table} exists in this account and Region")
        }
        code if code.starts_with("Validation") => {
            format!("check that the table {table} has the partition key `{key}` of type S, and no sort key")
        }
        code if code.starts_with("ExpiredToken") => "the credentials have expired: renew them".to_owned(),
        _ => format!("check that the role may call {actions} on {table}"),
    };
    failed.classed(&[OURS, OF_CALLER].concat(), &cure)
}

/// The failure of one statement. A code that is not known yet counts as the moment's.
pub(crate) fn of_statement(error: BatchStatementError) -> Failure {
    let code = error.code.map_or_else(|| "unnamed".to_owned(), |code| code.as_str().to_owned());
    Failure { reached: Reached::Answer(200), code, message: error.message.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_class_and_ours_name_the_cure() {
        for (code, cure) in [
            ("ResourceNotFoundException", Some("check that the table ledger exists")),
            ("ResourceNotFound", Some("check that the table ledger exists")),
            ("AccessDeniedException", Some("may call dynamodb:PartiQLInsert on ledger")),
            ("AccessDenied", Some("may call dynamodb:PartiQLInsert on ledger")),
            ("ValidationException", Some("partition key `key` of type S")),
            ("ValidationError", Some("partition key `key` of type S")),
            ("KMSDisabledException", Some("KMS key")),
            ("KMSNotFoundException", Some("KMS key")),
            ("KmsAccessDenied", Some("KMS key")),
            ("ExpiredTokenException", Some("renew them")),
            ("UnrecognizedClientException", Some("may call")),
            ("ProvisionedThroughputExceededException", None),
            ("ProvisionedThroughputExceeded", None),
            ("ThrottlingException", None),
            ("ThrottlingError", None),
            ("RequestLimitExceeded", None),
            ("TransactionConflict", None),
            ("ReplicatedWriteConflictException", None),
            ("InternalServerError", None),
            ("ItemCollectionSizeLimitExceeded", None),
            ("timeout", None),
            ("ACodeOfTomorrow", None),
        ] {
            let failed =
                Failure { reached: Reached::Answer(400), code: code.to_owned(), message: "said".to_owned() };
            let error = class_of(failed, "ledger", "key", "dynamodb:PartiQLInsert");
            assert_eq!(error.is_transient(), cure.is_none(), "{code}");
            let text = error.to_string();
            assert!(text.contains(cure.unwrap_or("said")), "{code}: {text}");
        }
    }
}
