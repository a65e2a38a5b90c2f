//! The ids of things inside one client: leases, nodes, sets of nodes, requests.

use core::fmt;

/// The largest number of nodes.
pub const MAX_NODES: usize = 9;

/// A lease of a manager. No later lease of the manager has the same id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaseId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl fmt::Debug for LeaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lease {}.{}", self.slot, self.generation)
    }
}

impl LeaseId {
    /// A small number that no two leases have at the same time. The driver may index a table with
    /// it.
    #[must_use]
    pub const fn index(self) -> usize {
        self.slot as usize
    }
}

/// A node: a deployment that grants on its own. Nodes are numbered from zero, in the order of the
/// configuration.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) u8);

impl NodeId {
    /// The `index`-th node.
    ///
    /// # Panics
    /// If `index` is not below [`MAX_NODES`].
    #[must_use]
    pub fn new(index: usize) -> Self {
        assert!(
            index < MAX_NODES,
            "node {index}: there are at most {MAX_NODES}"
        );
        Self(index as u8)
    }

    /// Its place in the configuration, from zero.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {}", self.0)
    }
}

/// A set of nodes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct NodeSet(u16);

impl NodeSet {
    /// The set without nodes.
    pub const EMPTY: Self = Self(0);

    /// Adds a node.
    pub fn insert(&mut self, node: NodeId) {
        self.0 |= 1 << node.0;
    }

    /// Takes a node out.
    pub fn remove(&mut self, node: NodeId) {
        self.0 &= !(1 << node.0);
    }

    /// Whether the node is in the set.
    #[must_use]
    pub const fn contains(self, node: NodeId) -> bool {
        self.0 & (1 << node.0) != 0
    }

    /// How many nodes are in the set.
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether no node is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The nodes, in order.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let first = (left != 0).then(|| NodeId(left.trailing_zeros() as u8))?;
            left &= left - 1;
            Some(first)
        })
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        let mut set = Self::EMPTY;
        nodes.into_iter().for_each(|node| set.insert(node));
        set
    }
}

impl fmt::Debug for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(NodeId::index))
            .finish()
    }
}

/// A request. A reply is matched to its request by this id alone, so a late reply to an older
/// attempt does not count for a newer one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId {
    /// The lease that asks.
    pub lease: LeaseId,
    /// The node that is asked.
    pub node: NodeId,
    /// Counts the requests of the lease.
    pub serial: u32,
}
