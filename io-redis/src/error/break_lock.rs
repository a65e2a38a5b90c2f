//! Why a lock could not be broken.

use std::fmt;

use tenure_core::Key;

use crate::error::ended::{Ended, RuntimeEnd};
use crate::error::kind::{Kind, kinds};
use crate::error::silent::{Refuses, SilentNode, write_nodes};
use crate::protocol::key::KeyError;

/// Why a lock could not be broken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakError {
    /// No node answered, and none refused for good. The reasons tell where a node may have broken
    /// the lock all the same. [Inspect](crate::Locks::inspect) the key, and if its holder is still
    /// there, break it again.
    Outage {
        /// The key.
        key: Key,
        /// The nodes, each with the reason as far as it is known.
        nodes: Vec<SilentNode>,
    },
    /// No node answered, and one refuses to serve this client: wrong password, missing rights,
    /// unknown command. It has changed nothing.
    Rejected {
        /// The key.
        key: Key,
        /// The first node that refuses.
        node: String,
        /// The server's text.
        words: String,
    },
    /// The client is closed.
    Closed {
        /// The key.
        key: Key,
    },
    /// The client's tasks do not run any more.
    RuntimeEnded {
        /// The key.
        key: Key,
        /// Why not.
        why: RuntimeEnd,
    },
    /// The key cannot be locked. Nothing was sent.
    Key {
        /// The key.
        key: Key,
        /// Why not.
        error: KeyError,
    },
}

kinds!(
    BreakError,
    outage: "Whether no node answered. Whether the lock was broken may not be known: inspect it \
        before the call is repeated.",
    misuse: "Whether the caller has to change something: the key, the user's rights, or a \
        client that is closed or whose runtime has ended."
);

impl BreakError {
    pub(crate) fn ended(key: Key, ended: Ended) -> Self {
        match ended {
            Ended::Closed => Self::Closed { key },
            Ended::RuntimeEnded(why) => Self::RuntimeEnded { key, why },
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Outage { .. } => Kind::Outage,
            Self::Rejected { .. }
            | Self::Key { .. }
            | Self::Closed { .. }
            | Self::RuntimeEnded { .. } => Kind::Misuse,
        }
    }
}

impl fmt::Display for BreakError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outage { key, nodes } => {
                write!(
                    f,
                    "lock {key:?} is not known to be broken: no node answered"
                )?;
                write_nodes(f, nodes)
            }
            Self::Rejected { key, node, words } => {
                let refuses = Refuses { node, words };
                write!(f, "lock {key:?} was not broken: {refuses}")
            }
            Self::Closed { key } => {
                write!(f, "lock {key:?}: the client is closed: connect a new one")
            }
            Self::RuntimeEnded { key, why } => write!(f, "lock {key:?}: {why}"),
            Self::Key { key, error } => write!(f, "lock {key:?}: {error}"),
        }
    }
}

impl std::error::Error for BreakError {}
