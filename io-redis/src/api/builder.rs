//! Building a client: which nodes, which defaults, whose runtime.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Config, Drift, Manager, NodeId};

use crate::api::locks::Locks;
use crate::api::options::LockOptions;
use crate::client::driver::drive;
use crate::client::hub::Hub;
use crate::client::own_thread::OwnThread;
use crate::client::shared::Client;
use crate::error::ConnectError;
use crate::link::address::Address;
use crate::link::connection::{Connection, UserConnection};
use crate::link::interface::{LinkConfig, Target};
use crate::link::spawn_link;
use crate::protocol::marker::NodeSet;
use crate::runtime::{BootClock, OsEntropy, Seams, TokioConnector};

/// Whether a node that may have forgotten a lease is kept from granting until every lease that it
/// may have forgotten has ended: one max TTL.
///
/// Without it, a restart without data breaks exclusion for up to one TTL. It costs one max TTL when a
/// set of nodes is used for the first time, and after each restart of a node, unless that node is
/// known not to forget (append-only file, fsync always).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quarantine {
    /// The default over several nodes.
    On,
    /// The default with one node, where it would turn each restart into an outage of one max TTL. Over
    /// several nodes it is for development: a node that restarts without its data is counted at once, which
    /// breaks Exclusion, and Fencing if the servers' clocks differ.
    Off,
}

/// How a handle is made. It stands here and not beside the type, which knows nothing of its builder.
impl Locks {
    /// Connects to one node with the default options, and verifies that it serves.
    ///
    /// # Errors
    /// [`ConnectError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, ConnectError> {
        Self::builder().node(url).connect().await
    }

    /// Builds a client of one node, of several, or of connections that the program already has.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tenure_redis::Locks;
    ///
    /// let locks = Locks::builder()
    ///     .nodes(["redis://10.0.0.1", "redis://10.0.0.2", "redis://10.0.0.3"])
    ///     .ttl(Duration::from_secs(5))
    ///     .prefix("locks:")
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }
}

/// Builds a client; see [`Locks::builder`](crate::Locks::builder).
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it connects"]
pub struct Builder {
    nodes: Vec<Result<NodeTarget, ConnectError>>,
    options: LockOptions,
    max_ttl: Option<Duration>,
    drift_ppm: Option<u32>,
    request_timeout: Option<Duration>,
    max_leases: Option<usize>,
    prefix: Vec<u8>,
    quarantine: Option<Quarantine>,
    node_set: Option<String>,
    own_thread: bool,
    seams: Option<Seams>,
    #[cfg(feature = "tls-rustls")]
    certificates: crate::link::tls::Certificates,
}

enum NodeTarget {
    Address(Address),
    Connection(Arc<dyn Connection>),
}

impl std::fmt::Debug for NodeTarget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Connection(_) => f.write_str("Connection"),
        }
    }
}

impl Builder {
    /// Adds a node by its URL: `redis://[user:password@]host[:port][/database]`, `redis+unix:///path`,
    /// or with the feature `tls-rustls` `rediss://` like `redis://`. Called for each of several
    /// nodes, it makes a quorum of them.
    ///
    /// What answers there must be one server: keys that have nothing to do with each other go into one
    /// call. A proxy that spreads keys over servers without refusing such a call breaks exclusion.
    pub fn node(mut self, url: impl AsRef<str>) -> Self {
        let address = Address::parse(url.as_ref());
        self.nodes.push(
            address
                .map(NodeTarget::Address)
                .map_err(ConnectError::Address),
        );
        self
    }

    /// Adds several nodes by their URLs, as [`node`](Self::node) does.
    pub fn nodes<U: AsRef<str>>(self, urls: impl IntoIterator<Item = U>) -> Self {
        urls.into_iter().fold(self, Self::node)
    }

    /// Adds a node by a connection that the program already has: a `MultiplexedConnection`, a
    /// `ConnectionManager`, a `ClusterConnection`, anything that implements redis-rs' async
    /// `ConnectionLike` and clones. It is shared, not taken over.
    ///
    /// Its reconnecting and its time-outs are its own, and a restart of the server behind it cannot
    /// be noticed: with several such nodes [`quarantine`](Self::quarantine) must be decided. A request
    /// that it resends after losing a connection may land after a release; the bound is then one TTL.
    pub fn connection<C>(mut self, connection: C) -> Self
    where
        C: redis::aio::ConnectionLike + Clone + Send + Sync + 'static,
    {
        self.nodes
            .push(Ok(NodeTarget::Connection(Arc::new(UserConnection::new(
                connection,
            )))));
        self
    }

    /// Trusts the authorities in this text (PEM) instead of those of the operating system. All nodes must
    /// have `rediss://` addresses then. A server that shows another certificate counts as one that
    /// does not answer, since the next may be the right one: the error has the reason.
    #[cfg(feature = "tls-rustls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.trust(pem.into());
        self
    }

    /// Shows this certificate to servers that ask for one, as Redis does by default: the certificate with
    /// its chain, and its private key (both PEM). All nodes must have `rediss://` addresses then.
    #[cfg(feature = "tls-rustls")]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.certificates.show(certificate.into(), key.into());
        self
    }

    /// How long a node keeps a key, where a call says nothing else: [`LockOptions::ttl`].
    pub fn ttl(self, ttl: Duration) -> Self {
        self.options(|options| options.ttl(ttl))
    }

    /// Changes the default options of locks taken with this client.
    pub fn options(mut self, change: impl FnOnce(LockOptions) -> LockOptions) -> Self {
        self.options = change(self.options);
        self
    }

    /// The largest TTL that any client of these nodes uses. Default: the TTL of the options. Over
    /// several nodes all clients must say the same, and with quarantine on the nodes refuse one that does
    /// not: it is also the length of quarantine.
    pub fn max_ttl(mut self, max_ttl: Duration) -> Self {
        self.max_ttl = Some(max_ttl);
        self
    }

    /// By how many millionths of a TTL the time that a clock measures over one TTL may be wrong, steps
    /// included. Default 5,000 (half a percent); twice that and 2 ms are subtracted from every TTL.
    pub fn drift_ppm(mut self, ppm: u32) -> Self {
        self.drift_ppm = Some(ppm);
        self
    }

    /// How long a request is waited for. Default: an eighth of max TTL, between 20 ms and 1 s. After
    /// twice that without any answer a connection is replaced.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// How many leases the client may have at a time, those included that are being released. It bounds
    /// every queue. Default 1,000,000.
    pub fn max_leases(mut self, max_leases: usize) -> Self {
        self.max_leases = Some(max_leases);
        self
    }

    /// What stands in front of every key, and of the marker of a node. Default: nothing.
    pub fn prefix(mut self, prefix: impl Into<Vec<u8>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Whether nodes that may have forgotten a lease are kept from granting. Default: on over several
    /// nodes, off with one.
    pub fn quarantine(mut self, quarantine: Quarantine) -> Self {
        self.quarantine = Some(quarantine);
        self
    }

    /// A name for the set of nodes. With quarantine on, clients of the same prefix that use another name,
    /// number of nodes or max TTL are refused by the nodes: it shows a set that was changed on some
    /// clients only.
    pub fn node_set(mut self, name: impl Into<String>) -> Self {
        self.node_set = Some(name.into());
        self
    }

    /// Runs the client's tasks on a thread of their own, so that renewals do not depend on the program's
    /// runtime being free or alive. Needs no tokio runtime here.
    pub fn own_thread(mut self) -> Self {
        self.own_thread = true;
        self
    }

    /// Replaces how the client connects, tells the time, spawns and draws random bytes. Then
    /// [`own_thread`](Self::own_thread) has no effect: the spawner is the one that is given here.
    pub fn seams(mut self, seams: Seams) -> Self {
        self.seams = Some(seams);
        self
    }

    /// Builds the client and verifies its nodes: a quorum answers, none refuses to serve, no two are
    /// the same server.
    ///
    /// # Errors
    /// [`ConnectError`], for what is wrong with the configuration as well as with the nodes.
    ///
    /// # Cancel safety
    /// Dropping the future leaves nothing behind.
    pub async fn connect(self) -> Result<Locks, ConnectError> {
        let locks = self.connect_lazy()?;
        locks.client().verify().await?;
        Ok(locks)
    }

    /// Builds the client and connects in the background. Locks may be asked for at once; what is
    /// wrong with the nodes is told by their errors.
    ///
    /// # Errors
    /// [`ConnectError`], for what is wrong with the configuration.
    pub fn connect_lazy(self) -> Result<Locks, ConnectError> {
        let nodes = self.nodes.into_iter().collect::<Result<Vec<_>, _>>()?;
        #[cfg(feature = "tls-rustls")]
        let nodes = with_certificates(nodes, &self.certificates)?;
        if nodes.is_empty() {
            return Err(ConnectError::NoNodes);
        }
        let mut config = Config::builder(nodes.len())
            .max_ttl(self.max_ttl.unwrap_or(self.options.ttl_or_default()));
        if let Some(ppm) = self.drift_ppm {
            config = config.drift(Drift::from_ppm(ppm));
        }
        if let Some(timeout) = self.request_timeout {
            config = config.request_timeout(timeout);
        }
        if let Some(max_leases) = self.max_leases {
            config = config.max_leases(max_leases);
        }
        let config = config.build()?;
        // Checked before anything is started.
        let lock = self.options.build(&config, None)?;
        let try_lock = self.options.build(&config, Some(1))?;
        let mut link_config = LinkConfig::new(config.request_timeout());
        // A dial that hangs must leave time for another before a renewal is overdue.
        link_config.dial_timeout = (config.request_timeout() * 2)
            .clamp(Duration::from_millis(250), Duration::from_secs(2));
        let quarantined = quarantine(self.quarantine, &nodes)?;
        if self.node_set.is_some() && !quarantined {
            return Err(ConnectError::NodeSetUnchecked);
        }
        link_config.node_set = quarantined.then(|| NodeSet {
            prefix: self.prefix.clone(),
            max_ttl: config.max_ttl(),
            nodes: nodes.len(),
            name: self.node_set.clone(),
        });

        let (seams, own_thread) = match self.seams {
            Some(seams) => (seams, None),
            None if self.own_thread => {
                let thread = OwnThread::new()?;
                let seams = Seams {
                    connector: Arc::new(TokioConnector),
                    clock: Arc::new(BootClock::new()),
                    spawner: thread.spawner(),
                    entropy: Arc::new(OsEntropy),
                };
                (seams, Some(thread))
            }
            None => (Seams::tokio().ok_or(ConnectError::NoRuntime)?, None),
        };

        let mut seed = [0; 8];
        seams.entropy.fill(&mut seed);
        let manager = Manager::new(config, u64::from_le_bytes(seed));
        let names = nodes.iter().enumerate().map(|(index, node)| match node {
            NodeTarget::Address(address) => address.to_string(),
            NodeTarget::Connection(_) => format!("connection {index}"),
        });
        let hub = Arc::new(Hub::new(manager, names.collect(), Arc::clone(&seams.clock)));
        seams.spawner.spawn(Box::pin(drive(Arc::clone(&hub))));
        let links = nodes
            .into_iter()
            .enumerate()
            .map(|(index, node)| {
                let target = match node {
                    NodeTarget::Address(address) => Target::Address(address),
                    NodeTarget::Connection(connection) => Target::Connection(connection),
                };
                let work = Arc::clone(&hub);
                spawn_link(
                    NodeId::new(index),
                    target,
                    link_config.clone(),
                    work,
                    &seams,
                )
            })
            .collect();
        if let Some(thread) = own_thread {
            thread.start(Arc::clone(&hub))?;
        }
        let client = Client::new(hub, seams, links, self.prefix);
        Ok(Locks::new(Arc::new(client), self.options, lock, try_lock))
    }
}

/// The nodes, with what TLS takes besides their addresses.
#[cfg(feature = "tls-rustls")]
fn with_certificates(
    nodes: Vec<NodeTarget>,
    certificates: &crate::link::tls::Certificates,
) -> Result<Vec<NodeTarget>, ConnectError> {
    nodes
        .into_iter()
        .map(|node| match node {
            NodeTarget::Address(address) => certificates.apply(address).map(NodeTarget::Address),
            connection @ NodeTarget::Connection(_) => Ok(connection),
        })
        .collect::<Result<_, _>>()
        .map_err(ConnectError::Address)
}

/// Decides whether quarantine is on, and demands the decision where there is no safe default.
fn quarantine(choice: Option<Quarantine>, nodes: &[NodeTarget]) -> Result<bool, ConnectError> {
    let watched = nodes
        .iter()
        .all(|node| matches!(node, NodeTarget::Address(_)));
    match choice {
        Some(Quarantine::Off) => Ok(false),
        Some(Quarantine::On) if watched => Ok(true),
        None if nodes.len() == 1 => Ok(false),
        None if watched => Ok(true),
        Some(Quarantine::On) | None => Err(ConnectError::QuarantineUndecided),
    }
}
