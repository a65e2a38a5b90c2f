//! The link to one node: a task that takes the requests that are due from the hub, writes them to
//! the node, and answers each exactly once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Fence, Key, NodeId, Reply, Request, RequestId, ServerTime, Words};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::address::Address;
use crate::seams::Seams;
use crate::wire::Wire;

/// What a link works for: the hub, seen from one node's side. The calls come from the link's task
/// and must not block.
pub(crate) trait Work: Send + Sync + 'static {
    /// Appends up to `max` requests that are due at the node, oldest first.
    fn poll(&self, node: NodeId, max: usize, out: &mut Vec<Request>);

    /// Takes the replies, and leaves the buffer empty. A batch costs one call.
    fn reply(&self, replies: &mut Vec<(RequestId, Reply)>);

    /// The state of the link has changed.
    fn status(&self, node: NodeId, status: LinkStatus);

    /// Notified (`notify_one`) when requests for the node have become due and when the work is
    /// finished. Asked for once.
    fn wake(&self, node: NodeId) -> Arc<Notify>;

    /// Whether nothing will ever be due again: the link ends its task and closes its connection.
    fn finished(&self) -> bool;
}

/// The state of a link, as it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LinkStatus {
    /// It connects; requests wait until that has succeeded or failed.
    Connecting,
    /// It serves requests.
    Up(Identity),
    /// The node cannot be reached or cannot serve now. Requests are answered *not applied* at once.
    Down {
        /// Why.
        why: Words,
    },
    /// The server will not serve us. Requests are answered *not applied, rejected* at once.
    Rejected {
        /// The server's words.
        words: Words,
    },
}

/// Who answered on the other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The run id of the server; none if we may not ask, or over a cluster connection. Two nodes
    /// with one run id are one server.
    pub(crate) run_id: Option<Words>,
    /// The server's time as the link came up.
    pub(crate) server_time: Option<ServerTime>,
}

/// What a link speaks to.
pub(crate) enum Target {
    /// A node that it dials.
    Address(Address),
    /// A connection that the user already has (see `UserWire`).
    Connection(Arc<dyn Wire>),
}

/// How a link behaves.
#[derive(Clone, Debug)]
pub(crate) struct LinkConfig {
    /// Without any reply for so long while a request is in flight, the connection is replaced.
    /// Over a connection of the user's: so long after its deadline a request is *unknown*.
    pub(crate) silence: Duration,
    /// How long connecting and the handshake may take together.
    pub(crate) dial_timeout: Duration,
    /// How much longer than its value's time a fence counter is kept.
    pub(crate) fence_grace: Duration,
    /// A fence proposal further ahead of the server's time than this is ignored.
    pub(crate) fence_ahead: Duration,
    /// Over several nodes: what their markers say. None for one node.
    pub(crate) quarantine: Option<Quarantine>,
}

impl LinkConfig {
    /// The defaults, for requests that are given up after this long.
    pub(crate) fn new(request_timeout: Duration) -> Self {
        Self {
            silence: request_timeout * 2,
            dial_timeout: Duration::from_secs(2),
            fence_grace: Duration::from_secs(86_400),
            fence_ahead: Duration::from_secs(60),
            quarantine: None,
        }
    }
}

/// What all clients of a set of nodes must agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quarantine {
    /// In front of `tenure:node`, the marker's name.
    pub(crate) prefix: Vec<u8>,
    /// The largest TTL that any client of these nodes uses.
    pub(crate) max_ttl: Duration,
    /// The number of nodes.
    pub(crate) nodes: usize,
    /// The name of the set of nodes, if the user gave one.
    pub(crate) name: Option<String>,
}

/// What a node says about a key to who only looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inspection {
    /// Who holds it.
    pub(crate) holder: Holder,
    /// What is left to the holder. None if the key is free or has no expiry.
    pub(crate) left: Option<Duration>,
    /// The last fence that was drawn, if the counter is still kept.
    pub(crate) fence: Option<Fence>,
    /// The server's time.
    pub(crate) server_time: ServerTime,
}

/// Who holds a key. The secret of the lease is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody.
    Free,
    /// A lease of Tenure's.
    Lease {
        /// Its owner's label.
        label: Option<String>,
        /// Its attempt.
        attempt: u32,
    },
    /// A string of another make, perhaps a lock of another library.
    Other,
    /// A key of another type, or a fence counter that is not a number.
    Foreign,
}

/// Why a look did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InspectError(pub(crate) Words);

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the node could not be asked: {}", self.0)
    }
}

impl std::error::Error for InspectError {}

/// Reaches a running link.
#[derive(Clone, Debug)]
pub(crate) struct LinkHandle {
    looks: mpsc::Sender<Look>,
}

/// One question of [`LinkHandle::inspect`].
#[derive(Debug)]
pub(crate) struct Look {
    key: Key,
    answer: oneshot::Sender<Result<Inspection, InspectError>>,
}

impl LinkHandle {
    /// Looks at a key. Changes nothing and decides nothing.
    pub(crate) async fn inspect(&self, key: Key) -> Result<Inspection, InspectError> {
        let (answer, answered) = oneshot::channel();
        let ended = || InspectError(Words::new("the link has ended"));
        self.looks
            .send(Look { key, answer })
            .await
            .map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// Starts the link to one node. Its task ends when the work is finished.
pub(crate) fn spawn_link(
    node: NodeId,
    target: Target,
    config: LinkConfig,
    work: Arc<dyn Work>,
    seams: &Seams,
) -> LinkHandle {
    let (looks, _) = mpsc::channel(16);
    let _ = (node, target, config, work, seams);
    LinkHandle { looks }
}
