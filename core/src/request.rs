//! What the core asks of a node, and the three kinds of answer: applied, not applied, unknown.

use alloc::sync::Arc;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::time::Duration;

use crate::id::RequestId;
use crate::place::{Place, Serial};
use crate::time::Instant;
use crate::token::{Fence, Fingerprint, Key, Label, Token};

/// One request to one node.
///
/// The link answers each request exactly once, with a [`Reply`]. It writes the requests of a lease
/// to one connection, in the order in which they were polled.
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
    /// One round of requests after it was queued. An acquire that was not sent by then is of no use
    /// any more. If the node is silent for longer, again and again, the link may take the
    /// connection for dead. Even then it must answer the request.
    pub deadline: Instant,
}

/// What is asked of a node. Spans are whole milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// If the key is free: set the token with its TTL, and after that draw a fence. It is the first
    /// attempt over one node (see [`ConfigBuilder::takes`](crate::ConfigBuilder::takes)), in native
    /// commands without a script. They cannot say more than *granted*, *busy* or *unfenced*; on the
    /// last two the core asks by acquire next. The link may ask by acquire at once, and then the
    /// answers are those of acquire.
    Take {
        /// How long the node keeps the key.
        ttl: Duration,
    },
    /// If the key is free, or holds a token of the same lease and of no newer attempt: set the
    /// token with its TTL, and draw a fence that is larger than all before. Over one node it comes
    /// from the node's stream of fences. Over several it is larger than the one that is stored for
    /// the key, and not smaller than [that of the server's time](Fence::of_time).
    Acquire {
        /// How long the node keeps the key.
        ttl: Duration,
        /// The node takes this fence instead, if it is larger than the one that it would draw, and
        /// not far ahead of the server's time.
        proposal: Option<Fence>,
        /// If another lease holds the key: enter this place at the end of the queue of the key, or
        /// keep the one that is there, for a TTL from now. Only over several nodes.
        place: Option<Place>,
    },
    /// What acquire does; and if another lease holds the key, or is ahead in the queue: enter a
    /// place at its end, or keep the one that is there. A key that is free goes to the first in
    /// line, which may be the lease that asks. See
    /// [`ConfigBuilder::queues`](crate::ConfigBuilder::queues).
    Wait {
        /// How long the node keeps the key, or the place, from now.
        ttl: Duration,
        /// The place.
        place: Place,
        /// What a push will say that grants the lock to the place as it is kept by this request.
        serial: Serial,
    },
    /// If the key still holds exactly this token: store this fence, unless a larger one is stored.
    Confirm {
        /// The fence that is about to be reported to the application.
        fence: Fence,
    },
    /// If the key still holds exactly this token: say how many replicas of the node have what it
    /// had done by then. Only over one node. The link waits for
    /// [so many](crate::Config::acknowledged_by) until shortly before the deadline, and answers by
    /// the deadline. It need not be asked in order with the other requests of the lease.
    Acknowledge,
    /// If the key still holds exactly this token: let it expire one TTL from now, unless it expires
    /// later already.
    Renew {
        /// How long the node keeps the key from now.
        ttl: Duration,
    },
    /// If the key still holds exactly this token: push when somebody touches it. Nothing is
    /// changed.
    Watch,
    /// If the key is free, or holds a token of the same lease and of no newer attempt: put the
    /// token and its fence back, which the node lost. The core asks for this only while a quorum of
    /// other nodes holds the lease.
    Repair {
        /// How long the node keeps the key.
        ttl: Duration,
        /// The fence of the lease.
        fence: Fence,
    },
    /// If the key holds a token of the same lease and of no newer attempt: hand the lock to the
    /// first in its queue, or delete the key if nobody waits. The place of the lease, if it has
    /// one, is removed in any case.
    Release {
        /// The place that the lease has or may have.
        place: Option<Place>,
        /// Over several nodes, where nothing is handed on: whether the node hints to the first in
        /// the queue that the key is free, if it is, and moves it to the end. Over one node a lock
        /// is handed on in any case.
        hints: bool,
    },
    /// What release does, but nobody is told; and the lease stays in line: enter this place, or
    /// keep the one that is there, for a TTL from now. It follows a round that failed over several
    /// nodes.
    Stay {
        /// How long the node keeps the place.
        ttl: Duration,
        /// The place.
        place: Place,
    },
}

macro_rules! op_kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// Which [`Op`] a request is, without its values. This is the one list of requests, by
        /// which each layer names them.
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
    /// [`Op::Stay`].
    Stay,
    /// [`Op::Take`].
    Take,
    /// [`Op::Wait`].
    Wait,
    /// [`Op::Watch`].
    Watch,
    /// [`Op::Acknowledge`].
    Acknowledge,
}

impl OpKind {
    /// Whether it gives the key back.
    #[must_use]
    pub const fn frees(self) -> bool {
        match self {
            Self::Release | Self::Stay => true,
            Self::Take
            | Self::Acquire
            | Self::Wait
            | Self::Confirm
            | Self::Acknowledge
            | Self::Renew
            | Self::Watch
            | Self::Repair => false,
        }
    }

    /// Whether it asks for a key that the lease does not hold yet.
    #[must_use]
    pub const fn acquires(self) -> bool {
        match self {
            Self::Take | Self::Acquire | Self::Wait => true,
            Self::Confirm
            | Self::Acknowledge
            | Self::Renew
            | Self::Watch
            | Self::Repair
            | Self::Release
            | Self::Stay => false,
        }
    }
}

impl Op {
    /// Which request it is.
    #[must_use]
    pub const fn kind(&self) -> OpKind {
        match self {
            Self::Take { .. } => OpKind::Take,
            Self::Acquire { .. } => OpKind::Acquire,
            Self::Wait { .. } => OpKind::Wait,
            Self::Confirm { .. } => OpKind::Confirm,
            Self::Acknowledge => OpKind::Acknowledge,
            Self::Renew { .. } => OpKind::Renew,
            Self::Watch => OpKind::Watch,
            Self::Repair { .. } => OpKind::Repair,
            Self::Release { .. } => OpKind::Release,
            Self::Stay { .. } => OpKind::Stay,
        }
    }
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The node handled it: it did what was asked, or looked at the key and refused.
    Applied(Answer),
    /// Nothing was changed: it was refused, or never sent.
    NotApplied(Refusal),
    /// It was sent, and no reply will come that says what happened. It may have been done or not.
    Unknown(Doubt),
}

impl Reply {
    /// What was said by a node, or of it, that did not serve. None if it served, or said nothing.
    #[must_use]
    pub fn words(&self) -> Option<&Words> {
        match self {
            Self::NotApplied(
                Refusal::Unavailable(words) | Refusal::Rejected(words) | Refusal::Misuse(words),
            )
            | Self::Unknown(Doubt::Broken(words) | Doubt::Said(words)) => Some(words),
            Self::Applied(_)
            | Self::NotApplied(Refusal::Again | Refusal::NotSent)
            | Self::Unknown(Doubt::Silent) => None,
        }
    }
}

/// Why it is unknown whether a request was done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// Nothing came for so long that its connection was given up.
    Silent,
    /// Its connection ended before the reply came, or what came makes no sense. The core asks again
    /// at once: on another connection the node may answer.
    Broken(Words),
    /// The reply is an error that does not say whether anything was done.
    Said(Words),
}

/// What a node answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// To take, acquire and wait: the key holds the token of this attempt now.
    Granted {
        /// The fence that the node drew, and over several nodes stored.
        fence: Fence,
        /// The server's time as it granted.
        server_time: ServerTime,
    },
    /// To take: nothing was changed. The key exists, or the node is out of memory and did not look.
    /// The key may hold the token of this very lease, if it was asked before.
    Busy,
    /// To take: the key holds the token of this attempt now, but no usable fence was drawn. The
    /// node's stream of fences is missing, cannot be written, or must be moved on first.
    Unfenced,
    /// To wait: the lease has a place in the queue of the key.
    Waiting {
        /// How many places are ahead of it.
        ahead: u32,
        /// After how long the key expires. None if it has no expiry.
        left: Option<Duration>,
        /// Whether the holder hands the lock on when it releases: it is a lease of ours.
        hands_on: bool,
        /// Who has it.
        holder: Holder,
    },
    /// To wait and stay: the queue of the key has as many places as it may. None was entered.
    Full,
    /// To acquire: another lease holds the key.
    Held {
        /// After how long the key expires.
        left: Duration,
        /// The server's time as it refused.
        server_time: ServerTime,
        /// Who has it.
        holder: Holder,
        /// How many places are ahead of the one that the request named, if the node keeps that. It
        /// does if the holder is a lease of ours, whose release hints.
        ahead: Option<u32>,
    },
    /// To acquire: the key has no expiry, as the lock of another library may have none. It was not
    /// touched.
    Foreign,
    /// To acquire, wait, confirm, repair: a name of the lock holds what no lock keeps there. It was
    /// not touched, and waiting does not mend it.
    WrongType {
        /// Which of the names.
        name: LockName,
        /// What it holds: `a list`, for example.
        holds: &'static str,
    },
    /// To acquire and wait: the node may have forgotten a lease, so it does not grant yet.
    Quarantined {
        /// After how long it grants again.
        left: Duration,
    },
    /// To confirm, renew, watch, repair, release, stay: done.
    Done,
    /// To acknowledge: so many replicas have what the node had done. Whether they are enough, the
    /// core decides.
    Acknowledged {
        /// How many.
        replicas: u32,
    },
    /// The key is absent. Or, to confirm, acknowledge, renew and watch: it holds the token of an
    /// older attempt of this lease.
    Gone,
    /// The key holds the token of another lease or of a newer attempt of this one, or what is no
    /// token.
    Taken,
}

/// What a node says of who holds a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Tells it from the next one.
    pub fingerprint: Fingerprint,
    /// What it is called, if it has a name.
    pub label: Option<Label>,
}

impl From<Fingerprint> for Holder {
    fn from(fingerprint: Fingerprint) -> Self {
        Self {
            fingerprint,
            label: None,
        }
    }
}

/// The names that belong to a lock at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LockName {
    /// What is locked.
    Key,
    /// Its fence counter. Only over several nodes.
    Counter,
    /// The stream that draws the fences of all keys. Only over one node.
    Stream,
    /// Its queue.
    Queue,
}

/// Why a request was not applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The node was not ready, for a reason that is mended by now: for example, its scripts were
    /// loaded again. The core asks again at once.
    Again,
    /// It was never handed to a connection: the node cannot be reached, or not in time.
    NotSent,
    /// The node cannot serve now. It may later.
    Unavailable(Words),
    /// The server refuses to serve this client: rights, password, unknown command. It will not
    /// change by itself.
    Rejected(Words),
    /// The node contradicts the configuration: another max TTL, number of nodes or name of the set.
    Misuse(Words),
}

/// What a server said, or what the adapter says about it. It never contains a token or a password.
#[derive(Clone)]
pub struct Words(Text);

#[derive(Clone)]
enum Text {
    Fixed(&'static str),
    Shared(Arc<str>),
}

impl Words {
    /// Takes the words.
    #[must_use]
    pub fn new(words: &str) -> Self {
        Self(Text::Shared(words.into()))
    }

    /// Words that stand in the program. Nothing is allocated.
    #[must_use]
    pub const fn fixed(words: &'static str) -> Self {
        Self(Text::Fixed(words))
    }

    /// The words.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::Fixed(words) => words,
            Text::Shared(words) => words,
        }
    }
}

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Words {}

impl Hash for Words {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The time of a server's wall clock, in microseconds since the Unix epoch. It is used for fences
/// only, and no expiry is computed from it.
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
