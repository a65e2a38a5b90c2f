//! What an acquire comes to, and how a lease is lost, in one word: for spans and metrics.

use tenure_core::AcquireFailure;

use crate::client::hub::Refused;
use crate::error::Ended;
#[cfg(feature = "metrics")]
use crate::error::Loss;

/// What an acquire came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Granted,
    Contended,
    QueueFull,
    Foreign,
    Quarantined,
    Outage,
    Unacknowledged,
    Rejected,
    WrongType,
    Misuse,
    /// Its future was dropped.
    Cancelled,
    /// The client was closed.
    Closed,
    /// The tasks of the client have ended.
    RuntimeEnded,
}

impl Outcome {
    /// All of them, each in its place.
    #[cfg(feature = "metrics")]
    pub(crate) const ALL: [Self; 13] = [
        Self::Granted,
        Self::Contended,
        Self::QueueFull,
        Self::Foreign,
        Self::Quarantined,
        Self::Outage,
        Self::Unacknowledged,
        Self::Rejected,
        Self::WrongType,
        Self::Misuse,
        Self::Cancelled,
        Self::Closed,
        Self::RuntimeEnded,
    ];

    /// Its word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Contended => "contended",
            Self::QueueFull => "queue_full",
            Self::Foreign => "foreign",
            Self::Quarantined => "quarantined",
            Self::Outage => "outage",
            Self::Unacknowledged => "unacknowledged",
            Self::Rejected => "rejected",
            Self::WrongType => "wrong_type",
            Self::Misuse => "misuse",
            Self::Cancelled => "cancelled",
            Self::Closed => "closed",
            Self::RuntimeEnded => "runtime_ended",
        }
    }
}

impl From<&AcquireFailure> for Outcome {
    fn from(cause: &AcquireFailure) -> Self {
        match cause {
            AcquireFailure::Contended { .. } => Self::Contended,
            AcquireFailure::QueueFull { .. } => Self::QueueFull,
            AcquireFailure::Foreign { .. } => Self::Foreign,
            AcquireFailure::Quarantined { .. } => Self::Quarantined,
            AcquireFailure::Outage { .. } => Self::Outage,
            AcquireFailure::Unacknowledged { .. } => Self::Unacknowledged,
            AcquireFailure::Rejected { .. } => Self::Rejected,
            AcquireFailure::WrongType { .. } => Self::WrongType,
            AcquireFailure::Misuse { .. } => Self::Misuse,
        }
    }
}

impl From<&Refused> for Outcome {
    fn from(refused: &Refused) -> Self {
        match refused {
            Refused::Ended(ended) => End::from(ended).outcome(),
            // As the error says.
            Refused::AtCapacity(_) => Self::Misuse,
        }
    }
}

/// How a lease ended, if no event of the core ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Its owner dropped it, or let it go.
    ByOwner,
    /// Its guard found that its time was over.
    Expired,
    /// The client was closed.
    Closed,
    /// The tasks of the client have ended.
    RuntimeEnded,
}

impl End {
    /// What an acquire came to that ended so.
    pub(crate) const fn outcome(self) -> Outcome {
        match self {
            Self::ByOwner => Outcome::Cancelled,
            // It was held before.
            Self::Expired => Outcome::Granted,
            Self::Closed => Outcome::Closed,
            Self::RuntimeEnded => Outcome::RuntimeEnded,
        }
    }

    /// How a held lease was lost that ended so, if it was.
    #[cfg(feature = "metrics")]
    pub(crate) const fn loss(self) -> Option<Reason> {
        match self {
            Self::Expired => Some(Reason::Expired),
            Self::Closed => Some(Reason::Closed),
            Self::ByOwner | Self::RuntimeEnded => None,
        }
    }
}

impl From<&Ended> for End {
    fn from(ended: &Ended) -> Self {
        match ended {
            Ended::Closed => Self::Closed,
            Ended::RuntimeEnded(_) => Self::RuntimeEnded,
        }
    }
}

/// The word for how a lease was lost. The server's words are not in it.
#[cfg(feature = "metrics")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Expired,
    Taken,
    Gone,
    Rejected,
    Capped,
    Closed,
}

#[cfg(feature = "metrics")]
impl Reason {
    /// All of them, each in its place.
    pub(crate) const ALL: [Self; 6] = [
        Self::Expired,
        Self::Taken,
        Self::Gone,
        Self::Rejected,
        Self::Capped,
        Self::Closed,
    ];

    /// Its word.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Taken => "taken",
            Self::Gone => "gone",
            Self::Rejected => "rejected",
            Self::Capped => "capped",
            Self::Closed => "closed",
        }
    }
}

#[cfg(feature = "metrics")]
impl From<&Loss> for Reason {
    fn from(loss: &Loss) -> Self {
        match loss {
            Loss::Expired => Self::Expired,
            Loss::Taken => Self::Taken,
            Loss::Gone => Self::Gone,
            Loss::Rejected(_) => Self::Rejected,
            Loss::Capped => Self::Capped,
            Loss::Closed => Self::Closed,
        }
    }
}
