//! The queue of a key: who waits there, in which order, until when each place is kept, and whom the
//! lock is handed to.

use std::time::Duration;

use tenure_core::{Fence, Place, Serial};

use super::Precision;

/// A queue expires at a full multiple of this, so that its expiry need not be set for each place.
const PERIOD: Duration = Duration::from_secs(10);

/// A place in the queue of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Waiter {
    /// Of which lease.
    pub lease: u32,
    /// With the token of which of its attempts.
    pub attempt: u32,
    /// What its client calls it.
    pub place: Place,
    /// Where the client listens, if it does.
    pub channel: Option<u32>,
    /// In ticks: from then on the place counts as dead.
    pub until: i64,
    /// The request that kept it last.
    pub serial: Serial,
    /// Those with smaller ones come first; of those with the same, the smaller name.
    pub order: i64,
}

/// What a node pushes to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pushed {
    /// Where it listens.
    pub channel: u32,
    /// To which lease.
    pub lease: u32,
    /// What its client calls the place.
    pub place: Place,
    /// That the lock was handed on: the request that had kept the place last, and what the node
    /// drew. Else it is a hint that the lock is free.
    pub granted: Option<(Serial, Fence)>,
}

/// Those who wait for a key, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Queue {
    waiters: Vec<Waiter>,
    /// When the queue expires: at the next full [`PERIOD`] behind the latest end of all places that
    /// were in it.
    until: i64,
    /// Whether something of another type is under its name.
    spoiled: bool,
}

impl Queue {
    /// Who waits, in order.
    pub(super) fn waiters(&self) -> &[Waiter] {
        &self.waiters
    }

    /// A queue under whose name there is something of another type.
    pub(super) const fn spoiled() -> Self {
        Self {
            waiters: Vec::new(),
            until: 0,
            spoiled: true,
        }
    }

    pub(super) const fn is_spoiled(&self) -> bool {
        self.spoiled
    }

    /// Deletes it if it has expired.
    pub(super) fn expire(&mut self, lives: impl Fn(i64) -> bool) {
        if !self.waiters.is_empty() && !lives(self.until) {
            self.waiters.clear();
        }
        if self.waiters.is_empty() {
            self.until = 0;
        }
    }

    /// The largest order in it.
    pub(super) fn last_order(&self) -> i64 {
        self.waiters.last().map_or(0, |waiter| waiter.order)
    }

    /// Enters a place by its order, or keeps the one that is there. Returns how many are ahead of
    /// it.
    pub(super) fn enter<P: Precision>(&mut self, waiter: Waiter) -> usize {
        let period = PERIOD.as_nanos() as i64 / P::TICK;
        let next = waiter.until - waiter.until.rem_euclid(period) + period;
        self.until = self.until.max(next);
        let at = match self.position(waiter.lease) {
            Some(at) if self.waiters[at].channel == waiter.channel => at,
            // The channel is part of what a place is: with another one it is entered anew.
            before => {
                if let Some(at) = before {
                    self.waiters.remove(at);
                }
                let key = |waiter: &Waiter| (waiter.order, waiter.place.id);
                let at = self.waiters.partition_point(|it| key(it) <= key(&waiter));
                self.waiters.insert(at, waiter);
                at
            }
        };
        let kept = &mut self.waiters[at];
        kept.until = kept.until.max(waiter.until);
        if waiter.serial.is_after(kept.serial) {
            kept.serial = waiter.serial;
        }
        at
    }

    /// Removes the place of a lease, if it has one.
    pub(super) fn leave(&mut self, lease: u32) {
        self.waiters.retain(|waiter| waiter.lease != lease);
    }

    /// Takes the next in line out of the queue, and the dead that stand before it.
    ///
    /// One who listens to pushes is passed over while nobody does at its channel, as long as there
    /// are others; but not the one that asks.
    // Law: Fairness
    pub(super) fn next(
        &mut self,
        now: i64,
        heard: impl Fn(u32) -> bool,
        asker: Option<u32>,
    ) -> Option<Waiter> {
        let live = |waiter: &Waiter| waiter.until > now;
        let present =
            |waiter: &Waiter| waiter.channel.is_none_or(&heard) || asker == Some(waiter.lease);
        let first = self.waiters.iter().position(live);
        let chosen = self.waiters.iter().position(|it| live(it) && present(it));
        let last = chosen.unwrap_or(self.waiters.len());
        let taken = chosen.or(first).map(|at| self.waiters[at]);
        // Those that were looked at and are dead, and the one that is taken.
        let mut at = 0;
        self.waiters.retain(|waiter| {
            at += 1;
            let dead = at <= last && !live(waiter);
            !dead && taken.is_none_or(|taken| taken.lease != waiter.lease)
        });
        taken
    }

    /// Whom to tell that the lock is free: the first that listens. It goes to the end, as the first
    /// that is there does if nobody listens. The dead that stand before it are taken out.
    // Law: Progress
    pub(super) fn hint(&mut self, now: i64, heard: impl Fn(u32) -> bool) -> Option<Waiter> {
        let live = |waiter: &Waiter| waiter.until > now;
        let listens = |waiter: &Waiter| waiter.channel.is_some_and(&heard);
        let first = self.waiters.iter().position(live);
        let chosen = self.waiters.iter().position(|it| live(it) && listens(it));
        let last = chosen.unwrap_or(self.waiters.len());
        let hinted = chosen.or(first).map(|at| self.waiters[at]);
        let order = self.last_order() + 1;
        let mut at = 0;
        self.waiters.retain(|waiter| {
            at += 1;
            let dead = at <= last && !live(waiter);
            !dead && hinted.is_none_or(|hinted| hinted.lease != waiter.lease)
        });
        self.waiters.extend(hinted.map(|it| Waiter { order, ..it }));
        hinted.filter(|_| chosen.is_some())
    }

    fn position(&self, lease: u32) -> Option<usize> {
        self.waiters.iter().position(|waiter| waiter.lease == lease)
    }
}

#[cfg(test)]
mod tests {
    use tenure_core::{PlaceId, Serial};

    use super::*;
    use crate::node::Milliseconds;

    /// A connection that hears no pushes may follow one that did. The place that nobody listens for
    /// would be passed over for as long as others come.
    #[test]
    fn a_place_with_another_channel_is_entered_anew_at_the_end() {
        let waiter = |lease, channel| Waiter {
            lease,
            attempt: 1,
            place: Place {
                id: PlaceId::new(u64::from(lease)),
                pushed: true,
            },
            channel,
            until: 100,
            serial: Serial::of(1),
            order: if channel.is_some() {
                i64::from(lease)
            } else {
                9
            },
        };
        let mut queue = Queue::default();
        queue.enter::<Milliseconds>(waiter(1, Some(7)));
        queue.enter::<Milliseconds>(waiter(2, Some(8)));
        assert_eq!(
            queue.enter::<Milliseconds>(waiter(1, Some(7))),
            0,
            "it is kept"
        );
        assert_eq!(queue.enter::<Milliseconds>(waiter(1, None)), 1);
        let next = queue.next(50, |_| true, None).map(|it| it.lease);
        assert_eq!(next, Some(2));
    }
}
