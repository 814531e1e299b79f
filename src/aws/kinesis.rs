//! What the source and `enqueue` know of Kinesis' errors.
//!
//! <https://docs.aws.amazon.com/kinesis/latest/APIReference/CommonErrors.html>, and the errors of each action there.

use super::{Failure, OF_CALLER};
use crate::failure::CallError;

/// Codes that only an operator can cure, whatever was asked.
const OURS: &[&str] = &[
    "ResourceNotFoundException",
    "NotAuthorized",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "KMSOptInRequired",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "IncompleteSignatureException",
];

/// Codes that say no to what a request holds: to a record that is sent, or to a place that is read from.
pub(crate) const INVALID: &[&str] = &["InvalidArgumentException", "ValidationException"];

/// Whether only an operator can cure what this code says.
pub(crate) fn is_ours(code: &str) -> bool {
    OURS.contains(&code) || OF_CALLER.contains(&code)
}

/// What a Kinesis error means to a reader, and what cures it.
pub(crate) fn class_of(failed: Failure, stream: &str, actions: &str) -> CallError {
    let cure = match failed.code.as_str() {
        "ResourceNotFoundException" => {
            format!("check that the stream {stream} exists in this account and Region")
        }
        code if INVALID.contains(&code) => format!(
            "if the stream {stream} was deleted and made again, its leases are of the old one: remove them, or set their \
             checkpoints with `tributary checkpoint set`"
        ),
        code if code.starts_with("KMS") => {
            "the stream's KMS key is gone or disabled, or the role may not use it: kms:Decrypt to read, and \
             kms:GenerateDataKey to write"
                .to_owned()
        }
        code if code.starts_with("ExpiredToken") => "the credentials have expired: renew them".to_owned(),
        _ => format!("check that the role may call {actions} on {stream}"),
    };
    failed.classed(&[OURS, INVALID, OF_CALLER].concat(), &cure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Reached;

    #[test]
    fn each_error_has_its_class_and_ours_name_the_cure() {
        for (code, cure) in [
            ("ResourceNotFoundException", Some("the stream audit exists")),
            ("AccessDeniedException", Some("may call kinesis:GetRecords on audit")),
            ("KMSDisabledException", Some("KMS key")),
            ("ExpiredTokenException", Some("renew them")),
            ("InvalidArgumentException", Some("tributary checkpoint set")),
            ("ProvisionedThroughputExceededException", None),
            ("LimitExceededException", None),
            ("KMSThrottlingException", None),
            ("InternalFailure", None),
            ("ServiceUnavailable", None),
            ("ACodeOfTomorrow", None),
        ] {
            let failed =
                Failure { reached: Reached::Answer(400), code: code.to_owned(), message: "said".to_owned() };
            let error = class_of(failed, "audit", "kinesis:GetRecords");
            assert_eq!(error.is_transient(), cure.is_none(), "{code}");
            let text = error.to_string();
            assert!(text.contains(cure.unwrap_or("said")), "{code}: {text}");
        }
    }
}
