//! A message that leads to an object: what a dead letter holds in place of an object that could not be read. Sent
//! again, it is read as S3's own notification is.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::json;

use crate::decode::{ObjectRef, pointer_to_stored};

/// A notification as S3 writes it, as short as it can be.
/// <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>
/// What is to be read as a whole is named as its letter named it.
pub(super) fn pointer(object: &ObjectRef) -> Bytes {
    if let Some(sum) = object.whole {
        return pointer_to_stored(&object.to_string(), sum, object.bytes.unwrap_or_default()).into();
    }
    let mut inner = json!({ "key": url_encoded(&object.key) });
    if let Some(version) = &object.version {
        inner["versionId"] = json!(version);
    }
    if let Some(bytes) = object.bytes {
        inner["size"] = json!(bytes);
    }
    let record = json!({
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventName": "ObjectCreated:Put",
        "s3": { "bucket": { "name": object.bucket }, "object": inner },
    });
    Bytes::from(json!({ "Records": [record] }).to_string())
}

fn url_encoded(key: &str) -> String {
    let mut encoded = String::with_capacity(key.len());
    for byte in key.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            _ => write!(encoded, "%{byte:02X}").unwrap_or_default(),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Found, decode};

    #[test]
    fn a_pointer_leads_to_the_same_object() {
        for (key, version, bytes) in
            [("AWSLogs/1/x.json.gz", None, None), ("a b+c=%é/\"", Some("v1"), Some(7)), ("{}", None, Some(0))]
        {
            let version = version.map(str::to_owned);
            let object =
                ObjectRef { bucket: "logs".to_owned(), key: key.to_owned(), version, bytes, whole: None };
            let [decoded] = &*decode(pointer(&object)) else { panic!("one object") };
            assert!(matches!(&decoded.found, Found::Object(found) if *found == object), "{decoded:?}");
        }
    }

    #[test]
    fn a_key_is_written_as_s3_writes_it() {
        for (key, encoded) in
            [("AWSLogs/1/x_y-z.json.gz", "AWSLogs/1/x_y-z.json.gz"), ("a b+c=d%é", "a%20b%2Bc%3Dd%25%C3%A9")]
        {
            assert_eq!(url_encoded(key), encoded);
        }
    }
}
