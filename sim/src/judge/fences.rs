//! Fences, and the resource behind the lock that refuses smaller ones: Fencing.
//!
//! The resource is a number. A holder announces itself with its fence as it reads it, and writes one
//! more than it read. So a write that overwrites another unseen shows as a value that comes twice.

use tenure_core::Law;

use super::state::Judge;
use crate::observe::fact::Nanos;

impl Judge {
    /// The first request of an attempt is sent: its grant must have a larger fence than those that
    /// were reported before.
    pub(super) fn note_floor(&mut self, lease: u32) {
        let key = usize::from(self.leases[lease as usize].key);
        let floor = self.keys[key].fences.last().copied().unwrap_or(0);
        self.leases[lease as usize].floor = floor;
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
            let sentence = format!("fence {fence} of lease {lease} was reported before");
            self.accuse(Law::Fencing, at, Some(key), sentence);
        } else if fence <= floor {
            let sentence = format!(
                "fence {fence} of lease {lease} is not larger than {floor}, which had been reported \
                 before its acquire was sent"
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
        // Two that were granted before then may have one fence, and write whenever they wake.
        let granted_at = self.leases[lease as usize].granted_at;
        let demanded = self.rules.fencing && granted_at > self.fences_excused_until;
        if demanded && value != before + 1 {
            let sentence = format!(
                "lease {lease} wrote {value} over {before}: what another holder wrote is lost"
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
