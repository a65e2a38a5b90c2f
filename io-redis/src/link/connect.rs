//! Connecting to a node: its addresses, the stream to one of them, TLS on it, and the handshake.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{Either, select};
use redis::{ProtocolVersion, RedisConnectionInfo};
use tenure_core::Words;

use crate::link::acknowledge::Acknowledger;
use crate::link::address::Address;
use crate::link::connection::Connection;
use crate::link::credentials::Source;
use crate::link::greeting::{Ear, Refused, greet};
use crate::link::mailbox::Mailbox;
use crate::protocol::words::printable;
use crate::runtime::{BoxFuture, ByteStream, Clock, Connector, Endpoint, race};

/// A connection that is ready for commands.
pub(crate) struct Connected {
    pub(crate) connection: Arc<dyn Connection>,
    /// Reads and writes for the connection while it is polled. Dropping it closes the connection at
    /// once. None if something else drives the connection.
    pub(crate) io: Option<BoxFuture<'static, ()>>,
    /// How long its node took for an answer.
    pub(crate) round_trip: Duration,
    /// What the node pushed, and the session has not handed on.
    pub(crate) mailbox: Mailbox,
    /// Hears what the server says until the connection serves, if the link made it.
    pub(crate) ear: Option<Ear>,
    /// Over a group: ready when another server is its primary, and says which.
    pub(crate) lookout: Option<BoxFuture<'static, Words>>,
    /// Waits for replicas beside it, if they must acknowledge grants.
    pub(crate) acknowledger: Option<Box<Acknowledger>>,
}

impl Connected {
    /// Over a connection that somebody else drives.
    pub(crate) fn given(connection: &Arc<dyn Connection>) -> Self {
        Self {
            connection: Arc::clone(connection),
            io: None,
            round_trip: Duration::ZERO,
            mailbox: Mailbox::default(),
            ear: None,
            lookout: None,
            acknowledger: None,
        }
    }

    /// Does something with the connection while it is driven: nothing is read or written unless
    /// its I/O future is polled.
    pub(crate) async fn driven<T>(
        &mut self,
        set_up: impl Future<Output = Result<T, DialError>>,
    ) -> Result<T, DialError> {
        let io = async {
            match &mut self.io {
                Some(io) => io.await,
                None => std::future::pending().await,
            }
        };
        match select(pin!(set_up), pin!(io)).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => {
                let words = Words::new("the node closed the connection as it was set up");
                Err(DialError::Unavailable(words))
            }
        }
    }
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

    /// The program gave no credentials, and said why.
    pub(crate) fn no_credentials(why: String) -> Self {
        Self::unavailable(&format!("no credentials were to be had: {why}"))
    }

    /// The same, but if the server said why it hung up, that is the reason.
    pub(crate) fn or_said(self, last_words: Option<String>) -> Self {
        match (self, last_words) {
            (Self::Unavailable(_), Some(words)) => Self::unavailable(&words),
            (why, _) => why,
        }
    }

    pub(crate) fn into_words(self) -> Words {
        match self {
            Self::Unavailable(words) | Self::Rejected(words) => words,
        }
    }

    pub(crate) const fn words(&self) -> &Words {
        match self {
            Self::Unavailable(words) | Self::Rejected(words) => words,
        }
    }

    /// The same with other words.
    pub(crate) fn map(self, change: impl FnOnce(Words) -> Words) -> Self {
        match self {
            Self::Unavailable(words) => Self::Unavailable(change(words)),
            Self::Rejected(words) => Self::Rejected(change(words)),
        }
    }
}

/// Connects to one node, again after each loss.
pub(crate) struct Dialer {
    address: Address,
    /// Who says as whom it logs in, if the address does not.
    credentials: Option<Source>,
    /// As whom it logs in, in the present dial or the last one.
    settings: RedisConnectionInfo,
    connector: Arc<dyn Connector>,
    clock: Arc<dyn Clock>,
    /// The address to which the last connection was made, unless it has served.
    unproven: Option<Endpoint>,
    /// Addresses whose connections did not come to serve, the latest last. Others come before them.
    put_last: Vec<Endpoint>,
    /// Why addresses have failed in this dial, as far as the caller is told.
    failed: Mutex<Option<(Telling, DialError)>>,
    /// Made for the first connection: the certificates are read once.
    #[cfg(feature = "tls-rustls")]
    tls: Option<tokio_rustls::TlsConnector>,
}

/// How much an error tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Telling {
    /// That there was no connection.
    NoConnection,
    /// What a server said.
    Words,
    /// That waiting will not do.
    Rejection,
}

/// More addresses of one name than this are not remembered.
const PUT_LAST: usize = 16;

impl Dialer {
    pub(crate) fn new(
        address: Address,
        credentials: Option<Source>,
        connector: Arc<dyn Connector>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            settings: address.settings().clone(),
            address,
            credentials,
            connector,
            clock,
            unproven: None,
            put_last: Vec::new(),
            failed: Mutex::new(None),
            #[cfg(feature = "tls-rustls")]
            tls: None,
        }
    }

    /// Another one for the same address, beside this.
    pub(crate) fn beside(&self) -> Self {
        let (connector, clock) = (Arc::clone(&self.connector), Arc::clone(&self.clock));
        Self::new(
            self.address.clone(),
            self.credentials.clone(),
            connector,
            clock,
        )
    }

    /// Where it connects to.
    pub(crate) const fn endpoint(&self) -> &Endpoint {
        self.address.endpoint()
    }

    /// Connects to another server from now on, as the same user.
    pub(crate) fn lead_to(&mut self, endpoint: Endpoint) {
        self.address = self.address.clone().at(endpoint);
    }

    /// Tries once: the addresses that the name stands for race until a server has greeted. The
    /// caller bounds the time.
    pub(crate) async fn dial(&mut self) -> Result<Connected, DialError> {
        *self
            .failed
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(credentials) = &self.credentials {
            let given = credentials.ask().await.map_err(DialError::no_credentials)?;
            self.settings = given.apply(self.address.settings());
        }
        let addresses = self.in_order().await.map_err(|error| self.told(error))?;
        #[cfg(feature = "tls-rustls")]
        if let (None, Some(tls)) = (&self.tls, self.address.tls()) {
            self.tls = Some(tls.connector().map_err(|error| self.told(error))?);
        }
        let this = &*self;
        let connect = |endpoint| async move {
            match this.connect(&endpoint).await {
                Ok(connected) => Ok((connected, endpoint)),
                Err(refused) => {
                    this.note(&refused);
                    Err(())
                }
            }
        };
        let pause = |span| this.clock.sleep_until(this.clock.now() + span);
        match race(addresses, connect, pause).await {
            Ok((connected, endpoint)) => {
                self.unproven = Some(endpoint);
                Ok(connected)
            }
            Err(_) => {
                // The certificates are read again: they may have been replaced.
                #[cfg(feature = "tls-rustls")]
                {
                    self.tls = None;
                }
                let nowhere = || DialError::unavailable("the name has no address");
                Err(self.why_not().unwrap_or_else(nowhere))
            }
        }
    }

    /// Why addresses have failed in this dial, if any has.
    pub(crate) fn why_not(&self) -> Option<DialError> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().map(|(_, why)| why.clone())
    }

    /// The password that is sent in the handshake, or was in the last one.
    pub(crate) fn password(&self) -> Option<&str> {
        self.settings.password()
    }

    /// The connection that was made serves.
    pub(crate) fn served(&mut self) {
        self.unproven = None;
        self.put_last.clear();
    }

    /// The addresses in the order in which they are tried.
    async fn in_order(&mut self) -> io::Result<Vec<Endpoint>> {
        if let Some(endpoint) = self.unproven.take() {
            self.put_last.retain(|other| *other != endpoint);
            self.put_last.push(endpoint);
            let many = self.put_last.len().saturating_sub(PUT_LAST);
            self.put_last.drain(..many);
        }
        let mut addresses = self.connector.addresses(self.address.endpoint()).await?;
        addresses.sort_by_key(|address| self.put_last.iter().position(|last| last == address));
        Ok(addresses)
    }

    /// Keeps the error that tells most, of those the last.
    fn note(&self, refused: &Refused) {
        let why = refused.told(self.password());
        let tells = match why {
            DialError::Rejected(_) => Telling::Rejection,
            DialError::Unavailable(_) if refused.has_words() => Telling::Words,
            DialError::Unavailable(_) => Telling::NoConnection,
        };
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(&*failed, Some((before, _)) if *before > tells) {
            *failed = Some((tells, why));
        }
    }

    fn told(&self, error: impl Into<redis::RedisError>) -> DialError {
        Refused::from(error.into()).told(self.password())
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Connected, Refused> {
        let (settings, asked) = (&self.settings, self.address.protocol());
        let stream = self.open(endpoint).await?;
        match greet(stream, settings, asked.unwrap_or(ProtocolVersion::RESP3)).await {
            // What does not know the newer protocol says so in words of its own, or hangs up. A
            // later dial may reach something else, so it begins with the newer one again.
            Err(refused) if asked.is_none() && refused.may_know_resp2() => {
                let stream = self.open(endpoint).await?;
                greet(stream, settings, ProtocolVersion::RESP2).await
            }
            result => result,
        }
    }

    /// A stream on which Redis' protocol can be spoken.
    async fn open(&self, endpoint: &Endpoint) -> Result<Box<dyn ByteStream>, redis::RedisError> {
        let stream = self.connector.connect(endpoint).await?;
        // The certificate must be of the name that the user gave.
        #[cfg(feature = "tls-rustls")]
        if let Some(connector) = &self.tls
            && let Endpoint::Tcp { host, .. } = self.address.endpoint()
        {
            return Ok(crate::link::tls::handshake(connector, host, stream).await?);
        }
        Ok(stream)
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dialer").field(&self.address).finish()
    }
}
