//! The fence to propose to all nodes, so that they grant with the same fence and need no second
//! round trip.

use core::time::Duration;

use super::Drift;
use crate::request::ServerTime;
use crate::time::Instant;
use crate::token::Fence;

/// How far a proposal is ahead of the servers' time when it is made. It must be more than the time
/// that a request waits and travels. Otherwise each node draws a fence from its own time, and they
/// differ.
const LEAD: Duration = Duration::from_millis(10);

/// The lead is at most this part of max TTL.
const LEAD_SHARE: u32 = 32;

/// The estimate of a server's time may be wrong by at most this part of max TTL.
const DRIFT_SHARE: u128 = 16;

/// An estimate of the servers' time: the largest that was seen of late, carried forward by the
/// holder's own clock.
///
/// A fence must not be far ahead of the servers' time. A node that forgot its fence counter draws
/// from its own time again when its quarantine ends, one max TTL later, and must then draw a larger
/// fence. So a server's time is carried forward only as long as the error, by the [drift
/// bound](crate::Drift), stays within a sixteenth of max TTL: for `max TTL / 16 / drift bound`,
/// which is 125 s by default. After that the next time that is seen counts, even if it is smaller.
/// With the lead, which is at most a thirty-second of max TTL, a proposal is less than a tenth of
/// max TTL ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerClock {
    seen: Option<(ServerTime, Instant)>,
    carried_for: Duration,
    lead: Duration,
}

impl ServerClock {
    /// For a client with this max TTL and drift bound, which has seen no server's time yet.
    #[must_use]
    pub fn new(max_ttl: Duration, drift: Drift) -> Self {
        let share = max_ttl.as_nanos() / DRIFT_SHARE;
        let carried_for = (share * 1_000_000)
            .checked_div(drift.ppm().into())
            .map_or(Duration::MAX, |nanos| {
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            });
        Self {
            seen: None,
            carried_for,
            lead: LEAD.min(max_ttl / LEAD_SHARE),
        }
    }

    /// Takes note of a server's time in a reply that arrived at `now`.
    pub fn observe(&mut self, now: Instant, time: ServerTime) {
        if self.estimate(now).is_none_or(|estimate| time > estimate) {
            self.seen = Some((time, now));
        }
    }

    /// The largest server time that is expected at `now`. None if none was seen for too long.
    #[must_use]
    pub fn estimate(&self, now: Instant) -> Option<ServerTime> {
        let (time, at) = self.seen?;
        let passed = now.saturating_since(at);
        // Law: Fencing
        if passed > self.carried_for {
            return None;
        }
        let passed = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        Some(ServerTime::from_micros(
            time.as_micros().saturating_add(passed),
        ))
    }

    /// The fence to propose in a round that begins at `now`. None without an
    /// [`estimate`](Self::estimate). Then each node draws its own, and if they differ, a second
    /// round trip stores the largest.
    ///
    /// A proposal is only a hint. A node draws its own fence if that is larger, or if the proposal
    /// is far ahead of its own time.
    #[must_use]
    pub fn propose(&self, now: Instant) -> Option<Fence> {
        let estimate = self.estimate(now)?;
        let lead = self.lead.as_micros() as u64;
        Fence::of_time(ServerTime::from_micros(
            estimate.as_micros().saturating_add(lead),
        ))
    }
}
