//! What is demanded in a world, how often it was checked, and the report of a broken law.

use std::fmt;

use tenure_core::Law;

#[cfg(doc)]
use crate::observe::fact::Fact;
use crate::observe::fact::Nanos;

/// A law that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which law.
    pub law: Law,
    /// How it was broken, in a sentence.
    pub sentence: String,
    /// When it was found, in true time.
    pub at: Nanos,
    /// On which key, if it is about one.
    pub key: Option<u8>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.sentence)
    }
}

/// What a world promises, and so which laws are demanded in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The number of nodes.
    pub nodes: usize,
    /// How many of them a lease needs.
    pub quorum: usize,
    /// The largest TTL of any client.
    pub max_ttl: Nanos,
    /// Whether Exclusion is demanded. Its assumptions: all clocks keep the drift bound, and all
    /// clients agree on the nodes and on max TTL.
    pub exclusion: bool,
    /// Whether Honest validity is demanded: the clocks are good enough to compare validity with the
    /// expiries at the nodes.
    pub promises: bool,
    /// Whether changes of validity are told at the instant at which they happen. An observer that
    /// only looks from time to time tells a renewal late. Then a renewal that is told after the end
    /// of validity is no violation.
    pub prompt: bool,
    /// Whether a node that may have forgotten a lease is in quarantine, and grants nothing.
    pub quarantine: bool,
    /// Whether faults excuse what they break. If false, they excuse nothing: tests use that to show
    /// that the judge finds such violations.
    pub excuses: bool,
    /// Whether the servers' wall clocks agree as closely as Fencing assumes.
    pub fencing: bool,
    /// How much longer a node may keep a key after its client takes it for expired. Servers expire
    /// keys in whole milliseconds. And a client waits for TTL·(1 + 2ρ): on a clock that is fast
    /// by ρ, this is shorter by about 2ρ²·TTL than a TTL on a clock that is slow by ρ. Used where
    /// [`Fact::Settled`] is told.
    pub late_expiry: Nanos,
    /// How long after the end of validity a client may tell the loss, if it is not paused.
    pub told_within: Nanos,
    /// Whether the application asks its guards also while the tasks of its client stand still. A
    /// guard reads its own clock, so a loss must be told then too.
    pub asked_while_stalled: bool,
    /// Once all faults have healed, a wanted key is granted within this time. None: not
    /// demanded.
    pub granted_within: Option<Nanos>,
    /// The shortest pause between two rounds of requests of a lease. Zero: not demanded.
    pub pace: Nanos,
    /// How often a lease is renewed within its TTL, at most, while nothing fails. Zero: not
    /// demanded, because the world does not tell of renewals that failed.
    pub renewals: u64,
    /// Whether each new connection kills the one before it. Then no request on the old one may
    /// reach the node once the new one serves.
    pub kills: bool,
    /// A release that failed is sent again within this time, while the link serves. Zero: not
    /// demanded, because the world does not tell of links.
    pub freed_within: Nanos,
    /// Whether a release that a node refused may be sent again for its lock alone, as an adapter
    /// does. It hands nothing on.
    pub bare_releases: bool,
    /// If there is one node: a renewal that failed is tried again within this time once the node
    /// comes up. Zero: not demanded, because the world does not tell of links.
    pub recalled_within: Nanos,
    /// If there is one node, after the faults, while all clients are connected: so long at most
    /// somebody waits in a queue although nobody knows that it holds the key. None: not demanded.
    pub idle_within: Option<Nanos>,
    /// After the faults a lock is held for so long at most.
    pub hold: Nanos,
    /// If there is one node: a loss is told so long after the node has pushed that the key was
    /// touched, if the client is awake and the node answers. Zero: not demanded.
    pub doubted_within: Nanos,
    /// If there is one node: a grant is told once so many of its replicas have acknowledged it, as
    /// far as the client has heard. Zero: not demanded.
    pub acknowledged: u32,
}

/// How often each thing was checked, so that a run can show that it checked anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// How often a validity that began or changed was compared with those of the other holders.
    pub validities: u64,
    /// How often two leases were valid at once, and a fault excused it or
    /// [it was not demanded](Rules::exclusion).
    pub excused: u64,
    /// Grants whose fence was compared.
    pub fences: u64,
    /// Fences that nodes drew.
    pub drawn: u64,
    /// Reads and writes of the resource that were accepted.
    pub accepted: u64,
    /// Reads and writes that were refused because of their fence.
    pub refused: u64,
    /// Changes of keys at nodes.
    pub keys: u64,
    /// Fence counters and markers that were written.
    pub beside: u64,
    /// Requests that were sent.
    pub requests: u64,
    /// Keys that were granted after the faults had healed.
    pub healed_grants: u64,
    /// Releases that were told as done although the lock had been lost. Each is excused by the one
    /// double fault that a client cannot see: the key was gone, and a release had no answer.
    pub in_doubt: u64,
    /// Places in queues that were entered or kept.
    pub places: u64,
    /// Grants that were compared with the order of a queue.
    pub turns: u64,
    /// Losses that a node had pushed.
    pub doubts: u64,
}

impl Checks {
    /// Adds those of another run.
    pub const fn add(&mut self, more: &Self) {
        let Self {
            validities,
            excused,
            fences,
            drawn,
            accepted,
            refused,
            keys,
            beside,
            requests,
            healed_grants,
            in_doubt,
            places,
            turns,
            doubts,
        } = more;
        self.validities += *validities;
        self.excused += *excused;
        self.fences += *fences;
        self.drawn += *drawn;
        self.accepted += *accepted;
        self.refused += *refused;
        self.keys += *keys;
        self.beside += *beside;
        self.requests += *requests;
        self.healed_grants += *healed_grants;
        self.in_doubt += *in_doubt;
        self.places += *places;
        self.turns += *turns;
        self.doubts += *doubts;
    }
}
