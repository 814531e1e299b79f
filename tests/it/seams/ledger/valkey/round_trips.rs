//! A call is one round trip: shown by a proxy that holds every answer back until the whole call has been said.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};
use tributary::dedupe::{Claim, Commit, Committed, Ledger};

use super::{ClaimAll, LEASE, claimed, ledger, namespace, one, published, wish};
use crate::support::valkey::Valkey;

/// Passes one connection on. Script calls are counted; answers wait until `wanted` of them have been said.
struct Proxy {
    port: u16,
    calls: Arc<watch::Sender<usize>>,
    wanted: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    async fn start(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (calls, wanted) = (Arc::new(watch::Sender::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut tasks = JoinSet::new();
        let (counted, holds_until) = (calls.clone(), wanted.clone());
        tasks.spawn(async move {
            let (client, _) = listener.accept().await.expect("the ledger connects");
            let server =
                TcpStream::connect((Ipv4Addr::LOCALHOST, server)).await.expect("the server is there");
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let seen = counted.subscribe();
            tokio::join!(
                say(from_client, to_server, counted),
                answer(from_server, to_client, seen, holds_until)
            );
        });
        Self { port, calls, wanted, _tasks: tasks }
    }

    /// From here on no answer passes before this many calls have been said; starts to count anew.
    fn expect(&self, calls: usize) {
        self.calls.send_replace(0);
        self.wanted.store(calls, Ordering::Relaxed);
    }

    fn calls(&self) -> usize {
        *self.calls.borrow()
    }
}

async fn say(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, calls: Arc<watch::Sender<usize>>) {
    const WORD: &[u8] = b"EVAL";
    let (mut buffer, mut last) = (vec![0; 1 << 16], Vec::new());
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        to.write_all(&buffer[..read]).await.expect("the server reads");
        // The word may lie across two reads.
        last.extend_from_slice(&buffer[..read]);
        let count = last.windows(WORD.len()).filter(|bytes| *bytes == WORD).count();
        last.drain(..last.len().saturating_sub(WORD.len() - 1));
        calls.send_modify(|calls| *calls += count);
    }
}

async fn answer(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut calls: watch::Receiver<usize>,
    wanted: Arc<AtomicUsize>,
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        calls.wait_for(|calls| *calls >= wanted.load(Ordering::Relaxed)).await.expect("the proxy lives");
        to.write_all(&buffer[..read]).await.expect("the ledger reads");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_said_as_a_whole_before_the_first_answer() {
    let server = Valkey::start_with(&[]).await;
    let proxy = Proxy::start(server.port()).await;
    let ledger = ledger(&one(format!("redis://127.0.0.1:{}", proxy.port)), &namespace());
    let wishes: Vec<_> = (0..1_000).map(|at| wish(&at.to_string(), 1, 1)).collect();
    let claims: Vec<_> = wishes.iter().map(claimed).collect();
    let settled: Vec<_> =
        claims.iter().map(|claim| Committed { claim: claim.clone(), state: published() }).collect();
    // The first calls teach the server the scripts.
    ledger.claim_all(&[wish("first", 1, 1)], LEASE).await.expect("claimed");
    assert_eq!(proxy.calls(), 2, "by digest, then by text");
    let first = Committed { claim: claimed(&wish("first", 1, 1)), state: published() };
    assert_eq!(ledger.commit(&[first]).await, [Ok(Commit::Recorded)]);
    ledger.release(&[claimed(&wish("first", 1, 1))]).await.pop().expect("one answer").expect("released");

    // A thousand keys are five scripts of two hundred.
    proxy.expect(5);
    let answers = ledger.claim_all(&wishes, LEASE).await.expect("an answer was waited for too early");
    assert_eq!((answers, proxy.calls()), (vec![Claim::Won; 1_000], 5));
    proxy.expect(5);
    assert_eq!((ledger.commit(&settled).await, proxy.calls()), (vec![Ok(Commit::Recorded); 1_000], 5));
    proxy.expect(5);
    assert_eq!((ledger.release(&claims).await, proxy.calls()), (vec![Ok(()); 1_000], 5));
    proxy.expect(1);
    let small = ledger.claim_all(&wishes[..7], LEASE).await.expect("claimed");
    assert_eq!((small.len(), proxy.calls()), (7, 1));
}
