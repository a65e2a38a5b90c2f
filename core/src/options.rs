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
    round_timeout: Duration,
    give_up_after: Option<Duration>,
    attempts: Option<u32>,
    max_hold: Option<Duration>,
    backoff: Backoff,
    contention_backoff: Backoff,
    label: Option<Label>,
}

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

    /// How long a round of requests is waited for: the client's request timeout, or less if the TTL
    /// is too short for two such rounds.
    #[must_use]
    pub const fn round_timeout(&self) -> Duration {
        self.round_timeout
    }

    /// After how long an acquire gives up. None if never.
    #[must_use]
    pub const fn give_up_after(&self) -> Option<Duration> {
        self.give_up_after
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
    /// Each time two thirds of the TTL have passed. The last third is for retries.
    #[default]
    TwoThirds,
    /// Each time this time has passed.
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

    /// After how long an acquire gives up. Never if none.
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
        let renew_after = match renewal {
            RenewalPolicy::Off => None,
            RenewalPolicy::After(span) => Some(span),
            // The TTL is so short that the drift margin leaves nothing after two thirds.
            RenewalPolicy::TwoThirds if ttl * 2 / 3 >= valid_for => Some(valid_for / 2),
            RenewalPolicy::TwoThirds => Some(ttl * 2 / 3),
        };
        if let Some(renew_after) = renew_after
            && (renew_after.is_zero() || renew_after >= valid_for)
        {
            return Err(ConfigError::Renewal {
                renew_after,
                valid_for,
            });
        }
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
        Ok(LeaseOptions {
            ttl,
            valid_for,
            renew_after,
            round_timeout,
            give_up_after,
            attempts,
            max_hold,
            backoff,
            contention_backoff,
            label,
        })
    }
}
