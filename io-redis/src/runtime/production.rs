//! The seams of production: connections, tasks and timers of tokio, and the operating system's
//! entropy.

use std::io;
use std::sync::Arc;

use crate::runtime::clock::BootClock;
use crate::runtime::traits::{BoxFuture, ByteStream, Connector, Endpoint, Entropy, Seams, Spawner};

impl Seams {
    /// The seams of production: the tokio runtime of the caller, the boot-time clock, and the
    /// operating system's entropy. None outside of a tokio runtime.
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
                    // A request is one small write that waits for its reply. Nagle's algorithm
                    // would delay it.
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
    /// If the operating system gives no random bytes. A lease whose token can be guessed protects
    /// nothing, and there is no other source.
    fn fill(&self, buffer: &mut [u8]) {
        getrandom::fill(buffer).expect("the operating system gives random bytes");
    }
}
