//! Connecting to a node: the stream, TLS on it, and redis-rs' handshake.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, ProtocolVersion, RedisError};
use tenure_core::{Refusal, Reply, Words};

use crate::link::address::Address;
use crate::link::connection::{Connection, DialledConnection};
use crate::protocol::decode;
use crate::protocol::words::{hide, printable};
#[cfg(feature = "tls-rustls")]
use crate::runtime::Endpoint;
use crate::runtime::{BoxFuture, ByteStream, Connector};

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
    /// How long its node took for an answer.
    pub(crate) round_trip: Duration,
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
        Self::Unavailable(printable(words))
    }

    pub(crate) fn into_words(self) -> Words {
        match self {
            Self::Unavailable(words) | Self::Rejected(words) => words,
        }
    }
}

/// Connects to one node, again after each loss.
pub(crate) struct Dialer {
    address: Address,
    connector: Arc<dyn Connector>,
    /// Made for the first connection: the certificates are read once.
    #[cfg(feature = "tls-rustls")]
    tls: Option<tokio_rustls::TlsConnector>,
}

impl Dialer {
    pub(crate) const fn new(address: Address, connector: Arc<dyn Connector>) -> Self {
        Self {
            address,
            connector,
            #[cfg(feature = "tls-rustls")]
            tls: None,
        }
    }

    /// Tries once. The caller bounds the time.
    pub(crate) async fn dial(&mut self) -> Result<Connected, DialError> {
        let dialled = self.connect().await;
        dialled.map_err(|error| handshake_error(&error, self.address.settings().password()))
    }

    async fn connect(&mut self) -> Result<Connected, RedisError> {
        let asked = self.address.protocol();
        let stream = self.open().await?;
        match self
            .greet(stream, asked.unwrap_or(ProtocolVersion::RESP3))
            .await
        {
            // What does not know the newer protocol says so in words of its own, or hangs up. A
            // later dial may reach something else, so it begins with the newer one again.
            Err(error) if asked.is_none() && may_know_resp2(&error) => {
                let stream = self.open().await?;
                self.greet(stream, ProtocolVersion::RESP2).await
            }
            result => result,
        }
    }

    /// A stream on which Redis' protocol can be spoken.
    async fn open(&mut self) -> Result<Box<dyn ByteStream>, RedisError> {
        let stream = self.connector.connect(self.address.endpoint()).await?;
        #[cfg(feature = "tls-rustls")]
        if let Some(tls) = self.address.tls()
            && let Endpoint::Tcp { host, .. } = self.address.endpoint()
        {
            let connector = match self.tls.take() {
                Some(connector) => connector,
                None => tls.connector()?,
            };
            let stream = crate::link::tls::handshake(&connector, host, stream).await?;
            // After a failure the certificates are read again: they may have been replaced.
            self.tls = Some(connector);
            return Ok(stream);
        }
        Ok(stream)
    }

    /// The handshake of Redis' protocol.
    async fn greet(
        &self,
        stream: Box<dyn ByteStream>,
        protocol: ProtocolVersion,
    ) -> Result<Connected, RedisError> {
        let settings = self
            .address
            .settings()
            .clone()
            .set_protocol(protocol)
            .set_lib_name("tenure-redis", env!("CARGO_PKG_VERSION"));
        // No timeouts here: the link notices silence for all requests at once, on its own clock.
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(None)
            .set_connection_timeout(None)
            .set_pipeline_buffer_size(BUFFERED);
        let (connection, io) =
            MultiplexedConnection::new_with_config(&settings, stream, config).await?;
        Ok(Connected {
            connection: Arc::new(DialledConnection::new(connection)),
            io: Some(Box::pin(io)),
            round_trip: Duration::ZERO,
        })
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dialer").field(&self.address).finish()
    }
}

/// Whether a node that ended the handshake so may serve over the older protocol. It does not serve
/// who cannot name themselves, over either.
fn may_know_resp2(error: &RedisError) -> bool {
    if error.is_io_error() {
        return error.is_connection_dropped();
    }
    let refuses_user = matches!(error.code(), Some("WRONGPASS" | "NOAUTH"));
    !refuses_user && error.kind() != ErrorKind::AuthenticationFailed
}

/// Only here the password is sent, and so only here something may repeat it.
fn handshake_error(error: &RedisError, password: Option<&str>) -> DialError {
    let text = hide(&decode::error_text(error), password);
    let hopeless = error.kind() == ErrorKind::AuthenticationFailed
        || error.kind() == ErrorKind::InvalidClientConfig
        || text.starts_with("DENIED")
        || text.contains("DB index")
        || text.contains("not allowed in cluster mode");
    match decode::refusal(&text).0 {
        Reply::NotApplied(Refusal::Rejected(words)) => DialError::Rejected(words),
        _ if hopeless => DialError::Rejected(printable(&text)),
        _ => DialError::unavailable(&text),
    }
}
