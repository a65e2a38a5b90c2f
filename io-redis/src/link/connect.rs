//! Connecting to a node: the stream, redis-rs' handshake on it, and what is asked first: who the
//! node is, and that it learns the scripts.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, ProtocolVersion, RedisError, Value};
use tenure_core::{Refusal, Reply, ServerTime, Words};

use crate::link::address::Address;
use crate::link::connection::{OwnWire, Wire, exchange};
use crate::link::{Identity, Quarantine};
use crate::protocol::decode::{self, CommandResult};
use crate::protocol::encode::{Marker, Script, mark};
use crate::protocol::key;
use crate::runtime::seams::{BoxFuture, Connector};

/// Commands that redis-rs may hold before they are written. More than the batches that a session
/// has in flight, so that no batch ever waits for room.
const BUFFERED: usize = 256;

/// What a lock is kept and freed with. Whoever may take locks but not call these leaves each to its
/// expiry. Asked of a name under which nothing is kept, they do nothing.
const PROBES: [&[&str]; 4] = [
    &["GETEX", key::NOBODYS],
    &["PTTL", key::NOBODYS],
    &["PEXPIRE", key::NOBODYS, "1"],
    &["DEL", key::NOBODYS],
];

/// A connection that is ready for commands.
pub(crate) struct Connected {
    pub(crate) wire: Arc<dyn Wire>,
    /// Reads and writes for the wire while it is polled; dropping it closes the connection at once.
    /// None if something else drives the connection.
    pub(crate) driver: Option<BoxFuture<'static, ()>>,
}

/// Why a node cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DialError {
    /// Not now.
    Unavailable(Words),
    /// It will not get better by itself.
    Rejected(Words),
}

impl DialError {
    fn unavailable(words: &str) -> Self {
        Self::Unavailable(decode::words(words))
    }

    pub(crate) fn into_words(self) -> Words {
        match self {
            Self::Unavailable(words) | Self::Rejected(words) => words,
        }
    }
}

/// Dials one node again and again.
#[derive(Debug)]
pub(crate) struct Dialer {
    address: Address,
    connector: Arc<dyn Connector>,
    /// The node refused `HELLO 3`.
    resp2: bool,
}

impl Dialer {
    pub(crate) fn new(address: Address, connector: Arc<dyn Connector>) -> Self {
        Self {
            address,
            connector,
            resp2: false,
        }
    }

    /// One try. The caller bounds the time.
    pub(crate) async fn dial(&mut self) -> Result<Connected, DialError> {
        match self.try_protocol().await {
            Err(error) if !self.resp2 && refuses_resp3(&error) => {
                self.resp2 = true;
                self.try_protocol().await
            }
            result => result,
        }
        .map_err(|error| handshake_error(&error))
    }

    async fn try_protocol(&self) -> Result<Connected, RedisError> {
        let protocol = if self.resp2 {
            ProtocolVersion::RESP2
        } else {
            ProtocolVersion::RESP3
        };
        let settings = self.address.info().redis_settings().clone();
        let settings = settings
            .set_protocol(protocol)
            .set_lib_name("tenure-redis", env!("CARGO_PKG_VERSION"));
        // Silence is judged by the link, for all requests at once and on its own clock.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(BUFFERED);
        let Some(endpoint) = self.address.endpoint() else {
            install_crypto();
            let info = self.address.info().clone().set_redis_settings(settings);
            let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
            let connection = redis::Client::open(info)?
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            return Ok(Connected {
                wire: Arc::new(OwnWire::new(connection)),
                driver: None,
            });
        };
        let stream = self.connector.connect(&endpoint).await?;
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&settings, stream, config).await?;
        Ok(Connected {
            wire: Arc::new(OwnWire::new(connection)),
            driver: Some(Box::pin(driver)),
        })
    }
}

/// rustls is compiled without a choice of cryptography; unless the program made one, it is ring.
#[cfg(feature = "tls-rustls")]
fn install_crypto() {
    // An error says that another thread was faster, which is as good.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

#[cfg(not(feature = "tls-rustls"))]
fn install_crypto() {}

fn refuses_resp3(error: &RedisError) -> bool {
    let text = decode::error_text(error).to_ascii_lowercase();
    error.kind() == ErrorKind::RESP3NotSupported
        || text.starts_with("noproto")
        || (text.contains("hello")
            && (text.contains("unknown command") || text.starts_with("noperm")))
}

fn handshake_error(error: &RedisError) -> DialError {
    let text = decode::error_text(error);
    let hopeless = error.kind() == ErrorKind::AuthenticationFailed
        || error.kind() == ErrorKind::InvalidClientConfig
        || text.starts_with("DENIED")
        || text.contains("DB index")
        || text.contains("not allowed in cluster mode");
    match decode::refusal(&text).0 {
        Reply::NotApplied(Refusal::Rejected(words)) => DialError::Rejected(words),
        _ if hopeless => DialError::Rejected(decode::words(&text)),
        _ => DialError::unavailable(&text),
    }
}

/// What a node says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) client_id: Option<i64>,
    pub(crate) run_id: Option<String>,
    pub(crate) replication_id: Option<String>,
    pub(crate) server_time: Option<ServerTime>,
    is_replica: bool,
    durable: bool,
}

/// Asks who the node is and teaches it the scripts, in one round trip.
pub(crate) async fn set_up(wire: &dyn Wire, quarantine: bool) -> Result<Node, DialError> {
    let mut commands = Vec::new();
    commands.extend(Script::ALL.map(Script::load));
    commands.push(command(&["TIME"]));
    commands.extend(PROBES.map(command));
    if wire.is_own() {
        commands.push(command(&["CLIENT", "ID"]));
    }
    commands.extend(identity_commands(quarantine));
    let mut results = exchange(wire, commands).await.into_iter();
    for _ in Script::ALL {
        loaded(results.next())?;
    }
    let server_time = results.next().and_then(|result| time(&result.ok()?));
    for _ in PROBES {
        may_call(results.next())?;
    }
    let client_id = match wire.is_own().then(|| results.next()).flatten() {
        Some(Ok(Value::Int(id))) => Some(id),
        _ => None,
    };
    let mut node = identity(results.as_slice());
    node.server_time = server_time;
    node.client_id = client_id;
    node.usable()?;
    Ok(node)
}

/// Whether the scripts may call a command that keeps or frees a lock. An old server, or a user without
/// the right, would grant locks that can be neither renewed nor released.
fn may_call(result: Option<CommandResult>) -> Result<(), DialError> {
    let text = match result {
        Some(Ok(Value::ServerError(error))) => decode::server_text(&error),
        Some(Err(error)) => decode::error_text(&error),
        Some(Ok(_)) | None => return Ok(()),
    };
    match decode::refusal(&text).0 {
        // Not this key but others may well be the user's.
        Reply::NotApplied(Refusal::Rejected(words)) if !text.contains("permissions to access") => {
            Err(DialError::Rejected(words))
        }
        _ => Ok(()),
    }
}

/// Whether a script was loaded.
pub(crate) fn loaded(result: Option<CommandResult>) -> Result<(), DialError> {
    let text = match result {
        Some(Ok(Value::ServerError(error))) => decode::server_text(&error),
        Some(Err(error)) => decode::error_text(&error),
        Some(Ok(_)) => return Ok(()),
        None => "no reply".to_owned(),
    };
    Err(match decode::refusal(&text).0 {
        Reply::NotApplied(Refusal::Rejected(words)) => DialError::Rejected(words),
        _ => DialError::unavailable(&text),
    })
}

/// The questions that tell who a node is. What a user may not ask counts as not known.
pub(crate) fn identity_commands(quarantine: bool) -> Vec<Cmd> {
    let mut commands = vec![
        command(&["INFO", "server"]),
        command(&["INFO", "replication"]),
    ];
    if quarantine {
        commands.push(command(&["INFO", "persistence"]));
        commands.push(command(&["CONFIG", "GET", "appendfsync"]));
        commands.push(command(&["CONFIG", "GET", "no-appendfsync-on-rewrite"]));
    }
    commands
}

/// The answers to [`identity_commands`].
pub(crate) fn identity(results: &[CommandResult]) -> Node {
    let text = |at: usize| match results.get(at) {
        Some(Ok(value)) => decode::bytes(value)
            .map(String::from_utf8_lossy)
            .unwrap_or_default(),
        _ => Default::default(),
    };
    let (server, replication, persistence) = (text(0), text(1), text(2));
    let setting = |at: usize| match results.get(at) {
        Some(Ok(Value::Map(pairs))) => pairs.first().map(|(_, value)| value),
        Some(Ok(Value::Array(parts))) => parts.get(1),
        _ => None,
    };
    let is_set = |at, to: &[u8]| setting(at).and_then(decode::bytes) == Some(to);
    let no_second_id = |id: &str| id.bytes().all(|digit| digit == b'0');
    // Durable is said only of what is known: a primary alone, every write on its disk before its
    // reply, and no rewrite that the disk has not finished.
    let durable = is_set(3, b"always")
        && is_set(4, b"no")
        && field(&persistence, "aof_enabled") == Some("1")
        && field(&persistence, "aof_rewrite_in_progress") == Some("0")
        && field(&persistence, "aof_rewrite_scheduled") == Some("0")
        && field(&persistence, "aof_last_write_status") == Some("ok")
        && field(&persistence, "aof_last_bgrewrite_status") == Some("ok")
        && field(&replication, "role") == Some("master")
        && field(&replication, "connected_slaves") == Some("0")
        && field(&replication, "master_replid2").is_some_and(no_second_id);
    Node {
        run_id: field(&server, "run_id").map(str::to_owned),
        replication_id: field(&replication, "master_replid").map(str::to_owned),
        is_replica: field(&replication, "role") == Some("slave"),
        durable,
        ..Node::default()
    }
}

impl Node {
    /// What the hub is told of it.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            run_id: self.run_id.as_deref().map(Words::new),
            server_time: self.server_time,
        }
    }

    /// A replica grants nothing.
    pub(crate) fn usable(&self) -> Result<(), DialError> {
        if self.is_replica {
            return Err(DialError::unavailable(
                "the node is a replica; it serves again once it is a primary",
            ));
        }
        Ok(())
    }

    /// What its marker has to say.
    pub(crate) fn marker(&self, quarantine: &Quarantine) -> Result<Marker, DialError> {
        let (Some(run_id), Some(replication_id)) = (&self.run_id, &self.replication_id) else {
            return Err(DialError::Rejected(Words::new(
                "over several nodes each must say who it is, so that one that forgot is not \
                 counted: allow the user INFO, and use one connection per server, not a cluster",
            )));
        };
        Ok(Marker {
            key: key::marker(&quarantine.prefix),
            run_id: run_id.clone(),
            replication_id: replication_id.clone(),
            durable: self.durable,
            max_ttl_ms: u64::try_from(quarantine.max_ttl.as_millis()).unwrap_or(u64::MAX),
            nodes: quarantine.nodes,
            name: quarantine.name.clone().unwrap_or_default(),
        })
    }
}

/// What comes before the first request: the end of the connection before this one, so that nothing
/// that still travels on it lands later, and the marker of the node.
pub(crate) async fn begin(
    wire: &dyn Wire,
    node: &Node,
    previous: Option<&Node>,
    marker: Option<&Marker>,
) -> Result<(), DialError> {
    let mut commands = Vec::new();
    // The id of a client is unique in one run of a server, and only there: another run may have
    // given it to somebody else.
    if let Some(previous) = previous
        && let Some(id) = previous.client_id
        && previous.run_id.is_some()
        && previous.run_id == node.run_id
    {
        commands.push(command(&["CLIENT", "KILL", "ID", &id.to_string()]));
    }
    commands.extend(marker.map(mark));
    if commands.is_empty() {
        return Ok(());
    }
    for result in exchange(wire, commands).await {
        match result {
            Ok(Value::ServerError(error)) => {
                // Not permitted, or the old connection is gone already. A marker that was not
                // written is asked for by the first acquire.
                tracing::debug!(error = %decode::words(&decode::server_text(&error)), "tolerated");
            }
            Ok(_) => {}
            Err(error) if error.code().is_some() => {}
            Err(error) => return Err(DialError::unavailable(&error.to_string())),
        }
    }
    Ok(())
}

fn command(words: &[&str]) -> Cmd {
    let mut cmd = Cmd::new();
    for word in words {
        cmd.arg(word);
    }
    cmd
}

/// The value of a field in the text of INFO.
fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(field, value)| (field == name).then(|| value.trim()))
        .filter(|value| !value.is_empty() && !value.contains(char::is_whitespace))
}

fn time(value: &Value) -> Option<ServerTime> {
    let Value::Array(parts) = value else {
        return None;
    };
    let part = |at: usize| -> Option<u64> {
        std::str::from_utf8(decode::bytes(parts.get(at)?)?)
            .ok()?
            .parse()
            .ok()
    };
    Some(ServerTime::from_micros(
        part(0)?.checked_mul(1_000_000)?.checked_add(part(1)?)?,
    ))
}
