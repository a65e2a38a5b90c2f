//! The releases that are owed to the nodes, and what their owners are told: No orphan, and Loss is
//! told.
//!
//! A release that failed is owed until it is sent again, and it must be sent again soon after the
//! link serves. Once a new connection serves, no request may land late on the one before it.

use tenure_core::{Law, OpKind};

use super::state::{Judge, Seat, Stage};
use crate::observe::fact::{Answer, Freed, Link, Nanos, Outcome, Record};

impl Judge {
    /// Takes note of whether the link serves.
    pub(super) fn link(&mut self, record: &Record, link: Link) {
        let (Some(client), Some(node)) = (record.client, record.node) else {
            return;
        };
        let index = usize::from(client) * self.rules.nodes + usize::from(node);
        self.links[index] = match link {
            Link::Cut(_) | Link::Down => {
                self.forget_doubts(client);
                None
            }
            // Requests wait while the scripts are loaded or the node is marked.
            Link::Up | Link::Loaded | Link::Marked => Some(record.at),
            Link::Killed => return,
        };
    }

    /// The node did a request on a connection that its client had given up. The key that it wrote
    /// may linger. That is a violation only if the next connection serves already and should have
    /// killed the old one.
    pub(super) fn landed_late(&mut self, record: &Record, lease: u32) {
        let state = &self.leases[lease as usize];
        let (client, key) = (usize::from(state.client), state.key);
        let Some(node) = record.node else { return };
        let serves = self.links[client * self.rules.nodes + usize::from(node)].is_some();
        if self.rules.kills && serves && !state.crashed {
            let sentence = format!(
                "a request of lease {lease} landed at node {node} on a connection that had been \
                 given up, although the next connection serves"
            );
            return self.accuse(Law::NoOrphan, record.at, Some(key), sentence);
        }
        self.seat(lease, node).may_linger = true;
    }

    /// No release is owed for what an earlier attempt left: a new acquire or a grant replaces it.
    pub(super) fn asks_anew(&mut self, lease: u32) {
        for node in 0..self.rules.nodes {
            self.seat(lease, node as u8).debt.since = None;
        }
    }

    /// The first request of an attempt is sent.
    pub(super) fn begins_attempt(&mut self, lease: u32, ask: OpKind, attempt: u32, serial: u32) {
        let state = &mut self.leases[lease as usize];
        if ask.acquires() && state.attempt < attempt {
            state.first_serial = serial;
        }
    }

    /// A request of the lease gave it a copy of the lock at the node, or kept the one there.
    pub(super) fn copied(
        &mut self,
        record: &Record,
        lease: u32,
        ask: OpKind,
        serial: u32,
        until: Option<Nanos>,
    ) {
        let gives = ask.acquires() || ask == OpKind::Repair;
        if let (Some(node), Some(_), true) = (record.node, until, gives) {
            self.seat(lease, node).copy_serial = serial;
        }
    }

    /// The owner releases the lease. Releases of earlier attempts count no more.
    pub(super) fn asks_back(&mut self, lease: u32) {
        if self.leases[lease as usize].stage != Stage::Held {
            return;
        }
        self.leases[lease as usize].asked_back = true;
        let state = &self.leases[lease as usize];
        let (key, first_serial) = (state.key, state.first_serial);
        let several = self.rules.nodes > 1;
        for node in 0..self.rules.nodes {
            let index = usize::from(key) * self.rules.nodes + node;
            let holder = self.copies[index].holder;
            let seat = self.seat(lease, node as u8);
            let holds = holder.is_some_and(|(it, _)| it == lease);
            // What an earlier attempt left, or the node keeps for a hint, is none.
            seat.reserved |= several && seat.copy_serial < first_serial;
            let holds = holds && !seat.reserved;
            let debt = &mut seat.debt;
            debt.held = holds;
            (debt.paid, debt.unknown, debt.in_doubt) = (false, false, false);
            (debt.refused, debt.again) = (false, false);
        }
    }

    /// The lease is settled: an owner that released it must have been told what came of that.
    pub(super) fn look_for_answers(&mut self, at: Nanos, lease: u32) {
        let state = &self.leases[lease as usize];
        if state.asked_back && !state.told && !state.crashed {
            let sentence =
                format!("lease {lease} was released, and its owner never heard what came of it");
            let key = state.key;
            self.accuse(Law::LossIsTold, at, Some(key), sentence);
        }
    }

    /// The request before a failed release had still been in flight, and could land after it. So
    /// only from its outcome on is it known that a release is owed.
    pub(super) fn other_heard(&mut self, at: Nanos, lease: u32, node: u8) {
        let debt = &mut self.seat(lease, node).debt;
        debt.since = debt.since.map(|_| at);
    }

    pub(super) fn release_heard(
        &mut self,
        at: Nanos,
        lease: u32,
        node: u8,
        ask: OpKind,
        outcome: Outcome,
    ) {
        let key = self.leases[lease as usize].key;
        let until = self.kept_until(key, node, lease);
        // While the lease is held, it owns what an earlier attempt left. One that stays in line
        // wants its place, and owes what it has of the key.
        let held = self.leases[lease as usize].stage == Stage::Held;
        let stays = ask == OpKind::Stay && until.is_none();
        let owed = Some(at).filter(|_| !held && !stays);
        let kept = until.is_some_and(|it| it > at);
        let seat = self.seat(lease, node);
        // That is no fault, and a client knows the time.
        let past = seat.expired || until.is_some_and(|it| it <= at);
        let expired = past && !seat.freed && !seat.tampered;
        // A request that lands late, or a node that gets old data back, may undo a release.
        let (freed, kept) = (seat.freed || seat.may_linger, kept && !seat.may_linger);
        let debt = &mut seat.debt;
        match outcome {
            // What the node did counts, whatever it answered.
            Outcome::Answered(Answer::Done) => debt.paid = freed,
            Outcome::Answered(Answer::Gone | Answer::Taken) if debt.unknown && !debt.paid => {
                (debt.paid, debt.in_doubt) = (!kept && !expired, !freed);
            }
            Outcome::Answered(Answer::Again | Answer::Unavailable) => {
                (debt.since, debt.again) = (owed, true);
            }
            Outcome::NotSent => debt.since = owed,
            Outcome::Unknown => (debt.since, debt.unknown) = (owed, true),
            Outcome::Answered(Answer::Rejected | Answer::Misuse) => debt.refused = true,
            Outcome::Answered(_) => {}
        }
    }

    /// A release is sent. It must not have been owed for too long.
    pub(super) fn pays(&mut self, record: &Record, lease: u32, node: u8) {
        self.check_debt(record.at, lease, node);
        self.seat(lease, node).debt.since = None;
    }

    /// The lease is settled: no further release of it will be sent.
    pub(super) fn look_for_debts(&mut self, at: Nanos, lease: u32) {
        for node in 0..self.rules.nodes {
            self.check_debt(at, lease, node as u8);
        }
    }

    /// Whether a release has been owed for too long. A key that has expired needed one only until
    /// it expired.
    fn check_debt(&mut self, at: Nanos, lease: u32, node: u8) {
        let seat = *self.seat(lease, node);
        let state = &self.leases[lease as usize];
        let (client, key) = (usize::from(state.client), state.key);
        let link = client * self.rules.nodes + usize::from(node);
        let (Some(since), Some(serves), Some(until)) = (
            seat.debt.since,
            self.links[link],
            self.kept_until(key, node, lease)
                .max(self.placed_until(key, node, lease)),
        ) else {
            return;
        };
        let seen = self.clients[client];
        let could = since.max(serves).max(seen.awake_since);
        let latest = could + self.rules.freed_within;
        let demanded = self.rules.freed_within > 0 && !seat.may_linger && !seen.asleep;
        if demanded && at.min(until) > latest {
            let sentence = format!(
                "lease {lease} has owed node {node} a release since {since} ns, could send it from \
                 {could} ns on, and had not sent it before {at} ns"
            );
            self.accuse(Law::NoOrphan, at, Some(key), sentence);
        }
    }

    /// The owner is told what came of the release. If it is told that the release freed the lock, a
    /// quorum of nodes must have released it, or it looks so by the one double fault that no client
    /// can see: a stranger took the key or the node lost it, and the answer was lost. If it
    /// is told that the lock had been lost, no quorum may have released it. If it is told that
    /// servers refuse, so many must have refused that no quorum is left.
    pub(super) fn said_to_be_freed(&mut self, record: &Record, lease: u32, freed: Freed) {
        let nodes = self.rules.nodes;
        let first = lease as usize * nodes;
        let paid = |seat: &&Seat| seat.debt.paid;
        let seats = self.seats[first..first + nodes].iter().filter(paid);
        let in_doubt = seats.clone().filter(|seat| seat.debt.in_doubt).count();
        let held = seats.clone().filter(|seat| seat.debt.held).count();
        let paid = seats.count();
        // A lease that had ended before its release is lost, even if nodes released what an earlier
        // attempt had left.
        let all = &self.seats[first..first + nodes];
        let refused = all.iter().filter(|seat| seat.debt.refused).count();
        let was_held = self.leases[lease as usize].asked_back;
        let wrong = match freed {
            Freed::Released => paid < self.rules.quorum,
            // What an earlier attempt left, or a node kept for a hint, was no copy.
            Freed::Lost => was_held && held >= self.rules.quorum,
            Freed::Rejected => nodes - refused >= self.rules.quorum,
            Freed::Unknown => false,
        };
        if !wrong && freed == Freed::Released && paid - in_doubt < self.rules.quorum {
            self.checks.in_doubt += 1;
        }
        if wrong {
            let key = self.leases[lease as usize].key;
            let sentence = format!(
                "the owner of lease {lease} is told that its release ended with {freed:?}, and \
                 {paid} nodes released the key"
            );
            self.accuse(Law::LossIsTold, record.at, Some(key), sentence);
        }
    }
}
