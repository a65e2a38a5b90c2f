//! The clock of production: it goes on while the machine sleeps.

#[cfg(any(not(unix), test))]
mod standard;
#[cfg(unix)]
mod unix;

use std::time::Duration;

use tenure_core::Instant;

#[cfg(not(unix))]
use self::standard::Reading;
#[cfg(unix)]
use self::unix::Reading;
use crate::runtime::traits::{BoxFuture, Clock};

/// The system's clock that counts the time that the machine sleeps, where there is one. Its origin
/// is the moment it was made.
///
/// On the servers a key expires while this machine sleeps. What a guard says after a suspend
/// depends on the system:
///
/// | system | clock | counts a suspend |
/// |---|---|---|
/// | Linux, Android, OpenBSD | `CLOCK_BOOTTIME` | yes |
/// | macOS, iOS and the like | `CLOCK_MONOTONIC` | yes |
/// | Windows | `QueryPerformanceCounter`, through [`std::time::Instant`] | yes (see below) |
/// | other Unix systems | `CLOCK_MONOTONIC` | on some; ask the system's manual |
/// | other systems | the standard library's, [`std::time::Instant`] | unknown |
///
/// For Windows this is said as Rust's standard library does it today. The crate is compiled for
/// Windows, but not run there.
///
/// Where it is counted, a lease that ran out during a suspend is over when the machine wakes. Where
/// it is not, a guard is believed valid for as much longer as the machine slept, and another client
/// may hold the key meanwhile. Fences protect in that case too.
#[derive(Clone, Copy, Debug)]
pub struct BootClock {
    origin: Reading,
}

impl BootClock {
    /// A clock that stands at its origin now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            origin: Reading::now(),
        }
    }
}

impl Default for BootClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for BootClock {
    fn now(&self) -> Instant {
        let passed = Reading::now().since(self.origin);
        Instant::from_nanos(i64::try_from(passed.as_nanos()).unwrap_or(i64::MAX))
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
