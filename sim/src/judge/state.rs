//! What the judge knows of leases, keys, clients, links and nodes.

use tenure_core::Law;

use super::queues::{Line, Turn};
use super::rules::{Checks, Rules, Violation};
use crate::observe::fact::{Nanos, Record};

/// Hears the facts of a run and finds the first law that is broken. See the [module](super).
#[derive(Debug)]
pub struct Judge {
    pub(super) rules: Rules,
    pub(super) leases: Vec<Lease>,
    /// By lease and node: `nodes` entries for each lease.
    pub(super) seats: Vec<Seat>,
    pub(super) keys: Vec<Key>,
    pub(super) clients: Vec<Client>,
    /// Since when the link serves, if it does. By client and node: `nodes` entries for each
    /// client.
    pub(super) links: Vec<Option<Nanos>>,
    /// By key and node: `nodes` entries for each key.
    pub(super) copies: Vec<KeyAtNode>,
    /// By key and node: the queue.
    pub(super) lines: Vec<Line>,
    /// By client and node: whether somebody listens to the channel of the client.
    pub(super) heard: Vec<bool>,
    /// Until when two holders of any key are excused, because nodes forgot leases.
    pub(super) excused_until: Nanos,
    /// Until when fences that do not grow are excused.
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
    /// How many renewals the doubts of nodes allow that were heard since the grant.
    pub(super) doubts: u64,
    /// The sum of `failures` and `by_hand` at the grant.
    pub(super) extra_before: u64,
    pub(super) stage: Stage,
    /// The end of validity while it is held.
    pub(super) until: Nanos,
    pub(super) attempt: u32,
    /// The number of the first request of that.
    pub(super) first_serial: u32,
    /// The largest fence that had been reported when the first request of the present attempt was
    /// sent.
    pub(super) floor: u64,
    pub(super) fence: u64,
    /// How often the application renewed by hand.
    pub(super) by_hand: u64,
    /// In how many attempts a node hinted that the lock is free, and the last of these.
    pub(super) hints: u64,
    pub(super) hinted_in: u32,
    /// How often it was told that a round or a renewal failed.
    pub(super) failures: u64,
    /// Its client died.
    pub(super) crashed: bool,
    /// Its end was told: its loss, its failure, or what came of its release.
    pub(super) told: bool,
    /// Its owner released it while it was held, and waits for an answer.
    pub(super) asked_back: bool,
    /// When a renewal of it failed, if none was tried since.
    pub(super) suspect_since: Option<Nanos>,
    /// Since when it has a place, and with how many ahead.
    pub(super) turn: Option<Turn>,
    /// A node has said that it watches the key, and has not pushed since.
    pub(super) watching: bool,
    /// When a node said that its key may be lost, if it was, and nothing came of it yet.
    pub(super) doubted_since: Option<Nanos>,
}

/// What becomes of a lease.
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
    /// The key may stay at the node after the lease is settled, for up to one TTL. Either a request
    /// landed late, or the server refuses to serve, or a fault brought back a key that had been
    /// released or took its expiry.
    pub(super) may_linger: bool,
    /// The newest request after which the node held the key: its serial, and until when the node
    /// keeps the key.
    pub(super) did: Option<(u32, Nanos)>,
    /// Until when the node keeps the key, as far as the client has heard.
    pub(super) promised: Option<Nanos>,
    /// How many replicas have acknowledged the grant of the present attempt, as far as the client
    /// has heard.
    pub(super) acknowledged: u32,
    /// When the lock was handed on to it: the fence, until when the node keeps the key, and when
    /// that was.
    pub(super) handed: Option<(u64, Nanos, Nanos)>,
    /// The same, the time before: a node that went back to old data hands on again.
    pub(super) handed_before: Option<(u64, Nanos, Nanos)>,
    /// The last request that was answered with *waiting*: its serial, and when the node did it.
    pub(super) waits: Option<(u32, Nanos)>,
    /// When it was last granted the key by a request that enters a place.
    pub(super) waited: Option<Nanos>,
    /// A request other than a release is in flight.
    pub(super) out: bool,
    /// A release is in flight.
    pub(super) release_out: bool,
    /// What became last of the lease's token at the node: a request of the lease deleted it. This
    /// is what the node did, whatever it answered.
    pub(super) freed: bool,
    /// The key is no copy of the lock: one of several nodes keeps it for the lease since another
    /// gave it back, or an earlier attempt had left it.
    pub(super) reserved: bool,
    /// The last request that gave it a copy.
    pub(super) copy_serial: u32,
    /// What became last of it: it expired by itself, and somebody else has the key since.
    pub(super) expired: bool,
    /// A stranger changed it, or the node lost it or its expiry, since the lease wrote it last.
    pub(super) tampered: bool,
    /// The fence that the node drew for it last.
    pub(super) drawn: u64,
    /// The largest fence of the grants that had ended there when it got the key.
    pub(super) floor: u64,
    pub(super) sent: u64,
    pub(super) renewals: u64,
    pub(super) debt: Debt,
}

impl Seat {
    /// A request of the lease deleted its key.
    pub(super) const fn frees(&mut self) {
        self.freed = true;
        self.debt.held |= !self.reserved;
    }
}

/// What is known of a key.
#[derive(Debug, Default)]
pub(super) struct Key {
    /// The leases that are held.
    pub(super) held: Vec<u32>,
    /// The fences that were reported, sorted.
    pub(super) fences: Vec<u64>,
    /// The value of the resource behind the lock.
    pub(super) value: u64,
    /// Until when two holders of this key are excused.
    pub(super) excused_until: Nanos,
    /// How many leases want it.
    pub(super) wanting: u32,
    /// Since when it has been wanted without a grant.
    pub(super) since: Nanos,
}

/// What is known of a client.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Client {
    pub(super) asleep: bool,
    /// Its tasks stand still, and the application beside them does not.
    pub(super) stalled: bool,
    pub(super) awake_since: Nanos,
    /// The validity of none of its leases ends before this instant, so no loss can be untold
    /// before it.
    pub(super) none_ends_before: Nanos,
    /// Since when its node is up. With several nodes, it is any of them.
    pub(super) up_since: Option<Nanos>,
}

/// What is known of the releases of a lease at a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Debt {
    /// Since when a release is owed: the last one failed, and none was sent since.
    pub(super) since: Option<Nanos>,
    /// The outcome of a release is unknown: the node may have done it.
    pub(super) unknown: bool,
    /// The node refused to serve the client.
    pub(super) refused: bool,
    /// The node did not carry a release out, so it is sent again.
    pub(super) again: bool,
    /// The node released the key, as far as the client can know.
    pub(super) paid: bool,
    /// The node had a copy when its owner released the lease, or when it was asked to.
    pub(super) held: bool,
    /// It did not: it had no token of the lease when the release came. The client cannot know,
    /// since an earlier release had no answer, which may have found the token.
    pub(super) in_doubt: bool,
}

/// A lock key at a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyAtNode {
    /// The lease that holds it, and until when.
    pub(super) holder: Option<(u32, Option<Nanos>)>,
    /// The largest fence of the grants that have ended.
    pub(super) ended: u64,
}

impl Judge {
    /// A judge that has heard nothing yet.
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
            lines: Vec::new(),
            heard: Vec::new(),
            excused_until: 0,
            fences_excused_until: 0,
            healed_at: None,
            violation: None,
            checks: Checks {
                validities: 0,
                excused: 0,
                fences: 0,
                drawn: 0,
                accepted: 0,
                refused: 0,
                keys: 0,
                beside: 0,
                requests: 0,
                healed_grants: 0,
                in_doubt: 0,
                places: 0,
                turns: 0,
                doubts: 0,
            },
        }
    }

    /// The first violation, if there was one.
    #[must_use]
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// How often each thing was checked so far.
    #[must_use]
    pub const fn checks(&self) -> Checks {
        self.checks
    }

    /// Reports a violation. Does nothing if there was one before.
    pub fn accuse(&mut self, law: Law, at: Nanos, key: Option<u8>, sentence: String) {
        self.violation.get_or_insert(Violation {
            law,
            sentence,
            at,
            key,
        });
    }

    /// Makes room for the lease, the key and the client of a record.
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
            self.lines.resize(len * nodes, Line::default());
        }
        if let Some(client) = record.client
            && self.clients.len() <= usize::from(client)
        {
            let len = usize::from(client) + 1;
            self.clients.resize(len, Client::default());
            self.links.resize(len * nodes, None);
            self.heard.resize(len * nodes, false);
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
        state.doubted_since = None;
        if stage == Stage::Wanted {
            self.turn_ends(at, lease);
        }
        match stage {
            Stage::Wanted => self.no_longer_wanted(at, key),
            Stage::Held => self.keys[key].held.retain(|held| *held != lease),
            Stage::Unknown | Stage::Over => {}
        }
    }
}
