//! What happened, in true time: the one vocabulary of the simulated worlds. The judge is fed with it,
//! the marks are derived from it, and pictures, transcripts and reports of failures are drawn from it.
//!
//! A world that is not the event queue's (the adapter's, over embedded servers) tells the same facts
//! as far as it knows them.

mod core;
mod display;
pub mod fault;

use tenure_core::{Instant, OpKind};

pub use fault::Fault;

/// True time, in nanoseconds since the world began.
pub type Nanos = u64;

/// A millisecond.
pub const MS: Nanos = 1_000_000;
/// A second.
pub const SEC: Nanos = 1_000 * MS;

/// One thing that happened, where and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    /// In true time.
    pub at: Nanos,
    /// What the clock of the client showed, if it is about one.
    pub local: Option<Instant>,
    /// Which client.
    pub client: Option<u8>,
    /// Which node.
    pub node: Option<u8>,
    /// Which key.
    pub key: Option<u8>,
    /// Which lease: a number that no two leases of a world share, counted from zero.
    pub lease: Option<u32>,
    /// What happened.
    pub fact: Fact,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The application began a lease.
    Wanted {
        /// With this TTL, in nanoseconds.
        ttl: Nanos,
    },
    /// The application wanted a lease, and the client had as many as it may.
    Full,
    /// The lease was reported as held.
    Granted {
        /// With this fence.
        fence: u64,
        /// When the holder's clock will show the end of validity, in true time.
        until: Nanos,
    },
    /// The lease is valid until another time than was told before.
    Until {
        /// In true time.
        until: Nanos,
        /// Why.
        why: Why,
    },
    /// A renewal is overdue.
    Suspect,
    /// A round of acquire requests failed; another will follow.
    Waiting(Cause),
    /// The acquire ended without a lease.
    Failed {
        /// Why the last round failed.
        cause: Cause,
        /// Whether it ended because its time or its attempts were used up.
        gave_up: bool,
    },
    /// The lease was reported as lost.
    Lost(Loss),
    /// The application renews by hand.
    Renew,
    /// The application releases the lease.
    Release,
    /// The application drops the lease, in whatever state it is.
    Cancel,
    /// A release was answered.
    Released(Freed),
    /// The core has done with the lease: nothing of it is held, wanted or owed.
    Settled,

    /// A request of the lease was handed to the link of the node.
    Sent {
        /// What is asked.
        ask: OpKind,
        /// Of which attempt.
        attempt: u32,
        /// The number of the request within its lease.
        serial: u32,
    },
    /// The node did what the request asked, or looked and said no.
    Did {
        /// What was asked.
        ask: OpKind,
        /// The number of the request within its lease.
        serial: u32,
        /// What was answered.
        answer: Answer,
        /// Until when the node keeps the key, in true time, if it holds this lease now.
        until: Option<Nanos>,
        /// Whether the client had given the connection up before.
        late: bool,
    },
    /// The outcome of the request came to the lease.
    Heard {
        /// What was asked.
        ask: OpKind,
        /// The number of the request within its lease.
        serial: u32,
        /// What came of it.
        outcome: Outcome,
    },
    /// The lock key changed at the node; if by a request, then by that of the record's lease.
    Key {
        /// What it held before.
        from: Holder,
        /// What it holds now.
        to: Holder,
        /// When that expires, in true time, if ever.
        until: Option<Nanos>,
    },
    /// Something beside the lock keys changed at the node: a fence counter or its marker.
    Beside {
        /// When that expires, in true time, if ever.
        until: Option<Nanos>,
    },

    /// The holder announced itself with its fence at the resource behind the lock, and read its value.
    Read {
        /// With this fence.
        fence: u64,
        /// Whether the resource accepted the fence.
        accepted: bool,
        /// What it read.
        value: u64,
    },
    /// The holder wrote to the resource behind the lock.
    Wrote {
        /// With this fence.
        fence: u64,
        /// Whether the resource accepted the fence.
        accepted: bool,
        /// What it wrote: one more than it had read.
        value: u64,
    },

    /// The link of a client to a node changed.
    Link(Link),
    /// A fault began.
    Fault(Fault),
    /// A fault of this kind ended.
    Mended(Fault),
    /// No fault is left, and none will come.
    Healed,
    /// The application wants nothing more and has dropped what it had.
    Quiet,
    /// So long after that nothing that was dropped may be left at a node: it is looked.
    Swept,
}

/// Why validity ends at another time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// A renewal was confirmed.
    Renewed,
    /// A node no longer holds its copy.
    Shortened,
    /// The holder's clock was stepped or stopped.
    Clock,
}

/// Why a round failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Someone else holds the key.
    Contended,
    /// Something foreign holds it.
    Foreign,
    /// Too many nodes are in quarantine.
    Quarantined,
    /// Too few nodes answer.
    Outage,
    /// The server will not serve us.
    Rejected,
    /// A node contradicts the configuration.
    Misuse,
}

/// How a lease was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Loss {
    /// Its validity passed.
    Expired,
    /// Another token is there.
    Taken,
    /// The key vanished.
    Gone,
    /// The server would not serve us.
    Rejected,
    /// The cap on the hold was reached.
    Capped,
}

/// What became of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Freed {
    /// It freed the lock.
    Released,
    /// The lock had been lost before.
    Lost,
    /// Not known.
    Unknown,
}

/// What a node answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Yes, with this fence (to acquire).
    Granted(u64),
    /// Another lease holds the key.
    Held,
    /// Something foreign is there.
    Foreign,
    /// The node may have forgotten a lease.
    Quarantined,
    /// Done.
    Done,
    /// The key is absent.
    Gone,
    /// The key holds another token.
    Taken,
    /// Nothing was done: ask again.
    Again,
    /// Nothing was done: not now.
    Unavailable,
    /// Nothing was done: never.
    Rejected,
    /// Nothing was done: the node is configured otherwise.
    Misuse,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The node's answer.
    Answered(Answer),
    /// It was never sent.
    NotSent,
    /// It was sent, and no reply will come.
    Unknown,
}

/// What a lock key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// It is absent.
    Nobody,
    /// The token of this lease.
    Lease(u32),
    /// Something that is not of a lease of this world.
    Foreign,
}

/// The state of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// It serves.
    Up,
    /// The connection was lost with so many requests in flight.
    Cut(u8),
    /// It does not serve, and tries again later.
    Down,
    /// What still travelled on the connection before was killed.
    Killed,
    /// The scripts were loaded again.
    Loaded,
    /// The node was marked again.
    Marked,
}

impl Record {
    /// A fact that is about nobody yet.
    #[must_use]
    pub const fn new(at: Nanos, fact: Fact) -> Self {
        Self {
            at,
            local: None,
            client: None,
            node: None,
            key: None,
            lease: None,
            fact,
        }
    }
}
