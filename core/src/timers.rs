//! The timer queue of all leases: one entry per lease, ordered, exact and deterministic.

use alloc::collections::BTreeSet;

use crate::lease::Due;
use crate::time::Instant;

/// Deadlines by class, so that expiry comes before renewals and retries last, however many are due.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queues: [BTreeSet<(Instant, u32)>; 3],
}

/// Renewals are taken in the order of their time: with equal TTLs, nearest to expiry first.
const fn class(due: Due) -> usize {
    match due {
        Due::Expiry => 0,
        Due::Renewal => 1,
        Due::Round | Due::Retry => 2,
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

    /// A slot of this class whose deadline is not after `now`, earliest first. It stays in the queue.
    pub(crate) fn due(&self, class_of: Due, now: Instant) -> Option<u32> {
        let (at, slot) = self.queues[class(class_of)].first()?;
        (*at <= now).then_some(*slot)
    }
}
