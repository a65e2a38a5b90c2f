//! The options with which a lock is asked for: TTL, renewal, waiting, and a label.

use std::time::Duration;

use tenure_core::{Backoff, Config, ConfigError, DEFAULT_TTL, Label, LabelError, RenewalPolicy};

use crate::error::ConnectError;

/// The options with which a lock is asked for.
///
/// [`Builder::options`](crate::Builder::options) sets the defaults of a client;
/// [`Locks::with`](crate::Locks::with) gives a handle with other options, for one call or for many.
/// Everything is checked together when the client or the handle is made, so the order of the
/// setters does not matter.
///
/// ```no_run
/// # use std::time::Duration;
/// # async fn example(locks: tenure_redis::Locks) -> Result<(), Box<dyn std::error::Error>> {
/// let patient = locks.with(|options| options.ttl(Duration::from_secs(5)).label("billing-7"))?;
/// let guard = patient.lock("orders/42").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "the options do nothing until they are given to a client"]
pub struct LockOptions {
    ttl: Duration,
    renewal: RenewalPolicy,
    give_up_after: Option<Duration>,
    max_hold: Option<Duration>,
    backoff: Backoff,
    contention_backoff: Option<Backoff>,
    label: Option<String>,
}

impl Default for LockOptions {
    fn default() -> Self {
        Self {
            ttl: DEFAULT_TTL,
            renewal: RenewalPolicy::TwoThirds,
            give_up_after: None,
            max_hold: None,
            backoff: Backoff::DEFAULT,
            contention_backoff: None,
            label: None,
        }
    }
}

impl LockOptions {
    /// How long a node keeps the key. A crashed holder blocks the key for this long. Default 10 s;
    /// up to the client's max TTL, in whole milliseconds.
    ///
    /// It must be longer than what is subtracted from it ([`Builder::drift_ppm`]): 3 ms are the
    /// least, by default. But a lock is kept only while renewals come in time: under about 30 ms,
    /// one late timer, a slow reply or a busy server loses it.
    ///
    /// [`Builder::drift_ppm`]: crate::Builder::drift_ppm
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long after the last renewal the next one begins. Default: two thirds of the TTL.
    ///
    /// At least 10 ms of the validity must be left then, or a quarter of a validity under 40 ms:
    /// time for the renewal and for a retry. The later it is, the shorter each of the two is waited
    /// for. Taking the lock is not affected.
    pub fn renew_after(mut self, span: Duration) -> Self {
        self.renewal = RenewalPolicy::After(span);
        self
    }

    /// Turns renewal off: the lease ends with its TTL, unless [`Guard::renew`](crate::Guard::renew)
    /// is called.
    pub fn without_renewal(mut self) -> Self {
        self.renewal = RenewalPolicy::Off;
        self
    }

    /// After how long `lock` gives up. Default: never. The error then says why the last attempt
    /// failed.
    ///
    /// The first attempt is never cut short: where the nodes do not answer, it takes one request
    /// timeout (at most half of the validity); over one node without quarantine, where it may be
    /// two requests, twice that. So with zero, `lock` makes one attempt. `try_lock` is one attempt
    /// by itself, and not affected.
    pub fn give_up_after(mut self, span: Duration) -> Self {
        self.give_up_after = Some(span);
        self
    }

    /// How long `lock` waits between two attempts, where it does not wait in a queue for its turn
    /// to be pushed ([Fairness](crate::guarantees::fairness)): a random time between half of a
    /// bound and the bound, which doubles with each failure in a row, from `first` to `longest`.
    /// Default: 25 ms to 1 s.
    ///
    /// While somebody else holds the key, it waits for 250 ms at most, whatever `longest` is, and
    /// no longer than until the holder's time ends. When the key has changed hands, the bound
    /// begins at `first` again. [`contention_backoff`](Self::contention_backoff) sets other bounds
    /// for that.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.backoff = Backoff::new(first, longest);
        self
    }

    /// As [`backoff`](Self::backoff), for the time while somebody else holds the key, and for as
    /// long as you say, also over 250 ms. Default: as `backoff` says, and 250 ms at most.
    ///
    /// A waiter to which the nodes do not push finds its turn so, and over several nodes rivals of
    /// which nobody has a quorum. Shorter pauses cost a request each at every node. Where hundreds
    /// wait for one key, set longer ones. Who is [told](crate::guarantees::fairness) that the lock
    /// is free, or its own, does not pause.
    pub fn contention_backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.contention_backoff = Some(Backoff::new(first, longest));
        self
    }

    /// The longest time that a lease may be held in total, renewals included. Then it is released,
    /// and lost with [`Loss::Capped`](crate::Loss::Capped). Default: no limit; not zero.
    ///
    /// It counts from the moment before the lock was asked for, so the round trip is part of it.
    /// With a cap that is over when the grant arrives, the lock is never held, which counts as an
    /// outage. Give it several round trips at least.
    pub fn max_hold(mut self, span: Duration) -> Self {
        self.max_hold = Some(span);
        self
    }

    /// A name for operators, such as `host:port` or a trace id. It stands in front of the secret in
    /// Redis, and [inspecting](crate::Locks::inspect) the key shows it. 1 to 128 characters of
    /// printable ASCII. Default: none.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub(crate) const fn ttl_or_default(&self) -> Duration {
        self.ttl
    }

    /// Checks the options against a client's configuration. `attempts` is none for `lock`, and one
    /// for `try_lock`.
    pub(crate) fn build(
        &self,
        config: &Config,
        attempts: Option<u32>,
    ) -> Result<tenure_core::LeaseOptions, OptionsError> {
        let label = self.label.as_deref().map(Label::new).transpose()?;
        let options = tenure_core::LeaseOptions::builder()
            .ttl(self.ttl)
            .renewal(self.renewal)
            .give_up_after(self.give_up_after)
            .attempts(attempts)
            .max_hold(self.max_hold)
            .backoff(self.backoff)
            .contention_backoff(self.contention_backoff)
            .label(label)
            .build(config)?;
        Ok(options)
    }
}

/// Options that cannot work. The text has the values and says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionsError {
    /// Two values contradict each other, or one is out of bounds.
    Config(ConfigError),
    /// The owner label is empty, too long, or has characters that a token cannot carry.
    Label(LabelError),
}

impl std::fmt::Display for OptionsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Label(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OptionsError {}

impl From<ConfigError> for OptionsError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<LabelError> for OptionsError {
    fn from(error: LabelError) -> Self {
        Self::Label(error)
    }
}

impl From<OptionsError> for ConnectError {
    fn from(error: OptionsError) -> Self {
        match error {
            OptionsError::Config(error) => Self::Config(error),
            OptionsError::Label(error) => Self::Label(error),
        }
    }
}
