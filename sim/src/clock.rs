//! A clock that goes wrong. What it shows is a line through true time, whose slope changes and
//! which steps.

use tenure_core::Instant;

use crate::observe::fact::Nanos;

const MILLION: i64 = 1_000_000;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// True time from which the line holds.
    since: Nanos,
    /// What the clock showed then, in nanoseconds.
    shows: i64,
    /// How much faster than true time it goes, in millionths; above minus one million.
    ppm: i64,
}

impl Clock {
    pub(crate) const fn new(shows: i64, ppm: i64) -> Self {
        Self {
            since: 0,
            shows,
            ppm,
        }
    }

    /// What it shows, in nanoseconds.
    pub(crate) const fn nanos(&self, now: Nanos) -> i64 {
        let passed = now.saturating_sub(self.since) as i64;
        self.shows + passed + (passed * self.ppm).div_euclid(MILLION)
    }

    pub(crate) const fn instant(&self, now: Nanos) -> Instant {
        Instant::from_nanos(self.nanos(now))
    }

    /// When it first shows `nanos` or more, if its line stays. Not before the line begins.
    pub(crate) const fn when(&self, nanos: i64) -> Nanos {
        let left = nanos.saturating_sub(self.shows);
        if left <= 0 {
            return self.since;
        }
        if left > i64::MAX / MILLION {
            return Nanos::MAX;
        }
        let mut at = self.since + (left * MILLION / (MILLION + self.ppm)) as u64;
        // The line is rounded to whole nanoseconds: a step or two correct that.
        while self.nanos(at) < nanos {
            at += 1;
        }
        while at > self.since && self.nanos(at - 1) >= nanos {
            at -= 1;
        }
        at
    }

    /// How much faster than true time it goes, in millionths.
    pub(crate) const fn ppm(&self) -> i64 {
        self.ppm
    }

    /// It goes at another rate from now on.
    pub(crate) const fn turn(&mut self, now: Nanos, ppm: i64) {
        self.shows = self.nanos(now);
        self.since = now;
        self.ppm = ppm;
    }

    /// From now on it shows so much more or less.
    pub(crate) const fn step(&mut self, now: Nanos, by: i64) {
        self.turn(now, self.ppm);
        self.shows += by;
    }
}
