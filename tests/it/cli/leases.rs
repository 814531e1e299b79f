//! `leases` and `checkpoint`, by the real program, against a real table.

mod streams;

use std::{
    collections::HashMap,
    fs,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};
use tributary::receive::kinesis::{
    lease::{Change, Lease, LeaseTable as _, WorkerId, dynamodb::DynamoDbLeases},
    position::{Checkpoint, Position, SequenceNumber},
};

use super::*;
use crate::support::{
    dynamodb::{self, DynamoDb},
    kinesis::{Stream, StreamServer},
    python,
};

const STREAM: &str = "arn:aws:kinesis:us-east-1:111122223333:stream/audit";
/// The shortest that the configuration takes.
const FAILOVER: Duration = Duration::from_secs(2);

static NEXT_TABLE: AtomicUsize = AtomicUsize::new(0);

/// A table of its own, and the variables that name it.
struct World {
    server: Arc<DynamoDb>,
    table: String,
    leases: Arc<DynamoDbLeases>,
    stream: String,
    kinesis: String,
}

impl World {
    async fn new() -> Self {
        let server = dynamodb::shared().await;
        let table = format!("cli-leases-{}", NEXT_TABLE.fetch_add(1, Ordering::Relaxed));
        dynamodb::create_lease_table(&server.client(), &table).await;
        let leases = Arc::new(DynamoDbLeases::new(&server.aws(), &table));
        // Nobody answers there.
        Self { server, table, leases, stream: STREAM.into(), kinesis: "http://127.0.0.1:9".into() }
    }

    async fn with_stream(server: &StreamServer, stream: &Stream) -> Self {
        Self { stream: stream.arn.clone(), kinesis: server.url(), ..Self::new().await }
    }

    async fn create(&self, lease: Lease) {
        self.leases.change(&Change::Create(lease)).await.unwrap();
    }

    async fn find(&self, shard: &str) -> Lease {
        self.leases.find(&shard.into()).await.unwrap().unwrap()
    }

    /// The exit code, stdout and stderr.
    async fn run(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = tributary(args);
        command.envs(self.environment());
        let ended = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        (ended.status.code().unwrap(), stdout(&ended), stderr(&ended))
    }

    fn environment(&self) -> [(&str, &str); 13] {
        [
            ("AWS_ENDPOINT_URL_DYNAMODB", self.server.url.as_str()),
            ("AWS_ENDPOINT_URL_KINESIS", &self.kinesis),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
            ("NO_PROXY", "127.0.0.1"),
            ("USER", "ada"),
            ("TRIBUTARY_STREAM_ARN", &self.stream),
            ("TRIBUTARY_STREAM_LEASE_TABLE", &self.table),
            ("TRIBUTARY_STREAM_FAILOVER_TIME", "2s"),
            ("TRIBUTARY_DEAD_LETTER_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/111122223333/letters"),
            ("TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN", ARN),
        ]
    }

    /// By a person at a terminal, who says this, and not before `meanwhile` has happened; the exit code, and all that was
    /// shown.
    async fn run_by(
        &self,
        answer: &str,
        args: &[&str],
        meanwhile: impl Future<Output = ()>,
    ) -> (i64, String) {
        let command: Vec<_> = [env!("CARGO_BIN_EXE_tributary")].iter().chain(args).collect();
        let environment: HashMap<_, _> = self.environment().into();
        let folder = tempfile::tempdir().unwrap();
        let thinking = folder.path().join("thinking");
        let asked = serde_json::json!({
            "command": command, "environment": environment, "question": "[y/N]", "answer": answer,
            "thinking": thinking,
        });
        let mut running = pin!(python::run("at_a_terminal.py", &asked));
        let ended = loop {
            tokio::select! {
                ended = &mut running => break ended,
                () = sleep(Duration::from_millis(20)) => {}
            }
            if thinking.exists() {
                meanwhile.await;
                fs::remove_file(&thinking).unwrap();
                break running.await;
            }
        };
        let ended: Value = serde_json::from_str(&ended).unwrap();
        (ended["code"].as_i64().unwrap(), ended["said"].as_str().unwrap().to_owned())
    }

    async fn json(&self, args: &[&str]) -> (i32, Value) {
        let (code, out, err) = self.run(&[args, &["--json"]].concat()).await;
        let json = serde_json::from_str(&out);
        (code, json.unwrap_or_else(|error| panic!("{args:?}: {error}: {out}{err}")))
    }

    /// A worker that moves its lease, and leaves when it is asked to.
    fn worker(&self, name: &str, shard: &str) -> JoinSet<()> {
        let (leases, me, shard) = (self.leases.clone(), WorkerId::from(name), shard.into());
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let lease = leases.find(&shard).await.unwrap().unwrap();
                if lease.holder() != Some(&me) {
                    return;
                }
                let (shard, holder, counter) = (shard.clone(), me.clone(), lease.counter);
                let change = if lease.is_asked_for() {
                    Change::Leave { shard, holder, counter, is_asked_for: true, checkpoint: None }
                } else {
                    Change::Keep { shard, holder, counter, checkpoint: None }
                };
                drop(leases.change(&change).await);
                sleep(FAILOVER / 10).await;
            }
        });
        task
    }
}

fn shard(number: u32) -> String {
    format!("shardId-{number:012}")
}

fn lease(number: u32) -> Lease {
    Lease::new(shard(number).into(), Checkpoint::TrimHorizon)
}

fn held(number: u32, by: &str) -> Lease {
    Lease { owner: Some(by.into()), ..lease(number) }
}

fn at(sequence: &str, sub: u64) -> Checkpoint {
    Checkpoint::At(Position { sequence: SequenceNumber::parse(sequence).unwrap(), sub })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_says_of_each_shard_who_reads_it_and_how_far_it_is_done() {
    let world = World::new().await;
    let (code, out, err) = world.run(&["leases"]).await;
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert!(err.contains("no leases"), "{err}");

    world.create(Lease { checkpoint: at("4711", 3), ..held(0, "worker-1/a") }).await;
    let asked = Lease { checkpoint_owner: Some("worker-1/a".into()), ..held(1, "worker-2/b") };
    world.create(Lease { counter: 9, ..asked }).await;
    world.create(Lease { checkpoint: Checkpoint::ShardEnd, ..lease(2) }).await;
    world.create(Lease { parents: [shard(0).into()].into(), ..lease(3) }).await;
    let timed = Lease { started_ms: Some(0), ..held(4, "w\u{1b}[31m") };
    world.create(Lease { checkpoint: Checkpoint::AtTimestamp(Some(0)), ..timed }).await;
    let (code, out, err) = world.run(&["leases"]).await;
    assert_eq!(code, 0, "{err}");
    let row = |row: [&str; 4]| format!("{:<20}  {:<30}  {:<10}  {}\n", row[0], row[1], row[2], row[3]);
    let expected: String = [
        ["SHARD", "STATE", "HOLDER", "DONE UP TO"],
        [&shard(0), "held", "worker-1/a", "4711.3"],
        [&shard(1), "to be left to worker-2/b", "worker-1/a", "TRIM_HORIZON"],
        [&shard(2), "done", "", "SHARD_END"],
        [&shard(3), "waits for shardId-000000000000", "", "TRIM_HORIZON"],
        [&shard(4), "held", "w\u{fffd}[31m", "AT_TIMESTAMP 1970-01-01T00:00:00Z"],
    ]
    .map(row)
    .concat();
    let workers = "\nWORKER      LEASES\nw\u{fffd}[31m      1\nworker-1/a  2\n";
    assert_eq!(out, expected + workers);

    world.create(lease(5)).await;
    let (code, told) = world.json(&["leases"]).await;
    assert_eq!(code, 3, "one is free");
    let states: Vec<_> =
        told["leases"].as_array().unwrap().iter().map(|it| it["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["held", "leaving", "done", "waiting", "held", "free"]);
    assert_eq!((&told["stream"], &told["table"]), (&STREAM.into(), &world.table.as_str().into()));
    let asked = &told["leases"][1];
    assert_eq!(
        (&asked["holder"], &asked["next"], &asked["counter"]),
        (&"worker-1/a".into(), &"worker-2/b".into(), &9.into())
    );
    assert_eq!(told["leases"][3]["parents"], serde_json::json!([shard(0)]));
    assert!(asked.get("alive").is_none() && asked.get("behind_ms").is_none(), "nobody asked: {asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_looks_tell_the_dead_from_the_living() {
    let world = World::new().await;
    world.create(held(0, "alive/a")).await;
    world.create(held(1, "dead/b")).await;
    world.create(held(2, "alive/a")).await;
    let _alive = world.worker("alive/a", &shard(0));
    let (code, told) = world.json(&["leases", "--alive"]).await;
    assert_eq!(code, 3, "{told}");
    let alive: Vec<_> = told["leases"].as_array().unwrap().iter().map(|it| it["alive"].as_bool()).collect();
    assert_eq!(alive, [Some(true), Some(false), Some(false)], "{told}");
    let workers = serde_json::json!([
        {"name": "alive/a", "leases": 2, "alive": true}, {"name": "dead/b", "leases": 1, "alive": false}
    ]);
    assert_eq!(told["workers"], workers);

    let world = World::new().await;
    world.create(held(0, "alive/a")).await;
    let _alive = world.worker("alive/a", &shard(0));
    let (code, out, err) = world.run(&["leases", "--alive"]).await;
    assert!(code == 0 && out.contains("alive/a  1       alive"), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_is_asked_leaves_and_the_command_waits_for_it() {
    let world = World::new().await;
    world.create(Lease { checkpoint: at("4711", 0), ..held(0, "worker-1/a") }).await;
    world.create(held(1, "worker-2/b")).await;
    let _one = world.worker("worker-1/a", &shard(0));
    let (code, told) = world.json(&["leases", "move", &shard(0), "--to", "worker-2/b"]).await;
    assert_eq!(
        (code, &told["outcome"], &told["holder"]),
        (0, &"left".into(), &"worker-2/b".into()),
        "{told}"
    );
    let moved = world.find(&shard(0)).await;
    assert_eq!((moved.owner.as_deref(), moved.is_asked_for()), (Some("worker-2/b"), false));
    assert_eq!(moved.checkpoint, at("4711", 0), "nothing is skipped or read again");
    let (code, told) = world.json(&["leases", "move", &shard(0), "--to", "worker-2/b"]).await;
    assert_eq!((code, &told["outcome"]), (0, &"held".into()), "it has it already");

    let _two = world.worker("worker-2/b", &shard(0));
    let (code, out, err) = world.run(&["leases", "release", &shard(0)]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("worker-2/b has left") && out.contains("nobody"), "{out}");
    assert_eq!(world.find(&shard(0)).await.holder(), None);
    let (code, told) = world.json(&["leases", "release", &shard(0)]).await;
    assert_eq!((code, &told["outcome"]), (0, &"free".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_holder_is_told_and_force_takes_the_shard_away_at_its_checkpoint() {
    let world = World::new().await;
    world.create(Lease { checkpoint: at("4711", 2), ..held(0, "dead/a") }).await;
    world.create(held(1, "worker-2/b")).await;
    let (code, out, err) = world.run(&["leases", "release", &shard(0)]).await;
    assert_eq!((code, out.as_str()), (3, ""), "{err}");
    assert!(err.contains("taken for dead") && err.contains("--force"), "{err}");
    let (code, _, err) = world.run(&["leases", "move", &shard(0), "--to", "worker-2/b"]).await;
    assert_eq!(code, 2, "it was asked to leave to nobody: {err}");
    let (code, told) = world.json(&["leases", "release", &shard(0), "--force"]).await;
    assert_eq!((code, &told["outcome"]), (0, &"taken_away".into()));
    let taken = world.find(&shard(0)).await;
    assert_eq!((taken.holder(), &taken.checkpoint, taken.counter), (None, &at("4711", 2), 1));
    // If it was not dead, it learns that it has lost the lease.
    let keep = Change::Keep {
        shard: shard(0).into(),
        holder: "dead/a".into(),
        counter: 0,
        checkpoint: Some(at("9999", 0)),
    };
    world.leases.change(&keep).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_with_a_reason() {
    let world = World::new().await;
    world.create(held(0, "worker-1/a")).await;
    world.create(Lease { checkpoint: Checkpoint::ShardEnd, ..lease(1) }).await;
    let zero = shard(0);
    for (args, reason) in [
        (&["leases", "release", &shard(9)][..], "no lease of shardId-000000000009"),
        (&["leases", "release", &shard(1)], "is done"),
        (&["leases", "release", "worker-1/a"], "is no shard"),
        (&["leases", "move", &zero], "--to"),
        (&["leases", "move", &zero, "--to", "worker-7"], "there are worker-1/a"),
        (&["leases", "--alive", "release", &zero], "cannot be used with"),
        (&["checkpoint", "show", &shard(9)], "no lease of"),
        (&["checkpoint", "set", &zero, "TRIM_HORIZON", "--yes"], "--reason"),
        (&["checkpoint", "set", &zero, "soon", "--reason", "x"], "TRIM_HORIZON, LATEST"),
        (&["checkpoint", "set", "all", "4711", "--reason", "x", "--yes"], "a place in one shard"),
        (&["checkpoint", "set", &zero, "2999-01-01T00:00:00Z", "--reason", "x", "--yes"], "has not come yet"),
    ] {
        let (code, out, err) = world.run(args).await;
        assert_eq!((code, out.as_str()), (2, ""), "{args:?}: {err}");
        assert!(err.contains(reason), "{args:?}: {err}");
    }
    assert_eq!(world.find(&zero).await, held(0, "worker-1/a"), "untouched");
}

#[test]
fn a_configuration_with_a_queue_has_no_leases() {
    for args in [&["leases"][..], &["checkpoint", "show"]] {
        let mut command = tributary(args);
        command.envs([
            ("TRIBUTARY_SOURCE_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/111122223333/events"),
            ("TRIBUTARY_DEAD_LETTER_QUEUE_URL", "https://sqs.us-east-1.amazonaws.com/111122223333/letters"),
            ("TRIBUTARY_DESTINATIONS_LAKE_CHANNEL_ARN", ARN),
        ]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).contains("stream.arn"), "{}", stderr(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_not_there_is_told_with_the_cure() {
    let world = World { table: "no-such-table".into(), ..World::new().await };
    let (code, _, err) = world.run(&["leases"]).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("the table no-such-table exists"), "{err}");
}
