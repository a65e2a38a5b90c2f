//! What the adapter needs of its surroundings, as traits: how it connects, tells the time, spawns
//! tasks and draws random bytes.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use tenure_core::Instant;
use tokio::io::{AsyncRead, AsyncWrite};

/// A boxed future that can move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connected stream of bytes.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> ByteStream for S {}

/// Where a node listens. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// A host name or an IP address (an IPv6 address without brackets), and a port.
    Tcp {
        /// The name or the address.
        host: String,
        /// The port.
        port: u16,
    },
    /// The path of a unix socket.
    Unix(PathBuf),
}

/// Opens connections.
pub trait Connector: Debug + Send + Sync + 'static {
    /// The addresses for which an endpoint stands, in the order in which they are tried. They race:
    /// each next one begins 100 ms after the one before it, or when one has failed, and the first
    /// where a server greets is taken. By default the endpoint stands for itself.
    fn addresses<'a>(&'a self, endpoint: &'a Endpoint) -> BoxFuture<'a, io::Result<Vec<Endpoint>>> {
        Box::pin(std::future::ready(Ok(vec![endpoint.clone()])))
    }

    /// Connects to one of the [addresses](Self::addresses). The caller drops the future when it has
    /// waited long enough.
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>>;
}

/// Tells the time, on a clock that never goes back and goes on while the machine sleeps.
// Law: Honest validity
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time now. It is asked while a lock of the client is held, so it must return at once, and
    /// call nothing of the client.
    fn now(&self) -> Instant;

    /// Waits until this clock shows `at` or later.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()>;
}

/// Starts tasks.
pub trait Spawner: Debug + Send + Sync + 'static {
    /// Runs the task beside the caller.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// Draws random bytes that nobody can guess.
pub trait Entropy: Debug + Send + Sync + 'static {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// All four seams. Time, chance, connections and tasks come only through these, but for
/// `own_thread`, for the connections to a cluster, which are redis-rs' and tokio's, for the task on
/// the caller's runtime that wakes who awaits [`Guard::lost`](crate::Guard::lost) or waits for an
/// answer in vain, and for the keys and the dates of certificates that TLS needs. So a simulation
/// can repeat a run.
// Law: Replay
#[derive(Clone, Debug)]
pub struct Seams {
    /// Opens connections.
    pub connector: Arc<dyn Connector>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Starts tasks.
    pub spawner: Arc<dyn Spawner>,
    /// Draws random bytes.
    pub entropy: Arc<dyn Entropy>,
}
