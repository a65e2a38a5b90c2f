//! The clock that an embedded server lives by: the wall clock of its machine, which tests steer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The wall clock of a server: microseconds since the Unix epoch. It may jump both ways.
pub trait ServerClock: Send + Sync {
    /// The time now, in microseconds since the Unix epoch.
    fn now_us(&self) -> u64;
}

impl<C: ServerClock + ?Sized> ServerClock for Arc<C> {
    fn now_us(&self) -> u64 {
        (**self).now_us()
    }
}

/// A clock that stands still until a test moves it. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now_us: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that shows `now_us` microseconds since the Unix epoch.
    pub fn new(now_us: u64) -> Self {
        Self {
            now_us: Arc::new(AtomicU64::new(now_us)),
        }
    }

    /// Shows `now_us` from now on; earlier than before is a jump back.
    pub fn set_us(&self, now_us: u64) {
        self.now_us.store(now_us, Ordering::SeqCst);
    }

    /// Steps forward.
    pub fn advance(&self, by: Duration) {
        self.update(|now| now.saturating_add(micros(by)));
    }

    /// Steps back, no further than the epoch.
    pub fn step_back(&self, by: Duration) {
        self.update(|now| now.saturating_sub(micros(by)));
    }

    fn update(&self, change: impl Fn(u64) -> u64) {
        // Only fails if the closure says so, and ours never does.
        let _ = self
            .now_us
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |now| Some(change(now)));
    }
}

impl Default for ManualClock {
    /// Midnight, 1 January 2026 (UTC): any instant would do, as long as it is the same in every
    /// run.
    fn default() -> Self {
        Self::new(1_767_225_600_000_000)
    }
}

impl ServerClock for ManualClock {
    fn now_us(&self) -> u64 {
        self.now_us.load(Ordering::SeqCst)
    }
}

/// The machine's own wall clock, for a server that runs in real time.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl ServerClock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the clock seam: in real time keys expire by the machine's wall clock"
    )]
    fn now_us(&self) -> u64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.map_or(0, micros)
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_both_ways_and_only_when_told() {
        let clock = ManualClock::new(5_000);
        let same = clock.clone();
        clock.advance(Duration::from_micros(10));
        assert_eq!(same.now_us(), 5_010);
        clock.step_back(Duration::from_millis(1));
        assert_eq!(same.now_us(), 4_010);
        clock.step_back(Duration::from_secs(1));
        assert_eq!(same.now_us(), 0);
        clock.set_us(7);
        assert_eq!(same.now_us(), 7);
    }
}
