//! Those who wait on one runtime for answers of the client's tasks, and until when.
//!
//! Nearly every wait ends long before that, so one is added and taken back at no cost, and they are
//! in no order. Whoever looks goes through all of them, in bounded steps.

use std::task::Waker;

use slab::Slab;
use tenure_core::Instant;

/// For how many waits memory is kept while nobody waits.
const KEPT: usize = 256;

/// See the module. It calls no waker.
#[derive(Debug)]
pub(super) struct Waits {
    waits: Slab<Wait>,
    /// How many places the present look has gone through.
    looked: usize,
    /// The first end of the waits that were looked at, or have come, since that look began.
    first: Instant,
}

#[derive(Debug)]
struct Wait {
    until: Instant,
    /// None once it was woken because its time was over.
    waker: Option<Waker>,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            waits: Slab::new(),
            looked: 0,
            first: Instant::MAX,
        }
    }
}

impl Waits {
    pub(super) fn is_empty(&self) -> bool {
        self.waits.is_empty()
    }

    /// Adds a wait. Returns its place.
    pub(super) fn add(&mut self, until: Instant, waker: Waker) -> usize {
        self.first = self.first.min(until);
        let waker = Some(waker);
        self.waits.insert(Wait { until, waker })
    }

    /// Whether the wait at this place has such a waker.
    pub(super) fn wakes(&self, at: usize, waker: &Waker) -> bool {
        let known = &self.waits[at].waker;
        known.as_ref().is_some_and(|known| known.will_wake(waker))
    }

    /// Gives the wait at this place another waker. Returns the one before.
    pub(super) fn replace(&mut self, at: usize, waker: Waker) -> Option<Waker> {
        self.waits[at].waker.replace(waker)
    }

    /// Takes the wait at this place away. Returns its waker.
    pub(super) fn remove(&mut self, at: usize) -> Option<Waker> {
        let wait = self.waits.remove(at);
        if self.waits.is_empty() && self.waits.capacity() > KEPT {
            *self = Self::default();
        }
        wait.waker
    }

    /// Looks at so many places, and takes the wakers of the waits whose time is over. When it has
    /// gone through all, it returns the first end that is still to come, and begins anew.
    // Law: Bounded work
    pub(super) fn look(
        &mut self,
        now: Instant,
        max: usize,
        over: &mut Vec<Waker>,
    ) -> Option<Instant> {
        let end = (self.looked + max).min(self.waits.capacity());
        for at in self.looked..end {
            match self.waits.get_mut(at) {
                Some(wait) if wait.until <= now => over.extend(wait.waker.take()),
                Some(wait) => self.first = self.first.min(wait.until),
                None => {}
            }
        }
        self.looked = end;
        if end < self.waits.capacity() {
            return None;
        }
        self.looked = 0;
        Some(std::mem::replace(&mut self.first, Instant::MAX))
    }

    /// The wakers of all.
    pub(super) fn into_wakers(self) -> Vec<Waker> {
        let waits = self.waits.into_iter();
        waits.filter_map(|(_, wait)| wait.waker).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(millis)
    }

    /// Looks until it is through. Returns how many it found to be over, and the first end to come.
    fn look(waits: &mut Waits, now: Instant, max: usize) -> (usize, Instant) {
        let mut over = Vec::new();
        loop {
            let before = over.len();
            let first = waits.look(now, max, &mut over);
            assert!(over.len() - before <= max);
            if let Some(first) = first {
                return (over.len(), first);
            }
        }
    }

    #[test]
    fn each_is_found_once_in_bounded_steps_and_the_next_end_is_known() {
        let mut waits = Waits::default();
        for end in 1..=1_000 {
            waits.add(at(end), Waker::noop().clone());
        }
        assert_eq!(look(&mut waits, at(0), 7), (0, at(1)));
        assert_eq!(look(&mut waits, at(600), 7), (600, at(601)));
        assert_eq!(look(&mut waits, at(600), 7), (0, at(601)));
        assert_eq!(look(&mut waits, at(1_000), 7), (400, Instant::MAX));
    }

    #[test]
    fn one_that_comes_during_a_look_is_not_overlooked() {
        let mut waits = Waits::default();
        let places = [5, 6, 7].map(|end| waits.add(at(end), Waker::noop().clone()));
        assert_eq!(waits.look(at(0), 2, &mut Vec::new()), None);
        waits.remove(places[0]);
        assert_eq!(waits.add(at(3), Waker::noop().clone()), places[0]);
        let first = waits.look(at(0), 99, &mut Vec::new());
        assert_eq!(first, Some(at(3)));
    }

    #[test]
    fn memory_is_given_back_when_nobody_waits() {
        let mut waits = Waits::default();
        let add = |waits: &mut Waits| waits.add(at(1), Waker::noop().clone());
        let places: Vec<_> = (0..10 * KEPT).map(|_| add(&mut waits)).collect();
        for place in places {
            waits.remove(place);
        }
        assert!(waits.is_empty() && waits.waits.capacity() <= KEPT);
    }
}
