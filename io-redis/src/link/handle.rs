//! Looking at a key without asking for it: what a node says of it, and the handle that asks.

use std::fmt;

use tenure_core::{Key, Words};
use tokio::sync::{mpsc, oneshot};

use crate::protocol::inspection::KeyState;

/// Why a look did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer(pub(crate) Words);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the node could not be asked: {}", self.0)
    }
}

impl std::error::Error for NoAnswer {}

/// Reaches a running link.
#[derive(Clone, Debug)]
pub(crate) struct LinkHandle {
    pub(crate) requests: mpsc::Sender<InspectRequest>,
}

/// One question of [`LinkHandle::inspect`].
#[derive(Debug)]
pub(crate) struct InspectRequest {
    pub(crate) key: Key,
    /// It was asked before, and the scripts were not there.
    pub(crate) again: bool,
    pub(crate) answer: oneshot::Sender<Result<KeyState, NoAnswer>>,
}

impl LinkHandle {
    /// Looks at a key. Changes nothing and decides nothing. Waits while the link connects for the
    /// first time; there is no other bound than that of the link's own silence.
    pub(crate) async fn inspect(&self, key: Key) -> Result<KeyState, NoAnswer> {
        let (answer, answered) = oneshot::channel();
        let ended = || NoAnswer(Words::new("the link has ended"));
        let request = InspectRequest {
            key,
            again: false,
            answer,
        };
        self.requests.send(request).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}
