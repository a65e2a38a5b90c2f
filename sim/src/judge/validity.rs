//! Until when holders may act: Exclusion, Honest validity, No resurrection and Loss is told.

use tenure_core::{Law, OpKind};

use super::state::{Judge, Stage};
use crate::observe::fact::{Answer, Fact, Nanos, Outcome, Record, Why};

impl Judge {
    pub(super) fn granted(&mut self, at: Nanos, lease: u32, fence: u64, until: Nanos) {
        let state = &self.leases[lease as usize];
        let key = state.key;
        if state.stage != Stage::Wanted {
            let sentence =
                format!("lease {lease} is granted, although it was granted or ended before");
            return self.accuse(Law::NoResurrection, at, Some(key), sentence);
        }
        self.compare_with_replicas(at, lease);
        self.fence_reported(at, lease, fence);
        self.granted_key(at, key);
        self.turn_ends(at, lease);
        self.asks_anew(lease);
        let state = &mut self.leases[lease as usize];
        state.stage = Stage::Held;
        state.granted_at = at;
        state.extra_before = state.failures + state.by_hand;
        state.fence = fence;
        self.keys[usize::from(key)].held.push(lease);
        self.may_act(at, lease, until);
    }

    pub(super) fn valid_until(&mut self, at: Nanos, lease: u32, until: Nanos, why: Why) {
        let state = &self.leases[lease as usize];
        if state.stage != Stage::Held {
            let (key, sentence) = (
                state.key,
                format!("a validity of lease {lease} is told, although it is not held"),
            );
            return self.accuse(Law::NoResurrection, at, Some(key), sentence);
        }
        if why == Why::Renewed {
            self.leases[lease as usize].suspect_since = None;
        }
        let state = &self.leases[lease as usize];
        if self.rules.prompt && why != Why::Clock && at >= state.until {
            let (key, sentence) = (
                state.key,
                format!("lease {lease} is renewed after its validity had ended"),
            );
            return self.accuse(Law::NoResurrection, at, Some(key), sentence);
        }
        self.may_act(at, lease, until);
    }

    /// From now on the holder may act until the instant `until`.
    fn may_act(&mut self, at: Nanos, lease: u32, until: Nanos) {
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
            // A validity only begins or grows at a fact, and each of these is checked. So it is
            // enough to compare from now on.
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

    /// Honest validity: a quorum of nodes keeps the key at least as long, as far as the client has
    /// heard.
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
                "lease {lease} is valid until {until} ns, and only {promised} of {nodes} nodes \
                 keep the key that long as far as the client has heard"
            );
            self.accuse(Law::HonestValidity, at, Some(key), sentence);
        }
    }

    /// Honest validity: where replicas must acknowledge a grant, so many have, as far as the client
    /// has heard.
    fn compare_with_replicas(&mut self, at: Nanos, lease: u32) {
        let demanded = self.rules.acknowledged;
        let replicas = self.seats[lease as usize * self.rules.nodes].acknowledged;
        if replicas < demanded {
            let key = self.leases[lease as usize].key;
            let sentence = format!(
                "lease {lease} is granted, and {replicas} of {demanded} replicas have acknowledged \
                 that as far as the client has heard"
            );
            self.accuse(Law::HonestValidity, at, Some(key), sentence);
        }
    }

    pub(super) fn did(&mut self, record: &Record, lease: u32, serial: u32, until: Option<Nanos>) {
        let (Some(node), Some(until)) = (record.node, until) else {
            return;
        };
        let seat = self.seat(lease, node);
        // An older request that landed late says nothing of the newer one in flight.
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
        self.doubt_answered(record.at, lease, ask, outcome);
        if (ask, outcome) == (OpKind::Wait, Outcome::Answered(Answer::Waiting)) {
            self.waiting_heard(lease, node, serial);
        }
        // What an earlier attempt had left does not answer the owner.
        let of_earlier = ask == OpKind::Stay && self.leases[lease as usize].asked_back;
        if ask.frees() && !of_earlier {
            self.release_heard(record.at, lease, node, ask, outcome);
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
            (OpKind::Acknowledge, Outcome::Answered(Answer::Acknowledged(replicas))) => {
                seat.acknowledged = replicas;
            }
            // Whoever reads says nothing that is sure.
            (OpKind::Watch | OpKind::Acknowledge, _) => {}
            (
                OpKind::Take | OpKind::Acquire | OpKind::Wait | OpKind::Renew | OpKind::Repair,
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
                Outcome::Answered(
                    Answer::Gone
                    | Answer::Taken
                    | Answer::Held
                    | Answer::Foreign
                    | Answer::WrongType,
                ),
            )
            | (OpKind::Release, Outcome::Answered(Answer::Done)) => seat.promised = None,
            _ => {}
        }
    }

    /// A new attempt is sent. What the client heard for the one before counts no more.
    pub(super) fn forget_promises(&mut self, lease: u32) {
        let nodes = self.rules.nodes;
        let first = lease as usize * nodes;
        for seat in &mut self.seats[first..first + nodes] {
            seat.promised = None;
            seat.acknowledged = 0;
        }
    }

    /// Loss is told: if the validity of a lease has ended, and its client is awake, the loss must
    /// have been told.
    pub(super) fn look_for_untold(&mut self, at: Nanos, client: u8) {
        let seen = self.clients[usize::from(client)];
        let silent = seen.asleep && !(seen.stalled && self.rules.asked_while_stalled);
        if silent || at <= seen.none_ends_before.saturating_add(self.rules.told_within) {
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
                        "the validity of lease {lease} ended at {} ns, and its loss was not told \
                         before {at} ns",
                        state.until
                    );
                    return self.accuse(Law::LossIsTold, at, Some(key as u8), sentence);
                }
            }
        }
        self.clients[usize::from(client)].none_ends_before = first_end;
    }

    /// No resurrection: after the end of a lease was told, nothing more is told of it. (An owner
    /// that releases or drops a lease may still be told of an end that came before that.)
    pub(super) fn told_after_its_end(&mut self, record: &Record, lease: u32) {
        let state = &mut self.leases[lease as usize];
        if state.told {
            let key = state.key;
            let sentence = format!(
                "the end of lease {lease} was told, and after that {:?}",
                record.fact
            );
            return self.accuse(Law::NoResurrection, record.at, Some(key), sentence);
        }
        state.told = matches!(
            record.fact,
            Fact::Lost(_) | Fact::Failed { .. } | Fact::Released(_)
        );
    }

    /// No resurrection: after the end of a lease, only releases of it are sent.
    pub(super) fn check_alive(&mut self, record: &Record, lease: u32, ask: OpKind) {
        let state = &self.leases[lease as usize];
        let wrong = match ask {
            OpKind::Release => false,
            // That of an older attempt may be sent late.
            OpKind::Stay => !matches!(state.stage, Stage::Wanted | Stage::Held),
            // A quorum of nodes is enough for a grant. The other nodes may still be asked after it.
            OpKind::Take | OpKind::Wait | OpKind::Acknowledge => state.stage != Stage::Wanted,
            OpKind::Acquire | OpKind::Confirm => {
                !matches!(state.stage, Stage::Wanted | Stage::Held)
            }
            OpKind::Renew | OpKind::Watch | OpKind::Repair => state.stage != Stage::Held,
        };
        if wrong {
            let key = state.key;
            let sentence = format!("lease {lease} sends {ask:?} while it is {:?}", state.stage);
            self.accuse(Law::NoResurrection, record.at, Some(key), sentence);
        }
    }
}
