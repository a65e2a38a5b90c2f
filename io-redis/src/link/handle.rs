//! Inspecting a key through a running link.

use std::fmt;

use tenure_core::{Key, Words};
use tokio::sync::{mpsc, oneshot};

use crate::protocol::inspection::KeyState;

/// Why a node did not answer an inspection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer {
    pub(crate) why: Words,
    /// Whether it refuses, and will until somebody changes something.
    pub(crate) refused: bool,
}

impl NoAnswer {
    /// It may answer another time.
    pub(crate) const fn now(why: Words) -> Self {
        Self {
            why,
            refused: false,
        }
    }

    /// It refuses until somebody changes something.
    pub(crate) const fn refused(why: Words) -> Self {
        Self { why, refused: true }
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
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

/// How often a question is asked again at once.
// Law: Bounded work
const AGAIN_MAX: u8 = 3;

/// One question of [`LinkHandle::inspect`].
#[derive(Debug)]
pub(crate) struct InspectRequest {
    pub(crate) key: Key,
    /// How often it was asked before, when the scripts were not loaded or the connection broke.
    pub(crate) again: u8,
    pub(crate) answer: oneshot::Sender<NodeAnswer>,
}

impl InspectRequest {
    /// The same question, to be asked again. None if it was asked often enough.
    pub(crate) fn once_more(self) -> Result<Self, Self> {
        if self.again >= AGAIN_MAX {
            return Err(self);
        }
        Ok(Self {
            again: self.again + 1,
            ..self
        })
    }

    /// Answers that the node could not be asked. The caller may have gone.
    pub(crate) fn refuse(self, why: Words) {
        let _ = self.answer.send(Err(NoAnswer::now(why)));
    }
}

impl LinkHandle {
    /// Inspects a key, which changes nothing. Waits while the link connects for the first time;
    /// otherwise it is bounded by the link's own limit on silence.
    pub(crate) async fn inspect(&self, key: Key) -> NodeAnswer {
        let (answer, answered) = oneshot::channel();
        let ended = || NoAnswer::now(Words::new("the link has ended"));
        let request = InspectRequest {
            key,
            again: 0,
            answer,
        };
        self.inspections.send(request).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}
