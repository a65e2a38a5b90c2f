//! What is demanded, how often it was looked at, and a law that was broken.

use std::fmt;

use tenure_core::Law;

#[cfg(doc)]
use crate::observe::fact::Fact;
use crate::observe::fact::Nanos;

/// A law that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub law: Law,
    /// How, in a sentence.
    pub sentence: String,
    /// When, in true time.
    pub at: Nanos,
    /// On which key.
    pub key: Option<u8>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.law, self.sentence)
    }
}

/// What a world promises, and so what is demanded in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The number of nodes.
    pub nodes: usize,
    /// How many of them a lease needs.
    pub quorum: usize,
    /// The largest TTL of any client.
    pub max_ttl: Nanos,
    /// Whether all clocks keep the drift bound, and all clients agree on the nodes and on max TTL:
    /// then Exclusion is demanded.
    pub exclusion: bool,
    /// Whether the clocks allow to compare validity with what nodes promised: then Honest validity is
    /// demanded.
    pub promises: bool,
    /// Whether changes of validity are told as they happen. An observer who looks from time to time tells
    /// a renewal late, and then nothing is demanded of when it was.
    pub prompt: bool,
    /// Whether a node that may have forgotten is kept from granting.
    pub quarantine: bool,
    /// Whether faults excuse what they legitimately break. Without, a judge is shown to see.
    pub excuses: bool,
    /// Whether the servers' wall clocks agree as closely as Fencing assumes.
    pub fencing: bool,
    /// How much longer a node may keep a key than its holder waits until it takes it for expired: servers
    /// expire in whole milliseconds, and TTL·(1 + 2ρ) on a clock that is fast by ρ is short of a TTL on one
    /// that is slow by ρ, by about 2ρ²·TTL. Of meaning where [`Fact::Settled`] is told.
    pub late_expiry: Nanos,
    /// How much later than at the end of validity a loss may be told by a client that is not paused.
    pub told_within: Nanos,
    /// After the faults have healed, a wanted key is granted within this. Not demanded if none.
    pub granted_within: Option<Nanos>,
    /// The shortest pause between two rounds of requests of a lease. Not demanded if zero.
    pub pace: Nanos,
    /// How often any lease is renewed within its TTL while all goes well, at most. Not demanded if zero, as
    /// where nobody tells of renewals that failed.
    pub renewals: u64,
    /// Whether a connection kills the one before it: then nothing lands on that any more.
    pub kills: bool,
    /// A release that failed is sent again within this, while its link serves. Not demanded if zero, as where
    /// nobody tells of links.
    pub freed_within: Nanos,
}

/// How often each kind of thing was looked at, so that a run can show that it checked something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Beginnings and changes of validity that were compared with those of rivals.
    pub validities: u64,
    /// Two leases were valid at an instant, and a fault excused it, or [nobody asked](Rules::exclusion).
    pub excused: u64,
    /// Grants whose fence was compared.
    pub fences: u64,
    /// Reads and writes of the resource that were accepted.
    pub accepted: u64,
    /// Those that were refused because of their fence.
    pub refused: u64,
    /// Changes of keys at nodes.
    pub keys: u64,
    /// Fence counters and markers that were written.
    pub beside: u64,
    /// Requests.
    pub requests: u64,
    /// Keys that were granted after the faults had healed.
    pub healed_grants: u64,
}

impl Checks {
    /// Adds those of another run.
    pub const fn add(&mut self, more: &Self) {
        let Self {
            validities,
            excused,
            fences,
            accepted,
            refused,
            keys,
            beside,
            requests,
            healed_grants,
        } = more;
        self.validities += *validities;
        self.excused += *excused;
        self.fences += *fences;
        self.accepted += *accepted;
        self.refused += *refused;
        self.keys += *keys;
        self.beside += *beside;
        self.requests += *requests;
        self.healed_grants += *healed_grants;
    }
}
