//! The faults: a table with one row for each.
//!
//! A row says all that the judge, the marks, the picture and the worlds need to know of a fault. What
//! the random worlds do to make it is in `world::fault`; how a world over a simulated network makes
//! it is said here by a [`NetworkFault`].

use std::fmt;

use Hits::{Client, Either, Key, Link, Message, Node};
use Lasts::{AMoment, AWhile};
use Loses::{Expiry, LastWrites, LastWritesUnseen, LockKey, Memory, Nothing};
use NetworkFault::{Close, Ill, Isolate, LoseReply, Meddle, Once, Process as OfProcess, StepClock};
use Process::{Dies, Freezes, GoesOn, Stops};

/// What is known of a fault.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What lines of facts and pictures call it.
    pub name: &'static str,
    /// What it hits, and so which names a record of it bears.
    pub hits: Hits,
    /// Whether its end is told as well.
    pub lasts: Lasts,
    /// What a node loses, and so what the judge excuses.
    pub loses: Loses,
    /// What becomes of a client's process.
    pub process: Process,
    /// How a world over a simulated network makes it; none if it does not.
    pub network: Option<NetworkFault>,
    /// Whether it strikes in the small worlds that are gone through as a whole.
    pub small: bool,
}

/// What a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hits {
    /// The link between one client and one node.
    Link,
    /// All links of a client, or all links of a node.
    Either,
    /// One message: 0 is a request, 1 is a reply. Each is drawn as it is sent.
    Message(usize),
    /// A node.
    Node,
    /// A lock key at a node.
    Key,
    /// A client.
    Client,
}

/// How long a fault lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// It is over as it strikes.
    AMoment,
    /// Until its end is told.
    AWhile,
}

/// What a node loses by a fault. The judge excuses for one max TTL what may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loses {
    /// Nothing.
    Nothing,
    /// A lock key. Two may hold it.
    LockKey,
    /// The expiry of a lock key, which then stays.
    Expiry,
    /// All that it had acknowledged. Two may hold a key, unless quarantine sees to it.
    Memory,
    /// The last that it had acknowledged: two may hold a key as above, and what was released may be
    /// back.
    LastWrites,
    /// As above, and its clients do not notice for a while. So quarantine does not help, and fences
    /// may not grow.
    LastWritesUnseen,
}

/// What becomes of a client's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// Nothing.
    GoesOn,
    /// It stands still, while its clock goes on.
    Stops,
    /// It stands still, and its clock with it.
    Freezes,
    /// It dies, and begins again knowing nothing.
    Dies,
}

/// How a world over a simulated network makes a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// The way between a client and a node goes bad.
    Close(Way),
    /// All ways of a client, or of a node, go bad.
    Isolate,
    /// A reply is lost.
    LoseReply,
    /// A node is ill for a while.
    Ill(Illness),
    /// Something happens to a node at once.
    Once(NodeEvent),
    /// Somebody who knows nothing of locks changes a lock key.
    Meddle(Meddling),
    /// A client's process dies or stands still for a while.
    Process,
    /// The clock of a client or of a node is stepped.
    StepClock,
}

/// What may become of the way between a client and a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// What is sent is lost, both ways.
    Cut,
    /// What the client sends is lost.
    CutOut,
    /// What the node sends is lost.
    CutIn,
    /// What is sent waits until the way is open again.
    Held,
}

/// How a node may be ill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Illness {
    /// It answers nobody.
    Paused,
    /// It is loading its data.
    Loading,
    /// It takes no writes.
    ReadOnly,
    /// It is out of memory.
    Full,
    /// It refuses our scripts.
    Refusing,
    /// It is down, and comes back with what it knew.
    Down,
    /// It is down, and comes back empty.
    DownAndEmpty,
    /// It goes on, and is restarted at the end with what it knew at the beginning.
    RestoredLater,
}

/// What may happen to a node at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// A replica that fell behind takes over.
    Failover,
    /// Its data is replaced by that of such a replica, and its connections live on.
    Replaced,
    /// It forgets all keys.
    Flush,
    /// It forgets the scripts.
    FlushScripts,
    /// All its connections are closed.
    Reset,
}

/// What a stranger does to a lock key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meddling {
    /// Deletes it.
    Delete,
    /// Writes something else.
    Overwrite,
    /// Takes its expiry.
    Persist,
}

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident {
        hits: $hits:expr, lasts: $lasts:expr, loses: $loses:expr, process: $process:expr,
        network: $network:expr, small: $small:expr,
    })*) => {
        /// A fault, each where the record says.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[doc = $doc])+ $name,)* }

        impl Fault {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its row.
            #[must_use]
            pub const fn row(self) -> &'static Row {
                match self {
                    $(Self::$name => &Row {
                        name: stringify!($name),
                        hits: $hits,
                        lasts: $lasts,
                        loses: $loses,
                        process: $process,
                        network: $network,
                        small: $small,
                    },)*
                }
            }
        }
    };
}

// A new row goes to the end: byte inputs know a fault by its place.
faults! {
    /// Requests from the client to the node do not pass.
    CutOut {
        hits: Link, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: Some(Close(Way::CutOut)), small: false,
    }
    /// Replies from the node to the client do not pass.
    CutIn {
        hits: Link, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: Some(Close(Way::CutIn)), small: false,
    }
    /// Neither requests nor replies pass between the client and the node.
    Cut {
        hits: Link, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: Some(Close(Way::Cut)), small: false,
    }
    /// The node is cut off from all clients, or the client from all nodes.
    Isolate {
        hits: Either, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: Some(Isolate), small: false,
    }
    /// A request is lost. (Over a simulated network TCP sends it again, later.)
    LostRequest {
        hits: Message(0), lasts: AMoment, loses: Nothing, process: GoesOn,
        network: Some(Close(Way::Held)), small: true,
    }
    /// A reply is lost.
    LostReply {
        hits: Message(1), lasts: AMoment, loses: Nothing, process: GoesOn,
        network: Some(LoseReply), small: true,
    }
    /// A connection is reset.
    Reset {
        hits: Link, lasts: AMoment, loses: Nothing, process: GoesOn,
        network: Some(Once(NodeEvent::Reset)), small: true,
    }
    /// The node is slow.
    Slow {
        hits: Node, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: Some(Ill(Illness::Paused)), small: true,
    }
    /// The node is down, and will come back with all its memory.
    CrashKept {
        hits: Node, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: Some(Ill(Illness::Down)), small: true,
    }
    /// The node is down, and will come back empty.
    CrashEmpty {
        hits: Node, lasts: AWhile, loses: Memory, process: GoesOn,
        network: Some(Ill(Illness::DownAndEmpty)), small: false,
    }
    /// The node is down, and will come back as it was a moment before.
    CrashStale {
        hits: Node, lasts: AWhile, loses: LastWrites, process: GoesOn,
        network: Some(Ill(Illness::RestoredLater)), small: false,
    }
    /// A replica that missed the last writes takes over.
    Failover {
        hits: Node, lasts: AMoment, loses: LastWrites, process: GoesOn,
        network: Some(Once(NodeEvent::Failover)), small: false,
    }
    /// The node was demoted and promoted again, and missed the last writes. Its connections live on.
    Replaced {
        hits: Node, lasts: AMoment, loses: LastWritesUnseen, process: GoesOn,
        network: Some(Once(NodeEvent::Replaced)), small: false,
    }
    /// The server evicts a lock key, or a stranger deletes it.
    Deleted {
        hits: Key, lasts: AMoment, loses: LockKey, process: GoesOn,
        network: Some(Meddle(Meddling::Delete)), small: false,
    }
    /// A stranger writes its own value over a lock key.
    Overwritten {
        hits: Key, lasts: AMoment, loses: LockKey, process: GoesOn,
        network: Some(Meddle(Meddling::Overwrite)), small: false,
    }
    /// A stranger takes the expiry from a lock key.
    Persisted {
        hits: Key, lasts: AMoment, loses: Expiry, process: GoesOn,
        network: Some(Meddle(Meddling::Persist)), small: false,
    }
    /// The node forgets all keys.
    Flushed {
        hits: Node, lasts: AMoment, loses: Memory, process: GoesOn,
        network: Some(Once(NodeEvent::Flush)), small: false,
    }
    /// The node forgets the scripts.
    ScriptsFlushed {
        hits: Node, lasts: AMoment, loses: Nothing, process: GoesOn,
        network: Some(Once(NodeEvent::FlushScripts)), small: false,
    }
    /// The node is loading its data and serves nobody.
    Loading {
        hits: Node, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: Some(Ill(Illness::Loading)), small: false,
    }
    /// The node takes no writes.
    ReadOnly {
        hits: Node, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: Some(Ill(Illness::ReadOnly)), small: false,
    }
    /// The node is out of memory.
    OutOfMemory {
        hits: Node, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: Some(Ill(Illness::Full)), small: false,
    }
    /// The client's process dies, and comes back knowing nothing.
    ClientCrash {
        hits: Client, lasts: AWhile, loses: Nothing, process: Dies,
        network: Some(OfProcess), small: true,
    }
    /// The client's process stands still.
    Pause {
        hits: Client, lasts: AWhile, loses: Nothing, process: Stops,
        network: Some(OfProcess), small: true,
    }
    /// The client's process stands still, and its clock with it for a while.
    Freeze {
        hits: Client, lasts: AWhile, loses: Nothing, process: Freezes,
        network: None, small: false,
    }
    /// The client's clock is stepped forward.
    ClientStep {
        hits: Client, lasts: AMoment, loses: Nothing, process: GoesOn,
        network: Some(StepClock), small: false,
    }
    /// The node's wall clock is stepped.
    NodeStep {
        hits: Node, lasts: AMoment, loses: Nothing, process: GoesOn,
        network: Some(StepClock), small: false,
    }
    /// The server refuses our user.
    Refusal {
        hits: Node, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: Some(Ill(Illness::Refusing)), small: false,
    }
}

impl Loses {
    /// Whether a node loses, or may lose, what it had acknowledged.
    #[must_use]
    pub const fn memory(self) -> bool {
        match self {
            Self::Memory | Self::LastWrites | Self::LastWritesUnseen => true,
            Self::Nothing | Self::LockKey | Self::Expiry => false,
        }
    }

    /// Whether what a node had released may be back.
    #[must_use]
    pub const fn last_writes(self) -> bool {
        match self {
            Self::LastWrites | Self::LastWritesUnseen => true,
            Self::Nothing | Self::LockKey | Self::Expiry | Self::Memory => false,
        }
    }

    /// Whether two may hold a key in spite of quarantine, since no marker shows what is lost.
    #[must_use]
    pub const fn unseen(self) -> bool {
        match self {
            Self::LockKey | Self::LastWritesUnseen => true,
            Self::Nothing | Self::Expiry | Self::Memory | Self::LastWrites => false,
        }
    }
}

impl Process {
    /// Whether it stands still or is dead, until the end of the fault is told.
    #[must_use]
    pub const fn is_away(self) -> bool {
        match self {
            Self::Stops | Self::Freezes | Self::Dies => true,
            Self::GoesOn => false,
        }
    }
}

impl Fault {
    /// Whether it lasts until its end is told.
    #[must_use]
    pub const fn lasts(self) -> bool {
        match self.row().lasts {
            AWhile => true,
            AMoment => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}
