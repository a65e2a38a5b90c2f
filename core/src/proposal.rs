//! What fence to propose, so that all nodes of a quorum draw the same one in one round trip.

use core::time::Duration;

use crate::request::ServerTime;
use crate::time::Instant;
use crate::token::Fence;

/// How far a proposal runs ahead of the largest server time that is expected on arrival: it must
/// exceed what a request waits and travels, or the nodes' own times win and differ.
const LEAD: Duration = Duration::from_millis(10);

/// The largest server time seen so far, carried forward by the holder's own clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServerClock {
    seen: Option<(ServerTime, Instant)>,
}

impl ServerClock {
    /// Takes note of a server's time in a reply that arrived at `now`.
    pub fn observe(&mut self, now: Instant, time: ServerTime) {
        if self.estimate(now).is_none_or(|estimate| time > estimate) {
            self.seen = Some((time, now));
        }
    }

    /// The largest server time that is expected at `now`.
    #[must_use]
    pub fn estimate(&self, now: Instant) -> Option<ServerTime> {
        let (time, at) = self.seen?;
        let passed = u64::try_from(now.saturating_since(at).as_micros()).unwrap_or(u64::MAX);
        Some(ServerTime::from_micros(
            time.as_micros().saturating_add(passed),
        ))
    }

    /// The fence to propose in a round that begins at `now`; none before any server time was seen.
    ///
    /// A proposal is only a hint: a node whose own next fence is larger draws that, and a node
    /// ignores one that is far ahead of its own time.
    #[must_use]
    pub fn propose(&self, now: Instant) -> Option<Fence> {
        let estimate = self.estimate(now)?;
        Fence::new(estimate.as_micros().saturating_add(LEAD.as_micros() as u64))
    }
}
