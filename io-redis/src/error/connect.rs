//! Why a client could not be built or connected.

use std::fmt;

use tenure_core::{ConfigError, LabelError};

use crate::error::ended::{Ended, RuntimeEnd};
use crate::error::kind::{Kind, kinds};
use crate::error::silent::{Refuses, SilentNode, write_nodes};
use crate::link::address::AddressError;
use crate::protocol::key::MAX_PREFIX_LEN;
use crate::protocol::marker::MAX_NODE_SET_LEN;
use crate::protocol::stream::StreamNameError;

/// What is said where a cluster's replicas are to acknowledge grants.
pub(crate) const NO_REPLICAS_OF_CLUSTERS: &str = "it is a cluster, whose replicas cannot be asked \
    to acknowledge a grant: leave out `Builder::acknowledged_by`, or use several nodes";

/// Why a client could not be built or connected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// No node was named.
    NoNodes,
    /// The address of a node cannot be used.
    Address {
        /// Which of the nodes, counted from one.
        position: usize,
        /// Its address, without what may be a password.
        address: String,
        /// Why not.
        error: AddressError,
    },
    /// The configuration cannot work.
    Config(ConfigError),
    /// The owner label is empty, too long, or has characters that a token cannot carry.
    Label(LabelError),
    /// The prefix of the keys has this many bytes, more than 1,024.
    PrefixTooLong(usize),
    /// The name of the fence stream cannot be used.
    FenceStream(StreamNameError),
    /// The name of the set of nodes has this many bytes, more than 256.
    NodeSetTooLong(usize),
    /// Over several nodes of which one is a cluster or a connection of the caller's own, quarantine
    /// was not decided or is not possible.
    QuarantineUndecided,
    /// Replicas are to acknowledge grants ([`Builder::acknowledged_by`](crate::Builder)), over a
    /// connection of the caller's own. `WAIT` would hold up all else that is written to it.
    AcknowledgedOverConnection,
    /// The same, over a cluster. Each of its servers has replicas of its own.
    AcknowledgedOverCluster,
    /// There is no tokio runtime here, and the client was not given a thread of its own.
    NoRuntime,
    /// The client's own thread could not be started.
    Thread(String),
    /// Not enough nodes answer.
    Outage {
        /// The nodes that did not answer, each with the reason as far as it is known.
        nodes: Vec<SilentNode>,
    },
    /// So many servers refuse to serve this client that no quorum is left: wrong password, missing
    /// rights, unknown command; or with one node, a fence stream that cannot be used.
    Rejected {
        /// The first of them.
        node: String,
        /// The server's text.
        words: String,
    },
    /// Two nodes are the same server, whose two votes would not be a majority.
    SameServer {
        /// One of them.
        node: String,
        /// The other.
        twin: String,
    },
    /// The set of nodes was given a name, but quarantine is off: without markers the nodes cannot
    /// compare the name.
    NodeSetUnchecked,
    /// The client's tasks do not run any more.
    RuntimeEnded {
        /// Why not.
        why: RuntimeEnd,
    },
}

kinds!(
    ConnectError,
    outage: "Whether not enough nodes answer. The same call may succeed later.",
    misuse: "Whether the caller has to change something: the addresses, the configuration, the \
        rights of the user, or the runtime."
);

impl ConnectError {
    /// The client that was being connected ended. Nobody else can have closed it.
    pub(crate) fn ended(ended: Ended) -> Self {
        let why = match ended {
            Ended::RuntimeEnded(why) => why,
            Ended::Closed => RuntimeEnd::Ended,
        };
        Self::RuntimeEnded { why }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Outage { .. } => Kind::Outage,
            Self::NoNodes
            | Self::Address { .. }
            | Self::Config(_)
            | Self::Label(_)
            | Self::PrefixTooLong(_)
            | Self::FenceStream(_)
            | Self::NodeSetTooLong(_)
            | Self::QuarantineUndecided
            | Self::AcknowledgedOverConnection
            | Self::AcknowledgedOverCluster
            | Self::NoRuntime
            | Self::Thread(_)
            | Self::Rejected { .. }
            | Self::SameServer { .. }
            | Self::NodeSetUnchecked
            | Self::RuntimeEnded { .. } => Kind::Misuse,
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNodes => f.write_str("no node was named: give `Builder::node` a URL"),
            Self::Address {
                position,
                address,
                error,
            } => write!(f, "node {position}, {address}: {error}"),
            Self::Config(error) => error.fmt(f),
            Self::Label(error) => error.fmt(f),
            Self::PrefixTooLong(len) => write!(
                f,
                "the prefix of the keys has {len} bytes: at most {MAX_PREFIX_LEN} are allowed"
            ),
            Self::FenceStream(error) => error.fmt(f),
            Self::NodeSetTooLong(len) => write!(
                f,
                "the name of the node set has {len} bytes: at most {MAX_NODE_SET_LEN} are allowed"
            ),
            Self::QuarantineUndecided => f.write_str(
                "of a cluster, or over a connection of your own, a restart without the data cannot \
                 be noticed, and with several nodes a lease may be granted twice: give the URLs of \
                 servers or of Sentinels instead, or accept it with \
                 `Builder::quarantine(Quarantine::Off)`",
            ),
            Self::AcknowledgedOverCluster => f.write_str(NO_REPLICAS_OF_CLUSTERS),
            Self::AcknowledgedOverConnection => f.write_str(
                "replicas cannot be asked to acknowledge grants over a connection of your own: \
                 give the URL of the node, or leave out `Builder::acknowledged_by`",
            ),
            Self::NoRuntime => f.write_str(
                "there is no tokio runtime here: build the client inside one, or with \
                 `Builder::own_thread`",
            ),
            Self::Thread(why) => write!(f, "the client's own thread could not be started: {why}"),
            Self::Outage { nodes } => {
                f.write_str("not enough nodes answer")?;
                write_nodes(f, nodes)
            }
            Self::Rejected { node, words } => Refuses { node, words }.fmt(f),
            Self::SameServer { node, twin } => {
                write!(f, "{node} and {twin} are one server: name each server once")
            }
            Self::NodeSetUnchecked => f.write_str(
                "the nodes compare the name of a node set only with quarantine on: turn it on with \
                 `Builder::quarantine(Quarantine::On)`, or give no name",
            ),
            Self::RuntimeEnded { why } => why.fmt(f),
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

impl From<StreamNameError> for ConnectError {
    fn from(error: StreamNameError) -> Self {
        Self::FenceStream(error)
    }
}
