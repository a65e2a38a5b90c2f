//! The two ends of a connection: the connector of a client, the listener of a server, and what both
//! put on the wire and take off it.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tenure_redis::seams::{BoxFuture, ByteStream, Connector, Endpoint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use turmoil::net::{TcpListener, TcpStream};

use super::machine::HostEnds;
use crate::memory_net::TrueTime;
use crate::server::Server;

/// A digest of every byte that was put on a wire or taken off it, where and when.
///
/// It is our own, not turmoil's log: that goes through `tracing`, which loses lines when tests run
/// beside each other.
#[derive(Clone)]
pub(super) struct Tape {
    time: TrueTime,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    digest: sha1_smol::Sha1,
    bytes: u64,
    connections: u64,
}

impl std::fmt::Debug for Tape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tape")
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl Tape {
    pub(super) fn new(time: TrueTime) -> Self {
        Self {
            time,
            state: Arc::default(),
        }
    }

    fn take(&self, end: &str, what: &str, bytes: &[u8]) {
        let head = format!("{:?} {end} {what} {}\n", self.time.now(), bytes.len());
        let mut state = self.lock();
        state.digest.update(head.as_bytes());
        state.digest.update(bytes);
        state.bytes += bytes.len() as u64;
    }

    pub(super) fn digest(&self) -> String {
        self.lock().digest.digest().to_string()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    pub(super) fn connections(&self) -> u64 {
        self.lock().connections
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One end of a connection, of which everything goes to the tape.
#[derive(Debug)]
struct Taped {
    stream: TcpStream,
    end: String,
    tape: Tape,
}

impl AsyncRead for Taped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if matches!(read, Poll::Ready(Ok(()))) {
            self.tape.take(&self.end, "read", &buf.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for Taped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(n)) = written {
            self.tape.take(&self.end, "wrote", &bytes[..n]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Names that stand for several hosts, in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows(Arc<Mutex<BTreeMap<String, Vec<String>>>>);

impl Rows {
    pub(super) fn insert(&self, name: &str, hosts: &[&str]) {
        let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        self.lock().insert(name.to_owned(), hosts);
    }

    fn of(&self, name: &str) -> Vec<String> {
        let hosts = self.lock().get(name).cloned();
        hosts.unwrap_or_else(|| vec![name.to_owned()])
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<String>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The connector of one client.
#[derive(Debug)]
pub(super) struct HostConnector {
    pub(super) client: String,
    pub(super) tape: Tape,
    pub(super) rows: Rows,
    pub(super) ends: HostEnds,
}

impl Connector for HostConnector {
    fn addresses<'a>(&'a self, endpoint: &'a Endpoint) -> BoxFuture<'a, io::Result<Vec<Endpoint>>> {
        let addresses = match endpoint {
            Endpoint::Tcp { host, port } => {
                let hosts = self.rows.of(host).into_iter();
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
            let Endpoint::Tcp { host, port } = endpoint else {
                return Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "the simulated network has hosts only",
                ));
            };
            let stream = TcpStream::connect((host.as_str(), *port)).await?;
            let connection = {
                let mut state = self.tape.lock();
                state.connections += 1;
                state.connections
            };
            let taped = Taped {
                stream,
                end: format!("{}>{host} {connection}", self.client),
                tape: self.tape.clone(),
            };
            Ok(Box::new(self.ends.at(host).of(taped)) as Box<dyn ByteStream>)
        })
    }
}

/// Serves whoever connects to this host, until it crashes.
///
/// Connections are tasks of the host's own set, which drops them in the order of their beginning. A
/// runtime drops its tasks in an order that depends on how many there were in the whole program.
pub(super) async fn listen(name: String, server: Server, tape: Tape) -> io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", 6379)).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let taped = Taped {
            stream,
            end: format!("{name}<{peer}"),
            tape: tape.clone(),
        };
        tokio::task::spawn_local(server.serve_as(taped, peer.to_string()));
    }
}
