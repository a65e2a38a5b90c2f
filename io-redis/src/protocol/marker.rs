//! The marker of a node: who the node is, since when it has lost nothing, and what all clients must
//! agree on.

use std::time::Duration;

/// The longest name of a set of nodes, in bytes. It travels with requests, in the marker.
pub(crate) const MAX_NODE_SET_LEN: usize = 256;

/// What all clients of a set of nodes must agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeSet {
    /// The prefix of the marker's name, `tenure:node`.
    pub(crate) prefix: Vec<u8>,
    /// The largest TTL that any client of these nodes uses.
    pub(crate) max_ttl: Duration,
    /// The number of nodes.
    pub(crate) nodes: usize,
    /// The name of the set of nodes, if the user gave one.
    pub(crate) name: Option<String>,
}

/// The content of a node's marker, as far as this client knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) key: Vec<u8>,
    pub(crate) run_id: String,
    pub(crate) replication_id: String,
    pub(crate) durable: bool,
    pub(crate) max_ttl_ms: u64,
    pub(crate) nodes: usize,
    pub(crate) name: String,
}
