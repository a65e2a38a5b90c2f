//! How a held lock is lost.

use std::fmt;

use tenure_core::Key;

use crate::error::silent::Open;

/// How a held lease ended, if its owner did not release it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// Its validity passed before a renewal was confirmed.
    Expired,
    /// The key holds another token: someone else took it, or overwrote it.
    Taken,
    /// The key is gone: it was deleted, flushed, evicted, or lost in a restart.
    Gone,
    /// The server refused to renew it, with the server's text.
    Rejected(String),
    /// The limit on its total time was reached.
    Capped,
    /// The client was closed, which released it.
    Closed,
}

impl From<tenure_core::Loss> for Loss {
    fn from(loss: tenure_core::Loss) -> Self {
        match loss {
            tenure_core::Loss::Expired => Self::Expired,
            tenure_core::Loss::Taken => Self::Taken,
            tenure_core::Loss::Gone => Self::Gone,
            tenure_core::Loss::Rejected(words) => Self::Rejected(words.as_str().to_owned()),
            tenure_core::Loss::Capped => Self::Capped,
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired => f.write_str("its time ended before a renewal was confirmed"),
            Self::Taken => f.write_str("another owner's token is in its place"),
            Self::Gone => f.write_str("the key was deleted or forgotten"),
            Self::Rejected(words) => write!(f, "the server refused to renew it: {}", Open(words)),
            Self::Capped => f.write_str("the cap on its total hold was reached"),
            Self::Closed => f.write_str("the client was closed"),
        }
    }
}

/// A held lease is lost: from now on, others may hold the key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lost {
    /// The key, as it stands on the nodes.
    pub key: Key,
    /// How it was lost.
    pub loss: Loss,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lock {:?} is lost: {}", self.key, self.loss)
    }
}

impl std::error::Error for Lost {}
