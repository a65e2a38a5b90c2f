//! Why a renewal by hand was not confirmed.

use std::fmt;
use std::time::Duration;

use tenure_core::Key;

use crate::error::ended::RuntimeEnd;
use crate::error::kind::{Kind, kinds};
use crate::error::loss::Lost;
use crate::error::silent::{Refuses, SilentNode, write_nodes};

/// Why a renewal by hand was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RenewError {
    /// The lease is lost.
    Lost(Lost),
    /// Not enough nodes confirmed: they did not answer in time, or the connection was lost. The
    /// lease is still held until its validity ends, and its renewal is retried unless that is off.
    Outage {
        /// The key.
        key: Key,
        /// The nodes that did not answer, each with the reason as far as it is known.
        nodes: Vec<SilentNode>,
    },
    /// A server refuses to serve this client: missing rights, for example. The lease is still held
    /// until its validity ends, and its renewal is retried unless that is off.
    Rejected {
        /// The key.
        key: Key,
        /// The node.
        node: String,
        /// The server's text.
        words: String,
    },
    /// The client's tasks do not run any more, so nothing renews. The lease is held until its
    /// validity ends.
    RuntimeEnded {
        /// The key.
        key: Key,
        /// Why not.
        why: RuntimeEnd,
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

kinds!(
    RenewError,
    outage: "Whether not enough nodes confirmed the renewal. The lock is still held until its \
        validity ends, and the same call may succeed later.",
    misuse: "Whether somebody has to change something: a server refuses to serve this client, more \
        was demanded than a renewal gives, or the client's runtime has ended.",
    with loss
);

impl RenewError {
    const fn kind(&self) -> Kind {
        match self {
            Self::Lost(_) => Kind::Loss,
            Self::Outage { .. } => Kind::Outage,
            Self::Rejected { .. } | Self::TooMuch { .. } | Self::RuntimeEnded { .. } => {
                Kind::Misuse
            }
        }
    }
}

impl fmt::Display for RenewError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(lost) => lost.fmt(f),
            Self::Outage { key, nodes } => {
                write!(
                    f,
                    "renewal of lock {key:?} was not confirmed, and it is still held until its \
                     validity ends: not enough nodes answered"
                )?;
                write_nodes(f, nodes)
            }
            Self::Rejected { key, node, words } => write!(
                f,
                "renewal of lock {key:?} was refused, and it is still held until its validity \
                 ends: {}",
                Refuses { node, words }
            ),
            Self::RuntimeEnded { key, why } => {
                write!(f, "lock {key:?} cannot be renewed: {why}")
            }
            Self::TooMuch { key, wanted, most } => write!(
                f,
                "lock {key:?}: a renewal gives {most:?} at most, not {wanted:?}: take it with a \
                 longer TTL"
            ),
        }
    }
}

impl std::error::Error for RenewError {}
