//! The judge: it hears facts in the order of true time and knows after each whether a law is broken.
//!
//! It knows true time, so it needs no history checker: exclusion is that intervals are disjoint. Each
//! law is demanded only where its assumptions hold; [`Rules`] say which a world keeps, and the faults
//! that the facts tell of excuse what they legitimately break, for as long as they may.
//!
//! - `validity` watches what holders believe: Exclusion, Honest validity, No resurrection, Loss is told.
//! - `fences` watches the fences and the resource behind the lock: Fencing.
//! - `nodes` watches the nodes' keys: Ownership, No orphan.
//! - `debts` watches what is owed to them: No orphan, Loss is told.
//! - `work` watches what is asked and what becomes of it: Bounded work, Progress.
//!
//! There is no queue yet, so nothing watches Fairness; Replay is checked by running twice and
//! comparing the hashes of all facts.

mod debts;
mod fences;
mod nodes;
mod validity;
mod work;

use std::fmt;

pub use tenure_core::Law;

use crate::fact::{Fact, Fault, Freed, Nanos, Record};

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

/// See the module.
#[derive(Debug)]
pub struct Judge {
    rules: Rules,
    leases: Vec<Lease>,
    /// By lease and node, `nodes` for each lease.
    seats: Vec<Seat>,
    keys: Vec<Key>,
    clients: Vec<Client>,
    /// By client and node, `nodes` for each client: since when the link serves.
    links: Vec<Option<Nanos>>,
    /// By key and node, `nodes` for each key.
    copies: Vec<nodes::Copy>,
    /// Until when what was forgotten excuses two holders of any key.
    excused_until: Nanos,
    /// Until when it excuses fences that do not grow.
    fences_excused_until: Nanos,
    healed_at: Option<Nanos>,
    violation: Option<Violation>,
    checks: Checks,
}

/// What is known of a lease.
#[derive(Debug, Default)]
struct Lease {
    client: u8,
    key: u8,
    began: Nanos,
    ttl: Nanos,
    granted_at: Nanos,
    /// How often it had failed, or was renewed by hand, when it was granted.
    extra_before: u64,
    stage: Stage,
    /// The end of validity while it is held.
    until: Nanos,
    attempt: u32,
    /// The largest fence that had been reported as the present attempt was sent.
    floor: u64,
    fence: u64,
    /// How often the application renewed by hand.
    by_hand: u64,
    /// How often it was told that a round or a renewal failed.
    failures: u64,
    /// Its client died.
    crashed: bool,
    /// Its loss or failure was told, or what came of its release.
    told: bool,
    /// Its owner gave it back, and waits for an answer.
    asked_back: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Unknown,
    Wanted,
    Held,
    Over,
}

/// What is known of a lease at a node.
#[derive(Clone, Copy, Debug, Default)]
struct Seat {
    /// The node may hold it for up to one TTL after the core has done with it: a request landed on a
    /// connection that had been given up, the server refuses for good, or it remembered what it was told to
    /// forget.
    may_linger: bool,
    /// What the node did last: the request, and until when it keeps the key.
    did: Option<(u32, Nanos)>,
    /// Until when the node keeps the key, as far as the client has heard.
    promised: Option<Nanos>,
    /// A request is in flight; a release behind it.
    out: bool,
    release_out: bool,
    sent: u64,
    renewals: u64,
    debt: debts::Debt,
}

#[derive(Debug, Default)]
struct Key {
    /// The leases that are valid, or were when last looked at.
    held: Vec<u32>,
    /// Fences that were reported, in order.
    fences: Vec<u64>,
    /// The value of the resource behind the lock.
    value: u64,
    excused_until: Nanos,
    /// How many leases want it.
    wanting: u32,
    /// Since when it is wanted and was not granted.
    since: Nanos,
}

#[derive(Clone, Copy, Debug, Default)]
struct Client {
    asleep: bool,
    awake_since: Nanos,
    /// None of its leases ends before this: until then there is no end that was not told.
    none_ends_before: Nanos,
}

impl Judge {
    /// A judge who has heard nothing.
    #[must_use]
    pub const fn new(rules: Rules) -> Self {
        Self {
            rules,
            leases: Vec::new(),
            seats: Vec::new(),
            keys: Vec::new(),
            clients: Vec::new(),
            links: Vec::new(),
            copies: Vec::new(),
            excused_until: 0,
            fences_excused_until: 0,
            healed_at: None,
            violation: None,
            checks: Checks {
                validities: 0,
                excused: 0,
                fences: 0,
                accepted: 0,
                refused: 0,
                keys: 0,
                beside: 0,
                requests: 0,
                healed_grants: 0,
            },
        }
    }

    /// The first law that was broken.
    #[must_use]
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// What was looked at so far.
    #[must_use]
    pub const fn checks(&self) -> Checks {
        self.checks
    }

    /// Takes note of a fact and looks whether a law is broken by it. Facts come in the order of true
    /// time. After the first violation it listens no more.
    pub fn hear(&mut self, record: &Record) {
        if self.violation.is_some() {
            return;
        }
        let Record {
            at, client, lease, ..
        } = *record;
        self.grow(record);
        // Before the fact, which may be the end that was not told; and after, for what it ends.
        if let Some(client) = client {
            self.look_for_untold(at, client);
        }
        match record.fact {
            Fact::Fault(fault) => self.fault(record, fault),
            Fact::Mended(fault) => self.mended(record, fault),
            Fact::Healed => self.healed(at),
            // The network worked since all was dropped.
            Fact::Swept => self.look_for_leftovers(at, false),
            Fact::Link(link) => self.link(record, link),
            Fact::Key { from, to, until } => self.key_changed(record, from, to, until),
            Fact::Beside { until } => self.kept_beside(record, until),
            _ => {}
        }
        if let Some(lease) = lease {
            match record.fact {
                Fact::Wanted { ttl } => self.wanted(record, lease, ttl),
                Fact::Granted { fence, until } => self.granted(at, lease, fence, until),
                Fact::Until { until, why } => self.valid_until(at, lease, until, why),
                Fact::Lost(_) | Fact::Failed { .. } => {
                    self.told_after_its_end(record, lease);
                    self.over(at, lease);
                }
                Fact::Release => {
                    self.asks_back(lease);
                    self.over(at, lease);
                }
                Fact::Cancel => {
                    self.leases[lease as usize].asked_back = false;
                    self.over(at, lease);
                }
                Fact::Released(freed) => {
                    // Who gives back what was told to be lost is told so again.
                    if self.leases[lease as usize].asked_back || freed != Freed::Lost {
                        self.told_after_its_end(record, lease);
                    }
                    self.said_to_be_freed(record, lease, freed);
                }
                Fact::Renew => self.leases[lease as usize].by_hand += 1,
                Fact::Sent { ask, attempt, .. } => self.sent(record, lease, ask, attempt),
                Fact::Did {
                    serial,
                    until,
                    late,
                    ..
                } => {
                    if late {
                        self.landed_late(record, lease);
                    }
                    self.did(record, lease, serial, until);
                }
                Fact::Waiting(_) | Fact::Suspect => {
                    self.told_after_its_end(record, lease);
                    self.failed_once(at, lease);
                }
                Fact::Settled => {
                    self.look_for_answers(at, lease);
                    self.look_for_debts(at, lease);
                    self.settled(at, lease);
                }
                Fact::Heard {
                    ask,
                    serial,
                    outcome,
                } => self.heard(record, lease, ask, serial, outcome),
                Fact::Read { accepted, .. } => self.count_access(accepted),
                Fact::Wrote {
                    accepted, value, ..
                } => self.wrote(at, lease, accepted, value),
                _ => {}
            }
        }
        if let Some(client) = client {
            self.look_for_untold(at, client);
        }
    }

    /// The end of the run: what never came.
    pub fn finish(&mut self, at: Nanos) {
        if self.violation.is_none() {
            self.look_for_waiting(at);
            for client in 0..self.clients.len() {
                self.look_for_untold(at, client as u8);
            }
            self.look_for_leftovers(at, true);
        }
    }

    /// A law was broken, as somebody else found: nothing if one was broken before.
    pub fn accuse(&mut self, law: Law, at: Nanos, key: Option<u8>, sentence: String) {
        self.violation.get_or_insert(Violation {
            law,
            sentence,
            at,
            key,
        });
    }

    fn grow(&mut self, record: &Record) {
        let nodes = self.rules.nodes;
        if let Some(lease) = record.lease
            && self.leases.len() <= lease as usize
        {
            let len = lease as usize + 1;
            self.leases.resize_with(len, Lease::default);
            self.seats.resize(len * nodes, Seat::default());
        }
        if let Some(key) = record.key
            && self.keys.len() <= usize::from(key)
        {
            let len = usize::from(key) + 1;
            self.keys.resize_with(len, Key::default);
            self.copies.resize(len * nodes, nodes::Copy::default());
        }
        if let Some(client) = record.client
            && self.clients.len() <= usize::from(client)
        {
            let len = usize::from(client) + 1;
            self.clients.resize(len, Client::default());
            self.links.resize(len * nodes, None);
        }
    }

    fn seat(&mut self, lease: u32, node: u8) -> &mut Seat {
        &mut self.seats[lease as usize * self.rules.nodes + usize::from(node)]
    }

    fn fault(&mut self, record: &Record, fault: Fault) {
        if let (Some(client), None) = (record.client, record.node) {
            let seen = &mut self.clients[usize::from(client)];
            match fault {
                Fault::Pause | Fault::Freeze => seen.asleep = true,
                Fault::ClientCrash => self.client_died(record.at, client),
                _ => {}
            }
        }
        self.may_linger(record, fault);
        self.excuse(record, fault);
    }

    fn mended(&mut self, record: &Record, fault: Fault) {
        if let (Some(client), Fault::Pause | Fault::Freeze | Fault::ClientCrash) =
            (record.client, fault)
        {
            let seen = &mut self.clients[usize::from(client)];
            seen.asleep = false;
            seen.awake_since = record.at;
        }
        // Some tell of it when the copy is made that will be restored here: then this is when it strikes.
        // Of all others the excuse begins with the fault: a node that is down renews nobody.
        if fault == Fault::CrashStale {
            self.excuse(record, fault);
        }
    }

    /// A node that forgot the last writes remembers what was released, and a key without expiry stays.
    fn may_linger(&mut self, record: &Record, fault: Fault) {
        let Some(node) = record.node else { return };
        let all = matches!(fault, Fault::CrashStale | Fault::Failover | Fault::Replaced);
        for lease in 0..self.leases.len() {
            let of = self.leases[lease].key;
            let persisted = fault == Fault::Persisted && record.key == Some(of);
            self.seat(lease as u32, node).may_linger |= all || persisted;
        }
    }

    /// Notes how long two holders are excused by what was forgotten.
    fn excuse(&mut self, record: &Record, fault: Fault) {
        if !self.rules.excuses {
            return;
        }
        // What was granted before ends within one TTL.
        let end = record.at + self.rules.max_ttl;
        // Nobody sees what changes on a live connection, until he asks again who the node is.
        let unseen = fault == Fault::Replaced || self.rules.nodes == 1 || !self.rules.quarantine;
        // Fences are ahead of servers' times, which differ, by less than one max TTL together.
        if fault == Fault::Replaced && self.rules.nodes > 1 {
            self.fences_excused_until = self.fences_excused_until.max(end);
        }
        // Where two hold a key, as below.
        let prolonged = self.excused_until >= record.at;
        if fault.loses_memory() && (unseen || prolonged) {
            self.excused_until = self.excused_until.max(end);
        }
        // Where a stranger has let two hold a key, a node that forgets takes from the one and is open to
        // the other, whose copy is put back there: so it is not over before the TTL after that is.
        if fault.loses_memory() {
            for key in &mut self.keys {
                if key.excused_until >= record.at {
                    key.excused_until = key.excused_until.max(end);
                }
            }
        }
        if fault.loses_a_key()
            && let Some(key) = record.key
        {
            let key = &mut self.keys[usize::from(key)];
            key.excused_until = key.excused_until.max(end);
        }
    }

    fn client_died(&mut self, at: Nanos, client: u8) {
        for lease in 0..self.leases.len() as u32 {
            let state = &mut self.leases[lease as usize];
            if state.client == client && state.stage != Stage::Unknown && !state.crashed {
                state.crashed = true;
                self.over(at, lease);
            }
        }
    }

    /// The lease is no longer wanted or held.
    fn over(&mut self, at: Nanos, lease: u32) {
        let state = &mut self.leases[lease as usize];
        let stage = std::mem::replace(&mut state.stage, Stage::Over);
        let key = usize::from(state.key);
        match stage {
            Stage::Wanted => self.no_longer_wanted(at, key),
            Stage::Held => self.keys[key].held.retain(|held| *held != lease),
            Stage::Unknown | Stage::Over => {}
        }
    }
}
