//! The clock of production: it goes on while the machine sleeps.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tenure_core::Instant;

use crate::runtime::seams::{BoxFuture, Clock};

/// Where it exists, the clock that counts the time the machine slept. A lease that ran out during a
/// suspend must be over when the machine wakes.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: ClockId = ClockId::Boottime;
/// On Apple's systems `CLOCK_MONOTONIC` counts sleep; elsewhere there is no better one.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: ClockId = ClockId::Monotonic;

/// Reads `CLOCK_BOOTTIME` (Linux) or `CLOCK_MONOTONIC`; its origin is the moment it was made.
#[derive(Clone, Copy, Debug)]
pub struct BootClock {
    origin: i128,
}

impl BootClock {
    /// A clock that stands at its origin now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: read() }
    }
}

impl Default for BootClock {
    fn default() -> Self {
        Self::new()
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "this is the Clock seam: the one place where production reads a clock"
)]
fn read() -> i128 {
    let time = clock_gettime(CLOCK);
    i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec)
}

impl Clock for BootClock {
    fn now(&self) -> Instant {
        let nanos = (read() - self.origin).max(0);
        Instant::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let clock = *self;
        Box::pin(async move {
            // The clock decides, not the timer: tokio's timer stands still while the machine sleeps
            // and may fire a little early. It is asked again until the clock agrees. It also must
            // notice a suspend, after which the clock is far ahead of the timer.
            loop {
                let left = at.saturating_since(clock.now());
                if left.is_zero() {
                    return;
                }
                pause(left.min(LONGEST_PAUSE)).await;
            }
        })
    }
}

/// The longest sleep on tokio's timer before the clock is asked again: after a suspend a deadline
/// that has passed is noticed within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

#[allow(
    clippy::disallowed_methods,
    reason = "this is the Clock seam: the one place where production waits on tokio's timer"
)]
async fn pause(span: Duration) {
    tokio::time::sleep(span).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_starts_at_its_origin_and_never_goes_back() {
        let clock = BootClock::new();
        let mut last = Instant::ORIGIN;
        for _ in 0..1_000 {
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
        assert!(last < Instant::ORIGIN + Duration::from_secs(60));
    }

    /// Tokio's time is paused and runs ahead of the clock, as an early timer would.
    #[tokio::test(start_paused = true)]
    async fn the_clock_decides_when_a_sleep_ends_not_the_timer() {
        let clock = BootClock::new();
        let until = clock.now() + Duration::from_millis(20);
        clock.sleep_until(until).await;
        assert!(clock.now() >= until);
    }
}
