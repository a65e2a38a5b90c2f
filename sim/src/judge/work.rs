//! How much is asked, and how long a wanted key waits: Bounded work and Progress.

use tenure_core::{Law, OpKind};

use super::state::{Judge, Lease, Stage};
use crate::observe::fact::{Nanos, Record};

/// How many requests a lease may send to a node at once, and how often it may fail at once.
const AT_ONCE: u64 = 24;
/// How many more requests or failures it may have for each pause in its life.
const PER_PAUSE: u64 = 4;

/// The same for each attempt in which a node hinted: one more attempt, which asks and stays.
const PER_HINT: u64 = 2;

/// How many renewals may come before they are due.
const RENEWED_EARLY: u64 = 4;

impl Judge {
    pub(super) fn wanted(&mut self, record: &Record, lease: u32, ttl: Nanos) {
        let (Some(client), Some(key)) = (record.client, record.key) else {
            return;
        };
        let state = &mut self.leases[lease as usize];
        state.ttl = ttl;
        state.client = client;
        state.key = key;
        state.began = record.at;
        state.stage = Stage::Wanted;
        let key = &mut self.keys[usize::from(key)];
        if key.wanting == 0 {
            key.since = record.at;
        }
        key.wanting += 1;
    }

    pub(super) fn sent(&mut self, record: &Record, lease: u32, ask: OpKind, attempt: u32) {
        self.checks.requests += 1;
        let Some(node) = record.node else { return };
        if ask.acquires() && self.leases[lease as usize].attempt < attempt {
            self.leases[lease as usize].attempt = attempt;
            self.note_floor(lease);
            self.asks_anew(lease);
            self.forget_promises(lease);
        }
        self.check_alive(record, lease, ask);
        if ask.frees() {
            self.pays(record, lease, node);
        }
        let state = &self.leases[lease as usize];
        let (key, lived) = (state.key, record.at - state.began);
        let woken = Woken::of(state);
        let pace = self.rules.pace;
        let seat = self.seat(lease, node);
        seat.sent += 1;
        let sent = seat.sent;
        let crowded = if ask.frees() {
            std::mem::replace(&mut seat.release_out, true)
        } else {
            std::mem::replace(&mut seat.out, true) || seat.release_out
        };
        if crowded {
            let sentence = format!(
                "lease {lease} sends {ask:?} to node {node} while too much is in flight already"
            );
            return self.accuse(Law::BoundedWork, record.at, Some(key), sentence);
        }
        if is_storm(pace, sent, lived, woken) {
            let sentence = format!(
                "lease {lease} sent {sent} requests to node {node} within {lived} ns, which is a \
                 storm"
            );
            return self.accuse(Law::BoundedWork, record.at, Some(key), sentence);
        }
        if ask == OpKind::Renew {
            self.look_for_uncalled(record.at, lease);
            self.renews(record, lease, node);
        }
    }

    /// A node hinted. Each pause ends once, whoever hints.
    pub(super) fn hinted(&mut self, lease: u32) {
        let state = &mut self.leases[lease as usize];
        if state.stage == Stage::Wanted && state.hinted_in != state.attempt {
            state.hinted_in = state.attempt;
            state.hints += 1;
        }
    }

    /// A lease that was renewed is not renewed again before that is due. Each failure since the
    /// grant, each renewal by hand and each doubt allows more.
    fn renews(&mut self, record: &Record, lease: u32, node: u8) {
        let seat = self.seat(lease, node);
        seat.renewals += 1;
        let renewals = seat.renewals;
        let state = &self.leases[lease as usize];
        let held = record.at - state.granted_at;
        // Twice as many as are due, because the holder's clock may be fast or step forward.
        let due = (2 * self.rules.renewals * held).checked_div(state.ttl);
        let extra = state.failures + state.by_hand - state.extra_before;
        let more = RENEWED_EARLY + extra + state.doubts;
        if self.rules.renewals > 0 && due.is_some_and(|due| renewals > due + more) {
            let sentence = format!(
                "lease {lease} was renewed {renewals} times at node {node} in the {held} ns since \
                 its grant"
            );
            self.accuse(Law::BoundedWork, record.at, Some(state.key), sentence);
        }
    }

    /// A round or a renewal failed. The lease must pause before it tries again.
    pub(super) fn failed_once(&mut self, at: Nanos, lease: u32) {
        let pace = self.rules.pace;
        let state = &mut self.leases[lease as usize];
        state.failures += 1;
        let lived = at - state.began;
        let woken = Woken::of(state);
        if is_storm(pace, state.failures, lived, woken) {
            let (key, failures) = (state.key, state.failures);
            let sentence = format!(
                "lease {lease} failed {failures} times within {lived} ns, which is a storm"
            );
            self.accuse(Law::BoundedWork, at, Some(key), sentence);
        }
    }

    pub(super) fn answered(&mut self, lease: u32, node: u8, ask: OpKind) {
        let seat = self.seat(lease, node);
        if ask.frees() {
            seat.release_out = false;
        } else {
            seat.out = false;
        }
    }

    pub(super) fn healed(&mut self, at: Nanos) {
        self.healed_at = Some(at);
        self.count_turns(at);
        for key in &mut self.keys {
            key.since = key.since.max(at);
        }
    }

    pub(super) fn granted_key(&mut self, at: Nanos, key: u8) {
        self.check_progress(at, usize::from(key));
        let state = &mut self.keys[usize::from(key)];
        state.since = at;
        state.wanting = state.wanting.saturating_sub(1);
        self.checks.healed_grants += u64::from(self.healed_at.is_some());
    }

    pub(super) fn no_longer_wanted(&mut self, at: Nanos, key: usize) {
        self.check_progress(at, key);
        let state = &mut self.keys[key];
        state.wanting = state.wanting.saturating_sub(1);
    }

    /// The run ends: checks the keys that are still wanted.
    pub(super) fn look_for_waiting(&mut self, at: Nanos) {
        for key in 0..self.keys.len() {
            self.check_progress(at, key);
        }
    }

    fn check_progress(&mut self, at: Nanos, key: usize) {
        let (Some(within), Some(_)) = (self.rules.granted_within, self.healed_at) else {
            return;
        };
        let state = &self.keys[key];
        let waited = at.saturating_sub(state.since);
        if state.wanting > 0 && waited > within {
            let sentence = format!(
                "key {key} is wanted by {} leases, and was not granted for {waited} ns after all \
                 faults had healed",
                state.wanting
            );
            self.accuse(Law::Progress, at, Some(key as u8), sentence);
        }
    }
}

/// Whether a lease did something more often than its pauses allow.
const fn is_storm(pace: Nanos, count: u64, lived: Nanos, woken: Woken) -> bool {
    let Some(pauses) = lived.checked_div(pace) else {
        return false;
    };
    let usual = AT_ONCE + PER_PAUSE * (pauses + woken.by_hand);
    count > usual + PER_HINT * woken.hints
}

/// How often a lease was made to ask before its time.
#[derive(Clone, Copy)]
struct Woken {
    by_hand: u64,
    hints: u64,
}

impl Woken {
    const fn of(state: &Lease) -> Self {
        Self {
            by_hand: state.by_hand,
            hints: state.hints,
        }
    }
}
