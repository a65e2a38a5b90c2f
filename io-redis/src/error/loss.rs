//! How a held lock is lost.

use std::fmt;

use tenure_core::Key;

/// How a held lease ended other than by its owner's release.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// Its validity passed before a renewal was confirmed.
    Expired,
    /// Another token is in its place: someone else holds the key, or overwrote it.
    Taken,
    /// The key vanished early: it was deleted, flushed, evicted, or forgotten by a restart.
    Gone,
    /// The server would not serve us any more, in its words.
    Rejected(String),
    /// The cap on its total hold was reached.
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
            Self::Rejected(words) => write!(f, "the server refused to renew it: {words}"),
            Self::Capped => f.write_str("the cap on its total hold was reached"),
            Self::Closed => f.write_str("the client was closed"),
        }
    }
}

/// A lease that was held is lost: whoever acts now acts without it.
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
