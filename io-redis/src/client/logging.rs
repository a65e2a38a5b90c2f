//! Everything that is logged. No token and no password is ever logged.

use std::collections::HashSet;

use tenure_core::{AcquireFailure, EventKind, Key, NodeId, Release, RenewalFailure, Silence};
use tracing::{Level, debug, event_enabled, info, warn};

use crate::link::interface::LinkStatus;
use crate::log_target::LOG_TARGET;

/// Whether anybody listens to an event of this kind.
pub(crate) fn wants(kind: &EventKind) -> bool {
    match kind {
        EventKind::Acquired { .. }
        | EventKind::Renewed { .. }
        | EventKind::Released { .. }
        | EventKind::Failed { .. } => event_enabled!(target: LOG_TARGET, Level::DEBUG),
        EventKind::Waiting { .. }
        | EventKind::Shortened { .. }
        | EventKind::Suspect { .. }
        | EventKind::Lost { .. } => event_enabled!(target: LOG_TARGET, Level::WARN),
    }
}

/// The keys without an expiry that were warned of. Who waits for one may ask for weeks, and many
/// may wait.
#[derive(Debug, Default)]
pub(crate) struct ForeignKeys(HashSet<Key>);

impl ForeignKeys {
    /// How many are remembered. Beyond that they are all forgotten, and warned of again.
    // Law: Bounded work
    const MOST: usize = 1_024;

    /// Whether the event says of a key what was said of it before, since it was last taken.
    pub(crate) fn told(&mut self, key: &Key, kind: &EventKind) -> bool {
        match kind {
            EventKind::Waiting {
                cause: AcquireFailure::Foreign { .. },
                ..
            } => {
                if self.0.len() >= Self::MOST && !self.0.contains(key) {
                    self.0.clear();
                }
                !self.0.insert(key.clone())
            }
            EventKind::Acquired { .. } => {
                self.0.remove(key);
                false
            }
            _ => false,
        }
    }
}

/// Logs what happened to a lease. `told`: the same was said of its key before.
pub(crate) fn event<'a>(key: &Key, kind: &EventKind, told: bool, name: impl Fn(NodeId) -> &'a str) {
    match kind {
        EventKind::Acquired { fence, .. } => {
            debug!(target: LOG_TARGET, key = %key, fence = fence.get(), "acquired");
        }
        EventKind::Waiting { cause, .. } => waiting(key, cause, told, name),
        EventKind::Failed { cause, gave_up } => {
            let outcome = "failed";
            debug!(target: LOG_TARGET, key = %key, ?cause, gave_up, outcome, "not acquired");
        }
        EventKind::Renewed { .. } => {
            debug!(target: LOG_TARGET, key = %key, outcome = "renewed", "renewal");
        }
        EventKind::Shortened { .. } => {
            warn!(
                target: LOG_TARGET,
                key = %key,
                "a node lost its copy: validity ends earlier than was told"
            );
        }
        EventKind::Suspect {
            cause: RenewalFailure::Rejected { node, words },
            ..
        } => {
            warn!(
                target: LOG_TARGET,
                key = %key,
                outcome = "rejected",
                node = name(*node),
                %words,
                "suspect: the server refuses the renewal"
            );
        }
        EventKind::Suspect {
            cause: RenewalFailure::Outage { silent },
            ..
        } => {
            warn!(
                target: LOG_TARGET,
                key = %key,
                outcome = "unconfirmed",
                silent = list(silent, name),
                "suspect: the renewal was not confirmed, retrying"
            );
        }
        EventKind::Lost { loss } => warn!(target: LOG_TARGET, key = %key, ?loss, "lost"),
        EventKind::Released {
            outcome: Release::Released,
        } => debug!(target: LOG_TARGET, key = %key, "released"),
        EventKind::Released { outcome } => {
            warn!(target: LOG_TARGET, key = %key, ?outcome, "not released")
        }
    }
}

fn waiting<'a>(key: &Key, cause: &AcquireFailure, told: bool, name: impl Fn(NodeId) -> &'a str) {
    match cause {
        AcquireFailure::Quarantined { node, left } => warn!(
            target: LOG_TARGET,
            key = %key,
            node = name(*node),
            ?left,
            "waiting: the node may have forgotten a lease and is not counted yet; for development, \
             `Builder::quarantine(Quarantine::Off)`"
        ),
        AcquireFailure::Outage { silent } => {
            let silent = list(silent, name);
            warn!(target: LOG_TARGET, key = %key, silent, "waiting: not enough nodes answer");
        }
        AcquireFailure::Foreign { node } if !told => warn!(
            target: LOG_TARGET,
            key = %key,
            node = name(*node),
            "waiting: the key has no expiry. If it is the lock of another library, its holder will \
             delete it; if nobody holds it, delete it"
        ),
        AcquireFailure::Contended { .. }
        | AcquireFailure::Foreign { .. }
        | AcquireFailure::Rejected { .. }
        | AcquireFailure::WrongType { .. }
        | AcquireFailure::Misuse { .. } => {
            debug!(target: LOG_TARGET, key = %key, ?cause, "waiting");
        }
    }
}

/// The names of the nodes that were silent, each with what was said of it.
fn list<'a>(silent: &[Silence], name: impl Fn(NodeId) -> &'a str) -> String {
    let one = |silence: &Silence| match &silence.words {
        Some(words) => format!("{}: {words}", name(silence.node)),
        None => name(silence.node).to_owned(),
    };
    silent.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Logs a loss that the holder's own clock told before the core did.
pub(crate) fn expired(key: &Key) {
    warn!(target: LOG_TARGET, key = %key, loss = ?tenure_core::Loss::Expired, "lost");
}

/// Logs a change of a link's state.
pub(crate) fn link(node: &str, status: &LinkStatus) {
    match status {
        LinkStatus::Connecting => debug!(target: LOG_TARGET, node, "connecting"),
        LinkStatus::Up(_) => info!(target: LOG_TARGET, node, "connected"),
        LinkStatus::Down { why } => warn!(target: LOG_TARGET, node, %why, "not connected"),
        LinkStatus::Rejected { words } => {
            warn!(target: LOG_TARGET, node, %words, "the server refuses to serve")
        }
    }
}
