//! Fences, and the resource behind the lock: Fencing.
//!
//! The resource is a number, and refuses a fence that is smaller than one it has seen. A holder
//! shows its fence, reads the number, and writes one more than it read. If it overwrites a write
//! that it did not read, the same value is written twice.

use tenure_core::{Law, OpKind};

use super::state::Judge;
use crate::observe::fact::{Answer, Nanos, Record};

impl Judge {
    /// Takes note of the fences that were reported before the first request of an attempt was sent.
    /// A grant of this attempt must have a larger one.
    pub(super) fn note_floor(&mut self, lease: u32) {
        let key = usize::from(self.leases[lease as usize].key);
        let floor = self.keys[key].fences.last().copied().unwrap_or(0);
        self.leases[lease as usize].floor = floor;
    }

    /// Another lease than before has the key at a node.
    pub(super) fn grant_changed(
        &mut self,
        copy: usize,
        node: u8,
        before: Option<u32>,
        holder: Option<(u32, Option<Nanos>)>,
    ) {
        let holder = holder.map(|(lease, _)| lease);
        if before == holder {
            return;
        }
        if let Some(lease) = before {
            let drawn = self.seat(lease, node).drawn;
            let copy = &mut self.copies[copy];
            copy.ended = copy.ended.max(drawn);
        }
        if let Some(lease) = holder {
            self.seat(lease, node).floor = self.copies[copy].ended;
        }
    }

    /// A node answered a lease. If it drew a fence, that must be larger than those of all grants
    /// that had ended there when the lease got the key. A take that has lost the key since is
    /// excused.
    pub(super) fn drew(&mut self, record: &Record, lease: u32, ask: OpKind, answer: Answer) {
        if let Answer::Granted(fence) = answer {
            self.drew_fence(record, lease, ask == OpKind::Take, fence);
        }
    }

    /// The node drew this fence for a lease, in the second step of a take or within a script.
    pub(super) fn drew_fence(&mut self, record: &Record, lease: u32, by_take: bool, fence: u64) {
        let Some(node) = record.node else { return };
        self.checks.drawn += 1;
        let key = self.leases[lease as usize].key;
        let copy = self.copies[usize::from(key) * self.rules.nodes + usize::from(node)];
        let floor = match copy.holder {
            Some((holder, _)) if holder == lease => {
                let seat = self.seat(lease, node);
                (!seat.tampered).then_some(seat.floor)
            }
            _ if by_take => None,
            // The script has set the key, and it is told next.
            Some((holder, _)) => Some(copy.ended.max(self.seat(holder, node).drawn)),
            None => Some(copy.ended),
        };
        self.seat(lease, node).drawn = fence;
        let Some(floor) = floor.filter(|floor| fence <= *floor) else {
            return;
        };
        if self.rules.fencing && record.at > self.fences_excused_until {
            let sentence = format!(
                "node {node} drew fence {fence} for lease {lease}, and {floor} for a lease whose \
                 grant had ended there before"
            );
            self.accuse(Law::Fencing, record.at, Some(key), sentence);
        }
    }

    pub(super) fn fence_reported(&mut self, at: Nanos, lease: u32, fence: u64) {
        let state = &self.leases[lease as usize];
        let (key, floor) = (state.key, state.floor);
        self.checks.fences += 1;
        let fences = &mut self.keys[usize::from(key)].fences;
        let place = fences.binary_search(&fence);
        if let Err(place) = place {
            fences.insert(place, fence);
        }
        if !self.rules.fencing || at <= self.fences_excused_until {
            return;
        }
        if place.is_ok() {
            let sentence =
                format!("fence {fence} of lease {lease} was reported for another grant before");
            self.accuse(Law::Fencing, at, Some(key), sentence);
        } else if fence <= floor {
            let sentence = format!(
                "fence {fence} of lease {lease} is not larger than {floor}, which was reported \
                 before the acquire of this lease was sent"
            );
            self.accuse(Law::Fencing, at, Some(key), sentence);
        }
    }

    pub(super) fn wrote(&mut self, at: Nanos, lease: u32, accepted: bool, value: u64) {
        self.count_access(accepted);
        if !accepted {
            return;
        }
        let key = self.leases[lease as usize].key;
        let before = std::mem::replace(&mut self.keys[usize::from(key)].value, value);
        // Leases that were granted before the excuse ended may share a fence, and may write at any
        // later time.
        let granted_at = self.leases[lease as usize].granted_at;
        let demanded = self.rules.fencing && granted_at > self.fences_excused_until;
        if demanded && value != before + 1 {
            let sentence = format!(
                "lease {lease} wrote {value} over {before}, so the write of another holder is lost"
            );
            self.accuse(Law::Fencing, at, Some(key), sentence);
        }
    }

    pub(super) const fn count_access(&mut self, accepted: bool) {
        if accepted {
            self.checks.accepted += 1;
        } else {
            self.checks.refused += 1;
        }
    }
}
