//! The seats of a lease, one for each node. Most clients have one node, so a single seat stands in
//! the lease itself: a client may hold 100,000 leases.

use alloc::boxed::Box;
use alloc::vec;
use core::ops::{Deref, DerefMut};

use super::seat::Seat;

/// A seat for each node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Seats {
    One([Seat; 1]),
    Many(Box<[Seat]>),
}

impl Seats {
    /// Seats for so many nodes, at none of which anything was asked.
    pub(super) fn new(nodes: usize) -> Self {
        match nodes {
            1 => Self::One([Seat::default()]),
            _ => Self::Many(vec![Seat::default(); nodes].into()),
        }
    }
}

impl Deref for Seats {
    type Target = [Seat];

    fn deref(&self) -> &[Seat] {
        match self {
            Self::One(seat) => seat,
            Self::Many(seats) => seats,
        }
    }
}

impl DerefMut for Seats {
    fn deref_mut(&mut self) -> &mut [Seat] {
        match self {
            Self::One(seat) => seat,
            Self::Many(seats) => seats,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::lease::Lease;

    /// A client may hold 100,000 of them.
    #[test]
    fn a_lease_over_one_node_is_small() {
        assert!(size_of::<Lease>() <= 272, "{}", size_of::<Lease>());
    }
}
