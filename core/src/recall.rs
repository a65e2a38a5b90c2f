//! The recall: when a node comes up, the leases that had put something off are called again at
//! once.
//!
//! Leases whose renewal failed come first, the nearest end of validity before the others; then
//! those that have a place in a queue, since pushes may have been lost; then those that owe a
//! release. They stand in order from the moment at which they put it off, so a
//! node that comes up costs nothing by itself, however many they are. They are called in bounded
//! steps. Each is called once, and its usual pauses follow if it fails again: a node that comes and
//! goes makes no storm.

use crate::id::{NodeId, NodeSet};
use crate::lease::Due;
use crate::time::Instant;
use crate::timers::Timers;

/// The leases that have put something off, and how far a recall has come.
#[derive(Debug)]
pub(crate) struct Recall {
    /// Each with what it waits to do again, in the order in which they are called.
    waiting: Timers,
    /// The nodes that came up, while a recall goes on.
    nodes: NodeSet,
    /// When the last of them came up.
    since: Instant,
    /// Who was called last: among those that renew, that have a place, and that release.
    called: [Option<(Instant, u32)>; 3],
    /// Counts recalls.
    count: u32,
}

/// What is known here of the lease in a slot.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PutOff {
    entry: Option<(Instant, Due)>,
    /// The recall that was the last one when the lease put it off, or was called.
    seen: u32,
}

impl Recall {
    pub(crate) fn new() -> Self {
        Self {
            waiting: Timers::default(),
            nodes: NodeSet::EMPTY,
            since: Instant::MIN,
            called: [None; 3],
            count: 0,
        }
    }

    /// The lease in this slot has put off what `new` says, or nothing any more.
    pub(crate) fn note(&mut self, slot: u32, old: &mut PutOff, new: Option<(Instant, Due)>) {
        if old.entry.is_none() && new.is_some() {
            // It has failed since the last node came up.
            old.seen = self.count;
        }
        self.waiting.rearm(slot, old.entry, new);
        old.entry = new;
        // It ends earlier now, and those who end later were called already: it is the next.
        if let Some((at, due)) = new
            && old.seen != self.count
            && let Some(kind) = kind(due)
            && self.called[kind].is_some_and(|called| called >= (at, slot))
        {
            let before = Instant::from_nanos(at.as_nanos().saturating_sub(1));
            self.called[kind] = Some((before, u32::MAX));
        }
    }

    /// A node has come up: all that wait now are called.
    pub(crate) fn begin(&mut self, now: Instant, node: NodeId) {
        self.nodes.insert(node);
        self.since = now;
        self.called = [None; 3];
        self.count = self.count.wrapping_add(1);
    }

    /// The node went down again: nobody is called for it any more.
    pub(crate) fn withdraw(&mut self, node: NodeId) {
        self.nodes.remove(node);
    }

    /// Takes the next slot of this kind, if there is one.
    pub(crate) fn next(&mut self, due: Due) -> Option<u32> {
        let Some(entry) = self.first(due) else {
            if self.due().is_none() {
                self.nodes = NodeSet::EMPTY;
            }
            return None;
        };
        self.called[kind(due)?] = Some(entry);
        Some(entry.1)
    }

    /// For which nodes the lease is called. None if it was called already, or put it off later.
    // Law: Bounded work
    pub(crate) fn call(&self, it: &mut PutOff) -> NodeSet {
        if core::mem::replace(&mut it.seen, self.count) == self.count {
            NodeSet::EMPTY
        } else {
            self.nodes
        }
    }

    /// Since when somebody is to be called, and for what. None if nobody is.
    pub(crate) fn due(&self) -> Option<(Instant, Due)> {
        let due = [Due::Renewal, Due::Place, Due::Retry];
        let due = due.into_iter().find(|due| self.first(*due).is_some())?;
        Some((self.since, due))
    }

    fn first(&self, due: Due) -> Option<(Instant, u32)> {
        if self.nodes.is_empty() {
            return None;
        }
        self.waiting.due(due, Instant::MAX, self.called[kind(due)?])
    }
}

/// Which of those that put something off. None if nothing of this kind is put off.
const fn kind(due: Due) -> Option<usize> {
    match due {
        Due::Renewal => Some(0),
        Due::Place => Some(1),
        Due::Retry => Some(2),
        Due::Expiry | Due::Round => None,
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    /// Who is called next.
    fn next(recall: &mut Recall) -> Option<u32> {
        recall.next(Due::Renewal)
    }

    #[test]
    fn a_lease_whose_validity_shrinks_during_a_recall_is_called_next() {
        let at = |secs| Some((Instant::ORIGIN + Duration::from_secs(secs), Due::Renewal));
        let mut recall = Recall::new();
        let mut leases = [PutOff::default(); 4];
        for (slot, it) in leases.iter_mut().enumerate() {
            recall.note(slot as u32, it, at(slot as u64 + 1));
        }
        recall.begin(Instant::ORIGIN, NodeId::new(0));
        for slot in [0, 1] {
            assert_eq!(next(&mut recall), Some(slot));
            assert!(!recall.call(&mut leases[slot as usize]).is_empty());
        }
        // The last is the first to end now.
        recall.note(3, &mut leases[3], at(0));
        assert_eq!(next(&mut recall), Some(3));
        assert!(!recall.call(&mut leases[3]).is_empty());
        // Those that were called already are passed by, and the rest follows.
        let rest: [_; 3] = core::array::from_fn(|_| next(&mut recall));
        assert_eq!(rest, [Some(0), Some(1), Some(2)]);
        assert!(recall.call(&mut leases[0]).is_empty());
        assert!(!recall.call(&mut leases[2]).is_empty());
    }
}
