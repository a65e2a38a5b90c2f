//! Acknowledging, over one node: a grant is reported once so many replicas of the node have
//! acknowledged it, and released if they do not in time.
//!
//! A grant may come by an answer or by a push. The time that replicas take is spent out of its
//! validity, which counts from the request that was granted.

use super::seat::{Flight, Vote};
use super::{Context, Lease, Phase, Renewal};
use crate::id::NodeId;
use crate::request::{Answer, OpKind, Refusal, Reply, Words};
use crate::time::Instant;
use crate::token::Fence;

impl Lease {
    /// The only node granted, or so many that the fence is agreed on. The lease is held from now
    /// on, or once replicas have acknowledged the grant. The longest time for which it may be held
    /// counts from `since`.
    ///
    /// # Errors
    /// Why no validity is left, if it was granted too late. This counts as no answer.
    pub(super) fn granted(
        &mut self,
        now: Instant,
        fence: Fence,
        since: Instant,
        ctx: &mut Context<'_>,
    ) -> Result<(), &'static str> {
        self.cap = self
            .options
            .max_hold()
            .map_or(Instant::MAX, |span| since + span);
        if ctx.config.acknowledged_by() == 0 {
            return self.begin_hold(now, fence, ctx);
        }
        let until = self.held_from(now, ctx)?;
        self.phase = Phase::Acknowledging(fence);
        self.round.deadline = until.min(now + self.options.attempt_timeout());
        for node in self.nodes() {
            // What was not sent yet is not needed any more.
            let seat = &mut self.seats[node.index()];
            if seat.flight.as_ref().is_some_and(|flight| !flight.sent) {
                seat.flight = None;
            }
            self.ask_replicas(now, node, ctx);
        }
        Ok(())
    }

    /// Asks how many replicas have acknowledged the grant, or does so once the node has answered
    /// what is in flight.
    pub(super) fn ask_replicas(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        let seat = &mut self.seats[node.index()];
        if seat.is_idle() && matches!(seat.vote, Vote::Granted(_)) {
            if ctx.down.contains(node) {
                seat.vote = Vote::Silent;
                seat.say(ctx.down(node));
                return self.fail_round(now, ctx);
            }
            seat.vote = Vote::Asked;
            self.ask(now, node, OpKind::Acknowledge, ctx);
        }
    }

    /// Until when replicas are waited for. The grant may have come after a long wait in the queue,
    /// and the acquire must be over in time, also in its first attempt.
    pub(super) fn acknowledge_ends(&self) -> Instant {
        let (patience, whole) = (self.options.give_up_after(), self.options.acquire_timeout());
        let first = whole
            .zip(patience)
            .map(|(whole, patience)| whole.saturating_sub(patience));
        let over = self.give_up + first.unwrap_or_default();
        self.round.deadline.min(over)
    }

    pub(super) fn acknowledge_timeout(&mut self, now: Instant, ctx: &mut Context<'_>) {
        if now < self.acknowledge_ends() {
            return;
        }
        let why = "it did not say in time how many replicas have acknowledged the grant";
        for seat in self.seats.iter_mut() {
            seat.vote = Vote::Silent;
            seat.say(Some(Words::fixed(why)));
        }
        self.fail_round(now, ctx);
    }

    /// Takes an answer while the grant is being acknowledged: how many have, or what came of the
    /// request that was in flight when a push granted.
    pub(super) fn acknowledge_answered(
        &mut self,
        now: Instant,
        node: NodeId,
        fence: Fence,
        flight: &Flight,
        reply: Reply,
        ctx: &mut Context<'_>,
    ) {
        if flight.ask == OpKind::Wait {
            if self.is_lost_in_line(flight, &reply) {
                self.phase = Phase::Waiting { next: now };
                return self.place_answered(now, node, flight, reply, ctx);
            }
            if let Reply::Applied(Answer::Granted { .. }) = reply {
                let until = flight.queued + self.options.valid_for();
                let seat = &mut self.seats[node.index()];
                seat.until = seat.until.max(Some(until));
            }
            return self.ask_replicas(now, node, ctx);
        }
        let demanded = ctx.config.acknowledged_by();
        let seat = &mut self.seats[node.index()];
        seat.vote = match reply {
            Reply::Applied(Answer::Acknowledged { replicas }) if replicas >= demanded => {
                seat.vote = Vote::Granted(fence);
                return self.acknowledged(now, node, fence, ctx);
            }
            Reply::Applied(Answer::Acknowledged { replicas }) => {
                Vote::Unacknowledged { replicas, demanded }
            }
            Reply::NotApplied(Refusal::Rejected(words)) => Vote::Rejected(words.into()),
            Reply::NotApplied(Refusal::Misuse(words)) => Vote::Misuse(words.into()),
            Reply::Applied(answer) => {
                seat.say(Some(Words::fixed(match answer {
                    Answer::Gone => "the lock was gone before replicas acknowledged it",
                    Answer::Taken => "the lock was taken before replicas acknowledged it",
                    _ => "it answered something else than what was asked",
                })));
                Vote::Silent
            }
            Reply::NotApplied(_) | Reply::Unknown(_) => Vote::Silent,
        };
        self.fail_round(now, ctx);
    }

    /// Replicas have the grant: the lease is held, if any validity is left.
    fn acknowledged(&mut self, now: Instant, node: NodeId, fence: Fence, ctx: &mut Context<'_>) {
        match self.begin_hold(now, fence, ctx) {
            Ok(()) if self.is_cut_short() => self.renew_what_was_pushed(now),
            Ok(()) => {}
            Err(why) => {
                let seat = &mut self.seats[node.index()];
                seat.vote = Vote::Silent;
                seat.say(Some(Words::fixed(why)));
                self.fail_round(now, ctx);
            }
        }
    }

    /// Part of the only validity has passed in the queue, and it would not be renewed later.
    pub(super) fn renew_what_was_pushed(&mut self, now: Instant) {
        if self.options.renew_after().is_none() && self.valid_until < self.cap {
            self.phase = Phase::Held(Renewal::At(now));
        }
    }
}
