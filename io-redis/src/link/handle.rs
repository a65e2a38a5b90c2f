//! Looking at a key without asking for it: what a node says of it, and the handle that asks.

use std::fmt;
use std::time::Duration;

use tenure_core::{Fence, Key, ServerTime, Words};
use tokio::sync::{mpsc, oneshot};

/// What a node says about a key to who only looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Inspection {
    /// Who holds it.
    pub(crate) holder: Holder,
    /// What is left to the holder. None if the key is free or has no expiry.
    pub(crate) left: Option<Duration>,
    /// The last fence that was drawn, if the counter is still kept.
    pub(crate) fence: Option<Fence>,
    /// The server's time; none of a foreign key.
    pub(crate) server_time: Option<ServerTime>,
}

/// Who holds a key. The secret of the lease is not told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody.
    Free,
    /// A lease of Tenure's.
    Lease {
        /// Its owner's label.
        label: Option<String>,
        /// Its attempt.
        attempt: u32,
    },
    /// A string of another make, perhaps a lock of another library.
    Other,
    /// A key of another type, or a fence counter that is not a number.
    Foreign,
}

/// Why a look did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InspectError(pub(crate) Words);

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the node could not be asked: {}", self.0)
    }
}

impl std::error::Error for InspectError {}

/// Reaches a running link.
#[derive(Clone, Debug)]
pub(crate) struct LinkHandle {
    pub(crate) looks: mpsc::Sender<Look>,
}

/// One question of [`LinkHandle::inspect`].
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) key: Key,
    /// It was asked before, and the scripts were not there.
    pub(crate) again: bool,
    pub(crate) answer: oneshot::Sender<Result<Inspection, InspectError>>,
}

impl LinkHandle {
    /// Looks at a key. Changes nothing and decides nothing. Waits while the link connects for the
    /// first time; there is no other bound than that of the link's own silence.
    pub(crate) async fn inspect(&self, key: Key) -> Result<Inspection, InspectError> {
        let (answer, answered) = oneshot::channel();
        let ended = || InspectError(Words::new("the link has ended"));
        let look = Look {
            key,
            again: false,
            answer,
        };
        self.looks.send(look).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}
