//! What the core asks of a node, and the three kinds of answer: applied, not applied, unknown.

use alloc::sync::Arc;
use core::fmt;
use core::time::Duration;

use crate::id::RequestId;
use crate::time::Instant;
use crate::token::{Fence, Key, Token};

/// One request to one node.
///
/// The link answers each exactly once, with a [`Reply`], and writes the requests of one lease to
/// one connection in the order in which they were polled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Request {
    /// Comes back with the reply.
    pub id: RequestId,
    /// The key that is locked.
    pub key: Key,
    /// The token of the attempt that asks.
    pub token: Token,
    /// What is asked.
    pub op: Op,
    /// When the core stops waiting for the answer. The link may take repeated silence beyond it
    /// for a dead connection; the request itself is still answered.
    pub deadline: Instant,
}

/// What is asked of a node. Spans are whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Set the token with its TTL if the key is free, or holds a token of the same lease with an
    /// attempt that is not newer, and draw a fence that is greater than the stored one and at least
    /// the server's time in microseconds.
    Acquire {
        /// How long the node keeps the key.
        ttl: Duration,
        /// The node takes this fence if it is larger than its own next and not far ahead of its own time.
        proposal: Option<Fence>,
    },
    /// Store this fence if the key still holds exactly this token and the stored fence is smaller.
    Confirm {
        /// The fence that is about to be reported.
        fence: Fence,
    },
    /// Set what is left to the TTL, if the key still holds exactly this token and less is left.
    Renew {
        /// How long the node keeps the key from now.
        ttl: Duration,
    },
    /// Put back a copy that the node lost, with its fence: only if the key is absent. The core asks
    /// for it only while the lease is held by a quorum without that node.
    Repair {
        /// How long the node keeps the key.
        ttl: Duration,
        /// The fence of the lease.
        fence: Fence,
    },
    /// Delete the key if it holds a token of the same lease with an attempt that is not newer.
    Release,
}

macro_rules! op_kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// Which [`Op`] a request is, without its values: the one list of requests, by which each
        /// layer names them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum OpKind {
            $($(#[$doc])* $kind,)*
        }

        impl OpKind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)*];

            /// Its name, as logs and records write it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind),)*
                }
            }
        }
    };
}

op_kinds! {
    /// [`Op::Acquire`].
    Acquire,
    /// [`Op::Confirm`].
    Confirm,
    /// [`Op::Renew`].
    Renew,
    /// [`Op::Repair`].
    Repair,
    /// [`Op::Release`].
    Release,
}

impl Op {
    /// Which request it is.
    #[must_use]
    pub const fn kind(&self) -> OpKind {
        match self {
            Self::Acquire { .. } => OpKind::Acquire,
            Self::Confirm { .. } => OpKind::Confirm,
            Self::Renew { .. } => OpKind::Renew,
            Self::Repair { .. } => OpKind::Repair,
            Self::Release => OpKind::Release,
        }
    }
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The node did what was asked, or looked and said no.
    Applied(Answer),
    /// Nothing was changed: refused, or never sent.
    NotApplied(Refusal),
    /// Sent, and no reply will come.
    Unknown,
}

/// What a node answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// To acquire: the key holds the token of this attempt.
    Granted {
        /// The fence that the node drew and stored.
        fence: Fence,
        /// The server's time as it granted.
        server_time: ServerTime,
    },
    /// To acquire: another lease holds the key.
    Held {
        /// What is left to that lease at the node.
        left: Duration,
        /// The server's time as it refused.
        server_time: ServerTime,
    },
    /// To any request: the key (or its fence counter) is of another type or has no expiry, so it is
    /// not of a lock's making, and was not touched.
    Foreign,
    /// To acquire: the node may have forgotten a lease, and is not counted yet.
    Quarantined {
        /// Until it counts again.
        left: Duration,
    },
    /// To confirm, renew, repair, release: done.
    Done,
    /// The key is absent; or, to confirm and renew, holds an older attempt of the same lease.
    Gone,
    /// The key holds another token (to release: one of another lease, or of a newer attempt).
    Taken,
}

/// Why a request was not applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The node is not ready for a reason that is already mended (its scripts were loaded again):
    /// ask at once.
    Again,
    /// The node cannot be reached or cannot serve now: worth retrying later.
    Unavailable,
    /// The server will not serve us (rights, password, unknown command): it will not get better.
    Rejected(Words),
    /// The node contradicts the configuration (another max TTL, number or name of nodes).
    Misuse(Words),
}

/// The words of a server, or of the adapter about it. They never hold a token or a password.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Words(Arc<str>);

impl Words {
    /// Takes the words.
    #[must_use]
    pub fn new(words: &str) -> Self {
        Self(words.into())
    }

    /// The words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A server's wall clock, in microseconds since the Unix epoch. Only ever compared with the clocks of
/// other servers, for fences; no expiry is computed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerTime(u64);

impl ServerTime {
    /// A time in microseconds since the Unix epoch.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }
}
