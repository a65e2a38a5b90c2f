//! The options of a lease, checked together against the configuration of the client.

use core::time::Duration;

use crate::config::{Config, ConfigError, DEFAULT_TTL, check_backoff, check_ttl};
use crate::math::Backoff;
use crate::token::Label;

/// The options of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LeaseOptions {
    ttl: Duration,
    valid_for: Duration,
    renew_after: Option<Duration>,
    keep_after: Duration,
    attempt_timeout: Duration,
    first_timeout: Duration,
    round_timeout: Duration,
    release_timeout: Duration,
    give_up_after: Option<Duration>,
    attempts: Option<u32>,
    max_hold: Option<Duration>,
    backoff: Backoff,
    contention_backoff: Backoff,
    label: Option<Label>,
}

/// A renewal begins so long before the end of validity at least: a retry has to fit as well. Of a
/// validity under 40 ms it is a quarter instead.
const SHORTEST_WINDOW: Duration = Duration::from_millis(10);

impl LeaseOptions {
    /// The defaults: TTL [`DEFAULT_TTL`], renewed each time two thirds of it have passed. The
    /// acquire never gives up, and the lease may be held for any time.
    pub const fn builder() -> LeaseOptionsBuilder {
        LeaseOptionsBuilder {
            ttl: DEFAULT_TTL,
            renewal: RenewalPolicy::TwoThirds,
            give_up_after: None,
            attempts: None,
            max_hold: None,
            backoff: Backoff::DEFAULT,
            contention_backoff: None,
            label: None,
        }
    }

    /// How long a node keeps the key, in whole milliseconds.
    #[must_use]
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// How long a node's copy counts, from the moment at which its request was queued: the TTL less
    /// the drift margin.
    #[must_use]
    pub const fn valid_for(&self) -> Duration {
        self.valid_for
    }

    /// When a renewal begins, counted from the moment at which the last one was queued. None if
    /// renewal is off.
    #[must_use]
    pub const fn renew_after(&self) -> Option<Duration> {
        self.renew_after
    }

    /// After how long a place in a queue is kept again, counted from the moment at which the last
    /// request was queued: as a lease is renewed [by default](RenewalPolicy::TwoThirds).
    #[must_use]
    pub const fn keep_after(&self) -> Duration {
        self.keep_after
    }

    /// How long the answers of an attempt to acquire are waited for: the client's request timeout,
    /// or half of the validity if that is less. A first attempt that begins with a
    /// [take](crate::Op::Take) may have two answers to wait for, one after the other, and each that
    /// is granted one more where replicas must [acknowledge](crate::Op::Acknowledge) it.
    #[must_use]
    pub const fn attempt_timeout(&self) -> Duration {
        self.attempt_timeout
    }

    /// How long a renewal is waited for: the client's request timeout, or less if two renewals
    /// would not fit between the begin of the first and the end of validity.
    #[must_use]
    pub const fn round_timeout(&self) -> Duration {
        self.round_timeout
    }

    /// How long the owner waits for the outcome of a release at most:
    /// [`Config::release_timeout`], or the TTL if that is less.
    #[must_use]
    pub const fn release_timeout(&self) -> Duration {
        self.release_timeout
    }

    /// After how long an acquire gives up. None if never. Its first attempt is always waited for.
    #[must_use]
    pub const fn give_up_after(&self) -> Option<Duration> {
        self.give_up_after
    }

    /// After how long an acquire is over at the latest. None if it may wait for ever.
    #[must_use]
    pub fn acquire_timeout(&self) -> Option<Duration> {
        if self.attempts == Some(1) {
            return Some(self.first_timeout);
        }
        self.give_up_after.map(|span| span.max(self.first_timeout))
    }

    /// The same, for an acquire that gives up after this time instead.
    #[must_use]
    pub fn with_give_up_after(&self, span: Duration) -> Self {
        Self {
            give_up_after: Some(span),
            ..self.clone()
        }
    }

    /// After how many attempts an acquire gives up. None if never.
    #[must_use]
    pub const fn attempts(&self) -> Option<u32> {
        self.attempts
    }

    /// The longest time for which the lease may be held in total, with renewals. None if there is
    /// no limit.
    #[must_use]
    pub const fn max_hold(&self) -> Option<Duration> {
        self.max_hold
    }

    /// How long to wait between attempts while not enough nodes answer or are counted.
    #[must_use]
    pub const fn backoff(&self) -> Backoff {
        self.backoff
    }

    /// How long to wait between attempts while somebody else holds the key.
    #[must_use]
    pub const fn contention_backoff(&self) -> Backoff {
        self.contention_backoff
    }

    /// What operators see in front of the token.
    #[must_use]
    pub const fn label(&self) -> Option<&Label> {
        self.label.as_ref()
    }
}

/// When a lease is renewed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RenewalPolicy {
    /// Each time two thirds of the TTL have passed. The last third is for retries. Where the drift
    /// margin leaves too little of that third, each time half of the validity has passed.
    #[default]
    TwoThirds,
    /// Each time this time has passed. At least 10 ms of the validity must be left then, or a
    /// quarter of a validity under 40 ms: time for the renewal and for a retry.
    After(Duration),
    /// Never by itself. The lease ends with its first validity, unless it is renewed by hand.
    Off,
}

/// Collects the options of a lease. See [`LeaseOptions::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct LeaseOptionsBuilder {
    ttl: Duration,
    renewal: RenewalPolicy,
    give_up_after: Option<Duration>,
    attempts: Option<u32>,
    max_hold: Option<Duration>,
    backoff: Backoff,
    contention_backoff: Option<Backoff>,
    label: Option<Label>,
}

impl LeaseOptionsBuilder {
    /// How long a node keeps the key: [`Drift::shortest_ttl`](crate::Drift::shortest_ttl) or more.
    /// Parts of a millisecond are cut off.
    pub const fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// When the lease is renewed.
    pub const fn renewal(mut self, renewal: RenewalPolicy) -> Self {
        self.renewal = renewal;
        self
    }

    /// After how long an acquire gives up. Never if none. The first attempt is always waited for:
    /// the [attempt timeout](LeaseOptions::attempt_timeout), if the nodes do not answer earlier.
    pub const fn give_up_after(mut self, span: Option<Duration>) -> Self {
        self.give_up_after = span;
        self
    }

    /// After how many attempts an acquire gives up. Never if none.
    pub const fn attempts(mut self, attempts: Option<u32>) -> Self {
        self.attempts = attempts;
        self
    }

    /// The longest time for which the lease may be held in total. No limit if none.
    pub const fn max_hold(mut self, max_hold: Option<Duration>) -> Self {
        self.max_hold = max_hold;
        self
    }

    /// How long to wait between attempts. While somebody else holds the key, a pause is at most
    /// [`Backoff::CONTENTION_LONGEST`] all the same, unless that is
    /// [set](Self::contention_backoff).
    pub const fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How long to wait between attempts while somebody else holds the key. If none, as
    /// [`backoff`](Self::backoff) says.
    pub const fn contention_backoff(mut self, backoff: Option<Backoff>) -> Self {
        self.contention_backoff = backoff;
        self
    }

    /// What operators see in front of the token.
    pub fn label(mut self, label: Option<Label>) -> Self {
        self.label = label;
        self
    }

    /// Checks all values against the configuration of the client.
    ///
    /// # Errors
    /// A [`ConfigError`] that carries the values.
    pub fn build(self, config: &Config) -> Result<LeaseOptions, ConfigError> {
        let Self {
            ttl,
            renewal,
            give_up_after,
            attempts,
            max_hold,
            backoff,
            contention_backoff,
            label,
        } = self;
        check_ttl(ttl, config.drift())?;
        if ttl > config.max_ttl() {
            return Err(ConfigError::TtlAboveMax {
                ttl,
                max_ttl: config.max_ttl(),
            });
        }
        // Cut to whole milliseconds, as the node gets it, before anything is computed from it.
        let ttl = Duration::from_millis(ttl.as_millis() as u64);
        let valid_for = ttl - config.drift().margin(ttl);
        let renew_after = renew_after(renewal, ttl, valid_for)?;
        if max_hold.is_some_and(|cap| cap.is_zero()) {
            return Err(ConfigError::MaxHold);
        }
        if attempts == Some(0) {
            return Err(ConfigError::Attempts);
        }
        check_backoff(backoff)?;
        let shorter = backoff.at_most(Backoff::CONTENTION_LONGEST);
        let contention_backoff = contention_backoff.unwrap_or(shorter);
        check_backoff(contention_backoff)?;
        // Two rounds must fit between the begin of a renewal and the end of validity. Otherwise one
        // lost reply would end the lease.
        let window = valid_for - renew_after.unwrap_or(valid_for / 2);
        let round_timeout = config
            .request_timeout()
            .min(window / 2)
            .max(Duration::from_nanos(1));
        // No renewal comes into it. But a grant of which less than half is left is of little use.
        let attempt_timeout = config
            .request_timeout()
            .min(valid_for / 2)
            .max(Duration::from_nanos(1));
        // A take that finds the key busy, or no fence, is followed by a request that says more.
        let requests = if config.takes() { 2 } else { 1 };
        let requests = requests + u32::from(config.acknowledged_by() > 0);
        let first_timeout = attempt_timeout * requests;
        Ok(LeaseOptions {
            ttl,
            valid_for,
            renew_after,
            keep_after: two_thirds(ttl, valid_for),
            attempt_timeout,
            first_timeout,
            round_timeout,
            release_timeout: config.release_timeout().min(ttl),
            give_up_after,
            attempts,
            max_hold,
            backoff,
            contention_backoff,
            label,
        })
    }
}

/// After how long a lease is renewed by default.
fn two_thirds(ttl: Duration, valid_for: Duration) -> Duration {
    let span = ttl * 2 / 3;
    if span > latest_renewal(valid_for) {
        valid_for / 2
    } else {
        span
    }
}

/// After how long a renewal may begin at the latest.
fn latest_renewal(valid_for: Duration) -> Duration {
    let window = SHORTEST_WINDOW
        .min(valid_for / 4)
        .max(Duration::from_nanos(1));
    valid_for.saturating_sub(window)
}

/// After how long a lease is renewed, if it is.
fn renew_after(
    renewal: RenewalPolicy,
    ttl: Duration,
    valid_for: Duration,
) -> Result<Option<Duration>, ConfigError> {
    let most = latest_renewal(valid_for);
    let renew_after = match renewal {
        RenewalPolicy::Off => return Ok(None),
        RenewalPolicy::After(span) => span,
        RenewalPolicy::TwoThirds => two_thirds(ttl, valid_for),
    };
    if renew_after.is_zero() || renew_after > most {
        return Err(ConfigError::Renewal {
            renew_after,
            most,
            valid_for,
        });
    }
    Ok(Some(renew_after))
}
