//! Facts: what happened in a run, in true time. All simulated worlds describe their runs in them.
//!
//! The judge hears them, the marks are derived from them, and pictures, transcripts and reports are
//! made of them. The world of the core tells all facts. The worlds of the adapter, over embedded
//! servers, tell those that they know of.

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
    /// When, in true time.
    pub at: Nanos,
    /// What the clock of the client showed, if the fact is about a client.
    pub local: Option<Instant>,
    /// Which client it is about.
    pub client: Option<u8>,
    /// Which node it is about.
    pub node: Option<u8>,
    /// Which key it is about.
    pub key: Option<u8>,
    /// Which lease it is about. The leases of a world are counted from zero.
    pub lease: Option<u32>,
    /// What happened.
    pub fact: Fact,
}

/// What happened. Times in it are true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// The application wants a lease.
    Wanted {
        /// Its TTL.
        ttl: Nanos,
    },
    /// The application wanted a lease, but the client had as many as it may.
    Full,
    /// The application was told that it holds the lease.
    Granted {
        /// Its fence.
        fence: u64,
        /// When the holder's clock will show the end of validity.
        until: Nanos,
    },
    /// The lease is valid until another time than was told before.
    Until {
        /// When the holder's clock will show it.
        until: Nanos,
        /// Why it changed.
        why: Why,
    },
    /// A renewal is overdue.
    Suspect,
    /// The lease has a place in the queue of its key.
    Queued {
        /// How many places are ahead of it.
        ahead: u32,
    },
    /// A round of acquire requests failed, and another will follow.
    Waiting(Cause),
    /// The application was told that its acquire failed.
    Failed {
        /// Why the last round failed.
        cause: Cause,
        /// Whether it ended because its time or its attempts were used up.
        gave_up: bool,
    },
    /// The application was told that the lease is lost.
    Lost(Loss),
    /// The application renews by hand.
    Renew,
    /// The application releases the lease.
    Release,
    /// The application drops the lease, in whatever state it is.
    Cancel,
    /// The application was told what came of its release.
    Released(Freed),
    /// The lease is settled: it is neither wanted nor held, and no release of it is owed.
    Settled,

    /// A request of the lease was handed to the link of the node.
    Sent {
        /// What is asked.
        ask: OpKind,
        /// The attempt that it belongs to.
        attempt: u32,
        /// The number of the request within its lease.
        serial: u32,
    },
    /// The node did what the request asked, or refused it.
    Did {
        /// What was asked.
        ask: OpKind,
        /// The number of the request within its lease.
        serial: u32,
        /// What was answered.
        answer: Answer,
        /// Until when the node keeps the key, if it holds the token of this lease now.
        until: Option<Nanos>,
        /// Whether the request landed late: the client had given the connection up before.
        late: bool,
    },
    /// The outcome of the request came back to the client.
    Heard {
        /// What was asked.
        ask: OpKind,
        /// The number of the request within its lease.
        serial: u32,
        /// Its outcome.
        outcome: Outcome,
    },
    /// The lock key changed at the node. If the record names a lease, a request of that lease
    /// changed it.
    Key {
        /// What it held before.
        from: Holder,
        /// What it holds now.
        to: Holder,
        /// When that expires, in true time, if ever.
        until: Option<Nanos>,
    },
    /// The node keeps a place for the lease in the queue of the key, or keeps it longer. Or the
    /// place is gone.
    Place {
        /// From when on the place is dead, unless it is kept again. None: it is gone.
        until: Option<Nanos>,
        /// Whether it has a channel, to which the node pushes.
        channel: bool,
    },
    /// The node handed the lock on to the lease, which waits for it.
    HandedOn {
        /// The fence that the node drew.
        fence: u64,
        /// Until when the node keeps the key.
        until: Nanos,
    },
    /// The node hears that a connection of the client listens to pushes, or that none does any
    /// more.
    Channel {
        /// Whether one listens.
        heard: bool,
    },
    /// A push came to the client: the node has handed the lock on to this lease.
    Pushed {
        /// The fence that the node drew.
        fence: u64,
    },
    /// A push came to the client: a node says that the lock is free for which this lease has a
    /// place.
    Hinted,
    /// The application waits to be told of the loss of this lease.
    Watched,
    /// A push came to the client: somebody may have touched the key of this lease.
    Doubted,
    /// A push came to the client: the node may have lost all keys.
    DoubtOfAll,
    /// A fence counter or the marker was written at the node.
    Beside {
        /// When that expires, in true time, if ever.
        until: Option<Nanos>,
    },

    /// The holder showed its fence to the resource behind the lock, and read the value there.
    Read {
        /// With this fence.
        fence: u64,
        /// Whether the resource accepted the fence.
        accepted: bool,
        /// The value that it read.
        value: u64,
    },
    /// The holder wrote to the resource behind the lock.
    Wrote {
        /// With this fence.
        fence: u64,
        /// Whether the resource accepted the fence.
        accepted: bool,
        /// The value that it wrote: one more than it had read.
        value: u64,
    },

    /// The link of a client to a node changed.
    Link(Link),
    /// A fault began.
    Fault(Fault),
    /// A fault of this kind ended.
    Mended(Fault),
    /// All faults are mended, and no more will come.
    Healed,
    /// The application wants nothing more, and has dropped its leases.
    Quiet,
    /// So long after that no key may be left at a node. The judge checks it now.
    Swept,
}

/// Why validity ends at another instant than was told before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// The lease was renewed.
    Renewed,
    /// A node lost its copy.
    Shortened,
    /// The holder's clock was stepped or stopped.
    Clock,
}

/// Why a round failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Another lease holds the key.
    Contended,
    /// The queue of the key has as many places as it may.
    QueueFull,
    /// The key has no expiry.
    Foreign,
    /// A name of the lock holds what no lock keeps there.
    WrongType,
    /// Too many nodes are in quarantine.
    Quarantined,
    /// Not enough nodes answer.
    Outage,
    /// Too few replicas of the node acknowledged a grant.
    Unacknowledged,
    /// The server refuses to serve.
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
    /// The server refuses to serve.
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
    /// So many servers refuse to serve that it is not tried again.
    Rejected,
    /// It is not known.
    Unknown,
}

/// What a node answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// An acquire took the key and drew this fence.
    Granted(u64),
    /// A take found the key there, or did not look.
    Busy,
    /// A take took the key, but drew no fence.
    Unfenced,
    /// The lease has a place in the queue.
    Waiting,
    /// The queue has as many places as it may.
    Full,
    /// Another lease holds the key.
    Held,
    /// The key has no expiry.
    Foreign,
    /// The key holds what no lock keeps there.
    WrongType,
    /// The node may have forgotten a lease.
    Quarantined,
    /// It was done.
    Done,
    /// The key holds the token, and so many replicas have it.
    Acknowledged(u32),
    /// The key is absent.
    Gone,
    /// The key holds another token.
    Taken,
    /// Nothing was done. Ask again at once: the reason is mended.
    Again,
    /// Nothing was done. Ask again later.
    Unavailable,
    /// Nothing was done, and it will not get better.
    Rejected,
    /// Nothing was done: the node contradicts the configuration.
    Misuse,
}

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The node answered.
    Answered(Answer),
    /// It was never sent.
    NotSent,
    /// It was sent, and no reply will come.
    Unknown,
}

/// What a lock key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// Nothing: the key is absent.
    Nobody,
    /// The token of this lease.
    Lease(u32),
    /// Something that no lease of this world wrote.
    Foreign,
}

/// The state of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// It serves.
    Up,
    /// The connection was lost, with this many requests in flight.
    Cut(u8),
    /// It does not serve, and tries again later.
    Down,
    /// The connection before was killed, so none of its requests can land any more.
    Killed,
    /// The scripts were loaded again.
    Loaded,
    /// The node was marked again.
    Marked,
}

impl Record {
    /// A fact about the world as a whole: no client, node, key or lease is named yet.
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
