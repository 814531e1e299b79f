//! The publish log in S3, against a server that we did not write: ministack's, which refuses to write over an object
//! when it is told not to.

mod lost_commits;

use tributary::publish_log::{Bucket, Part, Shelf as _};

use crate::{
    process::{Endpoints, Worker, events, messages},
    support::{program::run, s3::S3},
};

impl S3 {
    fn place(&self) -> String {
        format!("s3://{}/proof/of", self.name)
    }

    /// The exit code and the report of `tributary verify`.
    async fn verify(&self) -> (i32, serde_json::Value) {
        let environment = self.environment();
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let ran = run(&["verify", &self.place(), "--json"], &environment).await;
        (ran.code, ran.json())
    }
}

const WHOLE: Part<'_> = Part { chain: "a-chain", segment: 1, offset: 0, bytes: b"line\n", is_last: true };

#[tokio::test(flavor = "multi_thread")]
async fn an_object_is_written_once_and_our_own_earlier_success_is_told_from_somebody_elses() {
    let s3 = S3::with_bucket("once").await;
    let mut bucket = Bucket::new(&s3.aws(), &s3.name, "proof/of");
    bucket.keep(WHOLE).await.expect("a new object");
    let key = "proof/of/a-chain/00000001.jsonl";
    assert_eq!((s3.keys().await, s3.read(key).await), (vec![key.to_owned()], b"line\n".to_vec()));
    // The answer was lost, and the same is offered again.
    bucket.keep(WHOLE).await.expect("the same bytes are there");
    let error = bucket.keep(Part { bytes: b"another\n", ..WHOLE }).await.expect_err("other bytes are there");
    assert!(!error.is_transient() && error.to_string().contains("another object is at"), "{error}");
    assert_eq!(s3.read(key).await, b"line\n", "nothing was written over");
    let mut rootless = Bucket::new(&s3.aws(), &s3.name, "");
    rootless.keep(WHOLE).await.expect("a new object");
    assert!(s3.keys().await.contains(&"a-chain/00000001.jsonl".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_is_ours_to_cure() {
    let s3 = S3::start("absent").await;
    let error = Bucket::new(&s3.aws(), &s3.name, "").keep(WHOLE).await.expect_err("there is no bucket");
    assert_eq!((error.code(), error.is_transient()), ("NoSuchBucket", false));
    assert!(error.to_string().contains("check the bucket absent-"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_waits_for_its_bucket_and_its_log_is_intact_in_s3() {
    let (s3, endpoints) = (S3::start("worker").await, Endpoints::start().await);
    let place = s3.place();
    let settings = [
        ("TRIBUTARY_PUBLISH_LOG_TO", place.as_str()),
        ("TRIBUTARY_PUBLISH_LOG_SEGMENT_BYTES", "64KiB"),
        ("TRIBUTARY_PUBLISH_LOG_SEGMENT_TIME", "1s"),
    ];
    let environment = [endpoints.environment(&settings), s3.environment()].concat();
    let worker = Worker::start(&environment).await;
    let all = events(21, 500);
    let (first, second) = all.split_at(400);
    endpoints.send(&messages(first, 1..=6, 21)).await;
    let said = worker.until_not_ready("publish_log").await;
    assert!(said.contains("NoSuchBucket") && said.contains("check the bucket"), "{said}");
    s3.make().await;
    worker.until_ready().await;
    endpoints.until_drained(&worker).await;
    worker
        .until("everything is in a segment that has ended", async |worker: &Worker| {
            (worker.scrape().await.sum("tributary_publish_log_unwritten") == 0).then_some(())
        })
        .await;
    endpoints.send(&messages(second, 1..=6, 21)).await;
    endpoints.until_drained(&worker).await;
    let ended = worker.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);

    let (code, report) = s3.verify().await;
    assert_eq!((code, &report["records"], &report["chains"][0]["is_open"]), (0, &500.into(), &false.into()));
    let keys = s3.keys().await;
    assert_eq!(report["segments"].as_u64(), Some(keys.len() as u64));
    assert!(keys.len() > 2 && keys[1].ends_with("/00000002.jsonl"), "{keys:?}");

    let text = String::from_utf8(s3.read(&keys[1]).await).expect("text");
    let changed = text.replacen("\"destination\":\"lake\"", "\"destination\":\"leak\"", 1);
    s3.write(&keys[1], changed.into_bytes()).await;
    let (code, report) = s3.verify().await;
    let flaw = &report["chains"][0]["flaw"];
    assert_eq!(
        (code, &flaw["segment"], &flaw["line"], &flaw["kind"]),
        (3, &"00000002.jsonl".into(), &2.into(), &"changed".into())
    );
    s3.write(&keys[1], text.into_bytes()).await;
    assert_eq!(s3.verify().await.0, 0);
    s3.delete(&keys[1]).await;
    assert_eq!(s3.verify().await.1["chains"][0]["flaw"]["kind"], "segment_removed");
}
