//! What whoever writes to a bucket, or lists one, knows of S3: what its errors mean, and what cures them. Reading objects
//! has a table of its own, in `receive/objects/s3.rs`, because there it may be the object's fault.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>

use super::Failure;
use crate::failure::CallError;

/// Codes that only an operator can cure.
const OURS: &[&str] = &[
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "IllegalLocationConstraintException",
    "InvalidAccessKeyId",
    "InvalidBucketName",
    "InvalidRequest",
    "InvalidToken",
    "KMS.DisabledException",
    "KMS.NotFoundException",
    "MethodNotAllowed",
    "NoSuchBucket",
    "PermanentRedirect",
    "SignatureDoesNotMatch",
];

/// Answers that say that the bucket is in another Region.
pub(crate) const OF_REGION: &[&str] =
    &["PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException"];

/// What the role must be allowed to do: on the object, and on its KMS key if it has one.
pub(crate) type Actions = (&'static str, &'static str);

/// To write an object.
pub(crate) const PUT: Actions = ("s3:PutObject", "kms:GenerateDataKey");
/// To read one.
pub(crate) const GET: Actions = ("s3:GetObject", "kms:Decrypt");

/// What an error about an object means, and what cures it. `setting` is the key that names the bucket.
pub(crate) fn about_object(
    failed: Failure,
    bucket: &str,
    key: &str,
    (action, key_action): Actions,
    setting: &str,
) -> CallError {
    let otherwise =
        format!("check that the role may call {action} on {bucket}/{key}, and {key_action} on its KMS key");
    let missing = format!("check the bucket {bucket} in {setting}, its Region and its account");
    class_of(failed, bucket, missing, otherwise)
}

/// What an error means. `missing` cures that there is no such bucket, `otherwise` what is not about the bucket at all.
pub(crate) fn class_of(failed: Failure, bucket: &str, missing: String, otherwise: String) -> CallError {
    let cure = match failed.code.as_str() {
        "NoSuchBucket" | "InvalidBucketName" => missing,
        code if OF_REGION.contains(&code) => {
            format!("the bucket {bucket} is in another Region: set AWS_REGION to it")
        }
        _ => otherwise,
    };
    failed.classed(OURS, &cure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Reached;

    fn said(status: u16, code: &str, actions: Actions) -> CallError {
        let reached = Reached::Answer(status);
        let failed = Failure { reached, code: code.to_owned(), message: "no".to_owned() };
        about_object(failed, "proof", "a/b", actions, "publish_log.to")
    }

    #[test]
    fn what_is_forbidden_is_blamed_on_the_action_that_was_tried() {
        for (actions, others) in [(PUT, GET), (GET, PUT)] {
            let said = said(403, "AccessDenied", actions).to_string();
            assert!(said.contains(actions.0) && said.contains(actions.1), "{said}");
            assert!(!said.contains(others.0) && !said.contains(others.1), "{said}");
        }
    }

    #[test]
    fn each_mistake_has_its_cure_and_the_rest_is_the_moments() {
        for (status, code, part) in [
            (404, "NoSuchBucket", Some("publish_log.to")),
            (400, "InvalidBucketName", Some("publish_log.to")),
            (301, "PermanentRedirect", Some("AWS_REGION")),
            (400, "AuthorizationHeaderMalformed", Some("AWS_REGION")),
            (400, "IllegalLocationConstraintException", Some("AWS_REGION")),
            (403, "AccessDenied", Some("s3:PutObject on proof/a/b")),
            (400, "KMS.DisabledException", Some("kms:GenerateDataKey")),
            (503, "SlowDown", None),
            (500, "InternalError", None),
            (400, "RequestTimeout", None),
        ] {
            let said = said(status, code, PUT);
            assert_eq!(said.is_transient(), part.is_none(), "{said}");
            assert!(said.to_string().contains(part.unwrap_or(code)), "{said}");
        }
    }
}
