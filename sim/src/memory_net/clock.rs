//! Clocks on simulated time: that of a client, which drifts, and that of a server, which also
//! steps.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tenure_core::Instant;
use tenure_redis::seams::{BoxFuture, Clock};

use crate::server::ServerClock;

const MILLION: i128 = 1_000_000;

/// True time: what has passed since the world began. Clones are the same time.
#[derive(Clone, Debug)]
pub struct TrueTime {
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    /// Everything runs on one tokio runtime, whose paused time it is.
    Paused { origin: tokio::time::Instant },
    /// Every host has a runtime of its own, and the simulation says how far each has come. Outside
    /// of them, between two steps, it is so many nanoseconds.
    #[cfg(feature = "turmoil")]
    Hosts {
        outside: Arc<std::sync::atomic::AtomicU64>,
    },
}

#[allow(
    clippy::disallowed_methods,
    reason = "this is the Clock seam of the simulated worlds, whose true time is tokio's"
)]
impl TrueTime {
    pub(super) fn begin() -> Self {
        let origin = tokio::time::Instant::now();
        Self {
            source: Source::Paused { origin },
        }
    }

    #[cfg(feature = "turmoil")]
    pub(crate) const fn of_hosts(outside: Arc<std::sync::atomic::AtomicU64>) -> Self {
        Self {
            source: Source::Hosts { outside },
        }
    }

    /// What has passed.
    #[must_use]
    pub fn now(&self) -> Duration {
        match &self.source {
            Source::Paused { origin } => tokio::time::Instant::now() - *origin,
            #[cfg(feature = "turmoil")]
            Source::Hosts { outside } => turmoil::sim_elapsed().unwrap_or_else(|| {
                Duration::from_nanos(outside.load(std::sync::atomic::Ordering::Relaxed))
            }),
        }
    }

    /// Waits until so much has passed.
    pub async fn sleep_until(&self, at: Duration) {
        // Not a timer at once, which would wait for a deadline that has passed until the next tick.
        let now = self.now();
        if now < at {
            tokio::time::sleep(at - now).await;
        }
    }

    /// Waits.
    pub async fn sleep(&self, span: Duration) {
        self.sleep_until(self.now() + span).await;
    }
}

/// What a clock shows, as a line through true time.
#[derive(Clone, Copy, Debug)]
struct Line {
    /// True time from which the rate holds.
    since: Duration,
    /// What the clock showed then, in nanoseconds.
    shows: i128,
    /// How much faster than true time it goes, in millionths.
    ppm: i128,
}

impl Line {
    fn at(&self, now: Duration) -> i128 {
        // A world that is over is read on the time of another runtime, which may be earlier.
        let passed = now.saturating_sub(self.since).as_nanos() as i128;
        self.shows + passed * (MILLION + self.ppm) / MILLION
    }

    /// When it will show `nanos`, not earlier; none if that is further than anybody waits.
    fn when(&self, nanos: i128) -> Option<Duration> {
        let left = (nanos - self.shows).max(0);
        let span = (left * MILLION + MILLION + self.ppm - 1) / (MILLION + self.ppm);
        let span = u64::try_from(span).ok().map(Duration::from_nanos)?;
        // Two hundred years: nobody waits so long, and tokio could not.
        (span < Duration::from_secs(6_000_000_000)).then(|| self.since + span)
    }

    fn turn(&mut self, now: Duration, ppm: i32) {
        *self = Self {
            since: now,
            shows: self.at(now),
            ppm: i128::from(ppm),
        };
    }
}

#[derive(Debug)]
struct Dial {
    time: TrueTime,
    line: Mutex<Line>,
}

impl Dial {
    fn new(time: TrueTime, shows: i128) -> Arc<Self> {
        Arc::new(Self {
            line: Mutex::new(Line {
                since: time.now(),
                shows,
                ppm: 0,
            }),
            time,
        })
    }

    fn shows(&self) -> i128 {
        let now = self.time.now();
        self.line(|line| line.at(now))
    }

    /// The true time at which it shows so much, if its rate stays as it is; now, if it has.
    fn true_time_of(&self, nanos: i128) -> Duration {
        let when = self.line(|line| line.when(nanos));
        when.unwrap_or(Duration::MAX).max(self.time.now())
    }

    fn line<T>(&self, look: impl FnOnce(&mut Line) -> T) -> T {
        look(&mut self.line.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The clock of one client: it goes at a rate of its own and never back. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct SimClock {
    dial: Arc<Dial>,
}

impl SimClock {
    pub(crate) fn new(time: TrueTime, shows: Duration) -> Self {
        Self {
            dial: Dial::new(time, shows.as_nanos() as i128),
        }
    }

    /// From now on it goes faster than true time by so many millionths; slower, if negative. What
    /// is asleep on it may wake late by what the change makes.
    ///
    /// # Panics
    /// If it would stand still or go back.
    pub fn set_drift_ppm(&self, ppm: i32) {
        assert!(ppm > -1_000_000, "a client's clock never goes back");
        let now = self.dial.time.now();
        self.dial.line(|line| line.turn(now, ppm));
    }

    /// Steps forward, as after a pause of the machine that the clock learns of late.
    pub fn step(&self, by: Duration) {
        self.dial.line(|line| line.shows += by.as_nanos() as i128);
    }

    /// The true time at which it shows this, if its rate stays as it is; now, if it has shown it.
    #[must_use]
    pub fn true_time_of(&self, at: Instant) -> Duration {
        self.dial.true_time_of(at.as_nanos().into())
    }
}

impl Clock for SimClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(i64::try_from(self.dial.shows()).unwrap_or(i64::MAX))
    }

    fn sleep_until(&self, at: Instant) -> BoxFuture<'static, ()> {
        let clock = self.clone();
        Box::pin(async move {
            while clock.now() < at {
                let when = clock.dial.line(|line| line.when(at.as_nanos().into()));
                match when {
                    Some(when) => clock.dial.time.sleep_until(when).await,
                    None => std::future::pending().await,
                }
            }
        })
    }
}

/// The wall clock of one server. It may drift and step, both ways. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct WallClock {
    dial: Arc<Dial>,
}

impl WallClock {
    /// Begins at midnight, 1 January 2026 (UTC): any instant would do, as long as it is the same in
    /// every run.
    pub(crate) fn new(time: TrueTime) -> Self {
        Self {
            dial: Dial::new(time, 1_767_225_600_000_000_000),
        }
    }

    /// From now on it goes faster than true time by so many millionths; slower, if negative.
    pub fn set_drift_ppm(&self, ppm: i32) {
        let now = self.dial.time.now();
        self.dial.line(|line| line.turn(now, ppm));
    }

    /// Steps forward.
    pub fn step(&self, by: Duration) {
        self.dial.line(|line| line.shows += by.as_nanos() as i128);
    }

    /// Steps back.
    pub fn step_back(&self, by: Duration) {
        self.dial.line(|line| line.shows -= by.as_nanos() as i128);
    }

    /// The true time at which it shows so many milliseconds since the Unix epoch, if its rate stays
    /// as it is; now, if it has shown them.
    #[must_use]
    pub fn true_time_of_ms(&self, ms: i64) -> Duration {
        self.dial.true_time_of(i128::from(ms) * MILLION)
    }
}

impl ServerClock for WallClock {
    fn now_us(&self) -> u64 {
        u64::try_from(self.dial.shows() / 1_000).unwrap_or(0)
    }
}
