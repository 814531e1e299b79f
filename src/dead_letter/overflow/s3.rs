//! Large events as objects: `<prefix>/<sha256>`. In: bytes. Out: an object of S3, written with its checksum.

use aws_sdk_s3::{Client, primitives::ByteStream};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::SETTING;
use crate::{
    aws::{
        Aws, failure,
        s3::{PUT, about_object},
    },
    decode::Sum,
    failure::CallError,
};

/// A prefix in a bucket.
pub(in crate::dead_letter) struct Bucket {
    client: Client,
    name: String,
    prefix: String,
}

impl Bucket {
    pub(super) fn new(aws: &Aws, bucket: &str, prefix: &str) -> Self {
        Self { client: aws.s3(), name: bucket.to_owned(), prefix: prefix.to_owned() }
    }

    pub(super) fn place(&self, name: &str) -> String {
        format!("s3://{}/{}", self.name, self.key(name))
    }

    /// Over what is there already: that is the same, and begins to age anew, for a letter that is new.
    pub(super) async fn keep(&self, name: &str, sum: Sum, original: Bytes) -> Result<(), CallError> {
        let key = self.key(name);
        let call = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(&key)
            .content_type("application/octet-stream")
            .checksum_sha256(STANDARD.encode(sum.as_bytes()))
            .body(ByteStream::from(original));
        let answer = call.send().await;
        answer.map(|_| ()).map_err(|error| about_object(failure(&error), &self.name, &key, PUT, SETTING))
    }

    fn key(&self, name: &str) -> String {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        format!("{}{slash}{name}", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, SdkConfig};

    use super::*;

    #[test]
    fn a_place_is_below_the_prefix_where_there_is_one() {
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
        let aws = Aws::from(config);
        for (prefix, place) in [("", "s3://over-flow/name"), ("of/all", "s3://over-flow/of/all/name")] {
            assert_eq!(Bucket::new(&aws, "over-flow", prefix).place("name"), place);
        }
    }
}
