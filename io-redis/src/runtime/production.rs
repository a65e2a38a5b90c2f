//! The seams of production: connections, tasks and timers of tokio, and the operating system's
//! entropy.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

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

/// After so long without traffic the operating system asks whether the other side is there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(15);
/// After so long it gives up a connection whose other side does not confirm what was sent.
#[cfg(any(target_os = "android", target_os = "linux"))]
pub(crate) const UNCONFIRMED: Duration = Duration::from_secs(30);

/// Connects over tokio: TCP with `TCP_NODELAY` and keepalive, and unix sockets where there are any.
///
/// If a name stands for several addresses, the resolver says in which order they are tried, but the
/// second is one of the other family (IPv4 or IPv6) if there is one, since it is mostly one family
/// that does not work.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokioConnector;

impl Connector for TokioConnector {
    fn addresses<'a>(&'a self, endpoint: &'a Endpoint) -> BoxFuture<'a, io::Result<Vec<Endpoint>>> {
        Box::pin(async move {
            let Endpoint::Tcp { host, port } = endpoint else {
                return Ok(vec![endpoint.clone()]);
            };
            let found = tokio::net::lookup_host((host.as_str(), *port)).await?;
            Ok(in_turns(found).into_iter().map(literal).collect())
        })
    }

    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
    ) -> BoxFuture<'a, io::Result<Box<dyn ByteStream>>> {
        Box::pin(async move {
            match endpoint {
                Endpoint::Tcp { host, port } => {
                    let stream = TcpStream::connect((host.as_str(), *port)).await?;
                    // A request is one small write that waits for its reply. Nagle's algorithm
                    // would delay it.
                    stream.set_nodelay(true)?;
                    keep_alive(&stream);
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

/// These addresses, of both families in turn. The family of the first begins.
fn in_turns(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let addresses: Vec<SocketAddr> = addresses.into_iter().collect();
    let begins_with_6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let of_first = |address: &SocketAddr| address.is_ipv6() == begins_with_6;
    let (mut turns, others): (Vec<_>, Vec<_>) = addresses.into_iter().partition(of_first);
    for (at, other) in others.into_iter().enumerate() {
        turns.insert((2 * at + 1).min(turns.len()), other);
    }
    turns
}

/// An address as one that needs no name.
fn literal(address: SocketAddr) -> Endpoint {
    let host = match address {
        // Of an address that is valid on one link only, the link is a part.
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
        other => other.ip().to_string(),
    };
    let port = address.port();
    Endpoint::Tcp { host, port }
}

/// Lets the operating system find out that nobody is at the other end any more. The link asks by
/// itself, too; where the system refuses this, that has to do.
fn keep_alive(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let _ = socket.set_tcp_keepalive(&probes());
    #[cfg(any(target_os = "android", target_os = "linux"))]
    let _ = socket.set_tcp_user_timeout(Some(UNCONFIRMED));
}

/// When and how often the operating system asks whether the other side is there.
pub(crate) const fn probes() -> TcpKeepalive {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER);
    #[cfg(any(
        target_os = "android",
        target_os = "freebsd",
        target_os = "ios",
        target_os = "linux",
        target_os = "macos",
        target_os = "windows"
    ))]
    let keepalive = keepalive
        .with_interval(Duration::from_secs(KEEPALIVE_AFTER.as_secs() / 3))
        .with_retries(3);
    keepalive
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families_are_tried_in_turns() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let [six, seven] = ["[::6]:1", "[::7]:1"].map(address);
        let [four, five, three] = ["4.4.4.4:1", "5.5.5.5:1", "3.3.3.3:1"].map(address);
        let turns = in_turns([six, seven, four, five, three]);
        assert_eq!(turns, [six, four, seven, five, three]);
        let turns = in_turns([four, five, three, six]);
        assert_eq!(turns, [four, six, five, three]);
        assert_eq!(in_turns([four, three]), [four, three]);
        assert_eq!(in_turns([]), []);
    }

    #[tokio::test]
    async fn an_address_that_was_found_is_found_again_as_itself() {
        for text in [
            "[::1]:7",
            "127.0.0.1:7",
            #[cfg(target_os = "linux")]
            "[fe80::1%1]:7",
        ] {
            let address = text.parse::<SocketAddr>().expect("an address");
            let Endpoint::Tcp { host, port } = literal(address) else {
                panic!("it is one of TCP");
            };
            let mut found = tokio::net::lookup_host((host, port)).await.expect("found");
            assert_eq!(found.next(), Some(address));
        }
    }

    #[tokio::test]
    async fn a_socket_is_asked_by_the_system_whether_anybody_is_there() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = listener.await.expect("loopback");
        let addr = listener.local_addr().expect("bound");
        let stream = TcpStream::connect(addr).await.expect("it listens");
        keep_alive(&stream);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().expect("it can be asked"));
        #[cfg(target_os = "linux")]
        {
            let after = socket.tcp_keepalive_time().expect("it can be asked");
            assert_eq!(after, KEEPALIVE_AFTER);
            let given_up = socket.tcp_user_timeout().expect("it can be asked");
            assert_eq!(given_up, Some(UNCONFIRMED));
        }
    }
}
