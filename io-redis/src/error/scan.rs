//! Why a scan did not go on.

use std::fmt;

use tenure_core::Key;

use crate::error::ended::{Ended, RuntimeEnd};
use crate::error::kind::{Kind, kinds};
use crate::error::silent::{Refuses, SilentNode};
use crate::link::handle::NoAnswer;
use crate::protocol::scan::PatternError;

/// Why a [`Scan`](crate::Scan) did not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScanError {
    /// The node did not answer. The next call asks it the same again.
    Outage {
        /// The node, and the reason as far as it is known.
        node: SilentNode,
    },
    /// The node refuses to serve this client: the right to `SCAN` is missing, for example.
    Rejected {
        /// The node.
        node: String,
        /// The key that was found and may not be inspected; the next call goes on behind it. None
        /// if the scan itself is refused.
        key: Option<Key>,
        /// The server's text.
        words: String,
    },
    /// The node is a cluster. Its keys are spread over servers, and nobody says which of them a
    /// scan would see.
    Cluster {
        /// The node.
        node: String,
    },
    /// The pattern finds no locks. Nothing was sent.
    Pattern {
        /// Why not.
        error: PatternError,
    },
    /// The client is closed.
    Closed,
    /// The client's tasks do not run any more.
    RuntimeEnded {
        /// Why not.
        why: RuntimeEnd,
    },
}

kinds!(
    ScanError,
    outage: "Whether the node did not answer. The next call asks it the same again.",
    misuse: "Whether the caller has to change something: the pattern, the user's rights, the \
        connection, or a client that is closed or whose runtime has ended."
);

impl ScanError {
    pub(crate) fn ended(ended: Ended) -> Self {
        match ended {
            Ended::Closed => Self::Closed,
            Ended::RuntimeEnded(why) => Self::RuntimeEnded { why },
        }
    }

    /// The node did not answer, as a whole or about a key.
    pub(crate) fn unanswered(node: String, key: Option<Key>, why: &NoAnswer) -> Self {
        let words = why.to_string();
        if why.refused {
            return Self::Rejected { node, key, words };
        }
        let node = SilentNode::new(node, words);
        Self::Outage { node }
    }

    /// The client's own tasks do not run.
    pub(crate) fn stalled() -> Self {
        let node = SilentNode::stalled_itself();
        Self::Outage { node }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Outage { .. } => Kind::Outage,
            Self::Rejected { .. }
            | Self::Cluster { .. }
            | Self::Pattern { .. }
            | Self::Closed
            | Self::RuntimeEnded { .. } => Kind::Misuse,
        }
    }
}

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outage { node } => write!(f, "the scan does not go on: {node}"),
            Self::Rejected { node, key, words } => {
                match key {
                    Some(key) => write!(f, "lock {key:?} was found and may not be inspected: ")?,
                    None => f.write_str("the scan was refused: ")?,
                }
                Refuses { node, words }.fmt(f)
            }
            Self::Cluster { node } => write!(
                f,
                "{node} is a cluster, and a scan would see only some of its keys: scan its \
                 servers, each with a client of its own"
            ),
            Self::Pattern { error } => error.fmt(f),
            Self::Closed => f.write_str("the client is closed: connect a new one"),
            Self::RuntimeEnded { why } => why.fmt(f),
        }
    }
}

impl std::error::Error for ScanError {}
