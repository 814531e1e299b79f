//! A server as it looks from far away: each byte arrives half a round trip late, each way. Also counts what passes.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp},
    runtime::{Builder, Runtime},
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Chunks under way in one direction of one connection.
const UNDER_WAY_MAX: usize = 10_000;

/// Stands before a server until it is dropped.
pub(crate) struct Far {
    pub(crate) addr: SocketAddr,
    requests: Arc<AtomicU64>,
    _runtime: Runtime,
}

impl Far {
    /// Puts `server` a round trip of `round_trip` away. Each request begins with `start`.
    pub(crate) fn new(server: SocketAddr, round_trip: Duration, start: &'static str) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let addr = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicU64::new(0));
        let counting = Counting { start: start.as_bytes(), count: requests.clone() };
        runtime.spawn(accept(listener, server, round_trip / 2, counting));
        Self { addr, requests, _runtime: runtime }
    }

    /// How many there were so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Counts how often a text passes.
#[derive(Clone, Default)]
struct Counting {
    start: &'static [u8],
    count: Arc<AtomicU64>,
}

impl Counting {
    fn count(&self, before: &mut Vec<u8>, chunk: &[u8]) {
        if self.start.is_empty() {
            return;
        }
        before.extend_from_slice(chunk);
        let found = before.windows(self.start.len()).filter(|window| *window == self.start).count();
        self.count.fetch_add(found as u64, Ordering::Relaxed);
        // What may be the beginning of one that ends in the next chunk.
        before.drain(..before.len().saturating_sub(self.start.len() - 1));
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, late: Duration, counting: Counting) {
    let mut pumps = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let Ok(server) = TcpStream::connect(server).await else { continue };
        client.set_nodelay(true).expect("a socket");
        server.set_nodelay(true).expect("a socket");
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        pumps.spawn(pump(from_client, to_server, late, counting.clone()));
        pumps.spawn(pump(from_server, to_client, late, Counting::default()));
        while pumps.try_join_next().is_some() {}
    }
}

async fn pump(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, late: Duration, counting: Counting) {
    let (sender, mut under_way) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY_MAX);
    let read = async move {
        let (mut chunk, mut before) = (vec![0; 1 << 16], Vec::new());
        while let Ok(count @ 1..) = from.read(&mut chunk).await {
            counting.count(&mut before, &chunk[..count]);
            if sender.send((Instant::now() + late, chunk[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = under_way.recv().await {
            sleep_until(due).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}
