//! What holders believe: Exclusion, Honest validity, No resurrection, Loss is told.

use tenure_core::Law;

use super::state::{Judge, Stage};
use tenure_core::OpKind;

use crate::observe::fact::{Answer, Fact, Nanos, Outcome, Record, Why};

impl Judge {
    pub(super) fn granted(&mut self, at: Nanos, lease: u32, fence: u64, until: Nanos) {
        let state = &self.leases[lease as usize];
        let key = state.key;
        if state.stage != Stage::Wanted {
            let sentence =
                format!("lease {lease} is granted, and had been granted or ended before");
            return self.accuse(Law::NoResurrection, at, Some(key), sentence);
        }
        self.fence_reported(at, lease, fence);
        self.granted_key(at, key);
        self.asks_anew(lease);
        let state = &mut self.leases[lease as usize];
        state.stage = Stage::Held;
        state.granted_at = at;
        state.extra_before = state.failures + state.by_hand;
        state.fence = fence;
        self.keys[usize::from(key)].held.push(lease);
        self.believe(at, lease, until);
    }

    pub(super) fn valid_until(&mut self, at: Nanos, lease: u32, until: Nanos, why: Why) {
        let state = &self.leases[lease as usize];
        if state.stage != Stage::Held {
            let (key, sentence) = (
                state.key,
                format!("the validity of lease {lease} is told, and it is not held"),
            );
            return self.accuse(Law::NoResurrection, at, Some(key), sentence);
        }
        if self.rules.prompt && why != Why::Clock && at >= state.until {
            let (key, sentence) = (
                state.key,
                format!("lease {lease} is renewed after its validity had ended"),
            );
            return self.accuse(Law::NoResurrection, at, Some(key), sentence);
        }
        self.believe(at, lease, until);
    }

    /// The holder believes from now on that it may act until then.
    fn believe(&mut self, at: Nanos, lease: u32, until: Nanos) {
        self.checks.validities += 1;
        let state = &mut self.leases[lease as usize];
        state.until = until;
        let seen = &mut self.clients[usize::from(state.client)];
        seen.none_ends_before = seen.none_ends_before.min(until);
        self.compare_with_promises(at, lease, until);
        let key = usize::from(self.leases[lease as usize].key);
        for index in 0..self.keys[key].held.len() {
            let other = self.keys[key].held[index];
            let theirs = self.leases[other as usize].until;
            // Both from now on: validity only ever begins or lengthens at a fact.
            let both_until = theirs.min(until);
            if other == lease || both_until <= at {
                continue;
            }
            let excused = self.excused_until.max(self.keys[key].excused_until);
            if both_until <= excused || !self.rules.exclusion {
                self.checks.excused += 1;
            } else {
                let sentence = format!(
                    "leases {other} and {lease} are both valid from {at} to {both_until} ns"
                );
                return self.accuse(Law::Exclusion, at, Some(key as u8), sentence);
            }
        }
    }

    /// Honest validity: a quorum promised to keep the key at least so long.
    fn compare_with_promises(&mut self, at: Nanos, lease: u32, until: Nanos) {
        if !self.rules.promises {
            return;
        }
        let nodes = self.rules.nodes;
        let first = lease as usize * nodes;
        let promised = self.seats[first..first + nodes]
            .iter()
            .filter(|seat| seat.promised.is_some_and(|promised| promised >= until))
            .count();
        if promised < self.rules.quorum {
            let key = self.leases[lease as usize].key;
            let sentence = format!(
                "lease {lease} is said to be valid until {until} ns, and only {promised} of {nodes} nodes \
                 promised to keep it so long"
            );
            self.accuse(Law::HonestValidity, at, Some(key), sentence);
        }
    }

    pub(super) fn did(&mut self, record: &Record, lease: u32, serial: u32, until: Option<Nanos>) {
        let (Some(node), Some(until)) = (record.node, until) else {
            return;
        };
        let seat = self.seat(lease, node);
        // A late one, of a connection given up, says nothing of the request that is in flight now.
        if seat.did.is_none_or(|(newest, _)| newest <= serial) {
            seat.did = Some((serial, until));
        }
    }

    pub(super) fn heard(
        &mut self,
        record: &Record,
        lease: u32,
        ask: OpKind,
        serial: u32,
        outcome: Outcome,
    ) {
        let Some(node) = record.node else { return };
        self.answered(lease, node, ask);
        if ask.frees() {
            self.release_heard(record.at, lease, node, outcome);
        } else {
            self.other_heard(record.at, lease, node);
        }
        if matches!(
            outcome,
            Outcome::Answered(Answer::Rejected | Answer::Misuse)
        ) {
            self.seat(lease, node).may_linger = true;
        }
        let seat = self.seat(lease, node);
        match (ask, outcome) {
            (OpKind::Confirm, Outcome::Answered(Answer::Done)) => {}
            (
                OpKind::Acquire | OpKind::Renew | OpKind::Repair,
                Outcome::Answered(Answer::Granted(_) | Answer::Done),
            ) => {
                if let Some((did, until)) = seat.did
                    && did == serial
                {
                    seat.promised = seat.promised.max(Some(until));
                }
            }
            (
                _,
                Outcome::Answered(Answer::Gone | Answer::Taken | Answer::Held | Answer::Foreign),
            )
            | (OpKind::Release, Outcome::Answered(Answer::Done)) => seat.promised = None,
            _ => {}
        }
    }

    /// A new attempt is sent: what was promised to the one before counts no more.
    pub(super) fn forget_promises(&mut self, lease: u32) {
        let nodes = self.rules.nodes;
        let first = lease as usize * nodes;
        for seat in &mut self.seats[first..first + nodes] {
            seat.promised = None;
        }
    }

    /// Loss is told: a client that is awake knows of no lease that is over and was not told so.
    pub(super) fn look_for_untold(&mut self, at: Nanos, client: u8) {
        let seen = self.clients[usize::from(client)];
        if seen.asleep || at <= seen.none_ends_before.saturating_add(self.rules.told_within) {
            return;
        }
        let mut first_end = Nanos::MAX;
        for key in 0..self.keys.len() {
            for lease in &self.keys[key].held {
                let state = &self.leases[*lease as usize];
                if state.client != client {
                    continue;
                }
                first_end = first_end.min(state.until);
                let until = state.until.max(seen.awake_since);
                if at > until + self.rules.told_within {
                    let sentence = format!(
                        "the validity of lease {lease} ended at {} ns, and its client knows at {at} ns of \
                         nothing",
                        state.until
                    );
                    return self.accuse(Law::LossIsTold, at, Some(key as u8), sentence);
                }
            }
        }
        self.clients[usize::from(client)].none_ends_before = first_end;
    }

    /// No resurrection: once its end was told, nothing more is told of a lease. (Who releases or drops it
    /// may be told of an end that was on its way.)
    pub(super) fn told_after_its_end(&mut self, record: &Record, lease: u32) {
        let state = &mut self.leases[lease as usize];
        if state.told {
            let key = state.key;
            let sentence = format!(
                "the end of lease {lease} was told, and then {:?}",
                record.fact
            );
            return self.accuse(Law::NoResurrection, record.at, Some(key), sentence);
        }
        state.told = matches!(
            record.fact,
            Fact::Lost(_) | Fact::Failed { .. } | Fact::Released(_)
        );
    }

    /// No resurrection: only releases are sent for what has ended.
    pub(super) fn check_alive(&mut self, record: &Record, lease: u32, ask: OpKind) {
        let state = &self.leases[lease as usize];
        let wrong = match ask {
            OpKind::Release => false,
            // A quorum is enough: the rest may still be asked while it is held.
            OpKind::Acquire | OpKind::Confirm => {
                !matches!(state.stage, Stage::Wanted | Stage::Held)
            }
            OpKind::Renew | OpKind::Repair => state.stage != Stage::Held,
        };
        if wrong {
            let key = state.key;
            let sentence = format!("lease {lease} sends {ask:?}, and is {:?}", state.stage);
            self.accuse(Law::NoResurrection, record.at, Some(key), sentence);
        }
    }
}
