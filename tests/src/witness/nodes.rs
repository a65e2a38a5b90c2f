//! What a node holds: each change of a lock key, and whose request made it.

use std::collections::BTreeMap;

use tenure_core::OpKind;
use tenure_sim::memory_net::Node;

use tenure_sim::observe::fact::{Answer, Fact, Holder, Nanos, Record};
use tenure_sim::server::ServerClock as _;

use super::names::Names;
use super::nanos;
use super::queues::Lines;
use super::wire::{Asked, asked};

/// A node whose lock keys are watched.
#[derive(Debug)]
pub(super) struct Watched {
    node: Node,
    keys: Vec<Seen>,
    /// Their queues.
    lines: Lines,
    /// All other keys, and when they expire.
    beside: BTreeMap<Vec<u8>, Option<i64>>,
}

/// What was last seen of a lock key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    value: Option<Vec<u8>>,
    /// In milliseconds of the node's wall clock.
    expires: Option<i64>,
}

/// What is known while a node is looked at.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    pub(super) now: Nanos,
    /// The number of the node.
    pub(super) index: usize,
    pub(super) keys: &'a [String],
    pub(super) names: &'a Names,
    /// The channel of each client.
    pub(super) channels: &'a BTreeMap<u8, Vec<u8>>,
}

impl Sight<'_> {
    /// A fact about the node.
    pub(super) fn of_node(&self, fact: Fact) -> Record {
        Record {
            node: u8::try_from(self.index).ok(),
            ..Record::new(self.now, fact)
        }
    }

    /// A fact about a key at the node.
    pub(super) fn of_key(&self, at: usize, fact: Fact) -> Record {
        Record {
            key: u8::try_from(at).ok(),
            ..self.of_node(fact)
        }
    }

    /// A fact about a lease of a key at the node.
    pub(super) fn of_lease(&self, at: usize, lease: u32, fact: Fact) -> Record {
        Record {
            lease: Some(lease),
            ..self.of_key(at, fact)
        }
    }
}

impl Watched {
    pub(super) fn new(node: Node, keys: usize) -> Self {
        Self {
            node,
            keys: vec![Seen::default(); keys],
            lines: Lines::new(keys),
            beside: BTreeMap::new(),
        }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.node.name() == name
    }

    /// Looks at all keys. What has changed was changed by time or by the test, not by a request.
    pub(super) fn look(&mut self, sight: &Sight<'_>, told: &mut Vec<Record>) {
        self.lines
            .look_for_listeners(sight, &self.node, false, told);
        for at in 0..sight.keys.len() {
            told.extend(self.changed(sight, at));
            self.lines.look(sight, &self.node, at, told);
        }
    }

    /// Looks at the keys that a request names, which was just executed, and at all other keys.
    pub(super) fn executed(&mut self, sight: &Sight<'_>, argv: &[Vec<u8>], told: &mut Vec<Record>) {
        self.look_beside(sight, told);
        self.lines.look_for_listeners(sight, &self.node, true, told);
        let Some((ask, asked)) = asked(argv) else {
            self.lines.look_at_stream(&self.node);
            return;
        };
        self.lines.look_at_draws(&self.node, &asked);
        for at in 0..sight.keys.len() {
            let of_key = |asked: &&Asked<'_>| asked.key == sight.keys[at].as_bytes();
            let mut of_leases = Vec::new();
            for asked in asked.iter().filter(of_key) {
                let lease = sight.names.lease_of(asked.token);
                of_leases.extend(lease.map(|lease| (lease, *asked)));
            }
            if !of_leases.is_empty() {
                self.did_to_key(sight, at, ask, &of_leases, told);
            }
        }
    }

    /// Looks at a key for which these leases asked in one call.
    fn did_to_key(
        &mut self,
        sight: &Sight<'_>,
        at: usize,
        ask: OpKind,
        asked: &[(u32, Asked<'_>)],
        told: &mut Vec<Record>,
    ) {
        self.lines.know(at, &asked[0].1);
        told.extend(self.ended(sight, at));
        let before = self.holder(at, sight.names);
        let change = self.changed(sight, at);
        // The change is ascribed to the lease that held the key before its release, or that holds
        // it after the call.
        let holder = if ask.frees() {
            before
        } else {
            self.holder(at, sight.names)
        };
        let by_holder = asked
            .iter()
            .find(|(lease, _)| holder == Holder::Lease(*lease));
        let (actor, _) = by_holder.unwrap_or(&asked[0]);
        let hand_off = self.handed_on(sight, at, ask, *actor, change.as_ref());
        if change.is_some() && ask.frees() {
            // Who gives its own place back in the same call is not handed the lock.
            for (lease, _) in asked {
                self.lines.leaves(sight, at, *lease, told);
            }
        }
        for (lease, asked) in asked {
            told.push(self.did(sight, at, ask, *lease, asked));
        }
        told.extend(hand_off);
        told.extend(change.map(|change| Record {
            lease: Some(*actor),
            ..change
        }));
        self.lines.look(sight, &self.node, at, told);
    }

    /// If a call handed a key on to the lease that holds it now, tells so.
    fn handed_on(
        &self,
        sight: &Sight<'_>,
        at: usize,
        ask: OpKind,
        actor: u32,
        change: Option<&Record>,
    ) -> Option<Record> {
        let Holder::Lease(lease) = self.holder(at, sight.names) else {
            return None;
        };
        let Fact::Key { from, .. } = change?.fact else {
            return None;
        };
        // One of several nodes keeps the key for a lease, and grants nothing by that.
        if !self.lines.has_stream() {
            return None;
        }
        let published = self.lines.published(sight, &self.node, lease);
        // One call may hand the lock on to a lease that asks in it too.
        if lease == actor && published.is_none() {
            return None;
        }
        // Nor does who had it get it, unless a late release finds a place of a later attempt.
        if from == Holder::Lease(lease) && !(ask.frees() && lease == actor) {
            return None;
        }
        // Where nobody heard of it, it is the last one that was drawn.
        let fence = published.or_else(|| self.lines.drawn());
        let fact = Fact::HandedOn {
            fence: fence.unwrap_or_default(),
            until: self.until(at).unwrap_or(Nanos::MAX),
        };
        Some(sight.of_lease(at, lease, fact))
    }

    /// Tells of all keys other than lock keys. An adapter wrote them.
    fn look_beside(&mut self, sight: &Sight<'_>, told: &mut Vec<Record>) {
        for name in self.node.server().keys() {
            if sight.keys.iter().any(|key| key.as_bytes() == name) {
                continue;
            }
            let expires = self.node.server().peek_expiry_ms(&name);
            if self.beside.insert(name, expires) != Some(expires) {
                let until = expires.map(|at| nanos(self.node.clock().true_time_of_ms(at)));
                told.push(sight.of_node(Fact::Beside { until }));
            }
        }
    }

    fn did(
        &self,
        sight: &Sight<'_>,
        at: usize,
        ask: OpKind,
        lease: u32,
        asked: &Asked<'_>,
    ) -> Record {
        let node = u8::try_from(sight.index).expect("few nodes");
        let ours = self.holder(at, sight.names) == Holder::Lease(lease);
        let done = ours != ask.frees();
        let drawn = self.lines.drawn().filter(|_| ask == OpKind::Wait);
        let answer = match drawn {
            Some(fence) if ours => Answer::Granted(fence),
            _ if done => Answer::Done,
            _ if ask == OpKind::Wait && self.lines.keeps(&self.node, at, asked) => Answer::Waiting,
            _ => Answer::Gone,
        };
        let kept = asked.serial.and_then(|it| sight.names.kept(lease, it));
        let fact = Fact::Did {
            ask,
            serial: kept.unwrap_or_else(|| sight.names.sent(lease, node, ask)),
            answer,
            until: self.until(at).filter(|_| ours),
            late: false,
        };
        sight.of_lease(at, lease, fact)
    }

    /// Tells what expired before the request came, so that it is not taken for what the request
    /// did.
    fn ended(&mut self, sight: &Sight<'_>, at: usize) -> Option<Record> {
        let now_ms = i64::try_from(self.node.clock().now_us() / 1_000).unwrap_or(i64::MAX);
        let ended = self.keys[at]
            .expires
            .is_some_and(|expires| expires < now_ms);
        ended.then(|| {
            let from = self.holder(at, sight.names);
            self.keys[at] = Seen::default();
            let (to, until) = (Holder::Nobody, None);
            sight.of_key(at, Fact::Key { from, to, until })
        })
    }

    fn changed(&mut self, sight: &Sight<'_>, at: usize) -> Option<Record> {
        let (server, key) = (self.node.server(), &sight.keys[at]);
        let seen = Seen {
            value: server.peek(key),
            expires: server.peek_expiry_ms(key),
        };
        if seen == self.keys[at] {
            return None;
        }
        let from = self.holder(at, sight.names);
        self.keys[at] = seen;
        let (to, until) = (self.holder(at, sight.names), self.until(at));
        Some(sight.of_key(at, Fact::Key { from, to, until }))
    }

    /// Until when a key is kept, in true time.
    fn until(&self, at: usize) -> Option<Nanos> {
        let expires = self.keys[at].expires?;
        Some(nanos(self.node.clock().true_time_of_ms(expires)))
    }

    fn holder(&self, at: usize, names: &Names) -> Holder {
        Self::held_by(self.keys[at].value.as_deref(), names)
    }

    fn held_by(value: Option<&[u8]>, names: &Names) -> Holder {
        match value {
            None => Holder::Nobody,
            Some(token) => names.lease_of(token).map_or(Holder::Foreign, Holder::Lease),
        }
    }
}
