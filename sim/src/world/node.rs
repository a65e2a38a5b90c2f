//! A server of a world: the [model of a node](crate::node), with the clock, the life and the faults
//! of the server that it runs on.

use tenure_core::{Refusal, Reply, ServerTime, Words};

use crate::clock::Clock;
use crate::node::{self, Arrived, Entry, Memory, Milliseconds, Refused, SetOfNodes, Shown, Value};
use crate::observe::fact::{Holder, Nanos};

#[derive(Debug)]
pub(in crate::world) struct Node {
    pub(in crate::world) clock: Clock,
    pub(in crate::world) model: node::Node<Milliseconds>,
    /// If a crash or failover is planned: what it will remember afterwards.
    pub(in crate::world) stale: Option<Memory>,
    /// Counts its restarts. A connection ends with one.
    pub(in crate::world) boot: u32,
    pub(in crate::world) up: bool,
    /// When its clock was stepped last.
    pub(in crate::world) stepped: Nanos,
    /// Whether the scripts are loaded.
    pub(in crate::world) scripts: bool,
    /// Whether it is loading its data, and answers nothing else.
    pub(in crate::world) loading: bool,
    /// Whether it is a replica.
    pub(in crate::world) read_only: bool,
    /// Whether it refuses to serve its clients.
    pub(in crate::world) refusing: bool,
    /// How long it takes for each request.
    pub(in crate::world) slow: Nanos,
    pub(in crate::world) busy_until: Nanos,
    /// A stranger waits for an owner's release.
    pub(in crate::world) robs: bool,
    /// By client: connections with a smaller number were killed.
    pub(in crate::world) killed: Vec<u32>,
}

/// The outcome of a request.
#[derive(Clone, Debug)]
pub(in crate::world) struct Done {
    pub(in crate::world) reply: Reply,
    /// What the link must do before it asks again.
    pub(in crate::world) signal: Option<Signal>,
}

/// What is missing, or that the link must ask another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::world) enum Signal {
    NoScript,
    Unmarked,
    Elsewhere,
}

const fn refused(refusal: Refusal, signal: Option<Signal>) -> Done {
    Done {
        reply: Reply::NotApplied(refusal),
        signal,
    }
}

impl Node {
    pub(in crate::world) fn new(clock: Clock, keys: usize, clients: usize, identity: u32) -> Self {
        let mut model = node::Node::new(keys);
        model.identity = node::Identity {
            run: identity,
            replication: identity,
        };
        Self {
            clock,
            model,
            stale: None,
            boot: 0,
            up: true,
            stepped: 0,
            scripts: false,
            loading: false,
            read_only: false,
            refusing: false,
            slow: 0,
            busy_until: 0,
            robs: false,
            killed: vec![0; clients],
        }
    }

    /// What its clock shows.
    pub(in crate::world) const fn shown(&self, now: Nanos) -> Shown {
        Shown::wall::<Milliseconds>(self.clock.nanos(now))
    }

    pub(in crate::world) fn time(&self, now: Nanos) -> ServerTime {
        self.shown(now).server_time()
    }

    /// What a key holds that has not expired.
    pub(in crate::world) fn entry(&self, now: Nanos, key: u8) -> Option<Entry> {
        self.model.entry(self.shown(now), usize::from(key))
    }

    pub(in crate::world) fn set(&mut self, key: u8, entry: Option<Entry>) {
        self.model.set(usize::from(key), entry);
    }

    pub(in crate::world) fn holder(&self, now: Nanos, key: u8) -> Holder {
        match self.entry(now, key).map(|entry| entry.value) {
            None => Holder::Nobody,
            Some(Value::Token { lease, .. }) => Holder::Lease(lease),
            Some(Value::Other | Value::WrongType) => Holder::Foreign,
        }
    }

    /// When a key expires, in true time, unless its clock is changed before.
    pub(in crate::world) fn expiry(&self, now: Nanos, key: u8) -> Option<Nanos> {
        let until = self.entry(now, key)?.until?;
        Some(self.clock.when((until + 1) * 1_000_000))
    }

    pub(in crate::world) fn mark(&mut self, now: Nanos, set: SetOfNodes) {
        let now = self.shown(now);
        self.model.mark(now, set);
    }

    /// Does what is asked by a script's name or text, or refuses it as a server in its state does.
    pub(in crate::world) fn apply(&mut self, now: Nanos, request: &Arrived, by_text: bool) -> Done {
        if self.loading {
            let words = Words::fixed("LOADING");
            return refused(Refusal::Unavailable(words), None);
        }
        if self.refusing {
            return refused(Refusal::Rejected(Words::new("NOPERM")), None);
        }
        if !self.scripts && !by_text {
            return refused(Refusal::Again, Some(Signal::NoScript));
        }
        // Each script writes on every path, and a replica refuses writes.
        if self.read_only {
            let words = Words::fixed("READONLY");
            return refused(Refusal::Unavailable(words), Some(Signal::Elsewhere));
        }
        let now = self.shown(now);
        match self.model.apply(now, request) {
            Ok(answer) => Done {
                reply: Reply::Applied(answer),
                signal: None,
            },
            Err(Refused::Unmarked) => refused(Refusal::Again, Some(Signal::Unmarked)),
            Err(Refused::OtherSet) => {
                refused(Refusal::Misuse(Words::new("another set of nodes")), None)
            }
            Err(Refused::OutOfMemory) => refused(Refusal::Unavailable(Words::fixed("OOM")), None),
        }
    }
}
