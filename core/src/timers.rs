//! The deadlines of all leases, in order: one entry for each lease.

use alloc::collections::BTreeSet;
use core::ops::Bound;

use crate::lease::Due;
use crate::time::Instant;

/// The deadlines by class, so that expiry comes first and retries come last, however many are due.
// Law: Replay
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queues: [BTreeSet<(Instant, u32)>; 4],
}

/// The queue of a kind of deadline.
const fn class(due: Due) -> usize {
    match due {
        Due::Expiry => 0,
        Due::Renewal => 1,
        Due::Place => 2,
        Due::Round | Due::Retry => 3,
    }
}

impl Timers {
    /// Moves the entry of a slot.
    pub(crate) fn rearm(
        &mut self,
        slot: u32,
        old: Option<(Instant, Due)>,
        new: Option<(Instant, Due)>,
    ) {
        if old == new {
            return;
        }
        if let Some((at, due)) = old {
            self.queues[class(due)].remove(&(at, slot));
        }
        if let Some((at, due)) = new {
            self.queues[class(due)].insert((at, slot));
        }
    }

    /// The earliest deadline.
    pub(crate) fn first(&self) -> Option<Instant> {
        self.queues
            .iter()
            .filter_map(|queue| queue.first())
            .map(|(at, _)| *at)
            .min()
    }

    /// Of the entries of this class behind `done`, the first, if it is due at `now`. It stays in
    /// the queue.
    pub(crate) fn due(
        &self,
        class_of: Due,
        now: Instant,
        done: Option<(Instant, u32)>,
    ) -> Option<(Instant, u32)> {
        let behind = done.map_or(Bound::Unbounded, Bound::Excluded);
        let (at, slot) = self.queues[class(class_of)]
            .range((behind, Bound::Unbounded))
            .next()?;
        (*at <= now).then_some((*at, *slot))
    }
}
