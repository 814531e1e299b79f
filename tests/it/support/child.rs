//! A server in a process of its own. In: a command that prints its port. Out: a URL that answers, until the last
//! owner lets go of it or panics.

use std::{
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
    time::Duration,
};

/// Looks whether the port answers: this often, this far apart. Half a minute in all, for a busy machine.
const LOOKS_MAX: u32 = 600;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A running server; dropping it kills the process.
pub(crate) struct Server {
    child: Child,
    port: u16,
}

/// The server that tests which run at the same time share; it is killed with the last of them.
pub(crate) type Shared = Mutex<Weak<Server>>;

/// The shared server, started if nobody uses it yet. Blocks.
pub(crate) fn shared(slot: &Shared, name: &str, command: impl FnOnce() -> Command) -> Arc<Server> {
    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
    slot.upgrade().unwrap_or_else(|| {
        let started = Arc::new(Server::start(command(), name));
        *slot = Arc::downgrade(&started);
        started
    })
}

impl Server {
    /// Runs the command, reads the port from its first line and waits until something listens there. Blocks.
    pub(crate) fn start(mut command: Command, name: &str) -> Self {
        // Nothing of the machine's own AWS settings may take part.
        for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(key);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} did not start: {error}"));
        let stdout = child.stdout.take().expect("stdout is piped");
        // From here on a panic kills the child.
        let mut server = Self { child, port: 0 };
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("stdout can be read");
        server.port =
            line.trim().parse().unwrap_or_else(|_| panic!("{name} printed {line:?} in place of its port"));
        let mut looks = 0..LOOKS_MAX;
        while TcpStream::connect((Ipv4Addr::LOCALHOST, server.port)).is_err() {
            assert!(looks.next().is_some(), "{name} does not answer on port {}", server.port);
            thread::sleep(LOOK_EVERY);
        }
        server
    }

    /// `http://127.0.0.1:<port>`.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error here says that it has ended by itself.
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}
