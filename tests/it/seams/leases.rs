//! What every table of leases promises: each change has the answer and the effect that [`changed`] says, whatever the
//! lease was before, and nothing but what it changes is touched.

mod cases;
mod errors;
mod kcl;
mod page;
mod plain;
mod random;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_sdk_dynamodb::{Client, types::AttributeValue};
use tokio::task::JoinSet;
use tributary::receive::kinesis::{
    lease::{
        Change, ChangeError, Conflict, Lease, LeaseTable, Leases, ShardId, WorkerId, changed,
        dynamodb::DynamoDbLeases,
    },
    position::{Checkpoint, Position, SequenceNumber},
};

use crate::support::{
    dynamodb,
    queues::{Kind, QueueServer},
};
use cases::{changes, states};
use plain::{Item, foreign, item};

/// Cases under way at the same time.
const AT_ONCE: usize = 8;

static NEXT_TABLE: AtomicUsize = AtomicUsize::new(0);

/// A table of its own for each test.
#[derive(Clone)]
struct Bench {
    leases: DynamoDbLeases,
    client: Client,
    table: String,
    url: String,
    name: &'static str,
    /// Of so many cases one is tried: the slower server gets a sample.
    one_of: usize,
    /// What must live as long as the table is used.
    _server: Arc<dyn Send + Sync>,
}

impl Bench {
    async fn at(url: &str, name: &'static str, one_of: usize, server: Arc<dyn Send + Sync>) -> Self {
        let table = format!("leases-{}", NEXT_TABLE.fetch_add(1, Ordering::Relaxed));
        let client = dynamodb::client_at(url);
        dynamodb::create_lease_table(&client, &table).await;
        let leases = DynamoDbLeases::new(&dynamodb::aws_at(url), &table);
        Self { leases, client, table, url: url.to_owned(), name, one_of, _server: server }
    }

    async fn dynoxide() -> Self {
        let server = dynamodb::shared().await;
        let url = server.url.clone();
        Self::at(&url, "dynoxide", 1, server).await
    }

    async fn ministack() -> Self {
        let server = Arc::new(QueueServer::start(Kind::Ministack).await);
        let url = server.url();
        Self::at(&url, "ministack", 7, server).await
    }

    /// As it lies in the table.
    async fn raw(&self, shard: &ShardId) -> Option<Item> {
        let key = AttributeValue::S(shard.to_string());
        let call = self.client.get_item().table_name(&self.table).key("leaseKey", key);
        call.consistent_read(true).send().await.expect("looked").item.map(plain::sorted)
    }

    /// Puts it into the table past the code under test.
    async fn plant(&self, item: Item) {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.expect("planted");
    }

    async fn remove(&self, shard: &ShardId) {
        let key = AttributeValue::S(shard.to_string());
        let call = self.client.delete_item().table_name(&self.table).key("leaseKey", key);
        call.send().await.expect("removed");
    }

    async fn change(&self, change: &Change) -> Result<Option<Lease>, Conflict> {
        match self.leases.change(change).await {
            Ok(lease) => Ok(lease),
            Err(ChangeError::Conflict(conflict)) => Err(conflict),
            Err(ChangeError::Call(error)) => panic!("{}: {change:?}: {error}", self.name),
        }
    }

    async fn create(&self, lease: &Lease) {
        assert_eq!(self.change(&Change::Create(lease.clone())).await, Ok(Some(lease.clone())));
    }
}

fn worker(name: &str) -> WorkerId {
    name.into()
}

fn at(sequence: &str, sub: u64) -> Checkpoint {
    Checkpoint::At(Position { sequence: SequenceNumber::parse(sequence).expect("a number"), sub })
}

/// Of all that is in the item beside the lease, a change removes only what spoke of the checkpoint that it replaces.
fn moves_checkpoint(change: &Change) -> bool {
    match change {
        Change::Keep { checkpoint, .. } | Change::Leave { checkpoint, .. } => checkpoint.is_some(),
        Change::End { .. } | Change::Set { .. } => true,
        _ => false,
    }
}

async fn check(bench: &Bench, state: Option<&Lease>, change: &Change) {
    let case = format!("{}: {change:?} of {state:?}", bench.name);
    let before = state.map(|lease| plain::sorted(foreign(item(lease))));
    match &before {
        Some(item) => bench.plant(item.clone()).await,
        None => bench.remove(change.shard()).await,
    }
    let expected = changed(state, change);
    assert_eq!(bench.change(change).await, expected, "{case}");
    let after = match &expected {
        Err(Conflict) => before,
        Ok(None) => None,
        Ok(Some(lease)) if before.is_none() => Some(item(lease)),
        Ok(Some(lease)) if moves_checkpoint(change) => Some(plain::without_pending(foreign(item(lease)))),
        Ok(Some(lease)) => Some(foreign(item(lease))),
    };
    assert_eq!(bench.raw(change.shard()).await, after.map(plain::sorted), "{case}");
}

async fn every_change_does_to_every_lease_what_the_rules_say(bench: Bench) {
    let mut tasks = JoinSet::new();
    for part in 0..AT_ONCE {
        let bench = bench.clone();
        tasks.spawn(async move {
            let shard = format!("shardId-{part:012}").into();
            let (states, changes) = (states(&shard), changes(&shard));
            let (mut all, mut refused) = (0, 0);
            for case in (part..states.len() * changes.len()).step_by(AT_ONCE * bench.one_of) {
                let state = states[case / changes.len()].as_ref();
                let change = &changes[case % changes.len()];
                check(&bench, state, change).await;
                all += 1;
                refused += usize::from(changed(state, change).is_err());
            }
            (all, refused)
        });
    }
    let parts = tasks.join_all().await.into_iter();
    let (all, refused) = parts.fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
    assert!(
        all * bench.one_of > 1_000 && refused > all / 2 && refused < all,
        "{refused} of {all} were refused"
    );
}

async fn of_sixteen_takers_one_wins(bench: Bench) {
    for round in 0..20 {
        let seen = (round % 2 == 1).then(|| worker("dead"));
        let shard: ShardId = format!("shardId-{round:012}").into();
        bench.create(&Lease { owner: seen.clone(), ..Lease::new(shard.clone(), at("4711", 3)) }).await;
        let mut takers = JoinSet::new();
        for taker in 0..16 {
            let by = worker(&format!("worker-{taker}"));
            let take = Change::Take { shard: shard.clone(), seen: seen.clone(), counter: 0, by };
            let bench = bench.clone();
            takers.spawn(async move { bench.change(&take).await });
        }
        let won: Vec<_> = takers.join_all().await.into_iter().filter_map(Result::ok).flatten().collect();
        assert_eq!(won.len(), 1, "{}: {won:?}", bench.name);
        assert_eq!(bench.leases.find(&shard).await.expect("looked").as_ref(), won.first(), "{}", bench.name);
    }
}

/// Each change that was made is counted once, in the lease and by whoever made it.
async fn no_change_is_lost_between_many_workers(bench: Bench) {
    let shard: ShardId = "shardId-000000000000".into();
    bench.create(&Lease::new(shard.clone(), Checkpoint::TrimHorizon)).await;
    let mut workers = JoinSet::new();
    for number in 0..8 {
        let (bench, shard) = (bench.clone(), shard.clone());
        workers.spawn(async move {
            let me = worker(&format!("worker-{number}"));
            let mut made = 0;
            for turn in 0..25 {
                let lease = bench.leases.find(&shard).await.expect("looked").expect("there");
                let counter = lease.counter;
                let change = match lease.holder() {
                    Some(holder) if *holder == me => {
                        Change::Keep { shard: shard.clone(), holder: me.clone(), counter, checkpoint: None }
                    }
                    Some(holder) if turn % 2 == 0 => {
                        Change::Ask { shard: shard.clone(), holder: holder.clone(), to: Some(me.clone()) }
                    }
                    seen => {
                        let seen = seen.cloned();
                        Change::Take { shard: shard.clone(), seen, counter, by: me.clone() }
                    }
                };
                let is_counted = !matches!(change, Change::Ask { .. });
                made += u64::from(bench.change(&change).await.is_ok() && is_counted);
            }
            made
        });
    }
    let made: u64 = workers.join_all().await.into_iter().sum();
    let lease = bench.leases.find(&shard).await.expect("looked").expect("there");
    assert!(made > 0, "{}: nobody did anything", bench.name);
    assert_eq!(lease.counter, made, "{}: {lease:?}", bench.name);
}

async fn a_table_of_several_pages_is_listed_whole(bench: Bench) {
    // A page of a scan ends after 1 MB.
    let padding = AttributeValue::S("x".repeat(300_000));
    let mut expected = Leases::new();
    for number in 0..8 {
        let shard: ShardId = format!("shardId-{number:012}").into();
        let lease = Lease { counter: number, ..Lease::new(shard.clone(), at("4711", 3)) };
        let mut item = item(&lease);
        item.insert("padding".to_owned(), padding.clone());
        bench.plant(item).await;
        expected.insert(shard, lease);
    }
    let page = bench.client.scan().table_name(&bench.table).send().await.expect("a page");
    assert!(page.last_evaluated_key.is_some(), "{}: one page holds all", bench.name);
    assert_eq!(bench.leases.list().await.expect("listed"), expected, "{}", bench.name);
}

/// `leases! { NAME }` runs every case on the bench of that name.
macro_rules! leases {
    ($($bench:ident: $cases:tt)+) => {
        $(mod $bench { leases!(@cases $bench $cases); })+
    };
    (@cases $bench:ident [$($case:ident),+ $(,)?]) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                super::$case(super::Bench::$bench().await).await;
            }
        )+
    };
}

use random::a_long_history_ends_where_the_rules_say;

leases! {
    dynoxide: [
        every_change_does_to_every_lease_what_the_rules_say,
        a_long_history_ends_where_the_rules_say,
        of_sixteen_takers_one_wins,
        no_change_is_lost_between_many_workers,
        a_table_of_several_pages_is_listed_whole,
    ]
    ministack: [
        every_change_does_to_every_lease_what_the_rules_say,
        a_long_history_ends_where_the_rules_say,
        of_sixteen_takers_one_wins,
        no_change_is_lost_between_many_workers,
        a_table_of_several_pages_is_listed_whole,
    ]
}
