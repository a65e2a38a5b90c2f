//! Why a lock was not taken.

use std::fmt;
use std::time::Duration;

use tenure_core::{AtCapacity, Key};

use crate::error::ended::{Ended, RuntimeEnd};
use crate::error::kind::{Kind, kinds};
use crate::error::silent::{Refuses, SilentNode, write_nodes};
use crate::protocol::key::KeyError;

/// Why a lock was not taken: contention, something foreign, an outage, or misuse.
///
/// ```no_run
/// # use tenure_redis::{LockError, Locks};
/// # async fn report(locks: Locks) -> Result<(), LockError> {
/// match locks.try_lock("reports/daily").await {
///     Ok(guard) => { /* do it, then */ drop(guard) }
///     Err(error) if error.is_contention() => { /* someone else does it */ }
///     Err(error) if error.is_foreign() => eprintln!("does anybody? {error}"),
///     Err(error) if error.is_outage() => eprintln!("not today: {error}"),
///     Err(error) => return Err(error), // misuse: it says what to change
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LockError {
    /// Someone else holds the key.
    Contended {
        /// The key, as it stands on the nodes.
        key: Key,
        /// The time until it is free, if the holder does not renew.
        left: Duration,
        /// How many waited before this caller in the queue of the key, if it had a place there.
        ahead: Option<u32>,
        /// What the holder calls itself ([`LockOptions::label`](crate::LockOptions::label)), if it
        /// does.
        holder: Option<String>,
    },
    /// Someone else holds the key, and as many wait for it as its queue has places: 100,000. This
    /// is contention, told at once: nobody waits outside of the queue, where nothing would bound
    /// the wait.
    QueueFull {
        /// The key.
        key: Key,
        /// The node whose queue it is.
        node: String,
    },
    /// The key has no expiry. Some lock libraries set none by default, so somebody may hold it; but
    /// if nobody does, it stays until it is deleted. It was not touched.
    Foreign {
        /// The key.
        key: Key,
        /// The first node that has it.
        node: String,
    },
    /// Too many nodes are in quarantine: they may have forgotten a lease. They do not count until
    /// every lease that they may have forgotten has ended.
    Quarantined {
        /// The key.
        key: Key,
        /// The last of the needed nodes to leave quarantine.
        node: String,
        /// The time until it counts.
        left: Duration,
    },
    /// Not enough nodes answer.
    Outage {
        /// The key.
        key: Key,
        /// The nodes that did not answer, each with the reason as far as it is known.
        nodes: Vec<SilentNode>,
    },
    /// The node granted the lock, and too few of its replicas acknowledged that in time
    /// ([`Builder::acknowledged_by`](crate::Builder::acknowledged_by)). The lock was given back.
    /// This is an outage: of replicas.
    Unacknowledged {
        /// The key.
        key: Key,
        /// The node.
        node: String,
        /// How many replicas had acknowledged the last grant.
        replicas: u32,
        /// How many must.
        demanded: u32,
    },
    /// A server refuses to serve this client: wrong password, missing rights, unknown command.
    Rejected {
        /// The key.
        key: Key,
        /// The node.
        node: String,
        /// The server's text.
        words: String,
    },
    /// The key, its queue, or what its fences come from, holds what no lock keeps there. It was not
    /// touched, and nobody can take the lock until it is removed.
    WrongType {
        /// The key that was asked for.
        key: Key,
        /// The first node where it is so.
        node: String,
        /// The key that holds it: the same, its fence counter, its queue, or the fence stream of
        /// the node.
        name: Key,
        /// What it holds: `a hash`, for example.
        holds: String,
    },
    /// A node contradicts the configuration: its other clients use another max TTL, number of nodes
    /// or name, or it is the same server as another node.
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
    /// The client has as many leases as it may have
    /// ([`Builder::max_leases`](crate::Builder::max_leases)). Nothing was sent.
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
    /// The client's tasks do not run any more. What may be held ends with its TTL.
    RuntimeEnded {
        /// The key.
        key: Key,
        /// Why not.
        why: RuntimeEnd,
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
            | Self::QueueFull { key, .. }
            | Self::Foreign { key, .. }
            | Self::WrongType { key, .. }
            | Self::Quarantined { key, .. }
            | Self::Outage { key, .. }
            | Self::Unacknowledged { key, .. }
            | Self::Rejected { key, .. }
            | Self::Misconfigured { key, .. }
            | Self::Key { key, .. }
            | Self::AtCapacity { key, .. }
            | Self::Closed { key }
            | Self::RuntimeEnded { key, .. }
            | Self::NoDefault { key } => key,
        }
    }

    pub(crate) fn key_refused((key, error): (Key, KeyError)) -> Self {
        Self::Key { key, error }
    }

    pub(crate) fn ended(key: Key, ended: Ended) -> Self {
        match ended {
            Ended::Closed => Self::Closed { key },
            Ended::RuntimeEnded(why) => Self::RuntimeEnded { key, why },
        }
    }
}

kinds!(
    LockError,
    outage: "Whether not enough nodes answer, or not enough of those that do are counted, or too \
        few replicas acknowledge. The same call may succeed later.",
    misuse: "Whether the caller has to change something: the key, the configuration, the rights of \
        the user, the runtime, the order of its calls, or how many leases it has at a time."
);

impl LockError {
    /// Whether the key has no expiry: [`Foreign`](Self::Foreign). This is neither contention, nor
    /// outage, nor misuse. Who takes it for contention may wait for a lock that nobody holds.
    #[must_use]
    pub const fn is_foreign(&self) -> bool {
        matches!(self.kind(), Kind::Foreign)
    }

    /// What replicas have said of the grant, and what to do.
    fn write_unacknowledged(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Unacknowledged {
            node,
            replicas,
            demanded,
            ..
        } = self
        else {
            return Ok(());
        };
        write!(
            f,
            "{node} granted it, but {replicas} of {demanded} replicas had acknowledged that in \
             time, so it was given back: see whether the replicas are connected and keep up, or \
             demand fewer with `Builder::acknowledged_by`"
        )
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Contended { .. } | Self::QueueFull { .. } => Kind::Contention,
            Self::Foreign { .. } => Kind::Foreign,
            Self::Outage { .. } | Self::Quarantined { .. } | Self::Unacknowledged { .. } => {
                Kind::Outage
            }
            Self::Rejected { .. }
            | Self::WrongType { .. }
            | Self::Misconfigured { .. }
            | Self::Key { .. }
            | Self::AtCapacity { .. }
            | Self::Closed { .. }
            | Self::RuntimeEnded { .. }
            | Self::NoDefault { .. } => Kind::Misuse,
        }
    }
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lock {:?}: ", self.key())?;
        match self {
            Self::Contended {
                left,
                ahead,
                holder,
                ..
            } => {
                match holder {
                    Some(holder) => write!(f, "{holder:?} holds it")?,
                    None => f.write_str("someone else holds it")?,
                }
                write!(f, ", for {left:?} more unless they renew")?;
                match ahead {
                    Some(1) => f.write_str("; one waits before you"),
                    Some(ahead) if *ahead > 1 => write!(f, "; {ahead} wait before you"),
                    _ => Ok(()),
                }
            }
            Self::QueueFull { node, .. } => write!(
                f,
                "someone else holds it, and its queue at {node} has no place left: ask again \
                 later, or spread what is locked over more keys"
            ),
            Self::Foreign { node, .. } => write!(
                f,
                "{node} holds this key without an expiry, so it ends only when somebody deletes \
                 it. It was not touched: it may be the lock of another library; if nobody holds \
                 it, delete it"
            ),
            Self::WrongType {
                key,
                node,
                name,
                holds,
            } => {
                let under = match name == key {
                    true => "this key".to_owned(),
                    false => format!("{name:?}, which belongs to this lock"),
                };
                write!(
                    f,
                    "{node} holds {holds} under {under}. It was not touched: lock another key, or \
                     remove what is there"
                )
            }
            Self::Quarantined { node, left, .. } => write!(
                f,
                "{node} was started or emptied lately and may have forgotten a lease; it counts in \
                 {left:?}. For development, turn this off with \
                 `Builder::quarantine(Quarantine::Off)`"
            ),
            Self::Outage { nodes, .. } => {
                f.write_str("not enough nodes answer")?;
                write_nodes(f, nodes)
            }
            Self::Unacknowledged { .. } => self.write_unacknowledged(f),
            Self::Rejected { node, words, .. } => Refuses { node, words }.fmt(f),
            Self::Misconfigured { node, words, .. } => write!(f, "{node}: {words}"),
            Self::Key { error, .. } => error.fmt(f),
            Self::AtCapacity { error, .. } => error.fmt(f),
            Self::Closed { .. } => f.write_str("the client is closed: connect a new one"),
            Self::RuntimeEnded { why, .. } => why.fmt(f),
            Self::NoDefault { .. } => f.write_str(
                "there is no default client: call `tenure_redis::set_default(locks)` once, at the \
                 start of the program",
            ),
        }
    }
}

impl std::error::Error for LockError {}
