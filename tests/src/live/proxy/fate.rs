//! What becomes of a whole connection, and of one that was idle for too long.

use std::time::Duration;

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is closed, in order, at both ends.
    Closed,
    /// It is reset at once.
    Reset,
    /// It stays open and silent, and is reset at the next byte that the client sends, as by a peer
    /// that has forgotten it.
    ResetAtNextByte,
    /// It stays open, and all that is sent on it is swallowed, in both directions, as by a network
    /// that has forgotten it. Neither end hears that the other has closed it.
    Swallowed,
}

/// What becomes of a connection on which nothing travels for so long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Idle {
    pub(super) after: Duration,
    pub(super) fate: Fate,
}

impl Fate {
    /// Whether the connection ends at once.
    pub(super) const fn ends(self) -> bool {
        match self {
            Self::Closed | Self::Reset => true,
            Self::ResetAtNextByte | Self::Swallowed => false,
        }
    }

    /// Whether the client is to find it reset when it has ended.
    pub(super) const fn resets(self) -> bool {
        match self {
            Self::Reset | Self::ResetAtNextByte => true,
            Self::Closed | Self::Swallowed => false,
        }
    }
}
