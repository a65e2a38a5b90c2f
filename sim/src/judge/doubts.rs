//! Doubts: a node says that somebody has touched a key that is watched. If it is lost, the loss is
//! told soon: Loss is told.

use tenure_core::{Law, OpKind};

use super::state::{Judge, Stage};
use crate::observe::fact::{Answer, Nanos, Outcome, Record};

impl Judge {
    /// A push came that doubts a lease. If the node does not hold its token any more, the loss must
    /// be told soon; unless it is a late one, of a key that the node watched before and does not
    /// any more.
    pub(super) fn doubted(&mut self, at: Nanos, node: u8, lease: u32, all: bool) {
        let watches = std::mem::take(&mut self.leases[lease as usize].watching);
        let state = &self.leases[lease as usize];
        let index = usize::from(state.key) * self.rules.nodes + usize::from(node);
        let holds = self.copies[index].holder.is_some_and(|(it, _)| it == lease);
        let asleep = self.clients[usize::from(state.client)].asleep;
        if state.stage == Stage::Held {
            // It asks by a renewal, and once more if the node was not ready.
            self.leases[lease as usize].doubts += 2;
        }
        let state = &self.leases[lease as usize];
        // The node may watch the key for another lease of the client, which took the key when this
        // one had lost it.
        let mut held = self.keys[usize::from(state.key)].held.iter();
        let client = |other: &u32| self.leases[*other as usize].client;
        let beside = held.any(|other| *other != lease && client(other) == state.client);
        let says = all || watches;
        if says && !holds && !asleep && !beside && state.stage == Stage::Held {
            self.checks.doubts += 1;
            let state = &mut self.leases[lease as usize];
            state.doubted_since = state.doubted_since.or(Some(at));
        }
    }

    /// A push came that doubts all leases of a client.
    pub(super) fn all_doubted(&mut self, record: &Record) {
        let (Some(client), Some(node)) = (record.client, record.node) else {
            return;
        };
        for lease in 0..self.leases.len() as u32 {
            if self.leases[lease as usize].client == client {
                self.doubted(record.at, node, lease, true);
            }
        }
    }

    /// Nobody can tell: the connection was lost, or the client stood still.
    pub(super) fn forget_doubts(&mut self, client: u8) {
        for state in &mut self.leases {
            if state.client == client {
                state.doubted_since = None;
            }
        }
    }

    /// The node answered something that does not end the lease, or did not answer. Or it did, and
    /// the loss is to be told soon after that.
    pub(super) fn doubt_answered(&mut self, at: Nanos, lease: u32, ask: OpKind, outcome: Outcome) {
        let ends = matches!(outcome, Outcome::Answered(Answer::Gone | Answer::Taken));
        let state = &mut self.leases[lease as usize];
        state.watching |= (ask, outcome) == (OpKind::Watch, Outcome::Answered(Answer::Done));
        let since = &mut state.doubted_since;
        *since = since.filter(|_| ask == OpKind::Renew && ends).map(|_| at);
    }

    /// Looks for a loss that was doubted, and is not told.
    pub(super) fn look_for_doubts(&mut self, at: Nanos, client: u8) {
        if self.rules.doubted_within == 0 || self.rules.nodes != 1 {
            return;
        }
        for key in 0..self.keys.len() {
            for lease in &self.keys[key].held {
                let state = &self.leases[*lease as usize];
                // The reply to what it asked may be lost, and its link waits for it still.
                let asks = self.seats[*lease as usize].out;
                if let Some(since) = state.doubted_since
                    && state.client == client
                    && !asks
                    && at > since + self.rules.doubted_within
                {
                    let sentence = format!(
                        "a node said at {since} ns that the key of lease {lease} may be lost, it \
                         is, and that was not told before {at} ns"
                    );
                    return self.accuse(Law::LossIsTold, at, Some(key as u8), sentence);
                }
            }
        }
    }
}
