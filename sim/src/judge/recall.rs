//! Whether a node that comes up is asked for what had failed there: Progress.
//!
//! It is watched where there is one node. Over several, others may have renewed the lease
//! meanwhile.

use tenure_core::Law;

use super::state::{Judge, Stage};
use crate::observe::fact::{Link, Nanos, Record};

impl Judge {
    /// Takes note of whether the node of a client is up.
    pub(super) fn note_up(&mut self, record: &Record, link: Link) {
        let Some(client) = record.client else { return };
        match link {
            Link::Up => self.clients[usize::from(client)].up_since = Some(record.at),
            Link::Cut(_) | Link::Down => self.clients[usize::from(client)].up_since = None,
            Link::Loaded | Link::Marked | Link::Killed => {}
        }
    }

    /// A renewal failed.
    pub(super) fn is_suspect(&mut self, at: Nanos, lease: u32) {
        self.look_for_uncalled(at, lease);
        self.leases[lease as usize].suspect_since = Some(at);
    }

    /// Before a renewal is sent, or the lease ends: if its last renewal had failed, and its node
    /// has come up since, it must have been tried again at once.
    pub(super) fn look_for_uncalled(&mut self, at: Nanos, lease: u32) {
        let state = &mut self.leases[lease as usize];
        let key = state.key;
        let Some(since) = state.suspect_since.take() else {
            return;
        };
        let seen = self.clients[usize::from(state.client)];
        // What was renewed by hand may never be retried: its renewal may be off.
        let demanded = self.rules.recalled_within > 0
            && self.rules.nodes == 1
            && state.stage == Stage::Held
            && state.by_hand == 0
            && !seen.asleep;
        let Some(up) = seen.up_since.filter(|up| demanded && since < *up) else {
            return;
        };
        let latest = up.max(seen.awake_since) + self.rules.recalled_within;
        if at > latest {
            let sentence = format!(
                "a renewal of lease {lease} had failed at {since} ns, its node came up at {up} ns, \
                 and it was not tried again before {at} ns"
            );
            self.accuse(Law::Progress, at, Some(key), sentence);
        }
    }
}
