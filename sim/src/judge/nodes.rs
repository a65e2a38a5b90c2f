//! The nodes' keys: Ownership and No orphan.

use tenure_core::Law;

use super::state::Judge;
use crate::observe::fact::{Holder, Nanos, Record};

const HOUR: Nanos = 3_600_000_000_000;
/// What stands beside the lock keys is kept for a day, and a little for clocks that are wrong.
const BESIDE_FOR: Nanos = 25 * HOUR;

/// A key is alive through the whole of its last millisecond.
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
        // Without a lease it is the server's or a stranger's doing.
        let Some(actor) = record.lease else { return };
        let (own, nobody) = (Holder::Lease(actor), Holder::Nobody);
        if (from != own && from != nobody) || (to != own && to != nobody) {
            let sentence =
                format!("a request of lease {actor} changed a key from {from:?} to {to:?}");
            self.accuse(Law::Ownership, record.at, Some(key), sentence);
        } else if to == own {
            // A server's clock may be slow, though not by half. What it was to keep for longer it keeps.
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
            let sentence = format!("a request of lease {actor} left a key {span}");
            self.accuse(Law::NoOrphan, record.at, Some(key), sentence);
        }
    }

    /// A fence counter or a marker was written: it must not stay for good.
    pub(super) fn kept_beside(&mut self, record: &Record, until: Option<Nanos>) {
        self.checks.beside += 1;
        let span = match until.map(|until| until.saturating_sub(record.at)) {
            Some(span) if span <= BESIDE_FOR => return,
            Some(span) => format!("for {} hours", span / HOUR),
            None => "for ever".to_owned(),
        };
        let node = record.node.unwrap_or_default();
        let sentence = format!("node {node} was left with what it keeps beside a lock key {span}");
        self.accuse(Law::NoOrphan, record.at, record.key, sentence);
    }

    /// Until when a node keeps a key for a lease, or kept it before it expired.
    pub(super) fn kept_until(&self, key: u8, node: u8, lease: u32) -> Option<Nanos> {
        let index = usize::from(key) * self.rules.nodes + usize::from(node);
        match self.copies[index].holder {
            Some((holder, until)) if holder == lease => Some(until.unwrap_or(Nanos::MAX)),
            _ => None,
        }
    }

    /// The core has done with a lease: no node may hold it any more.
    pub(super) fn settled(&mut self, at: Nanos, lease: u32) {
        let state = &self.leases[lease as usize];
        if !self.rules.promises {
            return;
        }
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
                    "client {} has done with lease {lease}, and node {node} still holds it",
                    state.client
                );
                return self.accuse(Law::NoOrphan, at, Some(key), sentence);
            }
        }
    }

    /// All was dropped: nothing may be left but what belonged to a process that died. `for_good`: what
    /// should have ended with its TTL is looked at as well.
    pub(super) fn look_for_leftovers(&mut self, at: Nanos, for_good: bool) {
        for index in 0..self.copies.len() {
            let Some((lease, until)) = self.copies[index].holder else {
                continue;
            };
            let gone = until.is_some_and(|until| until <= at);
            let dead = self.leases[lease as usize].crashed;
            // What landed late, on a connection that was given up, and before the next one could kill
            // that, stays for one TTL from there. A slow server may come to it at any time.
            let (key, node) = (index / self.rules.nodes, index % self.rules.nodes);
            let landed_late = self.seat(lease, node as u8).may_linger;
            if gone || ((landed_late || dead) && !for_good) {
                continue;
            }
            let sentence = format!("node {node} still holds lease {lease}, which nobody wants");
            return self.accuse(Law::NoOrphan, at, Some(key as u8), sentence);
        }
    }
}
