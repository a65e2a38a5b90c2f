//! What is owed to the nodes, and what was said of it: No orphan, and Loss is told.
//!
//! A release that failed is owed until it is sent again, which is to be soon once the link serves. A
//! connection that was given up is owed an end: what travels on it must not land behind the next one.

use tenure_core::Law;

use super::state::{Judge, Stage};
use crate::observe::fact::{Answer, Freed, Link, Nanos, Outcome, Record};

impl Judge {
    /// The link serves, or it does not.
    pub(super) fn link(&mut self, record: &Record, link: Link) {
        let (Some(client), Some(node)) = (record.client, record.node) else {
            return;
        };
        let index = usize::from(client) * self.rules.nodes + usize::from(node);
        self.links[index] = match link {
            Link::Cut(_) | Link::Down => None,
            // What had to be loaded or marked first held everything up.
            Link::Up | Link::Loaded | Link::Marked => Some(record.at),
            Link::Killed => return,
        };
    }

    /// A request was carried out on a connection that its client had given up. It may stay for a TTL, if
    /// nothing kills it; and so it may before the next connection serves.
    pub(super) fn landed_late(&mut self, record: &Record, lease: u32) {
        let state = &self.leases[lease as usize];
        let (client, key) = (usize::from(state.client), state.key);
        let Some(node) = record.node else { return };
        let serves = self.links[client * self.rules.nodes + usize::from(node)].is_some();
        if self.rules.kills && serves && !state.crashed {
            let sentence = format!(
                "a request of lease {lease} landed at node {node} on a connection that had been given up, and \
                 the one after it serves"
            );
            return self.accuse(Law::NoOrphan, record.at, Some(key), sentence);
        }
        self.seat(lease, node).may_linger = true;
    }

    /// An acquire replaces what an earlier attempt left, and so a grant does.
    pub(super) fn asks_anew(&mut self, lease: u32) {
        for node in 0..self.rules.nodes {
            self.seat(lease, node as u8).debt.since = None;
        }
    }

    /// The owner gives the lease back: what was freed for an earlier attempt counts no more.
    pub(super) fn asks_back(&mut self, lease: u32) {
        if self.leases[lease as usize].stage != Stage::Held {
            return;
        }
        self.leases[lease as usize].asked_back = true;
        for node in 0..self.rules.nodes {
            let debt = &mut self.seat(lease, node as u8).debt;
            (debt.paid, debt.unknown) = (false, false);
        }
    }

    /// The core has done with a lease: whoever gave it back must have been told what came of it.
    pub(super) fn look_for_answers(&mut self, at: Nanos, lease: u32) {
        let state = &self.leases[lease as usize];
        if state.asked_back && !state.told && !state.crashed {
            let sentence =
                format!("lease {lease} was given back, and its owner never heard what came of it");
            let key = state.key;
            self.accuse(Law::LossIsTold, at, Some(key), sentence);
        }
    }

    /// What was in flight before a release may land after it: until then it is not known what is owed.
    pub(super) fn other_heard(&mut self, at: Nanos, lease: u32, node: u8) {
        let debt = &mut self.seat(lease, node).debt;
        debt.since = debt.since.map(|_| at);
    }

    pub(super) fn release_heard(&mut self, at: Nanos, lease: u32, node: u8, outcome: Outcome) {
        // While it is held, what an earlier attempt left is this one's.
        let owed = Some(at).filter(|_| self.leases[lease as usize].stage != Stage::Held);
        let debt = &mut self.seat(lease, node).debt;
        match outcome {
            Outcome::Answered(Answer::Done) => debt.paid = true,
            Outcome::Answered(Answer::Gone | Answer::Taken) => debt.paid |= debt.unknown,
            Outcome::Answered(Answer::Again | Answer::Unavailable) | Outcome::NotSent => {
                debt.since = owed;
            }
            Outcome::Unknown => (debt.since, debt.unknown) = (owed, true),
            Outcome::Answered(_) => {}
        }
    }

    /// A release is sent: a debt must not have been left for long.
    pub(super) fn pays(&mut self, record: &Record, lease: u32, node: u8) {
        self.check_debt(record.at, lease, node);
        self.seat(lease, node).debt.since = None;
    }

    /// The core has done with a lease: what it owes it will never pay.
    pub(super) fn look_for_debts(&mut self, at: Nanos, lease: u32) {
        for node in 0..self.rules.nodes {
            self.check_debt(at, lease, node as u8);
        }
    }

    /// What is still there was to be released; what has expired was there until then.
    fn check_debt(&mut self, at: Nanos, lease: u32, node: u8) {
        let seat = *self.seat(lease, node);
        let state = &self.leases[lease as usize];
        let (client, key) = (usize::from(state.client), state.key);
        let link = client * self.rules.nodes + usize::from(node);
        let (Some(since), Some(serves), Some(until)) = (
            seat.debt.since,
            self.links[link],
            self.kept_until(key, node, lease),
        ) else {
            return;
        };
        let seen = self.clients[client];
        let could = since.max(serves).max(seen.awake_since);
        let latest = could + self.rules.freed_within;
        let demanded = self.rules.freed_within > 0 && !seat.may_linger && !seen.asleep;
        if demanded && at.min(until) > latest {
            let sentence = format!(
                "lease {lease} owes node {node} a release since {since} ns, could have sent it at {could} ns, and \
                 does at {at} ns or never"
            );
            self.accuse(Law::NoOrphan, at, Some(key), sentence);
        }
    }

    /// The owner is told what came of the release. That it freed the lock: so a quorum let go of it. That
    /// the lock had been lost: so no quorum had it to let go of.
    pub(super) fn said_to_be_freed(&mut self, record: &Record, lease: u32, freed: Freed) {
        let nodes = 0..self.rules.nodes as u8;
        let paid = nodes
            .filter(|node| self.seat(lease, *node).debt.paid)
            .count();
        // What was over when it was given back is lost, whatever was freed for an earlier attempt.
        let was_held = self.leases[lease as usize].asked_back;
        let wrong = match freed {
            Freed::Released => paid < self.rules.quorum,
            Freed::Lost => was_held && paid >= self.rules.quorum,
            Freed::Unknown => false,
        };
        if wrong {
            let key = self.leases[lease as usize].key;
            let sentence = format!(
                "of the release of lease {lease} it is said: {freed:?}, and {paid} nodes let go of it"
            );
            self.accuse(Law::LossIsTold, record.at, Some(key), sentence);
        }
    }
}
