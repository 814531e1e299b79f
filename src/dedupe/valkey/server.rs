//! One server, or the servers of a cluster. In: commands. Out: one answer for each, after one round trip.
//!
//! One connection carries everything, pipelined. It is made at the first call, and made anew after whatever it did not
//! survive: a timeout, a broken connection, and a primary that became a replica, whose name may mean another server by
//! now.

use std::{fs, path::Path, time::Duration};

use redis::{
    AsyncConnectionConfig, Cmd, ConnectionInfo, IntoConnectionInfo, RedisError, TlsCertificates, Value,
    aio::MultiplexedConnection, cluster::ClusterClient, cluster_async::ClusterConnection,
    io::tcp::TcpSettings,
};
use tokio::{sync::Mutex, task::JoinSet, time::Instant};

use super::{
    ValkeyError, failure,
    script::{By, Call, Script, split},
    unreadable,
};
use crate::{config::ValkeyConfig, failure::CallError, tasks::joined};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Commands of one call that are under way in a cluster at once: a full round of claims.
const CLUSTER_COMMANDS_MAX: usize = 1_000;
/// How often a cluster's client follows a key that moved, or tries again. Once is enough for a key, and while a server
/// is away each attempt makes all others wait for a new look at the cluster.
const CLUSTER_RETRIES: u32 = 1;
/// Its own choice is more than a second, and the ledger's callers wait by themselves.
const CLUSTER_RETRY_WAIT_MIN_MS: u64 = 20;
const CLUSTER_RETRY_WAIT_MAX_MS: u64 = 400;

pub(super) struct Server {
    client: Client,
    connected: Mutex<Connected>,
}

enum Client {
    One(Box<redis::Client>),
    Cluster(Box<ClusterClient>),
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// The connection, if there is one.
#[derive(Default)]
struct Connected {
    connection: Option<Connection>,
    /// Which connection it is: a late failure of an earlier one must not end it.
    number: u64,
    /// How the last attempt to connect ended, for those who waited for it.
    failed: Option<(Instant, RedisError)>,
}

impl Server {
    pub(super) fn new(config: &ValkeyConfig) -> Result<Self, ValkeyError> {
        let bad_url = |error: RedisError| ValkeyError::BadUrl(failure::words(&error));
        let authorities = config.ca_file.as_deref().map(read_authorities).transpose()?;
        if authorities.is_some() && !config.urls.iter().all(|url| url.starts_with("rediss://")) {
            return Err(ValkeyError::CaWithoutTls);
        }
        let nodes = config.urls.iter().map(|url| node(url, config.password.as_deref()));
        let nodes = nodes.collect::<Result<Vec<_>, _>>().map_err(bad_url)?;
        let client = if config.is_cluster {
            cluster(nodes, authorities).map(Box::new).map(Client::Cluster)
        } else {
            let node = nodes.into_iter().next();
            let node = node.ok_or_else(|| ValkeyError::BadUrl("it names no server".to_owned()))?;
            match authorities {
                Some(authorities) => redis::Client::build_with_tls(node, authorities),
                None => redis::Client::open(node),
            }
            .map(Box::new)
            .map(Client::One)
        };
        Ok(Self { client: client.map_err(bad_url)?, connected: Mutex::default() })
    }

    /// Runs a script over keys: one answer for each. A second round trip is made only for servers that do not know the
    /// script yet, because they are new or were restarted.
    pub(super) async fn run(&self, script: &Script, call: Call<'_>) -> Vec<Result<Value, CallError>> {
        let parts = if self.is_cluster() { call.by_key() } else { call.in_order() };
        let commands = parts.iter().map(|part| call.command(script, By::Digest, part)).collect();
        let mut answers = self.send(commands).await;
        let unknown: Vec<_> =
            (0..answers.len()).filter(|at| answers[*at].as_ref().is_err_and(failure::is_no_script)).collect();
        if !unknown.is_empty() {
            let commands = unknown.iter().map(|at| call.command(script, By::Text, &parts[*at])).collect();
            for (at, answer) in unknown.into_iter().zip(self.send(commands).await) {
                answers[at] = answer;
            }
        }
        let mut results: Vec<_> = call.keys.iter().map(|_| Err(unreadable())).collect();
        for (part, answer) in parts.iter().zip(answers) {
            match answer.map(|answer| split(answer, part.len())) {
                Ok(Some(answers)) => {
                    part.iter().zip(answers).for_each(|(at, answer)| results[*at] = Ok(answer));
                }
                Ok(None) => {}
                Err(error) => part.iter().for_each(|at| results[*at] = Err(self.classed(&error))),
            }
        }
        results
    }

    /// One command, about one key or none.
    pub(super) async fn ask(&self, command: Cmd) -> Result<Value, CallError> {
        let mut answers = self.send(vec![command]).await;
        answers.pop().map_or_else(|| Err(unreadable()), |answer| answer.map_err(|error| self.classed(&error)))
    }

    /// One command, asked of each server that takes writes.
    pub(super) async fn ask_each(&self, command: Cmd) -> Result<Vec<Value>, CallError> {
        let (connection, number) = self.connection().await.map_err(|error| self.classed(&error))?;
        let Connection::Cluster(mut cluster) = connection else {
            return Ok(vec![self.ask(command).await?]);
        };
        let primaries = redis::cluster_routing::MultipleNodeRoutingInfo::AllMasters;
        let routing = redis::cluster_routing::RoutingInfo::MultiNode((primaries, None));
        match cluster.route_command(command, routing).await {
            Ok(Value::Map(answers)) => {
                let answers = answers.into_iter().map(|(_, answer)| answer.extract_error());
                answers.collect::<Result<_, _>>().map_err(|error| self.classed(&error))
            }
            Ok(_) => Err(unreadable()),
            Err(error) => {
                self.ended(&error, number).await;
                Err(self.classed(&error))
            }
        }
    }

    pub(super) fn is_cluster(&self) -> bool {
        matches!(self.client, Client::Cluster(_))
    }

    async fn send(&self, commands: Vec<Cmd>) -> Vec<Result<Value, RedisError>> {
        if commands.is_empty() {
            return Vec::new();
        }
        let (connection, number) = match self.connection().await {
            Ok(connection) => connection,
            Err(error) => return commands.iter().map(|_| Err(error.clone())).collect(),
        };
        let answers = match connection {
            Connection::One(connection) => pipelined(connection, &commands).await,
            Connection::Cluster(connection) => at_once(&connection, commands).await,
        };
        if let Some(error) =
            answers.iter().filter_map(|answer| answer.as_ref().err()).find(|error| self.is_fatal(error))
        {
            self.ended(error, number).await;
        }
        answers
    }

    /// Whoever waits while another connects shares how that ended, so that no queue of attempts builds up while the
    /// server is away.
    async fn connection(&self) -> Result<(Connection, u64), RedisError> {
        let asked_at = Instant::now();
        let mut connected = self.connected.lock().await;
        if let Some(connection) = &connected.connection {
            return Ok((connection.clone(), connected.number));
        }
        if let Some((at, error)) = &connected.failed
            && *at >= asked_at
        {
            return Err(error.clone());
        }
        match self.connect().await {
            Ok(connection) => {
                connected.number += 1;
                connected.connection = Some(connection.clone());
                Ok((connection, connected.number))
            }
            Err(error) => {
                connected.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn connect(&self) -> Result<Connection, RedisError> {
        let connecting = async {
            match &self.client {
                Client::One(client) => {
                    let config = AsyncConnectionConfig::new()
                        .set_connection_timeout(Some(CONNECT_TIMEOUT))
                        .set_response_timeout(Some(RESPONSE_TIMEOUT));
                    client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::One)
                }
                Client::Cluster(client) => client.get_async_connection().await.map(Connection::Cluster),
            }
        };
        let in_time = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await;
        in_time.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
    }

    fn classed(&self, error: &RedisError) -> CallError {
        failure::classed(error, self.is_cluster())
    }

    /// A cluster's connection finds its servers again by itself, as long as it knows one that answers.
    fn is_fatal(&self, error: &RedisError) -> bool {
        if self.is_cluster() {
            failure::ends_cluster_connection(error)
        } else {
            failure::ends_connection(error)
        }
    }

    async fn ended(&self, error: &RedisError, number: u64) {
        let mut connected = self.connected.lock().await;
        if connected.number == number && self.is_fatal(error) {
            connected.connection = None;
        }
    }
}

/// All in one go: the first answer is not waited for before the last command is sent.
async fn pipelined(
    mut connection: MultiplexedConnection,
    commands: &[Cmd],
) -> Vec<Result<Value, RedisError>> {
    let mut pipeline = redis::Pipeline::with_capacity(commands.len());
    for command in commands {
        pipeline.add_command(command.clone());
    }
    let answers: Result<Vec<Result<Value, RedisError>>, _> =
        pipeline.ignore_errors().query_async(&mut connection).await;
    match answers {
        Ok(answers) if answers.len() == commands.len() => answers,
        Ok(_) => commands
            .iter()
            .map(|_| Err(std::io::Error::from(std::io::ErrorKind::InvalidData).into()))
            .collect(),
        Err(error) => commands.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// Each on its way to its own server; commands for one server share its connection.
async fn at_once(connection: &ClusterConnection, commands: Vec<Cmd>) -> Vec<Result<Value, RedisError>> {
    let mut answers: Vec<_> =
        commands.iter().map(|_| Err(std::io::Error::from(std::io::ErrorKind::Interrupted).into())).collect();
    let mut under_way = JoinSet::new();
    for (at, command) in commands.into_iter().enumerate() {
        if under_way.len() >= CLUSTER_COMMANDS_MAX
            && let Some((at, answer)) = joined(under_way.join_next().await)
        {
            answers[at] = answer;
        }
        let mut connection = connection.clone();
        under_way.spawn(async move { (at, command.query_async(&mut connection).await) });
    }
    while let Some((at, answer)) = joined(under_way.join_next().await) {
        answers[at] = answer;
    }
    answers
}

fn node(url: &str, password: Option<&str>) -> Result<ConnectionInfo, RedisError> {
    let node = url.into_connection_info()?;
    let mut settings = node.redis_settings().clone();
    if let Some(password) = password {
        settings = settings.set_password(password);
    }
    // Calls wait for each other's packets otherwise.
    let tcp = TcpSettings::default().set_nodelay(true);
    Ok(node.set_redis_settings(settings).set_tcp_settings(tcp))
}

fn cluster(
    nodes: Vec<ConnectionInfo>,
    authorities: Option<TlsCertificates>,
) -> Result<ClusterClient, RedisError> {
    let mut builder = ClusterClient::builder(nodes)
        .connection_timeout(CONNECT_TIMEOUT)
        .response_timeout(RESPONSE_TIMEOUT)
        .overall_response_timeout(Some(RESPONSE_TIMEOUT))
        .retries(CLUSTER_RETRIES)
        .min_retry_wait(CLUSTER_RETRY_WAIT_MIN_MS)
        .max_retry_wait(CLUSTER_RETRY_WAIT_MAX_MS)
        .tcp_settings(TcpSettings::default().set_nodelay(true));
    if let Some(authorities) = authorities {
        builder = builder.certs(authorities);
    }
    builder.build()
}

/// Read at once, so that a wrong path shows at the start and not when the server is first needed.
fn read_authorities(path: &Path) -> Result<TlsCertificates, ValkeyError> {
    let shown = || path.display().to_string();
    let pem = fs::read(path).map_err(|source| ValkeyError::ReadCa { path: shown(), source })?;
    let authorities = TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
    let is_some = pem.windows(BEGIN.len()).any(|bytes| bytes == BEGIN);
    let is_readable = || redis::Client::build_with_tls("rediss://localhost", authorities.clone()).is_ok();
    if !is_some || !is_readable() {
        return Err(ValkeyError::BadCa { path: shown() });
    }
    Ok(authorities)
}

/// A PEM file without it is not refused by the client, and trusts nobody.
const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
