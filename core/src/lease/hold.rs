//! Holding: renewal, the repair of a copy that a node lost, and the loss of the lease.

use core::time::Duration;

use super::seat::{Flight, Lack, Vote};
use super::{Context, Lease, Phase, Renewal};
use crate::event::{EventKind, Loss, RenewalFailure};
use crate::id::NodeId;
use crate::math::{Backoff, Verdict, held_until, verdict};
use crate::request::{Answer, OpKind, Refusal, Reply};
use crate::time::Instant;

impl Lease {
    /// Renews now, whether or not a renewal is due. The answer is an event. Nothing happens if the
    /// lease is not held, or if a renewal is already running.
    pub fn renew(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.handle_timeout(now, Duration::ZERO, ctx);
        if let Phase::Held(renewal) = self.phase
            && renewal != Renewal::Running
        {
            self.begin_renewal(now, ctx);
        }
    }

    pub(super) fn held_timeout(&mut self, now: Instant, early: Duration, ctx: &mut Context<'_>) {
        // Expiry comes before renewal: an expired lease is never renewed.
        // Law: No resurrection, Loss is told
        if now >= self.valid_until {
            let loss = if self.valid_until >= self.cap {
                Loss::Capped
            } else {
                self.rejection(ctx)
                    .map_or(Loss::Expired, |(_, words)| Loss::Rejected(words))
            };
            return self.lose(now, loss, ctx);
        }
        match self.phase {
            // It may begin early, but by less than the shortest pause between two tries. Otherwise
            // a retry would have no pause.
            Phase::Held(Renewal::At(at) | Renewal::RetryAt(at))
                if now + early.min(self.options.round_timeout() / 16) >= at =>
            {
                self.begin_renewal(now, ctx);
            }
            Phase::Held(Renewal::Running) if now >= self.round.deadline => {
                for seat in self.seats.iter_mut() {
                    // It was never sent. The retry asks anew, and counts validity from a later
                    // instant.
                    if seat.flight.as_ref().is_some_and(|flight| !flight.sent) {
                        seat.flight = None;
                    }
                    if matches!(seat.vote, Vote::Asked | Vote::Unasked) {
                        seat.vote = Vote::Silent;
                    }
                }
                self.renewal_failed(now, ctx);
            }
            _ => {}
        }
    }

    /// Plans the next renewal, after a round that made the lease last until `held`.
    pub(super) fn schedule_renewal(&mut self, held: Instant) {
        let renewal = match self.options.renew_after() {
            Some(span) if held < self.cap => Renewal::At(self.round.started + span),
            _ => Renewal::Off,
        };
        self.phase = Phase::Held(renewal);
    }

    fn begin_renewal(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.phase = Phase::Held(Renewal::Running);
        self.round.started = now;
        self.round.deadline = now + self.options.round_timeout();
        for node in self.nodes() {
            let seat = &mut self.seats[node.index()];
            seat.vote = Vote::Unasked;
            seat.say(ctx.down(node));
        }
        self.remove_places(now, ctx);
        for node in self.nodes() {
            self.ask_renewal(now, node, ctx);
        }
        self.assess(now, ctx);
    }

    /// Asks a node in the running renewal: to renew the copy that it may hold, or to repair the one
    /// that it lost.
    fn ask_renewal(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        let seat = &self.seats[node.index()];
        if ctx.down.contains(node) {
            self.seats[node.index()].vote = Vote::Silent;
            return;
        }
        if !seat.is_idle() {
            // It is asked as soon as the request in flight is answered.
            return;
        }
        let ask = if seat.owed.is_some() {
            OpKind::Renew
        } else if self.held_without(now, node, ctx) {
            OpKind::Repair
        } else {
            self.seats[node.index()].vote = Vote::Lacking;
            return;
        };
        self.seats[node.index()].vote = Vote::Asked;
        self.ask(now, node, ask, ctx);
    }

    /// Whether a quorum without this node holds the lease. Only then can nobody else have been
    /// granted the key, so only then may the node's copy be put back.
    fn held_without(&self, now: Instant, node: NodeId, ctx: &Context<'_>) -> bool {
        let others = self
            .nodes()
            .zip(self.seats.iter())
            .filter(|(other, _)| *other != node);
        // Law: Exclusion
        held_until(others.map(|(_, seat)| seat.until), ctx.config.quorum())
            .is_some_and(|until| until > now)
    }

    /// Takes an answer while the lease is held: to a renewal, to a repair, or a late one to the
    /// acquire.
    pub(super) fn renewal_answered(
        &mut self,
        now: Instant,
        node: NodeId,
        flight: &Flight,
        reply: Reply,
        ctx: &mut Context<'_>,
    ) {
        if flight.ask == OpKind::Wait {
            return self.place_answered_while_held(now, node, flight, &reply, ctx);
        }
        if flight.ask == OpKind::Watch {
            return self.watch_answered(now, node, &reply, ctx);
        }
        if flight.ask == OpKind::Renew {
            self.renewed_at(node, &reply);
        }
        // Law: Honest validity
        let until = flight.queued + self.options.valid_for();
        let seat = &mut self.seats[node.index()];
        let mut vote = Vote::Silent;
        match reply {
            Reply::Applied(Answer::Done) if flight.ask == OpKind::Confirm => {}
            Reply::Applied(Answer::Done | Answer::Granted { .. }) => {
                // The answer to an older renewal does not shorten what a later one achieved.
                seat.until = seat.until.max(Some(until));
                seat.lacks = None;
                vote = Vote::Done;
            }
            Reply::Applied(Answer::Gone) => {
                seat.until = None;
                seat.lacks = Some(Lack::Gone);
                vote = Vote::Lacking;
            }
            Reply::Applied(
                Answer::Taken
                | Answer::Held { .. }
                | Answer::Foreign
                | Answer::WrongType { .. }
                | Answer::Waiting { .. }
                | Answer::Full,
            ) => {
                seat.until = None;
                seat.lacks = Some(Lack::Taken);
                vote = Vote::Lacking;
            }
            // It is asked before the lease is held.
            Reply::Applied(Answer::Acknowledged { .. }) => {}
            Reply::NotApplied(Refusal::Rejected(words) | Refusal::Misuse(words)) => {
                vote = Vote::Rejected(words.into());
            }
            Reply::Applied(Answer::Quarantined { .. } | Answer::Busy | Answer::Unfenced)
            | Reply::NotApplied(_)
            | Reply::Unknown(_) => {}
        }
        let gone = vote == Vote::Lacking && self.seats[node.index()].lacks == Some(Lack::Gone);
        let seat = &mut self.seats[node.index()];
        if seat.vote == Vote::Asked {
            seat.vote = vote;
        }
        if gone
            && self.seats[node.index()].is_idle()
            && !ctx.down.contains(node)
            && self.held_without(now, node, ctx)
        {
            self.ask(now, node, OpKind::Repair, ctx);
        }
        self.catch_up(now, node, ctx);
    }

    /// A node has come up. If it was one at which the last renewal failed, the next one begins now;
    /// if one is running, the node is asked in it.
    // Law: Progress
    pub(super) fn renew_at_up(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        let seat = &mut self.seats[node.index()];
        match self.phase {
            Phase::Held(Renewal::RetryAt(_))
                if matches!(seat.vote, Vote::Silent | Vote::Rejected(_)) =>
            {
                self.begin_renewal(now, ctx);
            }
            Phase::Held(Renewal::Running) if seat.vote == Vote::Silent && seat.is_idle() => {
                seat.vote = Vote::Unasked;
                self.catch_up(now, node, ctx);
            }
            _ => {}
        }
    }

    /// Asks a node that the running renewal could not ask before, because its seat was busy.
    pub(super) fn catch_up(&mut self, now: Instant, node: NodeId, ctx: &mut Context<'_>) {
        if self.phase == Phase::Held(Renewal::Running)
            && self.seats[node.index()].vote == Vote::Unasked
        {
            self.ask_renewal(now, node, ctx);
        }
        self.assess(now, ctx);
        self.watch_at(now, node, ctx);
    }

    /// Compares what the nodes are known to hold with what the application was told: lengthens or
    /// shortens validity, or ends the lease.
    fn assess(&mut self, now: Instant, ctx: &mut Context<'_>) {
        let held = held_until(
            self.seats.iter().map(|seat| seat.until),
            ctx.config.quorum(),
        );
        let Some(held) = held.filter(|until| *until > now) else {
            // An answer ended it, and not the clock.
            // Law: Loss is told
            let lacks = |lack| self.seats.iter().any(|seat| seat.lacks == Some(lack));
            let loss = if lacks(Lack::Taken) {
                Loss::Taken
            } else if lacks(Lack::Gone) {
                Loss::Gone
            } else {
                Loss::Expired
            };
            return self.lose(now, loss, ctx);
        };
        let valid_until = held.min(self.cap);
        let running = self.phase == Phase::Held(Renewal::Running);
        let goal = self.round.started + self.options.valid_for();
        // The answer may come after the round: then it ends the suspicion all the same.
        let renewed = (running || self.suspect) && held >= goal;
        let told = core::mem::replace(&mut self.valid_until, valid_until);
        if valid_until < told {
            ctx.out.events.push(EventKind::Shortened { valid_until });
        }
        if valid_until > told || renewed {
            ctx.out.events.push(EventKind::Renewed { valid_until });
        }
        if renewed {
            self.failures = 0;
            self.suspect = false;
            self.made_whole();
            return self.schedule_renewal(held);
        }
        if !running {
            return;
        }
        let renewed = self.count(|seat| seat.until >= Some(goal));
        let open = self.count(|seat| {
            seat.until < Some(goal) && matches!(seat.vote, Vote::Asked | Vote::Unasked)
        });
        if verdict(self.seats.len(), renewed, open) == Verdict::Lost {
            self.renewal_failed(now, ctx);
        }
    }

    /// Tries again later, until validity ends.
    fn renewal_failed(&mut self, now: Instant, ctx: &mut Context<'_>) {
        self.failures += 1;
        self.suspect = true;
        self.phase = Phase::Held(
            if self.options.renew_after().is_none() && !self.is_cut_short() {
                Renewal::Off
            } else {
                let timeout = self.options.round_timeout();
                let first = (timeout / 4).max(Duration::from_nanos(1));
                let pause = Backoff::new(first, timeout).pause(self.failures, ctx.rng);
                Renewal::RetryAt(now + pause)
            },
        );
        let cause = match self.rejection(ctx) {
            Some((node, words)) => RenewalFailure::Rejected { node, words },
            None => RenewalFailure::Outage {
                silent: self.silences(|seat| matches!(seat.vote, Vote::Silent | Vote::Rejected(_))),
            },
        };
        ctx.out.events.push(EventKind::Suspect {
            valid_until: self.valid_until,
            cause,
        });
    }

    /// Ends the lease without its owner's release.
    fn lose(&mut self, now: Instant, loss: Loss, ctx: &mut Context<'_>) {
        ctx.out.events.push(EventKind::Lost { loss });
        self.settle_from(now, ctx);
    }
}
