//! Waiting over several nodes: places at the nodes, and hints. Whoever gives the lock back has each
//! node hint to one of those that have a place there: ask now.
//!
//! A node cannot hand the lock on, since a quorum is needed. So places promise no order here. They
//! are there so that nobody sleeps while the lock is free, and nobody asks while it is not: as long
//! as a quorum of nodes keeps the place, and names one lease that has the lock, the next attempt
//! may be a renewal interval away. Whoever frees a quorum meets a node that keeps the place.
//!
//! - A place is entered or kept by the request that found the lock held, and by the release that
//!   follows a failed round ([`Op::Stay`](crate::Op::Stay)).
//! - The release of a lease that was held hints. So does that of one which others may have taken
//!   for the holder, and of one that leaves the line, since the hint before may have been for it.
//!   If failed rounds did, rivals would wake each other for ever.
//! - A node keeps the lock for a moment for the one that it hints to, with the token of its first
//!   attempt. That is no grant: its acquire takes the token over.
//! - A hint that comes while an acquire is on its way to the node may have been sent before that
//!   was answered, or after it: the link does not tell. If the answer is a grant, the hint was
//!   older.

use alloc::boxed::Box;
use core::time::Duration;

use super::seat::{Flight, Seat, Vote};
use super::wait::ASKING;
use super::{Context, Lease, Phase};
use crate::event::AcquireFailure;
use crate::id::{NodeId, NodeSet};
use crate::place::{Place, PlaceId};
use crate::request::{Answer, OpKind, Refusal, Reply};
use crate::time::Instant;

/// Over how long those spread their next attempts who were hinted at the same time, since each
/// node may hint to another one.
const SPREAD: Duration = Duration::from_millis(5);

/// For so long a node keeps the lock for the one that it hints to. The scripts say so.
const MOMENT: Duration = Duration::from_millis(50);

/// What a lease knows of its places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Places {
    /// The nodes that have it, or may have it.
    entered: NodeSet,
    /// Of these, those that were told where the client listens.
    pushed: NodeSet,
    /// When the last of them has forgotten it by itself.
    until: Option<Instant>,
    /// The nodes that have said since the present attempt began that they have it.
    kept: NodeSet,
    /// Whether it is one of the first at one of these.
    is_first: bool,
    /// Whether a node has said since then that the lock is free.
    hinted: bool,
    /// Whether the present attempt began because of that.
    by_hint: bool,
    /// The nodes that hinted while an acquire was on its way to them.
    unsettled: NodeSet,
}

impl Lease {
    /// Whether a hint may concern it.
    pub(super) fn awaits_hints(&self) -> bool {
        let asks = match self.phase {
            Phase::Acquiring | Phase::Confirming(_) | Phase::Acknowledging(_) => true,
            Phase::Clearing { .. } | Phase::Backoff { .. } => true,
            Phase::Waiting { .. } | Phase::Held(_) | Phase::Releasing { .. } => false,
            Phase::Settling | Phase::Ended => false,
        };
        asks && self.hints
    }

    /// Whether the place that a request to this node names tells where the client listens. None if
    /// it names none. It never does again where it once did not.
    pub(super) fn names_channel(
        &self,
        node: NodeId,
        ask: OpKind,
        ctx: &Context<'_>,
    ) -> Option<bool> {
        let names = matches!(ask, OpKind::Acquire | OpKind::Stay) && self.hints;
        let told = |places: &Places| !places.entered.contains(node) || places.pushed.contains(node);
        let told = self.places.as_deref().is_none_or(told);
        names.then(|| told && ctx.pushing.contains(node))
    }

    /// The place that a release at this node removes: that which is there, or may be by a request
    /// that is still on its way.
    pub(super) fn place_left(&self, node: NodeId) -> Option<Place> {
        let id = PlaceId::of(&self.secret);
        let seat = &self.seats[node.index()];
        let on_its_way = seat.flight.as_ref().and_then(|flight| flight.channel);
        let entered = self.places.as_ref().and_then(|places| {
            let entered = places.entered.contains(node);
            entered.then(|| places.pushed.contains(node))
        });
        let pushed = entered.or(on_its_way)?;
        Some(Place { id, pushed })
    }

    /// Notes whether the node has the place now, as the reply to a request tells that named it.
    // Law: No orphan
    pub(super) fn note_place(
        &mut self,
        now: Instant,
        node: NodeId,
        flight: &Flight,
        reply: &Reply,
    ) {
        let gone = match (flight.ask, reply) {
            (OpKind::Release, Reply::Applied(_)) => true,
            // The server will never serve us. The place goes with its TTL.
            (
                OpKind::Release | OpKind::Stay,
                Reply::NotApplied(Refusal::Rejected(_) | Refusal::Misuse(_)),
            ) => true,
            _ => false,
        };
        if gone {
            if let Some(places) = &mut self.places {
                places.entered.remove(node);
            }
            return;
        }
        // Over one node, one that a push had granted before this was done: it is in line again.
        let is_late = flight.ask == OpKind::Wait && !self.is_waiting();
        let Some(pushed) = flight.channel.or(is_late.then_some(false)) else {
            return;
        };
        let ahead = match reply {
            Reply::Applied(Answer::Held {
                ahead: Some(ahead), ..
            }) => Some(*ahead),
            Reply::Applied(Answer::Done | Answer::Gone | Answer::Taken)
                if flight.ask == OpKind::Stay =>
            {
                Some(ASKING)
            }
            Reply::Applied(Answer::Waiting { .. }) | Reply::Unknown(_) => None,
            // Who is granted the lock waits there no longer, but a stay behind that may have been
            // answered before. The release at the end names the place, and costs nothing more.
            Reply::Applied(_) | Reply::NotApplied(_) => return,
        };
        let expires = self.expires(now);
        let asks = self.awaits_attempt();
        let places = self.places.get_or_insert_with(Box::default);
        places.entered.insert(node);
        match pushed {
            true => places.pushed.insert(node),
            false => places.pushed.remove(node),
        }
        places.until = places.until.max(Some(expires));
        if let Some(ahead) = ahead
            && asks
            && flight.attempt == self.attempt
        {
            places.kept.insert(node);
            places.is_first |= ahead < ASKING;
        }
    }

    /// Whether it asks for the lock, or will.
    const fn awaits_attempt(&self) -> bool {
        matches!(
            self.phase,
            Phase::Acquiring | Phase::Clearing { .. } | Phase::Backoff { .. }
        )
    }

    /// An attempt begins.
    pub(super) fn asks_by_hint(&mut self) {
        if let Some(places) = &mut self.places {
            places.kept = NodeSet::EMPTY;
            places.is_first = false;
            places.by_hint = core::mem::take(&mut places.hinted);
        }
    }

    /// A round failed. Returns whether it began because of a hint.
    pub(super) fn hint_failed(&mut self) -> bool {
        let Some(places) = &mut self.places else {
            return false;
        };
        let unsettled = core::mem::take(&mut places.unsettled);
        places.hinted |= !unsettled.is_empty();
        places.by_hint
    }

    /// An acquire was answered. Settles what a hint meant that came before.
    pub(super) fn settle_hint(
        &mut self,
        now: Instant,
        node: NodeId,
        flight: &Flight,
        reply: &Reply,
        ctx: &mut Context<'_>,
    ) {
        let Some(places) = &mut self.places else {
            return;
        };
        if flight.ask != OpKind::Acquire || !places.unsettled.contains(node) {
            return;
        }
        places.unsettled.remove(node);
        if !matches!(reply, Reply::Applied(Answer::Granted { .. })) {
            self.hint_counts(now, ctx);
        }
    }

    /// A node says that the lock is free there, and that it is this lease's turn to ask.
    // Law: Progress
    pub fn handle_hint(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        self.handle_timeout(now, Duration::ZERO, ctx);
        let seat = &self.seats[node.index()];
        let flight = seat.flight.as_ref();
        if flight.is_some_and(|flight| flight.ask == OpKind::Acquire) {
            let places = self.places.get_or_insert_with(Box::default);
            return places.unsettled.insert(node);
        }
        let asks = matches!(self.phase, Phase::Acquiring | Phase::Confirming(_));
        if asks && matches!(seat.vote, Vote::Granted(_)) {
            return;
        }
        self.hint_counts(now, ctx);
    }

    fn hint_counts(&mut self, now: Instant, ctx: &mut Context<'_>) {
        if self.awaits_hints() {
            self.ask_soon(now, ctx);
        }
    }

    /// Ends the present pause soon, or makes the next one short; but each pause once.
    // Law: Bounded work
    pub(super) fn ask_soon(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let places = self.places.get_or_insert_with(Box::default);
        if core::mem::replace(&mut places.hinted, true) {
            return;
        }
        if let Phase::Backoff { until } = self.phase {
            let until = until.min(now + ctx.rng.below(SPREAD));
            self.phase = Phase::Backoff { until };
            self.backoff_timeout(now, ctx);
        }
    }

    /// When to ask next although nobody hints, after a failed round. None if the usual pause it is:
    /// nobody is known to have the lock, or too few nodes would hint.
    // Law: Progress
    pub(super) fn asks_anyway(
        &self,
        now: Instant,
        cause: &AcquireFailure,
        ctx: &mut Context<'_>,
    ) -> Option<Instant> {
        let places = self.places.as_deref()?;
        if places.hinted {
            return Some(now + ctx.rng.below(SPREAD));
        }
        let AcquireFailure::Contended { left, .. } = cause else {
            return None;
        };
        let quorum = ctx.config.quorum();
        self.holder_at(quorum)?;
        let hinting = places.kept.iter();
        let hinting = hinting.filter(|node| places.pushed.contains(*node));
        let hinting = hinting.filter(|node| ctx.pushing.contains(*node)).count();
        if hinting < quorum {
            return None;
        }
        let keep = self.round.started + self.options.keep_after();
        if keep <= now {
            return None;
        }
        let first = self.options.contention_backoff().first();
        let mut over = now + left.saturating_add(ctx.rng.below(first));
        // It may be kept for one that does not ask, and then nobody hints. Who was hinted as well
        // leaves that to those who come by chance.
        let is_reserved = *left <= MOMENT && !places.by_hint;
        if !is_reserved {
            over = over.max(self.round.started + self.options.attempt_timeout());
        }
        Some(match places.is_first || is_reserved {
            true => keep.min(over),
            false => keep,
        })
    }

    /// Whether a pause may be long because nodes will hint.
    pub(super) fn relies_on_hints(&self) -> bool {
        self.places.as_ref().is_some_and(|it| !it.kept.is_empty())
    }

    /// Whether a release hints to the next in line: the lease had the lock, or may have had it at a
    /// quorum, or leaves the line. It does not if it has the lock still.
    // Law: Progress
    pub(super) const fn passes_on(&self, place: Option<&Place>) -> bool {
        let ended = !matches!(self.phase, Phase::Held(_));
        ended && (self.fence.is_some() || self.was_seen || place.is_some())
    }

    /// The lease ends. Notes whether others may have taken it for the holder.
    pub(super) fn note_seen(&mut self, quorum: usize) {
        let owed = self.count(|seat| seat.owed.is_some() || seat.flight.is_some());
        self.was_seen |= owed >= quorum;
    }

    /// The lease will not wait any more: the nodes that have or may have its place are owed a
    /// release.
    // Law: No orphan
    pub(super) fn owe_places(&mut self) {
        for node in self.nodes() {
            self.owe_place(node);
        }
    }

    pub(super) fn owe_place(&mut self, node: NodeId) {
        if let Some(places) = self.places.as_deref()
            && places.entered.contains(node)
        {
            let seat = &mut self.seats[node.index()];
            seat.owed = seat.owed.max(places.until);
        }
    }

    /// The lease is held, and renewed: nodes that have nothing of it but its place are to remove
    /// it.
    pub(super) fn remove_places(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let Some(places) = self.places.as_deref().copied() else {
            return;
        };
        for node in places.entered.iter() {
            let seat: &mut Seat = &mut self.seats[node.index()];
            if seat.is_idle() && seat.owed.is_none() && !ctx.down.contains(node) {
                seat.owed = places.until;
                self.let_go(now, node, OpKind::Release, ctx);
                // If it lands late, the copy that the node has by then must not go.
                // Law: Exclusion
                if let Some(release) = &mut self.seats[node.index()].flight {
                    release.attempt = self.attempt - 1;
                }
            }
        }
    }
}
