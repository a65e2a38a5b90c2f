//! Waiting: a place in the queue of the key at the node. It is kept by asking again, until the node
//! hands the lock on and says so by a push, or by the answer to the next request.
//!
//! From the first request that may have entered a place on, the attempt stays the same, and nothing
//! is released until the lease ends: asking once more enters, keeps, asks and takes over, so an
//! outcome that is unknown is no debt of its own. The release at the end removes the place too.

use core::time::Duration;

use super::seat::{Flight, Lack, Rival, Vote};
use super::{Context, Lease, Phase};
use crate::event::{AcquireFailure, EventKind};
use crate::id::NodeId;
use crate::place::{Place, PlaceId, Serial};
use crate::request::{Answer, Holder, OpKind, Refusal, Reply};
use crate::time::Instant;
use crate::token::Fence;

/// How many of those in line ask when the holder's time ends, should it have died: the first, and
/// another one, should the first have died as well.
pub(super) const ASKING: u32 = 2;

/// By how much later each of them asks than the one before.
const APART: Duration = Duration::from_millis(5);

/// What a lease knows of its place.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Queued {
    pub(super) place: Place,
    /// The last request that the node answered: its number, and when it was queued. The place is
    /// kept for a TTL from then at least.
    acked: Option<(u32, Instant)>,
    /// The request by whose reservation a push granted the lock.
    granted: Option<u32>,
}

impl Queued {
    const fn new(place: Place) -> Self {
        Self {
            place,
            acked: None,
            granted: None,
        }
    }
}

/// What a node says of those who are before a lease.
struct Line {
    ahead: u32,
    left: Option<Duration>,
    hands_on: bool,
    holder: Holder,
}

impl Lease {
    /// Whether it waits in the queue while others hold the key. One whose attempts are bounded
    /// does not: then its time would not be bounded by them.
    pub(super) fn queues(&self, ctx: &Context<'_>) -> bool {
        ctx.config.queues() && self.options.attempts().is_none()
    }

    /// Whether a push may concern it.
    pub(crate) fn is_waiting(&self) -> bool {
        let asked = matches!(self.phase, Phase::Acquiring | Phase::Waiting { .. });
        asked && self.place.is_some() || self.awaits_hints()
    }

    /// Whether a push granted the lock, and nothing was renewed since: part of the validity had
    /// passed in the queue.
    pub(super) fn is_cut_short(&self) -> bool {
        let queued = self.place.as_ref();
        queued.is_some_and(|queued| queued.granted.is_some())
    }

    /// The validity is renewed. No request for a place is on its way any more.
    pub(super) fn made_whole(&mut self) {
        if let Some(queued) = &mut self.place {
            queued.granted = None;
        }
    }

    /// Whether a request is in flight or queued.
    pub(super) fn is_asking(&self) -> bool {
        self.seats.iter().any(|seat| !seat.is_idle())
    }

    /// Asks for the lock, or for a place. The seat must be idle.
    pub(super) fn ask_place(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        let pushed = ctx.pushing.contains(node);
        match &mut self.place {
            // The same place for as long as it waits, so that its order stays. But one whose
            // pushes nobody hears any more would be passed over for ever.
            // Law: Fairness
            Some(queued) => queued.place.pushed &= pushed,
            None => {
                let id = PlaceId::of(&self.secret);
                self.place = Some(Queued::new(Place { id, pushed }).into());
            }
        }
        self.ask(now, node, OpKind::Wait, ctx);
    }

    /// Asks now, or as soon as the request in flight is answered.
    pub(super) fn ask_now(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.phase = Phase::Waiting { next: now };
        self.waiting_timeout(now, Duration::ZERO, ctx);
    }

    /// `early` lets a place be kept that much before its time, but a lock that is held is not asked
    /// for before it may be free.
    pub(super) fn waiting_timeout(&mut self, now: Instant, early: Duration, ctx: &mut Context<'_>) {
        let Phase::Waiting { next } = self.phase else {
            return;
        };
        if now >= self.give_up {
            return self.fail(now, true, ctx);
        }
        let keep_after = self.options.keep_after();
        let acked = self.place.as_ref().and_then(|queued| queued.acked);
        let keeps = acked.is_some_and(|(_, queued)| next == queued + keep_after);
        let early = if keeps {
            early.min(keep_after / 16)
        } else {
            Duration::ZERO
        };
        if now + early < next || self.is_asking() {
            return;
        }
        for node in self.nodes() {
            if ctx.down.contains(node) {
                self.seats[node.index()].vote = Vote::Silent;
                self.seats[node.index()].say(ctx.down(node));
                self.wait_on(now, ctx);
            } else {
                self.ask_place(now, node, ctx);
            }
        }
    }

    /// Takes the answer to a request that enters or keeps the place.
    pub(super) fn place_answered(
        &mut self,
        now: Instant,
        node: NodeId,
        flight: &Flight,
        reply: Reply,
        ctx: &mut Context<'_>,
    ) {
        let seat = &mut self.seats[node.index()];
        seat.vote = match reply {
            Reply::Applied(Answer::Granted { fence, .. }) => {
                let since = flight.queued;
                if self.granted_from(now, node, since, fence, since, ctx) {
                    return;
                }
                // So late that nothing is left of it: the key is the lease's, and is asked for
                // again.
                return self.ask_now(now, ctx);
            }
            Reply::Applied(Answer::Waiting {
                ahead,
                left,
                hands_on,
                holder,
            }) => {
                let line = Line {
                    ahead,
                    left,
                    hands_on,
                    holder,
                };
                return self.in_line(now, node, flight, &line, ctx);
            }
            Reply::Applied(Answer::Held { left, holder, .. }) => {
                Vote::Held(Rival { left, holder }.into())
            }
            Reply::Applied(Answer::Foreign) => Vote::Foreign,
            Reply::Applied(Answer::Quarantined { left }) => Vote::Quarantined { left },
            Reply::Applied(Answer::WrongType { name, holds }) => Vote::WrongType { name, holds },
            Reply::Applied(Answer::Full) => {
                self.failure = Some(AcquireFailure::QueueFull { node }.into());
                return self.fail(now, false, ctx);
            }
            Reply::NotApplied(Refusal::Rejected(words)) => Vote::Rejected(words.into()),
            Reply::NotApplied(Refusal::Misuse(words)) => Vote::Misuse(words.into()),
            Reply::Applied(_) | Reply::NotApplied(_) | Reply::Unknown(_) => Vote::Silent,
        };
        self.wait_on(now, ctx);
    }

    /// The node keeps the place: plans when it is kept again.
    fn in_line(
        &mut self,
        now: Instant,
        node: NodeId,
        flight: &Flight,
        line: &Line,
        ctx: &mut Context<'_>,
    ) {
        let Some(queued) = self.place.as_deref_mut() else {
            return;
        };
        queued.acked = Some((flight.serial, flight.queued));
        let pushed = queued.place.pushed;
        let failure = match line.left {
            Some(left) => AcquireFailure::Contended {
                left,
                ahead: Some(line.ahead),
                holder: line.holder.label.clone(),
            },
            None => AcquireFailure::Foreign { node },
        };
        let granted = queued
            .granted
            .is_some_and(|granted| granted >= flight.serial);
        self.count_failure(Some(line.holder.fingerprint));
        let keep = flight.queued + self.options.keep_after();
        let next = if granted {
            // A push had said so, but too late for any of its time to be left.
            now
        } else if !pushed || (line.ahead == 0 && !line.hands_on) {
            // Nobody will say that the lock is free.
            now + self.pause(&failure, ctx)
        } else if line.ahead < ASKING
            && line.hands_on
            && let Some(left) = line.left
        {
            // Law: Progress
            let over = now + left + APART * line.ahead;
            over.max(flight.queued + self.options.attempt_timeout())
        } else {
            keep
        };
        let until = next.min(keep);
        self.failure = Some(failure.into());
        self.phase = Phase::Waiting { next: until };
        ctx.out.events.push(EventKind::Queued {
            node,
            ahead: line.ahead,
            left: line.left,
            holder: line.holder.label.clone(),
            until,
        });
        self.waiting_timeout(now, Duration::ZERO, ctx);
    }

    /// The node did not say that it keeps the place: it is asked again after a pause, unless asking
    /// mends nothing.
    pub(super) fn wait_on(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let cause = self.classify(ctx.config.quorum());
        let fatal = cause.is_fatal();
        self.failure = Some(cause.clone().into());
        if fatal || now >= self.give_up {
            return self.fail(now, !fatal, ctx);
        }
        self.count_failure(self.holder_at(ctx.config.quorum()));
        let until = now + self.pause(&cause, ctx);
        self.phase = Phase::Waiting { next: until };
        ctx.out.events.push(EventKind::Waiting { cause, until });
    }

    /// A push says that the node has handed the lock on to this lease, as the request with this
    /// serial had its place kept.
    ///
    /// It counts only if that is the request that was answered last, or the one in flight: the node
    /// keeps the lock for as long as that request asked. Otherwise the lease asks: a push may come
    /// late, when the place was entered anew.
    pub fn handle_push(
        &mut self,
        now: Instant,
        node: NodeId,
        serial: Serial,
        fence: Fence,
        ctx: &mut Context<'_>,
    ) {
        self.handle_timeout(now, Duration::ZERO, ctx);
        if !self.is_waiting() || self.place.is_none() {
            return;
        }
        let acked = self.place.as_ref().and_then(|queued| queued.acked);
        let flight = self.seats[node.index()].flight.as_ref();
        let in_flight = flight
            .filter(|flight| flight.ask == OpKind::Wait && flight.sent)
            .map(|flight| (flight.serial, flight.queued));
        let mut kept = acked.into_iter().chain(in_flight);
        // Law: Honest validity
        let named = kept.find(|(request, _)| Serial::of(*request) == serial);
        // A node that may have forgotten another's lease hands on too: only its answer grants.
        // Law: Exclusion
        let named = named.filter(|_| ctx.config.pushes_grant());
        if let Some((request, queued)) = named {
            if let Some(queued) = &mut self.place {
                queued.granted = Some(request);
            }
            // The application did not have it before.
            if self.granted_from(now, node, queued, fence, now, ctx) {
                if matches!(self.phase, Phase::Held(_)) {
                    self.renew_what_was_pushed(now);
                }
                // What was not sent yet is not needed any more.
                let unwanted = |flight: &Flight| !flight.sent && flight.ask == OpKind::Wait;
                let seat = &mut self.seats[node.index()];
                if seat.flight.as_ref().is_some_and(unwanted) {
                    seat.flight = None;
                }
                return;
            }
        }
        self.ask_now(now, ctx);
    }

    /// The node holds the lock for the lease, as a request had asked that was queued at that
    /// instant. Returns false if it does so for too short a time. The longest time for which the
    /// lease may be held counts from `since`.
    fn granted_from(
        &mut self,
        now: Instant,
        node: NodeId,
        queued: Instant,
        fence: Fence,
        since: Instant,
        ctx: &mut Context<'_>,
    ) -> bool {
        let expires = self.expires(now);
        let until = queued + self.options.valid_for();
        let seat = &mut self.seats[node.index()];
        seat.owed = Some(expires);
        seat.until = Some(until);
        seat.vote = Vote::Granted(fence);
        self.round.started = queued;
        self.granted(now, fence, since, ctx).is_ok()
    }

    /// A round failed, and what it wrote is released: so is the place, and the next attempt enters
    /// another one. A push that comes late grants nothing then.
    // Law: Honest validity
    pub(super) fn leave_line(&mut self) {
        if let Some(queued) = &mut self.place {
            queued.acked = None;
            queued.granted = None;
        }
    }

    /// Whether this answer to a request that keeps the place says that the lock is the lease's no
    /// longer, which a push had handed to it. It does not if the node handed it on by the
    /// reservation that this very request, or a later one, had made.
    pub(super) fn is_lost_in_line(&self, flight: &Flight, reply: &Reply) -> bool {
        let others = matches!(
            reply,
            Reply::Applied(
                Answer::Waiting { .. }
                    | Answer::Held { .. }
                    | Answer::Foreign
                    | Answer::WrongType { .. }
                    | Answer::Full,
            )
        );
        let granted = self.place.as_ref().and_then(|queued| queued.granted);
        others && granted.is_some_and(|granted| granted < flight.serial)
    }

    /// Takes the answer to a request that was to enter or keep the place, and came when a push had
    /// granted the lock already.
    pub(super) fn place_answered_while_held(
        &mut self,
        now: Instant,
        node: NodeId,
        flight: &Flight,
        reply: &Reply,
        ctx: &mut Context<'_>,
    ) {
        let is_lost = self.is_lost_in_line(flight, reply);
        let seat = &mut self.seats[node.index()];
        if let Reply::Applied(Answer::Granted { .. }) = reply {
            let until = flight.queued + self.options.valid_for();
            seat.until = seat.until.max(Some(until));
        } else if is_lost {
            seat.until = None;
            seat.lacks = Some(Lack::Taken);
        }
        self.catch_up(now, node, ctx);
    }
}
