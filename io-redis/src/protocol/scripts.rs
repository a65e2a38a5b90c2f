//! The table of the scripts: for each its Lua text, what it is for, and how its calls are laid out.
//! Writing calls and the tests go by this table, and so does the choice of who reads an answer.
//!
//! A request is part of one `EVALSHA`: acquires that are due together share one, and so do releases
//! and renewals; most of what a call costs a server is the same for one lock and for many.
//!
//! A token is `label:hex32:attempt` or `hex32:attempt` ([`Token`](tenure_core::Token) has the
//! grammar). Two are of one lease if all but the attempt, behind the last colon, is equal.
//!
//! A lock has a queue, in which leases wait for it: a sorted set, of which `queue.lua` says what
//! its members are. Over one node, what is pushed to a lease that was handed a lock is `PLACE
//! SERIAL ID`: the name of its place, 16 hexadecimal digits; the serial of the request that kept it
//! last, in decimal digits; and the id of the stream that is its fence. Over several nodes a hint
//! is pushed, `PLACE`.
//!
//! Over one node a stream draws the fences: it stays empty and keeps the last id that it drew. It
//! expires two days after it was last kept. Over several nodes each lock has a counter, kept for a
//! day after the time that its value stands for, and a proposal more than a minute ahead of the
//! server's time is ignored. What differs is in the folders `one` and `several`.
//!
//! The lock key is read with `GETEX` without options. That is `GET`, but it counts as a write: a
//! replica refuses it with `READONLY` instead of answering a "no" that is not its to give, and what
//! else forbids writes (`MISCONF`, `NOREPLICAS`) does so before anything is written. It is allowed
//! when the server is out of memory, and after it so is the rest of the script: renewal and release
//! work then. Acquire begins with a `SET NX`, which is a write likewise, and is refused out of
//! memory.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use redis::{Cmd, RedisWrite};
use tenure_core::OpKind;

/// Where the fences of a client's nodes come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fences {
    /// A stream draws them: the client has one node.
    Stream,
    /// Each lock has a counter: the client has several nodes.
    Counters,
}

/// One of the scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Script {
    /// Takes locks of one node, and draws from its stream.
    AcquireOne,
    /// Takes locks of one node, or waits for them in their queues.
    WaitOne,
    /// Takes locks of one of several nodes, and draws from their counters.
    AcquireSeveral,
    /// Stores the fence that is about to be reported.
    Confirm,
    /// Gives locks their TTL again.
    Renew,
    /// Puts back a lock that the node lost.
    Repair,
    /// Hands locks of one node on, or deletes them.
    ReleaseOne,
    /// Deletes locks of one of several nodes, and hints to those who wait for them.
    ReleaseSeveral,
    /// Deletes locks of one of several nodes, and stays in line for them.
    Stay,
    /// Deletes locks, and looks at no queue.
    Release,
    /// Reads a lock of one node and who waits for it, and changes nothing.
    InspectOne,
    /// Reads a lock of one of several nodes, its counter and who waits for it, and changes nothing.
    InspectSeveral,
    /// Breaks a lock of one node: hands it on, or deletes it.
    BreakOne,
    /// Breaks a lock at one of several nodes: deletes it, and hints to who waits for it.
    BreakSeveral,
    /// Writes the marker of a node, or refreshes it.
    Mark,
    /// Creates the stream of a node, or lets it expire later.
    Keep,
}

/// A script's text, and how its calls are laid out: first what each lock has, one lock after the
/// other, then what the call has once.
#[derive(Debug)]
pub struct Layout {
    /// The Lua text.
    pub text: &'static str,
    /// The keys of each lock.
    pub lock_keys: &'static [LockKey],
    /// The arguments of each lock.
    pub lock_args: &'static [LockArg],
    /// Whether the key behind those of all locks is the fence stream.
    pub stream: bool,
    /// Behind the arguments of all locks, this of the node's marker. The marker's key is
    /// then the last key of the call. [`Script::Mark`] always has them; an acquire has them with
    /// quarantine on.
    pub marker_args: &'static [MarkerArg],
    /// How it answers.
    pub answers: Answers,
    /// The commands that it calls. The user must have the right to each.
    pub commands: &'static [Command],
}

/// A command that scripts call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Command {
    /// `GETEX`.
    Getex,
    /// `GET`.
    Get,
    /// `PTTL`.
    Pttl,
    /// `TYPE`.
    Type,
    /// `TIME`.
    Time,
    /// `SET`.
    Set,
    /// `PEXPIRE`.
    Pexpire,
    /// `PEXPIREAT`.
    Pexpireat,
    /// `DEL`.
    Del,
    /// `XADD`.
    Xadd,
    /// `EXISTS`.
    Exists,
    /// `ZADD`.
    Zadd,
    /// `ZREM`.
    Zrem,
    /// `ZRANGE`.
    Zrange,
    /// `ZRANK`.
    Zrank,
    /// `ZCARD`.
    Zcard,
    /// `ZMSCORE`.
    Zmscore,
    /// `PUBLISH`. Without the right to it nobody is told that a lock was handed on.
    Publish,
    /// `PUBSUB`. Without the right to it everybody counts as listening.
    Pubsub,
}

impl Command {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Getex => "GETEX",
            Self::Get => "GET",
            Self::Pttl => "PTTL",
            Self::Type => "TYPE",
            Self::Time => "TIME",
            Self::Set => "SET",
            Self::Pexpire => "PEXPIRE",
            Self::Pexpireat => "PEXPIREAT",
            Self::Del => "DEL",
            Self::Xadd => "XADD",
            Self::Exists => "EXISTS",
            Self::Zadd => "ZADD",
            Self::Zrem => "ZREM",
            Self::Zrange => "ZRANGE",
            Self::Zrank => "ZRANK",
            Self::Zcard => "ZCARD",
            Self::Zmscore => "ZMSCORE",
            Self::Publish => "PUBLISH",
            Self::Pubsub => "PUBSUB",
        }
    }

    /// Whether a client serves without the right to it.
    #[must_use]
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::Publish | Self::Pubsub)
    }

    /// A call of it that does nothing, on a key that does not exist.
    pub(crate) fn probe(self, key: &[u8]) -> Cmd {
        let mut cmd = redis::cmd(self.name());
        match self {
            Self::Time => {}
            Self::Getex
            | Self::Get
            | Self::Pttl
            | Self::Type
            | Self::Del
            | Self::Exists
            | Self::Zcard => {
                cmd.arg(key);
            }
            Self::Zrem | Self::Zrank | Self::Zmscore => {
                cmd.arg(key).arg("");
            }
            Self::Zrange => {
                cmd.arg(key).arg(0).arg(0);
            }
            Self::Zadd => {
                cmd.arg(key).arg("XX").arg(0).arg("");
            }
            Self::Publish => {
                cmd.arg(key).arg("");
            }
            Self::Pubsub => {
                cmd.arg("NUMSUB").arg(key);
            }
            Self::Pexpire | Self::Pexpireat => {
                cmd.arg(key).arg(1);
            }
            Self::Xadd => {
                cmd.arg(key).arg(DRAW);
            }
            Self::Set => {
                cmd.arg(key).arg(0).arg("XX").arg("PX").arg(1);
            }
        }
        cmd
    }
}

/// What follows the name of the stream in an `XADD` that draws an id, leaves the stream empty, and
/// does nothing if it does not exist.
pub(crate) const DRAW: &[&str] = &["NOMKSTREAM", "MAXLEN", "0", "*", "", ""];

/// A key that a call has for each lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKey {
    /// What is locked.
    Lock,
    /// Its fence counter.
    Counter,
    /// Its queue.
    Queue,
}

/// An argument that a call has for each lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockArg {
    /// The token of the attempt.
    Token,
    /// The TTL in milliseconds.
    Ttl,
    /// The fence that is proposed; 0 if none is.
    Proposal,
    /// The fence that was drawn.
    Fence,
    /// What stands in the queue for the lease: the member that has its order. Empty if it has no
    /// place.
    Place,
    /// The number of the request that keeps the place, below 64.
    Serial,
    /// 1 if those who wait are to be told that the lock is free, else 0.
    Hints,
    /// The digest of the value that somebody was shown.
    Seen,
}

/// What a call says of a node's marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkerArg {
    /// The run id of the server.
    RunId,
    /// Its replication id.
    ReplicationId,
    /// 1 if every write was on its disk before the reply, else 0.
    Durable,
    /// The largest TTL of any client, in milliseconds.
    MaxTtl,
    /// The number of nodes.
    Nodes,
    /// The name of the set of nodes; may be empty.
    Name,
    /// When its quarantine is over if it says this, in milliseconds of the server's time.
    Over,
    /// All of it, as it is or ought to be.
    Text,
}

/// How a script answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// With one text for each lock.
    EachLock,
    /// With a fence or a text for each lock, and the server's time.
    EachLockAndTime,
    /// With the failures only: index, why, index, why, …
    Failures,
    /// With one word.
    Word,
    /// In a way of its own, and not to a lease.
    Other,
}

impl Answers {
    /// Whether one call may be for many locks.
    #[must_use]
    pub const fn shares_calls(self) -> bool {
        match self {
            Self::EachLock | Self::EachLockAndTime | Self::Failures => true,
            Self::Word | Self::Other => false,
        }
    }
}

/// The part that draws as a function of its own, for scripts that draw for one lock at a time.
/// Returns the id, or nothing and why there is none, and the milliseconds of the id.
macro_rules! drawing {
    () => {
        concat!(
            "local function draw()\nlocal taken = true\n",
            include_str!("lua/one/draw.lua"),
            "if failed and string.sub(failed, 1, 1) == '-' then failed = 'stream ' .. failed end\n",
            "return id, failed, ms\nend\n",
        )
    };
}

/// What hands a lock on over one node. It is no function: to make one, and what it shares with the
/// script, costs the server more than a command does.
macro_rules! handing_on {
    () => {
        concat!(
            include_str!("lua/one/hand_on.lua"),
            include_str!("lua/queue.lua"),
            include_str!("lua/one/handed.lua"),
        )
    };
}

/// The function that enters places at one of several nodes.
macro_rules! lining_up {
    () => {
        concat!(
            "if refused then\nline = function(i)\n",
            include_str!("lua/several/queued.lua"),
            include_str!("lua/enter.lua"),
            include_str!("lua/several/in_line.lua"),
            "end\nend\n",
        )
    };
}

/// The function that hints. A part with the beginning of an `if` comes before it.
macro_rules! hinting {
    () => {
        concat!(
            "local now\nhint = function(lock, queue)\n",
            include_str!("lua/several/hint.lua"),
            include_str!("lua/queue.lua"),
            include_str!("lua/several/hinted.lua"),
            "end\nend\n",
        )
    };
}

/// The function that gives a lock of one of several nodes back.
macro_rules! freeing {
    () => {
        concat!(
            "local function freed(lock, held, token)\nlocal why\n",
            include_str!("lua/owned.lua"),
            include_str!("lua/several/freed.lua"),
            "end\n",
        )
    };
}

impl Script {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::AcquireOne,
        Self::WaitOne,
        Self::AcquireSeveral,
        Self::Confirm,
        Self::Renew,
        Self::Repair,
        Self::ReleaseOne,
        Self::ReleaseSeveral,
        Self::Stay,
        Self::Release,
        Self::InspectOne,
        Self::InspectSeveral,
        Self::BreakOne,
        Self::BreakSeveral,
        Self::Mark,
        Self::Keep,
    ];

    /// Those that a client calls.
    pub fn of(fences: Fences) -> impl Iterator<Item = Self> + Clone {
        let other = match fences {
            Fences::Stream => &[
                Self::AcquireSeveral,
                Self::Confirm,
                Self::Repair,
                Self::ReleaseSeveral,
                Self::Stay,
                Self::InspectSeveral,
                Self::BreakSeveral,
            ][..],
            Fences::Counters => &[
                Self::AcquireOne,
                Self::WaitOne,
                Self::ReleaseOne,
                Self::InspectOne,
                Self::BreakOne,
                Self::Keep,
            ],
        };
        let all = Self::ALL.iter().copied();
        all.filter(move |script| !other.contains(script))
    }

    /// The script by which a lease asks this. What it may ask by plain commands has one too.
    #[must_use]
    pub const fn asking(kind: OpKind, fences: Fences) -> Self {
        match (kind, fences) {
            (OpKind::Take | OpKind::Acquire, Fences::Stream) => Self::AcquireOne,
            (OpKind::Wait, Fences::Stream) => Self::WaitOne,
            // Over several nodes a place is entered by what acquires, and by what stays.
            (OpKind::Take | OpKind::Acquire | OpKind::Wait, Fences::Counters) => {
                Self::AcquireSeveral
            }
            (OpKind::Confirm, _) => Self::Confirm,
            (OpKind::Renew, _) => Self::Renew,
            (OpKind::Repair, _) => Self::Repair,
            (OpKind::Release, Fences::Stream) => Self::ReleaseOne,
            (OpKind::Release, Fences::Counters) => Self::ReleaseSeveral,
            (OpKind::Stay, _) => Self::Stay,
            // No link watches yet: it would read the key, and change nothing.
            // Nor does one ask so what replicas have acknowledged: for that the commands are plain.
            (OpKind::Watch | OpKind::Acknowledge, Fences::Stream) => Self::InspectOne,
            (OpKind::Watch | OpKind::Acknowledge, Fences::Counters) => Self::InspectSeveral,
        }
    }

    /// What a lease asks by it; none if no lease does.
    #[must_use]
    pub const fn asks(self) -> Option<OpKind> {
        match self {
            Self::AcquireOne | Self::AcquireSeveral => Some(OpKind::Acquire),
            Self::Confirm => Some(OpKind::Confirm),
            Self::Renew => Some(OpKind::Renew),
            Self::Repair => Some(OpKind::Repair),
            Self::WaitOne => Some(OpKind::Wait),
            Self::ReleaseOne | Self::ReleaseSeveral | Self::Release => Some(OpKind::Release),
            Self::Stay => Some(OpKind::Stay),
            Self::InspectOne | Self::InspectSeveral | Self::BreakOne | Self::BreakSeveral => None,
            Self::Mark | Self::Keep => None,
        }
    }

    /// The commands that a client calls, in scripts and else, each once.
    pub(crate) fn commands(fences: Fences) -> BTreeSet<Command> {
        Self::of(fences)
            .flat_map(|script| script.layout().commands)
            .copied()
            .collect()
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcquireOne | Self::AcquireSeveral => "Acquire",
            Self::Confirm => "Confirm",
            Self::Renew => "Renew",
            Self::Repair => "Repair",
            Self::WaitOne => "Wait",
            Self::ReleaseOne | Self::ReleaseSeveral | Self::Release => "Release",
            Self::Stay => "Stay",
            Self::InspectOne | Self::InspectSeveral => "Inspect",
            Self::BreakOne | Self::BreakSeveral => "Break",
            Self::Mark => "Mark",
            Self::Keep => "Keep",
        }
    }

    /// Its row of the table.
    #[must_use]
    // tidy: long: a table, one row for each script.
    pub const fn layout(self) -> &'static Layout {
        use Command::{
            Del, Exists, Get, Getex, Pexpire, Pexpireat, Pttl, Publish, Pubsub, Set, Time, Type,
            Xadd, Zadd, Zcard, Zmscore, Zrange, Zrank, Zrem,
        };
        use LockArg::{Fence, Hints, Place, Proposal, Seen, Serial, Token, Ttl};
        use LockKey::{Counter, Lock, Queue};
        use MarkerArg::{Durable, MaxTtl, Name, Nodes, Over, ReplicationId, RunId, Text};
        match self {
            Self::AcquireOne => &Layout {
                text: concat!(
                    include_str!("lua/one/acquire.lua"),
                    include_str!("lua/marker.lua"),
                    include_str!("lua/one/take.lua"),
                    include_str!("lua/refused.lua"),
                    include_str!("lua/fingerprint.lua"),
                    include_str!("lua/held.lua"),
                    include_str!("lua/one/draw.lua"),
                    include_str!("lua/one/granted.lua"),
                ),
                lock_keys: &[Lock],
                lock_args: &[Token, Ttl],
                stream: true,
                marker_args: &[Over, Text],
                answers: Answers::EachLock,
                commands: &[Getex, Get, Pttl, Type, Time, Set, Pexpireat, Del, Xadd],
            },
            Self::WaitOne => &Layout {
                text: concat!(
                    include_str!("lua/one/wait.lua"),
                    include_str!("lua/marker.lua"),
                    include_str!("lua/one/waiting.lua"),
                    drawing!(),
                    include_str!("lua/tail.lua"),
                    include_str!("lua/one/waited.lua"),
                    include_str!("lua/enter.lua"),
                    include_str!("lua/one/entered.lua"),
                    handing_on!(),
                    include_str!("lua/one/answered.lua"),
                    include_str!("lua/fingerprint.lua"),
                    include_str!("lua/one/placed.lua"),
                    include_str!("lua/one/won.lua"),
                ),
                lock_keys: &[Lock, Queue],
                lock_args: &[Token, Ttl, Place, Serial],
                stream: true,
                marker_args: &[Over, Text],
                answers: Answers::EachLock,
                commands: &[
                    Getex, Get, Pttl, Type, Time, Set, Pexpireat, Del, Xadd, Zadd, Zrem, Zrange,
                    Zrank, Zcard, Zmscore, Publish, Pubsub,
                ],
            },
            Self::AcquireSeveral => &Layout {
                text: concat!(
                    include_str!("lua/several/acquire.lua"),
                    include_str!("lua/marker.lua"),
                    include_str!("lua/several/take.lua"),
                    include_str!("lua/tail.lua"),
                    include_str!("lua/several/order.lua"),
                    lining_up!(),
                    include_str!("lua/refused.lua"),
                    include_str!("lua/fingerprint.lua"),
                    include_str!("lua/held.lua"),
                    include_str!("lua/several/granted.lua"),
                ),
                lock_keys: &[Lock, Counter, Queue],
                lock_args: &[Token, Ttl, Proposal, Place],
                stream: false,
                marker_args: &[Over, Text],
                answers: Answers::EachLockAndTime,
                commands: &[
                    Getex, Get, Exists, Pttl, Type, Time, Set, Pexpireat, Del, Zadd, Zrem, Zrange,
                    Zrank, Zcard, Zmscore,
                ],
            },
            Self::Confirm => &Layout {
                text: include_str!("lua/several/confirm.lua"),
                lock_keys: &[Lock, Counter],
                lock_args: &[Token, Fence],
                stream: false,
                marker_args: &[],
                answers: Answers::Word,
                commands: &[Getex, Get, Type, Time, Set],
            },
            Self::Renew => &Layout {
                text: include_str!("lua/renew.lua"),
                lock_keys: &[Lock],
                lock_args: &[Token, Ttl],
                stream: false,
                marker_args: &[],
                answers: Answers::Failures,
                commands: &[Getex, Pttl, Pexpire],
            },
            Self::Repair => &Layout {
                text: include_str!("lua/several/repair.lua"),
                lock_keys: &[Lock, Counter],
                lock_args: &[Token, Ttl, Fence],
                stream: false,
                marker_args: &[],
                answers: Answers::Word,
                commands: &[Getex, Get, Pttl, Type, Time, Set],
            },
            Self::ReleaseOne => &Layout {
                text: concat!(
                    include_str!("lua/one/release.lua"),
                    drawing!(),
                    include_str!("lua/one/leave.lua"),
                    include_str!("lua/owned.lua"),
                    include_str!("lua/one/owner.lua"),
                    handing_on!(),
                    include_str!("lua/one/released.lua"),
                ),
                lock_keys: &[Lock, Queue],
                lock_args: &[Token, Place],
                stream: true,
                marker_args: &[],
                answers: Answers::Failures,
                commands: &[
                    Getex, Exists, Type, Time, Set, Pexpireat, Del, Xadd, Zrem, Zrange, Zmscore,
                    Publish, Pubsub,
                ],
            },
            Self::ReleaseSeveral => &Layout {
                text: concat!(
                    include_str!("lua/several/release.lua"),
                    include_str!("lua/tail.lua"),
                    hinting!(),
                    freeing!(),
                    include_str!("lua/several/released.lua"),
                ),
                lock_keys: &[Lock, Queue],
                lock_args: &[Token, Place, Hints],
                stream: false,
                marker_args: &[],
                answers: Answers::Failures,
                commands: &[
                    Getex, Exists, Type, Time, Set, Del, Zadd, Zrem, Zrange, Zmscore, Publish,
                    Pubsub,
                ],
            },
            Self::Stay => &Layout {
                text: concat!(
                    include_str!("lua/several/stay.lua"),
                    include_str!("lua/tail.lua"),
                    include_str!("lua/several/order.lua"),
                    freeing!(),
                    include_str!("lua/several/stayed.lua"),
                    include_str!("lua/enter.lua"),
                    include_str!("lua/several/left.lua"),
                ),
                lock_keys: &[Lock, Queue],
                lock_args: &[Token, Ttl, Place],
                stream: false,
                marker_args: &[],
                answers: Answers::Failures,
                commands: &[
                    Getex, Pttl, Time, Pexpireat, Del, Zadd, Zrange, Zcard, Zmscore,
                ],
            },
            Self::Release => &Layout {
                text: concat!(
                    include_str!("lua/release.lua"),
                    include_str!("lua/owned.lua"),
                    include_str!("lua/deleted.lua"),
                ),
                lock_keys: &[Lock],
                lock_args: &[Token],
                stream: false,
                marker_args: &[],
                answers: Answers::Failures,
                commands: &[Getex, Del],
            },
            Self::InspectOne => &Layout {
                text: concat!(
                    include_str!("lua/one/inspect.lua"),
                    include_str!("lua/line.lua"),
                    include_str!("lua/shown.lua"),
                    include_str!("lua/one/inspected.lua"),
                ),
                lock_keys: &[Lock, Queue],
                lock_args: &[],
                stream: false,
                marker_args: &[],
                answers: Answers::Other,
                commands: &[Getex, Pttl, Type, Time, Zcard, Zrange, Zmscore],
            },
            Self::InspectSeveral => &Layout {
                text: concat!(
                    include_str!("lua/several/inspect.lua"),
                    include_str!("lua/line.lua"),
                    include_str!("lua/shown.lua"),
                    include_str!("lua/several/inspected.lua"),
                ),
                lock_keys: &[Lock, Counter, Queue],
                lock_args: &[],
                stream: false,
                marker_args: &[],
                answers: Answers::Other,
                commands: &[Getex, Get, Pttl, Type, Time, Zcard, Zrange, Zmscore],
            },
            Self::BreakOne => &Layout {
                text: concat!(
                    include_str!("lua/one/break.lua"),
                    include_str!("lua/broken.lua"),
                    drawing!(),
                    include_str!("lua/one/broken.lua"),
                    handing_on!(),
                    include_str!("lua/one/freed.lua"),
                ),
                lock_keys: &[Lock, Queue],
                lock_args: &[Seen],
                stream: true,
                marker_args: &[],
                answers: Answers::Other,
                commands: &[
                    Getex, Exists, Type, Time, Set, Pexpireat, Del, Xadd, Zrem, Zrange, Zmscore,
                    Publish, Pubsub,
                ],
            },
            Self::BreakSeveral => &Layout {
                text: concat!(
                    include_str!("lua/several/break.lua"),
                    include_str!("lua/broken.lua"),
                    include_str!("lua/tail.lua"),
                    hinting!(),
                    include_str!("lua/several/broken.lua"),
                ),
                lock_keys: &[Lock, Queue],
                lock_args: &[Seen],
                stream: false,
                marker_args: &[],
                answers: Answers::Other,
                commands: &[
                    Getex, Exists, Type, Time, Set, Del, Zadd, Zrem, Zrange, Zmscore, Publish,
                    Pubsub,
                ],
            },
            Self::Mark => &Layout {
                text: include_str!("lua/mark.lua"),
                lock_keys: &[],
                lock_args: &[],
                stream: false,
                marker_args: &[RunId, ReplicationId, Durable, MaxTtl, Nodes, Name],
                answers: Answers::Other,
                commands: &[Getex, Time, Set],
            },
            Self::Keep => &Layout {
                text: concat!(
                    include_str!("lua/one/keep.lua"),
                    include_str!("lua/one/draw.lua"),
                    include_str!("lua/one/kept.lua"),
                ),
                lock_keys: &[],
                lock_args: &[],
                stream: true,
                marker_args: &[],
                answers: Answers::Other,
                commands: &[Type, Time, Pexpireat, Del, Xadd],
            },
        }
    }

    /// The Lua text.
    #[must_use]
    pub const fn text(self) -> &'static str {
        self.layout().text
    }

    /// The name that `EVALSHA` knows it by: the SHA-1 of its text.
    #[must_use]
    pub fn sha(self) -> &'static str {
        let of = |(script, sha)| (script == self).then_some(sha);
        // Each script is in the list, which is made of all of them.
        shas().find_map(of).unwrap_or_default()
    }

    /// The script that `EVALSHA` knows by this name.
    #[must_use]
    pub fn by_sha(name: &[u8]) -> Option<Self> {
        shas().find_map(|(script, sha)| (sha.as_bytes() == name).then_some(script))
    }

    /// The command that teaches it to the server.
    pub(crate) fn load(self) -> Cmd {
        let mut cmd = redis::cmd("SCRIPT");
        cmd.arg("LOAD").arg(self.text());
        cmd
    }

    /// The beginning of a call for so many locks, with the parts of the marker or without. All keys
    /// and arguments together have about `size` bytes. The script is sent by its text or by its
    /// name.
    pub(crate) fn call(self, by_text: bool, locks: usize, with_marker: bool, size: usize) -> Cmd {
        let layout = self.layout();
        let (mut keys, mut args) = (
            layout.lock_keys.len() * locks,
            layout.lock_args.len() * locks,
        );
        if layout.stream {
            keys += 1;
        }
        if with_marker {
            keys += 1;
            args += layout.marker_args.len();
        }
        let (command, script) = if by_text {
            ("EVAL", self.text())
        } else {
            ("EVALSHA", self.sha())
        };
        let mut cmd = Cmd::with_capacity(3 + keys + args, size + script.len() + 16);
        cmd.write_arg(command.as_bytes());
        cmd.write_arg(script.as_bytes());
        cmd.arg(keys);
        cmd
    }
}

fn shas() -> impl Iterator<Item = (Script, &'static str)> {
    static SHAS: LazyLock<Vec<(Script, String)>> = LazyLock::new(|| {
        let hash = |script: Script| redis::Script::new(script.text()).get_hash().to_owned();
        let named = Script::ALL.iter().map(|script| (*script, hash(*script)));
        named.collect()
    });
    SHAS.iter().map(|(script, sha)| (*script, sha.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_nothing_of_flags_so_that_6_2_runs_it() {
        for &script in Script::ALL {
            assert!(!script.text().starts_with("#!"), "{script:?}");
            assert_eq!(script.sha().len(), 40);
            assert_eq!(Script::by_sha(script.sha().as_bytes()), Some(script));
        }
    }

    /// The name after each `call` of the server in a text.
    fn called(text: &str) -> BTreeSet<String> {
        let code = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"));
        let code = code.collect::<Vec<_>>().join("\n");
        let calls = code.match_indices("call(");
        let name = |(at, open): (usize, &str)| {
            let argument = &code[at + open.len()..];
            let quoted = argument
                .strip_prefix('\'')
                .and_then(|rest| rest.split_once('\''));
            let (name, _) = quoted.unwrap_or_else(|| panic!("no name of its own: {argument}"));
            name.to_owned()
        };
        calls.map(name).collect()
    }

    #[test]
    fn each_row_names_the_commands_that_its_text_calls() {
        for &script in Script::ALL {
            let commands = script.layout().commands;
            let of_the_row = commands.iter().map(|command| command.name().to_owned());
            assert_eq!(called(script.text()), of_the_row.collect(), "{script:?}");
        }
    }

    #[test]
    fn a_probe_of_a_command_is_that_command_on_the_key_that_is_given() {
        for command in Script::commands(Fences::Stream) {
            let probe = command.probe(b"unused");
            let words: Vec<_> = probe
                .args_iter()
                .map(|arg| match arg {
                    redis::Arg::Simple(bytes) => bytes,
                    _ => b"?",
                })
                .collect();
            assert_eq!(words[0], command.name().as_bytes());
            let key = if command == Command::Pubsub { 2 } else { 1 };
            assert!(command == Command::Time || words[key] == b"unused");
        }
    }

    /// What a text says of its keys or arguments, in the lines that begin with this word; none if
    /// it says nothing.
    fn said(text: &str, word: &str) -> Option<String> {
        let first = format!("-- {word}: ");
        let mut lines = text.lines().skip_while(|line| !line.starts_with(&first));
        let mut said = lines.next()?.strip_prefix(&first)?.to_owned();
        for more in lines.map_while(|line| line.strip_prefix("--  ")) {
            said.push(' ');
            said.push_str(more.trim_start());
        }
        Some(said)
    }

    /// What a text has to say of the parts that a call has for each lock, and of those it has once.
    fn expected(layout: &Layout, each: &[&str], stream: bool, once: &[&str]) -> Option<String> {
        let mut said = each.join(", ");
        if !each.is_empty() && layout.answers.shares_calls() {
            said.push_str(" for each");
        }
        if stream {
            said.push_str(if each.is_empty() { "" } else { ", " });
            said.push_str("fence stream");
        }
        match (each, once) {
            ([], []) if !stream => return None,
            ([], once) => said.push_str(&once.join(", ")),
            (_, []) => {}
            (_, once) => said.push_str(&format!(" [, {}]", once.join(", "))),
        }
        Some(said)
    }

    #[test]
    fn each_text_begins_with_the_keys_and_arguments_of_its_row() {
        for &script in Script::ALL {
            let layout = script.layout();
            let keys = layout.lock_keys.iter().map(|key| match key {
                LockKey::Lock => "lock",
                LockKey::Counter => "fence counter",
                LockKey::Queue => "queue",
            });
            let args = layout.lock_args.iter().map(|arg| match arg {
                LockArg::Token => "token",
                LockArg::Ttl => "TTL ms",
                LockArg::Proposal => "proposed fence (0: none)",
                LockArg::Fence => "fence",
                LockArg::Place => "place",
                LockArg::Serial => "serial",
                LockArg::Hints => "hints (1 or 0)",
                LockArg::Seen => "seen",
            });
            let marker = layout.marker_args.iter().map(|arg| match arg {
                MarkerArg::RunId => "run id",
                MarkerArg::ReplicationId => "replication id",
                MarkerArg::Durable => "durable (1 or 0)",
                MarkerArg::MaxTtl => "max TTL ms",
                MarkerArg::Nodes => "number of nodes",
                MarkerArg::Name => "name of the set",
                MarkerArg::Over => "end of quarantine (server ms)",
                MarkerArg::Text => "text of the marker",
            });
            let (keys, args): (Vec<_>, Vec<_>) = (keys.collect(), args.collect());
            let marker: Vec<_> = marker.collect();
            let marker_key = if marker.is_empty() {
                &[][..]
            } else {
                &["marker"]
            };
            let head = (said(layout.text, "KEYS"), said(layout.text, "ARGV"));
            let of_the_row = (
                expected(layout, &keys, layout.stream, marker_key),
                expected(layout, &args, false, &marker),
            );
            assert_eq!(head, of_the_row, "{script:?}");
        }
    }
}
