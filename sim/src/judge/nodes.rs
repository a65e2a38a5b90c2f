//! The keys at the nodes: Ownership and No orphan.

use tenure_core::Law;

use super::state::{Judge, Stage};
use crate::observe::fact::{Holder, Nanos, Record};

const HOUR: Nanos = 3_600_000_000_000;
/// How long fence counters and markers may be kept: a day, and an hour for clocks that are wrong.
const BESIDE_FOR: Nanos = 25 * HOUR;
/// And the fence stream of the only node: two days, and that hour.
const STREAM_FOR: Nanos = 49 * HOUR;

/// A key lives until the end of its last millisecond.
const LAST_MS: Nanos = 1_000_000;

impl Judge {
    pub(super) fn key_changed(
        &mut self,
        record: &Record,
        from: Holder,
        to: Holder,
        until: Option<Nanos>,
    ) {
        self.checks.keys += 1;
        let (Some(node), Some(key)) = (record.node, record.key) else {
            return;
        };
        let index = usize::from(key) * self.rules.nodes + usize::from(node);
        let holder = match to {
            Holder::Lease(lease) => Some((lease, until)),
            Holder::Nobody | Holder::Foreign => None,
        };
        let before = std::mem::replace(&mut self.copies[index].holder, holder);
        self.grant_changed(index, node, before.map(|(lease, _)| lease), holder);
        let by_nobody = record.lease.is_none();
        if let Some((lease, until)) = before {
            let expired = until.is_some_and(|until| until <= record.at);
            let seat = self.seat(lease, node);
            (seat.tampered, seat.expired) = (seat.tampered || by_nobody, expired);
        }
        if let Some((lease, _)) = holder {
            self.begins_anew(record, lease, node);
        }
        // If the record names no lease, the server or a stranger changed the key.
        let Some(actor) = record.lease else { return };
        let (own, nobody) = (Holder::Lease(actor), Holder::Nobody);
        let handed_to = Self::is_hand_off(actor, from, to);
        if from == own && (to == nobody || handed_to.is_some()) {
            self.seat(actor, node).frees();
        }
        if let Some(next) = handed_to {
            // Over several nodes one keeps the key for a moment for whom it hints to, and there is
            // no order.
            if self.rules.nodes == 1 {
                self.check_order(record, actor, next, true);
            }
            self.check_reservation(record, next, until);
        } else if (from, to) == (own, nobody) {
            if self.rules.nodes == 1 {
                self.check_hand_off(record, actor);
            }
        } else if (from != own && from != nobody) || (to != own && to != nobody) {
            let sentence =
                format!("a request of lease {actor} changed a key from {from:?} to {to:?}");
            self.accuse(Law::Ownership, record.at, Some(key), sentence);
        } else if to == own {
            if from == nobody {
                let by_place = self.seat(actor, node).waited == Some(record.at);
                self.check_order(record, actor, actor, by_place);
            }
            // A server's clock may be slow, but a TTL on it is less than one and a half in true
            // time. A renewal never shortens the expiry that was there before.
            let ttl = record.at + self.leases[actor as usize].ttl * 3 / 2;
            let latest = match before {
                Some((holder, Some(until))) if holder == actor => ttl.max(until) + LAST_MS,
                _ => ttl + LAST_MS,
            };
            let span = match until {
                Some(until) if until <= latest => return,
                Some(until) => format!("for {} ns", until - record.at),
                None => "for ever".to_owned(),
            };
            let sentence = format!("a request of lease {actor} left a key that is kept {span}");
            self.accuse(Law::NoOrphan, record.at, Some(key), sentence);
        }
    }

    /// A lease has the key at a node. What became of its token there before says nothing any more.
    fn begins_anew(&mut self, record: &Record, lease: u32, node: u8) {
        // A node that went back to old data hands the lock to an old place again. That says nothing
        // of what became of the grant: the node lost it, or its owner gave it back.
        let stage = self.leases[lease as usize].stage;
        let by_other = record.lease.is_some_and(|actor| actor != lease);
        let by_nobody = record.lease.is_none();
        let several = self.rules.nodes > 1;
        let seat = self.seat(lease, node);
        if !by_nobody {
            seat.reserved = several && by_other;
        }
        match stage {
            Stage::Over if by_other => {}
            Stage::Held if by_other => (seat.freed, seat.expired) = (false, false),
            _ => (seat.freed, seat.expired, seat.tampered) = (false, false, by_nobody),
        }
    }

    /// A fence stream, a fence counter or a marker was written. It must expire.
    pub(super) fn kept_beside(&mut self, record: &Record, until: Option<Nanos>) {
        self.checks.beside += 1;
        let most = if self.rules.nodes == 1 {
            STREAM_FOR
        } else {
            BESIDE_FOR
        };
        let span = match until.map(|until| until.saturating_sub(record.at)) {
            Some(span) if span <= most => return,
            Some(span) => format!("for {} hours", span / HOUR),
            None => "for ever".to_owned(),
        };
        let node = record.node.unwrap_or_default();
        let sentence = format!("node {node} keeps a stream, a counter or a marker {span}");
        self.accuse(Law::NoOrphan, record.at, record.key, sentence);
    }

    /// Until when a node keeps a key for a lease. If the key has expired since, this is when it
    /// did.
    pub(super) fn kept_until(&self, key: u8, node: u8, lease: u32) -> Option<Nanos> {
        let index = usize::from(key) * self.rules.nodes + usize::from(node);
        match self.copies[index].holder {
            Some((holder, until)) if holder == lease => Some(until.unwrap_or(Nanos::MAX)),
            _ => None,
        }
    }

    /// The lease is settled: no node may hold its token any more.
    pub(super) fn settled(&mut self, at: Nanos, lease: u32) {
        if !self.rules.promises {
            return;
        }
        self.look_for_places(at, lease);
        let state = &self.leases[lease as usize];
        let soon = at + self.rules.late_expiry;
        let (key, nodes) = (state.key, self.rules.nodes);
        let first = usize::from(key) * nodes;
        for node in 0..nodes {
            if let Some((holder, until)) = self.copies[first + node].holder
                && holder == lease
                && !self.seats[lease as usize * nodes + node].may_linger
                && until.is_none_or(|until| until > soon)
            {
                let sentence = format!(
                    "client {} has settled lease {lease}, and node {node} still holds it",
                    state.client
                );
                return self.accuse(Law::NoOrphan, at, Some(key), sentence);
            }
        }
    }

    /// The clients dropped all leases some time ago, so no node may hold one. Excepted are keys of
    /// a process that died, and keys that may linger. `for_good`: more than a TTL has passed, so
    /// nothing is excepted.
    pub(super) fn look_for_leftovers(&mut self, at: Nanos, for_good: bool) {
        for index in 0..self.copies.len() {
            let Some((lease, until)) = self.copies[index].holder else {
                continue;
            };
            let gone = until.is_some_and(|until| until <= at);
            let dead = self.leases[lease as usize].crashed;
            let (key, node) = (index / self.rules.nodes, index % self.rules.nodes);
            let may_linger = self.seat(lease, node as u8).may_linger;
            if gone || ((may_linger || dead) && !for_good) {
                continue;
            }
            let sentence = format!("node {node} still holds lease {lease}, which nobody wants");
            return self.accuse(Law::NoOrphan, at, Some(key as u8), sentence);
        }
        self.look_for_places_left(at, for_good);
    }
}
