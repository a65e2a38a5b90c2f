//! How long a link waits: for an answer, until it is connected, and between two tries to connect.

use core::time::Duration;

use super::Backoff;

/// The pauses between two tries to connect, where no short TTL bounds them.
const REDIAL: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// The shortest silence for which a connection is given up; and the shortest because of a short
/// TTL, since a busy server is silent for a moment now and then.
const SILENCE: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(200)];

/// How long connecting may take at least, and how long while nothing else is known.
const DIAL: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(2)];

/// So many tries to connect may run out of time before the next has longer. Until then a lease may
/// still live, so what was lost on the way is sent again soon; later the node may be far away.
const SHORT_DIALS: u32 = 2;

/// No round trip is taken to be longer: the process stood still while it was measured.
const ROUND_TRIP: Duration = Duration::from_secs(1);

/// What a link to a node knows of its way, and how patient it is.
///
/// Each time depends on the shortest TTL in use, since a lease must be renewed before it ends, and
/// on the round trips that were measured, since a node that is far away is not a node that is gone.
///
/// - [`silence`](Self::silence): a quarter of the TTL but at least 200 ms, or twice the request
///   timeout if that is less; in any case at least four round trips, and at least 50 ms.
/// - [`dial`](Self::dial): an eighth of the TTL between 250 ms and 1 s, or eight round trips if
///   that is more. If tries in a row run out of time, each from the fourth on has twice as long as
///   the one before. At most it is 2 s or twice the request timeout, whichever is more, and so long
///   where no round trip has been measured yet.
/// - [`redial`](Self::redial): from 50 ms to a sixteenth of the TTL, and to 2 s at most.
///
/// ```
/// use core::time::Duration;
/// use tenure_core::Patience;
///
/// let (ttl, request_timeout) = (Duration::from_secs(1), Duration::from_millis(125));
/// let mut patience = Patience::new(request_timeout);
/// assert_eq!(patience.dial(ttl), Duration::from_secs(2));
/// patience.connected(Duration::from_millis(200));
/// assert_eq!(patience.dial(ttl), Duration::from_millis(1_600));
/// assert_eq!(patience.silence(ttl), Duration::from_millis(800));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    request_timeout: Duration,
    /// How long a round trip takes as a rule.
    round_trip: Option<Duration>,
    /// How long the slowest of the last ones took.
    slowest: Duration,
    /// How many tries to connect in a row ran out of time.
    late: u32,
}

impl Patience {
    /// A connection that lived so long before it was lost was of use: it is replaced without a
    /// pause.
    pub const OF_USE: Duration = Duration::from_secs(2);

    /// Nothing has been measured yet.
    #[must_use]
    pub const fn new(request_timeout: Duration) -> Self {
        Self {
            request_timeout,
            round_trip: None,
            slowest: Duration::ZERO,
            late: 0,
        }
    }

    /// A connection was made, and a round trip took so long as it was set up. What was measured on
    /// the connections before it counts no more.
    pub fn connected(&mut self, round_trip: Duration) {
        let round_trip = self.credible(round_trip);
        self.round_trip = Some(round_trip);
        self.slowest = round_trip;
        self.late = 0;
    }

    /// On the connection, a request that had nothing before it was answered after so long.
    pub fn measured(&mut self, round_trip: Duration) {
        let round_trip = self.credible(round_trip);
        // One request that waited for a slow command changes little.
        self.round_trip = Some(match self.round_trip {
            Some(usual) => (usual * 7 + round_trip) / 8,
            None => round_trip,
        });
        self.slowest = round_trip.max(self.slowest - self.slowest / 4);
    }

    /// How long the slowest of the last round trips took. One that was slow counts less with each
    /// one after it. Zero if none was measured.
    #[must_use]
    pub const fn slowest_round_trip(&self) -> Duration {
        self.slowest
    }

    /// A try to connect failed; because it ran out of time, or not.
    pub const fn failed(&mut self, ran_out: bool) {
        self.late = if ran_out {
            self.late.saturating_add(1)
        } else {
            0
        };
    }

    /// How long a connection may be silent while a request waits for its answer.
    #[must_use]
    pub fn silence(&self, ttl: Duration) -> Duration {
        let [least, least_for_ttl] = SILENCE;
        let round_trips = self.round_trip.unwrap_or_default() * 4;
        (ttl / 4)
            .max(least_for_ttl)
            .min(self.request_timeout.saturating_mul(2))
            .max(round_trips)
            .max(least)
    }

    /// How long connecting may take, the set-up of the connection included.
    #[must_use]
    pub fn dial(&self, ttl: Duration) -> Duration {
        let [least, most] = DIAL;
        let most = most.max(self.request_timeout.saturating_mul(2));
        let Some(round_trip) = self.round_trip else {
            return most;
        };
        // If it hangs, there must be time for another before a lease ends.
        (ttl / 8)
            .clamp(least, Duration::from_secs(1))
            .max(round_trip * 8)
            .saturating_mul(1 << self.late.saturating_sub(SHORT_DIALS).min(16))
            .min(most)
    }

    /// The pauses between two tries to connect.
    // Law: Bounded work, Progress
    #[must_use]
    pub fn redial(ttl: Duration) -> Backoff {
        let longest = (ttl / 16).clamp(REDIAL.first(), REDIAL.longest());
        Backoff::new(REDIAL.first(), longest)
    }

    fn credible(&self, round_trip: Duration) -> Duration {
        round_trip.min(ROUND_TRIP.max(self.request_timeout))
    }
}
