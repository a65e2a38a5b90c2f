//! The configuration of a client, and the errors of configurations that cannot work, of clients and
//! of leases.
//!
//! All values are checked together when the configuration is built, so the order in which they were
//! set does not matter. Each error carries the values and says what to do.

use core::fmt;
use core::time::Duration;

use crate::id::MAX_NODES;
use crate::math::{Backoff, Drift, quorum};

/// The TTL of a lease, unless another is set.
pub const DEFAULT_TTL: Duration = Duration::from_secs(10);

/// The longest TTL: thirty days. A crashed holder blocks its key for one TTL. A lock that is held
/// for longer is renewed.
pub const LONGEST_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The most replicas of a node that a grant may have to be acknowledged by.
pub const MOST_REPLICAS: u32 = 100;

/// What is the same for all leases of a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    nodes: usize,
    max_ttl: Duration,
    drift: Drift,
    request_timeout: Duration,
    max_leases: usize,
    takes: bool,
    queues: bool,
    pushes_grant: bool,
    acknowledged_by: u32,
}

impl Config {
    /// A client of `nodes` nodes, with the defaults: max TTL [`DEFAULT_TTL`], drift bound
    /// [`Drift::default`], request timeout an eighth of max TTL between 20 ms and 1 s, at most
    /// 1,000,000 leases.
    ///
    /// ```
    /// use core::time::Duration;
    /// use tenure_core::Config;
    ///
    /// let config = Config::builder(3).max_ttl(Duration::from_secs(30)).build()?;
    /// assert_eq!(config.quorum(), 2);
    /// # Ok::<(), tenure_core::ConfigError>(())
    /// ```
    pub const fn builder(nodes: usize) -> ConfigBuilder {
        ConfigBuilder {
            nodes,
            max_ttl: DEFAULT_TTL,
            drift: Drift::DEFAULT,
            request_timeout: None,
            max_leases: 1_000_000,
            takes: false,
            queues: false,
            pushes_grant: true,
            acknowledged_by: 0,
        }
    }

    /// The number of nodes.
    #[must_use]
    pub const fn nodes(&self) -> usize {
        self.nodes
    }

    /// How many nodes are a majority.
    #[must_use]
    pub const fn quorum(&self) -> usize {
        quorum(self.nodes)
    }

    /// The largest TTL that any client of these nodes uses.
    #[must_use]
    pub const fn max_ttl(&self) -> Duration {
        self.max_ttl
    }

    /// By how much clocks may be wrong.
    #[must_use]
    pub const fn drift(&self) -> Drift {
        self.drift
    }

    /// How long a round of requests is waited for.
    #[must_use]
    pub const fn request_timeout(&self) -> Duration {
        self.request_timeout
    }

    /// How long the outcome of a release is waited for at most: four request timeouts. A connection
    /// that turns out to be dead may cost two, and another one, with the answer on it, two more.
    #[must_use]
    pub fn release_timeout(&self) -> Duration {
        self.request_timeout.saturating_mul(4)
    }

    /// Whether the first attempt of a lease is a [`Op::Take`](crate::Op::Take). Never over several
    /// nodes.
    #[must_use]
    pub const fn takes(&self) -> bool {
        self.takes
    }

    /// Whether a lease waits in the queue of its key for a lock that is held. Never over several
    /// nodes.
    #[must_use]
    pub const fn queues(&self) -> bool {
        self.queues && self.nodes == 1
    }

    /// Whether a push that hands the lock on is a grant by itself. If not, the lease that waits
    /// asks the node, whose answer decides.
    #[must_use]
    pub const fn pushes_grant(&self) -> bool {
        self.pushes_grant
    }

    /// How many replicas of the node must have acknowledged a grant before it is reported. Zero if
    /// none is asked for, as over several nodes.
    #[must_use]
    pub const fn acknowledged_by(&self) -> u32 {
        self.acknowledged_by
    }

    /// Whether a lease that waits has places at the nodes, which hint when the lock is free. Never
    /// over one node.
    #[must_use]
    pub const fn hints(&self) -> bool {
        self.queues && self.nodes > 1
    }

    /// How many leases there may be at a time, those included that are still being released.
    #[must_use]
    pub const fn max_leases(&self) -> usize {
        self.max_leases
    }
}

/// Collects what is the same for all leases of a client. See [`Config::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct ConfigBuilder {
    nodes: usize,
    max_ttl: Duration,
    drift: Drift,
    request_timeout: Option<Duration>,
    max_leases: usize,
    takes: bool,
    queues: bool,
    pushes_grant: bool,
    acknowledged_by: u32,
}

impl ConfigBuilder {
    /// The largest TTL that any client of these nodes uses. Over several nodes, all clients must
    /// have the same: it is also how long a node that may have forgotten a lease stays in
    /// quarantine.
    pub const fn max_ttl(mut self, max_ttl: Duration) -> Self {
        self.max_ttl = max_ttl;
        self
    }

    /// By how much clocks may be wrong.
    pub const fn drift(mut self, drift: Drift) -> Self {
        self.drift = drift;
        self
    }

    /// How long a round of requests is waited for. Default: an eighth of max TTL, but at least 20
    /// ms and at most 1 s.
    pub const fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = Some(timeout);
        self
    }

    /// How many leases there may be at a time. This bounds every queue of the client.
    pub const fn max_leases(mut self, max_leases: usize) -> Self {
        self.max_leases = max_leases;
        self
    }

    /// Whether the first attempt of a lease is a [`Op::Take`](crate::Op::Take), if there is one
    /// node. Default: no. Where the node's marker must be compared (quarantine), only a script can
    /// ask.
    pub const fn takes(mut self, takes: bool) -> Self {
        self.takes = takes;
        self
    }

    /// Whether a lease waits in the queue of its key for a lock that is held. Default: no; then it
    /// asks again and again, by backoff. A lease whose attempts are bounded
    /// ([`LeaseOptionsBuilder::attempts`](crate::LeaseOptionsBuilder::attempts)) never waits there.
    ///
    /// One node hands the lock on to the first in line. Several nodes [hint](Config::hints).
    pub const fn queues(mut self, queues: bool) -> Self {
        self.queues = queues;
        self
    }

    /// Whether a push that hands the lock on is a grant by itself. Default: yes. A release does not
    /// compare the node's marker, so with quarantine the lease that is handed a lock must ask for
    /// it by a script that does.
    pub const fn pushes_grant(mut self, grant: bool) -> Self {
        self.pushes_grant = grant;
        self
    }

    /// How many replicas of the only node must have acknowledged a grant before it is reported: at
    /// most [`MOST_REPLICAS`]. Default: zero, and nothing is asked. See
    /// [`Op::Acknowledge`](crate::Op::Acknowledge).
    pub const fn acknowledged_by(mut self, replicas: u32) -> Self {
        self.acknowledged_by = replicas;
        self
    }

    /// Checks all values.
    ///
    /// # Errors
    /// A [`ConfigError`] that carries the values.
    pub fn build(self) -> Result<Config, ConfigError> {
        let Self {
            nodes,
            max_ttl,
            drift,
            request_timeout,
            max_leases,
            takes,
            queues,
            pushes_grant,
            acknowledged_by,
        } = self;
        if nodes == 0 || nodes > MAX_NODES {
            return Err(ConfigError::Nodes { nodes });
        }
        if drift.ppm() > Drift::MAX_PPM {
            return Err(ConfigError::Drift { ppm: drift.ppm() });
        }
        check_ttl(max_ttl, drift)?;
        let request_timeout = request_timeout.unwrap_or_else(|| {
            (max_ttl / 8).clamp(Duration::from_millis(20), Duration::from_secs(1))
        });
        if request_timeout < Duration::from_millis(1) || request_timeout > LONGEST_TTL {
            return Err(ConfigError::RequestTimeout {
                timeout: request_timeout,
            });
        }
        if max_leases == 0 || max_leases > u32::MAX as usize / 2 {
            return Err(ConfigError::MaxLeases { max_leases });
        }
        if acknowledged_by > MOST_REPLICAS {
            return Err(ConfigError::Replicas {
                replicas: acknowledged_by,
            });
        }
        if acknowledged_by > 0 && nodes > 1 {
            return Err(ConfigError::AcknowledgedBySeveral { nodes });
        }
        Ok(Config {
            nodes,
            max_ttl,
            drift,
            request_timeout,
            max_leases,
            takes: takes && nodes == 1,
            queues,
            pushes_grant,
            acknowledged_by,
        })
    }
}

pub(crate) fn check_ttl(ttl: Duration, drift: Drift) -> Result<(), ConfigError> {
    let least = drift.shortest_ttl();
    if ttl < least {
        return Err(ConfigError::TtlTooShort { ttl, least });
    }
    if ttl > LONGEST_TTL {
        return Err(ConfigError::TtlTooLong { ttl });
    }
    Ok(())
}

pub(crate) fn check_backoff(backoff: Backoff) -> Result<(), ConfigError> {
    let (first, longest) = (backoff.first(), backoff.longest());
    if first.is_zero() || first > longest {
        return Err(ConfigError::Backoff { first, longest });
    }
    Ok(())
}

/// A configuration that cannot work. It carries the values, and its message says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// No nodes, or more than [`MAX_NODES`].
    Nodes {
        /// The number given.
        nodes: usize,
    },
    /// A TTL of which the drift margin leaves nothing.
    TtlTooShort {
        /// The TTL given.
        ttl: Duration,
        /// The shortest that leaves something: [`Drift::shortest_ttl`].
        least: Duration,
    },
    /// A TTL over [`LONGEST_TTL`].
    TtlTooLong {
        /// The TTL given.
        ttl: Duration,
    },
    /// A TTL over max TTL, on which the clients of these nodes agreed.
    TtlAboveMax {
        /// The TTL given.
        ttl: Duration,
        /// The client's max TTL.
        max_ttl: Duration,
    },
    /// A renewal that would begin at once, or so late that it could not succeed before validity
    /// ends.
    Renewal {
        /// The span given.
        renew_after: Duration,
        /// The longest that leaves time for a renewal and a retry.
        most: Duration,
        /// How long a lease with this TTL is valid.
        valid_for: Duration,
    },
    /// A drift bound over [`Drift::MAX_PPM`].
    Drift {
        /// The bound given, in millionths.
        ppm: u32,
    },
    /// A request timeout under one millisecond or over [`LONGEST_TTL`].
    RequestTimeout {
        /// The timeout given.
        timeout: Duration,
    },
    /// A number of leases that is zero, or too large to number them.
    MaxLeases {
        /// The number given.
        max_leases: usize,
    },
    /// More replicas that are to acknowledge a grant than [`MOST_REPLICAS`]; or none, where their
    /// number was given.
    Replicas {
        /// The number given.
        replicas: u32,
    },
    /// Replicas are to acknowledge grants, but there are several nodes.
    AcknowledgedBySeveral {
        /// The number of nodes.
        nodes: usize,
    },
    /// A cap of zero on the total hold.
    MaxHold,
    /// An acquire that may make no attempt.
    Attempts,
    /// A backoff whose first pause is zero, or longer than its longest.
    Backoff {
        /// The first pause.
        first: Duration,
        /// The longest pause.
        longest: Duration,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes { nodes } => write!(f, "{nodes} nodes: give 1 to {MAX_NODES}"),
            Self::TtlTooShort { ttl, least } => write!(
                f,
                "a TTL of {ttl:?} is too short: with less than {least:?} the drift margin leaves \
                 nothing, and with less than about 30 ms a lock is hardly kept"
            ),
            Self::TtlTooLong { ttl } => write!(
                f,
                "a TTL of {ttl:?} is over {LONGEST_TTL:?}: a crashed holder would block the key \
                 for so long; take a short TTL, it is renewed while the lease is held"
            ),
            Self::TtlAboveMax { ttl, max_ttl } => write!(
                f,
                "a TTL of {ttl:?} is over the max TTL of {max_ttl:?}: raise max_ttl, on every \
                 client of these nodes"
            ),
            Self::Renewal {
                renew_after,
                most,
                valid_for,
            } => write!(
                f,
                "renewal after {renew_after:?}: give more than zero and at most {most:?}, so that \
                 it can succeed within the validity of {valid_for:?}"
            ),
            Self::Drift { ppm } => {
                write!(
                    f,
                    "a drift bound of {ppm} ppm is over {} ppm",
                    Drift::MAX_PPM
                )
            }
            Self::RequestTimeout { timeout } => {
                write!(
                    f,
                    "a request timeout of {timeout:?}: give 1 ms to {LONGEST_TTL:?}"
                )
            }
            Self::MaxLeases { max_leases } => {
                write!(f, "at most {max_leases} leases: give 1 to {}", u32::MAX / 2)
            }
            Self::Replicas { replicas } => write!(
                f,
                "{replicas} replicas that are to acknowledge a grant: give 1 to {MOST_REPLICAS}, \
                 and no more than the node has; or do not ask for any"
            ),
            Self::AcknowledgedBySeveral { nodes } => write!(
                f,
                "replicas are to acknowledge grants over {nodes} nodes: they do so for one node \
                 only. The quorum of several nodes is a stronger answer; leave the replicas out"
            ),
            Self::MaxHold => f.write_str("a cap of zero on the total hold: give more, or no cap"),
            Self::Attempts => f.write_str("no attempts: give 1 or more, or no bound"),
            Self::Backoff { first, longest } => write!(
                f,
                "a backoff from {first:?} to {longest:?}: it must begin above zero and not above \
                 its longest pause"
            ),
        }
    }
}

impl core::error::Error for ConfigError {}
