//! What the judge knows: of leases, of keys, of clients, and of what nodes hold.

use tenure_core::Law;

use super::rules::{Checks, Rules, Violation};
use crate::observe::fact::{Nanos, Record};

/// See the module.
#[derive(Debug)]
pub struct Judge {
    pub(super) rules: Rules,
    pub(super) leases: Vec<Lease>,
    /// By lease and node, `nodes` for each lease.
    pub(super) seats: Vec<Seat>,
    pub(super) keys: Vec<Key>,
    pub(super) clients: Vec<Client>,
    /// By client and node, `nodes` for each client: since when the link serves.
    pub(super) links: Vec<Option<Nanos>>,
    /// By key and node, `nodes` for each key.
    pub(super) copies: Vec<KeyAtNode>,
    /// Until when what was forgotten excuses two holders of any key.
    pub(super) excused_until: Nanos,
    /// Until when it excuses fences that do not grow.
    pub(super) fences_excused_until: Nanos,
    pub(super) healed_at: Option<Nanos>,
    pub(super) violation: Option<Violation>,
    pub(super) checks: Checks,
}

/// What is known of a lease.
#[derive(Debug, Default)]
pub(super) struct Lease {
    pub(super) client: u8,
    pub(super) key: u8,
    pub(super) began: Nanos,
    pub(super) ttl: Nanos,
    pub(super) granted_at: Nanos,
    /// How often it had failed, or was renewed by hand, when it was granted.
    pub(super) extra_before: u64,
    pub(super) stage: Stage,
    /// The end of validity while it is held.
    pub(super) until: Nanos,
    pub(super) attempt: u32,
    /// The largest fence that had been reported as the present attempt was sent.
    pub(super) floor: u64,
    pub(super) fence: u64,
    /// How often the application renewed by hand.
    pub(super) by_hand: u64,
    /// How often it was told that a round or a renewal failed.
    pub(super) failures: u64,
    /// Its client died.
    pub(super) crashed: bool,
    /// Its loss or failure was told, or what came of its release.
    pub(super) told: bool,
    /// Its owner gave it back, and waits for an answer.
    pub(super) asked_back: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Unknown,
    Wanted,
    Held,
    Over,
}

/// What is known of a lease at a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seat {
    /// The node may hold it for up to one TTL after the core has done with it: a request landed on a
    /// connection that had been given up, the server refuses for good, or it remembered what it was told to
    /// forget.
    pub(super) may_linger: bool,
    /// What the node did last: the request, and until when it keeps the key.
    pub(super) did: Option<(u32, Nanos)>,
    /// Until when the node keeps the key, as far as the client has heard.
    pub(super) promised: Option<Nanos>,
    /// A request is in flight; a release behind it.
    pub(super) out: bool,
    pub(super) release_out: bool,
    pub(super) sent: u64,
    pub(super) renewals: u64,
    pub(super) debt: Debt,
}

#[derive(Debug, Default)]
pub(super) struct Key {
    /// The leases that are valid, or were when last looked at.
    pub(super) held: Vec<u32>,
    /// Fences that were reported, in order.
    pub(super) fences: Vec<u64>,
    /// The value of the resource behind the lock.
    pub(super) value: u64,
    pub(super) excused_until: Nanos,
    /// How many leases want it.
    pub(super) wanting: u32,
    /// Since when it is wanted and was not granted.
    pub(super) since: Nanos,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Client {
    pub(super) asleep: bool,
    pub(super) awake_since: Nanos,
    /// None of its leases ends before this: until then there is no end that was not told.
    pub(super) none_ends_before: Nanos,
}

/// What is known of the releases of a lease at a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Debt {
    /// When the last one failed, if none was sent since.
    pub(super) since: Option<Nanos>,
    /// One failed, and may have been carried out.
    pub(super) unknown: bool,
    /// The node let go of the lock, as far as the client knows.
    pub(super) paid: bool,
}

/// A lock key at a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyAtNode {
    /// The lease that holds it, and until when.
    pub(super) holder: Option<(u32, Option<Nanos>)>,
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

    /// A law was broken, as somebody else found: nothing if one was broken before.
    pub fn accuse(&mut self, law: Law, at: Nanos, key: Option<u8>, sentence: String) {
        self.violation.get_or_insert(Violation {
            law,
            sentence,
            at,
            key,
        });
    }

    pub(super) fn grow(&mut self, record: &Record) {
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
            self.copies.resize(len * nodes, KeyAtNode::default());
        }
        if let Some(client) = record.client
            && self.clients.len() <= usize::from(client)
        {
            let len = usize::from(client) + 1;
            self.clients.resize(len, Client::default());
            self.links.resize(len * nodes, None);
        }
    }

    pub(super) fn seat(&mut self, lease: u32, node: u8) -> &mut Seat {
        &mut self.seats[lease as usize * self.rules.nodes + usize::from(node)]
    }

    pub(super) fn client_died(&mut self, at: Nanos, client: u8) {
        for lease in 0..self.leases.len() as u32 {
            let state = &mut self.leases[lease as usize];
            if state.client == client && state.stage != Stage::Unknown && !state.crashed {
                state.crashed = true;
                self.over(at, lease);
            }
        }
    }

    /// The lease is no longer wanted or held.
    pub(super) fn over(&mut self, at: Nanos, lease: u32) {
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
