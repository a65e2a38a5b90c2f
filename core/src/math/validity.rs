//! Validity: the drift margin, and the instant up to which a quorum is known to hold a token.

use core::time::Duration;

use crate::time::Instant;

/// By how much the time that a clock measures over one TTL may differ from true time. Steps of the
/// clock are included.
///
/// The law of Exclusion assumes this bound. The clock of the holder and that of the server may be
/// wrong in opposite directions, so twice the bound is subtracted from every TTL. Since servers
/// round expiries, a granularity is subtracted too.
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

    /// The largest bound: 200,000 ppm, a fifth of the TTL. Beyond it little validity would be left.
    pub const MAX_PPM: u32 = 200_000;

    /// A bound of so many millionths of the TTL, with the default granularity.
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

    /// The same bound with another granularity: by how much a server may round an expiry. On a real
    /// server that is at least 1 ms.
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

    /// What is subtracted from a TTL: twice the bound, and the granularity. Rounded up to a
    /// nanosecond.
    #[must_use]
    pub fn margin(self, ttl: Duration) -> Duration {
        // Law: Exclusion
        let nanos = (ttl.as_nanos() * 2 * u128::from(self.ppm)).div_ceil(1_000_000);
        let rate = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        rate.saturating_add(self.granularity)
    }

    /// The shortest TTL that leaves any validity, in whole milliseconds.
    ///
    /// ```
    /// use core::time::Duration;
    /// use tenure_core::Drift;
    ///
    /// assert_eq!(Drift::DEFAULT.shortest_ttl(), Duration::from_millis(3));
    /// ```
    #[must_use]
    pub fn shortest_ttl(self) -> Duration {
        // What is left of each million after twice the bound.
        let left = 1_000_000 - 2 * u128::from(self.ppm.min(Self::MAX_PPM));
        let nanos = self.granularity.as_nanos() * 1_000_000 / left;
        let millis = u64::try_from(nanos / 1_000_000).unwrap_or(u64::MAX);
        // Rounding is worth two milliseconds at most.
        let candidates = (0..=2).map(|more| Duration::from_millis(millis.saturating_add(more)));
        let longest = Duration::from_millis(u64::MAX);
        let mut valid = candidates.filter(|ttl| *ttl > self.margin(*ttl));
        valid.next().unwrap_or(longest)
    }
}

impl Default for Drift {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The instant up to which at least `quorum` of the copies last. None if fewer copies are known.
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
        // The list is sorted, the largest first, and has at most nine entries.
        let at = largest[..count]
            .iter()
            .position(|other| *other < until)
            .unwrap_or(count);
        largest[at..=count].rotate_right(1);
        largest[at] = until;
        count += 1;
    }
    // Law: Honest validity
    (quorum > 0 && count >= quorum).then(|| largest[quorum - 1])
}
