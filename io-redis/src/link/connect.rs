//! Connecting to a node: the stream, and redis-rs' handshake on it.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, ErrorKind, ProtocolVersion, RedisError};
use tenure_core::{Refusal, Reply, Words};

use crate::link::address::Address;
use crate::link::connection::{Connection, DialledConnection};
use crate::protocol::decode;
use crate::runtime::{BoxFuture, Connector};

/// How many commands redis-rs may queue before it writes them. More than the batches that a session
/// has in flight, so that no batch waits for room.
// Law: Bounded work
const BUFFERED: usize = 256;

/// A connection that is ready for commands.
pub(crate) struct Connected {
    pub(crate) connection: Arc<dyn Connection>,
    /// Reads and writes for the connection while it is polled. Dropping it closes the connection at
    /// once. None if something else drives the connection.
    pub(crate) io: Option<BoxFuture<'static, ()>>,
}

/// Why a node cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DialError {
    /// It cannot be used now.
    Unavailable(Words),
    /// It cannot be used until somebody changes something.
    Rejected(Words),
}

impl DialError {
    pub(crate) fn unavailable(words: &str) -> Self {
        Self::Unavailable(decode::without_secrets(words))
    }

    pub(crate) fn into_words(self) -> Words {
        match self {
            Self::Unavailable(words) | Self::Rejected(words) => words,
        }
    }
}

/// Connects to one node, again after each loss.
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

    /// Tries once. The caller bounds the time.
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
        // No timeouts here: the link notices silence for all requests at once, on its own clock.
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
                connection: Arc::new(DialledConnection::new(connection)),
                io: None,
            });
        };
        let stream = self.connector.connect(&endpoint).await?;
        let (connection, io) =
            MultiplexedConnection::new_with_config(&settings, stream, config).await?;
        Ok(Connected {
            connection: Arc::new(DialledConnection::new(connection)),
            io: Some(Box::pin(io)),
        })
    }
}

/// Chooses ring, unless the program has chosen another cryptography for rustls.
#[cfg(feature = "tls-rustls")]
fn install_crypto() {
    // An error means that another thread was faster, which is just as well.
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
        _ if hopeless => DialError::Rejected(decode::without_secrets(&text)),
        _ => DialError::unavailable(&text),
    }
}
