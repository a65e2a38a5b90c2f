//! The faults: a table with one row for each.
//!
//! A row is all that the judge, the marks, the picture and the worlds need to know of a fault.
//! `world::fault` makes the faults of the random worlds. A [`NetworkFault`] says how a world over a
//! simulated network makes one.

use std::fmt;

use Hits::{Client, Either, Key, Link, Message, Node, Push};
use Lasts::{AMoment, AWhile};
use Loses::{Expiry, LastWrites, LastWritesUnseen, LockKey, Memory, Nothing};
use NetworkFault::{
    Close, Forget, Ill, Isolate, LoseReply, Meddle, Once, Process as OfProcess, StepClock,
};
use Process::{Dies, Freezes, GoesOn, Stalls, Stops};

/// What is known of a fault.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Its name in the lines of facts and in pictures.
    pub name: &'static str,
    /// What it hits, which decides what its records name: a client, a node, a key.
    pub hits: Hits,
    /// How long it lasts.
    pub lasts: Lasts,
    /// What a node loses, and so what the judge excuses.
    pub loses: Loses,
    /// What becomes of a client's process.
    pub process: Process,
    /// How a world over a simulated network makes it. None: it does not.
    pub network: Option<NetworkFault>,
    /// Whether it strikes in the small worlds, which are searched exhaustively.
    pub small: bool,
}

/// What a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hits {
    /// The link between one client and one node.
    Link,
    /// All links of a client, or all links of a node.
    Either,
    /// One message: 0 is a request, 1 is a reply. For each message it is drawn, as it is sent,
    /// whether the fault hits it.
    Message(usize),
    /// One push: 0 loses it, 1 leads it astray, 2 doubles it. It is drawn as the node sends it.
    Push(usize),
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
    /// It is over as soon as it strikes.
    AMoment,
    /// It lasts until a fact tells that it is mended.
    AWhile,
}

/// What a node loses by a fault. For one max TTL the judge excuses what may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loses {
    /// Nothing.
    Nothing,
    /// A lock key, so two leases may hold it.
    LockKey,
    /// The expiry of a lock key, so the key stays.
    Expiry,
    /// All that it had acknowledged. Without quarantine, two leases may hold a key.
    Memory,
    /// The last writes that it had acknowledged. Without quarantine, two leases may hold a key. And
    /// a key that was released may be back.
    LastWrites,
    /// The same, but its clients do not notice for a while. So quarantine does not help, and fences
    /// may fail to grow.
    LastWritesUnseen,
}

/// What becomes of a client's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Process {
    /// Nothing: it goes on.
    GoesOn,
    /// It stands still, while its clock goes on.
    Stops,
    /// Its driver and its links stand still, while the application and the clock go on.
    Stalls,
    /// It stands still, and its clock with it.
    Freezes,
    /// It dies. A new process starts without its memory.
    Dies,
}

/// How a world over a simulated network makes a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// Messages between a client and a node are lost or held up.
    Close(Way),
    /// All messages of a client, or of a node, are lost.
    Isolate,
    /// A reply is lost.
    LoseReply,
    /// A connection is dead, which shows only when something is sent on it.
    Forget,
    /// A node does not serve as it should for a while.
    Ill(Illness),
    /// Something happens to a node, and is over at once.
    Once(NodeEvent),
    /// A stranger changes a lock key.
    Meddle(Meddling),
    /// A client's process dies or stands still for a while.
    Process,
    /// The clock of a client or of a node is stepped.
    StepClock,
}

/// What happens to the messages between a client and a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Those in both directions are lost.
    Cut,
    /// Those from the client are lost.
    CutOut,
    /// Those from the node are lost.
    CutIn,
    /// They wait until the fault is mended.
    Held,
}

/// How a node fails to serve as it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Illness {
    /// It answers nobody.
    Paused,
    /// It is loading its data.
    Loading,
    /// It refuses writes.
    ReadOnly,
    /// It is out of memory.
    Full,
    /// It refuses our scripts.
    Refusing,
    /// It is down, and comes back with all its data.
    Down,
    /// It is down, and comes back empty.
    DownAndEmpty,
    /// It serves. At the end it is restarted with the data that it had at the beginning.
    RestoredLater,
}

/// Something that happens to a node, and is over at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// A replica that fell behind takes over.
    Failover,
    /// Its data is replaced by that of such a replica, and its connections stay open.
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
    /// Removes its expiry.
    Persist,
    /// Deletes it, just before the owner releases it. The reply of that release is lost.
    Rob,
}

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident {
        hits: $hits:expr, lasts: $lasts:expr, loses: $loses:expr, process: $process:expr,
        network: $network:expr, small: $small:expr,
    })*) => {
        /// A fault. The record says where it strikes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault { $($(#[doc = $doc])+ $name,)* }

        impl Fault {
            /// All faults, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its row in the table.
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

// A new row goes to the end: in byte inputs, the place of a fault in this table stands for it.
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
    /// A request is lost. (Over a simulated network TCP sends it again later.)
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
    /// The node is down, and will come back with all its data.
    CrashKept {
        hits: Node, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: Some(Ill(Illness::Down)), small: true,
    }
    /// The node is down, and will come back empty.
    CrashEmpty {
        hits: Node, lasts: AWhile, loses: Memory, process: GoesOn,
        network: Some(Ill(Illness::DownAndEmpty)), small: false,
    }
    /// The node is down, and will come back with the data of a moment before.
    CrashStale {
        hits: Node, lasts: AWhile, loses: LastWrites, process: GoesOn,
        network: Some(Ill(Illness::RestoredLater)), small: false,
    }
    /// A replica that missed the last writes takes over.
    Failover {
        hits: Node, lasts: AMoment, loses: LastWrites, process: GoesOn,
        network: Some(Once(NodeEvent::Failover)), small: false,
    }
    /// The node was demoted and promoted again, and missed the last writes. Its connections stay
    /// open.
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
    /// A stranger removes the expiry of a lock key.
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
    /// The node is loading its data, and serves nobody.
    Loading {
        hits: Node, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: Some(Ill(Illness::Loading)), small: false,
    }
    /// The node refuses writes.
    ReadOnly {
        hits: Node, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: Some(Ill(Illness::ReadOnly)), small: false,
    }
    /// The node is out of memory.
    OutOfMemory {
        hits: Node, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: Some(Ill(Illness::Full)), small: false,
    }
    /// The client's process dies, and a new one starts without its memory.
    ClientCrash {
        hits: Client, lasts: AWhile, loses: Nothing, process: Dies,
        network: Some(OfProcess), small: true,
    }
    /// The client's process stands still, while its clock goes on.
    Pause {
        hits: Client, lasts: AWhile, loses: Nothing, process: Stops,
        network: Some(OfProcess), small: true,
    }
    /// The client's process stands still, and its clock stops for a while.
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
    /// A stranger deletes or overwrites a lock key just before its owner releases it, and the reply
    /// of that release is lost.
    Robbed {
        hits: Key, lasts: AMoment, loses: LockKey, process: GoesOn,
        network: Some(Meddle(Meddling::Rob)), small: false,
    }
    /// An idle connection is forgotten, by the node or by the network. The next request breaks it,
    /// or is swallowed like all that is sent after it.
    Forgotten {
        hits: Link, lasts: AMoment, loses: Nothing, process: GoesOn,
        network: Some(Forget), small: false,
    }
    /// The client's driver and links stand still, while the application and the clock go on.
    Stall {
        hits: Client, lasts: AWhile, loses: Nothing, process: Stalls,
        network: Some(OfProcess), small: false,
    }
    /// A push does not come to its client.
    LostPush {
        hits: Push(0), lasts: AMoment, loses: Nothing, process: GoesOn,
        network: None, small: false,
    }
    /// A push comes out of order: behind replies that were sent after it, or before some that were
    /// sent before it.
    StrayPush {
        hits: Push(1), lasts: AMoment, loses: Nothing, process: GoesOn,
        network: None, small: false,
    }
    /// A push comes twice.
    DoubledPush {
        hits: Push(2), lasts: AMoment, loses: Nothing, process: GoesOn,
        network: None, small: false,
    }
    /// The server evicts the queue of a key, or a stranger deletes it.
    QueueDeleted {
        hits: Key, lasts: AMoment, loses: Nothing, process: GoesOn,
        network: None, small: false,
    }
    /// A stranger writes something of another type under the name of a queue.
    QueueSpoiled {
        hits: Key, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: None, small: false,
    }
    /// Another library takes a lock that is free, with or without an expiry, and gives it back by
    /// deleting it.
    ForeignLock {
        hits: Key, lasts: AWhile, loses: Nothing, process: GoesOn,
        network: None, small: false,
    }
    /// The node is short of memory for the keys that it watches: it says of all of them that
    /// somebody may have touched them, and watches them no longer.
    Unwatched {
        hits: Node, lasts: AMoment, loses: Nothing, process: GoesOn,
        network: None, small: false,
    }
    /// The node says that all keys may be lost, and none is: another database was flushed.
    FalseAlarm {
        hits: Node, lasts: AMoment, loses: Nothing, process: GoesOn,
        network: None, small: false,
    }
}

impl Loses {
    /// Whether the node may lose any key that it had acknowledged.
    #[must_use]
    pub const fn memory(self) -> bool {
        match self {
            Self::Memory | Self::LastWrites | Self::LastWritesUnseen => true,
            Self::Nothing | Self::LockKey | Self::Expiry => false,
        }
    }

    /// Whether a key that the node had released may be back.
    #[must_use]
    pub const fn last_writes(self) -> bool {
        match self {
            Self::LastWrites | Self::LastWritesUnseen => true,
            Self::Nothing | Self::LockKey | Self::Expiry | Self::Memory => false,
        }
    }

    /// Whether two leases may hold a key in spite of quarantine, since no marker shows the loss.
    #[must_use]
    pub const fn unseen(self) -> bool {
        match self {
            Self::LockKey | Self::LastWritesUnseen => true,
            Self::Nothing | Self::Expiry | Self::Memory | Self::LastWrites => false,
        }
    }
}

impl Process {
    /// Whether the process stands still or is dead until the fault is mended.
    #[must_use]
    pub const fn is_away(self) -> bool {
        match self {
            Self::Stops | Self::Stalls | Self::Freezes | Self::Dies => true,
            Self::GoesOn => false,
        }
    }
}

impl Fault {
    /// Whether it lasts until a fact tells that it is mended.
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
