//! A server of a world: the [model of a node](crate::node), with the clock, the life and the faults
//! of the server that it runs on.

use std::time::Duration;

use tenure_core::{Answer, Op, Refusal, Reply, ServerTime, Words};

use super::link::Tracked;
use super::places::Told;
use crate::clock::Clock;
use crate::node::{
    self, Arrived, Entry, Fences, Memory, Milliseconds, Refused, SetOfNodes, Shown, Value,
};
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
    /// By client: until when the rest of a write is still to be read.
    pub(in crate::world) reads_until: Vec<Nanos>,
    /// By client: connections with a smaller number were killed.
    pub(in crate::world) killed: Vec<u32>,
    /// The connections that listen to pushes: of which client, and their numbers.
    pub(in crate::world) listeners: Vec<(u8, u32)>,
    /// The keys that it watches for connections.
    pub(in crate::world) tracked: Vec<Tracked>,
    /// By key: what was told last of the places in its queue.
    pub(in crate::world) told: Vec<Vec<Told>>,
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

impl Done {
    pub(in crate::world) const fn answered(answer: Answer) -> Self {
        Self {
            reply: Reply::Applied(answer),
            signal: None,
        }
    }
}

const fn refused(refusal: Refusal, signal: Option<Signal>) -> Done {
    Done {
        reply: Reply::NotApplied(refusal),
        signal,
    }
}

impl Node {
    pub(in crate::world) fn new(
        clock: Clock,
        fences: Fences,
        keys: usize,
        clients: usize,
        identity: u32,
    ) -> Self {
        let mut model = node::Node::new(keys, fences);
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
            reads_until: vec![0; clients],
            killed: vec![0; clients],
            listeners: Vec::new(),
            tracked: Vec::new(),
            told: vec![Vec::new(); keys],
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

    /// A client connects, and makes sure that fences can be drawn.
    pub(in crate::world) fn keep_stream(&mut self, now: Nanos) {
        let now = self.shown(now);
        self.model.keep_stream(now);
    }

    pub(in crate::world) fn mark(&mut self, now: Nanos, set: SetOfNodes) {
        let now = self.shown(now);
        self.model.mark(now, set);
    }

    /// How a server in its state refuses a write; none if it does not. `known`: whether it has what
    /// the request names.
    fn refusal(&self, known: bool) -> Option<Done> {
        if self.loading {
            let words = Words::fixed("LOADING");
            return Some(refused(Refusal::Unavailable(words), None));
        }
        if self.refusing {
            return Some(refused(Refusal::Rejected(Words::new("NOPERM")), None));
        }
        if !known {
            return Some(refused(Refusal::Again, Some(Signal::NoScript)));
        }
        // A replica refuses writes.
        if self.read_only {
            let words = Words::fixed("READONLY");
            return Some(refused(
                Refusal::Unavailable(words),
                Some(Signal::Elsewhere),
            ));
        }
        None
    }

    /// Whether it serves whoever reads, and refuses nothing but writes.
    const fn only_reads(&self) -> bool {
        self.read_only && !self.loading && !self.refusing
    }

    /// The first step of a take in native commands. Says whether it set the key, or how the server
    /// refuses it.
    pub(in crate::world) fn take(
        &mut self,
        now: Nanos,
        request: &Arrived,
        ttl: Duration,
    ) -> Result<bool, Done> {
        match self.refusal(true) {
            Some(refusal) => Err(refusal),
            None => Ok(self.model.take(self.shown(now), request, ttl)),
        }
    }

    /// Its second step, after the first has set the key.
    pub(in crate::world) fn draw(&mut self, now: Nanos) -> Answer {
        match self.refusal(true) {
            Some(_) => Answer::Unfenced,
            None => self.model.draw(self.shown(now)),
        }
    }

    /// Does what is asked by a script's name or text, or refuses it as a server in its state does.
    pub(in crate::world) fn apply(&mut self, now: Nanos, request: &Arrived, by_text: bool) -> Done {
        // Each script writes on every path. Who watches only reads.
        let reads = request.op == Op::Watch;
        let refusal = self.refusal(self.scripts || by_text || reads);
        if let Some(refusal) = refusal.filter(|_| !(reads && self.only_reads())) {
            return refusal;
        }
        let now = self.shown(now);
        match self.model.apply(now, request) {
            Ok(answer) => Done::answered(answer),
            Err(Refused::Unmarked) => refused(Refusal::Again, Some(Signal::Unmarked)),
            Err(Refused::OtherSet) => {
                refused(Refusal::Misuse(Words::new("another set of nodes")), None)
            }
            Err(Refused::OutOfMemory) => refused(Refusal::Unavailable(Words::fixed("OOM")), None),
        }
    }
}
