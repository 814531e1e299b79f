//! What goes wrong with a table, and whose fault it is said to be.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tributary::{
    failure::CallError,
    receive::kinesis::{
        lease::{Change, ChangeError, Lease, LeaseTable as _, ShardId, dynamodb::DynamoDbLeases},
        position::Checkpoint,
    },
};

use super::{Bench, worker};
use crate::support::{
    dynamodb,
    dynamodb_proxy::{Fate, Proxy},
    scripted::Scripted,
};

const TABLE: &str = "tributary-leases";

fn shard() -> ShardId {
    "shardId-000000000000".into()
}

fn lease() -> Lease {
    Lease { owner: Some(worker("a")), counter: 3, ..Lease::new(shard(), Checkpoint::TrimHorizon) }
}

fn keep() -> Change {
    Change::Keep { shard: shard(), holder: worker("a"), counter: 3, checkpoint: None }
}

/// All that can be asked of a table, and what came of it. None of it may succeed.
async fn failures(leases: &DynamoDbLeases) -> Vec<CallError> {
    let mut failures = vec![
        leases.list().await.expect_err("listed"),
        leases.find(&shard()).await.map(drop).expect_err("found"),
    ];
    for change in [Change::Create(lease()), keep(), Change::Delete { shard: shard() }] {
        match leases.change(&change).await {
            Err(ChangeError::Call(error)) => failures.push(error),
            other => panic!("{change:?}: {other:?}"),
        }
    }
    failures
}

/// A server that refuses everything with this code.
async fn refusing(code: &'static str) -> Scripted {
    Scripted::start(move |_| {
        (400, json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "scripted"}))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_must_cure_says_how() {
    for (code, cure) in [
        ("AccessDeniedException", "may call dynamodb:Scan, dynamodb:GetItem, dynamodb:PutItem"),
        ("ResourceNotFoundException", "the table tributary-leases exists"),
        ("ValidationException", "the partition key `leaseKey` of type S"),
        ("ExpiredTokenException", "renew them"),
        ("KMSDisabledException", "KMS key"),
        ("UnrecognizedClientException", "check that the role"),
    ] {
        let server = refusing(code).await;
        let leases = DynamoDbLeases::new(&dynamodb::aws_at(server.url()), TABLE);
        for failed in failures(&leases).await {
            assert!(!failed.is_transient() && failed.code() == code, "{failed:?}");
            assert!(failed.to_string().contains(cure), "{failed:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_by_itself_is_tried_twice_and_told_as_such() {
    let server = refusing("ProvisionedThroughputExceededException").await;
    let leases = DynamoDbLeases::new(&dynamodb::aws_at(server.url()), TABLE);
    for failed in failures(&leases).await {
        assert!(failed.is_transient(), "{failed:?}");
        assert_eq!(failed.code(), "ProvisionedThroughputExceededException");
    }
    for action in ["Scan", "GetItem", "PutItem", "UpdateItem", "DeleteItem"] {
        // A renewal that is tried for longer comes too late.
        assert_eq!(server.calls(action).len(), 2, "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_has_failed_after_seconds() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("bound"));
    let leases = DynamoDbLeases::new(&dynamodb::aws_at(&url), TABLE);
    let begun = tokio::time::Instant::now();
    let failed = leases.find(&shard()).await.expect_err("found");
    assert!(failed.is_transient() && failed.code() == "timeout", "{failed:?}");
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table_and_a_wrong_key_are_told_with_their_cure() {
    for bench in [Bench::dynoxide().await, Bench::ministack().await] {
        let url = bench.url.clone();
        dynamodb::create_table(&bench.client, "key-of-a-ledger").await;
        for (table, cure) in
            [("no-such-table", "the table no-such-table exists"), ("key-of-a-ledger", "`leaseKey`")]
        {
            let leases = DynamoDbLeases::new(&dynamodb::aws_at(&url), table);
            let failed = leases.find(&shard()).await.expect_err(table);
            assert!(
                !failed.is_transient() && failed.to_string().contains(cure),
                "{}: {failed:?}",
                bench.name
            );
            let Err(ChangeError::Call(failed)) = leases.change(&keep()).await else { panic!("{table}") };
            assert!(
                !failed.is_transient() && failed.to_string().contains(cure),
                "{}: {failed:?}",
                bench.name
            );
            let Err(ChangeError::Call(failed)) = leases.change(&Change::Create(lease())).await else {
                panic!("{table}")
            };
            assert!(
                !failed.is_transient() && failed.to_string().contains(cure),
                "{}: {failed:?}",
                bench.name
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_answer_was_lost_was_made_once() {
    let bench = Bench::dynoxide().await;
    bench.create(&lease()).await;
    let lost = |nth| if nth == 0 { Fate::LoseAnswer } else { Fate::Pass };
    let proxy = Proxy::start(&bench.url, Duration::ZERO, lost).await;
    let leases = DynamoDbLeases::new(&proxy.aws(), &bench.table);
    // The second try finds what the first has done: as whoever asks must expect anyway, it looks at the lease.
    assert!(matches!(leases.change(&keep()).await, Err(ChangeError::Conflict(_))));
    let found = leases.find(&shard()).await.expect("looked");
    assert_eq!(found, Some(Lease { counter: 4, ..lease() }));
}

fn written(shard: &str) -> Value {
    json!({"leaseKey": {"S": shard}, "checkpoint": {"S": "TRIM_HORIZON"}, "leaseCounter": {"N": "3"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_one_lease_shows_what_was_written_last() {
    let server = Scripted::start(|_| (200, json!({"Item": written("shardId-0")}))).await;
    let leases = DynamoDbLeases::new(&dynamodb::aws_at(server.url()), TABLE);
    assert_eq!(leases.find(&"shardId-0".into()).await.expect("looked").expect("there").counter, 3);
    assert_eq!(server.calls("GetItem")[0].body["ConsistentRead"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_breaks_off_is_no_list() {
    let server = Scripted::start(|call| match call.nth {
        0 => (
            200,
            json!({"Items": [written("shardId-0")], "LastEvaluatedKey": {"leaseKey": {"S": "shardId-0"}}}),
        ),
        _ => (400, json!({"__type": "AccessDeniedException", "message": "scripted"})),
    })
    .await;
    let leases = DynamoDbLeases::new(&dynamodb::aws_at(server.url()), TABLE);
    // Half of the leases would look as if the other shards had none.
    assert_eq!(leases.list().await.expect_err("listed").code(), "AccessDeniedException");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_the_lease_leaves_open_what_was_done() {
    let server = Scripted::start(|_| (200, json!({}))).await;
    let leases = DynamoDbLeases::new(&dynamodb::aws_at(server.url()), TABLE);
    let Err(ChangeError::Call(failed)) = leases.change(&keep()).await else { panic!("an answer") };
    assert!(failed.is_transient(), "{failed:?}");
}
