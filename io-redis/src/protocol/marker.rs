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
    /// Since when the node has lost nothing, in milliseconds of its time; 0 if that is not known.
    pub(crate) since: u64,
    pub(crate) max_ttl_ms: u64,
    pub(crate) nodes: usize,
    pub(crate) name: String,
}

impl Marker {
    /// When its quarantine is over, in milliseconds of the node's time.
    pub(crate) const fn over(&self) -> u64 {
        self.since.saturating_add(self.max_ttl_ms)
    }

    /// The text that the node has if all is as it is known. A node that has this very text is not
    /// asked for the parts of it.
    pub(crate) fn text(&self) -> String {
        format!(
            "{} {} {} {} {} {} {}",
            self.run_id,
            self.replication_id,
            u8::from(self.durable),
            self.since,
            self.max_ttl_ms,
            self.nodes,
            self.name
        )
    }
}
