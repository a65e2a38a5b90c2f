//! A reading of the system's clock on Unix.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Linux and OpenBSD have a clock of their own that counts the time that the machine sleeps.
// Law: Honest validity
#[cfg(any(target_os = "linux", target_os = "android", target_os = "openbsd"))]
const CLOCK: ClockId = ClockId::Boottime;
/// On Apple's systems `CLOCK_MONOTONIC` counts it. Elsewhere there is no better clock.
// Law: Honest validity
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "openbsd")))]
const CLOCK: ClockId = ClockId::Monotonic;

/// What the clock shows, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading(i128);

impl Reading {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the Clock seam: where production reads a clock"
    )]
    pub(super) fn now() -> Self {
        let time = clock_gettime(CLOCK);
        Self(i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec))
    }

    /// The time that passed since an earlier reading. Zero if the clock went back.
    pub(super) fn since(self, earlier: Self) -> Duration {
        let nanos = (self.0 - earlier.0).max(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
