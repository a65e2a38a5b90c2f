//! Why a release did not free the lock.

use std::fmt;

use tenure_core::Key;

use crate::error::ended::RuntimeEnd;
use crate::error::kind::{Kind, kinds};
use crate::error::loss::Lost;
use crate::error::silent::{Refuses, SilentNode, write_nodes};

/// Why a release did not free the lock, as far as is known. The lease is over in each case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseError {
    /// The lock had been lost before, so others may have acted at the same time.
    /// [`release`](crate::Guard::release) names the one double fault in which this is not told.
    Lost(Lost),
    /// Not enough nodes answered in time, or the client ended before they did. While the client
    /// lives, the release is retried in the background, and the key ends with its TTL at the
    /// latest.
    Unknown {
        /// The key.
        key: Key,
        /// The nodes that did not answer, each with the reason as far as it is known.
        nodes: Vec<SilentNode>,
    },
    /// A server refuses to serve this client: missing rights, for example. The release is not
    /// retried, and the key ends with its TTL.
    Rejected {
        /// The key.
        key: Key,
        /// The node.
        node: String,
        /// The server's text.
        words: String,
    },
    /// The client's tasks did not run any more, so nothing was sent. The TTL ends the lease.
    RuntimeEnded {
        /// The key.
        key: Key,
        /// Why not.
        why: RuntimeEnd,
    },
}

kinds!(
    ReleaseError,
    outage: "Whether too few nodes answered to know that the lock is free. The call cannot be \
        repeated, since the guard is consumed; the client goes on releasing by itself.",
    misuse: "Whether somebody has to change something: a server refuses to serve this client, or \
        the client's runtime had ended, so that nothing could be sent.",
    with loss
);

impl ReleaseError {
    const fn kind(&self) -> Kind {
        match self {
            Self::Lost(_) => Kind::Loss,
            Self::Unknown { .. } => Kind::Outage,
            Self::Rejected { .. } | Self::RuntimeEnded { .. } => Kind::Misuse,
        }
    }
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(Lost { key, loss }) => {
                write!(f, "lock {key:?} was lost before it was released: {loss}")
            }
            Self::RuntimeEnded { key, why } => {
                write!(f, "lock {key:?} was not released: {why}")
            }
            Self::Unknown { key, nodes } => {
                write!(
                    f,
                    "whether lock {key:?} was released is not known, and it ends with its TTL at \
                     the latest: not enough nodes answered"
                )?;
                write_nodes(f, nodes)
            }
            Self::Rejected { key, node, words } => write!(
                f,
                "lock {key:?} was not released, and ends with its TTL: {}",
                Refuses { node, words }
            ),
        }
    }
}

impl std::error::Error for ReleaseError {}
