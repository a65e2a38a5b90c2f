//! The network in memory: names, links, and the bytes that travel on them.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tenure_redis::seams::{BoxFuture, ByteStream, Connector, Endpoint};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::clock::TrueTime;
use super::link::{Direction, Link};
use super::tap::{Request, Tap, Wire};
use crate::server::Server;

/// How long bytes travel one way where nothing else is said.
const LATENCY: Duration = Duration::from_millis(1);
/// What a kernel would hold between two ends.
const BUFFER: usize = 64 * 1024;

/// All names, links and connections of a world.
#[derive(Debug)]
pub(super) struct Net {
    time: TrueTime,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    hosts: BTreeMap<String, Server>,
    /// Names that stand for several hosts.
    rows: BTreeMap<String, Vec<String>>,
    links: BTreeMap<(String, String), Link>,
    connections: u64,
    tap: Tap,
}

impl Net {
    pub(super) fn new(time: TrueTime) -> Self {
        Self {
            time,
            state: Mutex::default(),
        }
    }

    /// From now on the name leads to this server.
    pub(super) fn host(&self, name: &str, server: Server) {
        self.lock().hosts.insert(name.to_owned(), server);
    }

    /// From now on the name stands for these hosts, in this order.
    pub(super) fn row(&self, name: &str, hosts: &[&str]) {
        let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        self.lock().rows.insert(name.to_owned(), hosts);
    }

    /// The hosts for which a name stands.
    fn hosts(&self, name: &str) -> Vec<String> {
        let hosts = self.lock().rows.get(name).cloned();
        hosts.unwrap_or_else(|| vec![name.to_owned()])
    }

    /// The link between a client and a name.
    pub(super) fn link(&self, client: &str, host: &str) -> Link {
        let name = (client.to_owned(), host.to_owned());
        let mut state = self.lock();
        let link = state
            .links
            .entry(name)
            .or_insert_with(|| Link::new(LATENCY));
        link.clone()
    }

    /// How many requests have arrived, and how many of those after the first `seen` name this.
    pub(super) fn naming(&self, seen: usize, arg: &[u8]) -> (usize, usize) {
        let net = self.lock();
        let requests = net.tap.requests();
        let naming = requests[seen..].iter().filter(|request| request.names(arg));
        (requests.len(), naming.count())
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        self.lock().tap.requests().to_vec()
    }

    pub(super) fn digest(&self) -> String {
        self.lock().tap.digest()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(
        self: Arc<Self>,
        client: String,
        host: String,
    ) -> io::Result<Box<dyn ByteStream>> {
        let link = self.link(&client, &host);
        link.dialled();
        let travel = |direction| {
            self.time
                .sleep_until(self.time.now() + link.latency(direction))
        };
        travel(Direction::Out).await;
        let admitted = link.admits().await;
        let (server, connection) = {
            let mut state = self.lock();
            state.connections += 1;
            (state.hosts.get(&host).cloned(), state.connections)
        };
        travel(Direction::Back).await;
        let Some(server) = server else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "no such host"));
        };
        if !admitted {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }

        let (near, near_end) = tokio::io::duplex(BUFFER);
        let (far_end, far) = tokio::io::duplex(BUFFER);
        tokio::spawn(server.serve_as(far, format!("{client}:{connection}")));
        let (near_reader, near_writer) = tokio::io::split(near_end);
        let (far_reader, far_writer) = tokio::io::split(far_end);
        let serial = link.opened();
        let wire = |direction| Wire::new(connection, client.clone(), host.clone(), direction);
        let out = Arc::clone(&self).carry(
            wire(Direction::Out),
            link.clone(),
            serial,
            near_reader,
            far_writer,
        );
        let back = Arc::clone(&self).carry(
            wire(Direction::Back),
            link.clone(),
            serial,
            far_reader,
            near_writer,
        );
        link.carried_by([out, back].map(|carrier| tokio::spawn(carrier).abort_handle()));
        Ok(Box::new(link.end(near)))
    }

    /// Carries bytes one way until there are no more.
    async fn carry(
        self: Arc<Self>,
        mut wire: Wire,
        link: Link,
        serial: u64,
        mut from: impl AsyncRead + Unpin,
        mut to: impl AsyncWrite + Unpin,
    ) {
        let direction = wire.direction();
        let (enter, mut leave) = mpsc::unbounded_channel();
        let entering = async {
            let mut last = Duration::ZERO;
            loop {
                let mut bytes = vec![0; BUFFER];
                let read = from.read(&mut bytes).await.unwrap_or(0);
                bytes.truncate(read);
                last = last.max(self.time.now() + link.latency(direction));
                // An error says that the other end is closed: what comes now goes nowhere.
                let _ = enter.send((last, bytes));
                if read == 0 {
                    return;
                }
            }
        };
        let leaving = async {
            let mut whole = true;
            while let Some((at, bytes)) = leave.recv().await {
                self.time.sleep_until(at).await;
                whole &= link.passes(serial, direction).await;
                if !whole {
                    continue;
                }
                if bytes.is_empty() {
                    // An error says that it is closed already.
                    let _ = to.shutdown().await;
                    return;
                }
                self.lock().tap.take(self.time.now(), &mut wire, &bytes);
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            if !whole {
                // The other end is not told. It stays open and hears nothing.
                std::future::pending::<()>().await;
            }
        };
        tokio::join!(entering, leaving);
    }
}

/// The connector of one client.
#[derive(Debug)]
pub(super) struct NetConnector {
    pub(super) net: Arc<Net>,
    pub(super) client: String,
}

impl Connector for NetConnector {
    fn addresses<'a>(&'a self, endpoint: &'a Endpoint) -> BoxFuture<'a, io::Result<Vec<Endpoint>>> {
        let addresses = match endpoint {
            Endpoint::Tcp { host, port } => {
                let hosts = self.net.hosts(host).into_iter();
                hosts
                    .map(|host| Endpoint::Tcp { host, port: *port })
                    .collect()
            }
            other => vec![other.clone()],
        };
        Box::pin(std::future::ready(Ok(addresses)))
    }

    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        Box::pin(async move {
            match endpoint {
                Endpoint::Tcp { host, .. } => {
                    let net = Arc::clone(&self.net);
                    net.connect(self.client.clone(), host.clone()).await
                }
                _ => Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "the simulated network has names only",
                )),
            }
        })
    }
}
