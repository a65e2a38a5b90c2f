//! What a link keeps from one connection to the next, and how long it waits.

use std::sync::Arc;
use std::time::Duration;

use tenure_core::{Instant, NodeId, Patience, Rng};
use tokio::sync::mpsc;

use crate::link::alone::Alone;
use crate::link::bell::Bell;
use crate::link::handle::Inquiry;
use crate::link::interface::{LinkConfig, Work};
use crate::runtime::Clock;

/// What a link gives to its sessions.
pub(crate) struct LinkContext {
    pub(crate) node: NodeId,
    pub(crate) work: Arc<dyn Work>,
    pub(crate) wake: Arc<Bell>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Arc<LinkConfig>,
    /// What was measured of the way to the node.
    pub(crate) patience: Patience,
    pub(crate) rng: Rng,
    pub(crate) inquiries: mpsc::Receiver<Inquiry>,
    /// Inquiries that are to be made again.
    pub(crate) ask_again: Vec<Inquiry>,
    /// Until when batching is off.
    pub(crate) unbatched_until: Instant,
    /// What shares no calls also when batching is on.
    pub(crate) alone: Alone,
}

impl LinkContext {
    /// The shortest TTL in use.
    pub(crate) fn ttl(&self) -> Duration {
        self.work.shortest_ttl().unwrap_or(self.config.ttl)
    }

    /// How long connecting and the set-up may take together.
    pub(crate) fn dial_timeout(&self) -> Duration {
        self.patience.dial(self.ttl())
    }

    /// How long a connection may be silent while a request is in flight; then it is replaced. Over
    /// a connection of the user's, a request is *unknown* this long after its deadline.
    pub(crate) fn silence(&self) -> Duration {
        let silence = self.patience.silence(self.ttl());
        self.config.note_silence(silence);
        silence
    }
}
