//! How long to wait between attempts: twice as long after each failure, with jitter.

use core::time::Duration;

use crate::rng::Rng;

/// Pauses between attempts. The bound of the pause doubles with each failure, from `first` to
/// `longest`. Each pause is a random time from the upper half of its bound, so that rivals drift
/// apart and none retries at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

impl Backoff {
    /// From 25 ms to 1 s.
    pub const DEFAULT: Self = Self {
        first: Duration::from_millis(25),
        longest: Duration::from_secs(1),
    };

    /// The longest pause while somebody else holds the key, unless that is set by itself.
    pub const CONTENTION_LONGEST: Duration = Duration::from_millis(250);

    /// A first pause of at most `first`, and no pause longer than `longest`. The values are checked
    /// when the options of a lease are built.
    #[must_use]
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// The bound of the first pause.
    #[must_use]
    pub const fn first(self) -> Duration {
        self.first
    }

    /// The bound of the longest pause.
    #[must_use]
    pub const fn longest(self) -> Duration {
        self.longest
    }

    /// The same, but with no pause longer than `most`.
    #[must_use]
    pub fn at_most(self, most: Duration) -> Self {
        Self {
            first: self.first.min(most),
            longest: self.longest.min(most),
        }
    }

    /// The pause after so many failures in a row.
    #[must_use]
    pub fn pause(self, failures: u32, rng: &mut Rng) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let bound = self.first.saturating_mul(1 << doublings).min(self.longest);
        // Rounded up, so that no pause is zero, however short its bound.
        // Law: Bounded work
        let half = bound - bound / 2;
        half + rng.below(bound - half)
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::DEFAULT
    }
}
