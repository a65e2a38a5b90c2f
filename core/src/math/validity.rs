//! Validity, purely: the drift margin, and the instant up to which a quorum is known to hold a token.

use core::time::Duration;

use crate::time::Instant;

/// By how much the time that a clock measures over one TTL may differ from true time, steps included.
///
/// This is assumption (a) of the Exclusion law. Both the holder's and the server's clock may be wrong,
/// in opposite directions, so twice the rate is subtracted from every TTL, and a granularity for what
/// servers round to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Drift {
    ppm: u32,
    granularity: Duration,
}

impl Drift {
    /// 5,000 ppm (half a percent, so one percent of the TTL is subtracted) and 2 ms.
    pub const DEFAULT: Self = Self {
        ppm: 5_000,
        granularity: Duration::from_millis(2),
    };

    /// The largest bound: 200,000 ppm, a fifth. Beyond it little validity is left.
    pub const MAX_PPM: u32 = 200_000;

    /// A bound of `ppm` millionths of the TTL, with the default granularity.
    ///
    /// ```
    /// use core::time::Duration;
    /// use tenure_core::Drift;
    ///
    /// let margin = Drift::from_ppm(10_000).margin(Duration::from_secs(10));
    /// assert_eq!(margin, Duration::from_millis(200 + 2));
    /// ```
    #[must_use]
    pub const fn from_ppm(ppm: u32) -> Self {
        Self {
            ppm,
            granularity: Self::DEFAULT.granularity,
        }
    }

    /// The same bound with another granularity: the largest rounding of a server's expiry, 1 ms or
    /// more on a real server.
    #[must_use]
    pub const fn with_granularity(mut self, granularity: Duration) -> Self {
        self.granularity = granularity;
        self
    }

    /// The bound, in millionths of the TTL.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.ppm
    }

    /// What is subtracted from a TTL: 2ρ·TTL plus granularity, rounded up to a nanosecond.
    #[must_use]
    pub fn margin(self, ttl: Duration) -> Duration {
        let nanos = (ttl.as_nanos() * 2 * u128::from(self.ppm)).div_ceil(1_000_000);
        let rate = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        rate.saturating_add(self.granularity)
    }
}

impl Default for Drift {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The instant up to which at least `quorum` of the copies last: the quorum-th largest.
///
/// None if fewer than `quorum` copies are known.
///
/// # Panics
/// If there are more than [`MAX_NODES`](crate::MAX_NODES) copies.
///
/// ```
/// use tenure_core::{Instant, held_until};
///
/// let copies = [3, 1, 2].map(|s| Some(Instant::from_nanos(s)));
/// assert_eq!(held_until(copies, 2), Some(Instant::from_nanos(2)));
/// assert_eq!(held_until([None, copies[0], None], 2), None);
/// ```
#[must_use]
pub fn held_until(
    copies: impl IntoIterator<Item = Option<Instant>>,
    quorum: usize,
) -> Option<Instant> {
    let mut largest = [Instant::MIN; crate::id::MAX_NODES];
    let mut count = 0;
    for until in copies.into_iter().flatten() {
        // Insertion into a list of at most nine, largest first.
        let at = largest[..count]
            .iter()
            .position(|other| *other < until)
            .unwrap_or(count);
        largest[at..=count].rotate_right(1);
        largest[at] = until;
        count += 1;
    }
    (quorum > 0 && count >= quorum).then(|| largest[quorum - 1])
}
