//! The clock of a soak, which all its processes share: that of the machine. What the library's own
//! clock shows begins anew in each process, so two of them could not be compared by it.

use rustix::time::{ClockId, clock_gettime};

/// What the machine's clock shows, in nanoseconds.
#[allow(
    clippy::disallowed_methods,
    reason = "the judge compares what several processes saw, so it needs one clock for all"
)]
pub(super) fn now() -> u64 {
    let time = clock_gettime(ClockId::Boottime);
    let nanos = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    u64::try_from(nanos).unwrap_or(0)
}
