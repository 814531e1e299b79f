//! Letters whose event no queue takes, not even packed: it is kept in S3, or in a folder, before its letter is sent. The
//! queue and the bucket are ministack's.

use std::path::Path;

use tributary::{
    aws::Aws,
    config::Storage,
    decode::{Found, ObjectRef, Sum},
    receive::objects::{ObjectStore, s3::S3Objects},
};

use super::*;
use crate::support::{
    queues::Kind,
    s3::S3,
    s3_proxy::{Asked, Fate, Proxy},
};

/// As large as a record of a stream may be.
const BYTES: usize = 10_485_760;

/// No JSON, and nothing that shrinks.
fn large() -> Vec<u8> {
    binary_noise(BYTES)
}

fn overflow_to(aws: &Aws, url: &str, overflow: Storage) -> SqsDeadLetters {
    SqsDeadLetters::new(aws, &DeadLetterConfig { queue_url: url.to_owned(), overflow: Some(overflow) })
}

fn bucket(s3: &S3) -> Storage {
    Storage::S3 { bucket: s3.name.clone(), prefix: "of/letters".to_owned() }
}

/// What the letter's body leads to, and how the letter says that it only leads there.
async fn led_to(server: &QueueServer, url: &str) -> (String, Found) {
    let message = server.receive(url, 5, 0).await.pop().expect("a letter");
    assert_eq!(text(&message, ENCODING_ATTRIBUTE), Some("stored"));
    let body = message.body.expect("a body");
    (body.clone(), decode(body.into()).remove(0).found)
}

async fn bytes_of(aws: &Aws, object: &ObjectRef) -> Vec<u8> {
    let mut opened = S3Objects::new(aws).open(object, 0, None).await.expect("it is there");
    let mut bytes = Vec::new();
    while let Some(piece) = opened.body.next().await {
        bytes.extend_from_slice(&piece.expect("its bytes"));
    }
    bytes
}

#[tokio::test]
async fn what_does_not_shrink_is_kept_in_s3_and_its_letter_leads_there() {
    let (s3, original) = (S3::with_bucket("overflow").await, large());
    let url = s3.server.queue(&[]).await;
    let letters = overflow_to(&s3.aws(), &url, bucket(&s3));
    let attributes = [("origin".to_owned(), "x".repeat(2_000))];
    let about = Arc::new(About { attributes: attributes.into(), ..about() });
    let all = [letter("a"), Letter { about, ..letter(original.clone()) }, letter("b")];
    for _ in 0..2 {
        let results = letters.store(&all).await;
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }
    let sum = Sum::of(&original);
    assert_eq!(s3.keys().await, [format!("of/letters/{sum}")], "a second try writes the same object");
    assert_eq!(s3.server.count(&url).await, 6);

    let (source, _) = source_at(&s3.aws(), &url, 300);
    let mut led = 0;
    for message in receive(&source, 6, &s3.server).await {
        let Found::Object(object) = decode(message.body.clone()).remove(0).found else { continue };
        led += 1;
        assert_eq!((object.whole, object.bytes), (Some(sum), Some(BYTES as u64)));
        assert!(bytes_of(&s3.aws(), &object).await == original, "other bytes");
        assert!(message.is_redriven && !message.is_base64);
        assert_eq!(message.about.attributes["origin"].len(), 2_000, "nothing had to be left out");
    }
    assert_eq!(led, 2);
}

/// A letter that leads nowhere would be worse than none.
#[tokio::test]
async fn no_letter_is_sent_before_its_event_is_kept() {
    let s3 = S3::with_bucket("overflow-refused").await;
    for (fate, is_ours, said) in [
        (Fate::Refuse(403, "AccessDenied"), true, "s3:PutObject on"),
        (Fate::Refuse(404, "NoSuchBucket"), true, "dead_letter.overflow"),
        (Fate::Refuse(400, "KMS.DisabledException"), true, "kms:GenerateDataKey"),
        (Fate::Refuse(503, "SlowDown"), false, "SlowDown"),
        (Fate::Lose, false, "InternalError"),
    ] {
        let url = s3.server.queue(&[]).await;
        let script = move |asked: &Asked| if asked.is_put { fate } else { Fate::Pass };
        let proxy = Proxy::start(&s3.server.url(), script).await;
        let letters = overflow_to(&S3::aws_at(&proxy.url), &url, bucket(&s3));
        let results = letters.store(&[letter(large()), letter("small"), letter(large())]).await;
        for at in [0, 2] {
            let Err(StoreError::Call(error)) = &results[at] else { panic!("{fate:?}: {results:?}") };
            assert_eq!(error.is_transient(), !is_ours, "{fate:?}: {error}");
            assert!(error.to_string().contains(said), "{fate:?}: {error}");
        }
        assert_eq!(results[1], Ok(()), "{fate:?}: a letter that has no need of the bucket");
        assert_eq!(s3.server.count(&url).await, 1, "{fate:?}: only that one");
        let puts = proxy.asked().iter().filter(|asked| asked.is_put).count();
        assert!(
            puts <= 3,
            "{fate:?}: nothing more is asked of a bucket that fails, but what the SDK does: {puts}"
        );
    }
}

#[tokio::test]
async fn a_bucket_out_of_reach_is_the_moments_fault() {
    let s3 = S3::start("overflow-unreachable").await;
    let url = s3.server.queue(&[]).await;
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound");
    let letters = overflow_to(&S3::aws_at(&format!("http://{closed}")), &url, bucket(&s3));
    let results = letters.store(&[letter(large())]).await;
    assert!(matches!(&results[0], Err(StoreError::Call(error)) if error.is_transient()), "{results:?}");
}

#[tokio::test]
async fn what_does_not_shrink_is_kept_in_a_folder() {
    let (server, place, original) =
        (QueueServer::start(Kind::Ministack).await, tempfile::tempdir().expect("a folder"), large());
    let (url, folder) = (server.queue(&[]).await, place.path().join("letters"));
    let letters = overflow_to(&server.aws(), &url, Storage::Folder(folder.clone()));
    for _ in 0..2 {
        assert_eq!(letters.store(&[letter(original.clone())]).await, [Ok(())]);
    }
    let file = folder.join(Sum::of(&original).to_string());
    assert!(std::fs::read(&file).expect("a file") == original, "other bytes");
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 1);
    let (body, found) = led_to(&server, &url).await;
    assert!(body.contains(&*file.display().to_string()), "{body}");
    let Found::Rejected(rejection) = found else { panic!("no worker looks there: {found:?}") };
    assert!(rejection.detail.contains("file"), "{rejection}");

    let in_the_way = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml/letters");
    let letters = overflow_to(&server.aws(), &url, Storage::Folder(in_the_way));
    let results = letters.store(&[letter(original)]).await;
    assert!(matches!(&results[0], Err(StoreError::Call(CallError::Misconfigured { .. }))), "{results:?}");
}

/// A pointer is short, but it is not nothing.
#[tokio::test]
async fn a_queue_that_takes_no_pointer_says_so_and_nothing_is_kept() {
    let s3 = S3::with_bucket("overflow-tiny").await;
    let url = s3.server.queue(&[(QueueAttributeName::MaximumMessageSize, "1024")]).await;
    let letters = overflow_to(&s3.aws(), &url, bucket(&s3));
    let large = Letter { event_id: noise(1_000), ..letter(noise(2_000)) };
    let results = letters.store(&[large]).await;
    assert!(matches!(results[0], Err(StoreError::TooLarge { bytes_max: 1_024, .. })), "{results:?}");
    assert!(s3.keys().await.is_empty());
}
