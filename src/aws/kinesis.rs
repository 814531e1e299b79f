//! What the source and `enqueue` both know of Kinesis: what its errors mean.
//!
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html>, and the list of errors of each call.

use super::Failure;
use crate::failure::CallError;

/// Codes that only an operator can cure, whatever was asked.
pub(crate) const OURS: &[&str] = &[
    "ResourceNotFoundException",
    "AccessDenied",
    "AccessDeniedException",
    "NotAuthorized",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "KMSOptInRequired",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "ExpiredToken",
    "ExpiredTokenException",
    "OptInRequired",
    "UnknownOperationException",
];

/// Codes that say no to what a request holds: of a record that is sent the record's fault.
pub(crate) const INVALID: &[&str] = &["InvalidArgumentException", "ValidationException"];

/// What an error means, and what cures it.
pub(crate) fn class_of(failed: Failure, stream: &str, actions: &str) -> CallError {
    let cure = match failed.code.as_str() {
        "ResourceNotFoundException" => {
            format!("check that the stream {stream} exists in this account and Region")
        }
        code if code.starts_with("KMS") => {
            "the stream's KMS key is gone or disabled, or the role may not use it: kms:Decrypt to receive, and \
             kms:GenerateDataKey to send"
                .to_owned()
        }
        code if code.starts_with("ExpiredToken") => "the credentials have expired: renew them".to_owned(),
        _ => format!("check that the role may call {actions} on {stream}"),
    };
    failed.classed(OURS, &cure)
}

#[cfg(test)]
mod tests {
    use super::{super::Reached, *};

    #[test]
    fn each_error_has_its_class_and_ours_name_the_cure() {
        for (code, cure) in [
            ("ResourceNotFoundException", Some("check that the stream audit exists")),
            ("AccessDeniedException", Some("may call kinesis:PutRecords on audit")),
            ("KMSDisabledException", Some("KMS key")),
            ("KMSOptInRequired", Some("KMS key")),
            ("ExpiredTokenException", Some("renew them")),
            ("UnrecognizedClientException", Some("may call")),
            ("KMSThrottlingException", None),
            ("ProvisionedThroughputExceededException", None),
            ("LimitExceededException", None),
            ("ResourceInUseException", None),
            ("ExpiredIteratorException", None),
            ("InternalFailure", None),
            ("timeout", None),
            ("ACodeOfTomorrow", None),
        ] {
            let failed =
                Failure { reached: Reached::Answer(400), code: code.to_owned(), message: "said".to_owned() };
            let error = class_of(failed, "audit", "kinesis:PutRecords");
            assert_eq!(error.is_transient(), cure.is_none(), "{code}");
            let text = error.to_string();
            assert!(text.contains(cure.unwrap_or("said")), "{code}: {text}");
        }
    }
}
