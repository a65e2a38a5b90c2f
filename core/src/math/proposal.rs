//! What fence to propose, so that all nodes of a quorum draw the same one in one round trip.

use core::time::Duration;

use super::Drift;
use crate::request::ServerTime;
use crate::time::Instant;
use crate::token::Fence;

/// How far a proposal runs ahead of the largest server time that is expected on arrival: it must
/// exceed what a request waits and travels, or the nodes' own times win and differ.
const LEAD: Duration = Duration::from_millis(10);

/// Of max TTL, the part by which it does so at most.
const LEAD_SHARE: u32 = 32;

/// Of max TTL, the part by which a holder's clock may carry a server's time too far.
const DRIFT_SHARE: u128 = 16;

/// The largest server time seen of late, carried forward by the holder's own clock.
///
/// A fence that runs ahead of the servers is still ahead when a node that forgot it comes out of
/// quarantine one max TTL later, unless it is by less than that, with what the servers' clocks differ by. So
/// a time is carried forward only until the [drift bound](crate::Drift) allows an error of a sixteenth of max
/// TTL: for `max TTL / (16ρ)`, 125 s by default. Then the next that is seen counts, be it smaller. With
/// the lead, a thirty-second at most, a proposal is less than a tenth of max TTL ahead.
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

    /// The largest server time that is expected at `now`; none if none was seen for too long.
    #[must_use]
    pub fn estimate(&self, now: Instant) -> Option<ServerTime> {
        let (time, at) = self.seen?;
        let passed = now.saturating_since(at);
        if passed > self.carried_for {
            return None;
        }
        let passed = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
        Some(ServerTime::from_micros(
            time.as_micros().saturating_add(passed),
        ))
    }

    /// The fence to propose in a round that begins at `now`; none without an [`estimate`](Self::estimate):
    /// then each node draws its own, and where they differ a second round trip stores the largest.
    ///
    /// A proposal is only a hint: a node whose own next fence is larger draws that, and a node
    /// ignores one that is far ahead of its own time.
    #[must_use]
    pub fn propose(&self, now: Instant) -> Option<Fence> {
        let estimate = self.estimate(now)?;
        let lead = self.lead.as_micros() as u64;
        Fence::new(estimate.as_micros().saturating_add(lead))
    }
}
