//! Inspecting a key through a running link.

use std::fmt;

use tenure_core::{Key, Words};
use tokio::sync::{mpsc, oneshot};

use crate::protocol::inspection::KeyState;

/// Why a node did not answer an inspection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer(pub(crate) Words);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for NoAnswer {}

/// What one node answered to an inspection.
pub(crate) type NodeAnswer = Result<KeyState, NoAnswer>;

/// A handle to a running link.
#[derive(Clone, Debug)]
pub(crate) struct LinkHandle {
    pub(crate) inspections: mpsc::Sender<InspectRequest>,
}

/// One question of [`LinkHandle::inspect`].
#[derive(Debug)]
pub(crate) struct InspectRequest {
    pub(crate) key: Key,
    /// It was asked once before, when the scripts were not loaded.
    pub(crate) again: bool,
    pub(crate) answer: oneshot::Sender<NodeAnswer>,
}

impl LinkHandle {
    /// Inspects a key, which changes nothing. Waits while the link connects for the first time;
    /// otherwise it is bounded by the link's own limit on silence.
    pub(crate) async fn inspect(&self, key: Key) -> NodeAnswer {
        let (answer, answered) = oneshot::channel();
        let ended = || NoAnswer(Words::new("the link has ended"));
        let request = InspectRequest {
            key,
            again: false,
            answer,
        };
        self.inspections.send(request).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}
