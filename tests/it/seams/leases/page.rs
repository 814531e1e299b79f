//! What docs/kinesis.md tells an operator to do is enough.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tributary::receive::kinesis::{
    lease::{Lease, LeaseTable as _, dynamodb::DynamoDbLeases},
    position::Checkpoint,
};

use crate::support::{dynamodb, python, scripted::Scripted};

const PAGE: &str = include_str!("../../../../docs/kinesis.md");

/// The code block that holds this text.
fn block(text: &str) -> &'static str {
    let blocks = PAGE.split("```").skip(1).step_by(2);
    let found: Vec<_> = blocks.filter(|block| block.contains(text)).collect();
    assert_eq!(found.len(), 1, "{text}");
    found[0].split_once('\n').expect("a line").1
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_of_the_page_takes_leases() {
    let server = dynamodb::DynamoDb::start_in_memory().await;
    let command = block("create-table").replace("\\\n", " ");
    let words: Vec<_> = command.split_whitespace().skip(1).chain(["--endpoint-url", &server.url]).collect();
    let made = python::aws(&words).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let leases = DynamoDbLeases::new(&server.aws(), "tributary-leases");
    let new = Lease::new("shardId-000000000000".into(), Checkpoint::TrimHorizon);
    leases.change(&tributary::receive::kinesis::lease::Change::Create(new.clone())).await.expect("created");
    assert_eq!(leases.find(&new.shard).await, Ok(Some(new)));
}

/// Who is denied reads what the role must be allowed: no more and no less than the page allows it.
#[tokio::test(flavor = "multi_thread")]
async fn the_policy_of_the_page_allows_what_a_denial_asks_for() {
    let policy: Value = serde_json::from_str(block("\"Statement\"")).expect("JSON");
    let statements = policy["Statement"].as_array().expect("statements").iter();
    let actions = statements.flat_map(|statement| match &statement["Action"] {
        Value::Array(actions) => actions.clone(),
        action => vec![action.clone()],
    });
    let allowed: BTreeSet<String> = actions.map(|action| action.as_str().expect("text").to_owned()).collect();
    let server =
        Scripted::start(|_| (400, json!({"__type": "AccessDeniedException", "message": "no"}))).await;
    let leases = DynamoDbLeases::new(&dynamodb::aws_at(server.url()), "tributary-leases");
    let denied = leases.list().await.expect_err("denied").to_string();
    let asked_for: BTreeSet<String> =
        denied.split([' ', ',']).filter(|word| word.starts_with("dynamodb:")).map(str::to_owned).collect();
    assert!(!asked_for.is_empty(), "{denied}");
    let of_table = allowed.iter().filter(|action| action.starts_with("dynamodb:")).cloned();
    assert_eq!(of_table.collect::<BTreeSet<_>>(), asked_for);
}

#[test]
fn every_metric_of_the_page_exists() {
    let metrics = include_str!("../../../../src/metrics.rs");
    let names = PAGE.split('`').filter(|word| word.starts_with("tributary_"));
    let names: BTreeSet<_> = names.map(|word| word.split('{').next().unwrap_or_default()).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        assert!(metrics.contains(&format!("\"{name}\"")), "{name}");
    }
}
