//! The errors: one type for each operation. Contention, outage, loss and misuse are different answers.

use std::fmt;
use std::time::Duration;

use tenure_core::{AtCapacity, ConfigError, Key, LabelError};

use crate::link::address::AddressError;
use crate::protocol::key::KeyError;

const RUNTIME_ENDED: &str = "the tokio runtime that the client was built on has ended: build it where it is \
    used, or with `Builder::own_thread`";

/// Why nothing can be asked of a client any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was closed.
    Closed,
    /// The runtime that ran its tasks has ended.
    RuntimeEnded,
}

/// Writes the nodes that did not answer, each with what is known of it.
fn write_nodes(f: &mut fmt::Formatter<'_>, nodes: &[(String, String)]) -> fmt::Result {
    for (index, (node, why)) in nodes.iter().enumerate() {
        write!(f, "{} {node}: {why}", if index == 0 { ":" } else { ";" })?;
    }
    Ok(())
}

/// Why a lock was not taken.
///
/// ```no_run
/// # async fn example(locks: tenure_redis::Locks) {
/// match locks.try_lock("reports/daily").await {
///     Ok(guard) => { /* do it, then */ drop(guard) }
///     Err(error) if error.is_contention() => { /* someone else does it */ }
///     Err(error) if error.is_outage() => eprintln!("not today: {error}"),
///     Err(error) => panic!("{error}"),
/// }
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockError {
    /// Someone else holds the key.
    Contended {
        /// The key, as it stands on the nodes.
        key: Key,
        /// After how long it will be free if the holder does not renew; none if that cannot be known.
        left: Option<Duration>,
        /// Whether what holds it is not of a lock's making: a key of another type, or without an
        /// expiry. It was not touched.
        foreign: bool,
    },
    /// Too many nodes are in quarantine: they may have forgotten a lease, so they are not counted
    /// until every lease that they may have forgotten has ended.
    Quarantined {
        /// The key.
        key: Key,
        /// The node that counts last of those that are needed.
        node: String,
        /// After how long it counts.
        left: Duration,
    },
    /// Not enough nodes answer.
    Outage {
        /// The key.
        key: Key,
        /// Those that did not, each with what is known of it.
        nodes: Vec<(String, String)>,
    },
    /// A server will not serve us: wrong password, missing rights, unknown command.
    Rejected {
        /// The key.
        key: Key,
        /// The node.
        node: String,
        /// In the server's words.
        words: String,
    },
    /// A node contradicts the configuration: its other clients use another max TTL, number or name of
    /// nodes, or it is the same server as another node.
    Misconfigured {
        /// The key.
        key: Key,
        /// The node.
        node: String,
        /// What contradicts.
        words: String,
    },
    /// The key cannot be locked. Nothing was sent.
    Key {
        /// The key.
        key: Key,
        /// Why not.
        error: KeyError,
    },
    /// The client has as many leases as it may. Nothing was sent.
    AtCapacity {
        /// The key.
        key: Key,
        /// The bound.
        error: AtCapacity,
    },
    /// The client is closed. Nothing is held.
    Closed {
        /// The key.
        key: Key,
    },
    /// The runtime that ran the client's tasks has ended. What may be held ends with its TTL.
    RuntimeEnded {
        /// The key.
        key: Key,
    },
    /// There is no default client. Nothing was sent.
    NoDefault {
        /// The key.
        key: Key,
    },
}

impl LockError {
    /// The key that was asked for, as it stands on the nodes.
    #[must_use]
    pub const fn key(&self) -> &Key {
        match self {
            Self::Contended { key, .. }
            | Self::Quarantined { key, .. }
            | Self::Outage { key, .. }
            | Self::Rejected { key, .. }
            | Self::Misconfigured { key, .. }
            | Self::Key { key, .. }
            | Self::AtCapacity { key, .. }
            | Self::Closed { key }
            | Self::RuntimeEnded { key }
            | Self::NoDefault { key } => key,
        }
    }

    /// Whether someone else holds the key.
    #[must_use]
    pub const fn is_contention(&self) -> bool {
        matches!(self, Self::Contended { .. })
    }

    /// Whether not enough nodes answer, or not enough of those that do count: it may be otherwise later.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Outage { .. } | Self::Quarantined { .. })
    }

    /// Whether the caller has to change something: the key, the configuration, the rights, the order
    /// of its calls. [`AtCapacity`](Self::AtCapacity) is neither this nor the other two.
    #[must_use]
    pub const fn is_misuse(&self) -> bool {
        matches!(
            self,
            Self::Rejected { .. }
                | Self::Misconfigured { .. }
                | Self::Key { .. }
                | Self::Closed { .. }
                | Self::RuntimeEnded { .. }
                | Self::NoDefault { .. }
        )
    }

    pub(crate) fn key_refused((key, error): (Key, KeyError)) -> Self {
        Self::Key { key, error }
    }

    pub(crate) fn ended(key: Key, ended: Ended) -> Self {
        match ended {
            Ended::Closed => Self::Closed { key },
            Ended::RuntimeEnded => Self::RuntimeEnded { key },
        }
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lock {:?}: ", self.key())?;
        match self {
            Self::Contended { foreign: true, .. } => f.write_str(
                "the key holds something that is not a lock (another type, or no expiry); it was not touched: \
                 use another key, or remove it",
            ),
            Self::Contended { left: Some(left), .. } => {
                write!(f, "someone else holds it, for {left:?} more unless they renew")
            }
            Self::Contended { left: None, .. } => f.write_str("someone else holds it"),
            Self::Quarantined { node, left, .. } => write!(
                f,
                "{node} was started or emptied lately and may have forgotten a lease; it counts in {left:?}. \
                 For development, turn this off with `Builder::quarantine(Quarantine::Off)`"
            ),
            Self::Outage { nodes, .. } => {
                f.write_str("not enough nodes answer")?;
                write_nodes(f, nodes)
            }
            Self::Rejected { node, words, .. } => {
                write!(f, "{node} refuses to serve: {words}. Check the password and the rights of the user")
            }
            Self::Misconfigured { node, words, .. } => write!(f, "{node}: {words}"),
            Self::Key { error, .. } => error.fmt(f),
            Self::AtCapacity { error, .. } => error.fmt(f),
            Self::Closed { .. } => f.write_str("the client is closed: connect a new one"),
            Self::RuntimeEnded { .. } => f.write_str(
                "the tokio runtime that the client was built on has ended: build it where it is used, or with \
                 `Builder::own_thread`",
            ),
            Self::NoDefault { .. } => f.write_str(
                "there is no default client: call `tenure_redis::set_default(locks)` once, at the start of the \
                 program",
            ),
        }
    }
}

impl std::error::Error for LockError {}

/// How a held lease ended other than by its owner's release.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// Its validity passed before a renewal was confirmed.
    Expired,
    /// Another token is in its place: someone else holds the key, or overwrote it.
    Taken,
    /// The key vanished early: it was deleted, flushed, evicted, or forgotten by a restart.
    Gone,
    /// The server would not serve us any more, in its words.
    Rejected(String),
    /// The cap on its total hold was reached.
    Capped,
    /// The client was closed, which released it.
    Closed,
}

impl From<tenure_core::Loss> for Loss {
    fn from(loss: tenure_core::Loss) -> Self {
        match loss {
            tenure_core::Loss::Expired => Self::Expired,
            tenure_core::Loss::Taken => Self::Taken,
            tenure_core::Loss::Gone => Self::Gone,
            tenure_core::Loss::Rejected(words) => Self::Rejected(words.as_str().to_owned()),
            tenure_core::Loss::Capped => Self::Capped,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("its time ended before a renewal was confirmed"),
            Self::Taken => f.write_str("another owner's token is in its place"),
            Self::Gone => f.write_str("the key was deleted or forgotten"),
            Self::Rejected(words) => write!(f, "the server refused to renew it: {words}"),
            Self::Capped => f.write_str("the cap on its total hold was reached"),
            Self::Closed => f.write_str("the client was closed"),
        }
    }
}

/// A lease that was held is lost: whoever acts now acts without it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// The key, as it stands on the nodes.
    pub key: Key,
    /// How it was lost.
    pub loss: Loss,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lock {:?} is lost: {}", self.key, self.loss)
    }
}

impl std::error::Error for Lost {}

/// Why a renewal by hand was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RenewError {
    /// The lease is lost.
    Lost(Lost),
    /// Not enough nodes confirmed: they did not answer in time, or the connection was lost, which is told at
    /// once. The lease is still held until its validity ends, and its renewal retried unless that is off.
    Outage {
        /// The key.
        key: Key,
    },
    /// The runtime that ran the client's tasks has ended: nothing is renewed any more. The lease is held
    /// until its validity ends.
    RuntimeEnded {
        /// The key.
        key: Key,
    },
    /// More was demanded than a renewal can give.
    TooMuch {
        /// The key.
        key: Key,
        /// What was demanded.
        wanted: Duration,
        /// What a renewal gives at most.
        most: Duration,
    },
}

impl RenewError {
    /// Whether the lease is lost.
    #[must_use]
    pub const fn is_loss(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// Never: who renews holds the lock.
    #[must_use]
    pub const fn is_contention(&self) -> bool {
        false
    }

    /// Whether not enough nodes answered.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Outage { .. })
    }

    /// Whether the caller has to change something.
    #[must_use]
    pub const fn is_misuse(&self) -> bool {
        matches!(self, Self::TooMuch { .. } | Self::RuntimeEnded { .. })
    }
}

impl fmt::Display for RenewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(lost) => lost.fmt(f),
            Self::Outage { key } => write!(
                f,
                "renewal of lock {key:?} was not confirmed; it is still held until its validity ends"
            ),
            Self::RuntimeEnded { key } => {
                write!(f, "lock {key:?} cannot be renewed: {RUNTIME_ENDED}")
            }
            Self::TooMuch { key, wanted, most } => write!(
                f,
                "lock {key:?}: a renewal gives {most:?} at most, not {wanted:?}: take it with a longer TTL"
            ),
        }
    }
}

impl std::error::Error for RenewError {}

/// Why a release did not free the lock, as far as is known. In either case the lease is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseError {
    /// It had been lost before, so what was done under it may have had company.
    Lost(Lost),
    /// Not enough nodes answered in time. The release is retried in the background, and the TTL ends
    /// the lease at last.
    Unknown {
        /// The key.
        key: Key,
    },
    /// The runtime that ran the client's tasks has ended, so nothing was sent. The TTL ends the lease.
    RuntimeEnded {
        /// The key.
        key: Key,
    },
}

impl ReleaseError {
    /// Whether the lease had been lost before.
    #[must_use]
    pub const fn is_loss(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// Never: who releases held the lock.
    #[must_use]
    pub const fn is_contention(&self) -> bool {
        false
    }

    /// Whether not enough nodes answered.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// Whether the caller has to change something: here, where the client's tasks run.
    #[must_use]
    pub const fn is_misuse(&self) -> bool {
        matches!(self, Self::RuntimeEnded { .. })
    }
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(lost) => write!(f, "{lost}, before it was released"),
            Self::RuntimeEnded { key } => {
                write!(f, "lock {key:?} was not released: {RUNTIME_ENDED}")
            }
            Self::Unknown { key } => write!(
                f,
                "whether lock {key:?} was released is not known: not enough nodes answered in time. It ends \
                 with its TTL at the latest"
            ),
        }
    }
}

impl std::error::Error for ReleaseError {}

/// Why a client could not be built or connected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// No node was named.
    NoNodes,
    /// The address of a node is not one.
    Address(AddressError),
    /// The configuration cannot work.
    Config(ConfigError),
    /// The owner label cannot be written in front of a token.
    Label(LabelError),
    /// Over several connections of the caller's own, quarantine was not decided, or is not possible.
    QuarantineUndecided,
    /// There is no tokio runtime here, and the client was not given a thread of its own.
    NoRuntime,
    /// The client's own thread could not be started.
    Thread(String),
    /// Not enough nodes answer.
    Outage {
        /// Those that did not, each with what is known of it.
        nodes: Vec<(String, String)>,
    },
    /// A server will not serve us: wrong password, missing rights, unknown command.
    Rejected {
        /// The node.
        node: String,
        /// In the server's words.
        words: String,
    },
    /// Two nodes are one server: its two votes would not be a quorum.
    SameServer {
        /// One of them.
        node: String,
        /// The other.
        twin: String,
    },
    /// A name was given to the set of nodes, but quarantine is off: without the marker that it needs,
    /// the nodes cannot compare the name.
    NodeSetUnchecked,
    /// The runtime that ran the client's tasks has ended.
    RuntimeEnded,
}

impl ConnectError {
    /// Never: connecting takes no lock.
    #[must_use]
    pub const fn is_contention(&self) -> bool {
        false
    }

    /// Whether not enough nodes answer.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Outage { .. })
    }

    /// Whether the caller has to change something.
    #[must_use]
    pub const fn is_misuse(&self) -> bool {
        !self.is_outage()
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNodes => f.write_str("no node was named: give `Builder::node` a URL"),
            Self::Address(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::Label(error) => error.fmt(f),
            Self::QuarantineUndecided => f.write_str(
                "over several connections of your own, a node that restarts without its data cannot be noticed, \
                 and a lease may be granted twice: give URLs instead, or accept it with \
                 `Builder::quarantine(Quarantine::Off)`",
            ),
            Self::NoRuntime => f.write_str(
                "there is no tokio runtime here: build the client inside one, or with `Builder::own_thread`",
            ),
            Self::Thread(why) => write!(f, "the client's own thread could not be started: {why}"),
            Self::Outage { nodes } => {
                f.write_str("not enough nodes answer")?;
                write_nodes(f, nodes)
            }
            Self::Rejected { node, words } => {
                write!(f, "{node} refuses to serve: {words}. Check the password and the rights of the user")
            }
            Self::SameServer { node, twin } => {
                write!(f, "{node} and {twin} are one server: name each server once")
            }
            Self::NodeSetUnchecked => f.write_str(
                "a node set's name is compared by the nodes' markers, which are kept for quarantine: turn it on with \
                 `Builder::quarantine(Quarantine::On)`, or give no name",
            ),
            Self::RuntimeEnded => {
                f.write_str("the tokio runtime that the client was built on has ended")
            }
        }
    }
}

impl std::error::Error for ConnectError {}

impl From<ConfigError> for ConnectError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<LabelError> for ConnectError {
    fn from(error: LabelError) -> Self {
        Self::Label(error)
    }
}

impl From<AddressError> for ConnectError {
    fn from(error: AddressError) -> Self {
        Self::Address(error)
    }
}

/// Why a key could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InspectError {
    /// No node answered.
    Outage {
        /// The key.
        key: Key,
        /// The nodes, each with what is known of it.
        nodes: Vec<(String, String)>,
    },
    /// The client is closed, or the runtime that ran its tasks has ended.
    Ended {
        /// The key.
        key: Key,
    },
    /// The key cannot be locked. Nothing was sent.
    Key {
        /// The key.
        key: Key,
        /// Why not.
        error: KeyError,
    },
}

impl InspectError {
    /// Never: looking takes no lock.
    #[must_use]
    pub const fn is_contention(&self) -> bool {
        false
    }

    /// Whether no node answered.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Outage { .. })
    }

    /// Whether the caller has to change something.
    #[must_use]
    pub const fn is_misuse(&self) -> bool {
        matches!(self, Self::Key { .. } | Self::Ended { .. })
    }
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outage { key, nodes } => {
                write!(f, "lock {key:?}: no node answered")?;
                write_nodes(f, nodes)
            }
            Self::Ended { key } => write!(
                f,
                "lock {key:?}: the client is closed, or the runtime that it was built on has ended"
            ),
            Self::Key { key, error } => write!(f, "lock {key:?}: {error}"),
        }
    }
}

impl std::error::Error for InspectError {}
