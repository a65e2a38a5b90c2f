//! What is told of the places in queues: who has one, in which order, and until when it is kept;
//! and that a node handed a lock on.

use tenure_core::{Fence, Op};

use super::engine::World;
use crate::node::{Arrived, Value, Waiter};
use crate::observe::fact::{Fact, Holder, MS, Nanos};

/// What was told of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    lease: u32,
    until: Nanos,
    channel: bool,
}

impl World<'_> {
    /// Tells what became of the places in the queue of a key since it was told last.
    pub(super) fn tell_places(&mut self, server: u8, key: u8) {
        if !self.drawn.queues {
            return;
        }
        let node = &mut self.nodes[usize::from(server)];
        let told = |waiter: &Waiter| Told {
            lease: waiter.lease,
            until: node.clock.when(waiter.until * MS as i64),
            channel: waiter.channel.is_some(),
        };
        let present: Vec<Told> = node
            .model
            .waiters(usize::from(key))
            .iter()
            .map(told)
            .collect();
        let before = std::mem::replace(&mut node.told[usize::from(key)], present.clone());
        if before == present {
            return;
        }
        // What is kept of a place never changes, but for its end. One with another channel is new.
        let same =
            |one: &Told, other: &Told| (one.lease, one.channel) == (other.lease, other.channel);
        let stays = |it: &&Told| present.iter().any(|other| same(it, other));
        let stay: Vec<&Told> = before.iter().filter(stays).collect();
        // Nor does the order of places, unless the node got old data back.
        let kept = present.iter().zip(&stay).all(|(it, old)| same(it, old));
        for it in &before {
            if !kept || !stays(&it) {
                let (until, channel) = (None, it.channel);
                self.tell_of_lease(it.lease, Some(server), Fact::Place { until, channel });
            }
        }
        for it in &present {
            if !kept || !before.contains(it) {
                let (until, channel) = (Some(it.until), it.channel);
                self.tell_of_lease(it.lease, Some(server), Fact::Place { until, channel });
            }
        }
    }

    /// A request was answered that names a place. With another channel than before it was entered
    /// anew, before anything else: tells that the one before is gone.
    pub(super) fn tell_former_place(&mut self, server: u8, arrived: &Arrived) {
        let (Op::Wait { place, .. }
        | Op::Stay { place, .. }
        | Op::Acquire {
            place: Some(place), ..
        }) = arrived.op
        else {
            return;
        };
        let channel = place.pushed && arrived.channel.is_some();
        let lease = arrived.lease;
        let told = &mut self.nodes[usize::from(server)].told[arrived.key];
        let former = |it: &Told| it.lease == lease && it.channel != channel;
        if told.iter().any(former) {
            told.retain(|it| !former(it));
            let (until, channel) = (None, !channel);
            self.tell_of_lease(lease, Some(server), Fact::Place { until, channel });
        }
    }

    /// Tells what became of all places of a node, since it forgot some or its clock changed.
    pub(super) fn tell_all_places(&mut self, server: u8) {
        for key in 0..self.drawn.keys as u8 {
            self.tell_places(server, key);
        }
    }

    /// If a request of a lease made the node hand the lock on, tells so. `frees` says that it gave
    /// the lock back: what the lease has now was handed to its own place, which it entered with a
    /// later attempt.
    pub(super) fn tell_hand_off(
        &mut self,
        server: u8,
        key: u8,
        by: u32,
        from: Holder,
        frees: bool,
    ) {
        // One of several nodes keeps the key for a lease, and grants nothing by that.
        if self.drawn.nodes > 1 {
            return;
        }
        let node = &self.nodes[usize::from(server)];
        let Some(Value::Token { lease, .. }) = node.entry(self.now, key).map(|it| it.value) else {
            return;
        };
        let to_itself = frees && lease == by;
        if !to_itself && (lease == by || from == Holder::Lease(lease)) {
            return;
        }
        // All fences of the node come from its stream.
        let last = node.model.stream_kept(node.shown(self.now));
        let fence = last.and_then(|((millis, sequence), _)| {
            Fence::of_stream(millis.unsigned_abs(), sequence.unsigned_abs())
        });
        let until = node.expiry(self.now, key).unwrap_or(Nanos::MAX);
        let fence = fence.map_or(0, Fence::get);
        self.tell_of_lease(lease, Some(server), Fact::HandedOn { fence, until });
    }
}
