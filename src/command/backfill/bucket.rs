//! History in S3. In: a bucket and a prefix. Out: one message for each object, in the form in which CloudTrail itself
//! announces a log file, in [`Parcel`]s.
//!
//! The workers fetch what is named. Here objects are only listed: no event passes through this command.
//! <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/configure-sns-notifications-for-cloudtrail.html>

use std::sync::Arc;

use aws_sdk_s3::{
    Client,
    operation::list_objects_v2::ListObjectsV2Output,
    types::{Object, ObjectStorageClass},
};
use serde_json::json;
use tokio::{sync::mpsc, time::sleep};

use super::{Parcel, Seen, wanted::Days};
use crate::{
    aws::{Aws, Failure, failure, s3::class_of},
    command::{CommandError, enqueue::pack::Message},
    failure::CallError,
    intervals::Intervals,
    limits,
};

/// Tries of one page, those of the SDK inside each not counted.
const TRIES_MAX: u32 = 8;
/// The objects of a bucket whose keys begin alike.
pub(super) struct Bucket {
    client: Client,
    name: String,
    prefix: String,
}

impl Bucket {
    pub(super) fn new(aws: &Aws, name: &str, prefix: &str) -> Self {
        Self { client: aws.s3(), name: name.to_owned(), prefix: prefix.to_owned() }
    }

    /// Lists what comes after a key, page by page, and hands it over. Ends early when nobody takes it any more.
    ///
    /// # Errors
    /// The bucket cannot be listed.
    pub(super) async fn read(
        &self,
        mut after: Option<String>,
        days: Days,
        parcels: &mpsc::Sender<Parcel>,
    ) -> Result<Seen, CommandError> {
        let mut seen = Seen::default();
        let mut open = Parcel::default();
        loop {
            let page = self.page(after.as_deref()).await?;
            for object in page.contents() {
                let key = object.key().unwrap_or_default();
                if after.as_deref().is_some_and(|after| key <= after) {
                    return Err(CommandError::Failed(out_of_order(&self.name).into()));
                }
                after = Some(key.to_owned());
                self.add(object, days, &mut open, &mut seen);
                if open.batch.len() == limits::SQS_BATCH_MAX
                    && parcels.send(std::mem::take(&mut open)).await.is_err()
                {
                    return Ok(seen);
                }
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            if page.contents().is_empty() {
                return Err(CommandError::Failed(empty_page(&self.name).into()));
            }
        }
        // When sending has ended early nobody takes it; then that is told.
        if parcels.send(open).await.is_err() {
            return Ok(seen);
        }
        seen.is_all = true;
        Ok(seen)
    }

    fn add(&self, object: &Object, days: Days, open: &mut Parcel, seen: &mut Seen) {
        let key = object.key().unwrap_or_default();
        let bytes = u64::try_from(object.size().unwrap_or_default()).unwrap_or_default();
        open.after = Some(key.to_owned());
        if let Some(skip) = days.skip(key, bytes) {
            seen.skipped.count(skip);
            return;
        }
        let is_archived =
            |class| matches!(class, &ObjectStorageClass::Glacier | &ObjectStorageClass::DeepArchive);
        seen.archived += u64::from(object.storage_class().is_some_and(is_archived));
        open.objects += 1;
        open.bytes += bytes;
        open.batch.push(announcement(&self.name, key));
    }

    /// A page. Nothing but the last key is carried from one to the next, so a page can be asked for at any time.
    async fn page(&self, after: Option<&str>) -> Result<ListObjectsV2Output, CommandError> {
        let mut intervals = Intervals::for_calls();
        let mut tries = 1;
        loop {
            let call = self.client.list_objects_v2().bucket(&self.name).prefix(&self.prefix);
            let failed = match call.set_start_after(after.map(str::to_owned)).send().await {
                Ok(page) => return Ok(page),
                Err(error) => self.said(failure(&error)),
            };
            if !failed.is_transient() || tries == TRIES_MAX {
                return Err(CommandError::failed(failed));
            }
            tries += 1;
            sleep(intervals.next_interval()).await;
        }
    }

    fn said(&self, failed: Failure) -> CallError {
        let bucket = &self.name;
        let missing = format!("there is no bucket {bucket}: check its name, the account and AWS_REGION");
        let otherwise = format!(
            "let whoever runs this command call s3:ListBucket on arn:aws:s3:::{bucket}, and the workers \
             s3:GetObject on its objects"
        );
        class_of(failed, bucket, missing, otherwise)
    }
}

fn announcement(bucket: &str, key: &str) -> Message {
    Message {
        body: json!({ "s3Bucket": bucket, "s3ObjectKey": [key] }).to_string().into_bytes(),
        events: 1,
        file: Arc::from(format!("s3://{bucket}/{key}")),
        line: 0,
    }
}

/// Going on after the last key would ask for the same page for ever, and stopping would leave out the rest.
fn empty_page(bucket: &str) -> String {
    format!(
        "{bucket} was listed with an empty page that is not the last: run the same command again to go on"
    )
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html>
fn out_of_order(bucket: &str) -> String {
    format!(
        "the bucket {bucket} does not list its keys in order, as directory buckets do not: copy its objects to a \
         general purpose bucket"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_announced_as_cloudtrail_does_whatever_its_key() {
        let message = announcement("trail", "a \"b\"\n/ü+%2B.json.gz");
        assert_eq!(
            message.body,
            r#"{"s3Bucket":"trail","s3ObjectKey":["a \"b\"\n/ü+%2B.json.gz"]}"#.as_bytes()
        );
    }

    #[test]
    fn what_is_forbidden_or_elsewhere_is_told_with_the_cure() {
        let config = aws_config::SdkConfig::builder()
            .behavior_version(aws_config::BehaviorVersion::latest())
            .region(aws_config::Region::new("us-east-1"))
            .build();
        let bucket = Bucket::new(&config.into(), "trail", "AWSLogs/");
        for (status, code, is_transient, part) in [
            (
                403,
                "AccessDenied",
                false,
                "call s3:ListBucket on arn:aws:s3:::trail, and the workers s3:GetObject",
            ),
            (404, "NoSuchBucket", false, "there is no bucket trail"),
            (301, "PermanentRedirect", false, "set AWS_REGION"),
            (503, "SlowDown", true, "SlowDown"),
        ] {
            let reached = crate::aws::Reached::Answer(status);
            let said = bucket.said(Failure { reached, code: code.into(), message: "no".into() });
            assert_eq!(said.is_transient(), is_transient, "{code}");
            assert!(said.to_string().contains(part), "{said}");
        }
    }
}
