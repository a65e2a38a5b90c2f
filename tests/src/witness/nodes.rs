//! What a node holds: each change of a lock key, and whose request made it.

use std::collections::BTreeMap;

use tenure_core::OpKind;
use tenure_sim::memory_net::Node;

use tenure_sim::observe::fact::{Answer, Fact, Holder, Nanos, Record};
use tenure_sim::server::ServerClock as _;

use super::names::Names;
use super::nanos;
use super::wire::asked;

/// A node whose lock keys are watched.
#[derive(Debug)]
pub(super) struct Watched {
    node: Node,
    keys: Vec<Seen>,
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

impl Watched {
    pub(super) fn new(node: Node, keys: usize) -> Self {
        Self {
            node,
            keys: vec![Seen::default(); keys],
            beside: BTreeMap::new(),
        }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        self.node.name() == name
    }

    /// Looks at all keys. What has changed was changed by time or by the test, not by a request.
    pub(super) fn look(
        &mut self,
        now: Nanos,
        index: usize,
        keys: &[String],
        names: &Names,
        told: &mut Vec<Record>,
    ) {
        for (at, key) in keys.iter().enumerate() {
            told.extend(self.changed(now, index, at, key, None, names));
        }
    }

    /// Looks at the keys that a request names, which was just executed, and at all other keys.
    pub(super) fn executed(
        &mut self,
        now: Nanos,
        index: usize,
        keys: &[String],
        argv: &[Vec<u8>],
        names: &Names,
        told: &mut Vec<Record>,
    ) {
        self.look_beside(now, index, keys, told);
        let Some((ask, asked)) = asked(argv) else {
            return;
        };
        for &(key, token) in &asked {
            let Some(at) = keys.iter().position(|known| known.as_bytes() == key) else {
                continue;
            };
            let Some(lease) = names.lease_of(token) else {
                continue;
            };
            told.extend(self.ended(now, index, at, names));
            // If several leases ask for one key in one call, the change is ascribed to the lease
            // that held the key before its release, or that holds it after the call.
            let alone = asked.iter().filter(|(other, _)| *other == key).count() == 1;
            let holder = if ask.frees() {
                self.holder(at, names)
            } else {
                Self::held_by(self.node.server().peek(key).as_deref(), names)
            };
            if alone || holder == Holder::Lease(lease) {
                told.extend(self.changed(now, index, at, &keys[at], Some(lease), names));
            }
            told.push(self.did(now, index, at, ask, lease, names));
        }
    }

    /// Tells of all keys other than lock keys. An adapter wrote them.
    fn look_beside(&mut self, now: Nanos, index: usize, keys: &[String], told: &mut Vec<Record>) {
        for name in self.node.server().keys() {
            if keys.iter().any(|key| key.as_bytes() == name) {
                continue;
            }
            let expires = self.node.server().peek_expiry_ms(&name);
            if self.beside.insert(name, expires) != Some(expires) {
                let until = expires.map(|at| nanos(self.node.clock().true_time_of_ms(at)));
                told.push(Record {
                    node: u8::try_from(index).ok(),
                    ..Record::new(now, Fact::Beside { until })
                });
            }
        }
    }

    fn did(
        &self,
        now: Nanos,
        index: usize,
        at: usize,
        ask: OpKind,
        lease: u32,
        names: &Names,
    ) -> Record {
        let node = u8::try_from(index).expect("few nodes");
        let ours = self.holder(at, names) == Holder::Lease(lease);
        let done = ours != (ask == OpKind::Release);
        let fact = Fact::Did {
            ask,
            serial: names.sent(lease, node, ask),
            answer: if done { Answer::Done } else { Answer::Gone },
            until: self.until(at).filter(|_| ours),
            late: false,
        };
        Record {
            lease: Some(lease),
            ..record(now, index, at, fact)
        }
    }

    /// Tells what expired before the request came, so that it is not taken for what the request
    /// did.
    fn ended(&mut self, now: Nanos, index: usize, at: usize, names: &Names) -> Option<Record> {
        let now_ms = i64::try_from(self.node.clock().now_us() / 1_000).unwrap_or(i64::MAX);
        let ended = self.keys[at]
            .expires
            .is_some_and(|expires| expires < now_ms);
        ended.then(|| {
            let from = self.holder(at, names);
            self.keys[at] = Seen::default();
            let (to, until) = (Holder::Nobody, None);
            record(now, index, at, Fact::Key { from, to, until })
        })
    }

    fn changed(
        &mut self,
        now: Nanos,
        index: usize,
        at: usize,
        key: &str,
        lease: Option<u32>,
        names: &Names,
    ) -> Option<Record> {
        let server = self.node.server();
        let seen = Seen {
            value: server.peek(key),
            expires: server.peek_expiry_ms(key),
        };
        if seen == self.keys[at] {
            return None;
        }
        let from = self.holder(at, names);
        self.keys[at] = seen;
        let (to, until) = (self.holder(at, names), self.until(at));
        Some(Record {
            lease,
            ..record(now, index, at, Fact::Key { from, to, until })
        })
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

fn record(now: Nanos, node: usize, key: usize, fact: Fact) -> Record {
    Record {
        node: u8::try_from(node).ok(),
        key: u8::try_from(key).ok(),
        ..Record::new(now, fact)
    }
}
