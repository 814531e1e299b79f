//! Segments as objects: `<prefix>/<chain>/<00000001>.jsonl`. In: whole segments. Out: objects that are written once and
//! never over another.

use async_trait::async_trait;
use aws_sdk_s3::{Client, primitives::ByteStream};
use base64::{Engine, engine::general_purpose::STANDARD};
use sha2::{Digest, Sha256};

use super::{Part, Shelf, folder::file_name};
use crate::{
    aws::{
        Aws, Failure, failure,
        s3::{Actions, GET, PUT, about_object},
    },
    failure::CallError,
};

/// A prefix in a bucket.
pub struct Bucket {
    client: Client,
    name: String,
    prefix: String,
}

impl Bucket {
    /// The bucket must be there.
    pub fn new(aws: &Aws, bucket: &str, prefix: &str) -> Self {
        Self { client: aws.s3(), name: bucket.to_owned(), prefix: prefix.to_owned() }
    }

    fn said(&self, failed: Failure, key: &str, actions: Actions) -> CallError {
        about_object(failed, &self.name, key, actions, "publish_log.to")
    }

    /// Something is there already. Ours, if an earlier answer was lost; then all is well.
    async fn is_ours(&self, key: &str, bytes: &[u8]) -> Result<(), CallError> {
        let found = self.client.get_object().bucket(&self.name).key(key).send().await;
        let mut object = found.map_err(|error| self.said(failure(&error), key, GET))?;
        let mut hash = Sha256::new();
        while let Some(piece) = object.body.next().await {
            let piece =
                piece.map_err(|error| CallError::transient("no_reply", format!("no_reply: {error}")))?;
            hash.update(&piece);
        }
        if hash.finalize() == Sha256::digest(bytes) {
            return Ok(());
        }
        Err(CallError::misconfigured(
            "PreconditionFailed",
            format!(
                "another object is at {}/{key}, and nothing is written over it; find out who writes there, then \
                 restart this worker: it begins a chain of its own",
                self.name
            ),
        ))
    }
}

/// The key of a segment.
pub(super) fn key(prefix: &str, chain: &str, segment: u64) -> String {
    let slash = if prefix.is_empty() { "" } else { "/" };
    format!("{prefix}{slash}{chain}/{}", file_name(segment))
}

#[async_trait]
impl Shelf for Bucket {
    /// Only writing an object would tell, and it could not be taken away again: the first segment tells, and is short.
    async fn prepare(&mut self) -> Result<(), CallError> {
        Ok(())
    }

    fn place(&self) -> String {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        format!("s3://{}{slash}{}", self.name, self.prefix)
    }

    fn takes_parts(&self) -> bool {
        false
    }

    async fn keep(&mut self, part: Part<'_>) -> Result<(), CallError> {
        let key = key(&self.prefix, part.chain, part.segment);
        let call = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(&key)
            .content_type("application/x-ndjson")
            // A bucket with object lock asks for a checksum.
            .checksum_sha256(STANDARD.encode(Sha256::digest(part.bytes)))
            .if_none_match("*")
            .body(ByteStream::from(part.bytes.to_vec()));
        let Err(error) = call.send().await else { return Ok(()) };
        let failed = failure(&error);
        if failed.code == "PreconditionFailed" {
            return self.is_ours(&key, part.bytes).await;
        }
        Err(self.said(failed, &key, PUT))
    }
}

#[cfg(test)]
mod tests {
    use aws_config::{BehaviorVersion, SdkConfig};

    use super::*;

    fn bucket(prefix: &str) -> Bucket {
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
        Bucket::new(&config.into(), "proof", prefix)
    }

    #[test]
    fn a_place_is_named_as_it_is_configured() {
        assert_eq!(bucket("").place(), "s3://proof");
        assert_eq!(bucket("of/all").place(), "s3://proof/of/all");
    }
}
