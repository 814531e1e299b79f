//! Starts ferrokinesis on a free loopback port and prints the port. Ends when standard input does, so that it never
//! outlives the test. (ferrokinesis's own command binds every interface.)
//!
//! Arguments: seconds until a shard iterator expires, milliseconds until a subscription to a shard ends, and whether
//! writes are throttled as the service would (`true` or `false`).

use std::{env, error::Error};

use axum::extract::DefaultBodyLimit;
use ferrokinesis::{create_app, store::StoreOptions};
use tokio::{
    io::{copy, sink, stdin},
    net::TcpListener,
};

/// Ten MiB in base64, and some more.
const BODY_MAX: usize = 16 * 1024 * 1024;
/// Shortest time that a stream takes to be made, changed or deleted.
const CHANGE_MS: u64 = 10;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let mut argument = |name: &str| arguments.next().ok_or_else(|| format!("no {name}"));
    let options = StoreOptions {
        iterator_ttl_seconds: argument("iterator's time")?.parse()?,
        subscribe_to_shard_session_ms: argument("subscription's time")?.parse()?,
        enforce_limits: argument("throttling")?.parse()?,
        create_stream_ms: CHANGE_MS,
        update_stream_ms: CHANGE_MS,
        delete_stream_ms: CHANGE_MS,
        shard_limit: 10_000,
        ..StoreOptions::default()
    };
    let (app, _store) = create_app(options);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let served = axum::serve(listener, app.layer(DefaultBodyLimit::max(BODY_MAX))).into_future();
    let (mut input, mut nowhere) = (stdin(), sink());
    tokio::select! {
        ended = served => ended?,
        ended = copy(&mut input, &mut nowhere) => drop(ended?),
    }
    // A task that waits for input would keep the process alive.
    std::process::exit(0)
}
