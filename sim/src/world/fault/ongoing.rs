//! A fault that has begun and will end, or is about to strike.

use crate::observe::fact::Fault;
use crate::observe::fact::fault::Process;

/// What has begun, and how it ends.
#[derive(Clone, Copy, Debug)]
pub(in crate::world) struct Ongoing {
    pub(super) fault: Fault,
    pub(super) undo: Undo,
    pub(super) over: bool,
}

/// How a fault ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undo {
    /// The link of a client to one of its nodes passes everything again.
    Join { client: u8, node: u8 },
    /// A server works again as it should.
    Cure { server: u8, of: Impairment },
    /// What a stranger wrote under the name of a queue is gone.
    Tidy { server: u8, key: u8 },
    /// Another library gives a lock back.
    Unlock { server: u8, key: u8 },
    /// A server is up again.
    Boot { server: u8 },
    /// A client's process goes on, or begins again.
    Wake { client: u8, how: Process },
    /// It was prepared at a server, and has yet to strike: it does not.
    Forget { server: u8, what: Prepared },
}

/// What strikes a while after a server began to write what will be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prepared {
    /// The server crashes.
    Crash,
    /// Another takes over.
    Failover,
    /// Its data is replaced.
    Replacement,
}

/// How a server may be impaired while it is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Impairment {
    /// Each request takes it a while.
    Slow,
    /// It serves nobody.
    Loading,
    /// It takes no writes.
    ReadOnly,
    /// It is out of memory.
    Full,
    /// It refuses our user.
    Refusing,
}
