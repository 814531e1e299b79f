//! The ledger in a DynamoDB table, against two servers, and what is its own: what it costs, what its errors mean, what
//! it does when the server is throttled, slow, killed.

use super::{Bench, Time, WINDOW, ledgers};
use crate::support::{
    dynamodb::{self, DynamoDb},
    queues::{Kind, QueueServer},
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};
use tributary::{
    aws::Aws,
    clock::Clock,
    dedupe::{connect::SharedLedger, dynamodb::DynamoDbLedger},
};

const TABLE: &str = "tributary-ledger";

static NEXT_NAMESPACE: AtomicUsize = AtomicUsize::new(0);

/// A namespace that no other test has.
fn namespace() -> String {
    format!("case-{}", NEXT_NAMESPACE.fetch_add(1, Ordering::Relaxed))
}

fn shared(namespace: &str, ahead: &Arc<AtomicU64>) -> SharedLedger {
    let ahead = ahead.clone();
    let clock =
        Clock::new(move || SystemTime::now() + Duration::from_millis(ahead.load(Ordering::Relaxed)));
    SharedLedger { namespace: namespace.to_owned(), worker: "worker-1/1".to_owned(), window: WINDOW, clock }
}

fn bench(aws: &Aws, name: &'static str, server: Box<dyn Send>) -> Bench {
    let ahead = Arc::default();
    let ledger = DynamoDbLedger::new(aws, TABLE, shared(&namespace(), &ahead));
    Bench { ledger: Arc::new(ledger), time: Time::Ahead(ahead), name, _server: server }
}

async fn dynoxide() -> Bench {
    let server = dynamodb::shared().await;
    server.create_table(TABLE).await;
    bench(&server.aws(), "dynoxide", Box::new(server))
}

async fn ministack() -> Bench {
    let server = QueueServer::start(Kind::Ministack).await;
    dynamodb::create_table(&dynamodb::client_at(&server.url()), TABLE).await;
    bench(&dynamodb::aws_at(&server.url()), "ministack", Box::new(server))
}

ledgers! { dynoxide(flavor = "multi_thread") }
ledgers! { ministack(flavor = "multi_thread") }
