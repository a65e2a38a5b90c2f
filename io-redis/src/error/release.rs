//! Why a release did not free the lock.

use std::fmt;

use tenure_core::Key;

use crate::error::ended::RUNTIME_ENDED;
use crate::error::kind::{Kind, kinds};
use crate::error::loss::Lost;

/// Why a release did not free the lock, as far as is known. In either case the lease is over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReleaseError {
    /// It had been lost before, so what was done under it may have had company.
    Lost(Lost),
    /// Not enough nodes answered in time. The release is retried in the background, and the TTL
    /// ends the lease at last.
    Unknown {
        /// The key.
        key: Key,
    },
    /// The runtime that ran the client's tasks has ended, so nothing was sent. The TTL ends the
    /// lease.
    RuntimeEnded {
        /// The key.
        key: Key,
    },
}

kinds!(ReleaseError, with loss);

impl ReleaseError {
    const fn kind(&self) -> Kind {
        match self {
            Self::Lost(_) => Kind::Loss,
            Self::Unknown { .. } => Kind::Outage,
            Self::RuntimeEnded { .. } => Kind::Misuse,
        }
    }
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(lost) => write!(f, "{lost}, before it was released"),
            Self::RuntimeEnded { key } => {
                write!(f, "lock {key:?} was not released: {RUNTIME_ENDED}")
            }
            Self::Unknown { key } => write!(
                f,
                "whether lock {key:?} was released is not known: not enough nodes answered in \
                 time. It ends with its TTL at the latest"
            ),
        }
    }
}

impl std::error::Error for ReleaseError {}
