//! The seams of the adapter: how it connects, tells the time, spawns and draws random bytes.
//!
//! They exist so that the real adapter can run in a simulated world, and on runtimes that arrange
//! these things differently. **This module is exempt from semantic versioning**: it may change in
//! any release. Who only wants to lock never needs it.

use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

pub use crate::runtime::clock::BootClock;
/// The time of a [`Clock`].
#[doc(inline)]
pub use tenure_core::Instant;

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
    /// Connects. The caller bounds the time, and drops the future when it has passed.
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>>;
}

/// Tells the time on a clock that never goes back and goes on while the machine sleeps.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Instant;

    /// Ends when this clock has reached `at`, not earlier.
    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()>;
}

/// Starts tasks.
pub trait Spawner: Debug + Send + Sync + 'static {
    /// Runs the task to its end, beside the caller.
    fn spawn(&self, task: BoxFuture<'static, ()>);
}

/// Draws random bytes that nobody can guess.
pub trait Entropy: Debug + Send + Sync + 'static {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// All four seams.
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

impl Seams {
    /// Those of production: the tokio runtime of the caller, the boot-time clock, the operating
    /// system's entropy. None outside of a tokio runtime.
    #[must_use]
    pub fn tokio() -> Option<Self> {
        Some(Self {
            connector: Arc::new(TokioConnector),
            clock: Arc::new(BootClock::new()),
            spawner: Arc::new(TokioSpawner::current()?),
            entropy: Arc::new(OsEntropy),
        })
    }
}

/// Connects over tokio: TCP with `TCP_NODELAY`, and unix sockets where there are any.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioConnector;

impl Connector for TokioConnector {
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        Box::pin(async move {
            match endpoint {
                Endpoint::Tcp { host, port } => {
                    let stream = tokio::net::TcpStream::connect((host.as_str(), *port)).await?;
                    // A request is one small write that waits for its reply: Nagle's algorithm
                    // would hold it back behind the previous one.
                    stream.set_nodelay(true)?;
                    Ok(Box::new(stream) as Box<dyn ByteStream>)
                }
                #[cfg(unix)]
                Endpoint::Unix(path) => {
                    let stream = tokio::net::UnixStream::connect(path).await?;
                    Ok(Box::new(stream) as Box<dyn ByteStream>)
                }
                #[cfg(not(unix))]
                Endpoint::Unix(_) => Err(io::Error::new(
                    io::ErrorKind::Unsupported,
                    "there are no unix sockets on this platform; use a redis:// address",
                )),
            }
        })
    }
}

/// Spawns on the tokio runtime that was current when it was made.
#[derive(Clone, Debug)]
pub struct TokioSpawner(tokio::runtime::Handle);

impl TokioSpawner {
    /// For the runtime of the caller. None outside of a tokio runtime.
    #[must_use]
    pub fn current() -> Option<Self> {
        tokio::runtime::Handle::try_current().ok().map(Self)
    }
}

impl Spawner for TokioSpawner {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.0.spawn(task);
    }
}

/// The entropy of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    /// # Panics
    /// If the operating system has no entropy to give. A lease whose token can be guessed is not a
    /// lease, and there is no other source to fall back on.
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }
}
