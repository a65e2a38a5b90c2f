//! What a node answers to an inspection of a key.

use std::time::Duration;

use tenure_core::{Fence, LockName};

use crate::protocol::breaking::Seen;

/// What a node says about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyState {
    /// Who holds it.
    pub(crate) holder: KeyHolder,
    /// By what it can be broken, if it can.
    pub(crate) seen: Option<Seen>,
    /// The time that is left to the holder. None if the key is free or has no expiry.
    pub(crate) left: Option<Duration>,
    /// The last fence that was drawn, if there is a counter and it still exists.
    pub(crate) fence: Option<Fence>,
    /// Who waits for it; none if the node was not asked.
    pub(crate) queue: Option<QueueState>,
    /// Whether it was asked by a write, which a replica refuses.
    pub(crate) from_primary: bool,
}

/// Who holds a key, without the secret of the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyHolder {
    /// Nobody.
    Free,
    /// A lease of this library.
    Lease {
        /// Its owner's label.
        label: Option<String>,
        /// Its attempt.
        attempt: u32,
    },
    /// A string with an expiry that another program wrote, perhaps another lock library.
    Other,
    /// A string without an expiry.
    Foreign,
    /// One of the lock's names holds what no lock keeps there.
    WrongType {
        /// Which of them.
        name: LockName,
        /// What it holds.
        holds: &'static str,
    },
}

/// The queue of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QueueState {
    /// How many places it has.
    pub(crate) waiting: u64,
    /// The first of them, in order: the label of each, and how long the node keeps it.
    pub(crate) first: Vec<(Option<String>, Duration)>,
}
