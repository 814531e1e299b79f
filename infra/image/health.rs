//! The health check of the image: asks the worker beside it whether it is alive. In: TRIBUTARY_SERVICE_LISTEN, as the
//! worker reads it. Out: exit code 0 if `/livez` answers 200 within a few seconds, else 1.
//!
//! The image has no shell that could ask, and a program of its own costs nothing: the Dockerfile compiles this file
//! alone, with the standard library alone.

use std::{
    env,
    io::{self, Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

/// Where a worker listens that is not told otherwise.
const LISTEN: &str = "0.0.0.0:9464";
/// For each of connecting, asking and answering. Shorter in all than orchestrators wait.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// Of the answer, this much is of interest.
const ALIVE: [&[u8]; 2] = [b"HTTP/1.0 200", b"HTTP/1.1 200"];

fn main() -> ExitCode {
    let listen = env::var("TRIBUTARY_SERVICE_LISTEN").ok().filter(|listen| !listen.is_empty());
    let alive = listen.as_deref().unwrap_or(LISTEN).parse().map(|listen| is_alive(reachable(listen)));
    if matches!(alive, Ok(Ok(true))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Who listens on all addresses is asked on the loopback.
fn reachable(mut listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => listen.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => listen.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    listen
}

fn is_alive(worker: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&worker, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut begin = [0; 12];
    stream.read_exact(&mut begin)?;
    Ok(ALIVE.contains(&begin.as_slice()))
}
