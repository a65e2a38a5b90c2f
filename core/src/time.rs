//! An instant on the driver's clock, in nanoseconds from an origin that the driver chooses.
//!
//! It is not `std::time::Instant`. That one has no zero, a test cannot make one up, and on some
//! platforms it stands still while the machine sleeps.

use core::fmt;
use core::num::NonZeroU64;
use core::time::Duration;

/// A point on the holder's own clock, in nanoseconds from an origin that the driver chooses.
///
/// Arithmetic saturates. The clock behind it must never go back, and must go on while the machine
/// sleeps: on Linux, `CLOCK_BOOTTIME`.
///
/// ```
/// use core::time::Duration;
/// use tenure_core::Instant;
///
/// let start = Instant::ORIGIN + Duration::from_secs(2);
/// assert_eq!(start.saturating_since(Instant::ORIGIN), Duration::from_secs(2));
/// assert_eq!(Instant::ORIGIN.saturating_since(start), Duration::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(
    /// The nanoseconds, with the sign bit turned over, so that they are in order. They are never
    /// zero, which is left for `None`: a lease has many instants that there may be or not.
    NonZeroU64,
);

/// The sign bit of an `i64`.
const SIGN: u64 = 1 << 63;

impl Instant {
    /// The origin of the driver's clock.
    pub const ORIGIN: Self = Self::from_nanos(0);
    /// Earlier than every other instant.
    pub const MIN: Self = Self::from_nanos(i64::MIN);
    /// Later than every other instant: "never".
    pub const MAX: Self = Self::from_nanos(i64::MAX);

    /// The instant `nanos` nanoseconds after the origin. The least of them, `i64::MIN`, is taken
    /// for the next: both are 292 years ago.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        match NonZeroU64::new(nanos.cast_unsigned() ^ SIGN) {
            Some(nanos) => Self(nanos),
            None => Self(NonZeroU64::MIN),
        }
    }

    /// Nanoseconds since the origin.
    #[must_use]
    pub const fn as_nanos(self) -> i64 {
        (self.0.get() ^ SIGN).cast_signed()
    }

    /// The time from `earlier` to this instant. Zero if `earlier` is later.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        // The distance between two i64 does not fit one.
        let nanos = i128::from(self.as_nanos()) - i128::from(earlier.as_nanos());
        Duration::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }
}

impl core::ops::Add<Duration> for Instant {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        let span = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        Self::from_nanos(self.as_nanos().saturating_add(span))
    }
}

impl core::ops::Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        let span = i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        Self::from_nanos(self.as_nanos().saturating_sub(span))
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MIN => f.write_str("Instant(MIN)"),
            Self::MAX => f.write_str("Instant(MAX)"),
            _ => {
                let nanos = self.as_nanos();
                let (secs, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
                write!(f, "Instant({secs}.{:09}s)", rest.abs())
            }
        }
    }
}
