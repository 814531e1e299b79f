//! The templates of `infra/cloudformation/`, deployed for real: a worker that has what its task definition gives it, and
//! the rights of its role alone, carries events through the queues and the table that the stack made.
//!
//! The account is ministack's; the lake is the local one, since nobody else serves `PutAuditEvents`. So all rights but
//! the one to publish are tried.

use serde_json::{Map, Value, json};

use crate::{
    process::{Endpoints, Worker, events, messages},
    support::{
        cloud::{Cloud, Stack},
        local::CHANNEL,
    },
};

const NETWORK: [(&str, &str); 3] = [
    ("ImageUri", "registry.example.com/tributary:1"),
    ("VpcId", "vpc-00000001"),
    ("SubnetIds", "subnet-00000001,subnet-00000002"),
];
/// Looks at what another process does; each takes a moment.
const LOOKS_MAX: u32 = 60;
const STREAM: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/activity";

async fn deploy(cloud: &Cloud, name: &str, more: &[(&str, &str)]) -> Stack {
    let channel = [("ChannelArn", CHANNEL), ("RequestsPerSecond", "50")];
    cloud.deploy("tributary.yaml", name, &[&channel[..], &NETWORK, more].concat()).await
}

/// What the task has: its definition's environment, its role's credentials, and here the way to the endpoints.
fn environment(cloud: &Cloud, stack: &Stack, lake: &Endpoints) -> Vec<(String, String)> {
    let credential = |name: &str| stack.worker()[name].as_str().expect("text").to_owned();
    let around = [
        ("AWS_ENDPOINT_URL", cloud.url()),
        ("AWS_ENDPOINT_URL_CLOUDTRAIL_DATA", lake.local.lake_url()),
        ("SSL_CERT_FILE", cloud.ca_file().to_str().expect("text").to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", credential("AccessKeyId")),
        ("AWS_SECRET_ACCESS_KEY", credential("SecretAccessKey")),
        ("AWS_SESSION_TOKEN", credential("SessionToken")),
    ];
    let around = around.into_iter().map(|(name, value)| (name.to_owned(), value));
    stack.environment().into_iter().chain(around).collect()
}

/// Sends as a producer does who has the stack's policy.
async fn send(cloud: &Cloud, stack: &Stack, bodies: &[String]) {
    let queue = stack.output("SourceQueueUrl");
    let call = |body| json!(["sqs", "send_message", { "QueueUrl": queue, "MessageBody": body }]);
    let calls: Vec<_> = bodies.iter().map(call).collect();
    let ended = cloud.calls(stack.producer(), calls.into()).await;
    assert!(ended.iter().all(|ended| ended == "done"), "{ended:?}");
}

/// Messages of a queue, visible and hidden.
async fn depth(cloud: &Cloud, url: &str) -> (u64, u64) {
    let asked = ["sqs", "get-queue-attributes", "--attribute-names", "All", "--queue-url", url];
    let answer = cloud.aws(&asked).await;
    let number = |name: &str| answer["Attributes"][name].as_str().and_then(|text| text.parse().ok());
    let number = |name: &str| number(name).unwrap_or_else(|| panic!("no {name}: {answer}"));
    (number("ApproximateNumberOfMessages"), number("ApproximateNumberOfMessagesNotVisible"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_carries_events_through_what_the_stack_made_with_the_rights_of_its_role() {
    let (cloud, lake) = (Cloud::shared().await, Endpoints::start().await);
    let stack = deploy(&cloud, "queue", &[]).await;
    assert_eq!(stack.policies(), ["dead-letter", "dedupe", "publish", "receive-from-queue"]);
    let worker = Worker::start(&environment(&cloud, &stack, &lake)).await;
    worker.until_ready().await;

    let events = events(3, 60);
    let bodies = messages(&events, 1..=6, 3);
    send(&cloud, &stack, &bodies).await;
    lake.until_stored(&worker, 60).await;
    send(&cloud, &stack, &bodies).await;
    send(&cloud, &stack, &["no JSON, number 1".to_owned()]).await;
    worker
        .until("copies are recognised and the bad event is a letter", async |worker: &Worker| {
            let scrape = worker.scrape().await;
            let done =
                (scrape.term("duplicate"), scrape.term("dead_lettered"), scrape.in_flight()) == (60, 1, 0);
            done.then_some(())
        })
        .await;
    assert_eq!(lake.assert_all_stored(&events).await, 0);
    assert_eq!(depth(&cloud, stack.output("DeadLetterQueueUrl")).await, (1, 0));

    what_watches_looks_at_what_was_made(&cloud, &stack).await;
    the_letter_waits_while_the_right_is_gone(&cloud, &stack, &worker).await;
    assert_eq!(depth(&cloud, stack.output("SourceQueueUrl")).await, (0, 0));
    assert_eq!(worker.stop().await.code, Some(0));
    what_is_stored_outlives_the_stack(&cloud, &stack).await;
}

async fn what_watches_looks_at_what_was_made(cloud: &Cloud, stack: &Stack) {
    let queue = stack.output("SourceQueueArn").rsplit(':').next().expect("a name");
    let alarms = cloud.aws(&["cloudwatch", "describe-alarms"]).await;
    let alarms = alarms["MetricAlarms"].as_array().expect("alarms");
    let of_age = alarms.iter().filter(|alarm| alarm["MetricName"] == "ApproximateAgeOfOldestMessage");
    assert!(of_age.clone().any(|alarm| alarm["Dimensions"][0]["Value"] == queue), "{alarms:?}");

    let dashboards = cloud.aws(&["cloudwatch", "list-dashboards"]).await;
    let mut bodies = Vec::new();
    for entry in dashboards["DashboardEntries"].as_array().expect("dashboards") {
        let name = entry["DashboardName"].as_str().expect("a name");
        let shown = cloud.aws(&["cloudwatch", "get-dashboard", "--dashboard-name", name]).await;
        bodies.push(shown["DashboardBody"].as_str().expect("text").to_owned());
    }
    let body = bodies.iter().find(|body| body.contains(queue)).expect("a dashboard of this queue");
    let body: Value = serde_json::from_str(body).expect("JSON");
    assert_eq!(body["widgets"].as_array().map(Vec::len), Some(8));
    for made in [stack.output("LedgerTableName"), stack.output("LogGroupName")] {
        assert!(body.to_string().contains(made), "{made} is not shown");
    }
    assert!(!body.to_string().contains("${"), "a value was not filled in: {body}");
}

/// The control: these rights are what the worker works with.
async fn the_letter_waits_while_the_right_is_gone(cloud: &Cloud, stack: &Stack, worker: &Worker) {
    let policy = ["--role-name", stack.role(), "--policy-name", "dead-letter"];
    let asked = [&["iam", "get-role-policy"], &policy[..]].concat();
    let document = cloud.aws(&asked).await["PolicyDocument"].to_string();
    cloud.aws(&[&["iam", "delete-role-policy"], &policy[..]].concat()).await;
    send(cloud, stack, &["no JSON, number 2".to_owned()]).await;
    let text = worker.until_not_ready("dead_letters").await;
    assert!(text.contains("AccessDenied"), "{text}");
    let again = [&["iam", "put-role-policy", "--policy-document", &document], &policy[..]].concat();
    cloud.aws(&again).await;
    worker
        .until("the letter is stored after the cure", async |worker: &Worker| {
            let scrape = worker.scrape().await;
            ((scrape.term("dead_lettered"), scrape.in_flight()) == (2, 0)).then_some(())
        })
        .await;
}

async fn what_is_stored_outlives_the_stack(cloud: &Cloud, stack: &Stack) {
    let table = stack.output("LedgerTableName");
    let storage = ["--stack-name", "queue", "--logical-resource-id", "Storage"];
    let storage = cloud.aws(&[&["cloudformation", "describe-stack-resource"], &storage[..]].concat()).await;
    let storage = storage["StackResourceDetail"]["PhysicalResourceId"].as_str().expect("its id");
    // By itself: with the stack around it, ministack would delete what is to be retained.
    cloud.aws(&["cloudformation", "delete-stack", "--stack-name", storage]).await;
    let deleted = ["cloudformation", "list-stacks", "--stack-status-filter", "DELETE_COMPLETE"];
    let mut looks = 0..LOOKS_MAX;
    while !cloud.aws(&deleted).await.to_string().contains(storage) {
        assert!(looks.next().is_some(), "{storage} is not deleted");
    }
    assert_eq!(depth(cloud, stack.output("DeadLetterQueueUrl")).await, (2, 0));
    let rows = cloud.aws(&["dynamodb", "scan", "--table-name", table]).await;
    let items = rows["Items"].as_array().expect("items");
    assert_eq!(items.len(), 62);
    assert!(
        items.iter().all(|item| item["expires"]["N"].is_string()),
        "what the template's time to live is on"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_may_do_what_is_not_theirs() {
    let cloud = Cloud::shared().await;
    let buckets =
        [("ObjectsBucket", "audit-logs"), ("PublishLogBucket", "proof"), ("OverflowBucket", "too-large")];
    let stack = deploy(&cloud, "rights", &buckets).await;
    let read = ("TRIBUTARY_OBJECTS_BUCKETS".to_owned(), "audit-logs, too-large".to_owned());
    assert!(stack.environment().contains(&read), "letters that are sent back lead there");
    let (source, letters) = (stack.output("SourceQueueUrl"), stack.output("DeadLetterQueueUrl"));
    let table = stack.output("LedgerTableName");
    for bucket in ["audit-logs", "proof", "too-large", "other"] {
        cloud.aws(&["s3", "mb", &format!("s3://{bucket}")]).await;
    }
    let theirs = json!([
        ["sqs", "receive_message", { "QueueUrl": source, "WaitTimeSeconds": 0 }],
        ["sqs", "get_queue_attributes", { "QueueUrl": letters }],
        ["sqs", "send_message", { "QueueUrl": letters, "MessageBody": "a" }],
        ["s3", "list_objects_v2", { "Bucket": "audit-logs" }],
        ["s3", "put_object", { "Bucket": "proof", "Key": "tributary/a", "Body": "a" }],
        ["s3", "get_object", { "Bucket": "proof", "Key": "tributary/a" }],
        ["s3", "put_object", { "Bucket": "too-large", "Key": "letters/a", "Body": "a" }],
        ["s3", "get_object", { "Bucket": "too-large", "Key": "letters/a" }],
    ]);
    assert_eq!(cloud.calls(stack.worker(), theirs).await, ["done"; 8]);
    let not_theirs = json!([
        ["sqs", "send_message", { "QueueUrl": source, "MessageBody": "a" }],
        ["sqs", "purge_queue", { "QueueUrl": source }],
        ["sqs", "receive_message", { "QueueUrl": letters }],
        ["dynamodb", "scan", { "TableName": table }],
        ["dynamodb", "delete_table", { "TableName": table }],
        ["s3", "put_object", { "Bucket": "proof", "Key": "elsewhere", "Body": "a" }],
        ["s3", "delete_object", { "Bucket": "proof", "Key": "tributary/a" }],
        ["s3", "delete_object", { "Bucket": "too-large", "Key": "letters/a" }],
        ["s3", "list_objects_v2", { "Bucket": "other" }],
    ]);
    assert_eq!(cloud.calls(stack.worker(), not_theirs).await, ["denied"; 9]);
    let not_a_producers = json!([
        ["sqs", "receive_message", { "QueueUrl": source, "WaitTimeSeconds": 0 }],
        ["sqs", "send_message", { "QueueUrl": letters, "MessageBody": "a" }],
    ]);
    assert_eq!(cloud.calls(stack.producer(), not_a_producers).await, ["denied"; 2]);
    let in_the_clear = json!([["sqs", "receive_message", { "QueueUrl": source, "WaitTimeSeconds": 0 }]]);
    assert_eq!(cloud.calls_without_tls(stack.worker(), in_the_clear).await, ["denied"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn for_pods_the_same_rights_belong_to_one_service_account() {
    let cloud = Cloud::shared().await;
    let provider = "oidc.eks.us-east-1.amazonaws.com/id/ABC";
    let parameters = [("ChannelArn", CHANNEL), ("OidcProvider", provider)];
    let stack = cloud.deploy("kubernetes.yaml", "pods", &parameters).await;
    assert_eq!(stack.policies(), ["dead-letter", "dedupe", "publish", "receive-from-queue"]);
    let mut asked = Map::new();
    asked.insert(format!("{provider}:aud"), "sts.amazonaws.com".into());
    asked.insert(format!("{provider}:sub"), "system:serviceaccount:tributary:tributary".into());
    let trust = json!([{
        "Effect": "Allow",
        "Principal": { "Federated": format!("arn:aws:iam::000000000000:oidc-provider/{provider}") },
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": { "StringEquals": asked },
    }]);
    assert_eq!(*stack.trust(), trust);
    let queue = stack.output("SourceQueueUrl");
    let receive = json!([["sqs", "receive_message", { "QueueUrl": queue, "WaitTimeSeconds": 0 }]]);
    assert_eq!(cloud.calls(stack.worker(), receive).await, ["done"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_takes_the_place_of_the_queue() {
    let cloud = Cloud::shared().await;
    cloud.aws(&["kinesis", "create-stream", "--stream-name", "activity", "--shard-count", "1"]).await;
    let stack = deploy(&cloud, "stream", &[("StreamArn", STREAM)]).await;
    assert!(!stack.has_output("SourceQueueUrl"));
    assert_eq!(stack.policies(), ["dead-letter", "dedupe", "publish", "receive-from-stream"]);
    let environment = stack.environment();
    let set = |name: &str| environment.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str());
    let leases = stack.output("LeaseTableName");
    assert_eq!(set("TRIBUTARY_STREAM_ARN"), Some(STREAM));
    assert_eq!(set("TRIBUTARY_STREAM_LEASE_TABLE"), Some(leases));
    assert_eq!(set("TRIBUTARY_SOURCE_QUEUE_URL"), None);

    let put: Value = json!({ "StreamARN": STREAM, "PartitionKey": "a", "Data": "a" });
    let key = json!({ "leaseKey": { "S": "shardId-000000000000" } });
    assert_eq!(cloud.calls(stack.producer(), json!([["kinesis", "put_record", put]])).await, ["done"]);
    let theirs = json!([
        ["kinesis", "list_shards", { "StreamARN": STREAM }],
        ["kinesis", "describe_stream_summary", { "StreamARN": STREAM }],
        ["kinesis", "get_shard_iterator", {
            "StreamARN": STREAM, "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON",
        }],
        ["dynamodb", "put_item", { "TableName": leases, "Item": key }],
        ["dynamodb", "get_item", { "TableName": leases, "Key": key }],
        ["dynamodb", "scan", { "TableName": leases }],
        ["dynamodb", "delete_item", { "TableName": leases, "Key": key }],
    ]);
    assert_eq!(cloud.calls(stack.worker(), theirs).await, ["done"; 7]);
    let not_theirs = json!([
        ["kinesis", "put_record", put],
        ["kinesis", "delete_stream", { "StreamARN": STREAM }],
        ["dynamodb", "scan", { "TableName": stack.output("LedgerTableName") }],
    ]);
    assert_eq!(cloud.calls(stack.worker(), not_theirs).await, ["denied"; 3]);
}
