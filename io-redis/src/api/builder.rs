//! Building a client: which nodes, which default options, and which runtime runs its tasks.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Config, ConfigError, Drift};

use crate::api::locks::Locks;
use crate::api::options::LockOptions;
use crate::client::own_thread::OwnThread;
use crate::client::shared::Client;
use crate::error::ConnectError;
use crate::link::address::{self, Address, AddressError};
#[cfg(feature = "cluster")]
use crate::link::cluster::ClusterAddress;
use crate::link::connection::UserConnection;
use crate::link::credentials::{Credentials, Source};
use crate::link::group::GroupAddress;
use crate::link::interface::{LinkConfig, Target};
use crate::protocol::key::MAX_PREFIX_LEN;
use crate::protocol::marker::{MAX_NODE_SET_LEN, NodeSet};
use crate::protocol::stream::FenceStream;
use crate::runtime::{BootClock, OsEntropy, Seams, TokioConnector};

/// Whether a node that may have lost data must wait before it grants locks again. It waits for one
/// max TTL: by then every lease that it may have forgotten has ended.
///
/// Without quarantine, a node that restarts without its data breaks exclusion for up to one TTL.
/// Quarantine costs one max TTL when a set of nodes is used for the first time, and one for a node
/// that restarts, unless that node is known to keep its data (append-only file, fsync always).
///
/// Over one node with quarantine, a waiter that is handed a lock asks the node once more before it
/// has it, since only an acquire compares what the node has lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quarantine {
    /// The default over several nodes.
    On,
    /// The default with one node, where quarantine would turn each restart into an outage of one
    /// max TTL. Over several nodes this is for development only: a node that restarts without its
    /// data counts at once. That breaks Exclusion, and Fencing if the clocks of the servers differ.
    Off,
}

// Here and not beside the type, so that the handle does not depend on its builder.
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

    /// Builds a client of one node, of several, or of connections that the program already has. A
    /// node is a server, a group behind Sentinels, or a cluster.
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
    nodes: Vec<Result<Target, ConnectError>>,
    options: LockOptions,
    max_ttl: Option<Duration>,
    drift_ppm: Option<u32>,
    request_timeout: Option<Duration>,
    max_leases: Option<usize>,
    prefix: Vec<u8>,
    fence_stream: Option<Vec<u8>>,
    quarantine: Option<Quarantine>,
    acknowledged_by: Option<u32>,
    node_set: Option<String>,
    credentials: Option<Source>,
    own_thread: bool,
    seams: Option<Seams>,
    #[cfg(feature = "tls-rustls")]
    certificates: crate::link::tls::Certificates,
}

impl Builder {
    /// Adds a node by its URL: `redis://[user:password@]host[:port][/database]`,
    /// `redis+unix:///path`, or `rediss://` like `redis://` with the feature `tls-rustls`. With
    /// several nodes, a lock is held while a majority of them keeps it.
    ///
    /// A server that refuses RESP3, in whatever words, is spoken to in RESP2, over a second
    /// connection each time: `?protocol=resp2` behind the URL saves the first. That or
    /// `?protocol=resp3` leaves only that one. `#insecure` behind a `rediss://` URL takes any
    /// certificate for that of the server, so that anybody can pretend to be it, and does not tell
    /// the server the name that it was called by (SNI). What else stands behind a URL is refused.
    ///
    /// One server must answer at this address, because unrelated keys share one call. A proxy that
    /// spreads keys over several servers without refusing such a call breaks exclusion. If the name
    /// stands for several addresses, all of them must lead to that server: they are tried one
    /// beside the other, 100 ms apart, and the first where a server greets is taken (TLS and login
    /// included). One that greets and then does not serve, as a replica, comes last the next time.
    pub fn node(mut self, url: impl AsRef<str>) -> Self {
        let url = url.as_ref();
        let refused = |error| ConnectError::Address {
            position: self.nodes.len() + 1,
            address: address::shown(url),
            error,
        };
        let address = Address::parse(url).map_err(refused);
        self.nodes.push(address.map(Target::Address));
        self
    }

    /// Adds several nodes by their URLs, as [`node`](Self::node) does.
    pub fn nodes<U: AsRef<str>>(self, urls: impl IntoIterator<Item = U>) -> Self {
        urls.into_iter().fold(self, Self::node)
    }

    /// Adds a node of which Sentinels say which server is the primary. The URL is one as
    /// [`node`](Self::node) takes it, with the name that the Sentinels have for the primary in
    /// place of a host and a port: it says how, as whom and to which database the servers are
    /// connected to. Behind it stand the addresses of the Sentinels:
    /// `redis://[user:password@]host[:port]`, port 26379 by default, with logins of their own, or
    /// `rediss://`. Better name all of them, since no others are asked. Called several times, each
    /// adds one node.
    ///
    /// Before each connection the Sentinels are asked, in turn: the next one when the one before
    /// has failed, or after 100 ms beside it. Who has answered begins the next time. A server that
    /// turns out to be a replica is no answer: the Sentinel that named it comes last then. While a
    /// connection serves, another one to a Sentinel hears of a failover (`+switch-master`); the
    /// Sentinel is also asked every 10 s or so. The addresses that the Sentinels know must lead to
    /// the servers from here, and with TLS the certificates must be of these.
    ///
    /// **A failover may break [Exclusion](crate::guarantees::exclusion)**: the replica may not have
    /// what its primary had granted, and after a failover that was planned the former primary
    /// grants for seconds more to whoever has not heard of it. With one such node, two may hold a
    /// lock then, until one TTL after the last grant or renewal by the former one. With three such
    /// nodes, quarantine covers it, if the former primary stops to grant by itself: give the
    /// servers `min-replicas-to-write`.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tenure_redis::Locks;
    ///
    /// let sentinels = ["redis://10.0.0.1", "redis://10.0.0.2", "redis://10.0.0.3:26380"];
    /// let locks = Locks::builder()
    ///     .sentinel("redis://locks:secret@orders/2", sentinels)
    ///     .connect()
    ///     .await?;
    /// let guard = locks.lock("orders/42").await?;
    /// # guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn sentinel<U: AsRef<str>>(
        mut self,
        primary: impl AsRef<str>,
        sentinels: impl IntoIterator<Item = U>,
    ) -> Self {
        let position = self.nodes.len() + 1;
        self.nodes
            .push(group(position, primary.as_ref(), sentinels));
        self
    }

    /// Adds a node that is a cluster, by the addresses of some of its servers, best of one of each
    /// shard: they name the others. The URLs are like those of [`node`](Self::node), but without a
    /// database. They agree in user, password, protocol and TLS, since all servers are connected to
    /// in one way. The addresses that the servers have for each other must lead to them from here,
    /// and with TLS the certificates must be of these. Called several times, each adds one node.
    ///
    /// Each lock is kept by the shard that has the slot of its key, together with the fence stream
    /// of this slot. The client follows a slot that is moved, and a shard that fails over, and what
    /// is held goes on. While a shard is gone, its locks are an outage, and those of the others are
    /// served. A server that refuses RESP3 needs `?protocol=resp2` behind the URLs.
    ///
    /// **A failover of a shard may break [Exclusion](crate::guarantees::exclusion)** for its locks,
    /// as one of a [group](Self::sentinel) does, until one TTL after the last grant or renewal by
    /// the former primary: the replica may not have what its primary had granted. Quarantine cannot
    /// notice it, so over several nodes of which one is a cluster you must decide about
    /// [`quarantine`](Self::quarantine).
    ///
    /// Who waits asks by backoff ([`LockOptions::contention_backoff`]), and has a place in the
    /// queue: a cluster does not push. A loss is told at the next renewal. The client's
    /// [seams](Self::seams) do not reach its connections, which are redis-rs' and tokio's.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tenure_redis::Locks;
    ///
    /// let servers = ["10.0.0.1", "10.0.0.2", "10.0.0.3"];
    /// let locks = Locks::builder()
    ///     .cluster(servers.map(|server| format!("redis://locks:secret@{server}")))
    ///     .connect()
    ///     .await?;
    /// let guard = locks.lock("orders/42").await?;
    /// # guard.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "cluster")]
    pub fn cluster<U: AsRef<str>>(mut self, servers: impl IntoIterator<Item = U>) -> Self {
        let position = self.nodes.len() + 1;
        self.nodes.push(cluster(position, servers));
        self
    }

    /// Adds a node by a connection that the program already has, one that reconnects by itself: a
    /// `ConnectionManager` (feature `connection-manager` of redis-rs), a `ClusterConnection`, or
    /// anything else that implements redis-rs' async `ConnectionLike` and `Clone`. The program goes
    /// on using it.
    ///
    /// **A `MultiplexedConnection` does not reconnect.** Once it has been closed, by a restart, a
    /// failover, a timeout for idle connections or `CLIENT KILL`, it never answers again. Then each
    /// lock is an outage, and what is held is lost when its time ends. The error says so.
    ///
    /// The connection keeps its own timeouts. What the client does for connections of its own it
    /// cannot do here: replace one on which nothing answers, ask an idle one whether it lives. A
    /// restart of the server behind it cannot be noticed, so with several such nodes you must
    /// decide about [`quarantine`](Self::quarantine). If it resends a request after it lost a
    /// connection, that request may arrive after a release; then the key may stay for one TTL. If
    /// it panics, the client ends ([`RuntimeEnd`](crate::RuntimeEnd)).
    pub fn connection<C>(mut self, connection: C) -> Self
    where
        C: redis::aio::ConnectionLike + Clone + Send + Sync + 'static,
    {
        self.nodes
            .push(Ok(Target::Connection(Arc::new(UserConnection::new(
                connection,
            )))));
        self
    }

    /// Trusts the authorities in this text (PEM) instead of those of the operating system. All
    /// nodes and Sentinels must have `rediss://` addresses then, and none may end in `#insecure`. A
    /// server with another certificate counts as one that does not answer, since the right server
    /// may answer later; the error says why.
    #[cfg(feature = "tls-rustls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.trust(pem.into());
        self
    }

    /// Shows this certificate to servers that ask for one, as Redis with TLS does by default. It
    /// takes the certificate with its chain, and its private key (both PEM). All nodes and
    /// Sentinels must have `rediss://` addresses then.
    #[cfg(feature = "tls-rustls")]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.certificates.show(certificate.into(), key.into());
        self
    }

    /// Asks this function as whom to log in, each time that a node is connected to: for tokens that
    /// live for minutes, and passwords that are changed. To [Sentinels](Self::sentinel) it logs in
    /// as their addresses say. What it gives takes the place of the user
    /// and the password in the addresses. A connection that is there already goes on, for as long
    /// as the server lets it; when it ends, the next one logs in with what is given then, and what
    /// is held is kept meanwhile.
    ///
    /// Each node asks for itself, once for each try to connect, within [the time for
    /// that](crate::guarantees::progress#how-long-it-takes): 2 s at first, and an eighth of the
    /// shortest TTL in use, but at least 250 ms, where round trips have been measured. So let it
    /// give a token that it keeps, and fetch the next one before that ends. An error counts as a
    /// node that cannot be reached now, and is quoted in the log and in errors: put no secret into
    /// it. If it panics, the client ends ([`RuntimeEnd`](crate::RuntimeEnd)), and the panic's
    /// message is quoted too.
    ///
    /// A cluster is one node: what is given when it is connected to is the login at all of its
    /// servers. One that is connected to again by itself is logged in to with the same. If that is
    /// refused by then, the whole cluster is connected to anew, after 10 s at the earliest.
    ///
    /// Connections of the program's own ([`connection`](Self::connection)) log in by themselves:
    /// with redis-rs' `StreamingCredentialsProvider`, for example, which also renews the login of
    /// a connection that lives.
    ///
    /// ```no_run
    /// # use tenure_redis::{Credentials, Locks};
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let locks = Locks::builder()
    ///     .node("redis://cache.example")
    ///     .credentials(|| async {
    ///         let token = std::fs::read_to_string("/run/secrets/redis-token")?;
    ///         Ok::<_, std::io::Error>(Credentials::new("billing", token.trim()))
    ///     })
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn credentials<F, Fut, E>(mut self, ask: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.credentials = Some(Source::new(ask));
        self
    }

    /// How long a node keeps a key, unless a call says otherwise: [`LockOptions::ttl`].
    pub fn ttl(self, ttl: Duration) -> Self {
        self.options(|options| options.ttl(ttl))
    }

    /// Changes the default options of locks taken with this client.
    pub fn options(mut self, change: impl FnOnce(LockOptions) -> LockOptions) -> Self {
        self.options = change(self.options);
        self
    }

    /// The largest TTL that any client of these nodes uses. Default: the TTL of the options. It is
    /// also the length of quarantine. Over several nodes all clients must use the same value; with
    /// quarantine on, the nodes refuse a client that does not.
    pub fn max_ttl(mut self, max_ttl: Duration) -> Self {
        self.max_ttl = Some(max_ttl);
        self
    }

    /// How much a clock may be wrong over one TTL, steps included, in millionths of the TTL.
    /// Default 5,000 (half a percent). Twice that and 2 ms are subtracted from every TTL.
    pub fn drift_ppm(mut self, ppm: u32) -> Self {
        self.drift_ppm = Some(ppm);
        self
    }

    /// How long the client waits for the answer to a request. Default: an eighth of max TTL,
    /// between 20 ms and 1 s. A connection on which nothing answers is replaced after twice that,
    /// or earlier where leases have a short TTL: [how long it
    /// takes](crate::guarantees::progress#how-long-it-takes). If a round trip to a node takes
    /// longer than this, no lock can be had from it: raise it then.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// How many leases the client may have at a time, including those that are being released. This
    /// bounds every queue. Default 1,000,000.
    pub fn max_leases(mut self, max_leases: usize) -> Self {
        self.max_leases = Some(max_leases);
        self
    }

    /// A prefix for every key and for the marker of a node, of up to 1,024 bytes. Default: none.
    pub fn prefix(mut self, prefix: impl Into<Vec<u8>>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The name of the stream that draws the fences of one node. Default: `tenure:fence`, without
    /// the [prefix](Self::prefix), since two prefixes may name one key. Over a cluster each slot
    /// has a stream of its own, whose name continues with a number: `tenure:fence:{17}`.
    ///
    /// Change it only where the user may not be given that key. **All clients of a key must use the
    /// same stream**: what two streams draw may not grow from one grant to the next. The name has
    /// up to 1,024 bytes, ends in `tenure:fence`, so that nobody locks it, and has no `{`: else
    /// connecting fails. Over several nodes it has no effect; a name that could not be used is
    /// refused there too, since it would be found out when nodes are taken away.
    // Law: Fencing
    pub fn fence_stream(mut self, name: impl Into<Vec<u8>>) -> Self {
        self.fence_stream = Some(name.into());
        self
    }

    /// Whether nodes that may have forgotten a lease must wait before they grant. Default: on over
    /// several nodes, off with one.
    pub fn quarantine(mut self, quarantine: Quarantine) -> Self {
        self.quarantine = Some(quarantine);
        self
    }

    /// Reports a lock only once so many replicas of the node have acknowledged its grant: 1 to 100,
    /// and no more than the node has. Default: it is not asked. It is for one node that has
    /// replicas, above all one that Sentinels [name](Self::sentinel).
    ///
    /// Each grant is waited for, also that of a lock which another holder handed on; renewals and
    /// releases are not. The client asks by `WAIT`, on a second connection to the node, so that
    /// nothing else is held up; the user needs the right to it. Grants that are waited for at the
    /// same time share a `WAIT`. It takes a round trip more, and the time that the replicas need,
    /// which is spent out of the validity of the lock.
    ///
    /// If too few acknowledge in time, the lock is given back and asked for again after a pause.
    /// That time is three quarters of the [request timeout](Self::request_timeout), or of half of
    /// the validity if that is less; grants that were asked for before are waited for first.
    /// Replicas that need less than three eighths of it are in time. When the caller waits no
    /// longer, the error is [`LockError::Unacknowledged`](crate::LockError::Unacknowledged), or
    /// that of what it met last. If the second connection cannot be had, it is an outage. No lock
    /// is reported without an answer.
    ///
    /// **This makes it rare that a failover loses a lock, and not impossible.** The replica that is
    /// promoted may be one that lags: demand all of them, and no lock is granted while one is away.
    /// A replica that restarts without its data may be promoted, and so may one from which a lock
    /// has expired, since its last renewals had not come there. Where
    /// [Exclusion](crate::guarantees::exclusion) has to survive a failover, use several nodes, or
    /// [`quarantine`](Self::quarantine).
    ///
    /// Over several nodes, a cluster or a [connection](Self::connection) of the program's own this
    /// is refused as a [mistake](ConnectError::is_misuse).
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use tenure_redis::Locks;
    ///
    /// let locks = Locks::builder()
    ///     .sentinel("redis://orders", ["redis://10.0.0.1", "redis://10.0.0.2"])
    ///     .acknowledged_by(1)
    ///     .connect()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn acknowledged_by(mut self, replicas: u32) -> Self {
        self.acknowledged_by = Some(replicas);
        self
    }

    /// A name for the set of nodes, of up to 256 bytes. With quarantine on, the nodes refuse a
    /// client of the same prefix that uses another name, number of nodes or max TTL. So a set that
    /// was changed on some clients only is noticed.
    pub fn node_set(mut self, name: impl Into<String>) -> Self {
        self.node_set = Some(name.into());
        self
    }

    /// Runs the client's tasks on a thread of their own. Then renewals do not depend on whether the
    /// program's runtime is busy or has ended, and the caller needs no tokio runtime.
    pub fn own_thread(mut self) -> Self {
        self.own_thread = true;
        self
    }

    /// Replaces how the client connects, tells the time, spawns tasks and draws random bytes. Then
    /// [`own_thread`](Self::own_thread) has no effect, since the spawner is the one given here.
    pub fn seams(mut self, seams: Seams) -> Self {
        self.seams = Some(seams);
        self
    }

    /// Builds the client and verifies its nodes: a majority serves, and no two are the same server.
    /// A minority that does not serve is named in the log.
    ///
    /// The client's tasks run on this tokio runtime, unless it has a thread of its
    /// [own](Self::own_thread). The runtime needs I/O and timers (`enable_all`); without them the
    /// client ends at once, and each operation says why ([`RuntimeEnd`](crate::RuntimeEnd)).
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

    /// Builds the client and connects in the background. You can ask for locks at once; if
    /// something is wrong with the nodes, their errors say so.
    ///
    /// # Errors
    /// [`ConnectError`], for what is wrong with the configuration.
    pub fn connect_lazy(mut self) -> Result<Locks, ConnectError> {
        let nodes = std::mem::take(&mut self.nodes);
        let nodes = nodes.into_iter().collect::<Result<Vec<_>, _>>()?;
        #[cfg(feature = "tls-rustls")]
        let nodes = with_certificates(nodes, &self.certificates)?;
        if nodes.is_empty() {
            return Err(ConnectError::NoNodes);
        }
        if self.prefix.len() > MAX_PREFIX_LEN {
            return Err(ConnectError::PrefixTooLong(self.prefix.len()));
        }
        let name = self.node_set.as_ref().map_or(0, String::len);
        if name > MAX_NODE_SET_LEN {
            return Err(ConnectError::NodeSetTooLong(name));
        }
        // Everything is checked before anything is started.
        let config = self.config(&nodes)?;
        let lock = self.options.build(&config, None)?;
        let try_lock = self.options.build(&config, Some(1))?;
        let link_config = self.link_config(&config, &nodes)?;
        let (seams, thread) = seams(self.seams, self.own_thread)?;
        let client = Client::start(config, nodes, &link_config, seams, thread, self.prefix)?;
        Ok(Locks::new(Arc::new(client), self.options, lock, try_lock))
    }

    fn config(&self, nodes: &[Target]) -> Result<Config, ConnectError> {
        let max_ttl = self.max_ttl.unwrap_or(self.options.ttl_or_default());
        // A marker is compared by the script of acquire only.
        let takes = matches!(is_quarantined(self.quarantine, nodes), Ok(false));
        let mut config = Config::builder(nodes.len())
            .max_ttl(max_ttl)
            .takes(takes)
            .queues(true)
            .pushes_grant(takes);
        if let Some(ppm) = self.drift_ppm {
            config = config.drift(Drift::from_ppm(ppm));
        }
        if let Some(timeout) = self.request_timeout {
            config = config.request_timeout(timeout);
        }
        if let Some(max_leases) = self.max_leases {
            config = config.max_leases(max_leases);
        }
        if let Some(replicas) = self.acknowledged_by {
            config = config.acknowledged_by(acknowledged_by(replicas, nodes)?);
        }
        Ok(config.build()?)
    }

    fn link_config(&self, config: &Config, nodes: &[Target]) -> Result<LinkConfig, ConnectError> {
        let mut link = LinkConfig::new(config.request_timeout());
        link.ttl = self.options.ttl_or_default();
        link.prefix.clone_from(&self.prefix);
        link.credentials.clone_from(&self.credentials);
        link.acknowledged_by = config.acknowledged_by();
        let stream = match &self.fence_stream {
            Some(name) => FenceStream::new(name.clone())?,
            None => FenceStream::default(),
        };
        link.stream = (nodes.len() == 1).then(|| Arc::new(stream));
        let quarantined = is_quarantined(self.quarantine, nodes)?;
        if self.node_set.is_some() && !quarantined {
            return Err(ConnectError::NodeSetUnchecked);
        }
        link.node_set = quarantined.then(|| NodeSet {
            prefix: self.prefix.clone(),
            max_ttl: config.max_ttl(),
            nodes: nodes.len(),
            name: self.node_set.clone(),
        });
        Ok(link)
    }
}

/// The node at this position whose primary these Sentinels know.
fn group<U: AsRef<str>>(
    position: usize,
    primary: &str,
    sentinels: impl IntoIterator<Item = U>,
) -> Result<Target, ConnectError> {
    let refused = |url: &str| {
        let address = address::shown(url);
        move |error| ConnectError::Address {
            position,
            address,
            error,
        }
    };
    let mut group = GroupAddress::parse(primary).map_err(refused(primary))?;
    for url in sentinels {
        group.add(url.as_ref()).map_err(refused(url.as_ref()))?;
    }
    if !group.has_sentinels() {
        return Err(refused(primary)(AddressError::NoSentinels));
    }
    Ok(Target::Group(group))
}

/// The node at this position, a cluster of which these are servers.
#[cfg(feature = "cluster")]
fn cluster<U: AsRef<str>>(
    position: usize,
    servers: impl IntoIterator<Item = U>,
) -> Result<Target, ConnectError> {
    let refused = |address, error| ConnectError::Address {
        position,
        address,
        error,
    };
    let mut cluster = ClusterAddress::default();
    for url in servers {
        let url = url.as_ref();
        let shown = |error| refused(address::shown(url), error);
        cluster.add(url).map_err(shown)?;
    }
    if !cluster.has_servers() {
        return Err(refused(cluster.to_string(), AddressError::NoShards));
    }
    Ok(Target::Cluster(cluster))
}

/// The seams that were given, or those of production: on a thread of the client's own, or on the
/// runtime of the caller.
fn seams(
    given: Option<Seams>,
    own_thread: bool,
) -> Result<(Seams, Option<OwnThread>), ConnectError> {
    match given {
        Some(seams) => Ok((seams, None)),
        None if own_thread => {
            let thread = OwnThread::new()?;
            let seams = Seams {
                connector: Arc::new(TokioConnector),
                clock: Arc::new(BootClock::new()),
                spawner: thread.spawner(),
                entropy: Arc::new(OsEntropy),
            };
            Ok((seams, Some(thread)))
        }
        None => Ok((Seams::tokio().ok_or(ConnectError::NoRuntime)?, None)),
    }
}

/// The nodes, with the certificates that the builder was given.
#[cfg(feature = "tls-rustls")]
fn with_certificates(
    nodes: Vec<Target>,
    certificates: &crate::link::tls::Certificates,
) -> Result<Vec<Target>, ConnectError> {
    let with = |(at, node)| {
        let change = |address: Address| {
            let shown = address.to_string();
            let refused = |error| ConnectError::Address {
                position: at + 1,
                address: shown,
                error,
            };
            certificates.apply(address).map_err(refused)
        };
        match node {
            Target::Address(address) => change(address).map(Target::Address),
            Target::Group(group) => group.try_map(change).map(Target::Group),
            #[cfg(feature = "cluster")]
            Target::Cluster(cluster) => {
                let certificates = certificates.for_redis_rs();
                let cluster = cluster.with_certificates(change, certificates);
                cluster.map(Target::Cluster)
            }
            connection @ Target::Connection(_) => Ok(connection),
        }
    };
    nodes.into_iter().enumerate().map(with).collect()
}

/// How many replicas must acknowledge a grant, if these nodes can be asked.
fn acknowledged_by(replicas: u32, nodes: &[Target]) -> Result<u32, ConnectError> {
    if replicas == 0 {
        return Err(ConfigError::Replicas { replicas }.into());
    }
    match nodes {
        [Target::Connection(_)] => Err(ConnectError::AcknowledgedOverConnection),
        #[cfg(feature = "cluster")]
        [Target::Cluster(_)] => Err(ConnectError::AcknowledgedOverCluster),
        [Target::Address(_) | Target::Group(_)] | [] | [_, _, ..] => Ok(replicas),
    }
}

/// Whether quarantine is on. An error where the caller must decide, since there is no safe default.
// Law: Exclusion
fn is_quarantined(choice: Option<Quarantine>, nodes: &[Target]) -> Result<bool, ConnectError> {
    let watched = nodes.iter().all(|node| match node {
        Target::Address(_) | Target::Group(_) => true,
        #[cfg(feature = "cluster")]
        Target::Cluster(_) => false,
        Target::Connection(_) => false,
    });
    match choice {
        Some(Quarantine::Off) => Ok(false),
        Some(Quarantine::On) if watched => Ok(true),
        None if nodes.len() == 1 => Ok(false),
        None if watched => Ok(true),
        Some(Quarantine::On) | None => Err(ConnectError::QuarantineUndecided),
    }
}
