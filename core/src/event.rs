//! What the core tells the application.

use alloc::vec::Vec;
use core::time::Duration;

use crate::id::{LeaseId, NodeId};
use crate::request::{LockName, Words};
use crate::time::Instant;
use crate::token::{Fence, Label};

/// An event of one lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The lease.
    pub lease: LeaseId,
    /// How many attempts it has begun.
    pub attempts: u32,
    /// What happened to it.
    pub kind: EventKind,
}

/// What happened to a lease. [`EventKind::is_final`] says which kinds are the last of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The lease is held.
    Acquired {
        /// Grows with every grant of the key.
        fence: Fence,
        /// Until when the holder may act, on its own clock.
        valid_until: Instant,
    },
    /// The lease has a place in the queue of the key. Told each time that the node says so.
    Queued {
        /// The node.
        node: NodeId,
        /// How many places are ahead of it.
        ahead: u32,
        /// After how long the key expires if its holder does not renew. None if it has no expiry.
        left: Option<Duration>,
        /// What the holder is called, if it has a name.
        holder: Option<Label>,
        /// When the place is kept again, or the node asked, unless the lock is handed on before.
        until: Instant,
    },
    /// A round failed, and another will follow. This is for the log.
    Waiting {
        /// Why the round failed.
        cause: AcquireFailure,
        /// When the next one begins.
        until: Instant,
    },
    /// The acquire ended without a lease. Final.
    Failed {
        /// Why the last round failed.
        cause: AcquireFailure,
        /// Whether it ended because its time or its attempts were used up.
        gave_up: bool,
    },
    /// A renewal was confirmed by a quorum.
    Renewed {
        /// The new end of validity.
        valid_until: Instant,
    },
    /// A node lost its copy, so validity ends earlier than was told. A later renewal may lengthen
    /// it again.
    Shortened {
        /// The new end of validity.
        valid_until: Instant,
    },
    /// A renewal failed, or its outcome is unknown. The lease is still held, and renewal is
    /// retried.
    Suspect {
        /// Until when it is held if no retry succeeds.
        valid_until: Instant,
        /// Why.
        cause: RenewalFailure,
    },
    /// The lease ended without its owner's release. Final.
    Lost {
        /// How it ended.
        loss: Loss,
    },
    /// The release is over, and its outcome known as far as it can be. Final.
    Released {
        /// Its outcome.
        outcome: Release,
    },
}

impl EventKind {
    /// Whether no other event of this lease follows.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. } | Self::Lost { .. } | Self::Released { .. }
        )
    }
}

/// Why a round of acquire requests failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AcquireFailure {
    /// Someone else holds the key.
    Contended {
        /// After how long a quorum will be free if nobody renews.
        left: Duration,
        /// How many places were ahead of the lease in the queue of the key, if it had one there.
        ahead: Option<u32>,
        /// What the holder is called, if it has a name and the nodes that say who holds the key
        /// name one.
        holder: Option<Label>,
    },
    /// Someone else holds the key, and its queue has as many places as it may. Told at once.
    QueueFull {
        /// The node.
        node: NodeId,
    },
    /// Some nodes hold a key without an expiry, which does not go by itself, and the other nodes
    /// that answer are no quorum. It may be the lock of another library, so it is waited for as one
    /// that is held.
    Foreign {
        /// The first of them.
        node: NodeId,
    },
    /// Enough nodes answer, but some may have forgotten a lease, and too few of the others are
    /// left.
    Quarantined {
        /// Of the nodes that are needed for a quorum, the one whose quarantine ends last.
        node: NodeId,
        /// After how long its quarantine ends.
        left: Duration,
    },
    /// Not enough nodes answer.
    Outage {
        /// The nodes that did not answer.
        silent: Vec<Silence>,
    },
    /// The node granted, and too few of its replicas acknowledged that in time. The lock was not
    /// reported, and is released.
    Unacknowledged {
        /// The node.
        node: NodeId,
        /// How many had acknowledged it.
        replicas: u32,
        /// [How many](crate::Config::acknowledged_by) must.
        demanded: u32,
    },
    /// A server refuses to serve this client. It will not change by itself, so this is told at
    /// once.
    Rejected {
        /// The node.
        node: NodeId,
        /// What the server said.
        words: Words,
    },
    /// A name of the lock holds what no lock keeps there, so that no quorum can be had. Waiting
    /// does not mend it, so this is told at once.
    WrongType {
        /// The node.
        node: NodeId,
        /// Which of the names.
        name: LockName,
        /// What it holds.
        holds: &'static str,
    },
    /// A node contradicts the configuration. Told at once.
    Misuse {
        /// The node.
        node: NodeId,
        /// What contradicts.
        words: Words,
    },
}

impl AcquireFailure {
    /// Whether waiting does not mend it, so that it is told at once.
    #[must_use]
    pub const fn is_fatal(&self) -> bool {
        match self {
            Self::QueueFull { .. }
            | Self::Rejected { .. }
            | Self::WrongType { .. }
            | Self::Misuse { .. } => true,
            Self::Contended { .. }
            | Self::Foreign { .. }
            | Self::Quarantined { .. }
            | Self::Unacknowledged { .. }
            | Self::Outage { .. } => false,
        }
    }
}

/// A node that did not answer, or did not serve.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Silence {
    /// The node.
    pub node: NodeId,
    /// What was said last by it or of it. None if nothing was, and only time has passed.
    pub words: Option<Words>,
}

/// Why a renewal was not confirmed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RenewalFailure {
    /// Not enough nodes answered.
    Outage {
        /// The nodes that did not.
        silent: Vec<Silence>,
    },
    /// So many servers refuse to serve this client that no quorum can renew.
    Rejected {
        /// The first of them.
        node: NodeId,
        /// What it said.
        words: Words,
    },
}

/// How a held lease ended without its owner's release.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Its validity passed before a renewal was confirmed.
    Expired,
    /// Another token is in its place.
    Taken,
    /// The key vanished early.
    Gone,
    /// The server refused to renew it.
    Rejected(Words),
    /// The longest time that the options allow was reached.
    Capped,
}

/// The outcome of a release.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Release {
    /// The lease was held until this release, which freed the key. Also told if the lease had been
    /// lost *and* the release that was sent first had no answer: a later one finds no token then,
    /// as it would after a release that was done. One crash can be both, of a node that forgets
    /// its keys while the release is in flight. That the key expired by itself is not told so.
    Released,
    /// The lease had been lost before.
    Lost(Loss),
    /// Not enough nodes answered in time, or before the key may have expired by itself. What still
    /// may be there is released in the background until the TTL has passed.
    Unknown {
        /// The nodes that did not answer, or whose answer does not tell.
        silent: Vec<Silence>,
    },
    /// So many servers refuse to serve this client that no quorum can release. It is not retried:
    /// the key ends with its TTL.
    Rejected {
        /// The first of them.
        node: NodeId,
        /// What it said.
        words: Words,
    },
}
