//! Which objects are read at all. In: what a message names. Out: whether it is fetched.
//!
//! Whoever may send to the queue could name any object that the role may read, and have it published. So buckets are
//! read only where the configuration lists them.

use crate::{
    decode::{Notice, ObjectRef},
    failure::{Reason, Rejection},
};

/// The folder of digest files in a trail's bucket.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-log-file-validation-digest-file-structure.html>
const DIGESTS: &str = "/CloudTrail-Digest/";
/// The folder of Insights events.
/// <https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html>
const INSIGHTS: &str = "/CloudTrail-Insight/";

/// The buckets that may be read: names, and beginnings of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buckets(Vec<Pattern>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Name(String),
    Beginning(String),
}

/// What is to be done about an object that a message names.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Its records are events.
    Read,
    /// It holds no events, and is no mistake.
    Notice(Notice),
    /// It must not be read.
    Refused(Rejection),
}

impl Buckets {
    /// Reads `audit-logs, trail-*`. `None` where a part is no name of a bucket, nor the beginning of one.
    pub fn parse(text: &str) -> Option<Self> {
        text.split(',').map(|part| pattern(part.trim())).collect::<Option<_>>().map(Self)
    }

    /// Whether none is listed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is to be done about this object.
    pub fn wanted(&self, object: &ObjectRef) -> Wanted {
        if object.key.contains(DIGESTS) {
            return Wanted::Notice(Notice::Digest);
        }
        if object.key.contains(INSIGHTS) {
            return Wanted::Notice(Notice::Insight);
        }
        if self.has(&object.bucket) {
            return Wanted::Read;
        }
        let sentence =
            "objects of this bucket are not read: list it in objects.buckets, and allow s3:GetObject on it";
        Wanted::Refused(Rejection::new(Reason::BucketNotListed, sentence))
    }

    /// Whether this one is listed.
    pub fn has(&self, bucket: &str) -> bool {
        is_name(bucket)
            && self.0.iter().any(|pattern| match pattern {
                Pattern::Name(name) => name == bucket,
                Pattern::Beginning(beginning) => bucket.starts_with(beginning),
            })
    }
}

fn pattern(text: &str) -> Option<Pattern> {
    match text.strip_suffix('*') {
        Some(beginning) => (!beginning.is_empty() && beginning.len() < 63 && is_of_name(beginning))
            .then(|| Pattern::Beginning(beginning.to_owned())),
        None => is_name(text).then(|| Pattern::Name(text.to_owned())),
    }
}

/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html>
fn is_name(text: &str) -> bool {
    (3..=63).contains(&text.len()) && is_of_name(text)
}

fn is_of_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(buckets: &str, bucket: &str, key: &str) -> Wanted {
        let object =
            ObjectRef { bucket: bucket.into(), key: key.into(), version: None, bytes: None, whole: None };
        Buckets::parse(buckets).unwrap().wanted(&object)
    }

    #[test]
    fn only_listed_buckets_are_read() {
        for (buckets, bucket, is_read) in [
            ("logs", "logs", true),
            ("logs", "logs-2", false),
            ("logs", "log", false),
            ("other, logs", "logs", true),
            ("trail-*", "trail-eu", true),
            ("trail-*", "trail-", true),
            ("trail-*", "a-trail-eu", false),
            ("trail-*", "trail-/../x", false),
            ("trail-*", "TRAIL-eu", false),
            ("trail-*", "arn:aws:s3:::trail-eu", false),
        ] {
            assert_eq!(wanted(buckets, bucket, "k") == Wanted::Read, is_read, "{buckets} {bucket}");
        }
        let none = Buckets::default();
        assert!(none.is_empty());
        let object =
            ObjectRef { bucket: "logs".into(), key: "k".into(), version: None, bytes: None, whole: None };
        let Wanted::Refused(rejection) = none.wanted(&object) else { panic!("nothing is listed") };
        assert_eq!(rejection.reason, Reason::BucketNotListed);
        assert!(rejection.detail.contains("objects.buckets"));
    }

    #[test]
    fn what_is_no_bucket_is_not_taken_for_one() {
        for text in ["", ",", "logs,", "*", "a b", "Logs", "lo", "s3://logs", "logs/prefix", "lo*gs", "-*"] {
            assert_eq!(Buckets::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn digests_and_insights_are_not_fetched() {
        let key = |folder| format!("AWSLogs/111122223333/{folder}/eu-central-1/2026/01/01/x.json.gz");
        assert_eq!(wanted("logs", "logs", &key("CloudTrail-Digest")), Wanted::Notice(Notice::Digest));
        assert_eq!(wanted("logs", "logs", &key("CloudTrail-Insight")), Wanted::Notice(Notice::Insight));
        assert_eq!(wanted("logs", "logs", &key("CloudTrail")), Wanted::Read);
        assert_eq!(wanted("logs", "logs", "CloudTrail-Digest.json"), Wanted::Read);
    }
}
