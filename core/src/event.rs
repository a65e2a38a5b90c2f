//! What the core tells the application.

use core::time::Duration;

use crate::id::{LeaseId, NodeId, NodeSet};
use crate::request::Words;
use crate::time::Instant;
use crate::token::Fence;

/// An event of one lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Event {
    /// The lease.
    pub lease: LeaseId,
    /// What happened to it.
    pub kind: EventKind,
}

/// What happened to a lease. [`EventKind::is_final`] says which kinds are its last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// The lease is held.
    Acquired {
        /// Grows with every grant of the key.
        fence: Fence,
        /// Until when the holder may act, on its own clock.
        valid_until: Instant,
    },
    /// A round failed and another will follow: for the log.
    Waiting {
        /// Why the round failed.
        cause: AcquireFailure,
        /// When the next one begins.
        until: Instant,
    },
    /// The acquire is over without a lease. Final.
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
    /// A node no longer holds its copy, so validity ends earlier than was told. A later renewal may
    /// lengthen it again.
    Shortened {
        /// The new end of validity.
        valid_until: Instant,
    },
    /// A renewal is overdue, or its outcome unknown. The lease is still held, and retried.
    Suspect {
        /// Until when it is held if no retry succeeds.
        valid_until: Instant,
        /// What the server said, if it refused for good.
        rejected: Option<Words>,
    },
    /// The lease ended without its owner's release. Final.
    Lost {
        /// How it ended.
        loss: Loss,
    },
    /// The release asked for is done, as far as it can be known. Final.
    Released {
        /// What became of it.
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
        /// After how long a quorum will be free if nobody renews; none if that cannot be known.
        left: Option<Duration>,
        /// Whether what holds it is not of a lock's making: another type, or no expiry.
        foreign: bool,
    },
    /// Enough nodes answer, but too few of them count: they may have forgotten a lease.
    Quarantined {
        /// The node whose quarantine ends last of those that are needed.
        node: NodeId,
        /// After how long it counts.
        left: Duration,
    },
    /// Not enough nodes answer.
    Outage {
        /// The nodes that did not.
        silent: NodeSet,
    },
    /// The server will not serve us. It will not get better by itself, so this is told at once.
    Rejected {
        /// The node.
        node: NodeId,
        /// In its words.
        words: Words,
    },
    /// A node contradicts the configuration. Told at once.
    Misuse {
        /// The node.
        node: NodeId,
        /// What contradicts.
        words: Words,
    },
}

/// How a held lease ended other than by its owner's release.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Its validity passed before a renewal was confirmed.
    Expired,
    /// Another token is in its place.
    Taken,
    /// The key vanished early.
    Gone,
    /// The server would not serve us.
    Rejected(Words),
    /// The cap on its total hold was reached.
    Capped,
}

/// What became of a release.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Release {
    /// The lock was ours until this release, which freed it.
    Released,
    /// The lock had been lost before.
    Lost(Loss),
    /// Not enough nodes answered in time. It is retried in the background and the TTL ends it at last.
    Unknown,
}
