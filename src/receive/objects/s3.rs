//! The adapter to S3: objects by `GetObject`, from any byte on.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use aws_config::Region;
use aws_sdk_s3::{
    Client,
    config::{Builder, http::HttpResponse},
    error::SdkError,
    operation::get_object::{GetObjectError, GetObjectOutput},
    primitives::ByteStream,
};
use bytes::Bytes;

use super::{ObjectBody, ObjectError, ObjectStore, OpenObject};
use crate::{
    aws::{Aws, Failure, Reached, failure, s3::OF_REGION},
    decode::ObjectRef,
    failure::{CallError, is_throttling},
};

/// Where the bucket is, said with each refusal that is about the Region.
const REGION_HEADER: &str = "x-amz-bucket-region";

/// Answers of the 400s that are nobody's fault.
const OF_THE_MOMENT: &[&str] = &["RequestTimeout", "SlowDown", "TooManyRequests"];

/// Buckets of S3, in any Region.
pub struct S3Objects {
    client: Client,
    /// Of buckets that are elsewhere.
    regions: Mutex<BTreeMap<String, String>>,
}

impl S3Objects {
    /// Reads with the credentials of `aws`.
    pub fn new(aws: &Aws) -> Self {
        Self { client: aws.s3(), regions: Mutex::default() }
    }

    async fn get(
        &self,
        object: &ObjectRef,
        from_byte: u64,
        etag: Option<&str>,
    ) -> Result<GetObjectOutput, SdkError<GetObjectError, HttpResponse>> {
        let region = self.regions().get(&object.bucket).cloned();
        let call = self
            .client
            .get_object()
            .bucket(&object.bucket)
            .key(&object.key)
            .set_version_id(object.version.clone())
            .set_range((from_byte > 0).then(|| format!("bytes={from_byte}-")))
            .set_if_match(etag.map(str::to_owned));
        match region {
            Some(region) => {
                call.customize().config_override(Builder::new().region(Region::new(region))).send().await
            }
            None => call.send().await,
        }
    }

    /// Whether the answer says that the bucket is in a Region that was not known yet.
    fn learns_region(&self, bucket: &str, error: &SdkError<GetObjectError, HttpResponse>) -> bool {
        let region = error.raw_response().and_then(|answer| answer.headers().get(REGION_HEADER));
        region.is_some_and(|region| {
            self.regions().insert(bucket.to_owned(), region.to_owned()).as_deref() != Some(region)
        })
    }

    fn regions(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.regions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ObjectStore for S3Objects {
    async fn open(
        &self,
        object: &ObjectRef,
        from_byte: u64,
        etag: Option<&str>,
    ) -> Result<OpenObject, ObjectError> {
        let mut answer = self.get(object, from_byte, etag).await;
        if let Err(error) = &answer
            && is_about_region(&failure(error))
            && self.learns_region(&object.bucket, error)
        {
            answer = self.get(object, from_byte, etag).await;
        }
        let output = answer.map_err(|error| said(failure(&error), &object.bucket))?;
        let bytes = whole_bytes(from_byte, output.content_length, output.content_range.as_deref())?;
        Ok(OpenObject { bytes, etag: output.e_tag, body: Box::new(Body(output.body)) })
    }
}

/// Bytes as the SDK streams them; it checks the object's checksum at the end.
struct Body(ByteStream);

#[async_trait]
impl ObjectBody for Body {
    async fn next(&mut self) -> Option<Result<Bytes, CallError>> {
        let read = self.0.next().await?;
        Some(read.map_err(|error| CallError::transient("no_reply", format!("the connection broke: {error}"))))
    }
}

/// The length of the whole object, of which an answer brings what follows `from_byte`. Without its length nobody
/// could tell the end from a connection that ended, and bytes from another place would be taken for these.
fn whole_bytes(from_byte: u64, length: Option<i64>, range: Option<&str>) -> Result<u64, CallError> {
    let Some(length) = length.and_then(|length| u64::try_from(length).ok()) else {
        return Err(CallError::transient("no_length", "the store does not say how long its answer is"));
    };
    let begins = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
    if from_byte > 0 && begins != Some(from_byte) {
        return Err(CallError::transient(
            "other_range",
            "the store answers with other bytes than were asked for",
        ));
    }
    Ok(from_byte + length)
}

fn is_about_region(failed: &Failure) -> bool {
    matches!(failed.reached, Reached::Answer(301 | 307)) || OF_REGION.contains(&failed.code.as_str())
}

/// Whose fault it is.
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>, and of the codes of `GetObject`
/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>.
fn said(failed: Failure, bucket: &str) -> ObjectError {
    let code = failed.code.as_str();
    match failed.reached {
        _ if OF_THE_MOMENT.contains(&code) || is_throttling(code) => transient(failed),
        Reached::Answer(404) if code != "NoSuchBucket" => ObjectError::Missing,
        // The version is the mark that the object was deleted.
        Reached::Answer(405) => ObjectError::Missing,
        Reached::Answer(403) if code == "InvalidObjectState" => ObjectError::Archived,
        Reached::Answer(412 | 416) => ObjectError::Changed,
        Reached::Answer(300..500) => {
            let cure = cure(code, bucket);
            let message = format!("{}: {}; {cure}", failed.code, failed.message);
            CallError::misconfigured(failed.code, message).into()
        }
        Reached::NothingByOurFault => CallError::misconfigured(failed.code, failed.message).into(),
        Reached::Nothing | Reached::Unknown | Reached::Answer(_) => transient(failed),
    }
}

fn transient(failed: Failure) -> ObjectError {
    let message = format!("{}: {}", failed.code, failed.message);
    CallError::transient(failed.code, message).into()
}

fn cure(code: &str, bucket: &str) -> String {
    match code {
        "NoSuchBucket" | "InvalidBucketName" => {
            format!("check the bucket {bucket} in objects.buckets, and what notifies about it")
        }
        _ if OF_REGION.contains(&code) => {
            format!(
                "the bucket {bucket} is in another Region and S3 does not say which: set AWS_REGION to it"
            )
        }
        _ => format!(
            "check that the role may call s3:GetObject on {bucket}/*, s3:GetObjectVersion where the bucket keeps \
             versions, s3:ListBucket on {bucket} (without it S3 denies what is missing), and kms:Decrypt on its KMS key"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, code: &str) -> ObjectError {
        let failed =
            Failure { reached: Reached::Answer(status), code: code.to_owned(), message: "no".to_owned() };
        said(failed, "logs")
    }

    #[test]
    fn each_answer_is_somebodys_fault() {
        for (status, code) in
            [(404, "NoSuchKey"), (404, "NoSuchVersion"), (404, "unnamed"), (405, "MethodNotAllowed")]
        {
            assert_eq!(answer(status, code), ObjectError::Missing, "{code}");
        }
        assert_eq!(answer(403, "InvalidObjectState"), ObjectError::Archived);
        for (status, code) in [(412, "PreconditionFailed"), (416, "InvalidRange")] {
            assert_eq!(answer(status, code), ObjectError::Changed, "{code}");
        }
        for (status, code) in [
            (503, "SlowDown"),
            (500, "InternalError"),
            (400, "RequestTimeout"),
            (429, "TooManyRequests"),
            (400, "ThrottlingException"),
        ] {
            let ObjectError::Call(error) = answer(status, code) else { panic!("{code}") };
            assert!(error.is_transient(), "{code}");
        }
        for (status, code, word) in [
            (403, "AccessDenied", "s3:GetObject on logs/*"),
            (403, "AccessDenied", "s3:ListBucket on logs"),
            (403, "AccessDenied", "kms:Decrypt"),
            (400, "KMS.DisabledException", "kms:Decrypt"),
            (404, "NoSuchBucket", "objects.buckets"),
            (301, "PermanentRedirect", "AWS_REGION"),
            (403, "ExpiredToken", "role"),
        ] {
            let ObjectError::Call(CallError::Misconfigured { message, .. }) = answer(status, code) else {
                panic!("{code}")
            };
            assert!(message.contains(word), "{code}: {message}");
        }
    }

    #[test]
    fn an_answer_without_its_length_or_of_other_bytes_is_not_read() {
        for (from_byte, length, range, bytes) in [
            (0, Some(10), None, Some(10)),
            (0, Some(0), None, Some(0)),
            (0, None, None, None),
            (0, Some(-1), None, None),
            (7, Some(3), Some("bytes 7-9/10"), Some(10)),
            (7, None, Some("bytes 7-9/10"), None),
            (7, Some(10), None, None),
            (7, Some(10), Some("bytes 0-9/10"), None),
            (7, Some(3), Some("bytes 70-72/73"), None),
            (7, Some(3), Some("7"), None),
        ] {
            let read = whole_bytes(from_byte, length, range);
            assert!(read.as_ref().err().is_none_or(CallError::is_transient), "{read:?}");
            assert_eq!(read.ok(), bytes, "{from_byte} {length:?} {range:?}");
        }
    }

    #[test]
    fn without_credentials_or_a_connection_nothing_is_the_objects_fault() {
        let failed =
            |reached| said(Failure { reached, code: "x".to_owned(), message: String::new() }, "logs");
        assert!(matches!(
            failed(Reached::NothingByOurFault),
            ObjectError::Call(CallError::Misconfigured { .. })
        ));
        for reached in [Reached::Nothing, Reached::Unknown] {
            assert!(matches!(failed(reached), ObjectError::Call(CallError::Transient { .. })));
        }
    }
}
