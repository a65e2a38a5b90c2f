//! What a link and the rest of the client know of each other: the work, the states of a link, and
//! its configuration.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tenure_core::{DEFAULT_TTL, NodeId, Patience, Reply, Request, RequestId, ServerTime, Words};

use crate::link::address::Address;
use crate::link::bell::Bell;
#[cfg(feature = "cluster")]
use crate::link::cluster::ClusterAddress;
use crate::link::connection::Connection;
use crate::link::credentials::Source;
use crate::link::group::GroupAddress;
use crate::protocol::marker::NodeSet;
use crate::protocol::push::Push;
use crate::protocol::scripts::Fences;
use crate::protocol::stream::FenceStream;

/// What a link works for: the hub, as one node's link sees it. The link's task calls it, so it must
/// not block.
pub(crate) trait Work: Send + Sync + 'static {
    /// Appends up to `max` requests that are due at the node, oldest first.
    fn poll(&self, node: NodeId, max: usize, out: &mut Vec<Request>);

    /// Takes the replies, and leaves the buffer empty. A batch costs one call.
    fn reply(&self, replies: &mut Vec<(RequestId, Reply)>);

    /// Takes what the node has pushed, and leaves the buffer empty. It comes before replies that
    /// were read later.
    fn pushed(&self, node: NodeId, pushes: &mut Vec<Push>);

    /// The state of the link has changed.
    fn status(&self, node: NodeId, status: LinkStatus);

    /// The bell that is rung when requests for the node are due, or the work is finished. Called
    /// once.
    fn wake(&self, node: NodeId) -> Arc<Bell>;

    /// The shortest TTL of the leases that live now. None if none lives.
    fn shortest_ttl(&self) -> Option<Duration>;

    /// Whether nothing will ever be due again. Then the link ends its task and closes its
    /// connection.
    fn finished(&self) -> bool;

    /// Whether it has finished because a task of the client was dropped or panicked. Nobody waits
    /// for what is in flight then.
    fn dead(&self) -> bool {
        false
    }
}

/// The state of a link, as it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkStatus {
    /// It connects. Requests wait until that succeeds or fails.
    Connecting,
    /// It serves requests.
    Up(Identity),
    /// The node cannot be reached, or cannot serve now. Requests are answered *not applied* at
    /// once.
    Down {
        /// Why.
        why: Words,
    },
    /// The server refuses to serve this client. Requests are answered *not applied, rejected* at
    /// once.
    Rejected {
        /// The server's words.
        words: Words,
    },
}

/// Who answered on the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The run id of the server. None if the user may not ask, or over a cluster. Two
    /// nodes with one run id are one server.
    pub(crate) run_id: Option<Words>,
    /// The server's time when the link came up.
    pub(crate) server_time: Option<ServerTime>,
    /// Whether the link hears what is published at the client's channel.
    pub(crate) listens: bool,
    /// Why the server does not let it, if it refuses.
    pub(crate) deaf: Option<Words>,
}

/// What a link talks to.
pub(crate) enum Target {
    /// A node that it connects to itself.
    Address(Address),
    /// A node of which Sentinels say which server to connect to.
    Group(GroupAddress),
    /// A cluster that it connects to itself.
    #[cfg(feature = "cluster")]
    Cluster(ClusterAddress),
    /// A connection that the user already has (see `UserConnection`).
    Connection(Arc<dyn Connection>),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Group(address) => address.fmt(f),
            #[cfg(feature = "cluster")]
            Self::Cluster(address) => address.fmt(f),
            Self::Connection(_) => f.write_str("Connection"),
        }
    }
}

/// How a link behaves.
#[derive(Clone, Debug)]
pub(crate) struct LinkConfig {
    /// How long a request is waited for. A connection that was quiet for longer is idle.
    pub(crate) request_timeout: Duration,
    /// The TTL by which waits are measured while no lease lives.
    pub(crate) ttl: Duration,
    /// After how long a connection of the link's own that is idle is asked whether it lives.
    pub(crate) ask_after: Duration,
    /// Of every key of the client.
    pub(crate) prefix: Vec<u8>,
    /// Over several nodes with quarantine: what their markers say.
    pub(crate) node_set: Option<NodeSet>,
    /// Who says as whom the links log in, if the addresses do not.
    pub(crate) credentials: Option<Source>,
    /// Where the nodes push to this client, if its leases wait in queues.
    pub(crate) channel: Option<Arc<[u8]>>,
    /// Over one node: the stream that draws its fences.
    pub(crate) stream: Option<Arc<FenceStream>>,
    /// How many replicas of the only node must acknowledge each grant.
    pub(crate) acknowledged_by: u32,
    /// The longest silence that a link of the client has put up with, in nanoseconds.
    silence: Arc<AtomicU64>,
}

impl LinkConfig {
    /// The defaults, for this request timeout.
    pub(crate) fn new(request_timeout: Duration) -> Self {
        Self {
            request_timeout,
            ttl: DEFAULT_TTL,
            ask_after: (request_timeout * 10)
                .clamp(Duration::from_secs(1), Duration::from_secs(10)),
            prefix: Vec::new(),
            node_set: None,
            credentials: None,
            channel: None,
            stream: None,
            acknowledged_by: 0,
            silence: Arc::default(),
        }
    }

    /// Where the fences of the node come from.
    pub(crate) const fn fences(&self) -> Fences {
        match self.stream {
            Some(_) => Fences::Stream,
            None => Fences::Counters,
        }
    }

    /// How long connecting and the set-up may take together at most.
    pub(crate) fn longest_dial(&self) -> Duration {
        Patience::new(self.request_timeout).dial(self.ttl)
    }

    /// A link of the client may be silent for so long.
    pub(crate) fn note_silence(&self, silence: Duration) {
        let nanos = u64::try_from(silence.as_nanos()).unwrap_or(u64::MAX);
        self.silence.fetch_max(nanos, Ordering::Relaxed);
    }

    /// How long a connection may be silent at most while a request is in flight, as far away as the
    /// nodes have been.
    pub(crate) fn longest_silence(&self) -> Duration {
        let near = Patience::new(self.request_timeout).silence(Duration::MAX);
        near.max(Duration::from_nanos(self.silence.load(Ordering::Relaxed)))
    }
}
