//! Watching: a lease whose owner waits to be told of a loss has its key watched by the nodes. They
//! push when somebody touches it, and that is a doubt: the lease asks by a renewal at once, and the
//! answer to that decides.
//!
//! A node watches a key once, until it pushes, or until the client itself writes the key. So the
//! lease asks again behind each renewal. After a doubt that was none it does not, until the next
//! renewal that is due: a node that is short of memory pushes for keys that nobody has touched, and
//! two clients would go on disturbing each other.

use core::time::Duration;

use super::seat::Vote;
use super::{Context, Lease, Phase, Renewal};
use crate::id::{NodeId, NodeSet};
use crate::request::{Answer, OpKind, Reply};
use crate::time::Instant;

/// What a lease knows of the nodes that watch its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Watch {
    /// Whether its owner waits to be told.
    pub(super) wanted: bool,
    /// The nodes that are to be asked to watch.
    due: NodeSet,
    /// The nodes that watch, or are being asked to.
    watching: NodeSet,
    /// The nodes that are being asked because of a doubt, or will be once they have said that they
    /// watch.
    doubting: NodeSet,
}

impl Lease {
    /// Lets the nodes watch the key while the lease is held, or not any more.
    pub fn watch(&mut self, now: Instant, wanted: bool, ctx: &mut Context<'_>) {
        if wanted == self.watch.wanted {
            return;
        }
        self.watch.wanted = wanted;
        self.watch.due = match wanted {
            true => self.nodes().collect(),
            false => NodeSet::EMPTY,
        };
        self.watch_all(now, ctx);
    }

    /// Asks each node to watch that is to be asked, and can be now.
    pub(super) fn watch_all(&mut self, now: Instant, ctx: &mut Context<'_>) {
        if self.watch.wanted {
            for node in self.nodes() {
                self.watch_at(now, node, ctx);
            }
        }
    }

    /// Asks a node to watch, if that is to be done and nothing else is asked of it. A renewal that
    /// failed there comes first.
    pub(super) fn watch_at(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        let seat = &self.seats[node.index()];
        let can = seat.is_idle() && seat.until.is_some() && !ctx.down.contains(node);
        // Law: Progress
        let may = match self.phase {
            Phase::Held(Renewal::RetryAt(_)) => false,
            Phase::Held(Renewal::Running) => seat.vote != Vote::Silent,
            phase => matches!(phase, Phase::Held(_)),
        };
        if can && may && self.watch.due.contains(node) {
            self.watch.due.remove(node);
            self.watch.watching.insert(node);
            self.ask(now, node, OpKind::Watch, ctx);
        }
    }

    /// The node watches no longer: its connection is a new one.
    pub(super) fn watch_anew(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        if self.watch.wanted {
            self.watch.due.insert(node);
            self.watch_at(now, node, ctx);
        }
    }

    /// Notes that a renewal was answered. If it was done, the node is asked to watch again behind
    /// it, unless a doubt was the reason. If not, the next renewal comes first.
    pub(super) fn renewed_at(&mut self, node: NodeId, reply: &Reply) {
        let doubting = self.watch.doubting.contains(node);
        self.watch.doubting.remove(node);
        if self.watch.wanted && !doubting && *reply == Reply::Applied(Answer::Done) {
            self.watch.due.insert(node);
        }
    }

    /// Takes the answer to a request to watch.
    pub(super) fn watch_answered(
        &mut self,
        now: Instant,
        node: NodeId,
        reply: &Reply,
        ctx: &mut Context<'_>,
    ) {
        let doubted = self.watch.doubting.contains(node);
        self.watch.doubting.remove(node);
        match reply {
            Reply::Applied(Answer::Done) if !doubted => {}
            // Whoever reads says nothing that is sure: a replica may have answered.
            Reply::Applied(_) => self.doubt(now, node, ctx),
            // It is asked again behind the next renewal.
            Reply::NotApplied(_) | Reply::Unknown(_) => {}
        }
        self.catch_up(now, node, ctx);
    }

    /// A node says that somebody may have touched the key. One that watches no longer says nothing
    /// new, unless it doubts all keys.
    // Law: Loss is told
    pub fn handle_doubt(&mut self, now: Instant, node: NodeId, all: bool, ctx: &mut Context<'_>) {
        self.handle_timeout(now, Duration::ZERO, ctx);
        // Law: Bounded work
        if all || self.watch.watching.contains(node) {
            self.doubt(now, node, ctx);
        }
    }

    fn doubt(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        self.watch.watching.remove(node);
        let seat = &self.seats[node.index()];
        // The push may be told before the answer that the node gave earlier, so that says nothing.
        let asked = seat.flight.as_ref().map(|flight| flight.ask);
        if asked == Some(OpKind::Watch) {
            self.watch.doubting.insert(node);
        }
        // A renewal that is on its way will tell, or the watch behind it.
        let can = seat.is_idle() && seat.until.is_some() && !ctx.down.contains(node);
        if can && matches!(self.phase, Phase::Held(_)) {
            self.watch.doubting.insert(node);
            self.ask(now, node, OpKind::Renew, ctx);
        }
    }
}
