//! The adapter to S3, against a server that we did not write, with what that server cannot do done in between.

use tributary::{
    decode::ObjectRef,
    failure::CallError,
    receive::objects::{ObjectError, ObjectStore as _, OpenObject, s3::S3Objects},
};

use crate::support::{
    s3::S3,
    s3_proxy::{Fate, Proxy},
};

const TEXT: &[u8] = b"{\"a\":1}\n{\"b\":2}\n";

impl S3 {
    fn object(&self, key: &str) -> ObjectRef {
        ObjectRef { bucket: self.name.clone(), key: key.to_owned(), version: None, bytes: None, whole: None }
    }
}

/// What is read until the end, or until the connection breaks.
async fn text(mut open: OpenObject) -> (Vec<u8>, Result<(), CallError>) {
    let mut text = Vec::new();
    loop {
        match open.body.next().await {
            Some(Ok(bytes)) => text.extend_from_slice(&bytes),
            Some(Err(error)) => return (text, Err(error)),
            None => return (text, Ok(())),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_read_from_any_byte_and_only_while_it_is_the_same() {
    let s3 = S3::with_bucket("parts").await;
    let (store, object) = (S3Objects::new(&s3.aws()), s3.object("a key/with ü and+plus"));
    s3.write(&object.key, TEXT.to_vec()).await;
    let whole = store.open(&object, 0, None).await.expect("an object");
    assert_eq!(whole.bytes, TEXT.len() as u64);
    let etag = whole.etag.clone().expect("S3 says an ETag");
    assert_eq!(text(whole).await, (TEXT.to_vec(), Ok(())));
    let rest = store.open(&object, 8, Some(&etag)).await.expect("the rest of it");
    assert_eq!(rest.bytes, TEXT.len() as u64, "of the whole object");
    assert_eq!(text(rest).await, (TEXT[8..].to_vec(), Ok(())));
    s3.write(&object.key, b"another".to_vec()).await;
    assert_eq!(store.open(&object, 3, Some(&etag)).await.err(), Some(ObjectError::Changed));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_and_a_bucket_that_is_missing_are_told_apart() {
    let s3 = S3::with_bucket("missing").await;
    let store = S3Objects::new(&s3.aws());
    assert_eq!(store.open(&s3.object("none"), 0, None).await.err(), Some(ObjectError::Missing));
    let elsewhere = ObjectRef { bucket: format!("no-{}", s3.name), ..s3.object("none") };
    let Some(ObjectError::Call(error)) = store.open(&elsewhere, 0, None).await.err() else {
        panic!("there is no such bucket")
    };
    assert_eq!((error.code(), error.is_transient()), ("NoSuchBucket", false));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_in_another_region_is_read_there() {
    let s3 = S3::start("elsewhere").await;
    s3.make_in("eu-west-1").await;
    s3.write_in("eu-west-1", "a", TEXT.to_vec()).await;
    let proxy = Proxy::start(&s3.server.url(), |_| Fate::Pass).await;
    let store = S3Objects::new(&S3::aws_at(&proxy.url));
    for _ in 0..2 {
        let open = store.open(&s3.object("a"), 0, None).await.expect("found in its Region");
        assert_eq!(text(open).await.0, TEXT);
    }
    assert_eq!(proxy.asked().len(), 3, "the Region is asked for once");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_is_ours_and_says_the_actions() {
    let s3 = S3::with_bucket("denied").await;
    let proxy = Proxy::start(&s3.server.url(), |_| Fate::Refuse(403, "AccessDenied")).await;
    let store = S3Objects::new(&S3::aws_at(&proxy.url));
    let Some(ObjectError::Call(error)) = store.open(&s3.object("a"), 0, None).await.err() else {
        panic!("denied")
    };
    assert!(!error.is_transient());
    for part in ["s3:GetObject", "s3:ListBucket", "kms:Decrypt", &s3.name] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_seen_as_one_and_not_as_the_end() {
    let s3 = S3::with_bucket("breaks").await;
    s3.write("a", TEXT.to_vec()).await;
    let proxy = Proxy::start(&s3.server.url(), |_| Fate::BreakAfter(10)).await;
    let store = S3Objects::new(&S3::aws_at(&proxy.url));
    let open = store.open(&s3.object("a"), 0, None).await.expect("opened");
    assert_eq!(open.bytes, TEXT.len() as u64);
    let (begun, ended) = text(open).await;
    assert!(TEXT.starts_with(&begun) && begun.len() < TEXT.len());
    assert!(ended.expect_err("broken").is_transient());
}
