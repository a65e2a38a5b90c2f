//! A reading of the standard library's clock, for systems that are no Unix. On Windows it counts
//! the time that the machine sleeps, as the standard library reads it today.

use std::time::{Duration, Instant};

/// What the clock shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading(Instant);

impl Reading {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the Clock seam: where production reads a clock"
    )]
    pub(super) fn now() -> Self {
        Self(Instant::now())
    }

    /// The time that passed since an earlier reading. Zero if the clock went back.
    pub(super) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_reading_is_not_before_an_earlier_one() {
        let first = Reading::now();
        let second = Reading::now();
        assert!(second.since(first) < Duration::from_secs(60));
        assert_eq!(first.since(first), Duration::ZERO);
        if second.since(first) > Duration::ZERO {
            assert_eq!(first.since(second), Duration::ZERO);
        }
    }
}
